"""Every message in every state, shown to the real machines: the state tables of docs/protocol.md hold."""

from pathlib import Path

import pytest

from federation.errors import RengoError
from federation.secagg.messages import Broadcast, Cohort, Inbox, Offer, Survivors, Unmask
from federation.secagg.server import Step
from federation.secagg.transitions import COORDINATOR, MEMBER
from federation.wire import Body, Signed, read_frame, write_frame
from tests.protocol.consortium import make_consortium
from tests.protocol.liars import BODIES
from tests.protocol.play import LIMITS, Play, ask, make_offer, refusal

VICTIM = "m00"
STATES = [*(transition.state for transition in MEMBER), MEMBER[-1].following]
"""All states in order: before the first message, after each, and None again at the end."""
AT = range(len(STATES))
EMPTY: dict[str, Body] = {
    Cohort.kind: Cohort(()),
    Inbox.kind: Inbox((), ()),
    Broadcast.kind: Broadcast(bytes(32), 0, None),
    Survivors.kind: Survivors((), ()),
    Unmask.kind: Unmask(()),
}


def messages_to(play: Play) -> dict[str, Signed]:
    """Everything that the victim was sent up to now, and what is due next, by kind."""
    return {message.header.kind: message for step in play.sent.values() for message in step[VICTIM]}


def standing_at(folder: Path, at: int) -> tuple[Play, dict[str, bytes]]:
    """A round in which the victim has taken the first `at` messages, the next one prepared; and the answers."""
    play, frames = Play(make_consortium(folder, 4)), {}
    for transition in COORDINATOR:
        requests = play.prepare(transition.step.value)
        for message in requests[VICTIM]:
            if len(frames) == at:
                return play, frames
            frames[message.header.kind] = play.consortium.members[VICTIM].handle(write_frame([message]))
            for answer in read_frame(frames[message.header.kind], LIMITS):
                play.answers.setdefault(answer.header.kind, {})[VICTIM] = answer
                play.aggregation.accept(answer)
        for name in play.consortium.names[1:]:
            play.take(transition.step.value, name, requests[name])
    return play, frames


def state_of(play: Play) -> type | None:
    sessions = play.consortium.members[VICTIM]._sessions
    [state] = [session.state for session in sessions.values()] or [None]
    return None if state is None else type(state)


@pytest.mark.parametrize("message", range(len(MEMBER)), ids=[t.message.kind for t in MEMBER])
@pytest.mark.parametrize("at", AT, ids=[f"{n} {s.__name__ if s else 'no state'}" for n, s in enumerate(STATES)])
def test_a_member_does_with_each_message_in_each_state_what_the_table_says(folder: Path, at: int, message: int) -> None:
    play, frames = standing_at(folder, at)
    member, transition = play.consortium.members[VICTIM], MEMBER[message]
    kind = transition.message.kind
    assert state_of(play) is STATES[at]
    if message == at:  # due
        answers = ask(play.consortium, VICTIM, messages_to(play)[kind])
        assert [a.header.kind for a in answers] == ([transition.answer.kind] if transition.answer else [])
        assert state_of(play) is transition.following
    elif message < at:  # answered: the same bytes again, and evidence if it is another message
        same = messages_to(play)[kind]
        assert member.handle(write_frame([same])) == frames[kind]
        other: Body = make_offer(play.consortium, parent=bytes([1] * 32)) if kind == Offer.kind else EMPTY[kind]
        digest = Play(play.consortium, other).aggregation.setup_ctx if isinstance(other, Offer) else same.header.digest
        assert refusal(ask(play.consortium, VICTIM, play.say(other, digest, VICTIM))) == "conflicting"
        assert len(play.consortium.journals[VICTIM].evidence()) == 2
        assert state_of(play) is STATES[at]
    else:  # not yet
        known = list(messages_to(play).values())[-1].header.digest
        assert refusal(ask(play.consortium, VICTIM, play.say(EMPTY[kind], known, VICTIM))) == "not-allowed-here"
        assert state_of(play) is STATES[at]


@pytest.mark.parametrize("at", AT)
def test_a_member_takes_no_other_kind_in_any_state(folder: Path, at: int) -> None:
    """What members send, what only stands inside other messages, and what nobody knows."""
    play, _ = standing_at(folder, at)
    known = list(messages_to(play).values())[-1].header.digest
    for kind in sorted({*BODIES, "unheard_of"} - {transition.message.kind for transition in MEMBER}):
        body = _Empty()
        body.kind = kind  # type: ignore[misc]
        assert refusal(ask(play.consortium, VICTIM, play.say(body, known, VICTIM))) == "not-allowed-here"
    assert state_of(play) is STATES[at]


class _Empty(Body):
    def to_plain(self) -> dict[str, object]:
        return {}


CLOSING = {
    Step.KEYS: lambda play: play.aggregation.cohorts(),
    Step.SHARES: lambda play: play.aggregation.inboxes(play.terms()),
    Step.MASKED: lambda play: play.aggregation.survivors(),
    Step.AGREED: lambda play: play.aggregation.unmasks(),
    Step.REVEALED: lambda play: play.aggregation.total(),
}


def code(refused: object, *arguments: object) -> str:
    assert callable(refused)
    with pytest.raises(RengoError) as caught:
        refused(*arguments)
    return caught.value.code


@pytest.mark.parametrize("at", COORDINATOR, ids=[t.step.value for t in COORDINATOR])
def test_the_coordinator_does_with_each_answer_at_each_step_what_the_table_says(folder: Path, at: object) -> None:
    play = Play(make_consortium(folder, 4))
    for transition in COORDINATOR:
        requests = play.prepare(transition.step.value)
        assert play.aggregation.step is transition.step
        assert {m.header.kind for m in requests[VICTIM]} == {kind.kind for kind in transition.requests}
        if transition is at:
            break
        for name in play.consortium.names:
            play.take(transition.step.value, name, requests[name])
    for step, close in CLOSING.items():  # nobody has answered: the due closing lacks members, any other is not due
        assert code(close, play) == ("too-few-members" if step is transition.step else "not-allowed-here")
    play.take(transition.step.value, VICTIM, requests[VICTIM])
    answer = play.answers[transition.step.value][VICTIM]
    assert answer.header.kind == transition.answer.kind
    assert code(play.aggregation.accept, answer) == "duplicated"
    digest = answer.header.digest
    for kind in sorted(set(BODIES) - {transition.answer.kind}):
        body = _Empty()
        body.kind = kind  # type: ignore[misc]
        statement = play.consortium.identities["m01"].sign(body, digest, "coordinator")
        assert code(play.aggregation.accept, statement) == "not-allowed-here"
    assert play.aggregation.answered == {VICTIM}
