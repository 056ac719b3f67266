"""CSV -> text: readings by a template of windows, events by theirs, any other table a row a line.

A model of language learns little from columns of digits, so that a log's rows are told in words (`template`). The way
there: `rows` (cells), `form` (where the table is), `roles` (what its columns are), `table` (cells as arrays),
`readings` (by machine and tag, nothing twice), `windows`, `template`. `events` are records of their own, and stand
beside the windows that they fell into or followed. What the site knows better stands in `settings`.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clients.ingest import marks
from clients.ingest.content import Content, Facts, LeftOut, LogSpan, Unusable
from clients.ingest.encoding import decode
from clients.ingest.logs import readings, template, told_rows
from clients.ingest.logs.events import Beside, Event, events, records
from clients.ingest.logs.form import LOOKED_AT, Form, look, plain
from clients.ingest.logs.roles import Roles, roles
from clients.ingest.logs.rows import Row, beginning, rows
from clients.ingest.logs.settings import Settings
from clients.ingest.logs.site import ALONE, Companion, Site
from clients.ingest.logs.table import Table, tables
from clients.ingest.logs.windows import windows

_TIMED = 0.9  # share of its rows that have a time in a log
_TABBED = 0.8  # share of lines with a tab in a text that may be a log


@dataclass(frozen=True)
class _File:
    """A CSV that was looked into. `sample`: its first rows; `places`: where its columns but for the time are."""

    text: str
    form: Form
    roles: Roles
    sample: Sequence[Row]
    machine: str

    @property
    def places(self) -> list[int]:
        time = self.form.time.columns if self.form.time else ()
        return [column for column in range(len(self.form.names)) if column not in time]

    def rows(self) -> Iterator[Row]:
        return rows(self.text, self.form.delimiter, self.form.quoted)

    def events(self, name: str) -> list[Event]:
        return events(self.rows(), self.form, self.roles, self.machine, name)


def read(data: bytes, name: str, site: Site = ALONE) -> Content:
    """`name`: the file's own, which each record cites. Raises Unusable when the encoding is unknown, the table is
    beyond all measure, or all of it was told already."""
    decoded = decode(data)
    file = _looked_into(decoded.text, site.path or name, site.settings)
    if not file.sample:
        raise Unusable("empty", "空です")
    left_out, span = Counter[tuple[str, str]](), None
    if file.roles.kind == "sensor log":
        told, span = _readings(file, name, site, left_out)
    elif file.roles.kind == "event log":
        told, span = _events(file, name, site, left_out)
    else:
        told = [_labelled(file.form.names, row.cells) for row in file.rows() if row.line >= file.form.first]
    if not told and site.earlier:
        first = site.earlier[0].path
        raise Unusable(f"all its rows are in {first}", f"すべての行が {first} にあります")
    before = [" ".join(filter(None, row.cells)) for row in file.form.preamble]
    text = "".join(line + "\n" for line in before + told if line)
    facts = Facts(file.roles.kind, decoded.encoding, decoded.sure, len(told))
    counted = tuple(LeftOut(n, *what) for what, n in left_out.items() if n)
    return Content(text, facts, counted, marks=marks.in_cells(decoded.text, file.form.delimiter), log=span)


def read_text(data: bytes, name: str, site: Site = ALONE) -> Content | None:
    """A log in a `.txt` (MELSEC's Unicode text files are such), as `read` has it; None for any other text: one in which
    many lines have no tab, or that is neither readings nor events."""
    if b"\t" not in data:
        return None
    start = beginning(decode(data).text).splitlines()[:LOOKED_AT]
    if sum("\t" in line for line in start) < _TABBED * len([line for line in start if line.strip()]):
        return None
    content = read(data, name, site)
    return None if content.facts.kind == "table" else content


def _looked_into(text: str, path: str, settings: Settings) -> _File:
    text = text.rstrip("\0")  # of files that were laid out before they were written
    form, sample = look(text)
    kind = settings.kind(path)
    machine = settings.machine(path) or readings.machine_before(form.preamble)
    if form.time is not None:
        file = _File(text, form, Roles("table"), sample, machine)
        first, skipped = next(tables(sample, form, frozenset(), ended=True))
        if len(first) >= _TIMED * (len(first) + skipped.untimed):
            found = roles(dict(zip(file.places, first.columns, strict=True)), kind)
            if found.kind != "table":
                return _File(text, form, found, sample, machine)
    return _File(text, plain(sample, form.delimiter, form.quoted), Roles("table"), sample, machine)


def _tables(file: _File, left_out: Counter[tuple[str, str]]) -> Iterator[Table]:
    ended = file.text.endswith(("\n", "\r"))
    for table, skipped in tables(file.rows(), file.form, file.roles.as_text, ended):
        left_out["rows without a time", "時刻のない行"] += skipped.untimed
        left_out["unfinished last rows", "書きかけの最終行"] += skipped.unfinished
        if len(table):
            yield table


def _readings(
    file: _File, name: str, site: Site, left_out: Counter[tuple[str, str]]
) -> tuple[list[str], LogSpan | None]:
    told = list(_told(file.machine, site))
    beside = [event for other in site.events for event in _companion(other, site.settings).events(_last(other.path))]
    windows_told, spans, columns, hashes = list[str](), list[int](), list[str](), [np.zeros(0, dtype=np.uint64)]
    of_machine = np.uint64(int(_digest([file.machine])[:16], 16))  # another one's rows may be equal by chance
    for number, table in enumerate(_tables(file, left_out)):
        first = number == 0
        places = file.places if first else list(range(len(table.columns)))
        its_roles = file.roles if first else roles(dict(enumerate(table.columns)), "sensor log")
        columns += [column.name for column in table.columns]
        spans += [int(table.times.min()), int(table.times.max())]
        once = readings.once(table, told)
        hashes.append(once.keys() ^ of_machine)
        left_out["rows that were told before", "重複する行"] += len(table) - len(once)
        for log in readings.logs(once, places, its_roles, file.machine):
            hashes.append(told_rows.stretches(log.readings()))
            around = Beside(beside, log.machine, site.path or name, site.settings.after)
            for window in windows(log.times, site.settings.window):
                windows_told.append("\n".join(template.told(log, window, name, site.settings, around)))
    if not spans:
        return windows_told, None
    return windows_told, LogSpan(_digest(columns), min(spans), max(spans), told_rows.chosen(np.concatenate(hashes)))


def _told(machine: str, site: Site) -> Iterator[readings.Told]:
    """The earlier logs of the same machine, one in memory at a time; another one's rows may be equal by chance."""
    for other in site.earlier:
        companion = _companion(other, site.settings)
        if companion.machine == machine:
            for table in _tables(companion, Counter()):
                yield readings.Told(table.times, table.keys())


def _events(file: _File, name: str, site: Site, left_out: Counter[tuple[str, str]]) -> tuple[list[str], LogSpan | None]:
    found = file.events(name)
    told = {event.key for other in site.earlier for event in _companion(other, site.settings).events("")}
    new = [event for event in found if event.key not in told]
    left_out["events that were told before", "重複する記録"] += len(found) - len(new)
    hashes = np.array([int(_digest([*map(str, event.key)])[:16], 16) for event in new], dtype=np.uint64)
    of_all = _digest(file.form.names)
    span = LogSpan(of_all, found[0].time, found[-1].time, told_rows.chosen(hashes)) if found else None
    return list(records(new, name)), span


def _companion(other: Companion, settings: Settings) -> _File:
    return _looked_into(decode(other.load()).text, other.path, settings)


def _labelled(names: Sequence[str], cells: Sequence[str]) -> str:
    cells = [" ".join(cell.split()) for cell in cells]
    named = (*names, *[""] * (len(cells) - len(names)))
    return " | ".join(f"{name}: {cell}" if name else cell for name, cell in zip(named, cells, strict=False) if cell)


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(names).encode("utf-8", "replace")).hexdigest()[:32]


def _last(path: str) -> str:
    return path.rpartition("/")[2]
