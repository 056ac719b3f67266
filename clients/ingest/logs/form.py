"""Where in a CSV the table is: the lines before it, the names of its columns with their units, and the time.

Nothing is expected to be where it should: the time may stand in any column, or date and time in two, or the date before
the table; names may go over several rows (channel, tag, unit), and units stand in brackets or in a row of their own.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from clients.ingest.logs import times
from clients.ingest.logs.rows import Row, beginning, columns_of, is_unit, number, rows, separated

LOOKED_AT = 2_000  # rows that tell what the columns are
_FOR_THE_TIME = 300  # of them, those that tell where the time is
_ROWS_OF_NAMES = 8  # at most, above the first reading

_TIME_LABEL = re.compile(
    r".*(?:日時|日付|時刻|年月日|日 ?時|タイム|時間).*|(?:date|time|timestamp|datetime|zeit|datum)\b.*", re.IGNORECASE
)
_ROW_LABEL = re.compile(
    r"|(?:tag|ch|channel|unit|no|comment|name|タグ|チャンネル|単位|名称|コメント|信号|番号|項目|測定項目).{0,6}",
    re.IGNORECASE,
)
_UNIT_LABEL = re.compile(r"(?:unit|単位).*", re.IGNORECASE)
_IN_BRACKETS = re.compile(
    r"(?P<name>.+?)\s*(?:[\[［](?P<any>[^\]］]{1,12})[\]］]|[(（〔](?P<known>[^)）〕]{1,12})[)）〕])"
)
_DATE_WITHIN = re.compile(r"(?:令和|[RH])?\d{1,4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?")


@dataclass(frozen=True)
class Time:
    """Where a row's time is. `clock`: the column of the time of day where that is another one. `day`: midnight of the
    day before the table, where rows have no date."""

    column: int
    clock: int | None = None
    day: int | None = None

    @property
    def columns(self) -> tuple[int, ...]:
        return (self.column,) if self.clock is None else (self.column, self.clock)

    def of(self, cells: Sequence[str]) -> int | None:
        """In ms since 1970; None for a row without one."""
        if len(cells) <= max(self.columns):
            return None
        if self.clock is not None:
            day, clock = times.date(cells[self.column], compact=True), times.clock(cells[self.clock], compact=True)
            return None if day is None or clock is None else day + clock
        if self.day is not None:
            clock = times.clock(cells[self.column])
            return None if clock is None else self.day + clock
        return times.moment(cells[self.column])


@dataclass(frozen=True)
class Form:
    """`names` and `units` by column; no names where there is no header. `first`: the line that the table's first row
    ends on. `header`: the row that names are from, which may come again. `time`: None where rows have no time."""

    delimiter: str
    quoted: bool
    preamble: tuple[Row, ...]
    header: tuple[str, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    first: int
    time: Time | None

    @property
    def decimal_comma(self) -> bool:
        """As European spreadsheets write: 05.01.2026 09:00;182,4."""
        return self.delimiter == ";"


def look(text: str) -> tuple[Form, list[Row]]:
    """The form, and the first rows. Raises as `rows` does."""
    start = beginning(text)
    delimiter, quoted = separated(text, start)
    sample = list(islice(rows(start, delimiter, quoted), LOOKED_AT))
    columns, _ = columns_of([row.cells for row in sample])
    time = _time(sample[:_FOR_THE_TIME], columns) if columns > 1 else None
    if time is None:
        return plain(sample, delimiter, quoted), sample
    least = max(2, (columns + 1) // 2)
    at = next(i for i, row in enumerate(sample) if len(row.cells) >= least and time.of(row.cells) is not None)
    preamble, header, names, units = _named(sample[:at], columns, time)
    width = max(columns, len(names))
    names, units = ((*each, *[""] * (width - len(each))) for each in (names, units))
    names = tuple(name or f"列{number}" for number, name in enumerate(names, 1))
    first = sample[at].line
    return Form(delimiter, quoted, tuple(preamble), tuple(header), names, units, first, time), sample


def split_unit(name: str) -> tuple[str, str]:
    """温度[℃], 温度（℃） -> 温度, ℃. In round brackets only what is known for a unit."""
    found = _IN_BRACKETS.fullmatch(name)
    if found and (found["any"] or is_unit(found["known"])):
        return found["name"], (found["any"] or found["known"]).strip()
    return name, ""


def _time(sample: list[Row], columns: int) -> Time | None:
    """The column in which most rows have a time; else the two in which most have a date and a time of day; else the one
    with times of day, if a date stands before the table."""
    table = [row.cells for row in sample if 2 * len(row.cells) >= columns]
    full = _where(table, times.moment)
    if full:
        return Time(full[0][0])
    days = _where(table, lambda cell: times.date(cell, compact=True))
    clocks = _where(table, times.clock)
    if days and not clocks:
        in_digits = _where(table, lambda cell: times.clock(cell, compact=True))
        clocks = [each for each in in_digits if each[0] == days[0][0] + 1]
    if days and clocks and days[0][0] != clocks[0][0] and 2 * days[0][1] > clocks[0][1]:
        return Time(days[0][0], clocks[0][0])
    said = [found for row in sample[:20] for cell in row.cells for found in _DATE_WITHIN.findall(cell)]
    day = next((day for each in said if (day := times.date(each)) is not None), None)
    return Time(clocks[0][0], None, day) if clocks and day is not None else None


def _where(table: list[list[str]], read: Callable[[str], int | None]) -> list[tuple[int, int]]:
    """(column, rows) where something can be read, most rows first, then from left to right."""
    found = Counter(
        at for cells in table for at, cell in enumerate(cells) if 4 <= len(cell) <= 40 and read(cell) is not None
    )
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def _named(above: list[Row], columns: int, time: Time) -> tuple[list[Row], list[str], tuple[str, ...], tuple[str, ...]]:
    """(lines before the table, its header, names, units) out of the rows above its first reading."""
    at = _header(above, columns, time)
    if at is None:
        return above, [], (), ()
    header, more, units = above[at].cells, list[list[str]](), dict[int, str]()
    begins = at
    declared, types = _declared(above)
    if not declared:
        while begins and _is_row_of_names(above[begins - 1].cells, columns, time):
            begins -= 1
    for row in above[begins:at] + above[at + 1 :]:
        if _is_row_of_units(row.cells, time):
            units = {column: cell.strip("[]［］()（） ") for column, cell in enumerate(row.cells) if cell}
        else:
            more.append(row.cells)
    names, in_brackets = zip(*(split_unit(" ".join(name.split())) for name in header), strict=True)
    others = [
        dict.fromkeys(row[column] for row in more if column < len(row) and row[column] not in ("", name))
        for column, name in enumerate(names)
    ]
    shared = len({name for at, name in enumerate(names) if at not in time.columns}) == 1
    if shared and columns > 3:  # Value, Value, Value: what tells them apart stands above
        names = tuple(next(iter(other), name) for name, other in zip(names, others, strict=True))
        others = [dict.fromkeys([*other][1:]) for other in others]
    full = tuple(
        f"{name}（{'、'.join(other)}）" if name and other else name or "、".join(other)
        for name, other in zip(names, others, strict=True)
    )
    found = tuple(unit or units.get(column, "") for column, unit in enumerate(in_brackets))
    before = [row for row in above[:begins] if not declared or row.line not in (above[0].line, types)]
    return before, header, full, tuple(unit if unit not in ("-", "－") else "" for unit in found)


def _header(above: list[Row], columns: int, time: Time) -> int | None:
    """Which of the rows above the first reading is the header: the one that the file's first line names, the one that
    says time over the time, or the last one if it has names."""
    declared, _ = _declared(above)
    near = range(max(0, len(above) - _ROWS_OF_NAMES), len(above))
    for at in reversed(near):
        cells = above[at].cells
        wide = 2 * len(cells) >= columns and len(cells) > max(time.columns)
        if wide and (above[at].line == declared if declared else _TIME_LABEL.fullmatch(cells[time.column])):
            return at
    if above and 3 * len([cell for cell in above[-1].cells if cell]) >= 2 * columns:
        return None if any(number(cell, False) is not None for cell in above[-1].cells) else len(above) - 1
    return None


def _declared(above: list[Row]) -> tuple[int, int]:
    """(line of the names, line of the data types) by a first line such as `[LOGGING],RCPU_1,2,3,4`: what MELSEC writes
    of itself is type, version, then these and more lines. Zeros if there is none."""
    first = above[0].cells if above else []
    if len(first) < 4 or not re.fullmatch(r"\[[A-Z]+\]", first[0]) or not (first[2] + first[3]).isdecimal():
        return 0, 0
    return int(first[3]), int(first[2] or 0)


def _is_row_of_names(cells: list[str], columns: int, time: Time) -> bool:
    """Whether a row above the header belongs to it: channels, tags, units, with a word for that over the time."""
    if len(cells) <= time.column or 3 * sum(map(bool, cells)) < 2 * (columns - 1):
        return False
    return bool(_ROW_LABEL.fullmatch(cells[time.column])) and all(times.moment(cell) is None for cell in cells)


def _is_row_of_units(cells: list[str], time: Time) -> bool:
    filled = [cell for column, cell in enumerate(cells) if cell and column not in time.columns]
    labelled = len(cells) > time.column and bool(_UNIT_LABEL.fullmatch(cells[time.column]))
    return labelled or (bool(filled) and 2 * sum(map(is_unit, filled)) > len(filled))


def plain(sample: list[Row], delimiter: str, quoted: bool) -> Form:
    """The form of a table without times: its header is the first full row, if that has no numbers."""
    columns, _ = columns_of([row.cells for row in sample])
    for at, row in enumerate(sample):
        if len(row.cells) == columns > 1 and all(row.cells[1:]):
            has_numbers = any(number(cell, delimiter == ";") is not None for cell in row.cells[1:])
            names = () if has_numbers else tuple(row.cells)
            first = row.line if has_numbers else sample[at + 1].line if at + 1 < len(sample) else row.line + 1
            return Form(delimiter, quoted, tuple(sample[:at]), names, names, (), first, None)
    return Form(delimiter, quoted, (), (), (), (), 0, None)
