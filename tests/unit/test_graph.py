"""The ring of neighbours, and the numbers that say how many neighbours it takes."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from federation.plan import least_quorum
from federation.secagg import graph
from federation.secagg.graph import COMPLETION_BITS, PRIVACY_BITS, Graph, Parameters, graph_of, parameters


def names(count: int) -> tuple[str, ...]:
    return tuple(f"m{index:04d}" for index in range(count))


def connected(near: Graph) -> bool:
    """Whether all present members can be reached from one of them."""
    waiting, seen = [min(near.present)], set[str]()
    while waiting:
        seen.add(member := waiting.pop())
        waiting += set(near.neighbourhood(member)) - seen
    return seen == near.present


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 60), st.integers(1, 20), st.binary(min_size=32, max_size=32))
def test_every_member_has_the_degrees_neighbours_both_ways_and_all_hang_together(
    count: int, reach: int, share_ctx: bytes
) -> None:
    near = graph_of(names(count), 2 * reach, share_ctx)
    around = {member: set(near.neighbourhood(member)) for member in names(count)}
    assert {len(each) for each in around.values()} == {min(2 * reach + 1, count)}
    assert all(member in around[peer] for member, each in around.items() for peer in each)
    assert all(near.neighbourhood(member) == tuple(sorted(around[member])) for member in around)
    assert connected(near)


def test_another_set_up_gives_other_neighbours_and_the_same_one_the_same() -> None:
    one, again, other = (graph_of(names(40), 8, bytes([n] * 32)) for n in (1, 1, 2))
    assert one == again
    assert {m for m in names(40) if one.neighbourhood(m) != other.neighbourhood(m)} == set(names(40))


def test_every_place_of_the_ring_is_taken_by_everybody_about_equally_often() -> None:
    """2,000 set-ups of 10 members: chi-square with 9 degrees of freedom at each of two places, at six deviations."""
    rings = [graph_of(names(10), 4, number.to_bytes(32)).ring for number in range(2000)]
    for place in (0, 7):
        counts = [sum(ring[place] == member for ring in rings) for member in names(10)]
        assert abs(sum((count - 200) ** 2 / 200 for count in counts) - 9) < 6 * math.sqrt(18)


def test_the_widest_ring_is_everybody_with_everybody() -> None:
    near = graph_of(names(7), 6, bytes(32))
    assert all(near.neighbourhood(member) == names(7) for member in names(7))
    assert near.voters == names(7)
    assert near.among(("m0003", "m0001")).voters == ("m0001", "m0003")


def test_voters_are_as_many_as_a_neighbourhood_and_spread_over_the_ring() -> None:
    near = graph_of(names(100), 10, bytes(32))
    places = sorted(near.ring.index(voter) for voter in near.voters)
    assert len(places) == 11
    assert {b - a for a, b in itertools.pairwise(places)} <= {9, 10}
    assert set(near.among(names(50)).voters) == set(near.voters) & set(names(50))


def brute(population: int, marked: int, drawn: int, least: int) -> Fraction:
    """The tail by counting every draw."""
    draws = list(itertools.combinations(range(population), drawn))
    return Fraction(sum(sum(item < marked for item in draw) >= least for draw in draws), len(draws))


@pytest.mark.parametrize("case", [(9, 3, 4, 2), (8, 8, 3, 3), (10, 2, 5, 3), (7, 0, 3, 1), (7, 4, 6, 0)])
def test_the_tail_is_that_of_all_draws(case: tuple[int, int, int, int]) -> None:
    assert graph._tail(*case) == brute(*case)


@pytest.mark.parametrize("count", [30, 100, 300, 1000])
def test_both_probabilities_are_below_their_bounds_and_fewer_neighbours_would_not_do(count: int) -> None:
    found = parameters(count, 0.05, 0.05)
    assert found is not None
    assert found.not_private <= Fraction(1, 2**PRIVACY_BITS)
    assert found.not_complete <= Fraction(1, 2**COMPLETION_BITS)
    assert found.degree < count - 1
    reach = found.degree // 2 - 1
    for spare in range(reach - 1):
        fewer = graph._checked(count, found.corrupt, found.lost, reach, spare)
        assert fewer.not_private > Fraction(1, 2**PRIVACY_BITS) or fewer.not_complete > Fraction(1, 2**COMPLETION_BITS)


def test_the_degree_grows_far_slower_than_the_members() -> None:
    degrees = [found.degree for count in (300, 1000, 3000) if (found := parameters(count, 0.05, 0.05))]
    assert degrees == [58, 92, 108]


def test_rates_are_taken_by_their_decimals() -> None:
    assert int(0.29 * 100) == 28
    assert graph._rate_of(100, 0.29) == 29


@pytest.mark.parametrize(("count", "corruption", "dropout"), [(30, 0.3, 0.3), (5, 0.2, 0.2), (3, 0.0, 0.0)])
def test_where_everybody_would_be_everybodys_neighbour_there_are_no_parameters(
    count: int, corruption: float, dropout: float
) -> None:
    assert parameters(count, corruption, dropout) is None


@pytest.mark.parametrize("count", range(20, 400, 7))
def test_who_opens_a_sum_leaves_no_quorum_for_another_attempt(count: int) -> None:
    """Each honest survivor needs more than half of its neighbours among the honest who reveal, so these are more than
    half of the honest survivors; they send no Keys for that round again. And as many as may be lost leave a quorum."""
    found = parameters(count, 0.1, 0.1)
    assert found is not None
    needed = least_quorum(count, found.corrupt)
    reach, survivors = found.degree // 2, needed - found.corrupt
    revealing = -(-survivors * (reach + 1) // (2 * reach))
    assert count - revealing < needed <= count - found.lost


def opened_by(near: Graph, found: Parameters, corrupt: set[str], honest: set[str]) -> set[str]:
    """Those of `honest` whose secrets they can open among themselves, with the help of all who are corrupt."""
    opened = honest
    while short := {m for m in opened if len(set(near.neighbourhood(m)) & (opened | corrupt)) < found.threshold}:
        opened = opened - short
    return opened


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_what_can_be_opened_has_a_neighbour_in_everybody_or_is_nothing(data: st.DataObject) -> None:
    """The argument of security.md on drawn cases, whoever is corrupt and whoever is called lost."""
    count = data.draw(st.integers(20, 40))
    found = parameters(count, 0.05, 0.1)
    assert found is not None
    near = graph_of(names(count), found.degree, data.draw(st.binary(min_size=32, max_size=32)))
    corrupt = set(data.draw(st.permutations(names(count)))[: found.corrupt])
    left = set(names(count)) - corrupt - data.draw(st.sets(st.sampled_from(names(count)), max_size=4))
    asked = left - data.draw(st.sets(st.sampled_from(names(count)), max_size=count // 2))
    opened = opened_by(near, found, corrupt, asked)
    event("something is opened" if opened else "nothing is opened")
    if opened:
        assert connected(near.among(opened))
        assert all(set(near.neighbourhood(member)) & opened for member in left)


@pytest.mark.parametrize("count", [20, 30, 60, 100])
def test_no_stretch_of_the_ring_can_be_opened_by_itself(count: int) -> None:
    """Colluders at the end of the stretch, as many as there may be, and honest members beyond them."""
    found = parameters(count, 0.05, 0.1)
    assert found is not None
    near = graph_of(names(count), found.degree, bytes(32))
    corrupt = set(near.ring[: found.corrupt])
    assert opened_by(near, found, corrupt, set(near.ring) - corrupt) == set(near.ring) - corrupt
    for length in range(1, count - found.corrupt - found.degree // 2):
        stretch = set(near.ring[found.corrupt : found.corrupt + length])
        assert not opened_by(near, found, corrupt, stretch)
