"""FedAvgM: a public velocity, in the terms of what is trained next, that changes no plan without it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from federation import step, tensors
from federation.errors import ConfigInvalid
from federation.plan import Evaluation, Lora, Plan, Scheme, ServerOptim, check_consistent, plain, read
from federation.tensors import Array
from tests.protocol.consortium import make_plan

SHAPES = {"w": (12, 9), "v": (7, 15)}
MOMENTUM = ServerOptim("fedavgm", 0.5, 0.8)


def planned(scheme: Any) -> Plan:
    plan = make_plan(("a", "b", "c"), scheme=Scheme(scheme), server_optim=MOMENTUM)
    return replace(plan, lora=Lora(3, 6.0, ("w", "v")))


def a_mean(plan: Plan, state: Any, seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    uploads = step.scheme_of(plan).upload_shapes(state)
    return {name: draw.normal(0, 0.2, shape) for name, shape in uploads.items()}


@pytest.mark.parametrize("scheme", ["fedit", "ffa", "fedsb"])
def test_the_step_is_the_rate_times_all_means_each_discounted_by_its_age(scheme: str) -> None:
    plan = planned(scheme)
    first = state = step.first_state(plan, SHAPES)
    means = [a_mean(plan, state, seed) for seed in range(4)]
    for mean in means:
        state = step.next_state(plan, state, mean)
    for name in means[0]:
        velocities = [sum(0.8 ** (n - k) * means[k][name] for k in range(n + 1)) for n in range(4)]
        np.testing.assert_allclose(state.velocity[name], velocities[-1], atol=1e-6)
        np.testing.assert_allclose(state.factors[name], first.factors[name] + 0.5 * sum(velocities), atol=1e-6)


def product(b: Array, a: Array) -> Any:
    return b.astype("f8") @ a.astype("f8")


def test_alternatings_velocity_is_the_products_as_far_as_the_next_frozen_factor_can_express_it() -> None:
    plan = planned("alternating")
    state = step.first_state(plan, SHAPES)
    for turn in range(4):
        velocity = {
            name: 0.8 * state.velocity[name].astype("f8") + mean for name, mean in a_mean(plan, state, turn).items()
        }
        after = step.next_state(plan, state, a_mean(plan, state, turn))
        for layer in SHAPES:
            (b, a), (new_b, new_a) = (
                (s.factors[f"{layer}.lora_B"], s.factors[f"{layer}.lora_A"]) for s in (state, after)
            )
            if turn % 2 == 0:  # B was trained, A is next: of the velocity what lies in the columns of the new B
                whole = product(velocity[f"{layer}.lora_B"], a)
                expected, found = product(new_b, new_b.T) @ whole, product(new_b, after.velocity[f"{layer}.lora_A"])
            else:
                whole = product(b, velocity[f"{layer}.lora_A"])
                expected, found = whole @ product(new_a.T, new_a), product(after.velocity[f"{layer}.lora_B"], new_a)
            np.testing.assert_allclose(found, expected, atol=1e-5)
            assert np.linalg.norm(expected) > 0.1 * np.linalg.norm(whole)
        state = after


def test_after_the_first_round_nothing_of_alternatings_velocity_is_lost() -> None:
    plan = planned("alternating")
    state = step.first_state(plan, SHAPES)
    mean = a_mean(plan, state, 1)
    after = step.next_state(plan, state, mean)
    for layer in SHAPES:
        whole = product(mean[f"{layer}.lora_B"], state.factors[f"{layer}.lora_A"])
        found = product(after.factors[f"{layer}.lora_B"], after.velocity[f"{layer}.lora_A"])
        np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize("scheme", ["fedit", "ffa", "alternating", "fedsb"])
def test_what_travels_restores_the_state_to_the_bit(scheme: str) -> None:
    plan = planned(scheme)
    first = state = step.first_state(plan, SHAPES)
    for round in range(1, 4):
        sent = step.broadcast(plan, state)
        assert tensors.shapes_of(sent) == dict(sorted(step.broadcast_shapes(plan, first, round).items()))
        again = step.restore(first, round - 1, sent)
        assert (again.round, step.adapter_digest(again)) == (state.round, step.adapter_digest(state))
        state = step.next_state(plan, state, a_mean(plan, state, round))


def test_the_adapters_digest_covers_the_velocity_and_what_does_not_travel() -> None:
    plan = planned("fedsb")
    state = step.first_state(plan, SHAPES)
    name = min(state.velocity)
    moved = replace(state, velocity={**state.velocity, name: state.velocity[name] + np.float32(1)})
    reseeded = step.first_state(replace(plan, seed=8), SHAPES)
    assert len({step.adapter_digest(s) for s in (state, moved, reseeded)}) == 3


def test_a_plan_without_momentum_has_the_digest_that_it_had_before_there_was_any() -> None:
    plan = make_plan(("a", "b", "c"), evaluation=Evaluation(1, 32, 0.2, 0.2))
    assert plain(plan)["server_optim"] == {"name": "fedavg", "learning_rate": "1.0"}
    assert plain(planned("ffa"))["server_optim"]["momentum"] == "0.8"
    assert read(Plan, plain(plan)).digest() == plan.digest()
    assert planned("ffa").digest() != replace(planned("ffa"), server_optim=ServerOptim("fedavgm", 0.5, 0.7)).digest()


@pytest.mark.parametrize(
    ("scheme", "optim", "where"),
    [
        ("fedit", ServerOptim("fedavg", 1.0, 0.9), "server_optim.momentum"),
        ("fedit", ServerOptim("fedavgm", 1.0), "server_optim.momentum"),
        ("rolora", MOMENTUM, "server_optim.name"),
    ],
)
def test_momentum_without_fedavgm_or_with_rolora_is_a_fault(scheme: Any, optim: ServerOptim, where: str) -> None:
    evaluation = Evaluation(1, 32, 0.2, 0.2)
    plan = make_plan(("a", "b", "c"), scheme=Scheme(scheme), server_optim=optim, evaluation=evaluation)
    [fault] = check_consistent(plan)
    assert where in fault.text("en")
    with pytest.raises(ConfigInvalid, match=where.replace(".", r"\.")):
        read(Plan, plain(plan))
