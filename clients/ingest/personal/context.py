"""A text as the rules look at it: in one width, and with the label that each place stands under.

Documents say what a number is beside it: `電話: …`, `品番 | …`, a column's heading. A label decides both ways: what
stands under 品番 is no telephone number, and what stands under 氏名 is a name though no list has it.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import NamedTuple

_HYPHENS = dict.fromkeys("‐‑‒–—―−－﹣", "-")
_FOLD = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | _HYPHENS | {"\u3000": " ", "\t": "|"}
)
_LABELS = (
    "担当者 担当 作業者 作業員 作成者 作成 承認者 承認 確認者 確認 点検者 点検 検査者 検査員 "
    "記入者 記録者 報告者 責任者 管理者 氏名 姓名 宛先 連絡先 "
    "内線 電話 携帯 住所 社員番号 マイナンバー 個人番号 暗証番号 品番 型番 図番"
)
_SPREAD_LABEL = re.compile("(?:" + "|".join(" {1,3}".join(label) for label in _LABELS.split()) + ") {0,4}:? {0,4}")
_BEFORE_LABEL = " \n|:、。;([【"
_LONGEST_ROW = 4_000  # characters; a longer line is no row that a person could read
_NEAR = 20  # characters before a place in which its label ends
_LABEL_ALONE = 14  # characters of a line that may be the label of the next one
_RULE = re.compile(r"[-: |]+")  # Markdown's line under a table's headings


_PAIR = re.compile(r"[^:。\n]{1,20}: [^:。\n]{1,30}")


class _Row(NamedTuple):
    """Where it starts, the row that is its heading (itself, if it is one), and its table's first row."""

    start: int
    heading: int
    first: int


def folded(text: str) -> str:
    """Full-width letters, digits and signs, and all hyphens, as ASCII, tabs as a table's bars; as long as `text`, so
    places are the same."""
    return text.translate(_FOLD)


def _set_together(label: re.Match[str]) -> str:
    """担 当 者 : as 担当者: with the blanks before it, so that what follows is where it was."""
    if label.start() and label.string[label.start() - 1] not in _BEFORE_LABEL:
        return label[0]
    said = label[0].rstrip()
    after = " " if len(said) < len(label[0]) and not said.endswith(":") else ""
    return (said.replace(" ", "") + after).rjust(len(label[0]))


class Context:
    """A folded text and what its places are labelled with."""

    def __init__(self, text: str) -> None:
        self.text = _SPREAD_LABEL.sub(_set_together, folded(text))
        self._split = lru_cache(maxsize=8)(self._cells_of)

    def before(self, place: int) -> str:
        """What stands right before `place` in its cell or clause, up to 20 characters; where that is nothing, a short
        line above."""
        near = self.text[max(0, place - _NEAR) : place]
        line = near.rpartition("\n")[2]
        clause = re.split(r"[|、。;]", line)[-1].strip()
        if clause or line.strip() or "\n" not in near:
            return clause
        above = near.rpartition("\n")[0].rpartition("\n")
        whole = above[1] or place - _NEAR <= 0
        return above[2].strip() if whole and len(above[2]) <= _LABEL_ALONE else ""

    def labels(self, place: int) -> tuple[str, ...]:
        """What `place` stands under in a table: its column's headings, the cell to its left, its row's first cell."""
        start = self.text.rfind("\n", 0, place) + 1
        index = bisect_right(self._rows, start, key=_start) - 1
        if index < 0 or self._rows[index].start != start:
            return ()
        row = self._rows[index]
        cells = self._split(start)
        column = min(self.text.count(_separator(self._line(start)), start, place), len(cells) - 1)
        headings = self._headings(row)[column]
        beside = (cells[index] for index in (column - 1, 0) if 0 <= index < column)
        return tuple(cell for cell in (*headings, *beside) if cell)

    def rows(self) -> Iterator[tuple[int, list[str], list[tuple[str, ...]]]]:
        """Of every row of a table under a heading: where it starts, its cells with their blanks, of each the headings
        that it may stand under: one, but where cells are merged or were empty."""
        for row in self._rows:
            if any(headings := self._headings(row)):
                line = self._line(row.start)
                yield row.start, line.split(_separator(line)), headings

    def _headings(self, row: _Row) -> list[tuple[str, ...]]:
        cells = len(self._split(row.start))
        under = self._split(row.heading) if row.heading != row.start else [""] * cells
        found: list[tuple[str, ...]] = [(heading,) if heading else () for heading in under]
        first = self._split(row.first) if row.first != row.start else []
        if not first or len(first) == cells:
            return found
        # A cell more or less than in the table's first row, and which one is not known.
        more = cells - len(first)
        return [
            (*own, *(each for each in first[max(0, at - max(0, more)) : at + 1 + max(0, -more)] if each not in own))
            for at, own in enumerate(found)
        ]

    @cached_property
    def _rows(self) -> list[_Row]:
        rows = list[_Row]()
        heading = first = place = 0
        cells = interrupted = 0
        for line in self.text.split("\n"):
            count = _cells_in(line, within=cells > 0)
            if not count and cells and not interrupted and 0 < len(line.strip()) <= _LABEL_ALONE:
                interrupted = 1  # one cell over all columns
            elif not count:
                cells = interrupted = 0
            else:
                if not cells:
                    first = heading = place
                elif count != cells:
                    heading = place
                if not _RULE.fullmatch(line):
                    rows.append(_Row(place, heading, first))
                cells, interrupted = count, 0
            place += len(line) + 1
        return rows

    def _line(self, start: int) -> str:
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else None]

    def _cells_of(self, start: int) -> list[str]:
        line = self._line(start)
        return [cell.strip() for cell in line.split(_separator(line))]


def _cells_in(line: str, within: bool) -> int:
    """How many a row has; 0 for a line that is none. `within`: the line before is one; then a row of two cells may be
    told as a label and its value."""
    if len(line) > _LONGEST_ROW:
        return 0
    bars = line.count("|")
    return bars + 1 if bars else 2 if within and _PAIR.fullmatch(line) else 0


def _separator(line: str) -> str:
    return "|" if "|" in line else ":"


def _start(row: _Row) -> int:
    return row.start
