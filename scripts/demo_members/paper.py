"""A document -> the bytes of a PDF, the same each time: A4, page numbers, and a running head from two pages on.

The font is one that every PDF reader is to have (Adobe-Japan1), so that no font file lies in the repository. One alone,
since a reader looks for each anew in every file: with a second one, reading takes more than half as long again.
"""

import io
import re
from collections.abc import Iterator

from reportlab.lib.pagesizes import A4
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfgen.canvas import Canvas

from demo_members.texts import Document

FONT = "HeiseiKakuGo-W5"
TEXT_SIZE, HEAD_SIZES = 10.5, {1: 16.0, 2: 14.0, 3: 12.5}
LEADING, BETWEEN, BEFORE_HEAD = 1.5, 0.6, 1.0  # in sizes of the type
MARGIN = 62.0  # points
NOT_FIRST = frozenset(
    "、。，．・：；？！ー）」』】〕］｝〉》々ぁぃぅぇぉっゃゅょァィゥェォッャュョ"
)  # never begins a line
NOT_LAST = frozenset("（「『【〔［｛〈《")
PIECES = re.compile(r"[!-~]+ ?|.", re.DOTALL)  # what a line is never broken in: a Latin word with its blank

registerFont(UnicodeCIDFont(FONT))


def pdf(document: Document) -> bytes:
    """The document on pages."""
    pages = list(_pages(document))
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1, pageCompression=1)
    canvas.setTitle(document.lines[0].text)
    for number, page in enumerate(pages, start=1):
        if len(pages) > 1:
            canvas.setFont(FONT, 8)
            canvas.drawString(MARGIN, A4[1] - 36, document.lines[0].text[:40])
        for text, size, y in page:
            canvas.setFont(FONT, size)
            canvas.drawString(MARGIN, y, text)
        canvas.setFont(FONT, 8)
        canvas.drawCentredString(A4[0] / 2, 32, f"- {number} -")
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def _pages(document: Document) -> Iterator[list[tuple[str, float, float]]]:
    """(text, size, y) of each line, page by page."""
    page: list[tuple[str, float, float]] = []
    y = A4[1] - MARGIN
    for line in document.lines:
        size = HEAD_SIZES.get(line.level, 12.5) if line.level else TEXT_SIZE
        y -= BEFORE_HEAD * size if line.level and page else 0
        for text in broken(line.text, size):
            if y < MARGIN:
                yield page
                page, y = [], A4[1] - MARGIN
            page.append((text, size, y))
            y -= LEADING * size
        y -= BETWEEN * size
    yield page


def broken(text: str, size: float, room: float = A4[0] - 2 * MARGIN) -> Iterator[str]:
    """The text in lines as wide as `room`. A blank at a line's end stays there, as word processors leave it."""
    line: list[str] = []
    for piece in PIECES.findall(text):
        if line and stringWidth("".join([*line, piece.rstrip()]), FONT, size) > room:
            while len(line) > 1 and (piece[0] in NOT_FIRST or line[-1] in NOT_LAST):
                piece = line.pop() + piece
            yield "".join(line)
            line = []
        line.append(piece)
    yield "".join(line)
