"""Messages that were true once: shown again in another round, attempt or job, to another member, to the coordinator."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from federation.errors import RengoError, SignatureInvalid
from federation.secagg.refusals import Duplicated, NotAllowedHere
from federation.wire import Signed, read_frame, write_frame
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.play import LIMITS, STEPS, Play, ask, make_offer, refusal

VICTIM = "m00"
SPOKEN = ("masked", "agreed", "revealed")


def played(consortium: Consortium, attempt: int = 1) -> Play:
    return Play(consortium, make_offer(consortium, attempt=attempt))


@pytest.mark.parametrize("old_step", STEPS)
@pytest.mark.parametrize("now", STEPS)
def test_a_message_of_an_older_attempt_is_refused_at_every_step_of_a_newer(
    folder: Path, old_step: str, now: str
) -> None:
    consortium = make_consortium(folder)
    old = played(consortium).through("agreed")
    old.prepare("revealed")
    new = played(consortium, 2).through(now)
    before = consortium.left(VICTIM)
    for message in old.sent[old_step][VICTIM]:
        assert refusal(ask(consortium, VICTIM, message)) in ("closed", "not-allowed-here")
    assert set(consortium.left(VICTIM)[len(before) :]) == {"refused"}
    new.through("revealed").result()


@pytest.mark.parametrize("old_step", STEPS)
def test_a_message_of_an_older_round_is_refused_in_the_next(folder: Path, old_step: str) -> None:
    consortium = make_consortium(folder)
    old = played(consortium).through("revealed")
    new = Play(consortium, make_offer(consortium, 2, 2), old.result()).through("masked")
    before = consortium.left(VICTIM)
    for message in old.sent[old_step][VICTIM]:
        assert refusal(ask(consortium, VICTIM, message)) in ("closed", "not-allowed-here")
    assert set(consortium.left(VICTIM)[len(before) :]) == {"refused"}
    new.through("revealed").result()


def apart(consortium: Consortium, folder: Path, job: str) -> Consortium:
    """The same parties in another job, with other journals."""
    other = replace(consortium, folder=folder, plan=replace(consortium.plan, job=job))
    other.members, other.learners, other.journals = {}, {}, {}
    for name in other.names:
        other.start_member(name)
    return other


@pytest.mark.parametrize("step", STEPS)
def test_a_message_of_another_job_is_refused(folder: Path, step: str) -> None:
    """The same members, keys, round and attempt: only the job's name differs."""
    consortium = make_consortium(folder / "one")
    foreign = Play(apart(consortium, folder / "other", "other")).through(step)
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(step)]:
        play.do(earlier)
    before = consortium.left(VICTIM)
    for message in foreign.sent[step][VICTIM]:
        assert refusal(ask(consortium, VICTIM, message)) in ("plan-not-approved", "not-allowed-here")
    assert set(consortium.left(VICTIM)[len(before) :]) == {"refused"}
    play.through("revealed").result()


@pytest.mark.parametrize("step", STEPS)
def test_a_message_for_another_member_is_refused(folder: Path, step: str) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(step)]:
        play.do(earlier)
    before = consortium.left(VICTIM)
    for message in play.prepare(step)["m01"]:
        assert refusal(ask(consortium, VICTIM, message)) in ("signature-invalid", "not-allowed-here")
    assert set(consortium.left(VICTIM)[len(before) :]) == {"refused"}
    assert [answer.header.kind for answer in ask(consortium, VICTIM, *play.sent[step][VICTIM])] == [step]


@pytest.mark.parametrize("now", STEPS)
def test_a_step_that_is_not_due_is_refused_and_changes_nothing(folder: Path, now: str) -> None:
    """Every later message of the same round, shown to a member that stands earlier."""
    consortium = make_consortium(folder)
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(now)]:
        play.do(earlier)
    play.do(now, unreached=[VICTIM])
    for later in STEPS[STEPS.index(now) + 1 :]:
        play.prepare(later)
        for name in consortium.names[1:]:
            play.take(later, name, play.sent[later][name])
        if VICTIM in play.sent[later]:
            assert refusal(ask(consortium, VICTIM, play.sent[later][VICTIM][-1])) == "not-allowed-here"
        # What m01 was sent, changed to name the victim: nobody but the coordinator can, and it gains nothing.
        for message in play.sent[later]["m01"]:
            header = message.header
            body = _Raw(header.kind, header.body)
            blob = bytes(message.blob)
            for_victim = consortium.coordinator.sign(body, header.digest, VICTIM, blob)  # type: ignore[arg-type]  # raw on purpose
            assert refusal(ask(consortium, VICTIM, for_victim)) == "not-allowed-here"
    assert not set(consortium.left(VICTIM)) & set(STEPS[STEPS.index(now) :])


class _Raw:
    """A body as it came."""

    def __init__(self, kind: str, plain: object) -> None:
        self.kind, self._plain = kind, plain

    def to_plain(self) -> object:
        return self._plain


def raised(play: Play, statement: Signed) -> type[RengoError]:
    with pytest.raises(RengoError) as caught:
        play.aggregation.accept(statement)
    return caught.type


@pytest.mark.parametrize("step", STEPS[:-1])
def test_the_coordinator_does_not_take_a_members_statement_of_an_older_attempt(folder: Path, step: str) -> None:
    """Up to the vote: a member that revealed is in no other attempt of the round."""
    consortium = make_consortium(folder)
    old, new = played(consortium).through(step), played(consortium, 2)
    for earlier in STEPS[: STEPS.index(step)]:
        new.do(earlier)
    new.do(step, unreached=["m01"])
    assert raised(new, old.answers[step]["m01"]) is SignatureInvalid
    new.take(step, "m01", new.sent[step]["m01"])
    new.through("revealed").result()


@pytest.mark.parametrize("step", STEPS)
def test_the_coordinator_does_not_take_a_members_statement_of_an_older_round(folder: Path, step: str) -> None:
    consortium = make_consortium(folder)
    old = played(consortium).through("revealed")
    new = Play(consortium, make_offer(consortium, 2, 2), old.result())
    for earlier in STEPS[: STEPS.index(step)]:
        new.do(earlier)
    new.do(step, unreached=["m01"])
    assert raised(new, old.answers[step]["m01"]) is SignatureInvalid
    new.take(step, "m01", new.sent[step]["m01"])
    new.through("revealed").result()


@pytest.mark.parametrize("step", STEPS)
def test_the_coordinator_does_not_take_a_members_statement_of_another_job(folder: Path, step: str) -> None:
    """Whose members have the same names, keys, rounds and attempts."""
    consortium = make_consortium(folder / "one")
    foreign = Play(apart(consortium, folder / "other", "other")).through(step)
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(step)]:
        play.do(earlier)
    play.do(step, unreached=["m01"])
    assert raised(play, foreign.answers[step]["m01"]) is SignatureInvalid


@pytest.mark.parametrize("step", STEPS)
def test_the_coordinator_takes_a_statement_once_and_only_in_its_step(folder: Path, step: str) -> None:
    play = Play(make_consortium(folder)).through(step)
    assert raised(play, play.answers[step]["m01"]) is Duplicated
    for other in STEPS[: STEPS.index(step)]:
        assert raised(play, play.answers[other]["m01"]) is NotAllowedHere
    play.through("revealed").result()


@pytest.mark.parametrize("step", STEPS)
def test_concurrent_duplicates_of_a_request_get_one_answer_that_is_computed_once(folder: Path, step: str) -> None:
    """A carrier that delivers one request eight times at once."""
    consortium = make_consortium(folder)
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(step)]:
        play.do(earlier)
    frame = write_frame(play.prepare(step)[VICTIM])
    together = threading.Barrier(8)

    def deliver(_: int) -> bytes:
        together.wait()
        return consortium.members[VICTIM].handle(frame)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(deliver, range(8)))
    assert len(set(answers)) == 1
    assert [answer.header.kind for answer in read_frame(answers[0], LIMITS)] == [step]
    assert consortium.learners[VICTIM].calls == (0 if step in ("keys", "shares") else 2)
    assert consortium.journals[VICTIM].contributions() == (0 if step in ("keys", "shares") else 1)


@pytest.mark.parametrize("step", STEPS)
def test_a_member_that_dies_between_journal_and_send_says_nothing_twice(folder: Path, step: str) -> None:
    """What it was about to send is in its journal; after the restart neither those bytes nor others of the kind leave,
    and the round goes on without it."""
    consortium = make_consortium(folder)
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(step)]:
        play.do(earlier)
    play.do(step, lost=["m00"])
    assert consortium.left("m00")[-1] == step
    consortium.start_member("m00")
    again = [refusal(ask(consortium, "m00", message)) for message in play.sent[step]["m00"]]
    assert set(again) <= {"closed", "not-allowed-here"}
    assert consortium.left("m00").count(step) == 1
    play.through("revealed").result()


def test_nothing_that_was_only_replayed_made_a_member_speak(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = played(consortium).through("revealed")
    for step in STEPS:
        for message in play.sent[step][VICTIM]:
            ask(consortium, VICTIM, message)
    calls = consortium.learners[VICTIM].calls
    assert calls == 2
    hashes = {row[5] for row in consortium.journals[VICTIM].sent() if set(row[2].split()) & set(SPOKEN)}
    assert len(hashes) == len(SPOKEN)
