"""One exchange with the members: send requests, hand each answer to the aggregation that awaits it, say what happened.

An answer that is not acceptable costs its sender this step and nothing else: it is named, and the round goes on. What
was accepted is durable when an exchange returns, and so before the next one's requests leave.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aggregator.carriers import Carrier, Exchange
from aggregator.store import Store
from federation.errors import RengoError
from federation.secagg.messages import Refused
from federation.secagg.parties import Parties
from federation.secagg.server import Aggregation
from federation.text import printable
from federation.wire import Limits, Signed, read_frame, write_frame


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


Report = Callable[[Answered | Declined | Rejected], None]
Requests = Mapping[str, Sequence[Signed]]


class Exchanges:
    """A carrier, the store, the job's parties and the limits on answers."""

    def __init__(self, carrier: Carrier, store: Store, parties: Parties, limits: Limits, report: Report) -> None:
        self._carrier, self._store, self._parties, self._limits = carrier, store, parties, limits
        self._report = report

    def collect(self, exchange: Exchange, requests: Requests, awaiting: Sequence[Aggregation]) -> None:
        """`ask`, unless that was done before a restart: then the answers that it brought are taken from the store."""
        kept = [self._store.kept(aggregation.offer.round, aggregation.step) for aggregation in awaiting]
        if kept[0] is None:
            self.ask(exchange, requests, awaiting)
            return
        for aggregation, answers in zip(awaiting, kept, strict=True):
            if answers is not None:
                aggregation.replay(answers)

    def ask(self, exchange: Exchange, requests: Requests, awaiting: Sequence[Aggregation]) -> None:
        """Send each member its messages in one frame; give each answer to the first of `awaiting` that expects it.

        An exchange that a kill interrupts leaves nothing: it is asked again, verbatim, and members that have answered
        send the same bytes.
        """
        frames = {member: write_frame(messages) for member, messages in requests.items()}
        for member, answer in self._carrier.exchange(exchange, frames):
            try:
                for statement in read_frame(answer, self._limits):
                    self._take(exchange, member, statement, awaiting)
            except RengoError as error:
                self._report(Rejected(exchange, member, error.code, printable(str(error))))
            else:
                self._report(Answered(exchange, member, len(answer)))
        self._store.keep([answers for aggregation in awaiting if (answers := aggregation.answers()) is not None])

    def _take(self, exchange: Exchange, member: str, statement: Signed, awaiting: Sequence[Aggregation]) -> None:
        kind = statement.header.kind
        if kind == Refused.kind:
            refused = self._parties.open(statement, Refused, statement.header.digest, exchange.step)
            # Who signed it, whatever the carrier says.
            self._report(
                Declined(exchange, statement.header.sender, printable(refused.code), printable(refused.reason))
            )
            return
        expecting = next((a for a in awaiting if a.step.value == kind), awaiting[0])
        expecting.accept(statement)


def together(*parts: Mapping[str, Signed]) -> dict[str, list[Signed]]:
    """Messages for the same member travel in one request."""
    requests: dict[str, list[Signed]] = {}
    for part in parts:
        for member, message in part.items():
            requests.setdefault(member, []).append(message)
    return requests
