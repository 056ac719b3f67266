"""logs.toml: what a site says about its logs. Beside them, at the top of the data folder; it need not be there.

window = 60                 # minutes of a record (default: by how often readings come)
after = 60                  # minutes after a record in which events still belong to it (default: 60)
events = ["保全記録*.csv"]   # files that are logs of events whatever they look like; * stands for anything
readings = ["日報/*.csv"]    # files that are logs of readings whatever they look like
quoted = ["保全記録*.csv"]   # logs of events that are told beside readings, too (default: none)

[[machines]]
files = "乾燥炉*.csv"
name  = "乾燥炉 1 号"

[[tags]]
tag     = "炉内温度"         # as the header has it, without its unit
machine = "乾燥炉 1 号"      # default: any
unit    = "℃"
low     = 170
high    = 190
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, TypeVar

from clients.ingest.content import Unusable
from clients.ingest.files import opened
from clients.ingest.logs.roles import Kind
from clients.ingest.logs.times import MINUTE
from federation import settings
from federation.errors import ConfigInvalid, Fault, Inconsistent, RengoError, SettingsFileInvalid
from federation.settings import Range

FILE_NAME = "logs.toml"
_LARGEST = 2**20  # bytes
_Kind = TypeVar("_Kind")


class LogSettingsInvalid(RengoError):
    """{path} has {count} fault(s); nothing was read:
    {listing}"""

    ja = "{path} に {count} 件の誤りがあります（何も読み取っていません）:\n{listing_ja}"
    exit_code = 2


@dataclass(frozen=True)
class Machine:
    """Whose the files are whose paths below the data folder match."""

    files: str
    name: str


@dataclass(frozen=True)
class Limits:
    """A tag's unit and the values between which it should be; None where the site says nothing."""

    tag: str
    machine: str = "*"
    unit: str | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class _Top:
    window: Annotated[float | None, Range(0.1, 10_080)]
    after: Annotated[float, Range(0, 10_080)]
    events: tuple[str, ...] | None
    readings: tuple[str, ...] | None
    quoted: tuple[str, ...] | None


@dataclass(frozen=True)
class Settings:
    """logs.toml. `window` and `after` in ms; `raw` is what was written, for the parsing process to read again, and
    `sha256` (hex) of the file, "" without one."""

    window: int | None = None
    after: int = 60 * MINUTE
    events: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    machines: tuple[Machine, ...] = ()
    tags: tuple[Limits, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sha256: str = ""

    def kind(self, path: str) -> Kind | None:
        """What the site says that a file is."""
        if any(_matches(path, pattern) for pattern in self.events):
            return "event log"
        return "sensor log" if any(_matches(path, pattern) for pattern in self.readings) else None

    def quotes(self, path: str) -> bool:
        """Whether the site wants what this log of events says beside readings, too."""
        return any(_matches(path, pattern) for pattern in self.quoted)

    def machine(self, path: str) -> str:
        """Whose the site says that a file is; empty if it does not."""
        return next((each.name for each in self.machines if _matches(path, each.files)), "")

    def limits(self, tag: str, machine: str) -> Limits:
        """What the site says of a tag: by its whole name, or by one part of a name such as D100（炉温）."""
        names = {tag, *re.split("[（、）]", tag)} - {""}
        return next(
            (
                each
                for each in self.tags
                if fnmatchcase(machine, each.machine) and any(fnmatchcase(name, each.tag) for name in names)
            ),
            Limits(tag),
        )


DEFAULT = Settings()


def read(folder: Path) -> Settings:
    """The folder's own, or the defaults. Raises SettingsFileInvalid, or LogSettingsInvalid with every fault."""
    path = folder / FILE_NAME
    if not path.is_symlink() and not path.exists():
        return DEFAULT
    try:
        with opened(path, folder) as descriptor, open(descriptor, "rb", closefd=False) as file:
            data = file.read(_LARGEST + 1)
    except Unusable as refusal:
        raise SettingsFileInvalid(path=path, detail=refusal.reason, detail_ja=refusal.reason_ja) from refusal
    if len(data) > _LARGEST:
        raise SettingsFileInvalid(path=path, detail="it is larger than 1 MiB", detail_ja="1 MiB を超えています")
    found = settings.of_file(path, data, of, LogSettingsInvalid)
    return replace(found, sha256=hashlib.sha256(data).hexdigest())


def of(raw: Mapping[str, Any]) -> Settings:
    """What is written there. Raises ConfigInvalid with every fault."""
    faults = list[Fault]()
    blank = {"window": None, "after": DEFAULT.after / MINUTE, "events": None, "readings": None, "quoted": None}
    top = _read(_Top, blank | {key: value for key, value in raw.items() if key not in ("machines", "tags")}, faults)
    machines = [_read(Machine, each, faults) for each in _tables(raw, "machines")]
    of_any = {"machine": "*", "unit": None, "low": None, "high": None}
    tags = [_read(Limits, of_any | each, faults, _crossed) for each in _tables(raw, "tags")]
    if faults or top is None:
        raise ConfigInvalid(faults)
    return Settings(
        None if top.window is None else round(top.window * MINUTE),
        round(top.after * MINUTE),
        top.events or (),
        top.readings or (),
        top.quoted or (),
        tuple(each for each in machines if each is not None),
        tuple(each for each in tags if each is not None),
        raw,
    )


def _read(
    kind: type[_Kind],
    raw: Mapping[str, Any],
    faults: list[Fault],
    contradictions: Callable[[Mapping[str, Any]], list[Fault]] = lambda _: [],
) -> _Kind | None:
    try:
        return settings.read(kind, raw, contradictions)
    except ConfigInvalid as error:
        faults += error.faults
        return None


def _crossed(values: Mapping[str, Any]) -> list[Fault]:
    """Of limits, between which no value can be."""
    low, high = values.get("low"), values.get("high")
    if low is None or high is None or low <= high:
        return []
    tag = values.get("tag", "")
    en, ja = f"{tag}: {low:g} is more than high, {high:g}", f"{tag}: low {low:g} が high {high:g} を上回っています"
    return [Inconsistent(where="tags.low", detail=en, detail_ja=ja)]


def _tables(raw: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """`[[key]]`, as often as it is there. What is no table has no keys: the fault is told as that."""
    found = raw.get(key, [])
    return [each if isinstance(each, dict) else {} for each in (found if isinstance(found, list) else [found])]


def _matches(path: str, pattern: str) -> bool:
    """By the whole path, or by the file's own name for a pattern without folders."""
    return fnmatchcase(path if "/" in pattern else path.rpartition("/")[2], pattern)
