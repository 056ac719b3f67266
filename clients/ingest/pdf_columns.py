"""Where a page is parted into columns from top to bottom, however its lines stand to each other."""

import math
from bisect import bisect
from collections.abc import Sequence
from itertools import groupby, pairwise

from clients.ingest.pdf_page import Piece
from clients.ingest.pdf_rows import Row, Segment

Placed = tuple[Piece, Segment]
_BIN = 2.0  # points
_MOST_BINS = 2_000
_CROSSED = 0.06  # of the text's height: by headings and feet, so much of a gutter may be crossed
_BESIDE = 0.3  # of the text's height: there is so much on each side of a gutter
_NARROWEST = 0.9  # of the type: the width of a gutter
_ALIGNED = 0.6  # of a column's lines have a neighbour at their height if they are cells
_OFF_LINE = 0.3  # of the type: what is less far up or down is at the same height
_FULL = 0.8  # of its column's width: a line of prose that goes on in the next
_FULL_SHARE = 0.4  # of the lines of prose
_LEAST_WIDTH, _LEAST_LINES = 8, 3  # of a column of prose: sizes of the type, lines
_CERTAIN_LINES = 8  # of columns that are told by their heights alone


def bands(pieces: list[Placed]) -> list[list[list[Placed]]]:
    """From top to bottom, each with one or more columns. Only a guess: `are_columns` judges."""
    gutters = _gutters(pieces)
    if not gutters:
        return [[pieces]]
    crossing = [each for each in pieces if any(each[1].left < at < each[1].right for at in gutters)]
    edges = sorted({edge for _, place in crossing for edge in (place.bottom, place.top)})
    found: dict[int, list[list[Placed]]] = {}
    for each in pieces:
        band = bisect(edges, each[1].middle)
        columns = found.setdefault(band, [[] for _ in range(len(gutters) + 1)])
        columns[bisect(gutters, (each[1].left + each[1].right) / 2)].append(each)
    whole = {bisect(edges, place.middle) for _, place in crossing}
    whole |= {band for band, columns in found.items() if sum(map(bool, columns)) < 2}
    ordered = list[list[list[Placed]]]()
    for is_whole, numbers in groupby(sorted(found, reverse=True), whole.__contains__):
        if is_whole:
            ordered.append([[each for band in numbers for column in found[band] for each in column]])
        else:
            ordered += ([column for column in found[band] if column] for band in numbers)
    return ordered


def _gutters(pieces: list[Placed]) -> list[float]:
    """The middles of the strips that hardly any text covers and that have much of it on both sides."""
    if len(pieces) < 2 * _LEAST_LINES:
        return []
    left, right = min(place.left for _, place in pieces), max(place.right for _, place in pieces)
    count = math.ceil((right - left) / _BIN)
    if not 0 < count < _MOST_BINS:
        return []
    changes = [0.0] * (count + 2)
    for _, place in pieces:
        height = place.top - place.bottom
        changes[int((place.left - left) / _BIN)] += height
        changes[min(count, int((place.right - left) / _BIN)) + 1] -= height
    covered, height = list[float](), 0.0
    for change in changes[:count]:
        height += change
        covered.append(height)
    usual = sorted(covered)[3 * count // 4]
    size = sorted(place.size for _, place in pieces)[len(pieces) // 2]
    found, at = list[float](), 0
    for is_open, strip in groupby(covered, lambda height: height <= _CROSSED * usual):
        width = sum(1 for _ in strip)
        beside = min(max(covered[:at], default=0), max(covered[at + width :], default=0))
        if is_open and width * _BIN > _NARROWEST * size and beside > _BESIDE * usual:
            found.append(left + (at + width / 2) * _BIN)
        at += width
    return found if len(found) < 6 else []


def are_columns(columns: Sequence[list[Row]]) -> bool:
    """Whether what stands side by side is prose: its lines fill their columns, or are not at the same heights."""
    full = lines = 0
    for rows in columns:
        left, right = min(row[0].left for row in rows), max(row[-1].right for row in rows)
        if len(rows) < _LEAST_LINES or right - left < _LEAST_WIDTH * rows[0][0].size:
            return False
        full += sum(row[-1].right - row[0].left > _FULL * (right - left) for row in rows)
        lines += len(rows)
    if full > _FULL_SHARE * lines:
        return not _begin_together(columns)
    return min(map(len, columns)) >= _CERTAIN_LINES and all(
        _aligned(one, other) < _ALIGNED for one, other in pairwise(columns)
    )


def _aligned(one: list[Row], other: list[Row]) -> float:
    """The share of the fewer lines that have one of the other column at their height."""
    fewer, more = sorted((one, other), key=len)
    heights = sorted(row[0].middle for row in more)
    found = 0
    for row in fewer:
        at = bisect(heights, row[0].middle)
        near = min(abs(height - row[0].middle) for height in heights[max(0, at - 1) : at + 1])
        found += near < _OFF_LINE * row[0].size
    return found / len(fewer)


def _begin_together(columns: Sequence[list[Row]]) -> bool:
    """Whether wide distances between lines are at the same heights in all columns, as between the rows of a table."""
    starts = []
    for rows in columns:
        distances = [above[0].middle - row[0].middle for above, row in pairwise(rows)]
        near = sorted(distances)[len(distances) // 10]
        after = (row[0].middle for distance, row in zip(distances, rows[1:], strict=True) if distance > 1.4 * near)
        starts.append({round(middle / 4) for middle in after})
    shared = set.intersection(*starts)
    return len(shared) > 1 and len(shared) > 0.7 * max(map(len, starts))
