"""PDF -> its text, with the lines that a page wraps joined to paragraphs again.

pdfium reads; when what it finds is no text (fonts that it cannot map), pdfminer.six tries. A page that is only a
picture has no text, and there is no character recognition here: a document of nothing else is set aside as a scan.
"""

import io
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pypdfium2
import pypdfium2.raw as pdfium
from pdfminer.high_level import extract_text
from pdfminer.layout import LAParams

from clients.ingest.content import Content, Facts, Unusable

# It tells on stderr what it stumbles over, with pieces of the file; the file's reason to be set aside is enough.
logging.getLogger("pdfminer").setLevel(logging.CRITICAL)

MOST_PAGES = 5_000
_EDGE = 2  # lines at a page's top and foot in which a mark counts wherever it stands
_GARBLED_SHARE = 0.05  # of a text's characters: replacement, private-use and control characters

_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:p\.?\s*)?\d{1,4}(?:\s*[/／]\s*\d{1,4})?(?:\s*(?:頁|ページ))?[-–—\s]*", re.IGNORECASE
)
_ITEM = re.compile(r"[・●○■□◆◇▼▲►•‣※]|[-–]\s|\(?\d{1,2}[.)）]\s|[①-⑳]")
# What a line is not broken in: a Latin word, or a Japanese character with those that must not begin or end a line.
_WORD = re.compile(
    r"[「『（【〔〈《]*(?:[!-~]+|.)[、。，．・：；？！ー）」』】〕〉》々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ]*",
    re.DOTALL,
)


@dataclass(frozen=True)
class Line:
    """A line on a page, in points; `y` is its baseline, counted upwards. `unit`: the width of its first word."""

    text: str
    page: int
    left: float
    right: float
    y: float
    size: float
    unit: float


def read(data: bytes) -> Content:
    """Raises Unusable for an encrypted file, one without a text layer, and one whose text cannot be decoded."""
    lines, stamps = _lines(data)
    text = _paragraphs(_without_running_heads(lines)) if lines else ""
    if not text.strip() or _is_garbled(text):
        text = _second_opinion(data) or text
    if not text.strip():
        raise Unusable("no text in it (a scan?)", "文字情報がありません（スキャン画像？）")
    if _is_garbled(text):
        raise Unusable(
            "its fonts do not say which characters they show", "フォントに文字の対応表がなく、読み取れません"
        )
    return Content(text, Facts("pdf"), around="\n".join([*stamps, *(line.text for line in _edge_lines(lines))]))


def _lines(data: bytes) -> tuple[list[Line], list[str]]:
    """All lines, and what is stamped on the pages."""
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise Unusable(
                "encrypted: it opens only with a password", "暗号化されています（パスワードが必要）"
            ) from error
        raise Unusable(f"not a readable PDF ({error})", f"読み取れない PDF です（{error}）") from error
    try:
        if len(document) > MOST_PAGES:
            raise Unusable(f"more than {MOST_PAGES} pages", f"{MOST_PAGES} ページを超えています")
        lines, stamps = list[Line](), list[str]()
        for number in range(len(document)):
            page = document[number]
            try:
                lines += _lines_of_page(page, number)
                stamps += _stamps(page)
            finally:
                page.close()
        return lines, stamps
    finally:
        document.close()


def _stamps(page: pypdfium2.PdfPage) -> Iterator[str]:
    """What stamps and other annotations on a page say of themselves; a stamp that is a picture says nothing."""
    for at in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, at)
        try:
            yield from (_said(annotation, key) for key in (b"Contents", b"Name", b"Subj"))
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _said(annotation: object, key: bytes) -> str:
    """One string of an annotation."""
    size = pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)  # bytes, UTF-16 with a NUL at its end
    held = (pdfium.FPDF_WCHAR * (size // 2))()
    pdfium.FPDFAnnot_GetStringValue(annotation, key, held, size)
    return bytes(held).decode("utf-16-le", "replace").rstrip("\0")


def _lines_of_page(page: pypdfium2.PdfPage, number: int) -> Iterator[Line]:
    text_page = page.get_textpage()
    try:
        count = pdfium.FPDFText_CountChars(text_page.raw)
        codes = [pdfium.FPDFText_GetUnicode(text_page.raw, at) for at in range(max(0, count))]
        characters = [chr(code) if 0 < code < 0x110000 else "\ufffd" for code in codes]
        start = 0
        for end in [at for at, character in enumerate(characters) if character == "\n"] + [len(characters)]:
            line = _line(text_page, number, characters, start, end)
            if line:
                yield line
            start = end + 1
    finally:
        text_page.close()


def _line(text_page: pypdfium2.PdfTextPage, page: int, characters: Sequence[str], start: int, end: int) -> Line | None:
    """The characters from `start` to `end` as a line; None for a blank one."""
    inked = [at for at in range(start, end) if not characters[at].isspace()]
    if not inked:
        return None
    raw = "".join(characters[inked[0] : end]).rstrip("\r\n")
    text = raw.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    word = _WORD.match(raw)
    first, last = inked[0], inked[-1]
    boxes = [
        text_page.get_charbox(at, loose=True)
        for at in (first, min(first + (word.end() if word else 1) - 1, last), last)
    ]
    size = pdfium.FPDFText_GetFontSize(text_page.raw, first)
    (left, y, _, top), (_, _, unit_end, _), (_, _, right, _) = boxes
    # A matrix may scale the font: then its size says 1, and only the box tells how tall it is.
    return Line(text, page, left, right, y, size if size > 1 else top - y, unit_end - left)


def _edge_lines(lines: list[Line]) -> Iterator[Line]:
    """The highest and the lowest few lines of each page: heads, feet and what is printed there."""
    for page in _by_page(lines).values():
        by_height = sorted(page, key=lambda line: line.y)
        yield from by_height[:_EDGE] + by_height[-_EDGE:]


def _by_page(lines: list[Line]) -> dict[int, list[Line]]:
    pages: dict[int, list[Line]] = {}
    for line in lines:
        pages.setdefault(line.page, []).append(line)
    return pages


def _without_running_heads(lines: list[Line]) -> list[Line]:
    """Without what stands first or last on most pages but for its number, and without page numbers."""
    by_page = _by_page(lines)
    edges = [line for page in by_page.values() for line in _edges(page)]
    pages_with = Counter(key for key, _ in {(_key(line), line.page) for line in edges})
    most = max(2, len(by_page) / 2)
    dropped = {line for line in edges if pages_with[_key(line)] >= most or _PAGE_NUMBER.fullmatch(line.text)}
    return [line for line in lines if line not in dropped]


def _edges(page: list[Line]) -> tuple[Line, Line]:
    return max(page, key=lambda line: line.y), min(page, key=lambda line: line.y)


def _key(line: Line) -> tuple[str, int]:
    return re.sub(r"\d+", "#", line.text.strip()), round(line.y)


def _paragraphs(lines: list[Line]) -> str:
    """Lines joined where the page wrapped them; an empty line before what is set larger than the text."""
    if not lines:
        return ""
    sizes = Counter[float]()
    for line in lines:
        sizes[round(line.size, 1)] += len(line.text)
    body = sizes.most_common(1)[0][0]
    margins = _margins(lines)
    leading = _leading(lines, margins)
    parts = [lines[0].text]
    for above, line in pairwise(lines):
        if _continues(above, line, margins[_column(above)], leading):
            parts.append(_glued(parts.pop(), line.text))
        else:
            parts.append(("\n" if line.size > 1.1 * body else "") + line.text)
    return "".join(part.rstrip() + "\n" for part in parts)


def _margins(lines: list[Line]) -> dict[int, float]:
    """How far right lines reach that begin at about the same place (a column): where several end, not where one does.

    A line of a listing may run over the margin; that must not make all others look short.
    """
    columns: dict[int, list[Line]] = {}
    for line in lines:
        columns.setdefault(_column(line), []).append(line)
    margins = {}
    for column, members in columns.items():
        ends = sorted((line.right for line in members), reverse=True)
        several = max(1, len(ends) // 50)
        near = [end for at, end in enumerate(ends) if at + several < len(ends) and end - ends[at + several] < 12]
        margins[column] = (near or ends)[0]
    return margins


def _column(line: Line) -> int:
    return round(line.left / 20)


def _leading(lines: list[Line], margins: dict[int, float]) -> float:
    """The usual distance of two lines in a paragraph, in sizes of their type: what follows a full line tells it."""
    pairs = [(a, b) for a, b in pairwise(lines) if _alike(a, b) and a.y - b.y > 0.8 * a.size]
    full = [pair for pair in pairs if pair[0].right + pair[1].unit > margins[_column(pair[0])]]
    distances = sorted((a.y - b.y) / a.size for a, b in full or pairs)
    return distances[len(distances) // 4] if distances else 0.0


def _alike(above: Line, line: Line) -> bool:
    return above.page == line.page and abs(above.size - line.size) < 0.05 * above.size


def _continues(above: Line, line: Line, margin: float, leading: float) -> bool:
    """Whether `line` belongs to the paragraph of `above`: nothing of it had room there, and nothing sets it off."""
    if abs(above.size - line.size) >= 0.05 * above.size or _ITEM.match(line.text):
        return False
    hanging = _ITEM.match(above.text) is not None
    if line.left > above.left + 0.7 * above.size and not hanging:
        return False
    if above.right + line.unit < margin - 0.6 * above.size:
        return False
    if above.page != line.page:
        return not above.text.rstrip().endswith(("。", "！", "？", ".", ":", "："))
    return 0.0 < above.y - line.y < 1.15 * leading * above.size


def _glued(above: str, below: str) -> str:
    """Two parts of a paragraph: a blank between Latin words, none within Japanese, and a split word made whole."""
    if above.endswith(("\x02", "\ufffe", "\xad")):  # pdfium's and Unicode's signs of a hyphen at a line's end
        return above[:-1] + below
    if above[-1] in " \u3000" or not (above[-1].isascii() and below[0].isascii()):
        return above + below
    return f"{above} {below}"


def _is_garbled(text: str) -> bool:
    inked = [character for character in text if not character.isspace()]
    bad = sum(
        character in "\ufffd\ufffe\uffff" or unicodedata.category(character) in ("Cc", "Co", "Cn")
        for character in inked
    )
    return bad + 7 * text.count("(cid:") > _GARBLED_SHARE * len(inked)


def _second_opinion(data: bytes) -> str:
    """pdfminer's text, long lines joined to what follows them; empty if it gives up. It finds vertical text too."""
    try:
        text = extract_text(io.BytesIO(data), maxpages=MOST_PAGES, laparams=LAParams(detect_vertical=True))
    except Exception:  # pdfminer raises whatever a damaged file leads it into; then it has no opinion
        return ""
    lines = [line.strip("\n\f") for line in text.splitlines() if line.strip()]
    widest = max(map(_width, lines), default=0)
    parts = lines[:1]
    for above, line in pairwise(lines):
        # There are no places to go by here. Latin letters are narrower than half a character, hence the share.
        if _width(above) > 0.85 * widest and not above.rstrip().endswith(("。", ":", "：")) and not _ITEM.match(line):
            parts.append(_glued(parts.pop(), line))
        else:
            parts.append(line)
    return "".join(part.rstrip() + "\n" for part in parts)


def _width(line: str) -> int:
    """In half-width characters."""
    return sum(1 if character.isascii() else 2 for character in line)
