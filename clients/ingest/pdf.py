"""PDF -> its text, with the lines that a page wraps joined to paragraphs again.

pdfium reads; when what it finds is no text (fonts that it cannot map), pdfminer.six tries. A page that is only a
picture has no text, and there is no character recognition here: a document of nothing else is set aside as a scan.
"""

import io
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
from pdfminer.pdfexceptions import PDFException

from clients.ingest.content import Content, Facts, Unusable

MOST_PAGES = 5_000
_GARBLED_SHARE = 0.05  # of a text's characters: replacement, private-use and control characters

_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:p\.?\s*)?\d{1,4}(?:\s*[/／]\s*\d{1,4})?(?:\s*(?:頁|ページ))?[-–—\s]*", re.IGNORECASE
)
_ITEM = re.compile(r"[・●○■□◆◇▼▲►•‣※]|[-–]\s|\(?\d{1,2}[.)）]\s|[①-⑳]")
_WORD_END = re.compile(r"[!-~]+")


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
    lines = _lines(data)
    text = _paragraphs(_without_running_heads(lines)) if lines else ""
    if not text.strip() or _is_garbled(text):
        text = _second_opinion(data) or text
    if not text.strip():
        raise Unusable("no text in it (a scan?)", "文字情報がありません（スキャン画像？）")
    if _is_garbled(text):
        raise Unusable(
            "its fonts do not say which characters they show", "フォントに文字の対応表がなく、読み取れません"
        )
    return Content(text, Facts("pdf"))


def _lines(data: bytes) -> list[Line]:
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
        return [line for number in range(len(document)) for line in _lines_of_page(document, number)]
    finally:
        document.close()


def _lines_of_page(document: pypdfium2.PdfDocument, number: int) -> Iterator[Line]:
    page = document[number]
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
        page.close()


def _line(text_page: pypdfium2.PdfTextPage, page: int, characters: Sequence[str], start: int, end: int) -> Line | None:
    """The characters from `start` to `end` as a line; None for a blank one."""
    inked = [at for at in range(start, end) if not characters[at].isspace()]
    if not inked:
        return None
    raw = "".join(characters[inked[0] : end]).rstrip("\r\n")
    text = raw.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    word = _WORD_END.match(raw)
    first, last = inked[0], inked[-1]
    boxes = [
        text_page.get_charbox(at, loose=True)
        for at in (first, min(first + (word.end() if word else 1) - 1, last), last)
    ]
    size = pdfium.FPDFText_GetFontSize(text_page.raw, first)
    (left, y, _, top), (_, _, unit_end, _), (_, _, right, _) = boxes
    # A matrix may scale the font: then its size says 1, and only the box tells how tall it is.
    return Line(text, page, left, right, y, size if size > 1 else top - y, unit_end - left)


def _without_running_heads(lines: list[Line]) -> list[Line]:
    """Without what stands first or last on most pages but for its number, and without page numbers."""
    by_page: dict[int, list[Line]] = {}
    for line in lines:
        by_page.setdefault(line.page, []).append(line)
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
    margins, leading = _margins(lines), _leading(lines)
    parts = [lines[0].text]
    for above, line in pairwise(lines):
        if _continues(above, line, margins[above.page, round(above.left / 20)], leading):
            parts.append(_glued(parts.pop(), line.text))
        else:
            parts.append(("\n" if line.size > 1.1 * body else "") + line.text)
    return "".join(part.rstrip() + "\n" for part in parts)


def _margins(lines: list[Line]) -> dict[tuple[int, int], float]:
    """How far right lines reach that begin at about the same place: a column's width."""
    margins: dict[tuple[int, int], float] = {}
    for line in lines:
        key = line.page, round(line.left / 20)
        margins[key] = max(margins.get(key, 0.0), line.right)
    # A page may have one short line only (its last); the other pages then say how wide the column is.
    widest: dict[int, float] = {}
    for (_, column), right in margins.items():
        widest[column] = max(widest.get(column, 0.0), right)
    return {key: widest[key[1]] for key in margins}


def _leading(lines: list[Line]) -> float:
    """The usual distance of two lines in a paragraph, in sizes of their type: the shortest tenth's longest."""
    distances = sorted((a.y - b.y) / a.size for a, b in pairwise(lines) if _alike(a, b) and a.y - b.y > 0.8 * a.size)
    return distances[len(distances) // 10] if distances else 0.0


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
    """pdfminer's text, a box of lines as a paragraph; empty if it gives up. It finds vertical text too."""
    try:
        boxes = extract_text(io.BytesIO(data), maxpages=MOST_PAGES, laparams=LAParams(detect_vertical=True))
    except PDFException:
        return ""
    paragraphs = []
    for box in boxes.replace("\f", "\n\n").split("\n\n"):
        lines = [line for line in box.split("\n") if line.strip()]
        widest = max(map(len, lines), default=0)
        whole = ""
        for above, line in pairwise(["", *lines]):
            joins = whole and len(above) >= widest - 2
            whole = _glued(whole, line) if joins else f"{whole}\n{line}".lstrip("\n")
        paragraphs.append(whole)
    return "".join(paragraph + "\n" for paragraph in paragraphs if paragraph)
