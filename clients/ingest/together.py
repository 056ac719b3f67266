"""Logs that belong together: exports that overlap, and events beside the readings that they fell into.

Files are read one at a time, by a process that keeps nothing. What is in one of them decides here which others it has
to be read with; those logs are then read once more, together with them (`Request`).
"""

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from operator import itemgetter
from typing import Any, NamedTuple

from clients.ingest.content import LogSpan
from clients.ingest.logs.settings import Settings

MOST_EARLIER, MOST_EVENTS = 8, 32  # other logs that one is read with; the latest
_MOST_FILES = 200  # of them, for all parts of an archive together
LARGEST_REQUEST = 2**26  # bytes; an archive may hold thousands of logs


class Known(NamedTuple):
    """A log that was read. `file`: its name below the data folder; `part`: its name in that file, of an archive."""

    file: str
    part: str
    kind: str
    span: LogSpan

    @property
    def path(self) -> str:
        return f"{self.file}/{self.part}" if self.part else self.file


@dataclass(frozen=True)
class Others:
    """What a log is read with: earlier exports of the same, and events."""

    earlier: tuple[Known, ...] = ()
    events: tuple[Known, ...] = ()


@dataclass(frozen=True)
class Request:
    """How a file is to be read, where that takes more than its bytes. `path`: its name below the data folder. `raw`:
    the site's logs.toml. `others`: by part. `descriptors`: the open files of all others, by their names."""

    path: str
    raw: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Others] = field(default_factory=dict)
    descriptors: Mapping[str, int] = field(default_factory=dict)

    def files(self) -> list[str]:
        """Those that all others are in, each once."""
        every = [known.file for each in self.others.values() for known in (*each.earlier, *each.events)]
        return list(dict.fromkeys(every))[:_MOST_FILES]

    def text(self) -> str:
        """For the parsing process; empty if there is nothing to say. Others are told by the place of their file among
        the descriptors."""
        if not self.raw and not self.others:
            return ""
        places = {file: place for place, file in enumerate(self.descriptors)}
        others = {
            part: {
                role: [
                    [places[known.file], known.part, known.path]
                    for known in getattr(each, role)
                    if known.file in places
                ]
                for role in ("earlier", "events")
            }
            for part, each in self.others.items()
        }
        return json.dumps({"path": self.path, "settings": self.raw, "others": others})


def others(known: Sequence[Known], forbidden: Sequence[Known], settings: Settings) -> dict[str, dict[str, Others]]:
    """By file and part, every log that has to be read with others. `known`: in the order in which they are told.
    `forbidden`: logs whose rows count as told, and that are not told themselves."""
    found: dict[str, dict[str, Others]] = defaultdict(dict)
    same, never, events = _by_columns(known), _by_columns(forbidden), _by_folder_served(known, settings)
    for number, log in enumerate(known):
        columns = log.kind, log.span.columns
        earlier = same[columns].latest(log.span, 0, MOST_EARLIER, before=number)
        # All of these, however many: that a row is told twice is a flaw, that a forbidden one is told is a leak.
        refused = never[columns].latest(log.span, 0) if columns in never else []
        beside = list[tuple[int, Known]]()
        for folder in set(_folders(log.path)) & events.keys() if log.kind == "sensor log" else ():
            beside += events[folder].latest(log.span, settings.after, MOST_EVENTS)
        if refused or earlier or beside:
            told = *(each for _, each in refused), *(each for _, each in earlier)
            found[log.file][log.part] = Others(told, tuple(each for _, each in sorted(beside)[-MOST_EVENTS:]))
    return dict(found)


class _Spans:
    """Some of all logs, each with its number in the order in which they are told, found by their time."""

    def __init__(self, logs: Sequence[tuple[int, Known]]) -> None:
        self._logs = logs
        by_first = sorted(logs, key=lambda each: each[1].span.first)
        self._by_first = by_first
        self._firsts = [log.span.first for _, log in by_first]
        self._lasts = list(accumulate((log.span.last for _, log in by_first), max))

    def latest(
        self, span: LogSpan, after: int, most: int | None = None, before: int | None = None
    ) -> list[tuple[int, Known]]:
        """The last `most` logs (default: all), in order, that overlap `span` with `after` ms behind it, and whose
        number is below `before` (default: any)."""
        count = len(self._logs) if before is None else bisect_left(self._logs, before, key=itemgetter(0))
        begin, end = bisect_left(self._lasts, span.first), bisect_right(self._firsts, span.last + after)
        if most is None or (end - begin) ** 2 <= most * count:
            near = [each for each in self._by_first[begin:end] if before is None or each[0] < before]
            found = sorted(each for each in near if _overlap(each[1].span, span, after))
            return found if most is None else found[-most:]
        # Many logs of these hours: the last ones of the order soon have enough of them.
        backwards = (self._logs[place] for place in range(count - 1, -1, -1))
        return list(islice((each for each in backwards if _overlap(each[1].span, span, after)), most))[::-1]


def _by_columns(logs: Sequence[Known]) -> dict[tuple[str, str], _Spans]:
    grouped = defaultdict[tuple[str, str], list[tuple[int, Known]]](list)
    for number, log in enumerate(logs):
        grouped[log.kind, log.span.columns].append((number, log))
    return {columns: _Spans(each) for columns, each in grouped.items()}


def _by_folder_served(known: Sequence[Known], settings: Settings) -> dict[str, _Spans]:
    """Logs of events by the folder whose readings each is for: the nearest one above it in which there are any. Only by
    the site's word: what is masked, dropped or held out where it stands is not where it is quoted."""
    of_readings = {folder for each in known if each.kind == "sensor log" for folder in _folders(each.path)}
    grouped = defaultdict[str, list[tuple[int, Known]]](list)
    for number, log in enumerate(known):
        if log.kind == "event log" and settings.quotes(log.path):
            served = next((folder for folder in _folders(log.path) if folder in of_readings), "")
            grouped[served].append((number, log))
    return {folder: _Spans(each) for folder, each in grouped.items()}


def _folders(path: str) -> Iterator[str]:
    """From its own upwards, each with its `/`; at last the data folder itself."""
    parts = path.split("/")[:-1]
    for length in range(len(parts), -1, -1):
        yield "".join(f"{part}/" for part in parts[:length])


def _overlap(events: LogSpan, log: LogSpan, after: int) -> bool:
    return events.first <= log.last + after and events.last >= log.first
