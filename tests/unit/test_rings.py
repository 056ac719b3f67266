"""The argument of docs/security.md about neighbourhoods, apart from the code that it is about: every small ring in
every state, the probabilities drawn one member after another, and the numbers that the page states."""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from federation.plan import least_quorum
from federation.secagg.graph import Parameters, parameters

Sets = NDArray[np.int64]
"""Sets of places as bits, one a row."""


class Ring:
    """`count` places, each the neighbour of `reach` on either side."""

    def __init__(self, count: int, reach: int) -> None:
        self.count, self.places = count, range(count)
        self.after = [self._set(place, range(1, reach + 1)) for place in self.places]
        self.before = [self._set(place, range(-reach, 0)) for place in self.places]
        self.near = [a | b for a, b in zip(self.after, self.before, strict=True)]
        self.size = np.array([place.bit_count() for place in range(1 << count)])

    def _set(self, place: int, steps: range) -> int:
        return sum(1 << (place + step) % self.count for step in steps)

    def states(self, corrupt: int) -> tuple[Sets, Sets]:
        """(M, those of it that reveal): every way for the others to be lost, silent or revealing."""
        there, revealing = np.zeros(1, np.int64), np.zeros(1, np.int64)
        for place in self.places:
            if not corrupt >> place & 1:
                bit = 1 << place
                there = np.concatenate([there, there | bit, there | bit])
                revealing = np.concatenate([revealing, revealing, revealing | bit])
        return there, revealing

    def opened(self, corrupt: int, there: Sets, revealing: Sets, threshold: int) -> Sets:
        """Of M the most that can be opened and has no neighbour in M that is not: what the masks come off of."""
        part = np.zeros_like(there)
        for place in self.places:
            shares = self.size[(revealing | corrupt) & (self.near[place] | 1 << place)]
            part |= there & (1 << place) & -(shares >= threshold).astype(np.int64)
        while True:
            left = part.copy()
            for place in self.places:
                left &= ~((1 << place) & -((there & ~part & self.near[place]) != 0).astype(np.int64))
            if np.array_equal(left, part):
                return part
            part = left

    def unseen(self, revealing: Sets) -> NDArray[np.bool_]:
        """Whether some place has nobody who reveals within reach: a member could be invented there."""
        return np.any([(revealing & (near | 1 << at)) == 0 for at, near in enumerate(self.near)], axis=0)


@pytest.mark.parametrize(
    ("count", "reach", "spare", "fewest"), [(8, 2, 0, 2), (9, 2, 0, 2), (9, 3, 0, 3), (9, 3, 1, 4), (10, 3, 1, 4)]
)
def test_on_every_small_ring_what_is_opened_is_everybody_and_nobody_is_invented(
    count: int, reach: int, spare: int, fewest: int
) -> None:
    """3., 4. and 5. of the argument, whoever is corrupt, lost, silent or reveals. `spare`: t - r - 2. `fewest`: how
    many have to be corrupt for it to break at all, two ends of a part or more: 2 (t - r - 1)."""
    ring, breaks, opens = Ring(count, reach), [], 0
    for corrupt in range(1 << count):
        honest = [place for place in ring.places if not corrupt >> place & 1]
        there, revealing = ring.states(corrupt)
        part = ring.opened(corrupt, there, revealing, reach + 2 + spare)
        some = part != 0
        broken = some & ((part != there) | ring.unseen(revealing))
        breaks += [corrupt.bit_count()] if broken.any() else []
        if all(ring.size[corrupt & side[at]] <= spare for at in honest for side in (ring.after, ring.before)):
            assert not broken.any()
        if all(ring.size[corrupt & ring.near[at]] <= spare for at in honest):
            opens += int(some.sum())
            assert (2 * ring.size[revealing] > ring.size[there])[some].all()
    assert opens
    assert min(breaks) == fewest >= 2 * (spare + 1)


def drawn(population: int, marked: int, draws: int, least: int) -> Fraction:
    """P[at least `least` of `draws` are marked], one draw after the other."""
    chances = {0: Fraction(1)}
    for done in range(draws):
        following: dict[int, Fraction] = {}
        for hits, chance in chances.items():
            hit = Fraction(marked - hits, population - done)
            for more, times in ((1, hit), (0, 1 - hit)):
                following[hits + more] = following.get(hits + more, Fraction(0)) + chance * times
        chances = following
    return sum((chance for hits, chance in chances.items() if hits >= least), Fraction(0))


@pytest.mark.parametrize(
    ("count", "corruption", "dropout"),
    [(60, 0.05, 0.05), (200, 0.1, 0.1), (200, 0.3, 0.02), (400, 0.05, 0.05), (2000, 0.05, 0.05)],
)
def test_the_probabilities_are_those_of_drawing_one_member_after_another(
    count: int, corruption: float, dropout: float
) -> None:
    """And of adding up: over all honest members and the voters; over all dealers, left and lost, and the voters."""
    found = parameters(count, corruption, dropout)
    assert found is not None
    f, d, k, t = found.corrupt, found.lost, found.degree, found.threshold
    too_many = drawn(count - 1, f, k, t - k // 2 - 1)
    no_majority = drawn(count, f, k + 1, 2 * t - k - 1)
    assert found.not_private == (count - f) * too_many + no_majority
    left, gone = drawn(count - 1, d, k, k + 2 - t), drawn(count - 1, d - 1, k, k + 1 - t)
    assert found.not_complete == (count - d) * left + d * gone + drawn(count, d, k + 1, k + 2 - t)


# What security.md says of 5 % and 5 %


def at_five_percent(count: int) -> Parameters:
    found = parameters(count, 0.05, 0.05)
    assert found is not None
    return found


def unbreakable(count: int) -> bool:
    """Whether no ring whatever breaks 1. to 5.: too few are corrupt for two ends of a part and for two votes, and who
    reveals, counted over the whole ring, leaves no quorum."""
    found = at_five_percent(count)
    f, k, t, q = found.corrupt, found.degree, found.threshold, least_quorum(count, found.corrupt)
    ends, votes = 2 * (t - k // 2 - 1), 2 * t - k - 1
    return f < min(ends, votes) and (q - f) * (t - 1) - k * f > k * (count - q)


def test_up_to_366_members_no_ring_has_too_many_corrupt_neighbours() -> None:
    assert all(at_five_percent(count).not_private == 0 for count in range(20, 367, 7))
    assert at_five_percent(366).not_private == 0 < at_five_percent(367).not_private


def test_up_to_1045_members_no_ring_can_be_broken() -> None:
    assert all(unbreakable(count) for count in (*range(20, 1046, 41), 1045))
    assert not unbreakable(1046)


@pytest.mark.parametrize(("count", "bits"), [(1000, 70), (2000, 73), (3000, 77)])
def test_colluders_for_one_end_of_a_part_are_rarer_than_the_stated_bound(count: int, bits: int) -> None:
    found = at_five_percent(count)
    r = found.degree // 2
    one_end = 2 * (count - found.corrupt) * drawn(count - 1, found.corrupt, r, found.threshold - r - 1)
    assert math.floor(-math.log2(one_end)) == bits


def test_a_member_alone_takes_t_minus_1_colluders_among_its_neighbours() -> None:
    assert all(
        at_five_percent(count).corrupt < at_five_percent(count).threshold - 1 for count in (*range(20, 1500, 40), 1500)
    )
    found = at_five_percent(3000)
    alone = 2850 * drawn(2999, found.corrupt, found.degree, found.threshold - 1)
    assert -math.log2(alone) > 300
