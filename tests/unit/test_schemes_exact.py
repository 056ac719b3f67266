"""Every scheme under the secure sum: the mean of encodings is what it promises, also where members have other ranks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from federation.errors import ConfigInvalid
from federation.plan import Lora, Scheme
from federation.schemes import LoraScheme, State, scheme_named
from federation.schemes.fedsb import disjoint_rows
from federation.stream import Stream
from federation.tensors import Array, Tensors, shapes_of, size_of

EXACT = ("ffa", "rolora", "alternating", "fedsb")
ALL = ("fedit", *EXACT)
Ranks = tuple[int, ...]


def product(scheme: LoraScheme, factors: Tensors) -> NDArray[np.float64]:
    """B A, or B R A, in float64."""
    a, b = (factors[f"w.lora_{kind}"].astype(np.float64) for kind in "AB")
    return b @ factors["w.lora_R"] @ a if "w.lora_R" in factors else b @ a


def trained(scheme: LoraScheme, state: State, rank: int, draw: np.random.Generator) -> dict[str, Array]:
    """A member's factors when it trains the first `rank` columns of B, rows of A, or rows and columns of R."""
    local = {name: array.copy() for name, array in state.factors.items()}
    for name in sorted(scheme.trainable(state)):
        change = draw.normal(0, 0.3, local[name].shape).astype(np.float32)
        if not name.endswith("lora_B"):
            change[rank:] = 0
        if not name.endswith("lora_A"):
            change[:, rank:] = 0
        local[name] += change
    return local


def mean_of(updates: list[dict[str, Array]]) -> dict[str, Array]:
    return {n: np.mean([u[n] for u in updates], axis=0, dtype=np.float64).astype(np.float32) for n in updates[0]}


def a_round(name: Any, shape: tuple[int, int], ranks: Ranks, before: int, seed: int) -> tuple[float, float]:
    """How far the product after a round is from the mean of the members' products, and how large that is, after
    `before` rounds of members of full rank."""
    scheme, draw = scheme_named(Scheme(name)), np.random.default_rng(seed)
    state = scheme.init({"w": shape}, Lora(max(ranks), 4.0, ("w",)), seed)
    for _ in range(before):
        members = [trained(scheme, state, max(ranks), draw) for _ in range(3)]
        state = scheme.apply(state, mean_of([scheme.encode(state, member) for member in members]))
    members = [trained(scheme, state, rank, draw) for rank in ranks]
    after = scheme.apply(state, mean_of([scheme.encode(state, member) for member in members]))
    wanted = np.mean([product(scheme, member) for member in members], axis=0)
    return float(np.linalg.norm(product(scheme, after.factors) - wanted)), float(np.linalg.norm(wanted))


shapes = st.tuples(st.integers(5, 14), st.integers(5, 14))
ranks = st.lists(st.integers(1, 5), min_size=1, max_size=6).map(tuple)


@pytest.mark.parametrize("name", EXACT)
@given(shape=shapes, ranks=ranks, before=st.integers(0, 3), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_next_product_is_the_mean_of_the_members_products_whatever_their_ranks(
    name: Any, shape: tuple[int, int], ranks: Ranks, before: int, seed: int
) -> None:
    off, size = a_round(name, shape, ranks, before, seed)
    assert off <= 1e-5 * size


def test_fedits_next_product_is_not() -> None:
    off, size = a_round("fedit", (12, 9), (4, 4, 4, 4), 1, 0)
    assert off > 0.1 * size


@pytest.mark.parametrize("name", ALL)
@given(shape=shapes, ranks=ranks, seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_the_mean_of_encodings_is_the_encoding_of_the_mean(
    name: Any, shape: tuple[int, int], ranks: Ranks, seed: int
) -> None:
    scheme, draw = scheme_named(Scheme(name)), np.random.default_rng(seed)
    state = scheme.init({"w": shape}, Lora(max(ranks), 4.0, ("w",)), seed)
    members = [trained(scheme, state, rank, draw) for rank in ranks]
    left = mean_of([scheme.encode(state, member) for member in members])
    right = scheme.encode(state, mean_of(members))
    assert shapes_of(left) == shapes_of(right) == scheme.upload_shapes(state)
    for tensor in left:
        np.testing.assert_allclose(left[tensor], right[tensor], atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_the_mean_is_over_all_so_a_column_that_one_of_four_trains_moves_by_a_quarter(name: Any) -> None:
    scheme, draw = scheme_named(Scheme(name)), np.random.default_rng(1)
    state = scheme.init({"w": (7, 6)}, Lora(3, 4.0, ("w",)), 1)
    updates = [scheme.encode(state, trained(scheme, state, rank, draw)) for rank in (3, 2, 2, 1)]
    tensor = min(updates[0], key=lambda n: n.endswith("lora_A"))
    mean, alone = (np.swapaxes(part[tensor], 0, 1)[2] for part in (mean_of(updates), updates[0]))
    np.testing.assert_allclose(mean, alone / 4, rtol=1e-6)
    assert alone.any()


@pytest.mark.parametrize("name", ALL)
def test_the_first_adapter_changes_nothing_and_the_export_is_the_product(name: Any) -> None:
    scheme = scheme_named(Scheme(name))
    state = scheme.init({"w": (12, 9)}, Lora(4, 4.0, ("w",)), 3)
    assert not product(scheme, state.factors).any()
    moved = {n: np.float32(0.1) + np.zeros(shape, np.float32) for n, shape in scheme.upload_shapes(state).items()}
    after = scheme.apply(state, moved)
    exported = scheme.export(after)
    assert shapes_of(exported) == {"w.lora_A": (4, 9), "w.lora_B": (12, 4)}
    np.testing.assert_allclose(product(scheme, exported), product(scheme, after.factors), atol=1e-6)
    assert product(scheme, exported).any()


@pytest.mark.parametrize("name", EXACT)
def test_what_does_not_travel_never_changes(name: Any) -> None:
    scheme, draw = scheme_named(Scheme(name)), np.random.default_rng(1)
    first = state = scheme.init({"w": (12, 9)}, Lora(4, 4.0, ("w",)), 3)
    for _ in range(3):
        state = scheme.apply(state, scheme.encode(state, trained(scheme, state, 4, draw)))
        for tensor in state.factors.keys() - scheme.broadcast(state).keys():
            np.testing.assert_array_equal(state.factors[tensor], first.factors[tensor])


def test_what_a_member_uploads_at_rank_8_of_a_layer_of_192_by_512() -> None:
    """docs/schemes.md"""
    sizes = {}
    for name in ALL:
        scheme = scheme_named(Scheme(name))  # type: ignore[arg-type]
        state = scheme.init({"w": (192, 512)}, Lora(8, 16.0, ("w",)), 1)
        sizes[name] = [size_of(scheme.upload_shapes(replace(state, round=turn))) for turn in (0, 1)]
    assert sizes == {
        "fedit": [8 * 704] * 2,
        "ffa": [8 * 192] * 2,
        "rolora": [8 * 192, 8 * 512],
        "alternating": [8 * 192, 8 * 512],
        "fedsb": [64] * 2,
    }


class TestDisjointRows:
    @given(st.integers(1, 12), st.integers(12, 60), st.integers(0, 99))
    @settings(max_examples=30, deadline=None)
    def test_are_orthonormal_and_use_every_coordinate_once(self, count: int, size: int, seed: int) -> None:
        rows = disjoint_rows(count, size, Stream("test", seed))
        np.testing.assert_allclose(rows.astype("f8") @ rows.T, np.eye(count), atol=1e-6)
        assert ((rows != 0).sum(axis=0) == 1).all()

    def test_differ_by_seed(self) -> None:
        one, two = (disjoint_rows(4, 60, Stream("test", seed)) for seed in (1, 2))
        assert (one != two).any()
        assert ((one != 0) != (two != 0)).any()


def test_fedsb_refuses_a_rank_that_has_no_orthonormal_factors() -> None:
    with pytest.raises(ConfigInvalid, match=r"lora\.r"):
        scheme_named(Scheme("fedsb")).init({"w": (7, 15)}, Lora(8, 8.0, ("w",)), 0)
