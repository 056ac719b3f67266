"""Named float tensors <-> integers modulo 2^b, so that sums of masked vectors are exact.

Every value is clipped to its tensor's public range, scaled to at most L = floor((2^(b-1) - 1) / N) steps either side of
zero and rounded stochastically without bias. N members at +L cannot overflow a b-bit two's complement word: the sum is
right or the plan is refused, never wrong. Scalars (losses, shares) need more than L steps and travel as several
unsigned limbs, each small enough that N of them fit a word.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from federation.errors import RengoError
from federation.stream import Stream
from federation.tensors import Array, Means, Shapes, Tensors, size_of
from federation.wire import canonical_cbor

# Values that are encoded at a time: with their random numbers they fit a core's cache.
_PIECE = 65536
SCALAR_BITS = 32
SCALAR_FRACTION_BITS = 24
"""A scalar is unsigned fixed point: 8 bits before the point and 24 behind it."""


class Uniform(Protocol):
    """A source of numbers in [0, 1)."""

    def random(self, size: int) -> NDArray[np.floating[Any]]: ...


class NotFinite(RengoError):
    """Training produced values that are not numbers ({where}); nothing was sent. Lower the learning rate."""

    ja = "学習が発散しました（{where}）。何も送信していません。学習率を下げてください。"
    exit_code = 8


@dataclass(frozen=True)
class Ring:
    """One round's encoding, known to all from the plan and the last public mean.

    `ranges`: per tensor, the largest absolute value that is representable. `scalars`: names, encoded after the tensors.
    """

    bits: int
    members: int
    shapes: Shapes
    ranges: Mapping[str, float]
    scalars: tuple[str, ...]

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The little-endian word of the ring."""
        return np.dtype(f"<u{self.bits // 8}")

    @property
    def signed_dtype(self) -> np.dtype[np.signedinteger[Any]]:
        """The same word read as two's complement."""
        return np.dtype(f"<i{self.bits // 8}")

    @property
    def levels(self) -> int:
        """Steps either side of zero that one member may use."""
        half: int = 2 ** (self.bits - 1)
        return (half - 1) // self.members

    @property
    def limb_bits(self) -> int:
        """Bits of a scalar's limb: N limbs of this many bits still fit one word."""
        largest: int = (2**self.bits - 1) // self.members
        return largest.bit_length() - 1

    @property
    def limbs(self) -> int:
        """Words that one scalar takes."""
        return -(-SCALAR_BITS // self.limb_bits)

    @cached_property
    def dimension(self) -> int:
        """Words in a vector."""
        return size_of(self.shapes) + len(self.scalars) * self.limbs

    def digest(self) -> bytes:
        """SHA-256 over everything above: bound by the round's context, so that two encodings never mix."""
        shapes = [[name, list(self.shapes[name]), float(self.ranges[name]).hex()] for name in sorted(self.shapes)]
        encoding = [self.bits, self.members, shapes, list(self.scalars), SCALAR_BITS, SCALAR_FRACTION_BITS]
        return hashlib.sha256(b"rengo ring v1\0" + canonical_cbor(encoding)).digest()

    @property
    def stated_ranges(self) -> tuple[str, ...]:
        """The ranges as they travel: exact hexadecimal floats in order of name."""
        return tuple(float(self.ranges[name]).hex() for name in sorted(self.shapes))

    def step(self, name: str) -> float:
        """The size of one quantisation step of a tensor, in the tensor's own unit."""
        return self.ranges[name] / self.levels

    def clipped_share(self, tensors: Tensors) -> float:
        """The share of a member's values that lie beyond their range and will be clipped."""
        beyond = 0
        for name in self.shapes:
            values, limit = tensors[name], self.ranges[name]
            beyond += int(np.count_nonzero(values > limit)) + int(np.count_nonzero(values < -limit))
        return beyond / max(1, size_of(self.shapes))

    def encode(
        self, tensors: Tensors, scalars: Mapping[str, float], rounding: Uniform
    ) -> NDArray[np.unsignedinteger[Any]]:
        """A member's update as ring words. Raises NotFinite, ValueError for other shapes than the ring's.

        `rounding` supplies the stochastic rounding and protects nothing (see SECAGG: randomness).
        """
        vector = np.empty(self.dimension, dtype=self.dtype)
        start = 0
        for name in sorted(self.shapes):
            if tensors[name].shape != self.shapes[name]:  # the rest of the vector would be whatever memory held
                raise ValueError(f"{name} is {tensors[name].shape}, it has to be {self.shapes[name]}")
            values = tensors[name].ravel()
            self._encode_tensor(name, values, rounding, vector[start : start + len(values)])
            start += len(values)
        for name in self.scalars:
            vector[start : start + self.limbs] = self._scalar_limbs(name, scalars[name])
            start += self.limbs
        return vector

    def _encode_tensor(
        self, name: str, values: Array, rounding: Uniform, words: NDArray[np.unsignedinteger[Any]]
    ) -> None:
        """`values` of a tensor as `words`, both flat; in pieces, so that what is between the two stays in the cache."""
        # 16 bits have at most 10,922 levels, which float32 tells apart by 2^-10; 32 bits have more than it can hold.
        real = np.float32 if self.bits == 16 else np.float64
        signed, scale, most = words.view(self.signed_dtype), real(self.levels / self.ranges[name]), real(self.levels)
        buffer = np.empty(min(_PIECE, len(values)), dtype=real)
        for start in range(0, len(values), _PIECE):
            part = values[start : start + _PIECE]
            steps = buffer[: len(part)]
            # Far beyond the range a product may overflow; infinity is then clipped as what it stands for would be.
            with np.errstate(over="ignore", invalid="ignore"):
                np.multiply(part, scale, out=steps)
                if not np.isfinite(steps.sum()) and not np.isfinite(part).all():
                    raise NotFinite(where=name)
            np.add(steps, rounding.random(len(part)), out=steps)
            np.floor(steps, out=steps)
            # Only now: at +L the addition itself may round up to L + 1.
            np.clip(steps, -most, most, out=steps)
            signed[start : start + _PIECE] = steps

    def decode(self, total: NDArray[np.unsignedinteger[Any]], count: int) -> tuple[Means, dict[str, float]]:
        """Means over `count` members: (tensors, scalars). `total` is the unmasked sum."""
        tensors, start = {}, 0
        signed = total.view(self.signed_dtype)
        for name in sorted(self.shapes):
            stop = start + math.prod(self.shapes[name])
            mean = np.multiply(signed[start:stop], self.step(name) / count, dtype=np.float64)
            tensors[name] = mean.reshape(self.shapes[name])
            start = stop
        scalars = {}
        for name in self.scalars:
            limbs = total[start : start + self.limbs]
            fixed = sum(int(limb) << (index * self.limb_bits) for index, limb in enumerate(limbs))
            scalars[name] = fixed / 2**SCALAR_FRACTION_BITS / count
            start += self.limbs
        return tensors, scalars

    def _scalar_limbs(self, name: str, value: float) -> list[int]:
        if not np.isfinite(value):
            raise NotFinite(where=name)
        fixed = min(max(round(value * 2**SCALAR_FRACTION_BITS), 0), 2**SCALAR_BITS - 1)
        mask = (1 << self.limb_bits) - 1
        return [(fixed >> (index * self.limb_bits)) & mask for index in range(self.limbs)]


def rounding_stream(consortium: str, job: str, seed: int, member: str, round: int) -> Stream:
    """The stochastic rounding of one member in one round of one job: the same plan gives the same adapter."""
    return Stream("rounding", [consortium, job, seed, member, round])
