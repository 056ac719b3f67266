"""XLSX -> its text: sheet after sheet under its name, rows in order, each filled cell once.

Not with openpyxl: its fast mode knows neither merged cells nor text boxes, its other one needs fifty times the file in
memory, and neither refuses a document type by itself.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from xml.etree.ElementTree import Element  # the parser is package's

from clients.ingest.cells import Formats, shared_strings, text_of
from clients.ingest.content import Content, Facts, LeftOut, Unusable
from clients.ingest.layout import Cell, told
from clients.ingest.package import Package, drawn, without

_MAIN = "xl/workbook.xml"
_PLACE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
_TRUE = ("1", "true")
_AROUND = re.compile(r"xl/(?:\w+/)?(?:threaded)?comments?\w*\.xml|xl/drawings/vmlDrawing\d*\.vml", re.IGNORECASE)
_FORMATTING = re.compile(r'&(?:"[^"]*"|[0-9]+|K(?:[0-9A-F]{6}|[0-9]{2}[+-][0-9]{3})|.)')
_WORDS = {  # what is counted, in both languages
    "hidden": ("hidden sheets", "非表示シート"),
    "uncomputed": ("formulas without a stored value", "計算結果が保存されていない数式"),
    "comments": ("cell comments", "セルのコメント"),
    "pictures": ("pictures", "画像"),
    "charts": ("charts and chart sheets", "グラフ"),
}


def read(data: bytes) -> Content:
    """Raises Unusable as `office.read`, and for a workbook with nothing but hidden sheets or uncomputed formulas."""
    package = Package(data, _MAIN, Unusable("not an Excel workbook", "Excel ブックではありません"))
    workbook = _Workbook(package)
    text = "".join(workbook.lines()).lstrip("\n")
    left_out = tuple(LeftOut(count, *_WORDS[what]) for what, count in workbook.left_out.items() if count)
    if not text.strip() and left_out:
        english, japanese = (", ".join(each.text(language) for each in left_out) for language in ("en", "ja"))
        raise Unusable(f"nothing but {english}", f"{japanese} のほかに内容がありません")
    around = "\n".join([*workbook.around, package.around(_AROUND)])
    return Content(text, Facts("xlsx"), left_out, around)


class _Workbook:
    """`left_out` counts, and `around` is gathered (headers and footers), while `lines` are taken."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._book = package.tree(_MAIN)
        self._parts = package.related(_MAIN)
        since_1904 = any(each.get("date1904") in _TRUE for each in self._book.iter("workbookPr"))
        self._formats = Formats(self._only("styles"), since_1904)
        self._strings = shared_strings(self._only("sharedStrings"))
        self.left_out = Counter[str]()
        self.around = list[str]()

    def lines(self) -> Iterator[str]:
        for sheet in self._book.iter("sheet"):
            part = self._parts[sheet.get("r:id", "")]
            if sheet.get("state", "visible") != "visible":
                self.left_out["hidden"] += 1
            elif "/chartsheets/" in part:
                self.left_out["charts"] += 1
            else:
                lines = [*self._of_sheet(part), *self._drawn_on(part)]
                if lines:
                    yield f"\n{' '.join(sheet.get('name', '').split())}\n"
                    yield from lines

    def _of_sheet(self, part: str) -> list[str]:
        root = self._package.tree(part)
        # &C社外秘&R&"ＭＳ ゴシック"&10: places, fonts and sizes among the words.
        self.around += (_FORMATTING.sub("\n", each.text or "") for head in root.iter("headerFooter") for each in head)
        rows = [cells for cells in map(self._cells, root.iter("row")) if cells]
        covered = _covered(root, [cells[0].row for cells in rows])
        return told([[cell for cell in cells if not _is_covered(cell, covered)] for cells in rows])

    def _cells(self, row: Element) -> list[Cell]:
        """A row's filled cells, from left to right."""
        found = []
        for cell in row:
            place = _PLACE.fullmatch(cell.get("r", ""))
            if place is None:
                raise ValueError("a cell without a place")
            style = int(cell.get("s", "0"))
            text, is_text = self._value(cell, style)
            if text:
                found.append(Cell(int(place[2]), _column(place[1]), text, is_text, self._formats.stands_out(style)))
        return sorted(found, key=lambda cell: cell.column)

    def _value(self, cell: Element, style: int) -> tuple[str, bool]:
        """What it shows, and whether that is a text."""
        kind, value = cell.get("t", "n"), cell.findtext("v")
        if kind == "inlineStr":
            return " ".join(text_of(item) for item in cell.iter("is")), True
        if value is None:
            self.left_out["uncomputed"] += cell.find("f") is not None
            return "", False
        if kind == "s":
            return self._strings[int(value)], True
        if kind == "n":
            return self._formats.shown(value, style), False
        if kind == "b":
            return ("TRUE" if value in _TRUE else "FALSE"), False
        return " ".join(value.split()), kind == "str"

    def _drawn_on(self, part: str) -> list[str]:
        """The sheet's text boxes."""
        found = []
        for name in self._package.related(part, "drawing").values():
            root = self._package.tree(name)
            tags = Counter(element.tag for element in without(root, "Fallback"))
            self.left_out["pictures"] += tags["pic"]
            self.left_out["charts"] += tags["chart"]
            found += [f"{text}\n" for each in (root, *self._package.diagrams(name)) for text in drawn(each)]
        for name in self._package.related(part, "comments").values():
            self.left_out["comments"] += sum(1 for _ in self._package.tree(name).iter("comment"))
        return found

    def _only(self, kind: str) -> Element | None:
        parts = self._package.related(_MAIN, kind)
        return self._package.tree(next(iter(parts.values()))) if parts else None


def _covered(root: Element, rows: list[int]) -> dict[int, list[tuple[int, int]]]:
    """By row, the columns (first, last) that a merged cell covers; its own corner is not among them."""
    covered: dict[int, list[tuple[int, int]]] = {}
    for merged in root.iter("mergeCell"):
        first, last = (_PLACE.fullmatch(end) for end in merged.get("ref", "").split(":"))
        if first is None or last is None:
            raise ValueError("merged cells without a place")
        top, bottom, left, right = int(first[2]), int(last[2]), _column(first[1]), _column(last[1])
        for row in rows[bisect_left(rows, top) : bisect_right(rows, bottom)]:
            covered.setdefault(row, []).append((left + (row == top), right))
    return covered


def _is_covered(cell: Cell, covered: dict[int, list[tuple[int, int]]]) -> bool:
    return any(left <= cell.column <= right for left, right in covered.get(cell.row, ()))


def _column(letters: str) -> int:
    """A is 1."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number
