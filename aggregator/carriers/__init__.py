"""How bytes reach members and come back. A carrier is not trusted and knows nothing of the protocol.

A new carrier is one object with the method of `Carrier`. It may lose, delay, reorder or repeat; it yields each answer
as it arrives, and stops when all are in or its deadline has passed: a member without an answer has dropped out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Exchange:
    """Which exchange this is, for deadlines, progress and logs: the round and the answer that is awaited."""

    round: int
    step: str


class Carrier(Protocol):
    """Brings one request to each of some members, and their answers back."""

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """Yield (member, answer) in any order; members that are not reached or do not answer are left out."""
        ...
