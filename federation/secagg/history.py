"""What a member may still say, after what it has said: the order of rounds and attempts, and adapters that are spent.

`attempt` counts the cold starts of a job: a set-up carried by a round has that round's attempt, and every retry,
restart or fresh start takes the next one. So (attempt, round) only ever rises, and "later" has one meaning.

Without these rules an honest member could be asked for Masked in two attempts and then for Revealed in both with
different survivor sets; the difference of the two sums is one member's vector (docs/security.md).

A History is a value. The journal makes it durable before the message that it allows leaves the machine.
"""

from collections.abc import Set
from dataclasses import dataclass, field, replace

from federation.secagg.refusals import AdapterSpent, Closed

Position = tuple[int, int]
"""(attempt, round)."""

NOWHERE: Position = (0, 0)
ATTEMPT_REACH = 1000
"""How many attempts a member may have missed."""


@dataclass(frozen=True)
class History:
    """One member in one job; `spent` spans all jobs.

    keyed: the last set-up that Keys were sent for. masked: the last round that Masked was sent for.
    revealed_round: the last round that a sum was opened in. spent: digests of adapters that a sum was opened on.
    """

    keyed: Position = NOWHERE
    masked: Position = NOWHERE
    revealed_round: int = 0
    spent: Set[bytes] = field(default_factory=frozenset)

    @property
    def round_open(self) -> bool:
        """Whether a vector was sent for a round whose sum this member has not helped to open."""
        return self.masked[1] > self.revealed_round

    def with_keys(self, position: Position) -> "History":
        """Keys may be sent once a set-up, in order, and never for a round that this member helped to open."""
        attempt, round = position
        if attempt > self.keyed[0] + ATTEMPT_REACH:
            # One huge number would close the job for this member for good.
            raise Closed(attempt=attempt, round=round, detail=f"attempts have come to {self.keyed[0]}")
        if position <= self.keyed:
            raise Closed(attempt=attempt, round=round, detail=f"Keys were last sent for {_text(self.keyed)}")
        self._require_unopened(position)
        if round < self.masked[1]:
            raise Closed(attempt=attempt, round=round, detail=f"a vector of round {self.masked[1]} was sent")
        return replace(self, keyed=position)

    def with_masked(self, position: Position, adapter: bytes) -> "History":
        """Masked may be sent once a set-up that is still open, and closes every earlier round for good."""
        self.require_open(position)
        if position > self.keyed:
            raise Closed(attempt=position[0], round=position[1], detail=f"Keys were last sent for {_text(self.keyed)}")
        self._require_unopened(position)
        if position <= self.masked:
            raise Closed(attempt=position[0], round=position[1], detail=f"a vector was sent for {_text(self.masked)}")
        self.require_unspent(adapter)
        return replace(self, masked=position)

    def with_revealed(self, position: Position, adapter: bytes) -> "History":
        """Shares may be revealed for the round that Masked was last sent for, and spend its adapter."""
        self.require_latest(position)
        self._require_unopened(position)
        self.require_unspent(adapter)
        return replace(self, revealed_round=position[1], spent=self.spent | {adapter})

    def require_open(self, position: Position) -> None:
        """Raises Closed for an attempt before the one that Keys were last sent for."""
        if position[0] != self.keyed[0]:
            raise Closed(attempt=position[0], round=position[1], detail=f"attempt {self.keyed[0]} has begun")

    def require_latest(self, position: Position) -> None:
        """Raises Closed unless Masked was last sent for `position` and no newer attempt has begun."""
        self.require_open(position)
        if position != self.masked:
            raise Closed(attempt=position[0], round=position[1], detail=f"a vector was sent for {_text(self.masked)}")

    def require_unspent(self, adapter: bytes) -> None:
        """Raises AdapterSpent for an adapter on which this member already helped to open a sum, in any job."""
        if adapter in self.spent:
            raise AdapterSpent(adapter=adapter.hex()[:16])

    def _require_unopened(self, position: Position) -> None:
        attempt, round = position
        if round <= self.revealed_round:
            raise Closed(attempt=attempt, round=round, detail=f"the sum of round {self.revealed_round} was opened")


def _text(position: Position) -> str:
    attempt, round = position
    return f"round {round}, attempt {attempt}" if attempt else "nothing"
