"""A page as pdfium has it -> pieces of text with their places, ruled lines, and what else is on it.

A piece is what pdfium runs together without a blank. Only its first and last character are asked for their places:
asking for each would take longer than pdfium needs for the page.
"""

import ctypes
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pypdfium2
import pypdfium2.raw as pdfium

_MOST_OBJECTS = 20_000  # of a page with more, ruled lines are not looked for
_THIN, _SHORT = 3.0, 8.0  # points: a ruled line is thinner than the one and longer than the other
_SLANT = 0.2  # radians from upright: text that is no line of the page but a stamp across it
_SCAN_SHARE = 0.6  # of the page, that one picture covers
_BLANKS = re.compile(r"\s+|(?<=\x02)")  # the latter is pdfium's sign for a word that a line's end splits
# What a line is not broken in: a Latin word, or a Japanese character with those that must not begin or end a line.
_WORD = re.compile(
    r"[「『（【〔〈《]*(?:[!-~]+|.)[、。，．・：；？！ー）」』】〕〉》々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ]*",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters without a blank between them. `before`: the blanks that the file has before it in its line, if any;
    None where a new line begins. Its box is that of the page, in points, y upwards. `turn`: the way it is read, in
    quarter turns to the left: 0 to the right, 1 upwards, 2 upside down, 3 downwards, as vertical Japanese is."""

    text: str
    before: str | None
    left: float
    bottom: float
    right: float
    top: float
    size: float
    turn: int
    origin: tuple[float, float]  # of its first character, on the line that it stands on
    word: float  # width (as it is read) of its first word


@dataclass
class Page:
    """`turn`: of the way in which text is upright when the page is shown. `across` and `down`: ruled lines as
    (y, left, right) and (x, bottom, top). `stamps`: text aslant, and what annotations say of themselves. `typed`: what
    was typed into fields and onto the page. `has_ink`: something is drawn on it. `is_scan`: a picture with text that is
    not seen, as recognition of characters makes it."""

    number: int
    turn: int = 0
    pieces: list[Piece] = field(default_factory=list)
    across: list[tuple[float, float, float]] = field(default_factory=list)
    down: list[tuple[float, float, float]] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    has_ink: bool = False
    is_scan: bool = False


def taken(page: pypdfium2.PdfPage, number: int) -> Page:
    """Everything on a page."""
    found = Page(number, page.get_rotation() // 90 % 4)
    text_page = page.get_textpage()
    try:
        slanted = list[str]()
        for piece, slant in _pieces(text_page.raw):
            if slant > _SLANT:
                slanted.append(piece.text)
            else:
                found.pieces.append(piece)
        found.stamps += ["".join(slanted)] if slanted else []
        picture_share = _look_at_objects(page, found)
        found.is_scan = picture_share > _SCAN_SHARE and _is_unseen(text_page.raw)
    finally:
        text_page.close()
    _look_at_annotations(page, found)
    return found


def _pieces(text_page: object) -> Iterator[tuple[Piece, float]]:
    """Each piece, and how far it is from any quarter turn."""
    count = pdfium.FPDFText_CountChars(text_page)
    codes = [pdfium.FPDFText_GetUnicode(text_page, at) for at in range(max(0, count))]
    text = "".join(chr(code) if 0 < code < 0x110000 else "\ufffd" for code in codes)
    places, before, start = _Places(text_page), "", 0
    is_new = True
    for blanks in [*_BLANKS.finditer(text), None]:
        begin, end = blanks.span() if blanks else (len(text), len(text))
        before_this, before = before, blanks[0] if blanks else ""
        if before.startswith(" ") and pdfium.FPDFText_IsGenerated(text_page, begin):
            before = before[1:]  # pdfium's conclusion from a gap
        if start < begin:
            # A line may end with the blank between two words.
            at_end = before.splitlines()[0] if "\n" in before else ""
            yield places.piece(text[start:begin], start, None if is_new else before_this, at_end)
        is_new = "\n" in before or text[begin - 1 : begin] in ("", "\x02") or (is_new and start == begin)
        start = end


class _Places:
    """Asks pdfium where characters are. One set of variables for all calls, of which there are many."""

    def __init__(self, text_page: object) -> None:
        self._text_page = text_page
        self._box, self._x, self._y = pdfium.FS_RECTF(), ctypes.c_double(), ctypes.c_double()

    def piece(self, text: str, at: int, before: str | None, at_end: str) -> tuple[Piece, float]:
        first, from_x, from_y = self._of(at)
        last, to_x, to_y = self._of(at + len(text) - 1)
        size = pdfium.FPDFText_GetFontSize(self._text_page, at)
        angle = pdfium.FPDFText_GetCharAngle(self._text_page, at)  # clockwise
        turn = -round(angle / (math.pi / 2)) % 4
        slant = abs((angle + math.pi / 4) % (math.pi / 2) - math.pi / 4)
        if turn == 0 and len(text) > 1 and abs(to_x - from_x) < 0.3 * (from_y - to_y):
            turn = 3  # a vertical font does not turn its characters
        boxes = (first, last)
        left, bottom = min(box[0] for box in boxes), min(box[1] for box in boxes)
        right, top = max(box[2] for box in boxes), max(box[3] for box in boxes)
        # A matrix may scale the font: then its size says 1, and only the box tells how tall it is.
        height = first[3] - first[1] if turn % 2 == 0 else first[2] - first[0]
        word = _WORD.match(text)
        end = at + min(word.end() if word else 1, len(text)) - 1
        until = last if end == at + len(text) - 1 else self._of(end)[0]
        reach = {0: until[2] - left, 1: until[3] - bottom, 2: right - until[0], 3: top - until[1]}[turn]
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        size = size if size > 1 else height
        return Piece(text + at_end, before, left, bottom, right, top, size, turn, (from_x, from_y), reach), slant

    def _of(self, at: int) -> tuple[tuple[float, float, float, float], float, float]:
        """A character's box (left, bottom, right, top) and origin."""
        box = self._box
        pdfium.FPDFText_GetLooseCharBox(self._text_page, at, ctypes.byref(box))
        pdfium.FPDFText_GetCharOrigin(self._text_page, at, ctypes.byref(self._x), ctypes.byref(self._y))
        return (box.left, box.bottom, box.right, box.top), self._x.value, self._y.value


def _look_at_objects(page: pypdfium2.PdfPage, found: Page) -> float:
    """Fill in the ruled lines. Gives back which share of the page its largest picture covers."""
    count = pdfium.FPDFPage_CountObjects(page.raw)
    found.has_ink = count > 0
    if count > _MOST_OBJECTS:
        return 0.0
    area, largest = page.get_width() * page.get_height(), 0.0
    edges = [ctypes.c_float() for _ in range(4)]
    references = [ctypes.byref(edge) for edge in edges]
    for at in range(count):
        item = pdfium.FPDFPage_GetObject(page.raw, at)
        kind = pdfium.FPDFPageObj_GetType(item)
        if kind not in (pdfium.FPDF_PAGEOBJ_PATH, pdfium.FPDF_PAGEOBJ_IMAGE):
            continue
        if not pdfium.FPDFPageObj_GetBounds(item, *references):
            continue
        left, bottom, right, top = (edge.value for edge in edges)
        if kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            largest = max(largest, (right - left) * (top - bottom) / area if area > 0 else 0.0)
        else:
            _add_rules(found, left, bottom, right, top)
    return largest


def _add_rules(found: Page, left: float, bottom: float, right: float, top: float) -> None:
    """What a path's box means: a line, or the four sides of a cell."""
    wide, tall = right - left > _SHORT, top - bottom > _SHORT
    if wide:
        found.across += [(y, left, right) for y in ((bottom, top) if top - bottom > _THIN else (bottom,))]
    if tall:
        found.down += [(x, bottom, top) for x in ((left, right) if right - left > _THIN else (left,))]


def _is_unseen(text_page: object) -> bool:
    """Whether the text is drawn with no ink: told by ten places in it."""
    count = pdfium.FPDFText_CountChars(text_page)
    objects = [pdfium.FPDFText_GetTextObject(text_page, at) for at in range(0, count, max(1, count // 10))]
    modes = [pdfium.FPDFTextObj_GetTextRenderMode(each) for each in objects if each]
    return 2 * modes.count(pdfium.FPDF_TEXTRENDERMODE_INVISIBLE) > len(modes)


def _look_at_annotations(page: pypdfium2.PdfPage, found: Page) -> None:
    """Stamps that are pictures say nothing."""
    for at in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, at)
        try:
            found.stamps += (_said(annotation, key) for key in (b"Contents", b"Name", b"Subj"))
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            if kind == pdfium.FPDF_ANNOT_FREETEXT:
                found.typed.append(_said(annotation, b"Contents"))
            elif kind == pdfium.FPDF_ANNOT_WIDGET and _said(annotation, b"FT") in ("Tx", "Ch"):
                found.typed.append(": ".join(filter(None, (_said(annotation, key) for key in (b"TU", b"V")))))
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _said(annotation: object, key: bytes) -> str:
    """One string of an annotation."""
    size = pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)  # bytes, UTF-16 with a NUL at its end
    held = (pdfium.FPDF_WCHAR * (size // 2))()
    pdfium.FPDFAnnot_GetStringValue(annotation, key, held, size)
    return bytes(held).decode("utf-16-le", "replace").rstrip("\0")
