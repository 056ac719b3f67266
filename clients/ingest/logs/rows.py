"""The rows of a CSV, whatever separates their cells, and what a cell says that is a number."""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from clients.ingest.content import Unusable

MOST_COLUMNS = 4096
_LONGEST_LINE = 2**19  # characters; less than `_START`, so that a file of one line is seen to be that
_MOST_LINES = 50  # of one row; more are taken for a quotation mark that is not closed
_DELIMITERS = ";\t,"  # with decimal commas there are as many commas as semicolons: the first of equals is taken
_LOOKED_AT = 100  # rows that the delimiter is judged by
_START = 2**20  # characters that a file's form is judged by

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d{1,2})?", re.ASCII)
_SIMPLE = (
    r"(?:[kMGmμµunhc]?(?:Pa|VA|var|Wh|Hz|bar|eV|mol|rad|sec|m|g|A|V|W|N|J|L|l|s|Ω|S|F|T|B)(?:abs)?|℃|°C|℉|°F|deg(?:C|F)?|°|K|"
    r"[%％‰](?:RH)?|rpm|r|Nm|Torr|kgf|tf?|min|hr?|day|ppm|ppb|pH|dBA?|G|gal|cP|lx|cnt|回|個|本|枚|台|件|円|分|秒|時間|日|倍)"
)
_POWER = r"(?:[²³23]|\^?-?[1-3]|\([GA]\)|[GA])?"
_UNIT = re.compile(rf"{_SIMPLE}{_POWER}(?:[/·・⋅.*]{_SIMPLE}{_POWER})*|-|－|無次元")
_WITH_UNIT = re.compile(rf"([+-]?[\d.,]+) ?({_SIMPLE}{_POWER}(?:[/·・⋅.*]{_SIMPLE}{_POWER})*)", re.ASCII)


class Row(NamedTuple):
    """A row's cells, without blanks around, and the line of the file that it ends on (from 1)."""

    line: int
    cells: list[str]


def rows(text: str, delimiter: str, quoted: bool = True) -> Iterator[Row]:
    """All rows that are not blank. Lines end with LF, CRLF, or CR alone.

    Raises Unusable for lines and rows beyond all measure, and csv.Error for a quotation mark that is never closed; with
    `quoted` false, such marks are characters like any other.
    """
    csv.field_size_limit(_MOST_LINES * _LONGEST_LINE)  # lines are bounded here, and cells with them
    reader = csv.reader(_lines(text), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    before = 0
    for cells in reader:
        if reader.line_num > before + _MOST_LINES:
            raise csv.Error("a quotation mark is not closed")
        before = reader.line_num
        if len(cells) > MOST_COLUMNS:
            raise Unusable(f"more than {MOST_COLUMNS} columns", f"{MOST_COLUMNS} 列を超えています")
        stripped = [cell.strip() if quoted else cell.strip(' \t\u3000"') for cell in cells]
        if any(stripped):
            yield Row(reader.line_num, stripped)


def beginning(text: str) -> str:
    """As many whole lines as a file's form is judged by."""
    if len(text) <= _START:
        return text
    cut = max(text.rfind(end, 0, _START) for end in "\r\n")
    return text[: cut + 1] if cut > 0 else text[:_START]


def separated(text: str, start: str) -> tuple[str, bool]:
    """(what separates cells, whether quotation marks enclose some). One that is never closed encloses nothing: the
    whole text is looked through."""
    try:
        delimiter = _delimiter(start, quoted=True)
        if '"' in text:
            before, last = 0, 0
            for row in rows(text, delimiter):
                before, last = last, row.line
            if last > before + 1 and text.count('"') % 2:
                raise csv.Error("a quotation mark is not closed")
    except csv.Error:
        return _delimiter(start, quoted=False), False
    return delimiter, True


def _delimiter(start: str, quoted: bool) -> str:
    """The one that makes most rows of one length."""
    firsts = {each: list(islice(rows(start, each, quoted), _LOOKED_AT)) for each in _DELIMITERS}
    return max(_DELIMITERS, key=lambda each: columns_of([row.cells for row in firsts[each]])[1])


def columns_of(cells: Sequence[Sequence[str]]) -> tuple[int, int]:
    """(how many columns most of the rows with several have, how many rows those are)."""
    counts = Counter(len(row) for row in cells if len(row) > 1)
    return max(counts.items(), key=lambda item: item[1], default=(1, 0))


def number(cell: str, decimal_comma: bool) -> float | None:
    """1200, -0.5, 1,234.5, １２.５, 182.4℃; with `decimal_comma` 182,4. None for what is none."""
    text = cell
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.replace("−", "-"))
    if decimal_comma and _DECIMAL_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    if _NUMBER.fullmatch(text):
        return float(text)
    if _THOUSANDS.fullmatch(text):
        return float(text.replace(",", ""))
    found = _WITH_UNIT.fullmatch(text)
    return number(found[1], decimal_comma) if found else None


def is_unit(cell: str) -> bool:
    """℃, MPa, m3/h, min-1, [%] …; `-` for a quantity that has none."""
    return bool(_UNIT.fullmatch(cell.strip("[]［］()（） ")))


def unit_in(cell: str) -> str:
    """The unit that stands behind a number; empty if there is none."""
    found = _WITH_UNIT.fullmatch(unicodedata.normalize("NFKC", cell).replace("°C", "℃"))
    return found[2] if found else ""


def _lines(text: str) -> Iterator[str]:
    for line in io.StringIO(text, newline=""):
        if len(line) > _LONGEST_LINE:
            raise Unusable(
                f"a line of more than {_LONGEST_LINE} characters", f"{_LONGEST_LINE} 文字を超える行があります"
            )
        yield line
