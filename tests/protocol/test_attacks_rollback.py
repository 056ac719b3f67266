"""A coordinator put back to an older state, or without its state: it gets the sum that it had, or none."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from aggregator.carriers import Exchange
from federation.errors import JobStopped
from tests.protocol.consortium import Consortium, Killed, Losing, Lost, digest, make_consortium, undisturbed
from tests.protocol.killing import Dying, Moment, check_said_once
from tests.protocol.play import STEPS, Play, make_offer


def coordinators_folder(consortium: Consortium) -> Path:
    return consortium.folder / consortium.plan.job


def put_back(consortium: Consortium, copied_after: str, ends: Moment | None) -> list[Losing]:
    """A coordinator whose folder is copied after a step of round 1, goes on until it `ends`, and is given the copy."""
    lives = [Losing(consortium), Losing(consortium)]
    with pytest.raises(Killed):
        consortium.run(lives[0], Dying(consortium, Moment(1, copied_after, "after")))
    copy = consortium.folder / "copy"
    shutil.copytree(coordinators_folder(consortium), copy)
    with contextlib.suppress(Killed):
        consortium.run(lives[1], Dying(consortium, ends) if ends else None)
    shutil.rmtree(coordinators_folder(consortium))
    copy.rename(coordinators_folder(consortium))
    return lives


@pytest.mark.parametrize("copied_after", STEPS[:-1])
@pytest.mark.parametrize("ends", [Moment(1, "revealed", "after"), Moment(2, "masked", "after"), None], ids=str)
def test_an_older_state_does_not_open_a_second_sum_without_one_member(
    folder: Path, copied_after: str, ends: Moment | None
) -> None:
    """Everything from the copy on is asked again, and m04's answer withheld: the difference would be m04's vector."""
    consortium = make_consortium(folder)
    lives = put_back(consortium, copied_after, ends)
    following = STEPS[STEPS.index(copied_after) + 1]
    lives.append(Losing(consortium, {(1, following, "m04"): "answer"}))
    with contextlib.suppress(JobStopped):
        consortium.run(lives[-1])
    check_said_once(lives)
    # Fewer reveals give the same sum again; no other set of members gives any.
    sums = {(checkpoint.round, checkpoint.total.tobytes()) for checkpoint in consortium.checkpoints}
    assert len(sums) == len({round for round, _ in sums})


@pytest.mark.parametrize("copied_after", ["keys", "shares", "masked"])
def test_an_older_state_that_asks_otherwise_is_evidence_against_the_coordinator(
    folder: Path, copied_after: str
) -> None:
    consortium = make_consortium(folder)
    lives = put_back(consortium, copied_after, Moment(1, "revealed", "after"))
    following = STEPS[STEPS.index(copied_after) + 1]
    lives.append(Losing(consortium, {(1, following, "m04"): "answer"}))
    with pytest.raises(JobStopped):
        consortium.run(lives[-1])
    asked = {"shares": "inbox", "masked": "survivors", "agreed": "unmask"}[following]
    for name in ("m00", "m01", "m02", "m03"):
        assert f"two different {asked}" in {reason for reason, _, _ in consortium.journals[name].evidence()}
    assert not consortium.checkpoints


@pytest.mark.parametrize("copied_after", STEPS[:-1])
def test_an_older_state_that_asks_the_same_gets_the_same(folder: Path, copied_after: str) -> None:
    """An honest operator who restores a backup made in the same round loses nothing."""
    consortium = make_consortium(folder)
    lives = [*put_back(consortium, copied_after, Moment(1, "revealed", "after")), Losing(consortium)]
    assert digest(consortium.run(lives[-1])) == undisturbed(folder)
    check_said_once(lives)
    assert not any(journal.evidence() for journal in consortium.journals.values())


def test_no_state_at_all_gives_the_same_sum_or_none(folder: Path) -> None:
    """Attempt 1 once more: the same offers, and so the same answers, up to the first that is withheld."""
    for name, lost in (("same", {}), ("other", {(1, "masked", "m04"): "answer"})):
        consortium = make_consortium(folder / name)
        lives = [Losing(consortium), Losing(consortium, lost)]
        with pytest.raises(Killed):
            consortium.run(lives[0], Dying(consortium, Moment(1, "revealed", "after")))
        shutil.rmtree(coordinators_folder(consortium))
        if lost:
            with pytest.raises(JobStopped):
                consortium.run(lives[1])
        else:
            assert digest(consortium.run(lives[1])) == undisturbed(folder)
        check_said_once(lives)
        assert len(consortium.checkpoints) == (0 if lost else 3)


def test_a_new_attempt_after_the_members_revealed_finds_the_round_closed(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium, make_offer(consortium, attempt=1)).through("revealed")
    assert len(play.answers["revealed"]) == 5
    with contextlib.closing(consortium.store()) as store:
        store.next_attempt()
    with pytest.raises(JobStopped):
        consortium.run()
    assert consortium.left("m00").count("revealed") == 1


@pytest.mark.parametrize("answering", [1, 3, 4, 5])
def test_no_member_s_vector_is_ever_in_the_coordinators_files(folder: Path, answering: int) -> None:
    """Of t = 4 or more vectors their sum is, and of fewer, where it would tell of one, nothing at all."""
    consortium = make_consortium(folder)
    lost: dict[tuple[int, str, str], Lost] = {(1, "masked", name): "answer" for name in consortium.names[answering:]}
    carrier = Losing(consortium, lost)
    with pytest.raises((Killed, JobStopped)):
        consortium.run(carrier, Dying(consortium, Moment(1, "masked", "after")))
    files = {path.name: path.read_bytes() for path in coordinators_folder(consortium).iterdir()}
    # The vector is the end of the frame.
    ends = {member: answer[-32:] for exchange, member, answer in carrier.answers if exchange == Exchange(1, "masked")}
    assert len(ends) == 5
    assert not any(end in data for end in ends.values() for data in files.values())
    words = [np.frombuffer(ends[name], "<u4") for name in consortium.names[:answering]]
    assert (np.sum(words, axis=0, dtype="<u4").tobytes() in b"".join(files.values())) == (answering >= 4)
    assert ("masked-sum.safetensors" in files) == (answering >= 4)
