"""Crashes of members and of their disks: nothing is said twice, and nothing is said unrecorded."""

import sqlite3
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from clients.journal import Journal
from clients.journal_errors import JournalInUse
from tests.protocol.consortium import Killed, Losing, make_consortium
from tests.protocol.play import STEPS, Play, ask, make_offer, refusal


def test_a_member_restarted_between_rounds_is_back_in_the_round_after_next(folder: Path) -> None:
    """The next one's set-up was in its memory; for the one after, everybody is asked for Keys."""
    consortium = make_consortium(folder, rounds=3)
    with pytest.raises(Killed):
        consortium.run(Losing(consortium, dies_at=Exchange(2, "masked")))
    consortium.start_member("m01")
    consortium.run()
    assert ["m01" in done.aggregation.u3 for done in consortium.rounds] == [True, False, True, True]
    assert not consortium.failed
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
