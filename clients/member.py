"""The member, whole: `handle(bytes) -> bytes`. It does not know which carrier brought the bytes, and trusts none.

A request holds one or more signed messages of the coordinator; each gets one signed answer, or a signed refusal that
says why. Requests are handled one at a time. What the answer allows from now on is in the journal, on disk, before the
answer is returned; if that fails nothing leaves and every open session is given up. Exact answers are kept and sent
again for the same message, never computed again; a different message for a finished step is refused and kept as
evidence. Secrets live in the sessions, in memory: a restart closes every round that was open.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from clients.contribution import Contribution, Received
from clients.journal import Departure, Journal
from clients.policy import Policy
from federation import step, tensors
from federation.errors import RengoError, SignatureInvalid
from federation.identity import COORDINATOR, Identity, Roster, open_signed, verify_bytes
from federation.plan import Plan
from federation.secagg.client import AgreedSent, KeysSent, MaskedSent, Ready, Seat, SharesSent, announce
from federation.secagg.contexts import setup_context, statements_digest
from federation.secagg.history import NOWHERE, History, Position
from federation.secagg.messages import Broadcast, Cohort, Inbox, Offer, Refused, Survivors
from federation.secagg.parties import Parties
from federation.secagg.proof import check_proof
from federation.secagg.refusals import (
    Closed,
    Conflicting,
    DataSetBusy,
    JobClosed,
    NotAllowedHere,
    Refusal,
    WrongTerms,
)
from federation.secagg.transitions import DUE
from federation.wire import ZERO_DIGEST, Limits, Malformed, Signed, read_body, read_frame, write_frame

_log = logging.getLogger(__name__)

_WITH_DATA = (Broadcast.kind,)
_WITH_CLAIMS = (*_WITH_DATA, Cohort.kind, Inbox.kind, Survivors.kind)
"""Kinds of messages that carry data."""

State = KeysSent | SharesSent | Ready | MaskedSent | AgreedSent | None


@dataclass
class _Session:
    """One (attempt, round): where it stands, the digests that its messages carry, and what it has answered."""

    position: Position
    offer: Offer
    state: State
    digests: set[bytes]
    answered: dict[str, tuple[Signed, Signed | None]]
    ctx: bytes | None = None
    received: Received | None = None


class Member:
    """One member in one approved job. `destination`, `app` and `manifest`: for the journal, see its
    Departure."""

    def __init__(
        self,
        identity: Identity,
        roster: Roster,
        plan: Plan,
        policy: Policy,
        contribution: Contribution,
        journal: Journal,
        destination: str,
        app: str = "",
        manifest: bytes = b"",
    ) -> None:
        self._identity, self._plan, self._policy = identity, plan, policy
        self._parties = Parties.of(roster, plan)
        self._contribution, self._journal = contribution, journal
        self._destination, self._app, self._manifest = destination, app, manifest
        self._history = journal.history(plan.job)
        self._sessions: dict[Position, _Session] = {}
        self._limits = request_limits(plan, contribution)
        self._one_at_a_time = threading.Lock()

    @property
    def plan(self) -> Plan:
        """The plan that this member takes part in."""
        return self._plan

    @property
    def roster(self) -> Roster:
        """The roster that it knows the others by."""
        return self._parties.roster

    def handle(self, request: bytes) -> bytes:
        """Answer one request. Raises when the journal cannot be written or training breaks: nothing has left then, and
        every open session is given up."""
        with self._one_at_a_time:
            return self._handle(request)

    def _handle(self, request: bytes) -> bytes:
        history = self._history
        try:
            # Another job on this data set may have spent adapters since the last request.
            self._history = replace(history, spent=self._journal.spent())
            answers = self._answers(request)
            frame = write_frame(answers)
            kinds = tuple(answer.header.kind for answer in answers)
            digest, received = statements_digest("departure", answers), len(request)
            departure = Departure(
                *(self._plan.job, kinds, self._destination, len(frame), digest, received, self._app),
                note="; ".join(_refusals(answers)),
                rounds=" ".join(map(self._round_of, answers)),
                manifest=self._manifest,
            )
            self._journal.commit(self._history, departure, open=self._is_open())
        except Exception:
            self._history = history
            self._sessions.clear()
            raise
        self._tell(history)
        return frame

    def _answers(self, request: bytes) -> list[Signed]:
        try:
            self._journal.require_not_closed(self._plan.job)
            messages = read_frame(request, self._limits)
        except JobClosed as refusal:
            self._sessions.clear()
            return [self._refuse("frame", refusal)]
        except Malformed as refusal:
            return [self._refuse("frame", refusal)]
        return [answer for message in messages if (answer := self._answer(message)) is not None]

    def _answer(self, message: Signed) -> Signed | None:
        header = message.header
        try:
            session = self._session_of(message)
            if session is not None and header.kind in session.answered:
                return self._again(session, message)
            # An Offer is kept for as long as its session is: data that it drags along would be, too.
            if len(message.blob) and header.kind not in (_WITH_CLAIMS if self._parties.sparse else _WITH_DATA):
                raise Malformed(detail=f"{header.kind} carries data that it should not")
            message.check_blob()
            if header.kind == Offer.kind:
                return self._on_offer(message)
            if session is None:
                raise NotAllowedHere(kind=header.kind, state="no open round has this context")
            if header.kind not in DUE or not isinstance(session.state, DUE[header.kind]):
                raise NotAllowedHere(kind=header.kind, state=f"after {', '.join(session.answered)}")
            answer = self._advance(session, message)
            session.answered[header.kind] = (message.without_blob(), answer)
            return answer
        except RengoError as refusal:
            return self._refuse(header.kind, refusal, header.digest)

    def _session_of(self, message: Signed) -> _Session | None:
        digest = message.header.digest
        return next((s for s in self._sessions.values() if digest in s.digests), None)

    def _round_of(self, answer: Signed) -> str:
        """For the journal."""
        session = self._session_of(answer)
        return str(session.position[1]) if session else "-"

    def _again(self, session: _Session, message: Signed) -> Signed | None:
        """The same message gets the same answer; another one for a finished step is evidence."""
        first, answer = session.answered[message.header.kind]
        if (first.header_bytes, first.signature) != (message.header_bytes, message.signature):
            self._conflict(session, message)
        return answer

    def _conflict(self, session: _Session, message: Signed) -> NoReturn:
        """Two different messages of the coordinator for one step: keep both, if the second is really signed."""
        kind = message.header.kind
        first, _ = session.answered[kind]
        key = self._parties.roster.coordinator_key
        # A carrier may show me another member's copy of an honest message: that is no contradiction.
        for side in ("sender", "recipient"):
            if getattr(message.header, side) != getattr(first.header, side):
                raise SignatureInvalid(what=f"{kind} of {COORDINATOR} (meant for another member)")
        verify_bytes(key, message.signature, message.to_sign(), f"{kind} of {COORDINATOR}")
        pairs = [(s.header_bytes, s.signature) for s in (first, message)]
        kept, kept_ja = "There is room for no more evidence beside what is kept.", "証拠は上限まで保存済みです。"
        if self._journal.keep_evidence(f"two different {kind}", pairs):
            kept, kept_ja = "Both are kept as evidence.", "両方を証拠として保存しました。"
        attempt, round = session.position
        raise Conflicting(kind=kind, round=round, attempt=attempt, kept=kept, kept_ja=kept_ja)

    def _on_offer(self, message: Signed) -> Signed:
        """Step 0: is this a round that the site wants to be in, and one that nothing said before rules out?"""
        offer = read_body(Offer, message.header.body)
        key = self._parties.roster.coordinator_key
        digest = setup_context(offer)
        open_signed(message, Offer, public_key=key, digest=digest, sender=COORDINATOR, recipient=self._identity.id)
        self._policy.check(offer, self._plan)
        self._policy.check_rounds(self._journal.contributions())
        self._journal.require_free(offer.job)
        position = (offer.attempt, offer.round)
        if position in self._sessions:
            self._conflict(self._sessions[position], message)
        self._check_parent(offer)
        self._history = self._history.with_keys(position)
        seat = Seat(self._identity, self._parties, self._policy.minimum_cohort, offer)
        state, keys = announce(seat)
        # A new attempt closes everything before it; a set-up carried by the current round leaves that round open.
        self._sessions = {p: s for p, s in self._sessions.items() if p[0] == offer.attempt}
        answered: dict[str, tuple[Signed, Signed | None]] = {Offer.kind: (message, keys)}
        self._sessions[position] = _Session(position, offer, state, {digest}, answered)
        return keys

    def _check_parent(self, offer: Offer) -> None:
        """A carried set-up names the round that carried it; a member that was not in that round cannot tell."""
        carrier = self._sessions.get((offer.attempt, offer.round - 1))
        if carrier is not None and carrier.ctx is not None and offer.parent != carrier.ctx:
            raise WrongTerms(what="parent", actual=offer.parent.hex()[:16], expected="the open round's context")

    def _advance(self, session: _Session, message: Signed) -> Signed | None:
        """Let the session take the one message that it waits for."""
        history, position = self._history, session.position
        match session.state:
            case KeysSent() as state:
                history.require_open(position)
                session.state, answer = state.on_cohort(message)
                session.digests.add(session.state.share_ctx)
                return answer
            case SharesSent() as state:
                history.require_open(position)
                session.state = state.on_inbox(message)
                return None
            case Ready() as state:
                return self._mask(session, state, message)
            case MaskedSent() as state:
                history.require_latest(position)
                history.require_unspent(_adapter(session))
                session.state, answer = state.on_survivors(message)
                return answer
            case AgreedSent() as state:
                history = history.with_revealed(position, _adapter(session))
                answer = state.on_unmask(message)
                self._history, session.state = history, None
                return answer
        raise NotAllowedHere(kind=message.header.kind, state="this round is finished")

    def _mask(self, session: _Session, state: Ready, message: Signed) -> Signed:
        """Step 2: check the adapter, train, and send the vector masked. Everything earlier is closed from here on."""
        broadcast = state.seat.open(message, Broadcast, state.share_ctx)
        round = session.position[1]
        if broadcast.last is not None and not self._contribution.knows(round - 1):
            check_proof(broadcast.last.proof, session.offer, self._parties)
        received = self._contribution.receive(round, broadcast, message.blob)
        history = self._history.with_masked(session.position, received.adapter)
        # Checked again: a set-up may have been made in advance, before other vectors were sent.
        self._policy.check_rounds(self._journal.contributions())
        # Counted before training, and one adapter a set-up whatever comes of it: answers must not be questions that a
        # coordinator can ask of this site's text as often as it likes.
        self._journal.count_contribution(self._plan.job, session.position)
        session.state = None
        vector = self._contribution.contribute(received)
        terms = step.terms(self._plan, received.adapter, received.ring, received.last)
        # As many threads as the plan, which this site approved, has for training.
        session.state, masked = state.mask(vector, terms, self._plan.model.threads)
        session.digests.add(session.state.ctx)
        session.ctx, session.received = session.state.ctx, received
        self._history = history
        self._sessions = {p: s for p, s in self._sessions.items() if p >= session.position}
        return masked

    def _refuse(self, request: str, refusal: RengoError, digest: bytes = ZERO_DIGEST) -> Signed:
        """Log the whole reason here. What is not about the protocol may name paths or data: only its code leaves."""
        _log.info("%s refused a %s: %s", self._identity.id, request, refusal)
        public = isinstance(refusal, Refusal | Malformed | SignatureInvalid)
        reason = str(refusal)[:500] if public else "the reason is in the member's own log"
        if isinstance(refusal, DataSetBusy):  # not which: jobs of other consortia are not this one's business
            reason = "another job is still open on this data set; the site can close it with `rengo member close`"
        return self._identity.sign(Refused(request[:100], refusal.code, reason), digest, COORDINATOR)

    def _tell(self, before: History) -> None:
        """Into the log: how far this site is in the job, as far as it knows."""
        id, now, plan = self._identity.id, self._history, self._plan
        masked = now.masked[1]
        if now.masked != before.masked and step.trains(plan, masked):
            _log.info("%s: round %d of %d: trained, the masked update leaves", id, masked, plan.rounds)
        elif now.masked != before.masked:
            _log.info("%s: final measurement: the masked losses leave", id)
        revealed = now.revealed_round
        if revealed != before.revealed_round and step.trains(plan, revealed):
            _log.info("%s: round %d of %d: done here, its shares leave to open the sum", id, revealed, plan.rounds)
        elif revealed != before.revealed_round:
            _log.info("%s: final measurement done here; with it, job %s ends for this site", id, plan.job)

    def _is_open(self) -> bool:
        """Whether this job keeps others from the data set: from its first Keys, a refusal opens nothing, to its end."""
        return self._history.keyed != NOWHERE and self._history.revealed_round <= self._plan.rounds


def _refusals(answers: Sequence[Signed]) -> Iterator[str]:
    """Which request was refused and why, for the journal."""
    for answer in answers:
        if answer.header.kind == Refused.kind:
            refused = read_body(Refused, answer.header.body)
            yield f"{refused.request}: {refused.code}"


def _adapter(session: _Session) -> bytes:
    if session.received is None:
        raise Closed(attempt=session.position[0], round=session.position[1], detail="no adapter was accepted")
    return session.received.adapter


def request_limits(plan: Plan, contribution: Contribution) -> Limits:
    """The largest request that a round of this plan can need: an inbox of a neighbourhood, an adapter and a sum."""
    count = plan.neighbourhood_size
    largest_id = max(len(member.encode()) for member in plan.members)
    per_dealer = 1024 + 64 * count + 4 * largest_id
    # A scheme may train other tensors in even rounds than in odd ones.
    values = max(tensors.size_of(contribution.adapter_shapes(round)) for round in (1, 2))
    blob = 4 * values + (plan.secagg.ring_bits // 8) * values + 65536
    # Either of them: an adapter with the last sum, or the ids of those absent.
    claim = len(plan.members) * (largest_id + 4) + 65536
    return Limits(header=65536 + count * per_dealer, blob=max(blob, claim) if plan.neighbourhoods else blob)
