"""Any t shares give the secret, t - 1 say nothing, and shares that do not belong together are noticed."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.secagg import shamir
from federation.secagg.shamir import PRIME, SHARE_SIZE, InconsistentShares, combine, lagrange_at_zero, share

SECRETS = st.binary(min_size=32, max_size=32)


def recovered(shares: dict[int, bytes]) -> bytes:
    return combine(shares, lagrange_at_zero(tuple(shares)))


def test_the_modulus_is_prime() -> None:
    """Miller-Rabin; a composite passes 64 rounds with random bases with a probability below 2^-128."""
    odd, twos = PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    draw = random.Random(1)
    for _ in range(64):
        x = pow(draw.randrange(2, PRIME - 1), odd, PRIME)
        assert x == 1 or any(pow(x, 2**power, PRIME) == PRIME - 1 for power in range(twos))


def test_the_modulus_is_the_smallest_prime_beyond_all_secrets() -> None:
    assert 2**256 < PRIME < 2 ** (8 * SHARE_SIZE)
    assert all(pow(3, n - 1, n) != 1 for n in range(2**256 + 1, PRIME, 2))


@given(SECRETS, st.integers(1, 12), st.data())
@settings(max_examples=50)
def test_any_threshold_of_shares_gives_the_secret(secret: bytes, threshold: int, data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(1, 1000), min_size=threshold, max_size=15, unique=True))
    shares = share(secret, threshold, indices)
    assert set(map(len, shares.values())) == {SHARE_SIZE}
    chosen = data.draw(st.lists(st.sampled_from(indices), min_size=threshold, unique=True))
    assert recovered({index: shares[index] for index in chosen}) == secret


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32], ids=["zero", "largest"])
def test_the_smallest_and_the_largest_secret_come_back(secret: bytes) -> None:
    shares = share(secret, 21, range(1, 31))
    for responders in (range(1, 22), range(10, 31), range(30, 9, -1), range(1, 31)):
        assert recovered({index: shares[index] for index in responders}) == secret


@given(SECRETS, SECRETS)
@settings(max_examples=30)
def test_one_share_too_few_fits_every_secret(secret: bytes, other: bytes) -> None:
    """For t - 1 shares and any other secret there is exactly one t-th share that completes them to it."""
    shares = share(secret, 4, range(1, 6))
    few = {index: shares[index] for index in (2, 3, 5)}
    *weights, last = lagrange_at_zero((2, 3, 5, 4))
    known = sum(int.from_bytes(few[i]) * w for i, w in zip((2, 3, 5), weights, strict=True))
    missing = (int.from_bytes(other) - known) * pow(last, -1, PRIME) % PRIME
    assert recovered({**few, 4: missing.to_bytes(SHARE_SIZE)}) == other


def test_shares_of_the_same_secret_are_never_the_same() -> None:
    dealt = [share(bytes(32), 2, (1, 2)) for _ in range(20)]
    assert len({shares[1] for shares in dealt}) == 20


def test_coefficients_are_drawn_from_the_whole_field() -> None:
    """Shares of zero at index 1 with t = 2 are the coefficient itself: the mean of 2,000 lies near p / 2."""
    drawn = [int.from_bytes(share(bytes(32), 2, (1, 2))[1]) / PRIME for _ in range(2000)]
    assert abs(sum(drawn) / len(drawn) - 0.5) < 6 / (12 * 2000) ** 0.5


def test_shares_of_two_dealings_are_almost_always_noticed_never_to_give_either_secret() -> None:
    """A mixture is uniform in the field: about p - 2^256 of p results are out of range, the rest is no one's secret."""
    first, second = share(b"1" * 32, 2, (1, 2)), share(b"2" * 32, 2, (1, 2))
    try:
        mixed = recovered({1: first[1], 2: second[2]})
    except InconsistentShares:
        return
    assert mixed not in (b"1" * 32, b"2" * 32)


def test_a_result_beyond_256_bits_is_inconsistent() -> None:
    for value in range(2**256, PRIME, 37):
        with pytest.raises(InconsistentShares, match="one secret"):
            combine({1: value.to_bytes(SHARE_SIZE)}, (1,))


@pytest.mark.parametrize("value", [PRIME, PRIME + 1, 2 ** (8 * SHARE_SIZE) - 1])
def test_a_share_outside_the_field_is_refused(value: int) -> None:
    with pytest.raises(InconsistentShares, match="field"):
        combine({1: value.to_bytes(SHARE_SIZE)}, (1,))


@pytest.mark.parametrize("size", [0, 32, 34])
def test_a_share_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(InconsistentShares):
        combine({1: bytes(size)}, (1,))


def test_weights_for_other_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        combine({1: bytes(SHARE_SIZE)}, (1, 1))


@pytest.mark.parametrize(
    ("secret", "threshold", "indices"),
    [
        (bytes(31), 1, (1,)),
        (bytes(33), 1, (1,)),
        (bytes(32), 0, (1,)),
        (bytes(32), 3, (1, 2)),
        (bytes(32), 1, (0, 1)),
        (bytes(32), 1, (-1, 1)),
        (bytes(32), 1, (1, 1)),
    ],
)
def test_nonsense_is_not_dealt(secret: bytes, threshold: int, indices: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"need a|distinct"):
        share(secret, threshold, indices)


def test_weights_interpolate_every_polynomial_of_the_degree() -> None:
    for indices in itertools.combinations((1, 2, 7, 30, 999), 3):
        weights = lagrange_at_zero(indices)
        for power in range(3):
            value = sum(w * x**power for w, x in zip(weights, indices, strict=True)) % PRIME
            assert value == (1 if power == 0 else 0)


def test_known_shares() -> None:
    """3 + 5x + 7x^2 at 1, 2, 3: worked by hand."""
    assert [shamir._evaluate((3, 5, 7), x) for x in (1, 2, 3)] == [15, 41, 81]
    shares = {x: y.to_bytes(SHARE_SIZE) for x, y in ((1, 15), (2, 41), (3, 81))}
    assert recovered(shares) == (3).to_bytes(32)
