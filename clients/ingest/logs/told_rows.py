"""Which rows a log tells, in short: so that those that were held out are known again in any other export.

Of each row a hash, as hexadecimal digits one behind the other. Of many rows only those whose hash ends with so many
zero bits that no more than `MOST` are left: a long export and a short one choose the same of the rows that both have.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST = 2048
DIGITS = 16  # of each

Hashes = NDArray[np.uint64]


def chosen(hashes: Hashes) -> str:
    """Of the hashes of all rows."""
    left, ends = np.unique(hashes), 0
    while len(left) > MOST:
        ends += 1
        left = left[left & np.uint64(2**ends - 1) == 0]
    return left.astype(">u8").tobytes().hex()


def sharing(logs: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of `logs`, by their numbers, that tell a same row. Of those that all tell it, each with the first."""
    hashes = [np.frombuffer(bytes.fromhex(each), dtype=">u8") for each in logs]
    if not hashes:
        return []
    owners = np.repeat(np.arange(len(logs)), [len(each) for each in hashes])
    every = np.concatenate(hashes)
    order = np.lexsort((owners, every))
    every, owners = every[order], owners[order]
    _, starts, counts = np.unique(every, return_index=True, return_counts=True)
    firsts = np.repeat(owners[starts], counts)
    pairs = np.unique(np.stack([firsts, owners], axis=1)[firsts != owners], axis=0)
    return [(first, second) for first, second in pairs.tolist()]
