"""Every request that a malicious coordinator can make of one member, built from real signed statements.

Sets of members are bit masks: bit 0 is the member that is asked, bits 1 and 2 the other honest ones, bit 3 the corrupt
one. A label says how far a member has come in one (attempt, round): () after Keys, then U1, (U2, adapter), U3 and
(whose seed shares, whose key shares) as it answered Cohort, Broadcast, Survivors and Unmask. No label: it said nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from small_job import MEMBERS, RING, SmallJob

from clients.member import Member
from federation import step
from federation.identity import COORDINATOR
from federation.secagg.client import KeysSent, Seat, announce
from federation.secagg.contexts import round_context, setup_context, share_context, survivors_digest
from federation.secagg.history import Position
from federation.secagg.messages import (
    Agreed,
    Broadcast,
    Cohort,
    Inbox,
    Masked,
    Sealed,
    Shares,
    Survivors,
    Unmask,
)
from federation.wire import ZERO_DIGEST, Body, Signed, read_body, read_cbor

Label = tuple[Any, ...]
ME, CORRUPT, EVERYONE = 1, 8, 15
SUBSETS = range(1, EVERYONE + 1)
THRESHOLD = 3
STEPS = ("keys", "shares", "masked", "agreed", "revealed")


@dataclass(frozen=True)
class Request:
    """What is asked, in one (attempt, round), and what was said by others that it shows: `needs` are (member's bit, the
    label that it must have come to). `said` is the label of an answer that complies."""

    position: Position
    said: Label
    needs: tuple[tuple[int, Label], ...]
    messages: tuple[Signed, ...]


def bits(mask: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(len(MEMBERS)) if mask >> bit & 1)


def size(mask: int) -> int:
    return mask.bit_count()


class Coordinator:
    """Malicious, and in league with everybody but one member: it has the others' keys and says anything for them. What
    of it only honest others could have said is written into `needs`."""

    def __init__(self, job: SmallJob, adapters: Sequence[bytes]) -> None:
        self._job, self._adapters = job, adapters
        self._announced: dict[tuple[bytes, str], tuple[KeysSent, Signed]] = {}
        self._dealt: dict[tuple[bytes, str], Signed] = {}

    def offer(self, member: Member, position: Position) -> Request:
        """With the parent that this member accepts: the model takes set-ups with different parents for one, which can
        only show the coordinator more."""
        attempt, round = position
        carrier = member._sessions.get((attempt, round - 1))
        parent = carrier.ctx if carrier is not None and carrier.ctx is not None else ZERO_DIGEST
        offer = self._job.offer(round, attempt, parent)
        return Request(position, (), (), (self._say(offer, setup_context(offer)),))

    def requests(self, member: Member, position: Position, label: Label) -> Iterator[Request]:
        """For an open session: the step that is due with every choice, and those that are done with another one."""
        talk = _Talk(self, member, position, label)
        makers = (talk.cohorts, talk.broadcasts, talk.survivors, talk.unmasks)
        for done, make in enumerate(makers):
            if done <= len(label):
                yield from (r for r in make() if done == len(label) or r.said[done] != label[done])

    def _say(self, body: Body, digest: bytes, blob: bytes = b"") -> Signed:
        return self._job.coordinator.sign(body, digest, MEMBERS[0], blob)

    def keys_of(self, bit: int, setup_ctx: bytes, seat: Seat) -> tuple[KeysSent, Signed]:
        """Another member's Keys, by the real machine."""
        name = MEMBERS[bit]
        if (setup_ctx, name) not in self._announced:
            theirs = replace(seat, me=self._job.identities[name])
            self._announced[setup_ctx, name] = announce(theirs)
        return self._announced[setup_ctx, name]

    def shares_of(self, bit: int, state: KeysSent, cohort: Cohort, setup_ctx: bytes, u1: int) -> Signed:
        """Another member's Shares for this cohort, by the real machine; by its key alone if it is not in it."""
        name, share_ctx = MEMBERS[bit], share_context(setup_ctx, cohort.keys)
        if (share_ctx, name) not in self._dealt:
            if u1 >> bit & 1:
                shown = self._job.coordinator.sign(cohort, setup_ctx, name)
                self._dealt[share_ctx, name] = state.on_cohort(shown)[1]
            else:
                stray = Shares(bytes(32), bytes(32))
                self._dealt[share_ctx, name] = self._job.identities[name].sign(stray, share_ctx, COORDINATOR, b"\x80")
        return self._dealt[share_ctx, name]

    def forget(self) -> None:
        """What was dealt to keys that are never used again."""
        self._dealt.clear()


class _Talk:
    """The requests of one session, from what the member said in it."""

    def __init__(self, lead: Coordinator, member: Member, position: Position, label: Label) -> None:
        self._lead, self._position, self._label = lead, position, label
        session = member._sessions[position]
        self._mine = {kind: answer for kind, (_, answer) in session.answered.items() if answer is not None}
        self._seat = Seat(lead._job.identities[MEMBERS[0]], lead._job.parties, 1, session.offer)
        self._setup_ctx = setup_context(session.offer)

    def _request(self, said: Label, whose: int, messages: tuple[Signed, ...]) -> Request:
        before = said[:-1]
        return Request(self._position, said, tuple((bit, before) for bit in bits(whose) if bit in (1, 2)), messages)

    def _keys(self, mask: int) -> tuple[Signed, ...]:
        theirs = (self._lead.keys_of(bit, self._setup_ctx, self._seat)[1] for bit in bits(mask & ~ME))
        return ((self._mine["offer"],) if mask & ME else ()) + tuple(theirs)

    def cohorts(self) -> Iterator[Request]:
        for u1 in SUBSETS:
            message = self._lead._say(Cohort(self._keys(u1)), self._setup_ctx)
            yield self._request((u1,), u1, (message,))

    def _shares(self, mask: int) -> tuple[Signed, ...]:
        u1 = self._label[0]
        cohort = Cohort(self._keys(u1))
        mine = (self._mine["cohort"],) if mask & ME else ()
        theirs = (
            self._lead.shares_of(
                bit, self._lead.keys_of(bit, self._setup_ctx, self._seat)[0], cohort, self._setup_ctx, u1
            )
            for bit in bits(mask & ~ME)
        )
        return (*mine, *theirs)

    @cached_property
    def _share_ctx(self) -> bytes:
        return share_context(self._setup_ctx, self._keys(self._label[0]))

    def broadcasts(self) -> Iterator[Request]:
        """Inbox and Broadcast together: between the two a member says nothing, so nothing is gained by waiting."""
        place = bits(self._label[0]).index(0)
        for u2 in SUBSETS:
            shares = self._shares(u2)
            sealed = tuple(_sealed(statement, place) for statement in shares)
            inbox = self._lead._say(Inbox(tuple(s.without_blob() for s in shares), sealed), self._share_ctx)
            for number, adapter in enumerate(self._lead._adapters):
                told = self._lead._say(Broadcast(adapter, 0, None), self._share_ctx)
                yield self._request((self._label[0], (u2, number)), u2, (inbox, told))

    @cached_property
    def _ctx(self) -> bytes:
        u2, number = self._label[1]
        headers = tuple(s.without_blob() for s in self._shares(u2))
        terms = step.terms(self._lead._job.plan, self._lead._adapters[number], RING)
        return round_context(self._share_ctx, headers, terms)

    def _masked(self, mask: int) -> tuple[Signed, ...]:
        mine = (self._mine["broadcast"].without_blob(),) if mask & ME else ()
        ctx, identities = self._ctx, self._lead._job.identities
        theirs = (identities[MEMBERS[bit]].sign(Masked(()), ctx, COORDINATOR) for bit in bits(mask & ~ME))
        return (*mine, *theirs)

    def survivors(self) -> Iterator[Request]:
        """With the gone that make up the cohort, and with everyone gone as well as alive."""
        u2 = self._label[1][0]
        ctx = self._ctx
        for u3 in SUBSETS:
            masked = self._masked(u3)
            for gone in {u2 & ~u3, u2}:
                names = tuple(MEMBERS[bit] for bit in bits(gone))
                message = self._lead._say(Survivors(names, masked), ctx)
                yield self._request((*self._label[:2], u3), u3, (message,))

    def unmasks(self) -> Iterator[Request]:
        """Every set of votes for the set that the member signed; and all votes, one of them for another set."""
        ctx, u3 = self._ctx, self._label[2]
        other = next(mask for mask in SUBSETS if mask != u3 and size(mask) >= THRESHOLD and mask & ME)
        for voters in SUBSETS:
            yield self._unmask(ctx, dict.fromkeys(bits(voters), u3))
        for stray in bits(u3 & ~ME):
            yield self._unmask(ctx, {bit: other if bit == stray else u3 for bit in bits(u3)})

    def _unmask(self, ctx: bytes, votes: Mapping[int, Any]) -> Request:
        def vote(bit: int, u3: int) -> Signed:
            if bit == 0:
                return self._mine["survivors"]
            digest = survivors_digest(ctx, self._masked(u3))
            return self._lead._job.identities[MEMBERS[bit]].sign(Agreed(digest), ctx, COORDINATOR)

        message = self._lead._say(Unmask(tuple(vote(bit, u3) for bit, u3 in votes.items())), ctx)
        needs = tuple((bit, (*self._label[:2], u3)) for bit, u3 in votes.items() if bit in (1, 2))
        return Request(self._position, (*self._label[:3], None), needs, (message,))


def _sealed(shares: Signed, place: int) -> Sealed:
    """What a dealer sealed for the member at `place` of the cohort."""
    plain = read_cbor(shares.blob)
    return read_body(Sealed, plain[place]) if plain else Sealed(bytes(32), bytes(32), b"", b"")
