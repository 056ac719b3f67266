"""How bytes reach members and come back. A carrier is not trusted and knows nothing of the protocol.

A new carrier is one object with the method of `Carrier`. It may lose, delay, reorder or repeat; it yields each answer
as it arrives, and stops when all are in or nobody is waited for any more: a member without an answer has dropped out.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

SILENT_SECONDS = 60.0
"""How long a member is waited for that let its last request pass, where the others are enough: an exchange over Flower
takes 6.5 s on a busy machine, and a node that reconnects is refused for up to a minute."""


@dataclass(frozen=True)
class Exchange:
    """Which exchange this is, for progress and logs: the round and the answer that is awaited.

    `seconds`: its deadline, from when it begins. `silent`: members that are waited for no longer than SILENT_SECONDS.
    """

    round: int
    step: str
    seconds: float = field(default=math.inf, compare=False)
    silent: frozenset[str] = field(default=frozenset(), compare=False)

    def patience(self, member: str) -> float:
        """Seconds that this member is waited for. What it answers after that still counts while others are."""
        return min(self.seconds, SILENT_SECONDS) if member in self.silent else self.seconds


class Carrier(Protocol):
    """Brings one request to each of some members, and their answers back."""

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """Yield (member, answer) in any order; members that are not reached or do not answer are left out."""
        ...
