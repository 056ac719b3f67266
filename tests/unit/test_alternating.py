"""The scheme `alternating` promises an exact mean of products and factors that suit the next round."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import ConfigInvalid
from federation.plan import Lora
from federation.schemes import alternating
from federation.schemes.state import State

LORA = Lora(r=4, alpha=8.0, targets=("x",))
SHAPES = {"one": (12, 9), "two": (7, 15)}


def product(state: State, layer: str) -> np.ndarray:
    a, b = (state.factors[f"{layer}.lora_{kind}"].astype(np.float64) for kind in "AB")
    return b @ a


def trained(state: State, stream: np.random.Generator) -> dict[str, np.ndarray]:
    """A member's factors after local training: only the trainable ones moved."""
    moved = {
        name: (state.factors[name] + stream.normal(0, 0.1, state.factors[name].shape)).astype(np.float32)
        for name in sorted(alternating.trainable(state))
    }
    return dict(state.factors) | moved


def run(rounds: int, seed: int) -> tuple[State, list[dict[str, np.ndarray]], State]:
    """(state before the last round, the members' factors in it, state after it)."""
    stream = np.random.default_rng(seed)
    state = alternating.init(SHAPES, LORA, seed)
    for _ in range(rounds):
        before, members = state, [trained(state, stream) for _ in range(5)]
        encoded = [alternating.encode(before, member) for member in members]
        mean = {name: np.mean([e[name] for e in encoded], axis=0).astype(np.float32) for name in encoded[0]}
        state = alternating.apply(before, mean)
    return before, members, state


@given(rounds=st.integers(1, 5), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_the_next_product_is_the_mean_of_the_members_products(rounds: int, seed: int) -> None:
    before, members, after = run(rounds, seed)
    for layer in SHAPES:
        exact = np.mean([product(State(before.round, member), layer) for member in members], axis=0)
        assert np.linalg.norm(product(after, layer) - exact) <= 2e-6 * np.linalg.norm(exact)


@pytest.mark.parametrize("rounds", [1, 2, 3, 4])
def test_the_factor_that_is_frozen_next_is_orthonormal(rounds: int) -> None:
    _, _, after = run(rounds, 3)
    trains_b = any(name.endswith("lora_B") for name in alternating.trainable(after))
    for layer in SHAPES:
        a, b = after.factors[f"{layer}.lora_A"], after.factors[f"{layer}.lora_B"]
        gram = a @ a.T if trains_b else b.T @ b
        assert gram == pytest.approx(np.eye(LORA.r), abs=1e-5)


def test_b_and_a_take_turns_and_only_the_trained_one_is_uploaded() -> None:
    state = alternating.init(SHAPES, LORA, 0)
    for turn in range(4):
        kind = "BA"[turn % 2]
        assert alternating.trainable(State(turn, state.factors)) == {f"{layer}.lora_{kind}" for layer in SHAPES}
        uploaded = alternating.upload_shapes(State(turn, state.factors))
        assert set(uploaded) == alternating.trainable(State(turn, state.factors))


def test_over_two_rounds_it_uploads_what_fedit_uploads_in_one() -> None:
    state = alternating.init(SHAPES, LORA, 0)
    sizes = [
        sum(np.prod(shape) for shape in alternating.upload_shapes(State(turn, state.factors)).values())
        for turn in (0, 1)
    ]
    assert sum(sizes) == LORA.r * sum(out + inner for out, inner in SHAPES.values())


def test_an_untrained_layer_stays_without_effect() -> None:
    state = alternating.init(SHAPES, LORA, 0)
    zero = {name: np.zeros_like(state.factors[name]) for name in alternating.trainable(state)}
    after = alternating.apply(state, zero)
    assert all(np.abs(product(after, layer)).max() == 0 for layer in SHAPES)
    assert all(np.isfinite(factor).all() for factor in after.factors.values())


def test_a_rank_that_no_orthonormal_factor_can_have_is_refused_before_training() -> None:
    with pytest.raises(ConfigInvalid, match=r"lora\.r"):
        alternating.init(SHAPES, Lora(r=8, alpha=8.0, targets=("x",)), 0)


def as_documented(a: np.ndarray, b: np.ndarray, next_round: int) -> tuple[np.ndarray, np.ndarray]:
    """docs/protocol-encoding.md, section 6, by another road: the SVD of the whole product."""
    u, s, v = np.linalg.svd(b.astype(np.float64) @ a.astype(np.float64), full_matrices=False)
    u, s, v = u[:, : len(a)], s[: len(a)], v[: len(a)]
    signs = np.array([1.0 if row[np.argmax(np.abs(row))] > 0 else -1.0 for row in v])
    u, v = u * signs, v * signs[:, None]
    return (v, u * s) if next_round % 2 == 1 else (s[:, None] * v, u)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_the_next_adapter_is_the_one_that_the_protocols_document_gives(rounds: int) -> None:
    before, members, after = run(rounds, 5)
    for layer in SHAPES:
        trained_a, trained_b = (
            np.mean([member[f"{layer}.lora_{kind}"] for member in members], axis=0) for kind in "AB"
        )
        expected = as_documented(trained_a, trained_b, before.round + 2)
        for kind, factor in zip("AB", expected, strict=True):
            np.testing.assert_allclose(after.factors[f"{layer}.lora_{kind}"], factor, rtol=1e-4, atol=1e-5)
