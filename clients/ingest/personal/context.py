"""A text as the rules look at it: in one width, and with the label that each place stands under.

Documents say what a number is beside it: `電話: …`, `品番 | …`, a column's heading. A label decides both ways: what
stands under 品番 is no telephone number, and what stands under 氏名 is a name though no list has it.
"""

import re
from bisect import bisect_right
from functools import cached_property, lru_cache

_HYPHENS = dict.fromkeys("‐‑‒–—―−－﹣", "-")
_FOLD = str.maketrans({chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | _HYPHENS | {"\u3000": " "})
_LONGEST_ROW = 4_000  # characters; a longer line is no row that a person could read
_NEAR = 20  # characters before a place in which its label ends
_LABEL_ALONE = 14  # characters of a line that may be the label of the next one
_RULE = re.compile(r"[-: |]+")  # Markdown's line under a table's headings


def folded(text: str) -> str:
    """Full-width letters, digits and signs, and all hyphens, as ASCII; as long as `text`: places are the same."""
    return text.translate(_FOLD)


class Context:
    """A folded text and what its places are labelled with."""

    def __init__(self, text: str) -> None:
        self.text = folded(text)
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
        """What `place` stands under in a table: its column's heading, the cell to its left, its row's first cell."""
        start = self.text.rfind("\n", 0, place) + 1
        index = bisect_right(self._starts, start) - 1
        if index < 0 or self._starts[index] != start:
            return ()
        row = self._rows[index]
        column = self.text.count("|", start, place)
        cells = self._split(start)
        heading = self._split(row)[column] if row != start else ""
        beside = (cells[index] for index in (column - 1, 0) if 0 <= index < column)
        return tuple(cell for cell in (heading, *beside) if cell)

    def rows(self) -> list[tuple[int, list[str], list[str]]]:
        """Of every row of a table under a heading: where it starts, its cells with their blanks, the headings."""
        return [
            (start, self._line(start).split("|"), self._split(heading))
            for start, heading in zip(self._starts, self._rows, strict=True)
            if start != heading
        ]

    @cached_property
    def _table(self) -> tuple[list[int], list[int]]:
        starts, headings = [], []
        previous, heading, place = 0, -1, 0
        for line in self.text.split("\n"):
            bars = line.count("|") if len(line) <= _LONGEST_ROW else 0
            if bars:
                heading = heading if bars == previous else place
                if not _RULE.fullmatch(line):
                    starts.append(place)
                    headings.append(heading)
            previous, place = bars, place + len(line) + 1
        return starts, headings

    @property
    def _starts(self) -> list[int]:
        return self._table[0]

    @property
    def _rows(self) -> list[int]:
        return self._table[1]

    def _line(self, start: int) -> str:
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else None]

    def _cells_of(self, start: int) -> list[str]:
        return [cell.strip() for cell in self._line(start).split("|")]
