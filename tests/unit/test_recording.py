"""The secure mean against the plain one: equal up to quantisation, and a planted difference shows."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from aggregator.simulate.recording import Recorded, Recording, compare
from federation import privacy, step
from federation.plan import Privacy
from federation.tensors import Array
from tests.protocol.consortium import SHAPES, TinyLearner, make_corpus, make_plan

PLAN = make_plan(tuple(f"m{n}" for n in range(5)))
STATE = step.first_state(PLAN, SHAPES)
NAME = min(STATE.factors)


def trained(member: int, scale: float = 0.3) -> dict[str, Array]:
    draw = np.random.default_rng(member)
    return {n: (a + draw.uniform(-scale, scale, a.shape)).astype(np.float32) for n, a in STATE.factors.items()}


class TestCompare:
    plan = PLAN

    def secure(self, members: dict[str, dict[str, Array]]) -> dict[str, NDArray[np.float64]]:
        """The mean as the coordinator gets it, without the masks, which cancel."""
        ring = step.ring_for(self.plan, STATE, 1, None)
        total = np.zeros(ring.dimension, ring.dtype)
        for number, factors in enumerate(members.values()):
            update = {name: factors[name] - STATE.factors[name] for name in factors}
            update, figures = (
                privacy.clip_update(update, self.plan.privacy),
                {"held_out_loss": 1.0, "base_held_out_loss": 1.0, "clipped_share": 0.0, "diverged": 0.0},
            )
            total += ring.encode(update, figures, np.random.default_rng(number))
        return dict(ring.decode(total, len(members))[0])

    @pytest.fixture(params=[16, 32])
    def members(self, request: pytest.FixtureRequest) -> dict[str, dict[str, Array]]:
        self.plan = replace(PLAN, secagg=replace(PLAN.secagg, ring_bits=request.param))
        return {f"m{n}": trained(n) for n in range(4)}

    def difference(
        self, mean: dict[str, NDArray[np.float64]], members: dict[str, dict[str, Array]]
    ) -> tuple[float, float]:
        found = compare(self.plan, STATE, step.ring_for(self.plan, STATE, 1, None), mean, members)
        return found.relative_l2, found.max_quantisation_steps

    def test_finds_no_more_than_rounding(self, members: dict[str, dict[str, Array]]) -> None:
        relative, steps = self.difference(self.secure(members), members)
        assert 0 < steps <= 1
        assert relative < 5e-3

    @pytest.mark.parametrize("planted", [2, -2])
    def test_notices_one_value_that_is_two_steps_off(self, members: dict[str, dict[str, Array]], planted: int) -> None:
        mean = self.secure(members)
        mean[NAME].flat[3] += planted * step.ring_for(self.plan, STATE, 1, None).step(NAME)
        assert 1 < self.difference(mean, members)[1] <= 3

    def test_notices_a_missing_member(self, members: dict[str, dict[str, Array]]) -> None:
        mean = self.secure(members)
        del members["m2"]
        relative, steps = self.difference(mean, members)
        assert relative > 0.1
        assert steps > 100

    def test_notices_a_sign(self, members: dict[str, dict[str, Array]]) -> None:
        mean = self.secure(members)
        relative, _ = self.difference({name: -array for name, array in mean.items()}, members)
        assert relative == pytest.approx(2, rel=1e-2)

    def test_counts_clipping_to_the_range_as_a_difference_of_means_not_of_rounding(self) -> None:
        members = {f"m{n}": trained(n, scale=20.0) for n in range(4)}  # the range is 2.5
        relative, steps = self.difference(self.secure(members), members)
        assert relative > 0.1
        assert steps <= 1

    def test_bounds_updates_as_the_members_do(self) -> None:
        self.plan = replace(PLAN, privacy=Privacy(0.1))
        members = {f"m{n}": trained(n) for n in range(4)}
        relative, steps = self.difference(self.secure(members), members)
        assert (relative < 1e-3, steps <= 1) == (True, True)


def test_a_recorded_learner_learns_the_same_and_is_written_down() -> None:
    recording, corpus = Recording(), make_corpus("m0")
    recorded = Recorded(TinyLearner(), "m0", recording)
    blocks, names = corpus.train, frozenset(STATE.factors)
    ours = recorded.train(STATE.factors, names, blocks, PLAN.train, 1).tensors
    plain = TinyLearner().train(STATE.factors, names, blocks, PLAN.train, 1).tensors
    assert recorded.shapes == SHAPES
    assert all((ours[name] == plain[name]).all() for name in plain)
    evaluated = recorded.evaluate(ours, corpus.validation)
    assert evaluated == TinyLearner().evaluate(plain, corpus.validation)
    taken = recording.take()
    assert set(taken.trained) == {"m0"}
    assert taken.trained["m0"] is ours
    assert taken.losses == {"m0": evaluated.nats / evaluated.tokens}
    assert (taken.trained_tokens, taken.train_seconds > 0, taken.eval_seconds > 0) == (128, True, True)
    assert recording.take() == Recording().take()  # nothing is left for the next round


def test_what_is_noted_does_not_tell_who_came_first_and_shares_seconds_among_those_at_work() -> None:
    factors = dict(STATE.factors)
    notes = []
    for order in (("m0", "m1"), ("m1", "m0")):
        recording = Recording(at_once=2)
        for member in order:
            recording.train(member, factors, 64, seconds=3.0)
            recording.evaluate(member, 1.5, seconds=1.0)
        notes.append(recording.take())
    assert [(list(noted.trained), list(noted.losses)) for noted in notes] == [(["m0", "m1"], ["m0", "m1"])] * 2
    assert [(noted.train_seconds, noted.eval_seconds, noted.trained_tokens) for noted in notes] == [(3.0, 1.0, 128)] * 2
