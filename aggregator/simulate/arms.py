"""What each member would have by itself, with the federation, and if all documents could lie on one pile.

base: the model as it came. local: trained on the member's own documents alone. federated: the adapter that the job
chose. personalised: that adapter, trained on at each member by itself. pooled: one adapter trained on everybody's
documents, which only public or consented ones permit: a reference, not a bound. plain: a control, the federated job
again with the same drop-outs and without secure aggregation.

Federated and pooled see the same number of a member's tokens in the same order. Personalised sees a few rounds' worth
more, and local as many as personalised. All are validated on the same text after every round's worth of it, keep the
round with the lowest validation loss (for local and personalised: each member its own), and are tested once. An arm
that does not depend on scheme or secure aggregation is computed once for a whole sweep and kept in a cache. Members
are trained and tested through `Bench.in_order`, perhaps several at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from aggregator.simulate.config import ArmsChoice
from aggregator.workers import InOrder
from clients.contribution import training_seed
from clients.dataset import Blocks, Corpus, joined
from clients.validated_training import train_on
from federation import privacy, step
from federation.errors import TrainingDiverged
from federation.plan import Plan, Train
from federation.schemes import State
from federation.schemes.state import first_factors
from federation.tensors import Array, Tensors

if TYPE_CHECKING:  # torch takes seconds, and `rengo compare` does without
    from clients.trainer import Trainer

LOCAL_SHARE, POOLED_SHARE = 1 / 4, 1 / 8
"""Of the federation's learning rate, where an arm has none of its own. A mean over members evens steps out and bears
higher rates: at the demo's 8e-3 a third of the members alone, and the pile altogether, unlearn. Not tuned."""

Tell = Callable[[str, int, int], None]
"""(arm, done, of): called after each stretch of training and each test."""

Keep = Callable[[str, str, Tensors], None]
"""(arm, member or "" for all, its adapter): called with what an arm has come to."""


@dataclass(frozen=True)
class Arm:
    """One arm on every member's held-out text, members in the plan's order.

    `chosen`: after how many rounds' worth of training the kept adapter stood. `validation`: rounds -> each member's
    nats a token on its validation sample, NaN where it was not measured. `test`: by member, the summed nats of each of
    its test texts. `diverged`: members whose training did not stay finite; what they had before it counts.
    """

    chosen: tuple[int, ...]
    validation: Mapping[int, tuple[float, ...]]
    test: tuple[tuple[float, ...], ...]
    diverged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bench:
    """What arms are trained and measured with."""

    plan: Plan
    learner: "Trainer"
    corpora: Mapping[str, Corpus]
    tell: Tell
    in_order: InOrder = map
    keep: Keep | None = None

    @property
    def first(self) -> Tensors:
        """The adapter that changes nothing; the same for every scheme."""
        return first_factors(self.learner.shapes, self.plan.lora, self.plan.seed)

    def blocks(self, member: str, round: int) -> Blocks:
        """What the member trains on in that round of the job."""
        train = self.plan.train
        order = training_seed(self.plan, member, "order")
        return self.corpora[member].train.for_round(round, train.tokens_per_round // train.sequence_length, order)

    def validate(self, factors: Tensors, member: str) -> float:
        """Nats a token on the member's validation sample."""
        evaluated = self.learner.evaluate(factors, self.corpora[member].validation.first(self.plan.evaluation.tokens))
        return evaluated.nats / evaluated.tokens

    def test(self, factors: Tensors, member: str) -> tuple[float, ...]:
        """Summed nats of each of the member's test texts."""
        corpus = self.corpora[member]
        losses = self.learner.losses(factors, corpus.test).astype(np.float64)
        ends = np.cumsum([text.tokens for text in corpus.test_texts])
        return tuple(float(part.sum()) for part in np.split(losses, ends[:-1]))

    def tests(self, factors: Tensors) -> Iterator[tuple[float, ...]]:
        """`test` of one adapter at every member, as they come."""
        return self.in_order(lambda member: self.test(factors, member), self.plan.members)

    def validations(self, factors: Tensors) -> tuple[float, ...]:
        """`validate` of one adapter at every member."""
        return tuple(self.in_order(lambda member: self.validate(factors, member), self.plan.members))


def base(bench: Bench) -> Arm:
    """Before any training."""
    members = bench.plan.members
    validation = bench.validations(bench.first)
    return Arm((0,) * len(members), {0: validation}, _told_tests(bench, "base", bench.first))


def federated(bench: Bench, factors: Tensors, chosen: int, validation: Mapping[int, tuple[float, ...]]) -> Arm:
    """The job's adapter after `chosen` rounds; `validation` as the job measured it."""
    members = bench.plan.members
    return Arm((chosen,) * len(members), validation, _told_tests(bench, "federated", factors))


def _told_tests(bench: Bench, arm: str, factors: Tensors) -> tuple[tuple[float, ...], ...]:
    tests = []
    for count, test in enumerate(bench.tests(factors), start=1):
        tests.append(test)
        bench.tell(arm, count, len(bench.plan.members))
    return tuple(tests)


@dataclass(frozen=True)
class _Alone:
    """One member's training by itself: after how many stretches it was best, its validation losses, NaN where there
    is none, and its test texts under the best."""

    chosen: int
    curve: tuple[float, ...]
    test: tuple[float, ...]
    diverged: bool


def local(bench: Bench, choice: ArmsChoice, start: Arm) -> Arm:
    """Each member by itself, with one optimiser from beginning to end, on as many tokens as the arm with the most:
    where there is a personalised one, on those that it goes on with too. `start`: the base arm."""
    plan = bench.plan
    rounds = range(1, local_rounds(plan, choice) + 1)
    evaluated = [round for round in rounds if round > plan.rounds or step.evaluates(plan, round + 1)]
    training = _Training("local", bench.first, rounds, evaluated, train_alone(plan.train, choice))
    return _by_themselves(bench, training, start.validation[0])


def local_rounds(plan: Plan, choice: ArmsChoice) -> int:
    """How many rounds' worth of tokens a member by itself is given."""
    return plan.rounds + (choice.personalised_rounds if choice.personalised else 0)


def personalised(bench: Bench, choice: ArmsChoice, factors: Tensors) -> Arm:
    """`factors`, the federated adapter, trained on at each member by itself, over the stretches of its text
    that would have come next. Rounds and `chosen` count from that adapter; a member may choose 0, and keep it as it
    is."""
    plan = bench.plan
    rounds = range(plan.rounds + 1, plan.rounds + choice.personalised_rounds + 1)
    training = _Training("personalised", factors, rounds, rounds, train_personalised(plan.train, choice))
    return _by_themselves(bench, training, bench.validations(factors))


@dataclass(frozen=True)
class _Training:
    """What members do by themselves: from which adapter, over which rounds' worth of their tokens, after which of these
    validated, and how."""

    arm: str
    start: Tensors
    rounds: range
    evaluated: Sequence[int]
    train: Train


def _by_themselves(bench: Bench, training: _Training, start: Sequence[float]) -> Arm:
    """Each member in turn, or several at once. `start`: each one's validation loss before it."""
    members, done, telling = bench.plan.members, 0, Lock()

    def tell(stretches: int) -> None:  # several members may be at it
        nonlocal done
        with telling:
            done += stretches
            bench.tell(training.arm, done, len(members) * len(training.rounds))

    def alone(member: str, loss: float) -> _Alone:
        return _alone(bench, member, training, loss, tell)

    found = list(bench.in_order(lambda given: alone(*given), zip(members, start, strict=True)))
    by_round = {round: tuple(losses) for round, losses in enumerate(zip(*(one.curve for one in found), strict=True))}
    diverged = tuple(member for member, one in zip(members, found, strict=True) if one.diverged)
    return Arm(tuple(one.chosen for one in found), _measured(by_round), tuple(one.test for one in found), diverged)


def _alone(bench: Bench, member: str, training: _Training, start: float, tell: Callable[[int], None]) -> _Alone:
    """`start`: the validation loss before it. `tell`: called with how many stretches more are over."""
    rounds, told = training.rounds, 0

    def validated(number: int, factors: Tensors) -> float:
        nonlocal told
        told += 1
        loss = bench.validate(factors, member) if rounds[number - 1] in training.evaluated else float("nan")
        tell(1)
        return loss

    stretches = (bench.blocks(member, round) for round in rounds)
    seed = training_seed(bench.plan, member, training.arm)
    first = (training.start, start)
    kept = train_on(bench.learner, first, stretches, len(rounds), training.train, seed, validated)
    tell(len(rounds) - told)
    if bench.keep:
        bench.keep(training.arm, member, kept.factors)
    return _Alone(kept.after, kept.losses, bench.test(kept.factors, member), kept.diverged)


def pooled(bench: Bench, choice: ArmsChoice, start: Arm) -> Arm:
    """One adapter on everybody's documents: in each stretch what all members train on in that round, shuffled."""
    plan, members = bench.plan, bench.plan.members
    train = train_pooled(plan.train, choice)
    curve, kept, best, diverged = {0: start.validation[0]}, 0, bench.first, tuple[str, ...]()
    stretches = (_pile(bench, round) for round in range(1, plan.rounds + 1))
    try:
        seed = training_seed(plan, "pooled", "")
        trained = bench.learner.stretches(best, set(best), stretches, train, seed, plan.rounds)
        for round, factors in enumerate((each.tensors for each in trained), start=1):
            if step.evaluates(plan, round + 1):
                curve[round] = bench.validations(factors)
                if np.mean(curve[round]) <= min(np.mean(losses) for losses in curve.values()):
                    kept, best = round, factors
            bench.tell("pooled", round, plan.rounds)
    except TrainingDiverged:
        diverged = members
    if bench.keep:
        bench.keep("pooled", "", best)
    return Arm((kept,) * len(members), curve, tuple(bench.tests(best)), diverged)


def plain(bench: Bench, survivors: Mapping[int, Sequence[str]], chosen: int) -> Arm:
    """The federated job with plain averages over the same `survivors` by round, tested after as many rounds as the
    secure one was. Nothing is masked, rounded or clipped to a range."""
    plan, scheme = bench.plan, step.scheme_of(bench.plan)
    state = step.first_state(plan, bench.learner.shapes)
    for round in range(1, chosen + 1):
        updates = list(bench.in_order(partial(_update, bench, state, round), survivors[round]))
        mean = {n: np.stack([update[n] for update in updates]).mean(axis=0, dtype=np.float64) for n in updates[0]}
        state = step.next_state(plan, state, mean)
        bench.tell("plain", round, chosen)
    return Arm((chosen,) * len(plan.members), {}, tuple(bench.tests(scheme.export(state))))


def _update(bench: Bench, state: State, round: int, member: str) -> dict[str, Array]:
    """What the member would have masked in that round of the job."""
    plan, scheme = bench.plan, step.scheme_of(bench.plan)
    factors, trainable = state.factors, scheme.trainable(state)
    seed = training_seed(plan, member, f"round {round}")
    try:
        train = plan.train.in_round(round, plan.rounds)
        trained = bench.learner.train(factors, trainable, bench.blocks(member, round), train, seed).tensors
    except TrainingDiverged:  # then a member puts zero into the sum
        trained = dict(factors)
    return privacy.clip_update(scheme.encode(state, trained), plan.privacy)


def _pile(bench: Bench, round: int) -> Blocks:
    pile = joined([bench.blocks(member, round) for member in bench.plan.members])
    return pile.for_round(1, len(pile), training_seed(bench.plan, "pooled", f"order {round}"))


def train_alone(train: Train, choice: ArmsChoice) -> Train:
    """How a member trains by itself."""
    return _with_rate(train, choice.local_learning_rate or LOCAL_SHARE * train.optimizer.learning_rate)


def train_personalised(train: Train, choice: ArmsChoice) -> Train:
    """How a member trains the federated adapter on by itself."""
    rate = choice.personalised_learning_rate
    return _with_rate(train, rate) if rate else train_alone(train, choice)


def train_pooled(train: Train, choice: ArmsChoice) -> Train:
    """How the pile is trained on."""
    train = _with_rate(train, choice.pooled_learning_rate or POOLED_SHARE * train.optimizer.learning_rate)
    return replace(train, tokens_per_step=choice.pooled_tokens_per_step or train.tokens_per_step)


def _with_rate(train: Train, learning_rate: float) -> Train:
    return replace(train, optimizer=replace(train.optimizer, learning_rate=learning_rate))


def _measured(by_round: Mapping[int, tuple[float, ...]]) -> dict[int, tuple[float, ...]]:
    """Without the rounds that nobody was to be validated in."""
    return {round: losses for round, losses in by_round.items() if not np.isnan(losses).all()}
