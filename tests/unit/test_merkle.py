"""The tree over a dealer's leaves: every path leads to the one root, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.secagg.contexts import node
from federation.secagg.merkle import path_size, root_and_paths, root_from

COUNTS = [1, 2, 3, 4, 5, 7, 8, 9, 21, 30, 31, 32, 33, 64]


def leaves(count: int) -> list[bytes]:
    return [number.to_bytes(32) for number in range(count)]


def root_by_definition(hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1: split at the largest power of two below the number of leaves."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return node(root_by_definition(hashes[:k]), root_by_definition(hashes[k:]))


@pytest.mark.parametrize("count", COUNTS)
def test_the_root_is_that_of_the_rfc_and_every_path_leads_to_it(count: int) -> None:
    root, paths = root_and_paths(leaves(count))
    assert root == root_by_definition(leaves(count))
    for at, (leaf, path) in enumerate(zip(leaves(count), paths, strict=True)):
        assert len(path) == path_size(at, count)
        assert root_from(leaf, at, count, path) == root


@given(st.integers(2, 40), st.data())
def test_another_leaf_place_count_or_path_leads_elsewhere(count: int, data: st.DataObject) -> None:
    root, paths = root_and_paths(leaves(count))
    at = data.draw(st.integers(0, count - 1))
    leaf, path = leaves(count)[at], paths[at]
    other = data.draw(st.integers(0, count - 1).filter(lambda place: place != at))
    place = data.draw(st.integers(0, len(path) - 1))
    touched = path[:place] + bytes([path[place] ^ 1]) + path[place + 1 :]
    assert root_from(leaf, other, count, path) != root
    assert root_from(leaves(count)[other], at, count, path) != root
    assert root_from(leaf, at, count, touched) != root
    assert root_from(leaf, at, count, path[:-32]) is None
    assert root_from(leaf, at, count, path + bytes(32)) is None
