"""Cells -> lines: tables with their headings, forms as `label: value`, and whatever is neither as it stands.

Japanese workbooks are often forms on squared paper (方眼紙): narrow columns, merged over and over. Where cells stand
tells little there, so what counts is their order in a row, whether they are texts, and whether they stand out (filled
or bold), as labels do.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

_LONGEST_LABEL = 20  # characters
_COLONS = (":", "：")


class Cell(NamedTuple):
    """`row` and `column` count from 1. `is_text`: no number, date or truth value."""

    row: int
    column: int
    text: str
    is_text: bool
    stands_out: bool


def told(rows: Sequence[Sequence[Cell]]) -> list[str]:
    """A line for each row, each with its LF; an empty one where rows were left blank."""
    rows = [row for row in rows if row]
    lines = list[str]()
    at = 0
    while at < len(rows):
        if at and rows[at][0].row > rows[at - 1][0].row + 1:
            lines.append("\n")
        below = list(_body(rows, at))
        if below:
            names = {cell.column: cell.text for cell in rows[at]}
            lines += (" | ".join(_named(names[cell.column], cell.text) for cell in row) + "\n" for row in below)
        else:
            lines.append(" | ".join(_pairs(rows[at])) + "\n")
        at += 1 + len(below)
    return lines


def _body(rows: Sequence[Sequence[Cell]], at: int) -> Iterator[Sequence[Cell]]:
    """The rows under the headings in row `at`; none if those are no headings."""
    headings = rows[at]
    if len(headings) < 2 or not all(cell.is_text for cell in headings) or len({c.stands_out for c in headings}) > 1:
        return
    columns = {cell.column for cell in headings}
    for above, row in pairwise(rows[at:]):
        is_next = row[0].row == above[0].row + 1
        if not is_next or not columns.issuperset(cell.column for cell in row) or len(row) * 2 < len(columns):
            return
        if any(cell.stands_out for cell in row) and headings[0].stands_out:
            return  # a label within: a form, or the next table's headings
        if above is headings and not (headings[0].stands_out or _is_under_headings(row)):
            return
        yield row


def _is_under_headings(row: Sequence[Cell]) -> bool:
    """Whether a first row below texts that look like any other makes them headings: it has numbers, and is no form."""
    kinds = [cell.is_text for cell in row]
    is_form = len(kinds) % 2 == 0 and all(kinds[::2]) and not any(kinds[1::2])
    return not all(kinds) and not (is_form and len(kinds) > 2)


def _pairs(row: Sequence[Cell]) -> Iterator[str]:
    """`label: value` where a label has a value to its right."""
    waiting: Cell | None = None
    for at, cell in enumerate(row):
        if waiting is not None:
            yield _named(waiting.text, cell.text)
            waiting = None
        elif at + 1 < len(row) and _is_label(cell, row[at + 1], len(row)):
            waiting = cell
        else:
            yield cell.text


def _is_label(cell: Cell, right: Cell, count: int) -> bool:
    if not cell.is_text or len(cell.text) > _LONGEST_LABEL:
        return False
    if cell.text.endswith(_COLONS):
        return True
    if cell.stands_out or right.stands_out:
        return cell.stands_out and not right.stands_out
    return not right.is_text or count == 2


def _named(name: str, value: str) -> str:
    return f"{name.rstrip(':： ')}: {value}"
