"""What the model makes of one member's table, three of its kind, is what three real members do with each other's real
statements: drawn schedules, step by step on both sides."""

import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from message_order.alone import Alone
from message_order.coordinator import STEPS, bits
from message_order.names import NAMES, renamed
from message_order.together import Search
from small_job import MEMBERS, RING, OneValue, SmallJob

from clients.journal import Journal
from clients.member import Member
from federation import step
from federation.identity import COORDINATOR
from federation.secagg.client import KeysSent, Seat, announce
from federation.secagg.contexts import round_context, setup_context, share_context, survivors_digest
from federation.secagg.history import Position
from federation.secagg.messages import Agreed, Broadcast, Cohort, Inbox, Masked, Revealed, Sealed, Survivors, Unmask
from federation.wire import Body, Signed, read_body, read_cbor, read_frame, write_frame
from tests.protocol.play import LIMITS

Label = tuple
CORRUPT = 3
ADAPTERS = [bytes([1]) * 32, bytes([2]) * 32]


class Three:
    """Three real members; the coordinator and the fourth member are this test's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.job = folder, SmallJob()
        self.members: dict[int, Member] = {}
        self.said: dict[tuple[int, Position], list[Signed]] = {}
        self.corrupt: dict[Position, tuple[KeysSent, Signed]] = {}
        for m in range(3):
            self.restart(m)

    def restart(self, m: int) -> None:
        job, name = self.job, MEMBERS[m]
        if m in self.members:
            self.members[m]._journal.close()
        journal = Journal(self.folder / name / "journal.sqlite")
        self.members[m] = Member(job.identities[name], job.roster, job.plan, job.policy, OneValue(), journal, "test")

    def ask(self, m: int, position: Position, label: Label) -> list[str]:
        """The kinds of the answers to the request whose answer brings `m` to `label`; what was said is remembered."""
        talk = Talk(self, m, position, label)
        frame = self.members[m].handle(write_frame(list(talk.messages())))
        answers = read_frame(frame, LIMITS)
        if answers[0].header.kind != "refused":
            before = self.said.get((m, position), [])
            self.said[m, position] = [*before[: len(label)], answers[0]]
        return [answer.header.kind for answer in answers]


class Talk:
    """The request that brings one member to `label`, from what the others really said."""

    def __init__(self, three: Three, m: int, position: Position, label: Label) -> None:
        self.three, self.m, self.position, self.label, self.job = three, m, position, label, three.job
        attempt, round = position
        self.offer = self.job.offer(round, attempt)
        self.setup_ctx = setup_context(self.offer)

    def messages(self) -> Iterator[Signed]:
        match self.label:
            case ():
                yield self.say(self.offer, self.setup_ctx)
            case (_,):
                yield self.say(self.cohort, self.setup_ctx)
            case (_, (u2, adapter)):
                dealt = [self.statement(who, 1) for who in bits(u2)]
                place = bits(self.label[0]).index(self.m)
                sealed = tuple(read_body(Sealed, read_cbor(shares.blob)[place]) for shares in dealt)
                yield self.say(Inbox(tuple(s.without_blob() for s in dealt), sealed), self.share_ctx)
                yield self.say(Broadcast(ADAPTERS[adapter], 0, None), self.share_ctx)
            case (_, (u2, _), u3):
                gone = tuple(MEMBERS[who] for who in bits(u2 & ~u3))
                yield self.say(Survivors(gone, self.masked), self.ctx)
            case (_, _, u3, _):
                voters = [who for who in bits(u3) if who == CORRUPT or self.agrees(who)]
                yield self.say(Unmask(tuple(self.statement(who, 3) for who in voters)), self.ctx)

    def say(self, body: Body, digest: bytes) -> Signed:
        return self.job.coordinator.sign(body, digest, MEMBERS[self.m])

    def statement(self, who: int, step_number: int) -> Signed:
        if who != CORRUPT:
            return self.three.said[who, self.position][step_number]
        me = self.job.identities[MEMBERS[CORRUPT]]
        match step_number:
            case 0:
                return self.corrupt[1]
            case 1:
                shown = self.job.coordinator.sign(self.cohort, self.setup_ctx, me.id)
                return self.dealt(shown)
            case 2:
                return me.sign(Masked(()), self.ctx, COORDINATOR)
        return me.sign(Agreed(survivors_digest(self.ctx, self.masked)), self.ctx, COORDINATOR)

    @cached_property
    def corrupt(self) -> tuple[KeysSent, Signed]:
        if self.position not in self.three.corrupt:
            seat = Seat(self.job.identities[MEMBERS[CORRUPT]], self.job.parties, 1, self.offer)
            self.three.corrupt[self.position] = announce(seat)
        return self.three.corrupt[self.position]

    def dealt(self, cohort: Signed) -> Signed:
        """Of the corrupt member: dealt once for a cohort, as everybody has to see the same Shares."""
        known = self.three.said.setdefault((CORRUPT, self.position), [])
        for shares in known:
            if shares.header.digest == self.share_ctx:
                return shares
        known.append(self.corrupt[0].on_cohort(cohort)[1])
        return known[-1]

    def agrees(self, who: int) -> bool:
        """Whether an honest member voted for this set in this context."""
        said = self.three.said.get((who, self.position), [])
        digest = survivors_digest(self.ctx, self.masked)
        return len(said) > 3 and read_body(Agreed, said[3].header.body).survivors == digest

    @cached_property
    def cohort(self) -> Cohort:
        return Cohort(tuple(self.statement(who, 0) for who in bits(self.label[0])))

    @cached_property
    def share_ctx(self) -> bytes:
        return share_context(self.setup_ctx, self.cohort.keys)

    @cached_property
    def ctx(self) -> bytes:
        u2, adapter = self.label[1]
        headers = tuple(self.statement(who, 1).without_blob() for who in bits(u2))
        return round_context(self.share_ctx, headers, step.terms(self.job.plan, ADAPTERS[adapter], RING))

    @cached_property
    def masked(self) -> tuple[Signed, ...]:
        return tuple(self.statement(who, 2).without_blob() for who in bits(self.label[2]))


CARRIED = pytest.param([(1, 1), (1, 2)], id="carried", marks=pytest.mark.slow)


@pytest.mark.parametrize("positions", [pytest.param([(1, 1), (2, 1)], id="two attempts"), CARRIED])
def test_three_real_members_do_what_the_model_says(
    folder: Path, positions: list[Position], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The model takes set-ups with different parents for one; here all have none.
    monkeypatch.setattr(Member, "_check_parent", lambda *_: None)
    search = Search(Alone(folder, positions, 1).explore(), positions, adapters=1, restarts=1)
    random, revealed, refused = Random(1), 0, 0
    for number in range(40):
        three = Three(folder / str(number))
        here = search._first()
        while moves := [(taken, after) for taken, *_, after in search._following(*here)]:
            taken, here = random.choices(moves, [1 + 9 * (taken[1] is not None) for taken, _ in moves])[0]
            step_taken = search._step(taken)
            m, position, label = step_taken.member, step_taken.position, step_taken.label
            if position is None or label is None:
                three.restart(m)
                continue
            assert three.ask(m, position, label) == [STEPS[len(label)]], str(step_taken)
            if len(label) == 4:
                answer = read_body(Revealed, three.said[m, position][4].header.body)
                shown = [sorted(answer.seed_shares), sorted(answer.key_shares)]
                assert shown == [[MEMBERS[who] for who in bits(mask)] for mask in label[3]]
                revealed += 1
            refused += closed_positions_are_refused(three, search, here, m)
    assert revealed > 20
    assert refused > 100


def closed_positions_are_refused(three: Three, search: Search, here: tuple, m: int) -> int:
    """Where the model has no Keys left to give, a real Offer is refused. How often that was."""
    offered = {search._positions[c.at] for (who, c), *_ in search._following(*here) if who == m and c and c.label == ()}
    closed = [p for p in search._positions if p not in offered and p not in three.members[m]._sessions]
    for position in closed:
        assert three.ask(m, position, ()) == ["refused"]
    return len(closed)


def test_names_of_members_and_adapters_are_exchanged_as_they_should_be() -> None:
    label = (0b1011, (0b1011, 0), 0b1010, (0b1010, 0b0001))
    assert renamed(label, NAMES[0], (1, 0)) == (0b1011, (0b1011, 1), 0b1010, (0b1010, 0b0001))
    assert renamed(label, NAMES[1]) == (0b1011, (0b1011, 0), 0b1001, (0b1001, 0b0010))
    assert renamed(label, NAMES[2]) == (0b1101, (0b1101, 0), 0b1001, (0b1001, 0b0100))
