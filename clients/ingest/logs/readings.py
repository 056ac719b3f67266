"""A table of readings -> what each machine's tags read, in the order of time, nothing twice."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clients.ingest.content import Unusable
from clients.ingest.logs.roles import MACHINE, Roles, good_words, is_of_persons
from clients.ingest.logs.rows import Row
from clients.ingest.logs.table import EMPTY, NUMBER, Column, Order, Table, Times
from clients.ingest.logs.told_rows import Readings
from clients.ingest.logs.windows import Window

MOST_TAGS = 4096
_MOST_MACHINES = 256
_SAME = 0.9  # of the rows in the time that two files share are equal: then they are exports of one log

Keys = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Tag:
    """`rows`: which of the log's rows have a cell of it, rising; None for all. `rare`: it is read less often than
    others, so that empty cells are no failures. `is_state`: it is never a number."""

    column: Column
    rows: Order | None
    rare: bool
    is_state: bool

    def within(self, window: Window) -> tuple[Column, Order]:
        """Its cells in a window, and the log's rows that they are in."""
        if self.rows is None:
            return self.column.take(slice(window.start, window.end)), np.arange(window.start, window.end)
        first, last = np.searchsorted(self.rows, [window.start, window.end])
        return self.column.take(slice(int(first), int(last))), self.rows[first:last]


@dataclass(frozen=True, eq=False)
class Log:
    """One machine's readings; `machine` is empty where the file does not say it."""

    machine: str
    times: Times
    lines: NDArray[np.int32]
    tags: tuple[Tag, ...]

    def readings(self) -> Iterator[Readings]:
        """When each tag was read as a number, and that number."""
        for tag in self.tags:
            times = self.times if tag.rows is None else self.times[tag.rows]
            read = tag.column.states == NUMBER
            yield times[read], tag.column.values[read]


class Told(NamedTuple):
    """Of a log that was told already: when its rows were, and what they say."""

    times: Times
    keys: Keys


def once(table: Table, told: Sequence[Told]) -> Table:
    """Sorted by time; of equal rows the first, and none that a log in `told` has as well."""
    keys = table.keys()
    _, first = np.unique(keys, return_index=True)
    new = np.zeros(len(table), dtype=np.bool_)
    new[first] = True
    for other in told:
        new &= ~_shared(table.times, keys, other)
    kept = np.flatnonzero(new)
    return table.take(kept[np.argsort(table.times[kept], kind="stable")])


def _shared(times: Times, keys: Keys, other: Told) -> NDArray[np.bool_]:
    """Which rows another log has, too: none unless the two agree in the time that both have. (Two machines that stand
    still write the same rows now and then.)"""
    if not len(times) or not len(other.times):
        return np.zeros(len(times), dtype=np.bool_)
    first, last = max(times.min(), other.times.min()), min(times.max(), other.times.max())
    mine, theirs = (times >= first) & (times <= last), (other.times >= first) & (other.times <= last)
    equal, of_theirs = np.isin(keys, other.keys) & mine, np.isin(other.keys, keys) & theirs
    agree = max(equal.sum() / max(1, mine.sum()), of_theirs.sum() / max(1, theirs.sum()))
    return equal if agree >= _SAME else np.zeros(len(times), dtype=np.bool_)


def logs(table: Table, places: Sequence[int], roles: Roles, machine: str) -> list[Log]:
    """By machine. `places`: where in the file each column of `table` was. `machine`: whose the file is, if no column
    says it. Raises Unusable for a table of too many tags."""
    columns = dict(zip(places, table.columns, strict=True))
    if roles.machine in columns and len(columns[roles.machine].words) <= _MOST_MACHINES:
        of = columns[roles.machine]
        rows = [(word or machine, np.flatnonzero(of.states == code)) for code, word in enumerate(of.words)]
    else:
        rows = [(machine, np.arange(len(table)))]
    return [_log(name, table.take(order), places, roles) for name, order in rows if len(order)]


def _log(machine: str, table: Table, places: Sequence[int], roles: Roles) -> Log:
    columns = dict(zip(places, table.columns, strict=True))
    for readings, quality in roles.qualities:
        if readings in columns and quality in columns:
            columns[readings] = _judged(columns[readings], columns[quality])
    if roles.tag is not None and roles.value is not None:
        tags = _by_tag(columns[roles.tag], columns[roles.value], columns.get(-1 if roles.unit is None else roles.unit))
    else:
        aside = {roles.machine, *(quality for _, quality in roles.qualities), *roles.ignored}
        tags = [_tag(column) for at, column in columns.items() if at not in aside and column.filled]
    # Who it was is nothing that a machine reads, and the mean of employees' numbers nothing that masking finds.
    tags = [tag for tag in tags if not is_of_persons(tag.column.name)]
    return Log(machine, table.times, table.lines, tuple(tags))


def _tag(column: Column) -> Tag:
    return Tag(column, None, column.filled < len(column.states) / 2, not column.numbers)


def _by_tag(tag: Column, value: Column, unit: Column | None) -> list[Tag]:
    """The tags of a long table (time, tag, value), each with its own rows."""
    order = np.argsort(tag.states, kind="stable")
    codes, starts = np.unique(tag.states[order], return_index=True)
    if len(codes) > MOST_TAGS:
        raise Unusable(f"more than {MOST_TAGS} tags", f"タグが {MOST_TAGS} を超えています")
    found = []
    for code, rows in zip(codes, np.split(order, starts[1:]), strict=True):
        if code != EMPTY:
            said = unit.words[unit.states[rows[0]]] if unit is not None and unit.states[rows[0]] != NUMBER else ""
            column = replace(value.take(rows), name=tag.words[code], unit=said or value.unit)
            found.append(Tag(column, rows, False, not column.numbers))
    return found


def _judged(readings: Column, quality: Column) -> Column:
    """A reading that is said to be bad is no number: the quality's word stands in its place."""
    bad = ~good_words(quality.words)[quality.states]
    states = np.where(bad, quality.states + len(readings.words), readings.states).astype(np.int32)
    return replace(readings, states=states, words=(*readings.words, *quality.words))


def machine_before(preamble: Sequence[Row]) -> str:
    """The machine that lines before a table name: `設備番号,MC-01` or `設備名: MC-01`; empty if none does."""
    for row in preamble:
        cells = [part for cell in row.cells for part in re.split(r"\s*[:：]\s*", cell, maxsplit=1) if part]
        if len(cells) >= 2 and MACHINE.fullmatch(cells[0]):
            return cells[1]
    return ""
