"""A job that a site has closed by its own decision: silent for good, and no way round the rules of the next job."""

from pathlib import Path

import pytest

from clients.journal import Journal
from federation.secagg.refusals import JobClosed
from federation.wire import write_frame
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.play import STEPS, Play, ask, make_offer, refusal


def close(consortium: Consortium, name: str = "m00") -> None:
    """As a command does, in a process of its own beside the member's."""
    journal = Journal(consortium.journals[name].path)
    journal.close_job(consortium.plan.job)
    journal.close()


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("after", STEPS)
def test_a_closed_job_never_speaks_again(folder: Path, after: str, restarted: bool) -> None:
    """Not the next step, not what it has said already, not a new attempt."""
    consortium = make_consortium(folder)
    play = Play(consortium).through(after)
    said = consortium.left("m00")
    close(consortium)
    if restarted:
        consortium.start_member("m00")
    following = STEPS[STEPS.index(after) + 1 :][:1]
    messages = [message for step in following for message in play.prepare(step)["m00"]]
    messages += play.sent[after]["m00"]
    messages += Play(consortium, make_offer(consortium, attempt=2)).prepare("keys")["m00"]
    for message in messages:
        assert refusal(ask(consortium, "m00", message)) == "job-closed"
    assert consortium.left("m00") == [*said, *["refused"] * len(messages)]


def test_a_job_that_is_closed_while_a_vector_is_trained_does_not_send_it(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through("shares")
    learner = consortium.learners["m00"]
    train = learner.train

    def closing(*arguments: object) -> object:
        close(consortium)
        return train(*arguments)  # type: ignore[arg-type]

    learner.train = closing  # type: ignore[assignment, method-assign]
    with pytest.raises(JobClosed):
        consortium.members["m00"].handle(write_frame(play.prepare("masked")["m00"]))
    assert consortium.left("m00") == ["keys", "shares"]


def test_a_closed_job_lets_another_one_begin_and_the_others_finish(folder: Path) -> None:
    consortium = make_consortium(folder)
    second = consortium.second_job("second", seed=8)
    first = Play(consortium).through("masked")
    close(consortium)
    first.through("revealed")
    assert first.refused == {"m00": "job-closed"}
    first.result()
    other = Play(second).do("keys")
    assert set(other.answers["keys"]) == {"m00"}
    assert set(other.refused.values()) == {"data-set-busy"}


def test_closing_a_job_does_not_make_its_adapters_fresh(folder: Path) -> None:
    """Same seed, same first adapter: who helped to open a sum on it refuses another in the next job."""
    consortium = make_consortium(folder)
    second = consortium.second_job("second")
    Play(consortium).through("revealed").result()
    for name in consortium.names:
        close(consortium, name)
    play = Play(second).do("keys").do("shares").do("masked", lost=["m04"])
    assert play.refused == dict.fromkeys(consortium.names, "adapter-spent")


def test_of_two_jobs_on_one_adapter_the_closed_one_gives_no_sum(folder: Path) -> None:
    """Masked in both, revealed in the second: would the first speak, the difference would be one member's vector."""
    consortium = make_consortium(folder)
    second = consortium.second_job("second")
    first = Play(consortium).through("agreed")
    for name in consortium.names:
        close(consortium, name)
    Play(second).do("keys").do("shares").do("masked", lost=["m04"]).through("revealed").result()
    first.do("revealed")
    assert first.refused == dict.fromkeys(consortium.names, "job-closed")
