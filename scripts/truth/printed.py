"""PDFs by ReportLab: each page drawn line by line. Fonts are not embedded but Adobe-Japan1's, without ToUnicode."""

import io
from collections.abc import Callable, Iterator

from demo_members.paper import broken
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfgen.canvas import Canvas

from truth.words import LONG, PROCEDURE, SPECIFICATION, TATE, WRAPPED, Block

UPRIGHT, VERTICAL = UnicodeCIDFont("HeiseiKakuGo-W5"), UnicodeCIDFont("HeiseiMin-W3", isVertical=True)
SIZE, LEADING, MARGIN = 10.5, 16.0, 60.0
WIDTH, HEIGHT = A4
SIZES = {"title": 16.0, "heading": 12.5}
FURIGANA = {"主軸": "しゅじく", "始業前": "しぎょうまえ", "操作盤": "そうさばん"}


def made() -> Iterator[tuple[str, bytes, list[Block]]]:
    """(class, file, what it says)."""
    yield "one column", _drawn(lambda canvas: _columns(canvas, PROCEDURE, 1)), PROCEDURE
    yield "two columns", _drawn(lambda canvas: _columns(canvas, LONG, 2)), LONG
    yield "ruled table", _drawn(lambda canvas: _tables(canvas, SPECIFICATION, ruled=True)), SPECIFICATION
    yield "open table", _drawn(lambda canvas: _tables(canvas, SPECIFICATION, ruled=False)), SPECIFICATION
    yield "table of wrapped cells", _drawn(lambda canvas: _tables(canvas, WRAPPED, ruled=True)), WRAPPED
    yield "vertical", _drawn(_vertical), TATE
    yield "furigana", _drawn(_with_furigana), PROCEDURE
    yield "turned page", _drawn(_turned), PROCEDURE


def _drawn(draw: Callable[[Canvas], None]) -> bytes:
    for font in (UPRIGHT, VERTICAL):
        registerFont(font)
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1)
    draw(canvas)
    canvas.save()
    return target.getvalue()


def _columns(canvas: Canvas, blocks: list[Block], count: int) -> None:
    """Text in columns that are filled one after the other."""
    gutter = 24.0
    width = (WIDTH - 2 * MARGIN - (count - 1) * gutter) / count
    column, y = 0, HEIGHT - MARGIN
    for block in blocks:
        size = SIZES.get(block.kind, SIZE)
        y -= 8 if block.kind == "heading" else 0
        indent = "\u3000" if block.kind == "paragraph" and count == 1 else ""
        for line in broken(indent + block.text, size, width):
            if y < MARGIN + (120 if count > 1 else 0):
                column, y = column + 1, HEIGHT - MARGIN
                if column == count:
                    canvas.showPage()
                    column = 0
            canvas.setFont(UPRIGHT.fontName, size)
            canvas.drawString(MARGIN + column * (width + gutter), y, line)
            y -= LEADING * size / SIZE
        y -= 4


def _tables(canvas: Canvas, blocks: list[Block], ruled: bool) -> None:
    y = HEIGHT - MARGIN
    for block in blocks:
        canvas.setFont(UPRIGHT.fontName, SIZES.get(block.kind, SIZE))
        if block.rows:
            y = _table(canvas, block.rows, y, ruled)
        for line in [] if block.rows else broken(block.text, SIZES.get(block.kind, SIZE), WIDTH - 2 * MARGIN):
            canvas.drawString(MARGIN, y, line)
            y -= 1.6 * LEADING if block.kind == "title" else LEADING
        y -= 6


def _table(canvas: Canvas, rows: tuple[tuple[str, ...], ...], top: float, ruled: bool) -> float:
    """Where it ends. Cells stand in the middle of their row, as spreadsheets have them."""
    width = (WIDTH - 2 * MARGIN) / len(rows[0])
    for row in rows:
        cells = [list(broken(cell, SIZE, width - 10)) for cell in row]
        height = LEADING * max(map(len, cells)) + (6 if ruled else 0)
        for number, lines in enumerate(cells):
            left = MARGIN + number * width
            if ruled:
                canvas.rect(left, top - height, width, height)
            y = top - (height - LEADING * len(lines)) / 2 - SIZE - 1
            for line in lines:
                canvas.drawString(left + 5, y, line)
                y -= LEADING
        top -= height
    return top - LEADING


def _vertical(canvas: Canvas) -> None:
    """Two storeys, each read from right to left; the page number is set across."""
    storey, x = 0, WIDTH - MARGIN
    height = (HEIGHT - 2 * MARGIN - 20) / 2
    for block in TATE:
        size = SIZES.get(block.kind, SIZE)
        for line in broken(("\u3000" if block.kind == "paragraph" else "") + block.text, size, height / 2.2):
            if x < WIDTH / 2 + 40:
                storey, x = storey + 1, WIDTH - MARGIN
            canvas.setFont(VERTICAL.fontName, size)
            canvas.drawString(x, HEIGHT - MARGIN - storey * (height / 2.2 + 30), line)
            x -= LEADING * size / SIZE
    canvas.setFont(UPRIGHT.fontName, 8)
    canvas.drawCentredString(WIDTH / 2, 30, "- 12 -")


def _with_furigana(canvas: Canvas) -> None:
    _columns(canvas, PROCEDURE, 1)
    canvas.setFont(UPRIGHT.fontName, 5)
    first = list(broken("\u3000" + PROCEDURE[1].text, SIZE, WIDTH - 2 * MARGIN))
    for word, reading in FURIGANA.items():
        for number, line in enumerate(first):
            if word in line:
                x = MARGIN + stringWidth(line[: line.index(word)], UPRIGHT.fontName, SIZE)
                y = HEIGHT - MARGIN - LEADING * SIZES["title"] / SIZE - 4 - LEADING * number
                canvas.drawString(x, y + SIZE, reading)


def _turned(canvas: Canvas) -> None:
    """Text that stands on its side, on a page that is shown turned so that it is upright."""
    canvas.setPageRotation(90)
    canvas.translate(WIDTH, 0)
    canvas.rotate(90)
    y = WIDTH - MARGIN
    for block in PROCEDURE:
        size = SIZES.get(block.kind, SIZE)
        y -= 8 if block.kind == "heading" else 0
        for line in broken(block.text, size, HEIGHT - 2 * MARGIN):
            canvas.setFont(UPRIGHT.fontName, size)
            canvas.drawString(MARGIN, y, line)
            y -= LEADING * size / SIZE
        y -= 4
