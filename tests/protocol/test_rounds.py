"""Whole jobs: real members and a real coordinator, with losses at every step, end in the plain mean."""

from pathlib import Path

import numpy as np
import pytest

from aggregator.carriers import Exchange
from federation import step
from federation.errors import JobStopped
from federation.plan import SecAgg
from federation.schemes import State
from federation.secagg.contexts import statements_digest
from federation.secagg.server import Step
from federation.tensors import relative_difference
from federation.wire import Signed, read_frame
from tests.protocol.consortium import (
    Consortium,
    Losing,
    Lost,
    TinyLearner,
    digest,
    make_consortium,
    make_corpus,
    undisturbed,
)
from tests.protocol.play import LIMITS

WAYS: tuple[Lost, ...] = ("request", "answer")
STEADY = ("masked", "agreed", "revealed")


def lose(round: int, step: str, *members: str, how: Lost = "answer") -> dict[tuple[int, str, str], Lost]:
    return {(round, step, member): how for member in members}


def test_without_losses_every_round_completes_with_everyone_in_it(folder: Path) -> None:
    consortium = make_consortium(folder)
    consortium.run()
    assert [done.round for done in consortium.rounds] == [1, 2, 3]
    assert all(done.aggregation.u3 == consortium.names for done in consortium.rounds)
    assert not consortium.failed
    consortium.check_sums()


def test_the_journal_says_of_which_round_each_statement_was_and_why_one_was_refused(folder: Path) -> None:
    consortium = make_consortium(folder)
    consortium.run()
    rows = [row for row in consortium.journals["m00"].sent() if row.job]
    assert [(row.kinds, row.rounds) for row in rows[:5]] == [
        ("keys", "1"),
        ("shares", "1"),
        ("masked", "1"),
        ("agreed keys", "1 2"),
        ("revealed shares", "1 2"),
    ]
    assert not any(row.note for row in rows)
    consortium.members["m00"].handle(b"noise")
    refused = consortium.journals["m00"].sent()[-1]
    assert (refused.kinds, refused.rounds, refused.note) == ("refused", "-", "frame: malformed")


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("lost_step", list(Step))
def test_one_loss_at_any_step_of_a_cold_round_costs_nothing(folder: Path, lost_step: Step, how: Lost) -> None:
    consortium = make_consortium(folder)
    consortium.run(Losing(consortium, lose(1, lost_step.value, "m02", how=how)))
    assert len(consortium.rounds) == 3
    assert not consortium.failed
    dropped = consortium.rounds[0].aggregation.dropped
    assert [step for step in Step if "m02" in dropped[step]] == [lost_step]
    consortium.check_sums()


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("lost_step", STEADY)
def test_one_loss_at_any_step_of_a_carried_round_costs_nothing(folder: Path, lost_step: str, how: Lost) -> None:
    consortium = make_consortium(folder, rounds=3)
    consortium.run(Losing(consortium, lose(2, lost_step, "m04", how=how)))
    assert [done.aggregation.offer.attempt for done in consortium.rounds] == [1, 1, 1, 1]
    assert "m04" in consortium.rounds[1].aggregation.dropped[Step(lost_step)]
    consortium.check_sums()


@pytest.mark.parametrize(("lost_step", "missing_from"), [("agreed", Step.KEYS), ("revealed", Step.SHARES)])
def test_keys_and_shares_lost_with_the_step_that_carries_them_drop_the_member_from_the_next_round(
    folder: Path, lost_step: str, missing_from: Step
) -> None:
    consortium = make_consortium(folder)
    consortium.run(Losing(consortium, lose(1, lost_step, "m00")))
    assert consortium.rounds[1].aggregation.dropped[missing_from] == ("m00",)
    # It announces keys again on the way, and is back in the round after that.
    assert "m00" in consortium.rounds[2].aggregation.u3
    consortium.check_sums()


def test_losses_at_different_steps_may_leave_exactly_the_threshold(folder: Path) -> None:
    consortium = make_consortium(folder, 7)
    lost = lose(1, "shares", "m00") | lose(1, "masked", "m05", how="request")
    consortium.run(Losing(consortium, lost | lose(2, "masked", "m06") | lose(2, "revealed", "m01")))
    first, second, _ = (done.aggregation for done in consortium.rounds)
    assert len(first.u3) == len(second.u4) - 1 == consortium.plan.threshold == 5
    assert not consortium.failed
    consortium.check_sums()


@pytest.mark.parametrize("lost_step", ["keys", "shares", "masked", "agreed"])
def test_one_below_the_threshold_takes_a_new_attempt_with_fresh_keys(folder: Path, lost_step: str) -> None:
    consortium = make_consortium(folder)
    carrier = Losing(consortium, lose(1, lost_step, "m00", "m03"), once=True)
    final = consortium.run(carrier)
    assert [(failed.round, failed.attempt, failed.code) for failed in consortium.failed] == [(1, 1, "too-few-members")]
    assert consortium.rounds[0].aggregation.offer.attempt == 2
    assert consortium.rounds[0].aggregation.u3 == consortium.names
    assert digest(final) == undisturbed(folder)


def test_too_few_in_every_attempt_stops_the_job_and_says_so(folder: Path) -> None:
    consortium = make_consortium(folder)
    with pytest.raises(JobStopped, match="round 2: 3 attempts failed"):
        consortium.run(Losing(consortium, lose(2, "masked", "m00", "m01", how="request")))
    assert [failed.attempt for failed in consortium.failed] == [1, 2, 3]
    assert "4 are needed" in consortium.failed[0].reason
    assert [done.round for done in consortium.rounds] == [1]


def test_lost_reveals_are_asked_again_verbatim_and_then_complete(folder: Path) -> None:
    consortium = make_consortium(folder)
    carrier = Losing(consortium, lose(1, "revealed", "m00", "m01"), once=True)
    final = consortium.run(carrier)
    assert carrier.exchanges.count(Exchange(1, "revealed")) == 2
    asked = [unmask_of(request) for exchange, who, request in carrier.requests if exchange.step == "revealed"]
    assert len({(m.header.recipient, m.header_bytes, m.signature) for m in asked if m.header.recipient < "m02"}) == 6
    assert not consortium.failed
    assert digest(final) == undisturbed(folder)


def unmask_of(request: bytes) -> Signed:
    return read_frame(request, LIMITS)[0]


def test_reveals_that_stay_lost_stop_the_job_and_say_that_only_a_new_job_can_go_on(folder: Path) -> None:
    consortium = make_consortium(folder)
    carrier = Losing(consortium, lose(1, "revealed", "m00", "m01"))
    with pytest.raises(JobStopped, match="3 members revealed their shares, 4 are needed"):
        consortium.run(carrier)
    assert carrier.exchanges.count(Exchange(1, "revealed")) == 1 + consortium.plan.secagg.attempts
    assert not consortium.failed
    assert all(consortium.left(name).count("agreed") == 1 for name in consortium.names)


def test_a_cold_round_takes_five_exchanges_and_a_steady_one_three(folder: Path) -> None:
    consortium = make_consortium(folder)
    carrier = Losing(consortium)
    consortium.run(carrier)
    steps = [(1, "keys"), (1, "shares"), *((round, step) for round in (1, 2, 3) for step in STEADY)]
    assert carrier.exchanges == [Exchange(*step) for step in steps]


def float_mean(consortium: Consortium, round: int, state: State) -> dict[str, np.ndarray]:
    """The mean of what the members' own learners change, in floating point: no ring, no protocol."""
    plan, updates = consortium.plan, []
    for name in consortium.names:
        # The order of a member's data is the one thing that only its contribution knows.
        order = consortium.members[name]._contribution._seed("order")
        blocks = make_corpus(name).train.for_round(round, plan.train.steps, order)
        trained = TinyLearner().train(state.factors, frozenset(), blocks, plan.train, 0).tensors
        updates.append({tensor: trained[tensor] - state.factors[tensor] for tensor in state.factors})
    return {tensor: np.mean([update[tensor] for update in updates], axis=0) for tensor in state.factors}


@pytest.mark.parametrize("bits", [16, 32])
def test_each_adapter_is_the_last_plus_the_plain_mean_to_within_one_quantisation_step(folder: Path, bits: int) -> None:
    consortium = make_consortium(folder, secagg=SecAgg(bits, "malicious", None, None, "auto", 3, "auto", 64.0, 1e-6))
    consortium.run()  # with head-room enough that nothing is clipped
    for done, state in list(zip(consortium.rounds, consortium.states(), strict=True))[:2]:
        for name, mean in float_mean(consortium, done.round, state).items():
            changed = done.state.factors[name] - state.factors[name]
            # A step of the ring, and what float32 loses when update and factor differ in size.
            np.testing.assert_allclose(changed, mean, rtol=1e-5, atol=done.ring.step(name) + 1e-6)


def test_the_same_plan_gives_the_same_adapter_bit_for_bit_under_other_keys(folder: Path) -> None:
    assert undisturbed(folder / "one") == undisturbed(folder / "two")


def test_16_bits_give_nearly_the_adapter_of_32(folder: Path) -> None:
    narrow, wide = (
        make_consortium(folder / str(bits), secagg=SecAgg(bits, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6))
        .run()
        .factors
        for bits in (16, 32)
    )
    assert 0 < relative_difference(narrow, wide) < 1e-3


def test_losses_travel_exactly_through_16_bit_words(folder: Path) -> None:
    consortium = make_consortium(folder, secagg=SecAgg(16, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6))
    consortium.run()
    tokens = consortium.plan.evaluation.tokens
    for done, state in zip(consortium.rounds, consortium.states(), strict=True):
        held_out = [make_corpus(name).validation.first(tokens) for name in consortium.names]
        nats = [TinyLearner().evaluate(state.factors, blocks).nats / tokens for blocks in held_out]
        assert done.scalars["held_out_loss"] == sum(round(loss * 2**24) for loss in nats) / 2**24 / len(nats)


def test_how_many_members_gain_is_known_at_the_end_alone_and_is_right(folder: Path) -> None:
    consortium = make_consortium(folder)
    consortium.run()
    *training, last = consortium.rounds
    assert not any(step.members_by_gain(done.scalars, 5) for done in training)
    tokens, (first, *_, final) = consortium.plan.evaluation.tokens, consortium.states()
    expected = dict.fromkeys(step.GAINS, 0)
    for name in consortium.names:
        sample = make_corpus(name).validation.first(tokens)
        base, loss = (TinyLearner().evaluate(state.factors, sample).nats / tokens for state in (first, final))
        expected["gain_much"] += base - loss >= 0.1
        expected["gain"] += 0.01 <= base - loss < 0.1
    assert sum(expected.values()) == len(consortium.names)
    assert step.members_by_gain(last.scalars, len(last.aggregation.u3)) == expected


def test_the_loss_falls_with_every_round(folder: Path) -> None:
    consortium = make_consortium(folder, rounds=4)
    consortium.run()
    losses = [done.scalars["held_out_loss"] for done in consortium.rounds]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.7 * losses[0]


def test_a_members_journal_lists_every_frame_that_left_and_nothing_else(folder: Path) -> None:
    consortium = make_consortium(folder)
    carrier = Losing(consortium, lose(1, "masked", "m01", how="answer"))
    consortium.run(carrier)
    for name in consortium.names:
        frames = [answer for _, member, answer in carrier.answers if member == name]
        expected = []
        for frame in frames:
            statements = read_frame(frame, LIMITS)
            kinds, digest = " ".join(s.header.kind for s in statements), statements_digest("departure", statements)
            expected.append((consortium.plan.job, kinds, "in-process", len(frame), digest))
        assert [row[1:6] for row in consortium.journals[name].sent()] == expected
    # A vector whose answer was lost on the way has left all the same.
    assert consortium.left("m01").count("masked") == 3
