"""Logs of events (alarms, maintenance, operators' notes) -> records, and what of them belongs to a window of
readings."""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from clients.ingest.logs import times
from clients.ingest.logs.form import Form
from clients.ingest.logs.roles import INDEX, Roles
from clients.ingest.logs.rows import Row

EVENTS_A_RECORD = 24
_MOST_TOLD = 3  # beside a window, of each kind
_LONGEST_TOLD = 200  # characters


class Event(NamedTuple):
    """`text`: its cells under their names; `file` and `line`: where it stands."""

    time: int
    machine: str
    text: str
    file: str
    line: int

    @property
    def key(self) -> tuple[int, str, str]:
        """What makes it the same event in another export."""
        return self.time, self.machine, self.text


def events(rows: Iterable[Row], form: Form, roles: Roles, machine: str, file: str) -> list[Event]:
    """All in the file by time, each once. `machine`: whose the file is, if no column says it."""
    found = dict[tuple[int, str, str], Event]()
    silent = {*(form.time.columns if form.time else ()), roles.machine}
    silent |= {at for at, name in enumerate(form.names) if INDEX.fullmatch(name)}
    names = form.names
    for row in rows:
        time = form.time.of(row.cells) if form.time and row.line >= form.first else None
        if time is None:
            continue
        whose = row.cells[roles.machine] if roles.machine is not None and roles.machine < len(row.cells) else ""
        cells = [
            f"{name}: {' '.join(cell.split())}" if form.header else " ".join(cell.split())
            for at, (name, cell) in enumerate(zip(names, row.cells, strict=False))
            if cell and at not in silent
        ]
        event = Event(time, whose or machine, " | ".join(cells), file, row.line)
        found.setdefault(event.key, event)
    return sorted(found.values(), key=lambda event: event.time)


def records(found: Sequence[Event], file: str) -> Iterator[str]:
    """Lines: a head that cites file, rows and time, then an event a line; `EVENTS_A_RECORD` at a time."""
    for start in range(0, len(found), EVENTS_A_RECORD):
        part = found[start : start + EVENTS_A_RECORD]
        lines = [event.line for event in part]
        yield f"{file} {min(lines)}～{max(lines)} 行目、{times.span(part[0].time, part[-1].time)}"
        for event in part:
            whose = f"設備 {event.machine} | " if event.machine else ""
            yield f"{times.shown(event.time)} {whose}{event.text}"


class Beside:
    """The events that may have to do with a machine's readings."""

    def __init__(self, found: Iterable[Event], machine: str, file: str, after: int) -> None:
        mine = [event for event in found if _concerns(event, machine, file)]
        self._events = sorted({event.key: event for event in mine}.values(), key=lambda event: event.time)
        self._times, self._after = [event.time for event in self._events], after

    def told(self, first: int, last: int) -> Iterator[str]:
        """A line for each of those within a window (times of its first and last row) and of those that followed."""
        start, end = bisect_left(self._times, first), bisect_right(self._times, last)
        until = bisect_right(self._times, last + self._after)
        yield from _lines("この間の記録", self._events[start:end], first, None)
        yield from _lines(f"その後の記録（{times.length(self._after)}以内）", self._events[end:until], first, last)


def _concerns(event: Event, machine: str, file: str) -> bool:
    """An event that names no machine concerns all; one that does, that machine's readings and files with its name."""
    whose, mine, path = (unicodedata.normalize("NFKC", text).casefold() for text in (event.machine, machine, file))
    return not whose or whose == mine or (not mine and whose in path)


def _lines(head: str, found: Sequence[Event], first: int, last: int | None) -> Iterator[str]:
    for event in found[:_MOST_TOLD]:
        when = times.shown(event.time).removeprefix(times.shown(first)[:11])
        later = "" if last is None else f"{times.length(event.time - last)}後、"
        text = event.text if len(event.text) <= _LONGEST_TOLD else event.text[:_LONGEST_TOLD] + "…"
        yield f"{head}: {when} {text}（{later}{event.file} {event.line} 行目）"
    if len(found) > _MOST_TOLD:
        yield f"{head}: ほか {len(found) - _MOST_TOLD} 件"
