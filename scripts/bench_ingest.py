"""What reading documents costs in a process of its own, as members do it, against the same readers in this process.

One JSON line: files and MB a second of computing (this process and its children), and the PDFs' pages a second against
pypdfium2 alone, which takes the text of each page and nothing else. The files are the demo's, or those of `--data`.

    .venv/bin/python scripts/bench_ingest.py
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdfium2
from benchmarks.machine import emit, machine

from aggregator.simulate.table import DEMO_MEMBERS
from clients.ingest import readers
from clients.ingest.content import Unusable
from clients.ingest.kinds import KINDS, suffix_of
from clients.ingest.parser import Parser


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEMO_MEMBERS, help="folder of files (default: the demo's members)")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of so many counts")
    args = parser.parse_args()
    files = [file for file in sorted(args.data.rglob("*")) if file.is_file() and suffix_of(file.name) in KINDS]
    pdfs = [file for file in files if suffix_of(file.name) == ".pdf"]
    pages = sum(len(pypdfium2.PdfDocument(file)) for file in pdfs)
    seconds = {
        name: min(_seconds(what) for _ in range(args.repeats))
        for name, what in {
            "own_process": lambda: _apart(files),
            "this_process": lambda: _here(files),
            "pdf": lambda: _here(pdfs),
            "pdfium_alone": lambda: _pdfium(pdfs),
        }.items()
    }
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    line: dict[str, Any] = {"bench": "ingest", "files": len(files), "mb": round(megabytes, 2), "pdf_pages": pages}
    for name in ("own_process", "this_process"):
        line[f"{name}_files_per_s"] = round(len(files) / seconds[name], 1)
        line[f"{name}_mb_per_s"] = round(megabytes / seconds[name], 2)
    for name in ("pdf", "pdfium_alone"):
        line[f"{name}_pages_per_s"] = round(pages / seconds[name], 1)
    emit(line | machine(1, ("pypdfium2", "selectolax")))


def _seconds(what: Callable[[], None]) -> float:
    """Computing of this process and of those that it started and that ended."""

    def spent() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    before = spent()
    what()
    return spent() - before


def _apart(files: list[Path]) -> None:
    with Parser() as parser:
        for path in files:
            with path.open("rb") as file:
                parser.parts(file.fileno(), path.name)


def _here(files: list[Path]) -> None:
    for path in files:
        try:
            readers.parse(path.read_bytes(), path.name)
        except Unusable:
            continue  # refused is read, too


def _pdfium(files: list[Path]) -> None:
    for path in files:
        document = pypdfium2.PdfDocument(path)
        for page in document:
            page.get_textpage().get_text_bounded()
        document.close()


if __name__ == "__main__":
    main()
