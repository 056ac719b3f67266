"""From one adapter to the next: which figures travel, in which ranges, clipped how, applied how."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from federation import server_optim, step
from federation.plan import Evaluation, Plan, Privacy, ServerOptim
from federation.privacy import clip_update
from federation.tensors import Array
from tests.protocol.consortium import SHAPES, make_plan

PLAN = replace(make_plan(tuple(f"m{n:02}" for n in range(30))), rounds=4)  # learning rate 0.5, 4 steps
STATE = step.first_state(PLAN, SHAPES)
NAMES = sorted(STATE.factors)


def mean(value: float) -> dict[str, NDArray[np.float64]]:
    return {name: np.full(array.shape, value, np.float64) for name, array in STATE.factors.items()}


def changed(**secagg: Any) -> Plan:
    return replace(PLAN, secagg=replace(PLAN.secagg, **secagg))


class TestRing:
    def test_of_a_training_round_carries_updates_and_figures(self) -> None:
        ring = step.ring_for(PLAN, STATE, 1, None)
        assert sorted(ring.shapes) == NAMES
        assert ring.scalars == ("held_out_loss", "base_held_out_loss", "clipped_share", "diverged")
        assert (ring.bits, ring.members) == (32, 30)

    def test_after_the_last_round_carries_figures_alone(self) -> None:
        ring = step.ring_for(PLAN, STATE, 5, mean(0.1))
        assert not ring.shapes
        assert ring.scalars == ("held_out_loss", "base_held_out_loss", *step.GAINS, "diverged")
        assert ring.dimension == 8 * ring.limbs

    def test_has_the_loss_every_so_many_rounds_and_at_the_end(self) -> None:
        plan = replace(PLAN, evaluation=Evaluation(3, 30, 0.2, 0.2))
        measured = [round for round in range(1, 6) if "held_out_loss" in step.scalars_of(plan, round)]
        assert measured == [1, 4, 5]
        assert [round for round in range(1, 6) if step.trains(plan, round)] == [1, 2, 3, 4]

    def test_begins_with_how_far_adamw_can_move(self) -> None:
        assert set(step.ring_for(PLAN, STATE, 1, None).ranges.values()) == {step.ADAMW_REACH * 0.5 * 4}

    def test_begins_with_the_plans_range_where_it_gives_one(self) -> None:
        assert set(step.ring_for(changed(initial_range=0.03), STATE, 1, None).ranges.values()) == {0.03}

    @pytest.mark.parametrize(
        ("largest", "expected"),
        [(0.01, 0.08), (-0.01, 0.08), (0.25, 2.0), (100.0, 2.5), (0.0, 1e-6), (1e-9, 1e-6)],
        ids=["headroom", "absolute", "wide", "never more", "never zero", "never less"],
    )
    def test_follows_the_last_mean(self, largest: float, expected: float) -> None:
        ring = step.ring_for(PLAN, STATE, 2, mean(largest))
        assert list(ring.ranges.values()) == pytest.approx([expected] * len(NAMES), rel=1e-6)

    def test_follows_each_tensor_by_itself(self) -> None:
        last = mean(0.01) | {NAMES[0]: np.full_like(mean(0)[NAMES[0]], 0.02)}
        last[NAMES[0]].flat[0] = -0.05
        ranges = step.ring_for(PLAN, STATE, 2, last).ranges
        assert ranges[NAMES[0]] == pytest.approx(0.4)
        assert ranges[NAMES[1]] == pytest.approx(0.08)

    def test_begins_anew_for_a_tensor_that_was_not_in_the_last_mean(self) -> None:
        ranges = step.ring_for(PLAN, STATE, 2, {NAMES[0]: mean(0.01)[NAMES[0]]}).ranges
        assert ranges[NAMES[1]] == 2.5


def test_terms_bind_the_adapter_the_encoding_and_what_bounds_a_member() -> None:
    ring, other = step.ring_for(PLAN, STATE, 1, None), step.ring_for(PLAN, STATE, 2, mean(0.1))
    terms = step.terms(PLAN, bytes(32), ring)
    assert (terms.adapter, terms.dimension, terms.ring_bits) == (bytes(32), ring.dimension, 32)
    assert terms.encoding == ring.digest() != step.terms(PLAN, bytes(32), other).encoding
    bounded = replace(PLAN, privacy=Privacy(1.0))
    assert step.terms(bounded, bytes(32), ring).privacy != terms.privacy


def test_the_next_state_is_the_broadcast_plus_the_servers_step() -> None:
    halved = replace(PLAN, server_optim=ServerOptim("fedavg", 0.5))
    state = step.next_state(halved, STATE, mean(0.5))
    assert state.round == 1
    for name in NAMES:
        np.testing.assert_array_equal(state.factors[name], STATE.factors[name] + np.float32(0.25))
        assert state.factors[name].dtype == np.float32


def test_fedavg_takes_the_mean_whole_at_a_rate_of_one() -> None:
    taken = server_optim.step(ServerOptim("fedavg", 1.0), {}, {"w": np.array([1.5, 1 / 3])})["w"]
    assert taken.dtype == np.float32
    assert taken.tolist() == [1.5, float(np.float32(1 / 3))]


class TestClip:
    def norm(self, update: dict[str, Array]) -> float:
        return float(np.linalg.norm(np.concatenate([a.ravel() for a in update.values()]).astype(np.float64)))

    @given(st.integers(0, 2**32), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
    @settings(max_examples=50)
    def test_bounds_the_norm_of_the_whole_and_keeps_its_direction(self, seed: int, scale: float, bound: float) -> None:
        draw = np.random.default_rng(seed)
        update = {name: draw.normal(0, scale, shape).astype(np.float32) for name, shape in (("a", (3, 4)), ("b", (5,)))}
        clipped, before = clip_update(update, Privacy(bound)), self.norm(update)
        assert self.norm(clipped) == pytest.approx(min(before, bound), rel=1e-6)
        for name, array in update.items():
            np.testing.assert_allclose(clipped[name], array * min(1.0, bound / before), rtol=1e-6)

    def test_leaves_a_short_update_as_it_is_bit_for_bit(self) -> None:
        update = {"w": np.array([0.3, 0.4], np.float32)}
        np.testing.assert_array_equal(clip_update(update, Privacy(0.6))["w"], update["w"])

    def test_is_off_when_there_is_no_bound(self) -> None:
        update = {"w": np.full(3, 1e30, np.float32)}
        np.testing.assert_array_equal(clip_update(update, Privacy(None))["w"], update["w"])

    def test_of_nothing_is_nothing(self) -> None:
        assert clip_update({}, Privacy(1.0)) == {}
        assert not clip_update({"w": np.zeros(3, np.float32)}, Privacy(1.0))["w"].any()
