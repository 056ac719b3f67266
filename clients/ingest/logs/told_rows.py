"""What a log tells, in short: so that readings that were held out are known again in any other export.

Of each row a hash, and of each stretch of readings one that knows neither machine nor names of columns, as hexadecimal
digits one behind the other. Of many rows only those that end with so many zero bits that no more than `MOST` are left,
and likewise of many stretches: a long export and a short one choose the same of what both have.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

MOST = 2048  # rows, and as many stretches
DIGITS = 16  # of each
_BEGINS = np.uint64(0b111)
"""A stretch begins where the hash of a row's time ends with these bits zero, in any export: eight rows in the mean."""
_FEWEST, _TURNS = 4, 3
"""Rows of a stretch; changes of its slope, in every other row at least. Counters and pulses are alike everywhere."""
_NOISE = 1e-6  # of the usual reading: less is no change of slope
_STRETCH = np.uint64(0xFFFF << 48)
"""Of a stretch's hash these bits are ones; of a row's they hardly ever are."""
_PARTS, _PART = 16, np.uint64(40)  # of all hashes, and the lowest bit that says which: no choice is made by these
_FILL = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]
Readings = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Times in order (ms since 1970), and what a tag read then."""
_NONE: tuple[Hashes, Hashes] = (np.zeros(0, np.uint64), np.zeros(0, np.uint64))


def mixed(bits: Hashes) -> Hashes:
    """Every bit of the result depends on every bit (splitmix64's finaliser, Steele and others 2014)."""
    bits = bits + _FILL
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Hashes = bits ^ (bits >> np.uint64(31))
    return result


def stretches(tags: Iterable[Readings]) -> Hashes:
    """Of one machine's log: for each stretch what three of its tags read (all, if there are fewer), by the smallest
    hashes of all; of three tags also what two of them read. So a column more or less, which changes every row, leaves
    many stretches what they are; and one tag or two that all machines have, such as the temperature outside, make no
    two logs one."""
    of_tags = [_NONE, *(_of_tag(times, values) for times, values in tags if len(times))]
    several = len(of_tags) > 2
    begins, hashes = (np.concatenate(each) for each in zip(*of_tags, strict=True))
    if not len(begins):
        return begins
    order = np.lexsort((hashes, begins))
    begins, hashes = begins[order], hashes[order]
    _, first, count = np.unique(begins, return_index=True, return_counts=True)
    one, two, three = (hashes[np.minimum(first + place, len(hashes) - 1)] for place in range(3))
    of_two = mixed(one) + np.where(count > 1, two, np.uint64(0))
    few = (count <= 3) & (count >= 1 + several)  # one tag of several, all machines may have
    return mixed(np.concatenate([of_two[few], (mixed(of_two) + three)[count >= 3]])) | _STRETCH


def _of_tag(times: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[Hashes, Hashes]:
    """For each stretch when it begins, and a hash of its times and readings."""
    keys = mixed(times.view(np.uint64))
    starts = np.flatnonzero(keys & _BEGINS == 0)
    if len(starts) < 2:
        return _NONE
    begins, ends = starts[:-1], starts[1:]  # what follows the last start may go on in another file
    sums = np.add.reduceat(mixed(keys + (values + 0.0).view(np.uint64)), starts)[:-1]
    bends = np.abs(np.diff(values, 2)) > _NOISE * np.median(np.abs(values))
    turns = np.concatenate([[0], np.cumsum(bends)])
    told = ends - begins >= _FEWEST
    begins, ends = begins[told], ends[told]
    telling = turns[ends - 2] - turns[begins] >= np.maximum(_TURNS, (ends - begins) // 2)
    return times[begins[telling]].view(np.uint64), sums[told][telling]


def chosen(hashes: Hashes) -> str:
    """Of all hashes. Rows, of which there are eight times as many, crowd no stretches out."""
    of_all = np.unique(hashes)
    parts = (_few(of_all[of_all < _STRETCH]), _few(of_all[of_all >= _STRETCH]))
    return np.concatenate(parts).astype(">u8").tobytes().hex()


def _few(left: Hashes) -> Hashes:
    ends = 0
    while len(left) > MOST:
        ends += 1
        left = left[left & np.uint64(2**ends - 1) == 0]
    return left


def sharing(logs: Sequence[str], only_stretches: bool = False) -> list[tuple[int, int]]:
    """The pairs of `logs`, by their numbers, that tell a same row or stretch. Of those that all tell it, each with the
    first. Machines that stand still may write equal rows, but no equal stretches."""
    hashes = [np.frombuffer(bytes.fromhex(each), dtype=">u8") for each in logs]
    if only_stretches:
        hashes = [each[each >= _STRETCH] for each in hashes]
    pairs = set[tuple[int, int]]()
    for part in range(_PARTS):  # a part at a time: memory is the largest part of what thousands of logs cost
        pairs |= _sharing([each[(each >> _PART) % np.uint64(_PARTS) == part] for each in hashes])
    return sorted(pairs)


def _sharing(hashes: Sequence[Hashes]) -> set[tuple[int, int]]:
    owners = np.repeat(np.arange(len(hashes)), [len(each) for each in hashes])
    if not len(owners):
        return set()
    every = np.concatenate(hashes)
    order = np.lexsort((owners, every))
    every, owners = every[order], owners[order]
    _, starts, counts = np.unique(every, return_index=True, return_counts=True)
    firsts = np.repeat(owners[starts], counts)
    pairs = np.unique(np.stack([firsts, owners], axis=1)[firsts != owners], axis=0)
    return {(first, second) for first, second in pairs.tolist()}
