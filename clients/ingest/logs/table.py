"""Rows -> columns of numbers and words, each cell in 12 bytes: a log of 60 MB fits into the parsing process.

Cells are kept as numpy arrays and not as text. A cell is a number or a state: a word in its place, such as Inp
OutRange.
"""

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from clients.ingest.content import Unusable
from clients.ingest.logs.form import Form, split_unit
from clients.ingest.logs.rows import Row, number, unit_in
from clients.ingest.logs.times import DAY, HOUR
from clients.ingest.logs.told_rows import mixed

EMPTY, NUMBER = 0, -1  # states; others are places in a column's `words`
_CHUNK = 4096  # rows
_MOST_CHANGES = 1_000  # of the header

Times = NDArray[np.int64]
Order = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Column:
    """`values` (float64) where `states` (int32) are NUMBER; elsewhere the state's word in `words`, of which the first
    is an empty cell."""

    name: str
    unit: str
    values: NDArray[np.float64]
    states: NDArray[np.int32]
    words: Sequence[str]

    @property
    def numbers(self) -> int:
        return int(np.count_nonzero(self.states == NUMBER))

    @property
    def filled(self) -> int:
        return int(np.count_nonzero(self.states != EMPTY))

    def take(self, order: Order | slice) -> "Column":
        return replace(self, values=self.values[order], states=self.states[order])

    def keys(self) -> NDArray[np.uint64]:
        """What a cell says, in 64 bits: equal cells of columns of one name are equal wherever they stand."""
        words = np.array([_hashed(self.name, word) if word else 0 for word in self.words], dtype=np.uint64)
        named = np.uint64(_hashed(self.name))
        return np.where(self.states == NUMBER, mixed((self.values + 0.0).view(np.uint64) ^ named), words[self.states])


@dataclass(frozen=True, eq=False)
class Table:
    """Rows that have a time, in the file's order until they are sorted. `times`: ms since 1970, int64. `lines`:
    int32."""

    times: Times
    lines: NDArray[np.int32]
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.times)

    def take(self, order: Order) -> "Table":
        return Table(self.times[order], self.lines[order], tuple(column.take(order) for column in self.columns))

    def keys(self) -> NDArray[np.uint64]:
        """What a row says, time included, whatever the order of its columns."""
        total = mixed(self.times.view(np.uint64))
        for column in self.columns:
            total = total + column.keys()
        return total


@dataclass
class Skipped:
    """Rows that are in no table: without a time, headers that came again, a last one that is not finished."""

    untimed: int = 0
    unfinished: int = 0


def tables(rows: Iterable[Row], form: Form, as_text: frozenset[int], ended: bool) -> Iterator[tuple[Table, Skipped]]:
    """A table for each header that differs from the one before. `as_text`: columns whose numbers are names. `ended`:
    whether the file's last line has its end. Raises Unusable for too many of them."""
    skipped, changes = Skipped(), 0
    filling, header = _Filling(form, form.names, form.units, as_text), list(form.header)
    for row in rows if ended else _finished(rows, skipped):
        if row.line < form.first:
            continue
        time = form.time.of(row.cells) if form.time else None
        if time is not None:
            filling.add(row, time)
        elif row.cells != header and _is_header(row.cells, header, form):
            yield filling.finished(), skipped
            changes += 1
            if changes > _MOST_CHANGES:
                reason = f"its header changes more than {_MOST_CHANGES} times"
                raise Unusable(reason, f"見出しが {_MOST_CHANGES} 回を超えて変わります")
            header, skipped = row.cells, Skipped()
            names, units = zip(*map(split_unit, header), strict=True)
            filling = _Filling(form, names, units, frozenset())
        else:
            skipped.untimed += row.cells != header
    yield filling.finished(), skipped


def _finished(rows: Iterable[Row], skipped: Skipped) -> Iterator[Row]:
    """All rows but a last one that is shorter than the one before: its writer had not finished it."""
    before: Row | None = None
    last: Row | None = None
    for row in rows:
        if last is not None:
            yield last
        before, last = last, row
    if last is not None and before is not None and len(last.cells) < len(before.cells):
        skipped.unfinished += 1
    elif last is not None:
        yield last


class _Filling:
    """A table that grows by `_CHUNK` rows."""

    def __init__(self, form: Form, names: Sequence[str], units: Sequence[str], as_text: frozenset[int]) -> None:
        assert form.time is not None  # noqa: S101  # there are no tables without
        self._time = form.time
        wanted = [column for column in range(len(names)) if column not in form.time.columns]
        comma = form.decimal_comma
        self._cells = {at: _Cells(names[at], units[at], comma, at in as_text) for at in wanted}
        self._rows = list[list[str]]()
        self._times, self._lines = list[int](), list[int]()

    def add(self, row: Row, time: int) -> None:
        self._times.append(time)
        self._lines.append(row.line)
        self._rows.append(row.cells)
        if len(self._rows) == _CHUNK:
            self._empty_into_columns()

    def finished(self) -> Table:
        self._empty_into_columns()
        times = np.array(self._times, dtype=np.int64)
        if self._time.day is not None:  # no dates: a day ends where the clock falls back
            times[1:] += DAY * np.cumsum(np.diff(times) < -12 * HOUR)
        columns = tuple(cells.column() for cells in self._cells.values())
        return Table(times, np.array(self._lines, dtype=np.int32), columns)

    def _empty_into_columns(self) -> None:
        chunk = list(itertools.zip_longest(*self._rows, fillvalue=""))
        blank = ("",) * len(self._rows)
        for at, cells in self._cells.items():
            cells.add(chunk[at] if at < len(chunk) else blank)
        self._rows.clear()


class _Cells:
    """A column that grows."""

    def __init__(self, name: str, unit: str, decimal_comma: bool, as_text: bool) -> None:
        self._name, self._unit, self._decimal_comma, self._as_text = name, unit, decimal_comma, as_text
        self._words = {"": EMPTY}
        self._values, self._states = list[NDArray[np.float64]](), list[NDArray[np.int32]]()

    def add(self, cells: Sequence[str]) -> None:
        values = None if self._as_text else _all_numbers(cells)
        if values is not None:
            states = np.full(len(cells), NUMBER, dtype=np.int32)
        else:
            read = [self._read(cell) for cell in cells]
            values = np.array([0.0 if value is None else value for value in read])
            states = np.array(
                [self._state(cell) if value is None else NUMBER for cell, value in zip(cells, read, strict=True)],
                dtype=np.int32,
            )
            if not self._unit:
                self._unit = next((unit for cell in cells[:1] if (unit := unit_in(cell))), "")
        self._values.append(values)
        self._states.append(states)

    def column(self) -> Column:
        values = np.concatenate(self._values) if self._values else np.zeros(0)
        states = np.concatenate(self._states) if self._states else np.zeros(0, dtype=np.int32)
        return Column(self._name, self._unit, values, states, tuple(self._words))

    def _read(self, cell: str) -> float | None:
        if self._as_text or cell in self._words:
            return None
        value = number(cell, self._decimal_comma)
        return value if value is not None and math.isfinite(value) else None

    def _state(self, cell: str) -> int:
        word = " ".join(cell.split())[:_LONGEST_WORD]
        return self._words.setdefault(word, len(self._words))


_LONGEST_WORD = 200  # characters of a state; longer ones are cut


def _all_numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The plain case, quickly. What `float` takes for a number and people do not (nan, 1_000) is none here."""
    try:
        values = np.array(list(map(float, cells)))
    except ValueError:
        return None
    return values if np.isfinite(values).all() and "_" not in "".join(cells) else None


def _is_header(cells: Sequence[str], header: Sequence[str], form: Form) -> bool:
    """Whether a row without a time names columns: it says over the time what the header says there."""
    time = form.time.column if form.time else 0
    return len(cells) > max(time, 1) and bool(header) and bool(cells[time]) and cells[time] == header[time]


def _hashed(*texts: str) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(texts).encode("utf-8", "replace"), digest_size=8).digest())
