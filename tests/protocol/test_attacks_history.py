"""The rule of one, against a coordinator that asks again: another attempt, another round, another job."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from federation import tensors
from federation.schemes import State
from federation.wire import read_frame, write_frame
from tests.protocol.consortium import Consortium, make_consortium
from tests.protocol.play import LIMITS, Opening, Play, ask, first_opening, make_offer, nudged, refusal


def test_a_round_that_was_opened_is_not_run_again_without_one_member(folder: Path) -> None:
    consortium = make_consortium(folder)
    Play(consortium).through("revealed").result()
    again = Play(consortium, make_offer(consortium, attempt=2))
    again.do("keys", unreached=["m04"])
    assert set(again.refused.values()) == {"closed"}
    assert not again.answers


def test_a_round_that_was_opened_is_not_run_again_on_an_adapter_changed_by_one_ulp(folder: Path) -> None:
    """Within a job, a member that helped to open round r does not take part in round r again on any adapter."""
    consortium = make_consortium(folder)
    Play(consortium).through("revealed").result()
    opening = Opening(nudged(first_opening(consortium).state))
    again = Play(consortium, make_offer(consortium, attempt=2), opening).do("keys", unreached=["m04"])
    assert set(again.refused.values()) == {"closed"}


def zero_sum(play: Play) -> Opening:
    """A coordinator's claim that the last mean was zero, so that its next adapter is the last one again."""
    return play.claim(np.zeros(play.ring.dimension, play.ring.dtype))


def test_the_next_round_is_not_run_on_the_adapter_of_the_last(folder: Path) -> None:
    """A sum is public but nobody can check it: "zero" explains the same adapter once more. It is spent, though."""
    consortium = make_consortium(folder)
    first = Play(consortium).through("revealed")
    first.aggregation.total()
    second = Play(consortium, make_offer(consortium, 2, 2), zero_sum(first)).do("keys").do("shares").do("masked")
    assert second.refused == dict.fromkeys(consortium.names, "adapter-spent")
    assert consortium.left("m00").count("masked") == 1


def test_what_is_not_stopped_a_neighbouring_adapter_in_the_next_round(folder: Path) -> None:
    """SECAGG, "what is not claimed": an adapter one ulp away is another adapter, and its sum without m04 can be
    differenced with the last. Its members train on other data in another round; only noise would bound the rest."""
    consortium = make_consortium(folder)
    first = Play(consortium).through("revealed")
    first.aggregation.total()
    claim = zero_sum(first)
    claim = dataclasses.replace(claim, state=nudged(claim.state))
    second = Play(consortium, make_offer(consortium, 2, 2), claim)
    second.do("keys").do("shares").do("masked", lost=["m04"]).through("revealed").result()
    assert not second.refused


def test_interleaved_attempts_give_no_second_sum(folder: Path) -> None:
    """Masked in 1, Masked in 2, Revealed in 1 (everyone), Revealed in 2 (without m04) would give m04's vector."""
    consortium = make_consortium(folder)
    first = Play(consortium).through("agreed")
    second = Play(consortium, make_offer(consortium, attempt=2)).do("keys").do("shares").do("masked", lost=["m04"])
    first.do("revealed")
    assert set(first.refused.values()) == {"not-allowed-here"}
    second.through("revealed").result()
    assert consortium.left("m00").count("revealed") == 1


def test_an_offer_of_a_newer_attempt_in_the_same_frame_closes_the_older_first(folder: Path) -> None:
    consortium = make_consortium(folder)
    first = Play(consortium).through("agreed")
    offer = Play(consortium, make_offer(consortium, attempt=2)).prepare("keys")["m00"]
    answers = ask(consortium, "m00", *offer, *first.prepare("revealed")["m00"])
    assert [answer.header.kind for answer in answers] == ["keys", "refused"]


def test_a_vector_for_the_next_round_closes_the_round_before(folder: Path) -> None:
    consortium = make_consortium(folder)
    first = Play(consortium).through("masked")
    second = first.following(zero_sum(first)).do("keys").do("shares").do("masked")
    assert not second.refused
    first.do("agreed")
    assert set(first.refused.values()) == {"not-allowed-here"}


def test_an_older_attempt_or_the_same_is_never_begun_again(folder: Path) -> None:
    consortium = make_consortium(folder)
    Play(consortium, make_offer(consortium, attempt=3)).do("keys")
    for attempt in (1, 2):
        again = Play(consortium, make_offer(consortium, attempt=attempt)).do("keys")
        assert set(again.refused.values()) == {"closed"}


@pytest.mark.parametrize("kind", ["keys", "shares", "masked", "agreed", "revealed"])
def test_the_same_request_gets_the_same_bytes_and_is_not_computed_again(folder: Path, kind: str) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium).through(kind)
    frame = write_frame(play.sent[kind]["m00"])
    calls = consortium.learners["m00"].calls
    first, second = (consortium.members["m00"].handle(frame) for _ in range(2))
    assert first == second == write_frame([play.answers[kind]["m00"]])
    assert consortium.learners["m00"].calls == calls
    assert consortium.learners["m00"].calls == (0 if kind in ("keys", "shares") else 2)


def test_two_jobs_are_not_open_on_one_data_set(folder: Path) -> None:
    consortium = make_consortium(folder)
    second = consortium.second_job("second", seed=8)
    Play(consortium).do("keys")
    other = Play(second).do("keys")
    assert set(other.refused.values()) == {"data-set-busy"}
    # The one that was refused does not block the one that is open.
    consortium.run()
    assert len(consortium.rounds) == 3


def test_stray_bytes_for_one_job_do_not_keep_another_from_the_data_set(folder: Path) -> None:
    consortium = make_consortium(folder)
    second = consortium.second_job("second", seed=8)
    assert refusal(read_frame(second.members["m00"].handle(b"stray"), LIMITS)) == "malformed"
    assert Play(consortium).do("keys").refused == {}


def test_an_adapter_that_was_spent_in_one_job_is_spent_in_every_other(folder: Path) -> None:
    """Same seed, same first adapter, same vectors: a second sum without m04 would give m04's vector exactly. The
    second job's member was started before the first job ran, so it must not trust what it remembers."""
    consortium = make_consortium(folder)
    second = consortium.second_job("second")
    consortium.run()
    play = Play(second).do("keys").do("shares").do("masked", lost=["m04"])
    assert play.refused == dict.fromkeys(consortium.names, "adapter-spent")


def test_the_cap_on_rounds_holds_across_jobs(folder: Path) -> None:
    consortium = make_consortium(folder, rounds_per_data_set=3)
    second = consortium.second_job("second", seed=8)
    consortium.run()
    play = Play(second).do("keys")
    assert set(play.refused.values()) == {"rounds-exhausted"}


def pile_up(consortium: Consortium, rounds: int) -> list[Play]:
    """Set-ups for several rounds, all made before the first vector is asked for."""
    plays = [Play(consortium, make_offer(consortium, round)) for round in range(1, rounds + 1)]
    for step in ("keys", "shares"):
        for play in plays:
            play.do(step)
    for before, play in itertools.pairwise(plays):
        play.stand_on(zero_sum(before))
    return plays


def test_set_ups_made_in_advance_do_not_get_round_the_cap(folder: Path) -> None:
    consortium = make_consortium(folder, rounds_per_data_set=1)
    first, second = pile_up(consortium, 2)
    assert first.do("masked").refused == {}
    assert second.do("masked").refused == dict.fromkeys(consortium.names, "rounds-exhausted")
    assert consortium.left("m00").count("masked") == 1


def test_two_vectors_in_one_frame_are_two_contributions(folder: Path) -> None:
    consortium = make_consortium(folder, rounds_per_data_set=1)
    first, second = pile_up(consortium, 2)
    messages = [*first.prepare("masked")["m00"], *second.prepare("masked")["m00"]]
    answers = ask(consortium, "m00", *messages)
    assert [answer.header.kind for answer in answers] == ["masked", "refused"]


def test_an_attempt_below_one_is_no_way_round_the_order_or_the_cap(folder: Path) -> None:
    consortium = make_consortium(folder)
    play = Play(consortium, make_offer(consortium, attempt=0)).do("keys")
    assert set(play.refused.values()) == {"wrong-terms"}


def test_an_adapter_that_the_last_sum_does_not_give_is_refused(folder: Path) -> None:
    consortium = make_consortium(folder)
    first = Play(consortium).through("masked")
    second = first.following(first.opening).do("keys")
    opening = first.through("revealed").result()
    second.do("shares").stand_on(opening)
    factors = {name: array + np.float32(0.01) for name, array in opening.state.factors.items()}
    second.stand_on(dataclasses.replace(opening, state=State(1, factors))).do("masked")
    assert second.refused == dict.fromkeys(consortium.names, "adapter-unexplained")
    assert consortium.left("m00").count("masked") == 1


def test_another_first_adapter_than_the_plans_is_refused(folder: Path) -> None:
    consortium = make_consortium(folder)
    factors = {name: array + np.float32(0.01) for name, array in first_opening(consortium).state.factors.items()}
    play = Play(consortium, opening=Opening(State(0, factors))).do("keys").do("shares").do("masked")
    assert play.refused == dict.fromkeys(consortium.names, "adapter-unexplained")


def test_a_refused_broadcast_does_not_make_a_member_forget_what_explains_the_next(folder: Path) -> None:
    """Round 3's set-up stands early; an adapter "of round 2" is refused, and round 2 has to be explained yet."""
    consortium = make_consortium(folder)
    first = Play(consortium).through("masked")
    second = first.following(first.opening).do("keys")
    opening = first.through("revealed").result()
    third = Play(consortium, make_offer(consortium, 3)).do("keys")
    second.stand_on(opening).do("shares")
    third.do("shares").stand_on(first.opening)
    third.stand_on(dataclasses.replace(zero_sum(second), state=first.opening.state)).do("masked")
    assert third.refused == dict.fromkeys(consortium.names, "round-unproven")
    factors = {name: array + np.float32(0.01) for name, array in opening.state.factors.items()}
    second.stand_on(dataclasses.replace(opening, state=State(1, factors))).do("masked")
    assert second.refused == dict.fromkeys(consortium.names, "adapter-unexplained")


def test_two_adapters_of_one_round_are_told_apart_by_their_last_bit(folder: Path) -> None:
    consortium = make_consortium(folder)
    state = first_opening(consortium).state
    assert tensors.digest(state.factors) != tensors.digest(nudged(state).factors)
    assert tensors.relative_difference(state.factors, nudged(state).factors) < 1e-6


def test_a_second_job_on_a_neighbour_of_the_first_adapter_is_refused(folder: Path) -> None:
    """ "Spent" is a hash, so an adapter one ulp away would not be; but the first adapter of a job is exact."""
    consortium = make_consortium(folder)
    second = consortium.second_job("second")
    consortium.run()
    play = Play(second, opening=Opening(nudged(first_opening(second).state)))
    play.do("keys").do("shares").do("masked")
    assert set(play.refused.values()) == {"adapter-unexplained"}
    assert "masked" not in play.answers


def test_two_jobs_with_one_seed_do_not_train_on_a_data_set_in_the_same_order(folder: Path) -> None:
    """Otherwise the difference of their sums over neighbouring sets would be one member's vector to the digit."""
    consortium = make_consortium(folder)
    second = consortium.second_job("second")
    state, ring = first_opening(consortium).state, Play(consortium).ring
    words = [
        c.plain_words("m04", 1, state, ring).view("<i4")[: 2 * 4 + 5 * 2].astype(float) for c in (consortium, second)
    ]
    assert np.linalg.norm(words[0] - words[1]) > 0.1 * np.linalg.norm(words[0])
