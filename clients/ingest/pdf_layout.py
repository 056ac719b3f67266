"""Pieces of text on a page -> its lines in the order in which they are read.

Each way of reading (across, downwards, on its side) is laid out by itself, turned so that lines run to the right and
follow each other downwards. Pieces at one height are a row. Gaps that stand above each other in several rows are
gutters: between columns of prose, which are read one after the other, or between the cells of a table, which is read
row by row. Everything is done in one pass over sorted pieces: a page may have a hundred thousand.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from clients.ingest.pdf_columns import Placed, are_columns, bands
from clients.ingest.pdf_page import Page, Piece
from clients.ingest.pdf_rows import Row, Rules, Segment, rows
from clients.ingest.pdf_tables import told

DOWN = 3  # the turn of vertical Japanese, and of text on its right side: both are read downwards, then to the left
_MOST_GUTTERS = 40  # of one region; more are no table
_DEEPEST = 3  # columns within columns
# What numbers a list, and is no cell of its own.
_LABEL = re.compile(
    r"[・●○■□◆◇▼▲►•‣※*–-]|[(（]?[\dA-Za-z一二三四五六七八九十]{1,3}[)）.．、:：]?|[①-⑳]|第?[\d.]{1,8}[章節項条.]?|.{1,3}[:：]"
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is read, in points; `y` is its base, counted upwards. `unit`: the width of its first word.
    `flow`: lines of one flow follow each other down the page; a new column is a new flow. `is_row`: of a table.
    `height`: of its base, on the page as it is shown."""

    text: str
    page: int
    left: float
    right: float
    y: float
    size: float
    unit: float
    flow: int = 0
    is_row: bool = False
    height: float = 0.0


Gutters = list[tuple[float, float]]


def lines(page: Page) -> list[Line]:
    """The page's lines: those that are read as most of it is, what stands above them before, and the rest after."""
    turned: dict[int, list[Piece]] = {}
    for piece in _with_vertical(page.pieces):
        turned.setdefault(piece.turn, []).append(piece)
    weight = {turn: sum(len(piece.text) for piece in pieces) for turn, pieces in turned.items()}
    found = list[Line]()
    for turn in sorted(turned, key=weight.__getitem__, reverse=True):
        laid_out = _Frame(page, turn).lines(turned[turn])
        top = max((line.height for line in found), default=0.0)
        above = [line for line in laid_out if found and line.height > top]
        found = above + found + [line for line in laid_out if not found or line.height <= top]
    return found


def _with_vertical(pieces: list[Piece]) -> list[Piece]:
    """Characters that stand under each other, one by one, are read downwards; so are numbers set across among them."""
    if not any(len(piece.text) == 1 and piece.turn == 0 for piece in pieces):
        return pieces
    found, run = list[Piece](), list[Piece]()
    for piece in [*pieces, None]:
        if run and (piece is None or not _stands_under(run[-1], piece)):
            is_vertical = len(run) > 2 and sum(len(each.text) for each in run) < 1.5 * len(run)
            found += [replace(each, turn=DOWN) for each in run] if is_vertical else run
            run = []
        if piece is not None:
            run.append(piece)
    return found


def _stands_under(above: Piece, piece: Piece) -> bool:
    if max(len(above.text), len(piece.text)) > 3 or above.turn or piece.turn or piece.before is not None:
        return False
    size = max(above.size, piece.size)
    is_below = 0.75 * size < above.origin[1] - piece.origin[1] < 1.2 * size
    return is_below and abs((above.left + above.right) - (piece.left + piece.right)) < 0.5 * size


def _upright(piece: Piece, turn: int) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of a piece after its page was turned so that it is read to the right."""
    return {
        0: (piece.left, piece.right, piece.bottom, piece.top),
        1: (piece.bottom, piece.top, -piece.right, -piece.left),
        2: (-piece.right, -piece.left, -piece.top, -piece.bottom),
        3: (-piece.top, -piece.bottom, piece.left, piece.right),
    }[turn]


class _Frame:
    """What is read in one direction on a page."""

    def __init__(self, page: Page, turn: int) -> None:
        self._page, self._turn = page, turn
        self._flow = 0
        across, down = (page.across, page.down) if turn % 2 == 0 else (page.down, page.across)
        # Where a rule is, and where it begins and ends, turned as `_upright` turns boxes.
        at, along = ((1, 1), (-1, 1), (-1, -1), (1, -1))[turn]
        self._across = Rules((at * where, along * start, along * end) for where, start, end in across)
        at, along = ((1, 1), (1, -1), (-1, -1), (-1, 1))[turn]
        self._down = Rules((at * where, along * start, along * end) for where, start, end in down)

    def lines(self, pieces: list[Piece]) -> list[Line]:
        """In the order in which they are read."""
        placed = []
        for piece in pieces:
            left, right, bottom, top = _upright(piece, self._turn)
            (x, y), middle = piece.origin, (bottom + top) / 2
            base = (y, -x, -y, middle)[self._turn]  # a vertical font's characters stand on no line
            placed.append((piece, Segment(piece.text, left, right, bottom, top, base, piece.size, piece.word)))
        return list(self._read(placed, 0))

    def _read(self, pieces: list[Placed], depth: int) -> Iterator[Line]:
        """Columns from left to right, each from top to bottom; rows of tables in between."""
        plain = list[Placed]()
        for columns in bands(pieces) if depth < _DEEPEST else [[pieces]]:
            sides = [rows(column, self._down) for column in columns] if len(columns) > 1 else []
            if not sides or not are_columns(sides) or any(map(self._is_ruled, sides)):
                plain += (each for column in columns for each in column)
                continue
            yield from self._read_rows(rows(plain, self._down))
            plain = []
            for column in columns:
                self._flow += 1
                yield from self._read(column, depth + 1)
            self._flow += 1
        yield from self._read_rows(rows(plain, self._down))

    def _read_rows(self, rows: list[Row]) -> Iterator[Line]:
        at = 0
        while at < len(rows):
            gutters, region = _region(rows, at)
            if (len(region) > 1 and self._is_ruled(region)) or _is_several(region, gutters):
                region = self._without_what_follows(region, gutters)
                for text, segments in told(region, gutters, self._across):
                    yield self._line(segments, text)
            else:
                yield from map(self._line, region)
            at += len(region)

    def _is_ruled(self, region: list[Row]) -> bool:
        return len(self._rules_through(region)) > 2

    def _rules_through(self, region: list[Row]) -> list[int]:
        left, right = min(row[0].left for row in region), max(row[-1].right for row in region)
        return self._across.along(region[-1][0].bottom - 20, region[0][0].top + 20, left, right)

    def _without_what_follows(self, region: list[Row], gutters: Gutters) -> list[Row]:
        """Without short lines below a table that happen to leave its gutters open."""
        lowest = min(self._rules_through(region), default=math.inf)
        last = len(region)
        while last > 1 and len(region[last - 1]) == 1:
            segment = region[last - 1][0]
            if segment.left >= gutters[0][0] or lowest < segment.middle < math.inf:
                break
            last -= 1
        return region[:last]

    def _line(self, row: Row, cells: str = "") -> Line:
        """A row as a line; `cells`: its text where it is one of a table."""
        first = row[0]
        text = cells or "".join(segment.before * (at > 0) + segment.text for at, segment in enumerate(row))
        left, right = first.left, max(segment.right for segment in row)
        main = max(row, key=lambda segment: len(segment.text))
        height = main.base if self._turn == self._page.turn else _height(first, self._turn, self._page.turn)
        return Line(
            text, self._page.number, left, right, main.base, main.size, first.word, self._flow, bool(cells), height
        )


def _height(segment: Segment, turn: int, shown: int) -> float:
    """Of the middle of what is read in `turn`, on a page that is upright in `shown`."""
    x, y = (segment.left + segment.right) / 2, (segment.bottom + segment.top) / 2
    return {1: x, 2: -y, 3: -x}[(turn - shown) % 4]


def _region(rows: list[Row], at: int) -> tuple[Gutters, list[Row]]:
    """The rows from `at` on that leave the same gutters open, and those; none, and the one row, if it has no gap."""
    first = rows[at]
    if at + 1 < len(rows) and first[0].middle - rows[at + 1][0].middle < 0.9 * first[0].size:
        # Columns whose lines are not at the same height: what is between those of the one are those of the other.
        first = sorted([*first, *rows[at + 1]], key=lambda segment: segment.left)
    gutters = [(a.right, b.left) for a, b in pairwise(first)]
    if any(right - left < 1 for left, right in gutters):
        gutters = [(a.right, b.left) for a, b in pairwise(rows[at])]
    end = at + 1
    if len(gutters) > _MOST_GUTTERS:
        gutters = []
    while gutters and end < len(rows):
        left = _still_open(gutters, rows[end])
        if not left or (len(rows[end]) == 1 and len(left) < len(gutters)):
            break  # a line that runs across
        gutters, end = left, end + 1
    return gutters, rows[at:end]


def _still_open(gutters: Gutters, row: Row) -> Gutters:
    """What a row leaves of gutters."""
    free = [-math.inf, *(edge for segment in row for edge in (segment.left, segment.right)), math.inf]
    gaps = list(zip(free[::2], free[1::2], strict=True))
    found, at = Gutters(), 0
    for low, high in gutters:
        while at < len(gaps) - 1 and gaps[at][1] <= low:
            at += 1
        for left, right in gaps[at : at + 2]:
            if min(high, right) - max(low, left) > 1:
                found.append((max(low, left), min(high, right)))
                break
    return found


def _is_several(region: list[Row], gutters: Gutters) -> bool:
    """Whether several rows have something on each side of the first gutter, and that is more than numbers of a list."""
    if not gutters:
        return False
    firsts = [row[0].text for row in region if row[0].left < gutters[0][0]]
    others = sum(row[-1].right > gutters[0][1] for row in region)
    return min(len(firsts), others) > 1 and (len(gutters) > 1 or not all(map(_LABEL.fullmatch, firsts)))
