"""What a cell of a workbook shows: numbers, dates and percentages as people read them."""

import datetime
import re
from collections.abc import Sequence
from decimal import Decimal
from xml.etree.ElementTree import Element  # the parser is package's

# Formats that have numbers and no code in the file: dates and times, those of Japanese workbooks included (27 to 36 and
# 50 to 58), and percentages. ECMA-376 part 1, 18.8.30.
_DATES = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}
_PERCENT = (9, 10)
_HOURS = 46  # more than 24 of them, too
_NO_CODE = re.compile(
    r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE
)  # literals, colours, conditions
_DATE_LETTERS = re.compile(r"[ymdhsge]", re.IGNORECASE)
_LAST_DAY = 2_958_466  # 10000-01-01, as days since the epoch


class Formats:
    """By the number of a cell's style: whether it is filled or bold, as labels are, and how its number is shown."""

    def __init__(self, styles: Element | None, since_1904: bool) -> None:
        self._epoch = datetime.datetime(1904, 1, 1) if since_1904 else datetime.datetime(1899, 12, 30)
        self._numbers, self._stands_out = list[int](), list[bool]()
        self._codes: dict[int, str] = {}
        if styles is None:
            return
        self._codes = {_integer(each, "numFmtId"): each.get("formatCode", "") for each in styles.iter("numFmt")}
        filled = [
            any(p.get("patternType") not in (None, "none") for p in fill.iter("patternFill"))
            for fill in _all(styles, "fills")
        ]
        bold = [any(b.get("val") not in ("0", "false") for b in font.iter("b")) for font in _all(styles, "fonts")]
        for each in _all(styles, "cellXfs"):
            self._numbers.append(_integer(each, "numFmtId"))
            self._stands_out.append(_at(filled, _integer(each, "fillId")) or _at(bold, _integer(each, "fontId")))

    def stands_out(self, style: int) -> bool:
        return _at(self._stands_out, style)

    def shown(self, number: str, style: int) -> str:
        """A cell's number. What is none stays as it is written."""
        try:
            value = float(number)
        except ValueError:
            return number
        kind = self._numbers[style] if 0 <= style < len(self._numbers) else 0
        code = _NO_CODE.sub("", self._codes.get(kind, "").partition(";")[0])
        if kind == _HOURS or "[h" in code.lower():
            minutes = round(value * 1440)
            return f"{minutes // 60}:{minutes % 60:02}"
        if (kind in _DATES or (kind in self._codes and _DATE_LETTERS.search(code))) and 0 <= value < _LAST_DAY:
            return self._date(value)
        if kind in _PERCENT or "%" in code:
            return f"{_plain(100 * value)}%"
        return _plain(value)

    def _date(self, days: float) -> str:
        moment = self._epoch + datetime.timedelta(seconds=round(days * 86_400))
        clock = f"{moment:%H:%M}" + (f":{moment:%S}" if moment.second else "")
        if days < 1:
            return clock
        return f"{moment:%Y-%m-%d}" + (f" {clock}" if days % 1 else "")


def _plain(value: float) -> str:
    """With the 15 digits that a workbook keeps, and never in powers of ten."""
    text = format(Decimal(f"{value:.15g}"), "f")
    return "0" if text == "-0" else text


def shared_strings(root: Element | None) -> list[str]:
    """The texts that cells refer to by number."""
    return [] if root is None else [text_of(each) for each in root if each.tag == "si"]


def text_of(item: Element) -> str:
    """Its runs without their furigana, on one line."""
    runs = [each for each in item if each.tag in ("t", "r")]
    return " ".join("".join(t.text or "" for run in runs for t in run.iter("t")).split())


def _all(styles: Element, name: str) -> Sequence[Element]:
    found = styles.find(name)
    return [] if found is None else list(found)


def _integer(element: Element, name: str) -> int:
    return int(element.get(name, "0"))


def _at(flags: Sequence[bool], index: int) -> bool:
    return 0 <= index < len(flags) and flags[index]
