"""The coordinator played by hand, with its real signing key: honestly, unless a test says where it lies.

A `Play` is one (round, attempt). It drives the real Aggregation and the real members through real bytes; `lost` answers
never arrive, `unreached` members are never asked, and `tamper` rewrites the messages for one member before they go.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aggregator.exchange import together
from federation import step, tensors
from federation.schemes import State
from federation.secagg.contexts import SUITE, Terms, last_sum_digest
from federation.secagg.messages import Broadcast, LastSum, Offer, Refused, RoundProof
from federation.secagg.primitives import Words
from federation.secagg.server import Aggregation
from federation.tensors import Tensors
from federation.wire import ZERO_DIGEST, Body, Limits, Signed, read_body, read_frame, write_frame
from tests.protocol.consortium import SHAPES, Consortium

STEPS = ("keys", "shares", "masked", "agreed", "revealed")
LIMITS = Limits(header=10**7, blob=10**7)
Tamper = Callable[[str, list[Signed]], list[Signed]]


def ask(consortium: Consortium, member: str, *messages: Signed) -> tuple[Signed, ...]:
    """One frame to a member and its answers."""
    return read_frame(consortium.members[member].handle(write_frame(messages)), LIMITS)


def refusal(answers: Sequence[Signed]) -> str:
    """The code of the one refusal that came back, and nothing else did."""
    assert [answer.header.kind for answer in answers] == [Refused.kind]
    return read_body(Refused, answers[0].header.body).code


@dataclass(frozen=True)
class Opening:
    """What stands when a round begins: the state, and the sum that gave it."""

    state: State
    last: LastSum | None = None
    words: bytes = b""
    mean: Tensors | None = None


def first_opening(consortium: Consortium) -> Opening:
    return Opening(step.first_state(consortium.plan, SHAPES))


def make_offer(consortium: Consortium, /, round: int = 1, attempt: int = 1, **changes: object) -> Offer:
    plan = consortium.plan
    roster, model = consortium.roster.digest(), bytes.fromhex(plan.model.sha256)
    offer = Offer(SUITE, plan.consortium, plan.job, round, attempt, ZERO_DIGEST, roster, plan.digest(), model)
    return replace(offer, **changes)


def nudged(state: State) -> State:
    """The state with one value moved by one ulp: another digest, the same adapter for every practical purpose."""
    factors = {name: array.copy() for name, array in state.factors.items()}
    first = min(factors)
    factors[first].flat[0] = np.nextafter(factors[first].flat[0], np.float32(np.inf))
    return State(state.round, factors)


class Play:
    """One (round, attempt) of a coordinator."""

    def __init__(self, consortium: Consortium, offer: Offer | None = None, opening: Opening | None = None) -> None:
        self.consortium = consortium
        self.offer = offer or make_offer(consortium)
        self.stand_on(opening or first_opening(consortium))
        self.aggregation = Aggregation(consortium.coordinator, consortium.job.parties, self.offer)
        self.sent: dict[str, dict[str, list[Signed]]] = {}
        self.answers: dict[str, dict[str, Signed]] = {}
        self.refused: dict[str, str] = {}

    def stand_on(self, opening: Opening) -> "Play":
        """The adapter of this round; a carried set-up begins before it is known."""
        self.opening = opening
        self.ring = step.ring_for(self.consortium.plan, opening.state, self.offer.round, opening.mean)
        return self

    @property
    def adapter(self) -> Tensors:
        return step.broadcast(self.consortium.plan, self.opening.state)

    def say(self, body: Body, digest: bytes, member: str, blob: bytes = b"") -> Signed:
        """Anything, signed with the coordinator's key."""
        return self.consortium.coordinator.sign(body, digest, member, blob)

    def broadcast(self, member: str, adapter: Tensors | None = None) -> Signed:
        """The adapter for a member, or another one."""
        data = tensors.to_bytes(self.adapter if adapter is None else adapter)
        body = Broadcast(self.named(adapter), len(data), self.opening.last)
        return self.say(body, self.aggregation.share_ctx, member, data + self.opening.words)

    def requests(self, step_name: str) -> dict[str, list[Signed]]:
        """What an honest coordinator sends for a step."""
        aggregation = self.aggregation
        match step_name:
            case "keys":
                return together(aggregation.offers())
            case "shares":
                return together(aggregation.cohorts())
            case "masked":
                inboxes = aggregation.inboxes(self.terms())
                return together(inboxes, {member: self.broadcast(member) for member in inboxes})
            case "agreed":
                return together(aggregation.survivors())
        return together(aggregation.unmasks())

    def prepare(self, step_name: str) -> Mapping[str, list[Signed]]:
        """The honest requests of a step, remembered in `sent`."""
        self.sent[step_name] = self.requests(step_name)
        return self.sent[step_name]

    def do(
        self,
        step_name: str,
        *,
        lost: Collection[str] = (),
        unreached: Collection[str] = (),
        tamper: Tamper = lambda _, messages: messages,
    ) -> "Play":
        """One step with everyone; refusals are kept in `refused`, by member."""
        for member, messages in self.prepare(step_name).items():
            if member not in unreached:
                self.take(step_name, member, tamper(member, messages), accept=member not in lost)
        return self

    def take(self, step_name: str, member: str, messages: Sequence[Signed], *, accept: bool = True) -> None:
        """Ask one member; hand its answer to the aggregation unless it is to be lost."""
        for answer in ask(self.consortium, member, *messages):
            if answer.header.kind == Refused.kind:
                self.refused[member] = read_body(Refused, answer.header.body).code
            else:
                self.answers.setdefault(step_name, {})[member] = answer
                if accept:
                    self.aggregation.accept(answer)

    def through(self, last: str) -> "Play":
        """Honest steps from the next one up to `last`."""
        for step_name in STEPS[STEPS.index(self.aggregation.step.value) if self.sent else 0 : STEPS.index(last) + 1]:
            if step_name not in self.sent:
                self.do(step_name)
        return self

    def result(self) -> Opening:
        """Open the sum: what stands for the next round."""
        return self.claim(self.aggregation.total())

    def claim(self, total: Words) -> Opening:
        """What would stand after this round if `total` were its sum, whether or not it is."""
        plan, count = self.consortium.plan, max(len(self.aggregation.u3), self.consortium.plan.threshold)
        mean, _ = self.ring.decode(total, count)
        last = LastSum(count, self.ring.stated_ranges, self.ring.scalars, self.proof())
        return Opening(step.next_state(plan, self.opening.state, mean), last, total.tobytes(), mean)

    def terms(self, adapter: Tensors | None = None) -> Terms:
        """Of this round, for members that are told `adapter`."""
        told = last_sum_digest(self.opening.last, self.opening.words)
        return step.terms(self.consortium.plan, self.named(adapter), self.ring, told)

    def named(self, adapter: Tensors | None = None) -> bytes:
        """The digest of the adapter that the round opens with, or of another one of which all travels."""
        return step.adapter_digest(self.opening.state) if adapter is None else tensors.digest(adapter)

    def proof(self) -> RoundProof:
        """Of this round; one without votes while there are none, for a coordinator that only claims it took place."""
        if self.aggregation.u4:
            return self.aggregation.proof()
        terms = self.terms()
        return RoundProof(self.offer, bytes(32), bytes(32), **vars(terms), agreed=())

    def following(self, opening: Opening, **changes: object) -> "Play":
        """The next round in the same attempt, its set-up carried by this one."""
        fields = {"round": self.offer.round + 1, "parent": self.aggregation.ctx} | changes
        return Play(self.consortium, replace(self.offer, **fields), opening)
