"""Scans: a printed page as a picture, and what Tesseract took it for, in the right language and in the wrong one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pypdfium2

from truth.words import PROCEDURE, expected


def made(page: bytes, scratch: Path) -> Iterator[tuple[str, bytes, str]]:
    """(class, file, what it says; empty where nobody could tell). `page`: a PDF of PROCEDURE."""
    picture = pypdfium2.PdfDocument(page)[0].render(scale=150 / 72).to_pil().convert("1")
    for name, language, says in (
        ("scan, recognised", "jpn", expected(PROCEDURE)),
        ("scan, recognised as English", "eng", ""),
    ):
        picture.save(scratch / "scan.png", dpi=(150, 150))
        command = ["tesseract", f"{scratch}/scan.png", f"{scratch}/scan", "-l", language, "pdf"]
        subprocess.run(command, check=True, env=os.environ | {"OMP_THREAD_LIMIT": "1"}, timeout=300)
        yield name, (scratch / "scan.pdf").read_bytes(), says
