# /// script
# requires-python = ">=3.11"
# dependencies = ["openpyxl==3.1.5", "pillow", "pypdfium2", "pypdf==7.1.0", "python-docx==1.2.0", "python-pptx==1.0.2",
#     "reportlab==5.1.0", "selectolax", "typst==0.15.2"]
# ///
"""Make the files of tests/truth that are ours, with what they say beside them. Those of others are only kept there.

Needs LibreOffice (writer, impress; 7.4 made the files), Tesseract with `jpn` and `eng` (5.3), and the font Motoya L
Cedar, of Debian's fonts-motoya-l-cedar:

    python scripts/make_truth.py --fonts /usr/share/fonts/truetype/motoya-l-cedar
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import pypdf  # noqa: E402
from truth import office_files, open_document, printed, scans, texts, typeset  # noqa: E402
from truth.words import PROCEDURE, expected  # noqa: E402

TRUTH = HERE.parent / "tests" / "truth"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fonts", type=Path, required=True, help="the font's folder")
    args = parser.parse_args()
    for kind, data, blocks in printed.made():
        kept("pdf", kind, "reportlab", "pdf", data, expected(blocks))
    pages = {}
    for kind, data, blocks in typeset.made(args.fonts):
        kept("pdf", kind, "typst", "pdf", data, expected(blocks))
        pages[kind] = data
    kept("pdf", "font without ToUnicode", "typst", "pdf", without_to_unicode(pages["one column"]), expected(PROCEDURE))
    with tempfile.TemporaryDirectory() as scratch:
        for kind, suffix, data, blocks in open_document.made(args.fonts, Path(scratch)):
            kept(suffix, kind, "libreoffice", suffix, data, expected(blocks))
        for kind, data, says in scans.made(pages["one column"], Path(scratch)):
            kept("pdf", kind, "tesseract", "pdf", data, says)
    for kind, suffix, data, says in office_files.made():
        kept(suffix, kind, "python", suffix, data, says)
    for file_format, kind, suffix, data, says in texts.made():
        kept(file_format, kind, "made", suffix, data, says)


def kept(file_format: str, kind: str, maker: str, suffix: str, data: bytes, says: str) -> None:
    """Write one file, and what it says. A file that is to be set aside says nothing."""
    for folder, name, content in (
        ("files", f"{maker}.{suffix}", data),
        ("expected", f"{maker}.{suffix}.txt", says.encode()),
    ):
        path = TRUTH / folder / file_format / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def without_to_unicode(data: bytes) -> bytes:
    """The PDF, whose embedded fonts no longer say which characters their glyphs are."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    for page in writer.pages:
        for font in page["/Resources"]["/Font"].values():
            font.get_object().pop("/ToUnicode", None)
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


if __name__ == "__main__":
    main()
