"""Public random numbers: the same on every machine and under every numpy, from a seed that the plan gives.

AES-256 in counter mode, as the masks are, since processors make nothing faster. These numbers hide nothing: masks, keys
and shares come from the operating system.
"""

import hashlib
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from federation.wire import canonical_cbor

_AES_BLOCK = 16
_EXPONENT_OF_ONE = np.uint32(0x3F800000)


class Stream:
    """Uniform numbers in [0, 1), multiples of 2^-23: the keystream's little-endian 32-bit words, without their lowest
    nine bits."""

    def __init__(self, purpose: str, value: Any) -> None:
        """`purpose` and `value` (plain data) tell streams apart."""
        key = hashlib.sha256(f"rengo {purpose} v1\0".encode() + canonical_cbor(value)).digest()
        self._keystream = Cipher(algorithms.AES256(key), modes.CTR(bytes(_AES_BLOCK))).encryptor()

    def random(self, size: int) -> NDArray[np.float32]:
        """The next `size` numbers."""
        # OpenSSL asks for a block of slack behind the output.
        buffer = bytearray(4 * size + _AES_BLOCK - 1)
        self._keystream.update_into(bytes(4 * size), buffer)
        words = np.frombuffer(buffer, dtype="<u4", count=size)
        # 23 random bits behind the point of a float in [1, 2): no conversion, and exact.
        np.right_shift(words, np.uint32(9), out=words)
        np.bitwise_or(words, _EXPONENT_OF_ONE, out=words)
        numbers = words.view("<f4")
        numbers -= np.float32(1)
        return numbers
