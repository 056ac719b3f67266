"""An adapter's bytes, its name, and how far two of them are apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from federation.tensors import Array, digest, from_bytes, relative_difference, shapes_of, size_of, to_bytes
from federation.wire import Malformed

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
ARRAYS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), elements=FLOATS)
TENSORS = st.dictionaries(st.text(max_size=6), ARRAYS, max_size=4)


@given(TENSORS)
@settings(max_examples=60)
def test_tensors_come_back_from_bytes_bit_for_bit(tensors: dict[str, Array]) -> None:
    data = to_bytes(tensors)
    again = from_bytes(data, shapes_of(tensors))
    assert len(data) == 4 * size_of(shapes_of(tensors))
    assert again.keys() == tensors.keys()
    assert digest(again) == digest(tensors)
    assert to_bytes(again) == data


@pytest.mark.parametrize("size", [0, 4, 7, 9, 12])
def test_bytes_of_another_length_are_malformed(size: int) -> None:
    assert from_bytes(bytes(8), {"w": (2,)})["w"].tolist() == [0, 0]
    with pytest.raises(Malformed, match="8 are expected"):
        from_bytes(bytes(size), {"w": (2,)})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_malformed(value: float) -> None:
    with pytest.raises(Malformed, match="not finite"):
        from_bytes(np.array([0, value], "<f4").tobytes(), {"w": (2,)})


def test_the_digest_binds_names_shapes_and_values_and_not_the_order() -> None:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.float32)}
    others = [
        {**tensors, "b": np.array([0, 1e-30], np.float32)},
        {**tensors, "b": np.array([0, -0.0], np.float32)},
        {**tensors, "a": tensors["a"].reshape(3, 2)},
        {"a": tensors["a"], "c": tensors["b"]},
        {"a": tensors["a"]},
        {},
    ]
    assert len({digest(tensors), *map(digest, others)}) == 1 + len(others)
    assert digest(dict(reversed(tensors.items()))) == digest(tensors)
    assert digest({**tensors, "a": np.asfortranarray(tensors["a"])}) == digest(tensors)


def test_the_relative_difference_is_that_of_the_whole_vectors() -> None:
    right = {"a": np.array([3, 0], np.float32), "b": np.array([4], np.float32)}
    left = {"a": np.array([3, 0.3], np.float32), "b": np.array([4.4], np.float32)}
    assert relative_difference(left, right) == pytest.approx(0.1, rel=1e-6)
    assert relative_difference(right, right) == 0


def test_the_relative_difference_from_zero_is_all_or_nothing() -> None:
    zero, one = {"a": np.zeros(1, np.float32)}, {"a": np.ones(1, np.float32)}
    assert (relative_difference(zero, zero), relative_difference(one, zero)) == (0, 1)
