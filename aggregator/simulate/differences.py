"""Is it worth joining? Differences between arms on the members' test documents, in bits a character, with intervals.

Every member weighs the same. Intervals come from resampling documents within members (percentile bootstrap; Rao and
Wu 1988 for few documents): they say what other documents of the same members would have given, not what other members
would. One member's few documents are too few for that, and are judged by Student's t.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
HARM = 0.01  # bits a character: less than this is no harm that anyone would notice
ESTIMABLE = 0.02  # bits a character: where pooling itself gains less, a share of that gain means nothing

Draws = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over members and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """What the arms say. `closure`: how much of what pooling gains over local the federation gains; None where that is
    not estimable. `harmed`: members that are worse off than by themselves, `undecided`: those of whom it cannot be said
    (Holm's correction over all members)."""

    differences: Mapping[str, Interval]
    closure: float | None
    harmed: tuple[str, ...]
    undecided: tuple[str, ...]


class Sample:
    """The members' test documents, resampled in the same way for every arm: what makes differences paired."""

    def __init__(self, characters: Sequence[Sequence[int]]) -> None:
        stream = np.random.default_rng(20_26)
        self._characters = [np.asarray(sizes, dtype=np.float64) for sizes in characters]
        self._weights = [_weights(stream, len(sizes)) for sizes in characters]

    def bits(self, nats: Sequence[Sequence[float]]) -> Draws:
        """(1 + RESAMPLES, members): bits a character of an arm; row 0 is what was measured."""
        columns = [
            weights @ np.asarray(losses) / (weights @ sizes) / log(2)
            for losses, sizes, weights in zip(nats, self._characters, self._weights, strict=True)
        ]
        return np.stack(columns, axis=1)

    def tails(
        self, one: Sequence[Sequence[float]], other: Sequence[Sequence[float]], limit: float
    ) -> tuple[Draws, Draws]:
        """By member, how likely differences `one` - `other` this far above and this far below `limit` are, if it is
        the truth: (above, below). From Student's t over documents, for the ratio of nats to characters."""
        above, below = [], []
        for first, second, sizes in zip(one, other, self._characters, strict=True):
            bits = (np.asarray(first) - np.asarray(second)) / log(2)
            ratio, count = bits.sum() / sizes.sum(), len(sizes)
            error = np.sqrt(count / max(count - 1, 1) * np.square(bits - ratio * sizes).sum()) / sizes.sum()
            if count < 2:
                tail = 0.5
            elif error == 0:
                tail = 0.5 - 0.5 * float(np.sign(ratio - limit))
            else:
                tail = _student_tail((ratio - limit) / error, count - 1)
            above.append(tail)
            below.append(1 - tail)
        return np.array(above), np.array(below)


def _weights(stream: np.random.Generator, documents: int) -> Draws:
    """How often each document is counted: once in row 0, as drawn with replacement in the others. One fewer is drawn
    than there are: as many would make the interval of a handful too narrow."""
    drawn = stream.multinomial(max(documents - 1, 1), np.full(documents, 1 / documents), size=RESAMPLES)
    return np.concatenate([np.ones((1, documents)), drawn]).astype(np.float64)


def interval(draws: Draws) -> Interval:
    """Of (1 + RESAMPLES, members): the mean over members."""
    means = draws.mean(axis=1)
    low, high = np.quantile(means[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(means[0]), float(low), float(high))


def judge(sample: Sample, arms: Mapping[str, Sequence[Sequence[float]]], members: Sequence[str]) -> Verdict:
    """`arms`: name -> nats of each test document by member. Says of arms that were run what can be said."""
    bits = {name: sample.bits(nats) for name, nats in arms.items()}
    pairs = {
        "B_minus_F": ("base", "federated"),
        "L_minus_F": ("local", "federated"),
        "F_minus_P": ("federated", "pooled"),
    }
    pairs |= {"L_minus_P": ("local", "pooled"), "F_minus_plain": ("federated", "plain")}
    differences = {
        name: interval(bits[one] - bits[other]) for name, (one, other) in pairs.items() if {one, other} <= bits.keys()
    }
    closure = None
    if "L_minus_P" in differences and differences["L_minus_P"].low > ESTIMABLE:
        closure = differences["L_minus_F"].mean / differences["L_minus_P"].mean
    harmed, undecided = _harm(sample, arms, members) if "local" in arms else ((), ())
    return Verdict(differences, closure, harmed, undecided)


def _harm(
    sample: Sample, arms: Mapping[str, Sequence[Sequence[float]]], members: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(harmed, undecided): members whose F - L lies above HARM, and those where it may."""
    above, below = sample.tails(arms["federated"], arms["local"], HARM)
    harmed, cleared = _rejected(above), _rejected(below)
    names = np.array(members)
    return tuple(names[harmed].tolist()), tuple(names[~harmed & ~cleared].tolist())


def _student_tail(t: float, freedom: int) -> float:
    """P(T >= t) with that many degrees of freedom: T = sqrt(freedom) tan(angle), whose density is cos^(freedom - 1)."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    tail = np.where(angles >= np.arctan(t / np.sqrt(freedom)), density, 0.0)
    return float(tail.sum() / density.sum())


def _rejected(p_values: Draws) -> NDArray[np.bool_]:
    """Holm (1979): which hypotheses fall at a family-wise error of 1 - LEVEL."""
    order = np.argsort(p_values)
    falls = p_values[order] <= (1 - LEVEL) / np.arange(len(order), 0, -1)
    rejected = np.zeros(len(order), dtype=bool)
    rejected[order[: len(falls) if falls.all() else int(np.argmin(falls))]] = True
    return rejected
