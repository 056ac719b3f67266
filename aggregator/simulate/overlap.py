"""How much of the members' test text somebody trains on: only a simulation, where all texts meet, can look."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

SPAN = 50
"""Characters, blanks aside, that count as the same passage."""

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no character's share of a hash is lost


def seen_share(tests: Sequence[str], trained: Iterable[str]) -> float:
    """The share of the spans of `tests` that also occur in one of `trained`; texts shorter than a span have none."""
    asked, known = (np.concatenate([np.zeros(0, dtype=np.uint64), *map(_hashes, texts)]) for texts in (tests, trained))
    return float(np.isin(asked, known).mean()) if len(asked) else 0.0


def _hashes(text: str) -> NDArray[np.uint64]:
    """A 64-bit polynomial hash of every span. Two different spans of a million collide once in ten million texts."""
    letters = np.array([ord(letter) for letter in "".join(text.split())], dtype=np.uint64)
    count = max(0, len(letters) - SPAN + 1)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(SPAN):
        hashes = hashes * _BASE + letters[offset : offset + count]
    return hashes
