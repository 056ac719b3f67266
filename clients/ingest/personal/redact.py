"""Documents -> documents without what the site wants masked, and what was found in them."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial

from clients.ingest.changes import Redaction
from clients.ingest.personal import addresses, credentials, names, numbers
from clients.ingest.personal.context import Context
from clients.ingest.personal.kinds import KINDS, Find
from clients.ingest.personal.settings import PersonalSettings
from clients.ingest.selection import Document, Documents, SetAside

_RULES = {
    "secret": credentials.secrets,
    "my_number": numbers.my_numbers,
    "mail": addresses.mail_addresses,
    "phone": numbers.telephones,
    "employee": numbers.employees,
    "address": addresses.postal_addresses,
    "name": names.names,
    "ip": numbers.ip_addresses,
}
_RANK = {name: rank for rank, name in enumerate(KINDS)}
_STRENGTH = {"drop": 0, "mask": 1, "report": 2}
_AROUND = 20  # characters of context in the review
_PLACES = 3  # of each find that are told
MOST_TOLD = 5_000
"""Texts of one kind that are told by themselves, the first that were found; of all, how often they were found. A folder
may hold more than memory does."""
_LONGEST = 200  # characters of such a text


@dataclass(frozen=True)
class Place:
    """Where something was found: `line` (from 1) of a document's text, and what stands before and behind it."""

    document: str
    line: int
    before: str = field(repr=False)
    behind: str = field(repr=False)


@dataclass
class Sighting:
    """One text that was found, how often, and the first places. For the review file alone: it is what is protected."""

    kind: str
    text: str = field(repr=False)
    count: int = 0
    places: list[Place] = field(default_factory=list)


@dataclass(frozen=True)
class _Seen:
    """One text that was found in one document, how often, and the first places: line, what is before and behind."""

    kind: str
    text: str = field(repr=False)
    count: int
    places: list[tuple[int, str, str]] = field(repr=False)


@dataclass(frozen=True)
class Redacted:
    """The documents that are left, those that were dropped, and what was found: counted, and in its own words."""

    documents: Documents
    dropped: tuple[SetAside, ...]
    redactions: tuple[Redaction, ...]
    sightings: tuple[Sighting, ...] = field(repr=False)


def redacted(documents: Iterable[Document], settings: PersonalSettings) -> Redacted:
    """Every document as `settings` want it. The same documents and settings give the same, in any order of rules."""
    kept, dropped = list[Document](), list[SetAside]()
    finds: dict[str, int] = {}
    holders: dict[str, int] = {}
    sightings: dict[tuple[str, str], Sighting] = {}
    told = Counter[str]()
    for document in documents:
        masked, said = document.changed("redacted", partial(_redacted, settings=settings), settings.as_text)
        found = [_Seen(*each) for each in json.loads(said)]
        _note(document.name, found, sightings, told)
        for each in found:
            finds[each.kind] = finds.get(each.kind, 0) + each.count
        kinds = {each.kind for each in found}
        for kind in kinds:
            holders[kind] = holders.get(kind, 0) + 1
        if dropping := [kind for kind in KINDS if kind in kinds and settings.modes.of(kind) == "drop"]:
            dropped.append(_set_aside(document, dropping))
        else:
            kept.append(masked)
    redactions = (
        Redaction(kind, settings.modes.of(kind), finds[kind], holders[kind]) for kind in KINDS if kind in finds
    )
    return Redacted(tuple(kept), tuple(dropped), tuple(redactions), tuple(sightings.values()))


def find(text: str, settings: PersonalSettings) -> list[Find]:
    """What is in `text` of the kinds that are not off and what is not allowed, in order, without overlaps."""
    wanted = [kind for kind in KINDS if settings.modes.of(kind) != "off"]
    if not wanted:
        return []
    context = Context(text)
    found = [each for kind in wanted if kind in _RULES for each in _RULES[kind](context)]
    if "own" in wanted:
        found += [Find("own", *span) for span in settings.own_vocabulary.spans(text)]
    allowed = _united(Find("own", *span) for span in settings.allowed_vocabulary.spans(text))
    strength = {kind: _STRENGTH[settings.modes.of(kind)] for kind in wanted}
    left = _outside(found, allowed)
    changed = _united(
        sorted((f for f in left if strength[f.kind] < 2), key=lambda f: (strength[f.kind], _RANK[f.kind]))
    )
    only_told = _united(sorted((f for f in left if strength[f.kind] == 2), key=lambda f: _RANK[f.kind]))
    return sorted([*changed, *_outside(only_told, changed, touching=True)], key=lambda each: each.start)


def _united(finds: Iterable[Find]) -> list[Find]:
    """Overlapping finds as one, of the kind that comes first in `finds`; in order of their places."""
    ranked = sorted(enumerate(finds), key=lambda each: each[1].start)
    result = list[tuple[int, Find]]()
    for rank, each in ranked:
        if result and each.start < result[-1][1].end:
            before_rank, before = result[-1]
            kind = before.kind if before_rank <= rank else each.kind
            result[-1] = min(rank, before_rank), Find(kind, before.start, max(before.end, each.end))
        else:
            result.append((rank, each))
    return [each for _, each in result]


def _outside(finds: Sequence[Find], spans: Sequence[Find], touching: bool = False) -> list[Find]:
    """Those of `finds` that do not lie within one of `spans`, which are in order and apart; nor, if `touching`, overlap
    one."""
    left, index = list[Find](), 0
    for each in sorted(finds, key=lambda each: (each.start, each.end)):
        while index < len(spans) and spans[index].end <= each.start:
            index += 1
        span = spans[index] if index < len(spans) else None
        within = span is not None and span.start <= each.start and each.end <= span.end
        overlaps = span is not None and span.start < each.end
        if not (within or (touching and overlaps)):
            left.append(each)
    return left


def _redacted(text: str, settings: PersonalSettings) -> tuple[str, bytes]:
    """A text as `settings` want it, and a `_Seen` for each of the texts that were found in it, as JSON."""
    found = find(text, settings)
    seen = [astuple(each) for each in _seen(text, found)]
    return _masked(text, found, settings), json.dumps(seen, ensure_ascii=False).encode()


def _masked(text: str, found: Sequence[Find], settings: PersonalSettings) -> str:
    pieces, place = list[str](), 0
    for each in found:
        if settings.modes.of(each.kind) == "mask":
            pieces += text[place : each.start], KINDS[each.kind].placeholder
            place = each.end
    return "".join([*pieces, text[place:]])


def _seen(text: str, found: Sequence[Find]) -> list[_Seen]:
    line, counted = 1, 0
    counts, places = Counter[tuple[str, str]](), dict[tuple[str, str], list[tuple[int, str, str]]]()
    for each in found:
        line, counted = line + text.count("\n", counted, each.start), each.start
        key = each.kind, text[each.start : each.end]
        counts[key] += 1
        if counts[key] <= _PLACES:
            before = text[max(0, each.start - _AROUND) : each.start].rpartition("\n")[2]
            behind = text[each.end : each.end + _AROUND].partition("\n")[0]
            places.setdefault(key, []).append((line, before, behind))
    return [_Seen(*key, count, places[key]) for key, count in counts.items()]


def _note(name: str, found: Iterable[_Seen], sightings: dict[tuple[str, str], Sighting], told: Counter[str]) -> None:
    """Into `sightings`; `told`: of each kind how many are there."""
    for each in found:
        key = each.kind, each.text[:_LONGEST]
        if key not in sightings:
            if told[each.kind] == MOST_TOLD:
                continue
            told[each.kind] += 1
        sighting = sightings.setdefault(key, Sighting(*key))
        sighting.count += each.count
        left = each.places[: _PLACES - len(sighting.places)]
        sighting.places.extend(Place(name, *place) for place in left)


def _set_aside(document: Document, kinds: Iterable[str]) -> SetAside:
    held = [KINDS[kind] for kind in kinds]
    en = "holds " + " and ".join(kind.en for kind in held) + ", which personal.toml drops"
    ja = "、".join(kind.ja for kind in held) + "を含みます（personal.toml で除外）"
    return SetAside(document.name, en, ja, document.marks, document.file)
