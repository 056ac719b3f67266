"""A window of readings -> lines of text, by one template (docs/ingest.md shows it).

    乾燥炉.csv 2～25 行目、2017-12-24 00:00～01:55、設備 MC-01
    炉内温度[℃]: 平均 182.4、最小 179.9、最大 185.2、最後 184.8、上昇
    炉内温度[℃]の上限 185 超過: 2 回（01:40～01:45、最大 185.2）
    炉内圧力: 0.61 で一定
    炉内温度の状態: Inp OutRange 3 回

The trend compares the means of the window's first and second half: 上昇 or 下降 if they differ by at least a third of
its range, else 横ばい. A cell that is no number is a state; its words are counted, and so are empty cells (欠測).
"""

from collections.abc import Iterator
from math import floor, log10

import numpy as np
from numpy.typing import NDArray

from clients.ingest.logs import times
from clients.ingest.logs.events import Beside
from clients.ingest.logs.readings import Log, Tag
from clients.ingest.logs.settings import Limits, Settings
from clients.ingest.logs.table import EMPTY, NUMBER, Column, Times
from clients.ingest.logs.windows import Window

_MOST_STATES = 8  # that are named, of a tag in a window


def told(log: Log, window: Window, file: str, settings: Settings, beside: Beside) -> Iterator[str]:
    """A record: its head, then each tag's lines, then the events."""
    lines, span = log.lines[window.start : window.end], log.times[window.start : window.end]
    first, last = int(span[0]), int(span[-1])
    whose = f"、設備 {log.machine}" if log.machine else ""
    yield f"{file} {lines.min()}～{lines.max()} 行目、{times.span(first, last)}{whose}"
    if window.pause:
        yield f"直前に {times.length(window.pause)}の空白（{times.shown(first - window.pause)} から記録なし）"
    for tag in log.tags:
        column, rows = tag.within(window)
        if len(rows):
            yield from _tag(tag, column, log.times[rows], settings.limits(column.name, log.machine))
    yield from beside.told(first, last)


def _tag(tag: Tag, column: Column, at: Times, limits: Limits) -> Iterator[str]:
    """One tag's window: its numbers, those beyond its limits, and what stood in place of numbers."""
    is_number = column.states == NUMBER
    values = column.values[is_number]
    unit = limits.unit or column.unit
    name = f"{column.name}[{unit}]" if unit else column.name
    if len(values):
        count = f"（{len(values)} 点）" if tag.rare else ""
        yield f"{name}: {_numbers(values)}{count}"
        yield from _beyond(name, values, at[is_number], limits)
    states, counts = np.unique(column.states[~is_number], return_counts=True)
    said = sorted(
        (column.words[state] or "欠測", int(count))
        for state, count in zip(states, counts, strict=True)
        if state != EMPTY or not (tag.rare or tag.is_state)
    )
    if said:
        more = f"、ほか {len(said) - _MOST_STATES} 種" if len(said) > _MOST_STATES else ""
        whose = column.name if tag.is_state else f"{column.name}の状態"
        yield f"{whose}: " + "、".join(f"{s} {n} 回" for s, n in said[:_MOST_STATES]) + more


def _numbers(values: NDArray[np.float64]) -> str:
    least, most = float(values.min()), float(values.max())
    if least == most:
        return f"{rounded(least)} で一定"
    mean = sum(values.tolist()) / len(values)  # in the rows' order, so that every numpy rounds alike
    figures = (("平均", mean), ("最小", least), ("最大", most), ("最後", float(values[-1])))
    return "、".join(f"{label} {rounded(value, most - least)}" for label, value in figures) + f"、{trend(values)}"


def _beyond(name: str, values: NDArray[np.float64], at: Times, limits: Limits) -> Iterator[str]:
    for limit, words, extreme in ((limits.high, "上限 {} 超過", np.max), (limits.low, "下限 {} 未満", np.min)):
        if limit is None:
            continue
        beyond = values > limit if extreme is np.max else values < limit
        if beyond.any():
            when, worst = at[beyond], float(extreme(values[beyond]))
            span = times.span(int(when[0]), int(when[-1]))[11:] if len(when) > 1 else times.shown(int(when[0]))[11:]
            label = "最大" if extreme is np.max else "最小"
            count = int(beyond.sum())
            yield f"{name}の{words.format(rounded(limit))}: {count} 回（{span}、{label} {rounded(worst)}）"


def trend(values: NDArray[np.float64]) -> str:
    half = len(values) // 2
    change = float(values[-half:].mean() - values[:half].mean())
    if 3 * abs(change) < float(values.max() - values.min()):
        return "横ばい"
    return "上昇" if change > 0 else "下降"


def rounded(value: float, spread: float = 0) -> str:
    """Four significant digits, more where figures that lie within `spread` would else look alike (a diameter of 12.003
    among others of 12.001); never in powers of ten."""
    if not value:
        return "0"
    places = max(3 - floor(log10(abs(value))), 1 - floor(log10(spread)) if spread else 0)
    places = min(9, max(0, places))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
