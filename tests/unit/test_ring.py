"""Ring words: sums that cannot overflow, rounding without bias, scalars that are exact."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.plan import SecAgg, check_consistent
from federation.ring import NotFinite, Ring, rounding_stream
from tests.protocol.consortium import make_plan

# (bits, members): 16 bits carry up to 511 members, see plan.check_consistent.
SIZES = [(16, n) for n in (3, 4, 30, 100, 255, 511)] + [(32, n) for n in (3, 30, 511, 1000)]
STEP_32 = 2.0**-24


def ring(bits: int = 16, members: int = 30, size: int = 4, scalars: tuple[str, ...] = ()) -> Ring:
    return Ring(bits, members, {"w": (size,)}, {"w": 0.25}, scalars)


def total(of: Ring, vectors: Iterable[np.ndarray]) -> np.ndarray:
    """The sum as the coordinator makes it: word by word, modulo 2^bits."""
    words = np.zeros(of.dimension, dtype=of.dtype)
    for vector in vectors:
        words += vector
    return words


class Highest:
    """A rounding stream at its upper end: the largest float64 below 1, always."""

    def random(self, size: int) -> np.ndarray:
        return np.full(size, np.nextafter(1.0, 0.0))


class TestSum:
    @pytest.mark.parametrize(("bits", "members"), SIZES)
    @pytest.mark.parametrize("value", [0.25, -0.25, 1e30, -1e30])
    def test_of_all_members_at_the_limit_is_the_limit(self, bits: int, members: int, value: float) -> None:
        of = ring(bits, members)
        update = {"w": np.full(4, value, np.float32)}
        one = of.encode(update, {}, np.random.default_rng(0))
        mean, _ = of.decode(total(of, [one] * members), members)
        np.testing.assert_allclose(mean["w"], np.sign(value) * 0.25, rtol=1e-6)

    @pytest.mark.parametrize(("bits", "members"), SIZES)
    def test_does_not_overflow_whatever_the_rounding_stream_gives(self, bits: int, members: int) -> None:
        of = ring(bits, members)
        one = of.encode({"w": np.array([0.25, -0.25, 1, -1], np.float32)}, {}, Highest())  # type: ignore[arg-type]
        steps = one.view(np.dtype(f"<i{bits // 8}")).astype(np.int64)
        assert np.abs(steps).max() <= of.levels
        assert of.levels * members < 2 ** (bits - 1)

    @given(st.sampled_from(SIZES), st.integers(0, 2**32), st.integers(1, 30))
    @settings(max_examples=60)
    def test_gives_the_mean_to_a_step(self, size: tuple[int, int], seed: int, count: int) -> None:
        bits, members = size
        of, draw, count = ring(bits, members, size=50), np.random.default_rng(seed), min(count, members)
        updates = [draw.uniform(-0.25, 0.25, 50).astype(np.float32) for _ in range(count)]
        mean, _ = of.decode(total(of, (of.encode({"w": u}, {}, draw) for u in updates)), count)
        exact = np.mean([u.astype(np.float64) for u in updates], axis=0)
        # At 16 bits a step is told apart to 2^-10: see Ring.encode.
        assert (np.abs(mean["w"] - exact) <= of.step("w") * (1 + 2**-10)).all()

    def test_keeps_several_tensors_apart_by_name(self) -> None:
        of = Ring(32, 3, {"b": (2, 3), "a": (4,), "none": (0,)}, {"a": 1.0, "b": 2.0, "none": 1.0}, ("loss",))
        update: dict[str, Any] = {"b": np.arange(6, dtype=np.float32).reshape(2, 3) / 4, "a": -np.ones(4, np.float32)}
        update["none"] = np.zeros(0, np.float32)
        mean, scalars = of.decode(total(of, [of.encode(update, {"loss": 1.5}, np.random.default_rng(1))] * 3), 3)
        assert sorted(mean) == ["a", "b", "none"]
        for name in mean:
            np.testing.assert_allclose(mean[name], update[name], atol=1e-6)
            assert mean[name].dtype == np.float64
        assert scalars == {"loss": 1.5}


@pytest.mark.parametrize("bits", [16, 32])
def test_rounding_is_unbiased(bits: int) -> None:
    """A value between two steps goes to either, so that it is right on average (6 standard errors, seeded)."""
    of, count = ring(bits, 30, size=200_000), 200_000
    for share in (0.1, 0.5, 0.93):
        values = np.full(count, (3 + share) * of.step("w"))
        words = of.encode({"w": values}, {}, np.random.default_rng(2)).astype(np.int64)
        assert set(np.unique(words)) == {3, 4}
        assert abs(words.mean() - (3 + share)) < 6 * np.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize(("bits", "members", "refused"), [(16, 511, False), (16, 512, True), (32, 512, False)])
def test_a_plan_without_head_room_for_the_sum_is_refused(bits: int, members: int, refused: bool) -> None:
    """Fewer than 64 levels are left for one member; an overflow is ruled out long before."""
    plan = make_plan(
        tuple(f"m{n:04d}" for n in range(members)),
        secagg=SecAgg(bits, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6),
    )
    assert ("secagg.ring_bits" in [fault.facts["where"] for fault in check_consistent(plan)]) is refused


class TestScalars:
    @given(st.sampled_from(SIZES), st.lists(st.floats(0, 255.99), min_size=1, max_size=30))
    @settings(max_examples=100)
    def test_are_exact_to_two_to_the_minus_24(self, size: tuple[int, int], values: list[float]) -> None:
        of = ring(*size, scalars=("held_out_loss", "clipped_share"))
        values = values[: of.members]
        update, draw = {"w": np.zeros(4, np.float32)}, np.random.default_rng(0)
        vectors = (of.encode(update, {"held_out_loss": v, "clipped_share": v / 256}, draw) for v in values)
        _, scalars = of.decode(total(of, vectors), len(values))
        assert abs(scalars["held_out_loss"] - np.mean(values)) <= STEP_32
        assert abs(scalars["clipped_share"] - np.mean(values) / 256) <= STEP_32

    @pytest.mark.parametrize(("bits", "members"), SIZES)
    def test_of_all_members_at_the_limit_do_not_overflow_into_each_other(self, bits: int, members: int) -> None:
        of = ring(bits, members, scalars=("a", "b", "c"))
        one = of.encode({"w": np.zeros(4, np.float32)}, {"a": 1e9, "b": 0.0, "c": 1e9}, np.random.default_rng(0))
        _, scalars = of.decode(total(of, [one] * members), members)
        assert scalars["a"] == scalars["c"] == pytest.approx(256, abs=2 * STEP_32)
        assert scalars["b"] == 0

    def test_below_zero_count_as_zero(self) -> None:
        of = ring(scalars=("a",))
        words = of.encode({"w": np.zeros(4, np.float32)}, {"a": -1.0}, np.random.default_rng(0))
        assert of.decode(words, 1)[1] == {"a": 0.0}


class TestNotFinite:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_updates_are_refused_by_name(self, value: float) -> None:
        update = {"w": np.array([0, value, 0, 0], np.float32)}
        with pytest.raises(NotFinite, match=r"\(w\)"):
            ring().encode(update, {}, np.random.default_rng(0))

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_scalars_are_refused_by_name(self, value: float) -> None:
        update = {"w": np.zeros(4, np.float32)}
        with pytest.raises(NotFinite, match=r"\(loss\)"):
            ring(scalars=("loss",)).encode(update, {"loss": value}, np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(3,), (5,), (2, 2), (0,), ()])
def test_an_update_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"has to be \(4,\)"):
        ring(size=4).encode({"w": np.zeros(shape, np.float32)}, {}, np.random.default_rng(0))


def test_clipped_share_counts_what_lies_beyond_the_range() -> None:
    of = Ring(16, 3, {"a": (4,), "b": (6,)}, {"a": 1.0, "b": 10.0}, ())
    update = {"a": np.array([0, 1, -1, -1.01], np.float32), "b": np.array([0, 10, -11, 12, 9, -9], np.float32)}
    assert of.clipped_share(update) == 0.3


def test_clipped_share_of_nothing_is_zero() -> None:
    assert Ring(16, 3, {}, {}, ()).clipped_share({}) == 0


@pytest.mark.parametrize(("bits", "members"), SIZES)
def test_the_dimension_is_the_length_of_a_vector(bits: int, members: int) -> None:
    of = Ring(bits, members, {"a": (2, 3), "b": ()}, {"a": 1.0, "b": 1.0}, ("x", "y"))
    update: dict[str, Any] = {"a": np.ones((2, 3), np.float32), "b": np.float32(1).reshape(())}
    vector = of.encode(update, {"x": 1.0, "y": 2.0}, np.random.default_rng(0))
    assert vector.shape == (of.dimension,) == (7 + 2 * of.limbs,)
    assert vector.dtype == f"<u{bits // 8}"
    assert of.limbs * of.limb_bits >= 32
    assert ((1 << of.limb_bits) - 1) * members < 2**bits


def test_the_digest_binds_every_part_of_the_encoding() -> None:
    of = Ring(16, 30, {"a": (2, 3)}, {"a": 0.5}, ("loss",))
    others = [
        dataclasses.replace(of, bits=32),
        dataclasses.replace(of, members=31),
        dataclasses.replace(of, shapes={"a": (3, 2)}),
        dataclasses.replace(of, shapes={"b": (2, 3)}, ranges={"b": 0.5}),
        dataclasses.replace(of, ranges={"a": float(np.nextafter(0.5, 1))}),
        dataclasses.replace(of, scalars=("other",)),
        dataclasses.replace(of, scalars=()),
    ]
    assert len({of.digest(), *(other.digest() for other in others)}) == 1 + len(others)
    assert dataclasses.replace(of, shapes={"a": (2, 3)}).digest() == of.digest()


def test_stated_ranges_are_exact() -> None:
    of = Ring(16, 3, {"b": (1,), "a": (1,)}, {"b": 0.1, "a": 1 / 3}, ())
    assert tuple(float.fromhex(text) for text in of.stated_ranges) == (1 / 3, 0.1)


def test_rounding_streams_are_reproducible_and_differ_by_seed_member_and_round() -> None:
    asked = [(1, "豊田", 1), (2, "豊田", 1), (1, "浜松", 1), (1, "豊田", 2)]
    drawn = [tuple(rounding_stream("c", "j", *key).random(3)) for key in asked]
    assert len(set(drawn)) == 4
    assert drawn == [tuple(rounding_stream("c", "j", *key).random(3)) for key in asked]


def test_the_same_stream_gives_the_same_words() -> None:
    of, update = ring(size=100), {"w": np.linspace(-0.3, 0.3, 100, dtype=np.float32)}
    first, second = (of.encode(update, {}, rounding_stream("c", "j", 7, "m", 1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first != of.encode(update, {}, rounding_stream("c", "j", 7, "m", 2))).any()
