"""Logs that belong together: exports that overlap, and events beside the readings that they fell into.

Files are read one at a time, by a process that keeps nothing. What is in one of them decides here which others it has
to be read with; those logs are then read once more, together with them (`Request`).
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    same = defaultdict[tuple[str, str], list[Known]](list)
    never = defaultdict[tuple[str, str], list[Known]](list)
    for log in forbidden:
        never[log.kind, log.span.columns].append(log)
    # Only by the site's word: what is masked, dropped or held out where it stands is not where it is quoted.
    quoted = [each for each in known if each.kind == "event log" and settings.quotes(each.path)]
    serves = [(each, _served(each, known)) for each in quoted]
    for log in known:
        before = same[log.kind, log.span.columns]
        earlier = tuple(each for each in before if _overlap(each.span, log.span, 0))[-MOST_EARLIER:]
        # All of these, however many: that a row is told twice is a flaw, that a forbidden one is told is a leak.
        earlier = (*(each for each in never[log.kind, log.span.columns] if _overlap(each.span, log.span, 0)), *earlier)
        before.append(log)
        events = tuple(
            each
            for each, folder in serves
            if log.kind == "sensor log"
            and log.path.startswith(folder)
            and _overlap(each.span, log.span, settings.after)
        )[-MOST_EVENTS:]
        if earlier or events:
            found[log.file][log.part] = Others(earlier, events)
    return dict(found)


def _served(events: Known, known: Sequence[Known]) -> str:
    """The folder whose readings a log of events is for: the nearest one above it in which there are any."""
    folders = list(_folders(events.path))
    readings = [each.path for each in known if each.kind == "sensor log"]
    return next((folder for folder in folders if any(path.startswith(folder) for path in readings)), "")


def _folders(path: str) -> Iterator[str]:
    """From its own upwards, each with its `/`; at last the data folder itself."""
    parts = path.split("/")[:-1]
    for length in range(len(parts), -1, -1):
        yield "".join(f"{part}/" for part in parts[:length])


def _overlap(events: LogSpan, log: LogSpan, after: int) -> bool:
    return events.first <= log.last + after and events.last >= log.first
