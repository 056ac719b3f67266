"""Shamir's secret sharing (1979) of 256-bit secrets over the prime field of p = 2^256 + 297.

The field is larger than the secrets, so every 32-byte secret is a field element; a recovered value of 2^256 or more
proves that the shares do not belong together.
"""

import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache

PRIME = 2**256 + 297
SECRET_SIZE = 32
SHARE_SIZE = 33


class InconsistentShares(ValueError):
    """The shares do not lie on a polynomial whose secret is a 256-bit value."""


def share(secret: bytes, threshold: int, indices: Sequence[int]) -> dict[int, bytes]:
    """Index -> share (33 bytes, big-endian). Any `threshold` of them give `secret`; fewer say nothing about it.

    Coefficients come from the operating system. `indices` are distinct and positive.
    """
    if len(secret) != SECRET_SIZE or not 1 <= threshold <= len(indices):
        raise ValueError(f"need a {SECRET_SIZE}-byte secret and at least {threshold} indices")
    if len(set(indices)) != len(indices) or min(indices) < 1:
        raise ValueError("indices have to be distinct and positive")
    coefficients = [int.from_bytes(secret), *(secrets.randbelow(PRIME) for _ in range(threshold - 1))]
    return {x: _evaluate(coefficients, x).to_bytes(SHARE_SIZE) for x in indices}


def _evaluate(coefficients: Sequence[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % PRIME
    return value


@lru_cache(maxsize=64)
def lagrange_at_zero(indices: tuple[int, ...]) -> tuple[int, ...]:
    """The weights that turn the shares at `indices` into the secret; the same for every secret of a responder set."""
    weights = []
    for i in indices:
        top, bottom = 1, 1
        for j in indices:
            if j != i:
                top = top * j % PRIME
                bottom = bottom * (j - i) % PRIME
        weights.append(top * pow(bottom, -1, PRIME) % PRIME)
    return tuple(weights)


def combine(shares: Mapping[int, bytes], weights: Sequence[int]) -> bytes:
    """The secret (32 bytes) from exactly the shares whose indices gave `weights`, in the same order.

    Raises InconsistentShares for shares outside the field, or when the result is no 256-bit value.
    """
    total = 0
    for data, weight in zip(shares.values(), weights, strict=True):
        value = int.from_bytes(data)
        if len(data) != SHARE_SIZE or value >= PRIME:
            raise InconsistentShares("a share is not an element of the field")
        total = (total + value * weight) % PRIME
    if total >= 2**256:
        raise InconsistentShares("the shares do not belong to one secret")
    return total.to_bytes(SECRET_SIZE)
