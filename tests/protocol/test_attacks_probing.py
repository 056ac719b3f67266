"""Attacks that never open a sum: what a coordinator, a carrier or a member learns or breaks beside the protocol."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregator.rounds import AttemptFailed
from federation import step
from federation.errors import JobStopped, SignatureInvalid, TrainingDiverged
from federation.schemes import State
from federation.wire import Malformed
from tests.protocol.consortium import Consortium, TinyLearner, make_consortium
from tests.protocol.liars import altered
from tests.protocol.play import Opening, Play, ask, first_opening, make_offer, refusal

VICTIM = "m04"


class Diverging(TinyLearner):
    """Its training breaks, as a crafted adapter would make it do on some text."""

    def train(self, *_: Any) -> Any:
        self.calls += 1
        raise TrainingDiverged(learning_rate=0.5)


def diverging(consortium: Consortium, *names: str) -> dict[str, Diverging]:
    learners = {name: Diverging() for name in names}
    for name, learner in learners.items():
        consortium.members[name]._contribution._learner = learner
    return learners


def test_training_that_diverges_is_not_told_of_one_member(folder: Path) -> None:
    """A refusal would be one bit about one member's text for each crafted adapter."""
    consortium = make_consortium(folder)
    diverging(consortium, VICTIM)
    play = Play(consortium).through("masked")
    assert play.refused == {}
    assert set(play.answers["masked"]) == set(consortium.names)
    mean, scalars = play.ring.decode(play.through("revealed").aggregation.total(), 5)
    assert scalars[step.DIVERGED] == pytest.approx(1 / 5)
    assert any(np.abs(array).max() > 0 for array in mean.values())


def test_an_adapter_is_trained_on_once_a_set_up_and_counted_before(folder: Path) -> None:
    """Whatever comes of it: a learner that fails outright leaves no second question."""
    consortium = make_consortium(folder)

    class Breaking(TinyLearner):
        def train(self, *_: Any) -> Any:
            self.calls += 1
            raise JobStopped(job="walk", round=1, detail="the disk is full", detail_ja="")

    learner = Breaking()
    consortium.members[VICTIM]._contribution._learner = learner
    play = Play(consortium).through("shares")
    request = play.prepare("masked")[VICTIM]
    codes = [refusal(ask(consortium, VICTIM, *request)) for _ in range(3)]
    assert codes == ["job-stopped", "not-allowed-here", "not-allowed-here"]
    assert learner.calls == 2  # one evaluation, one training
    assert consortium.journals[VICTIM].contributions() == 1


def test_a_job_in_which_all_diverge_stops_and_says_why(folder: Path) -> None:
    consortium = make_consortium(folder)
    diverging(consortium, *consortium.names)
    with pytest.raises(JobStopped, match=r"learning_rate"):
        consortium.run()
    assert not any(isinstance(event, AttemptFailed) for event in consortium.events)


def test_a_first_adapter_that_differs_in_the_sign_of_zero_is_another(folder: Path) -> None:
    """Equal in value, with another digest: it would have got round "spent" in a second job."""
    consortium = make_consortium(folder)
    second = consortium.second_job("second")
    consortium.run()
    state = first_opening(second).state
    factors = {name: np.where(array == 0, np.float32(-0.0), array) for name, array in state.factors.items()}
    play = Play(second, opening=Opening(State(0, factors))).do("keys").do("shares").do("masked")
    assert set(play.refused.values()) == {"adapter-unexplained"}


def test_another_members_copy_of_an_honest_message_is_no_evidence(folder: Path) -> None:
    """A carrier holds no key, and must not be able to make an honest coordinator look like a liar."""
    consortium = make_consortium(folder)
    play = Play(consortium).through("agreed")
    for kind in ("keys", "shares", "masked", "agreed"):
        for foreign in play.sent[kind]["m01"]:
            assert refusal(ask(consortium, "m00", foreign)) == "signature-invalid"
    assert consortium.journals["m00"].evidence() == []


def test_one_huge_attempt_does_not_close_a_job_for_a_member(folder: Path) -> None:
    consortium = make_consortium(folder)
    assert set(Play(consortium, make_offer(consortium, attempt=2**62)).do("keys").refused.values()) == {"closed"}
    assert Play(consortium, make_offer(consortium, attempt=3)).through("revealed").refused == {}


def test_shares_of_a_vectors_size_are_refused_before_they_are_decoded(folder: Path) -> None:
    """CBOR of that size would take many times its memory at the coordinator."""
    consortium = make_consortium(folder)
    play = Play(consortium).through("keys")
    play.do("shares", lost=consortium.names)
    huge = altered(consortium.identities["m00"], play.answers["shares"]["m00"], blob=b"\x9a\x01\x00\x00\x00" * 400_000)
    tracemalloc.start()
    with pytest.raises(Malformed, match="another size"):
        play.aggregation.accept(huge)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(huge.blob)


def test_answers_without_data_may_not_carry_any(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium)
    play.do("keys", lost=consortium.names)
    stuffed = altered(consortium.identities["m00"], play.answers["keys"]["m00"], blob=b"x" * 1000)
    with pytest.raises(Malformed, match="carries data"):
        play.aggregation.accept(stuffed)


def test_the_name_of_another_job_is_not_told(folder: Path) -> None:
    consortium = make_consortium(folder)
    second = consortium.second_job("secret-job-of-another-consortium")
    Play(second).do("keys")
    [refused] = ask(consortium, "m00", *Play(consortium).prepare("keys")["m00"])
    assert refused.header.body["code"] == "data-set-busy"
    assert "secret" not in str(refused.header.body)


def test_members_that_were_told_two_last_sums_do_not_vote_together(folder: Path) -> None:
    consortium = make_consortium(folder)
    first = Play(consortium).do("keys", unreached=[VICTIM]).through("revealed")
    opening = first.result()
    play = Play(consortium, make_offer(consortium, 2, 2), opening).through("shares")
    assert opening.last is not None
    requests = play.prepare("masked")
    told = replace(opening, last=replace(opening.last, count=opening.last.count + 1))
    other = Play(consortium, play.offer, told)
    other.aggregation = play.aggregation
    ask(consortium, VICTIM, requests[VICTIM][0])
    [masked] = ask(consortium, VICTIM, other.broadcast(VICTIM))
    assert masked.header.kind == "masked"
    with pytest.raises(SignatureInvalid):
        play.aggregation.accept(masked)
