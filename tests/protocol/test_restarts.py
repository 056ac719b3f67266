"""Crashes of the coordinator, of members, of their disks: nothing is said twice, and nothing is said unrecorded."""

import sqlite3
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from clients.journal import Journal, JournalInUse
from federation.errors import JobStopped
from tests.protocol.consortium import Consortium, Killed, Losing, digest, make_consortium, undisturbed
from tests.protocol.play import STEPS, Play, ask, make_offer, refusal


def run_in_two_lives(consortium: Consortium, dies_at: Exchange, *, members_too: bool = False) -> bytes:
    with pytest.raises(Killed):
        consortium.run(Losing(consortium, dies_at=dies_at))
    for name in consortium.names if members_too else ():
        consortium.start_member(name)
    return digest(consortium.run())


@pytest.mark.parametrize("members_too", [False, True])
@pytest.mark.parametrize("round", [2, 3])
def test_a_coordinator_killed_between_rounds_ends_with_the_same_adapter(
    folder: Path, round: int, members_too: bool
) -> None:
    consortium = make_consortium(folder)
    ended = run_in_two_lives(consortium, Exchange(round, "masked"), members_too=members_too)
    assert ended == undisturbed(folder)
    assert [done.round for done in consortium.rounds] == [1, 2, 3]
    assert consortium.rounds[-1].aggregation.offer.attempt == 2
    consortium.check_sums()


@pytest.mark.parametrize("step", ["shares", "masked", "agreed", "revealed"])
def test_a_coordinator_killed_before_any_share_was_revealed_opens_a_new_attempt(folder: Path, step: str) -> None:
    consortium = make_consortium(folder)
    assert run_in_two_lives(consortium, Exchange(1, step)) == undisturbed(folder)
    assert consortium.rounds[0].aggregation.offer.attempt == 2


def test_a_coordinator_that_has_finished_has_nothing_left_to_do(folder: Path) -> None:
    consortium = make_consortium(folder)
    final = consortium.run()
    carrier = Losing(consortium)
    assert digest(consortium.run(carrier)) == digest(final)
    assert carrier.exchanges == []


def test_a_coordinator_killed_between_reveal_and_commit_finds_the_round_closed(folder: Path) -> None:
    """The shares are lost with the process, and members that revealed them do not reveal again: the job stops.

    SECAGG's crash rules ask for more: a durable sum and durable messages, from which the round could go on.
    """
    consortium = make_consortium(folder)
    play = Play(consortium, make_offer(consortium, attempt=1)).through("revealed")
    assert len(play.answers["revealed"]) == 5
    store = consortium.store()
    store.next_attempt()
    store.close()
    with pytest.raises(JobStopped):
        consortium.run()
    assert consortium.left("m00").count("revealed") == 1


def test_a_member_restarted_between_rounds_is_back_in_the_round_after_next(folder: Path) -> None:
    consortium = make_consortium(folder, rounds=3)
    with pytest.raises(Killed):
        consortium.run(Losing(consortium, dies_at=Exchange(2, "masked")))
    first = len(consortium.rounds)
    consortium.start_member("m01")
    consortium.run()
    assert first == 1
    assert all("m01" in done.aggregation.u3 for done in consortium.rounds)
    consortium.check_sums()


@pytest.mark.parametrize("after", ["keys", "shares", "masked", "agreed"])
def test_a_restart_closes_the_round_that_was_open(folder: Path, after: str) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through(after)
    consortium.start_member("m00")
    sent = consortium.left("m00")
    following = STEPS[STEPS.index(after) + 1]
    for message in play.prepare(following)["m00"]:
        assert refusal(ask(consortium, "m00", message)) == "not-allowed-here"
    # Nor does it begin that round again under the same number.
    assert refusal(ask(consortium, "m00", play.sent["keys"]["m00"][0])) == "closed"
    assert set(consortium.left("m00")[len(sent) :]) == {"refused"}


def test_a_restart_closes_the_set_up_for_the_next_round_too(folder: Path) -> None:
    consortium = make_consortium(folder)
    first = Play(consortium).through("masked")
    carried = first.following(first.opening).do("keys")
    consortium.start_member("m00")
    assert refusal(ask(consortium, "m00", *carried.prepare("shares")["m00"])) == "not-allowed-here"
    assert refusal(ask(consortium, "m00", carried.sent["keys"]["m00"][0])) == "closed"


def test_one_restarted_member_costs_a_round_nothing(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("masked")
    consortium.start_member("m03")
    play.through("revealed")
    assert play.refused == {"m03": "not-allowed-here"}
    play.result()


def read_only(journal: Journal) -> None:
    """As a disk that has gone read-only: every write from now on fails."""
    journal._db.execute("PRAGMA query_only=ON")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fail", [read_only, Journal.close])
def test_what_the_journal_cannot_record_does_not_leave(folder: Path, step: str, fail: object) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium)
    for earlier in ("keys", "shares", "masked", "agreed")[
        : ("keys", "shares", "masked", "agreed", "revealed").index(step)
    ]:
        play.do(earlier)
    requests = play.prepare(step)
    sent = consortium.left("m00")
    assert callable(fail)
    fail(consortium.journals["m00"])
    with pytest.raises(sqlite3.Error):
        ask(consortium, "m00", *requests["m00"])
    consortium.start_member("m00")
    assert consortium.left("m00") == sent


@pytest.mark.parametrize("step", ["shares", "masked", "agreed", "revealed"])
def test_a_round_whose_answer_could_not_be_recorded_is_given_up_even_if_the_disk_recovers(
    folder: Path, step: str
) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium)
    for earlier in STEPS[: STEPS.index(step)]:
        play.do(earlier)
    requests = play.prepare(step)
    read_only(consortium.journals["m00"])
    with pytest.raises(sqlite3.Error):
        ask(consortium, "m00", *requests["m00"])
    consortium.journals["m00"]._db.execute("PRAGMA query_only=OFF")
    assert refusal(ask(consortium, "m00", requests["m00"][-1])) == "not-allowed-here"


def test_of_two_processes_on_one_journal_the_older_falls_silent(folder: Path) -> None:
    """Otherwise each keeps its own memory of what was said: Masked to one in attempt 1, to the other in attempt 2,
    and both reveal. An attacker who can start a second member process needs nothing else."""
    consortium = make_consortium(folder)
    first = Play(consortium).through("agreed")
    older, older_journal = consortium.members["m00"], consortium.journals.pop("m00")
    consortium.start_member("m00")
    second = Play(consortium, make_offer(consortium, attempt=2)).do("keys")
    assert "m00" in second.answers["keys"]
    consortium.members["m00"] = older
    with pytest.raises(JournalInUse):
        ask(consortium, "m00", *first.prepare("revealed")["m00"])
    older_journal.close()
    # What the younger wrote is whole: the chain verifies, and the older added nothing to it.
    consortium.start_member("m00")
    assert consortium.left("m00") == ["keys", "shares", "masked", "agreed", "keys"]
