"""CSV -> text: a sensor log by a template of windows, any other table a row a line.

A model of language learns little from columns of digits. So a log's rows are told in words, `WINDOW` rows at a time:

    乾燥炉.csv 2～25 行目、2017-12-24 00:00～01:55
    炉内温度: 平均 182.4、最小 179.9、最大 185.2、最後 184.8、上昇
    炉内圧力: 0.61 で一定
    炉内温度の状態: Inp OutRange 3 回

The trend compares the means of the window's first and second half: 上昇 or 下降 if they differ by at least a third of
its range, else 横ばい. A cell that is no number is a status; its words are counted, and so are empty cells (欠測).

European spreadsheets write `;` between cells and a comma in numbers: 05.01.2026 09:00;182,4.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import floor, log10

from clients.ingest.content import Content, Facts, Unusable
from clients.ingest.encoding import decode

WINDOW = 24  # rows
_DELIMITERS = ";\t,"  # with decimal commas there are as many commas as semicolons: the first of equals is taken
_LOOKED_AT = 50  # rows that the form is judged by
_TIMES, _NUMBERS = 0.9, 0.6  # shares of rows and of filled cells that make a table a sensor log

_TIME = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?[ T\u3000]*"
    r"(\d{1,2})[:時](\d{1,2})(?:[:分](\d{1,2})(?:\.\d+)?秒?)?(?:分|Z)?"
)
_EUROPEAN_TIME = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4}) +(\d{1,2}:.*)")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+(?:[eE][+-]?[0-9]{1,2})?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True)
class Row:
    """A row's cells, and the line of the file that it ends on (from 1)."""

    line: int
    cells: list[str]


def read(data: bytes, name: str) -> Content:
    """Raises Unusable when the encoding is unknown. `name`: the file's own, which each record cites."""
    decoded = decode(data)
    delimiter, rows = _rows(decoded.text)
    if not rows:
        raise Unusable("empty", "空です")
    preamble, header, body = _form(rows if delimiter != ";" else [_european(row) for row in rows])
    is_log = header is not None and _is_log(body)
    if not is_log:
        preamble, header, body = _form(rows)  # as written
    lines = [" ".join(filter(None, row.cells)) for row in preamble]
    if header is not None and is_log:
        lines += _records(name, header.cells, body)
    else:
        lines += (_labelled(header.cells if header else [], row.cells) for row in body)
    text = "".join(line + "\n" for line in lines if line)
    return Content(text, Facts("sensor log" if is_log else "table", decoded.encoding, decoded.sure))


def _rows(text: str) -> tuple[str, list[Row]]:
    """The delimiter that makes the most columns, and all rows that are not blank, cells stripped."""
    start = "".join(text.splitlines(keepends=True)[:_LOOKED_AT])
    delimiter = max(_DELIMITERS, key=lambda each: _columns(list(csv.reader(io.StringIO(start), delimiter=each))))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows = (Row(reader.line_num, [" ".join(cell.split()) for cell in cells]) for cells in reader)
    return delimiter, [row for row in rows if any(row.cells)]


def _european(row: Row) -> Row:
    """With points in numbers, and times the other way round."""
    cells = [_EUROPEAN_TIME.sub(r"\3-\2-\1 \4", cell) for cell in row.cells]
    return Row(row.line, [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells])


def _columns(rows: Sequence[Sequence[str]]) -> int:
    """How many columns most of the rows with several have."""
    return max(Counter(len(row) for row in rows if len(row) > 1).items(), key=lambda item: item[1], default=(1, 0))[0]


def _form(rows: list[Row]) -> tuple[list[Row], Row | None, list[Row]]:
    """(lines before the table, its header if it has one, its rows). A row of units joins the header."""
    columns = _columns([row.cells for row in rows])
    for at, row in enumerate(rows[:_LOOKED_AT]):
        names = row.cells[1:]
        if len(row.cells) == columns > 1 and all(names):
            if _time(row.cells[0]) or any(_number(cell) is not None for cell in names):
                return rows[:at], None, rows[at:]
            return rows[:at], row, rows[at + 1 :]
    return [], None, rows


def _is_log(body: list[Row]) -> bool:
    filled = [cell for row in body for cell in row.cells[1:] if cell]
    numbers = sum(_number(cell) is not None for cell in filled)
    times = sum(_time(row.cells[0]) != "" for row in body)
    return bool(filled) and times >= _TIMES * len(body) and numbers >= _NUMBERS * len(filled)


def _labelled(header: list[str], cells: list[str]) -> str:
    names = header + [""] * (len(cells) - len(header))
    return " | ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=False) if cell)


def _records(name: str, header: list[str], body: list[Row]) -> Iterator[str]:
    timed = [row for row in body if _time(row.cells[0])]
    for start in range(0, len(timed), WINDOW):
        window = timed[start : start + WINDOW]
        first, last = (_time(row.cells[0]) for row in (window[0], window[-1]))
        until = last.removeprefix(first[:11])  # the day is not said twice
        yield f"{name} {window[0].line}～{window[-1].line} 行目、{first}～{until}"
        for column in range(1, len(header)):
            yield from _told(header[column], [row.cells[column] if column < len(row.cells) else "" for row in window])


def _told(tag: str, cells: list[str]) -> Iterator[str]:
    """One tag's window: its numbers, and what stood in place of numbers."""
    values = [value for value in map(_number, cells) if value is not None]
    if values and min(values) == max(values):
        yield f"{tag}: {_rounded(values[0])} で一定"
    elif values:
        mean = sum(values) / len(values)
        figures = zip(("平均", "最小", "最大", "最後"), (mean, min(values), max(values), values[-1]), strict=True)
        yield f"{tag}: {'、'.join(f'{label} {_rounded(value)}' for label, value in figures)}、{_trend(values)}"
    states = Counter(cell or "欠測" for cell in cells if _number(cell) is None)
    if states:
        yield f"{tag}の状態: " + "、".join(f"{state} {count} 回" for state, count in sorted(states.items()))


def _trend(values: list[float]) -> str:
    half = len(values) // 2
    change = sum(values[-half:]) / half - sum(values[:half]) / half
    if 3 * abs(change) < max(values) - min(values):
        return "横ばい"
    return "上昇" if change > 0 else "下降"


def _number(cell: str) -> float | None:
    return float(cell) if _NUMBER.fullmatch(cell) else None


def _time(cell: str) -> str:
    """`2017-12-24 00:05`, with seconds if there are any; empty for what is no time."""
    found = _TIME.fullmatch(cell)
    if not found:
        return ""
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    return f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _rounded(value: float) -> str:
    """Four significant digits, never in powers of ten."""
    if not value:
        return "0"
    places = min(9, max(0, 3 - floor(log10(abs(value)))))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
