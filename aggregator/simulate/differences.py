"""Is it worth joining? Differences between arms on the members' test texts, in bits a character, with intervals.

Every member weighs the same, but in `by_size`. What varies is which texts a member happens to have for testing: errors
come from leaving out one of a member's texts at a time (jackknife; Efron and Stein 1981), near-duplicates together, and
Student's t carries them, with as many degrees of freedom as the texts' lengths leave (Satterthwaite 1946). They say
what other texts of the same members would have given; not what other members would, nor other seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
HARM = 0.01  # bits a character: less than this is no harm that anyone would notice
ESTIMABLE = 0.02  # bits a character: where pooling itself gains less, a share of that gain means nothing

PAIRS = {
    "B_minus_F": ("base", "federated"),
    "L_minus_F": ("local", "federated"),
    "L_minus_Fplus": ("local", "personalised"),
    "F_minus_Fplus": ("federated", "personalised"),
    "F_minus_P": ("federated", "pooled"),
    "L_minus_P": ("local", "pooled"),
    "F_minus_plain": ("federated", "plain"),
}

Nats = Sequence[Sequence[float]]
"""By member, the summed nats of each of its test texts (families of near-duplicates)."""


@dataclass(frozen=True)
class Interval:
    """A mean over members and its 95 % interval; no interval where a member has but one test text. `by_size`: the mean
    in which members weigh as their test texts' characters, as if all texts were one member's."""

    mean: float
    low: float | None
    high: float | None
    by_size: float


@dataclass(frozen=True)
class Verdict:
    """What the arms say. `closure`: how much of what pooling gains over local the federation gains; None where that is
    not estimable. `harmed`: members that are worse off with the federated adapter than by themselves, `undecided`:
    those of whom it cannot be said (Holm's correction over all members); `harmed_personalised`,
    `undecided_personalised`: the same of the personalised one."""

    differences: Mapping[str, Interval]
    closure: float | None
    harmed: tuple[str, ...]
    undecided: tuple[str, ...]
    harmed_personalised: tuple[str, ...]
    undecided_personalised: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """One member's difference between two arms: bits a character, its squared error, that error's degrees of freedom
    (0: it cannot be told), and over how many characters."""

    bits: float
    variance: float
    freedom: float
    characters: int


def judge(characters: Sequence[Sequence[int]], arms: Mapping[str, Nats], members: Sequence[str]) -> Verdict:
    """`characters`: of each test text by member; `arms`: name -> nats in the same shape. Says what can be said of the
    arms that were run."""
    found = {
        name: [difference(*each) for each in zip(arms[one], arms[other], characters, strict=True)]
        for name, (one, other) in PAIRS.items()
        if {one, other} <= arms.keys()
    }
    intervals = {name: interval(each) for name, each in found.items()}
    closure, gain = None, intervals.get("L_minus_P")
    if gain is not None and gain.low is not None and gain.low > ESTIMABLE:
        closure = intervals["L_minus_F"].mean / gain.mean
    harm = [_harm(found[name], members) if name in found else ((), ()) for name in ("L_minus_F", "L_minus_Fplus")]
    return Verdict(intervals, closure, *harm[0], *harm[1])


def difference(one: Sequence[float], other: Sequence[float], characters: Sequence[int]) -> Difference:
    """`one` - `other` of one member, each the nats of its test texts."""
    bits = (np.asarray(one, dtype=np.float64) - np.asarray(other)) / log(2)
    return Difference(*jackknifed(bits, characters), sum(characters))


def jackknifed(amounts: ArrayLike, sizes: ArrayLike) -> tuple[float, float, float]:
    """sum(amounts) / sum(sizes), each of one text; that ratio's squared error; and its degrees of freedom."""
    amounts, sizes = np.asarray(amounts, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    ratio, count = amounts.sum() / sizes.sum(), len(sizes)
    if count < 2:
        return float(ratio), 0.0, 0.0
    without = (amounts.sum() - amounts) / (sizes.sum() - sizes)
    variance = (count - 1) / count * np.square(without - without.mean()).sum()
    # A text as long as all others together is worth hardly more than one.
    effective = sizes.sum() ** 2 / np.square(sizes).sum()
    return float(ratio), float(variance), float(effective - 1)


def interval(members: Sequence[Difference]) -> Interval:
    """The mean over members."""
    bits, sizes = [each.bits for each in members], [each.characters for each in members]
    mean, by_size = float(np.mean(bits)), float(np.average(bits, weights=sizes))
    if any(not each.freedom for each in members):
        return Interval(mean, None, None, by_size)
    variances = np.array([each.variance for each in members])
    total = variances.sum()
    if not total:
        return Interval(mean, mean, mean, by_size)
    freedom = total**2 / (np.square(variances) / [each.freedom for each in members]).sum()
    reach = student_quantile((1 + LEVEL) / 2, freedom) * sqrt(total) / len(members)
    return Interval(mean, mean - reach, mean + reach, by_size)


def _harm(gains: Sequence[Difference], members: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(harmed, undecided): members whose loss, the negative of `gains` over local, lies above HARM, and those where it
    may. Each side at half of 5 %, so that the two together are one interval of 95 %."""
    above = np.array([_tail(-each.bits - HARM, each) for each in gains])
    below = np.array([_tail(HARM + each.bits, each) for each in gains])
    harmed, cleared = _rejected(above), _rejected(below)
    names = np.array(members)
    return tuple(names[harmed].tolist()), tuple(names[~harmed & ~cleared].tolist())


def _tail(beyond: float, each: Difference) -> float:
    """How likely a difference this far beyond its limit is if the limit is the truth; 1 where that cannot be told."""
    if not each.freedom:
        return 1.0
    if not each.variance:
        return 0.0 if beyond > 0 else 1.0
    return student_tail(beyond / sqrt(each.variance), each.freedom)


def _rejected(p_values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Holm (1979): which hypotheses fall at a family-wise error of (1 - LEVEL) / 2."""
    order = np.argsort(p_values)
    falls = p_values[order] <= (1 - LEVEL) / 2 / np.arange(len(order), 0, -1)
    rejected = np.zeros(len(order), dtype=bool)
    rejected[order[: len(falls) if falls.all() else int(np.argmin(falls))]] = True
    return rejected


def student_tail(t: float, freedom: float) -> float:
    """P(T >= t): with T = sqrt(freedom) tan(angle), the angle's density is proportional to cos^(freedom - 1)."""
    reach = np.arctan(abs(t) / sqrt(freedom))
    # Halves of the integral between 0, reach and 90 degrees. The power may be negative: no point lies at 90 degrees.
    inner, outer = (_integral(low, high, freedom - 1) for low, high in ((0.0, reach), (reach, np.pi / 2)))
    tail = 0.5 * outer / (inner + outer)
    return float(tail if t >= 0 else 1 - tail)


def _integral(low: float, high: float, power: float) -> float:
    """Of cos^power from `low` to `high`, by midpoints that crowd where the density may rise, at 90 degrees."""
    edges = high - (high - low) * np.linspace(1, 0, 4_001) ** 3
    middles, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    return float((np.cos(middles) ** power * widths).sum())


def student_quantile(share: float, freedom: float) -> float:
    """The t that T stays below with probability `share` > 0.5, by halving."""
    low, high = 0.0, 1e6
    while high - low > 1e-6 * (1 + low):
        middle = (low + high) / 2
        low, high = (middle, high) if student_tail(middle, freedom) > 1 - share else (low, middle)
    return (low + high) / 2
