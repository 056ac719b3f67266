"""What is known about a log beside its bytes, as the parsing process is told it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from clients.ingest.logs import settings
from clients.ingest.logs.settings import DEFAULT, Settings


@dataclass(frozen=True)
class Companion:
    """Another log of the same site. `path`: below the data folder. `load` gives its bytes, or raises Unusable."""

    path: str
    load: Callable[[], bytes]


@dataclass(frozen=True)
class Site:
    """`path`: the log's own, below the data folder. `earlier`: logs of the same columns and time that were told
    already; `events`: logs of events that may have to do with it."""

    path: str = ""
    settings: Settings = DEFAULT
    earlier: tuple[Companion, ...] = ()
    events: tuple[Companion, ...] = ()


ALONE = Site()


@dataclass(frozen=True)
class Sites:
    """The `Site` of each part of a file."""

    path: str
    settings: Settings
    others: Mapping[str, Mapping[str, Any]]
    load: Callable[[int, str], bytes]

    def of(self, part: str) -> Site:
        path = f"{self.path}/{part}" if part and self.path else part or self.path
        told = self.others.get(part, {})
        earlier, events = (self._companions(told.get(role, ())) for role in ("earlier", "events"))
        return Site(path, self.settings, earlier, events)

    def _companions(self, told: Sequence[Sequence[Any]]) -> tuple[Companion, ...]:
        return tuple(Companion(path, partial(self.load, place, part)) for place, part, path in told)


def sites(text: str, load: Callable[[int, str], bytes]) -> Sites:
    """Out of the parent's request (see `together`); an empty one says nothing. `load`: the bytes of a part of one of
    the other files, by the file's place."""
    if not text:
        return NOWHERE
    told = json.loads(text)
    return Sites(told["path"], settings.of(told["settings"]), told["others"], load)


NOWHERE = Sites("", DEFAULT, {}, lambda place, part: b"")
