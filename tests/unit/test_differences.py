"""The statistics behind "is it worth joining?": what they find, and what they must not claim."""

from math import log, sqrt

import numpy as np
import pytest

from aggregator.simulate.compare_words import WORDS
from aggregator.simulate.differences import (
    ESTIMABLE,
    HARM,
    PAIRS,
    Verdict,
    difference,
    interval,
    judge,
    student_quantile,
    student_tail,
)
from aggregator.simulate.plots import COLOURS
from aggregator.simulate.rows import ARMS

MEMBERS = tuple(f"m{n:02}" for n in range(30))
DRAW = np.random.default_rng(3)
# As in the demo: two to a dozen test texts a member, of very different lengths.
SIZES = [[int(size) for size in DRAW.lognormal(7, 0.7, DRAW.integers(2, 13))] for _ in MEMBERS]
ZERO = [[0.0] * len(sizes) for sizes in SIZES]


def nats(level: float, seed: int, spread: float = 0.0) -> list[list[float]]:
    """`level` bits a character in every text, give or take `spread`."""
    draw = np.random.default_rng(seed)
    return [[size * log(2) * (level + spread * draw.standard_normal()) for size in sizes] for sizes in SIZES]


def shifted(given: list[list[float]], by: float) -> list[list[float]]:
    """The same texts, each `by` bits a character worse."""
    return [[n + by * s * log(2) for n, s in zip(*pair, strict=True)] for pair in zip(given, SIZES, strict=True)]


def of(**arms: list[list[float]]) -> Verdict:
    return judge(SIZES, {"base": ZERO, **arms}, MEMBERS)


def test_a_comparison_has_words_for_every_arm_and_every_difference() -> None:
    assert set(ARMS) == set(COLOURS)
    assert {*ARMS, *PAIRS} <= set(WORDS)


class TestInterval:
    def test_the_mean_weighs_texts_by_length_and_members_alike(self) -> None:
        one = difference([100 * log(2), 900 * log(2)], [0, 0], [100, 300])
        other = difference([50 * log(2), 50 * log(2)], [0, 0], [25, 25])
        assert (one.bits, other.bits) == (pytest.approx(2.5), pytest.approx(2.0))
        assert interval([one, other]).mean == pytest.approx(2.25)

    def test_by_size_all_texts_weigh_as_if_they_were_one_member_s(self) -> None:
        one = difference([100 * log(2), 900 * log(2)], [0, 0], [100, 300])
        other = difference([50 * log(2), 50 * log(2)], [0, 0], [25, 25])
        assert interval([one, other]).by_size == pytest.approx(1100 / 450)

    def test_equal_texts_give_the_textbook_s_t_interval(self) -> None:
        bits = np.array([0.1, 0.3, 0.2, 0.7])
        found = interval([difference(bits * 100 * log(2), np.zeros(4), [100] * 4)])
        reach = 3.1824 * bits.std(ddof=1) / sqrt(4)
        assert (found.low, found.high) == (pytest.approx(0.325 - reach, 1e-4), pytest.approx(0.325 + reach, 1e-4))

    def test_covers_the_truth_about_as_often_as_it_says(self) -> None:
        hits = 0
        for seed in range(200):
            found = of(local=nats(0.1, seed, 0.3), federated=ZERO).differences["L_minus_F"]
            assert found.low is not None
            assert found.high is not None
            hits += found.low <= 0.1 <= found.high
        assert 0.90 <= hits / 200 <= 0.99

    def test_pairing_removes_what_texts_have_in_common(self) -> None:
        local = nats(3.0, seed=1, spread=0.5)
        found = of(local=shifted(local, 0.01), federated=local).differences["L_minus_F"]
        assert (found.low, found.high) == (pytest.approx(0.01, abs=1e-9), pytest.approx(0.01, abs=1e-9))

    def test_one_test_text_has_no_variance_that_could_be_told(self) -> None:
        found = judge([[100, 200], [300]], {"base": [[1.0, 2.0], [3.0]], "federated": [[1.0, 1.0], [1.0]]}, ("a", "b"))
        assert found.differences["B_minus_F"].mean > 0
        assert found.differences["B_minus_F"].low is None


class TestVerdict:
    def arms(self, **levels: float) -> Verdict:
        return of(**{name: nats(level, seed, 0.05) for seed, (name, level) in enumerate(levels.items())})

    def test_differences_are_named_after_what_they_subtract(self) -> None:
        found = self.arms(federated=3.1, local=3.2, pooled=3.0).differences
        assert found["L_minus_F"].mean == pytest.approx(0.1, abs=0.03)
        assert found["F_minus_P"].mean == pytest.approx(0.1, abs=0.03)
        assert found["B_minus_F"].mean == pytest.approx(-3.1, abs=0.03)

    def test_closure_is_a_share_of_what_pooling_gains(self) -> None:
        assert self.arms(federated=3.05, local=3.2, pooled=3.0).closure == pytest.approx(0.75, abs=0.12)

    def test_closure_is_not_estimable_where_pooling_gains_next_to_nothing(self) -> None:
        assert self.arms(federated=3.19, local=3.2, pooled=3.2 - ESTIMABLE / 2).closure is None

    def test_only_arms_that_were_run_are_compared(self) -> None:
        verdict = self.arms(federated=3.1)
        assert set(verdict.differences) == {"B_minus_F"}
        assert (verdict.closure, verdict.harmed, verdict.undecided) == (None, (), ())


class TestHarm:
    def test_a_member_that_is_clearly_worse_off_is_named_and_no_other(self) -> None:
        local = nats(3.2, seed=5, spread=0.5)
        federated = shifted(local, -0.1)
        worst = max(range(30), key=lambda index: len(SIZES[index]))
        federated[worst] = [n + 0.2 * s * log(2) for n, s in zip(local[worst], SIZES[worst], strict=True)]
        assert of(local=local, federated=federated).harmed == (MEMBERS[worst],)
        assert of(local=local, federated=federated).undecided == ()

    def test_harm_after_going_on_is_told_apart_from_harm_by_the_federated_adapter(self) -> None:
        local = nats(3.2, seed=5, spread=0.5)
        verdict = of(local=local, federated=shifted(local, 0.1), personalised=shifted(local, -0.1))
        assert (verdict.harmed, verdict.harmed_personalised) == (MEMBERS, ())
        assert of(local=local, federated=local).harmed_personalised == ()  # the arm was not run

    @pytest.mark.parametrize("lengths", ["as in the demo", "one text outweighs the others"])
    def test_at_the_limit_harm_is_found_wrongly_in_no_more_than_one_run_of_twenty(self, lengths: str) -> None:
        sizes = SIZES if lengths == "as in the demo" else [[8_000, 400, 400]] * 30
        wrong = 0
        for seed in range(60):
            draw = np.random.default_rng(seed)
            federated = [[s * log(2) * (HARM + 0.1 * draw.standard_normal()) for s in each] for each in sizes]
            zero = [[0.0] * len(each) for each in sizes]
            verdict = judge(sizes, {"base": zero, "local": zero, "federated": federated}, MEMBERS)
            wrong += bool(verdict.harmed)
        assert wrong <= 5

    def test_noise_around_no_difference_decides_little(self) -> None:
        verdict = of(local=nats(3.2, 1, 0.1), federated=nats(3.2, 2, 0.1))
        assert verdict.harmed == ()
        assert len(verdict.undecided) > 25

    def test_harm_below_what_anyone_notices_is_none(self) -> None:
        local = nats(3.2, seed=5, spread=0.5)
        verdict = of(local=local, federated=shifted(local, 0.005))
        assert (verdict.harmed, verdict.undecided) == ((), ())

    def test_one_text_cannot_carry_a_verdict(self) -> None:
        arms = {"base": [[300.0]] * 30, "local": [[300.0]] * 30, "federated": [[400.0]] * 30}
        verdict = judge([[100]] * 30, arms, MEMBERS)
        assert (verdict.harmed, verdict.undecided) == ((), MEMBERS)


# (t, degrees of freedom, P(T >= t)) from the printed table; for 1 it is 1/2 - arctan(t)/pi
@pytest.mark.parametrize(
    ("t", "freedom", "p"), [(2.776, 4, 0.025), (12.706, 1, 0.025), (1.984, 100, 0.025), (0, 7, 0.5)]
)
def test_student_s_t(t: float, freedom: float, p: float) -> None:
    assert student_tail(t, freedom) == pytest.approx(p, abs=1e-4)
    assert student_tail(-t, freedom) == pytest.approx(1 - p, abs=1e-4)
    assert student_quantile(1 - p, freedom) == pytest.approx(t, abs=2e-3 * (1 + t))


def test_student_s_t_between_whole_degrees_of_freedom() -> None:
    assert student_tail(2, 1) > student_tail(2, 1.5) > student_tail(2, 2)
    assert student_tail(2, 0.5) > student_tail(2, 1)
