"""The statistics behind "is it worth joining?": what they find, and what they must not claim."""

import numpy as np
import pytest

from aggregator.simulate.differences import ESTIMABLE, RESAMPLES, Sample, _student_tail, interval, judge

MEMBERS = tuple(f"m{n:02}" for n in range(30))
SIZES = [[200 + 40 * d + 7 * m for d in range(8)] for m in range(30)]
LN2 = float(np.log(2))


def nats(level: float, seed: int, spread: float = 0.0) -> list[list[float]]:
    """`level` bits a character in every document, give or take `spread`."""
    draw = np.random.default_rng(seed)
    return [[size * LN2 * (level + spread * draw.standard_normal()) for size in sizes] for sizes in SIZES]


def shifted(given: list[list[float]], by: float) -> list[list[float]]:
    """The same documents, each `by` bits a character worse."""
    return [[n + by * s * LN2 for n, s in zip(*pair, strict=True)] for pair in zip(given, SIZES, strict=True)]


class TestInterval:
    def test_what_was_measured_is_the_size_weighted_mean_of_a_member_and_the_plain_mean_of_members(self) -> None:
        sample = Sample([[100, 300], [50]])
        bits = sample.bits([[100 * LN2, 900 * LN2], [100 * LN2]])
        assert bits[0].tolist() == pytest.approx([1000 / 400, 2.0])
        assert interval(bits).mean == pytest.approx((2.5 + 2.0) / 2)

    def test_covers_the_truth_as_often_as_it_says(self) -> None:
        covered = 0
        for seed in range(200):
            draw = np.random.default_rng(seed)
            difference = [[s * LN2 * (0.1 + 0.3 * draw.standard_normal()) for s in sizes] for sizes in SIZES]
            found = interval(SAMPLE.bits(difference))
            covered += found.low <= 0.1 <= found.high
        assert 0.88 <= covered / 200 <= 0.98

    def test_pairing_removes_what_documents_have_in_common(self) -> None:
        base = nats(3.0, seed=1, spread=0.5)
        paired = SAMPLE.bits(shifted(base, 0.01)) - SAMPLE.bits(base)
        found = interval(paired)
        assert found.low == pytest.approx(0.01)
        assert found.high == pytest.approx(0.01)


SAMPLE = Sample(SIZES)


class TestVerdict:
    def arms(self, **levels: float) -> dict[str, list[list[float]]]:
        return {name: nats(level, seed, 0.05) for seed, (name, level) in enumerate(levels.items())}

    def test_differences_are_named_after_what_they_subtract(self) -> None:
        found = judge(SAMPLE, self.arms(base=3.3, federated=3.1, local=3.2, pooled=3.0), MEMBERS).differences
        assert found["L_minus_F"].mean == pytest.approx(0.1, abs=0.02)
        assert found["F_minus_P"].mean == pytest.approx(0.1, abs=0.02)
        assert found["B_minus_F"].mean == pytest.approx(0.2, abs=0.02)
        assert all(d.low < d.mean < d.high for d in found.values())

    def test_closure_is_a_share_of_what_pooling_gains(self) -> None:
        verdict = judge(SAMPLE, self.arms(base=3.3, federated=3.05, local=3.2, pooled=3.0), MEMBERS)
        assert verdict.closure == pytest.approx(0.75, abs=0.1)

    def test_closure_is_not_estimable_where_pooling_gains_next_to_nothing(self) -> None:
        verdict = judge(SAMPLE, self.arms(base=3.3, federated=3.19, local=3.2, pooled=3.2 - ESTIMABLE / 2), MEMBERS)
        assert verdict.closure is None

    def test_only_arms_that_were_run_are_compared(self) -> None:
        verdict = judge(SAMPLE, self.arms(base=3.3, federated=3.1), MEMBERS)
        assert set(verdict.differences) == {"B_minus_F"}
        assert (verdict.closure, verdict.harmed, verdict.undecided) == (None, (), ())


class TestHarm:
    def test_one_member_that_is_clearly_worse_off_is_named_and_no_other(self) -> None:
        local = nats(3.2, seed=5, spread=0.5)
        federated = shifted(local, -0.1)
        federated[7] = [n * 1.03 for n in local[7]]
        verdict = judge(SAMPLE, {"base": local, "local": local, "federated": federated}, MEMBERS)
        assert verdict.harmed == ("m07",)
        assert verdict.undecided == ()

    def test_noise_around_no_difference_harms_nobody_and_decides_little(self) -> None:
        harmed = undecided = 0
        for seed in range(20):
            arms = {"base": nats(3.2, 0), "local": nats(3.2, 2 * seed, 0.1), "federated": nats(3.2, 2 * seed + 1, 0.1)}
            verdict = judge(SAMPLE, arms, MEMBERS)
            harmed, undecided = harmed + len(verdict.harmed), undecided + len(verdict.undecided)
        assert harmed <= 2
        assert undecided > 0.9 * 20 * 30

    def test_harm_below_what_anyone_notices_is_none(self) -> None:
        local = nats(3.2, seed=5, spread=0.5)
        verdict = judge(SAMPLE, {"base": local, "local": local, "federated": shifted(local, 0.005)}, MEMBERS)
        assert (verdict.harmed, verdict.undecided) == ((), ())

    def test_two_documents_cannot_carry_a_verdict(self) -> None:
        few = Sample([[100, 100]] * 30)
        local, worse = [[300.0, 310.0]] * 30, [[320.0, 320.0]] * 30
        verdict = judge(few, {"base": local, "local": local, "federated": worse}, MEMBERS)
        assert verdict.harmed == ()
        assert len(verdict.undecided) == 30


@pytest.mark.parametrize(
    ("t", "freedom", "p"), [(2.776, 4, 0.025), (12.706, 1, 0.025), (1.984, 100, 0.025), (0, 7, 0.5)]
)
def test_student_s_t_against_the_printed_table(t: float, freedom: int, p: float) -> None:
    assert _student_tail(t, freedom) == pytest.approx(p, abs=2e-4)
    assert _student_tail(-t, freedom) == pytest.approx(1 - p, abs=2e-4)


def test_enough_resamples_for_holm_over_thirty_members() -> None:
    assert 1 / (1 + RESAMPLES) < 0.05 / 30
