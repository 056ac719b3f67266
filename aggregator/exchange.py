"""One exchange with the members: send requests, hand each answer to the aggregation that awaits it, say what happened.

An answer that is not acceptable costs its sender this step and nothing else: it is named, and the round goes on. What
was accepted is durable when an exchange returns, and so before the next one's requests leave.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from aggregator.carriers import Carrier, Exchange
from aggregator.store import Store
from federation.errors import RengoError
from federation.plan import Deadlines
from federation.secagg.messages import Offer, Refused, Revealed
from federation.secagg.on_demand import OnDemand
from federation.secagg.parties import Parties
from federation.secagg.server import Aggregation
from federation.secagg.shelf import Shelf, ShelfDamaged
from federation.text import printable
from federation.wire import Limits, Signed, read_frame, write_frame


@dataclass(frozen=True)
class Asked:
    """An exchange begins: these members are in, as far as it is known."""

    exchange: Exchange
    members: frozenset[str]


@dataclass(frozen=True)
class Answered:
    """A member's answer was accepted (`bytes` on the wire, frame included)."""

    exchange: Exchange
    member: str
    bytes: int


@dataclass(frozen=True)
class Declined:
    """A member refused a request and said why: a normal event."""

    exchange: Exchange
    member: str
    code: str
    reason: str


@dataclass(frozen=True)
class Rejected:
    """What came in a member's name is not acceptable."""

    exchange: Exchange
    member: str
    code: str
    reason: str


@dataclass(frozen=True)
class LeftOut:
    """From now on these members, or nobody, are not asked for keys or a vector: whoever runs the job decided so."""

    exchange: Exchange
    members: frozenset[str]


@dataclass(frozen=True)
class Refusals:
    """What an exchange's requests were refused with: (member, kind of the request, its context)."""

    found: frozenset[tuple[str, str, bytes]]

    def of(self, request: str, context: bytes) -> frozenset[str]:
        """The members that refused this request in this context."""
        return frozenset(member for member, *refused in self.found if refused == [request, context])


_DAMAGED = ("malformed", "signature-invalid")
"""What a carrier can do to a request: a refusal that says nothing of the member."""

Report = Callable[[Asked | Answered | Declined | Rejected | LeftOut], None]
Requests = Mapping[str, Sequence[Signed]]


class Exchanges:
    """A carrier, the store, the job's parties, how long members have, the limits on answers, and who is left out at a
    time."""

    def __init__(
        self,
        carrier: Carrier,
        store: Store,
        parties: Parties,
        deadlines: Deadlines,
        limits: Limits,
        report: Report,
        left_out: Callable[[], frozenset[str]],
    ) -> None:
        self._carrier, self._store, self._parties = carrier, store, parties
        self._deadlines, self._limits, self._report, self._left_out = deadlines, limits, report, left_out
        self._told_left_out = frozenset[str]()
        self._silent: set[str] = set()  # who did not answer when it was last asked
        self.further: set[str] = set()
        """Members that last refused an Offer because they have left its round behind."""

    def under(self, parties: Parties) -> "Exchanges":
        """The same under another roster."""
        limits, report, left_out = self._limits, self._report, self._left_out
        return Exchanges(self._carrier, self._store, parties, self._deadlines, limits, report, left_out)

    def open_shelf(self, round: int) -> Shelf:
        """Where a set-up of this round puts the envelopes that it accepts."""
        return self._store.open_shelf(round)

    def admitted(self, exchange: Exchange, requests: Mapping[str, Signed]) -> Mapping[str, Signed]:
        """`requests` to those who are not left out now. To the members it is as if the others had not been reached."""
        left_out = self._left_out().intersection(self._parties.members)
        if left_out != self._told_left_out:
            self._report(LeftOut(exchange, left_out))
            self._told_left_out = left_out
        return OnDemand([member for member in requests if member not in left_out], requests.__getitem__)

    def collect(self, exchange: Exchange, requests: Requests, awaiting: Sequence[Aggregation]) -> bool:
        """`ask`, unless that was done before a restart: then the answers that it brought are taken from the store, and
        this is true."""
        kept = self.replay(awaiting)
        if not kept:
            self.ask(exchange, requests, awaiting)
        return kept

    def replay(self, awaiting: Sequence[Aggregation]) -> bool:
        """Take the answers to a finished step from the store; false if the first of `awaiting` has not finished it."""
        kept = [self._store.kept(aggregation.offer.round, aggregation.step) for aggregation in awaiting]
        if kept[0] is None:
            return False
        for aggregation, answers in zip(awaiting, kept, strict=True):
            if answers is not None:
                aggregation.replay(answers)
        return True

    def accept_revealed(self, aggregation: Aggregation) -> None:
        """Take what had been revealed when an exchange was interrupted."""
        for statement in self._store.revealed(aggregation.offer.round):
            aggregation.accept(statement)

    def ask(self, exchange: Exchange, requests: Requests, awaiting: Sequence[Aggregation]) -> Refusals:
        """Send each member its messages in one frame; give each answer to the first of `awaiting` that expects it. With
        nobody awaiting, only refusals count.

        An exchange that a kill interrupts leaves nothing but what was revealed: it is asked again, verbatim, and
        members that have answered send the same bytes.
        """
        frames = OnDemand(requests, lambda member: write_frame(requests[member]))
        refused: set[tuple[str, str, bytes]] = set()
        exchange = self._timed(exchange, frames)
        self._report(Asked(exchange, frozenset(frames)))
        self._silent |= set(frames)
        for member, answer in self._carrier.exchange(exchange, frames):
            self._silent.discard(member)
            try:
                for statement in read_frame(answer, self._limits):
                    if statement.header.kind == Refused.kind:
                        refused |= self._refused(exchange, statement)
                    elif awaiting:
                        self._take(statement, awaiting)
            except ShelfDamaged:
                raise  # our own disk: no fault of the member's
            except RengoError as error:
                self._report(Rejected(exchange, member, error.code, printable(str(error))))
            else:
                self._report(Answered(exchange, member, len(answer)))
        self._store.keep([answers for aggregation in awaiting if (answers := aggregation.answers()) is not None])
        return Refusals(frozenset(refused))

    def _timed(self, exchange: Exchange, asked: Collection[str]) -> Exchange:
        """With the plan's deadline, and whom not to wait that long for: members that let their last request pass, as
        long as the others are enough for a round. So a member that is connected and says nothing costs its deadline
        once, and not in each round; it is asked all the same, and back when it answers in time."""
        silent = self._silent.intersection(asked)
        enough = len(asked) - len(silent) >= self._parties.quorum
        seconds = self._deadlines.seconds(exchange.step)
        return replace(exchange, seconds=seconds, silent=frozenset(silent) if enough else frozenset())

    def _refused(self, exchange: Exchange, statement: Signed) -> set[tuple[str, str, bytes]]:
        sender, context = statement.header.sender, statement.header.digest
        refused = self._parties.open(statement, Refused, context, exchange.step)
        # Who signed it, whatever the carrier says.
        self._report(Declined(exchange, sender, printable(refused.code), printable(refused.reason)))
        if (refused.request, refused.code) == (Offer.kind, "closed"):
            self.further.add(sender)
        return set() if refused.code in _DAMAGED else {(sender, refused.request, context)}

    def _take(self, statement: Signed, awaiting: Sequence[Aggregation]) -> None:
        kind = statement.header.kind
        expecting = next((a for a in awaiting if a.step.value == kind), awaiting[0])
        if expecting.has(statement):
            return  # before a restart
        expecting.accept(statement)
        self.further.discard(statement.header.sender)
        if kind == Revealed.kind:
            # At once: who sent it may restart before the exchange ends, and would not reveal in another attempt.
            self._store.keep_revealed(expecting.offer.round, statement)


def together(*parts: Mapping[str, Signed]) -> Requests:
    """Messages for the same member travel in one request."""
    members = [member for part in parts for member in part]
    return OnDemand(members, lambda member: [part[member] for part in parts if member in part])
