"""Public random numbers: the same on every machine and under every numpy, from a seed that the plan gives.

Only Philox's raw 64-bit words are used, whose stream numpy guarantees (NEP 19); what its Generator makes of them may
change between versions, and a site on another numpy would then compute another first adapter. These numbers hide
nothing: masks, keys and shares come from the operating system.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federation.wire import canonical_cbor


class Stream:
    """Uniform numbers in [0, 1), multiples of 2^-53."""

    def __init__(self, purpose: str, value: Any) -> None:
        """`purpose` and `value` (plain data) tell streams apart."""
        key = hashlib.sha256(f"rengo {purpose} v1\0".encode() + canonical_cbor(value)).digest()
        self._philox = np.random.Philox(key=int.from_bytes(key[:16], "little"))

    def random(self, size: int) -> NDArray[np.float64]:
        """The next `size` numbers."""
        words: NDArray[np.uint64] = self._philox.random_raw(size)
        words >>= np.uint64(11)
        numbers = words.astype(np.float64)
        numbers *= 2.0**-53
        return numbers
