"""Rows of cells -> the rows of a table as they are read: cells from left to right, each with all of its lines."""

from collections.abc import Sequence
from itertools import pairwise

from clients.ingest.pdf_rows import Row, Rules, Segment, glued

_ROOMIER = 1.4  # times the usual distance of lines: what parts rows where no lines are ruled


def told(rows: Sequence[Row], gutters: Sequence[tuple[float, float]], across: Rules) -> list[tuple[str, Row]]:
    """(cells with ` | ` between them, the segments) of each of the table's rows."""
    found = []
    for group in _grouped(rows, gutters, across):
        cells: dict[int, list[Segment]] = {}
        for row in group:
            taken = -1
            for segment in row:
                # Two in one row are two cells, even where a heading above closes the gutter between them.
                column = max(2 * sum(right <= segment.left + 1 for _, right in gutters), taken + 1)
                cells.setdefault(column, []).append(segment)
                taken = column
        texts = []
        for column in sorted(cells):
            parts = [cells[column][0].text]
            for segment in cells[column][1:]:
                parts[-1:] = glued(parts[-1], segment.text)
            texts.append("".join(parts).strip())
        found.append((" | ".join(texts), [segment for row in group for segment in row]))
    return found


def _grouped(rows: Sequence[Row], gutters: Sequence[tuple[float, float]], across: Rules) -> list[list[Row]]:
    """The lines of each row of the table."""
    left, right = min(row[0].left for row in rows), max(segment.right for row in rows for segment in row)
    levels = across.along(rows[-1][0].bottom - 30, rows[0][0].top + 30, left, right)
    if len(levels) > 2:
        bands = [sum(level < _level(row) for level in levels) for row in rows]
        starts = [above != below for above, below in pairwise(bands)]
    else:
        starts = _by_distance(rows, gutters[0][0])
    groups = [[rows[0]]]
    for row, starts_new in zip(rows[1:], starts, strict=True):
        if starts_new:
            groups.append([row])
        else:
            groups[-1].append(row)
    return groups


def _by_distance(rows: Sequence[Row], first_gutter: float) -> list[bool]:
    """For each row but the first, whether it begins a row of the table: by how far they are apart if that differs, else
    by whether its first cell is filled."""
    distances = [_level(above) - _level(row) for above, row in pairwise(rows)]
    near = sorted(distances)[len(distances) // 10]
    wide = [distance > _ROOMIER * near for distance in distances]
    # Where each row of the table had one line, the distances are all alike but for a few.
    if 0.2 * len(wide) < sum(wide) and not all(wide) and any(row[0].left >= first_gutter for row in rows):
        return wide
    return [row[0].left < first_gutter for row in rows[1:]]


def _level(row: Row) -> float:
    return max(segment.middle for segment in row)
