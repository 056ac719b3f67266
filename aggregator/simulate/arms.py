"""What each member would have by itself, with the federation, and if all documents could lie on one pile.

base: the model as it came. local: trained on the member's own documents alone. federated: the adapter that the job
chose. pooled: one adapter trained on everybody's documents, which only public or consented ones permit: a reference,
not a bound. plain: a control, the federated job again with the same drop-outs and without secure aggregation.

All arms see the same number of a member's tokens in the same order, are validated on the same text after every round's
worth of it, keep the round with the lowest validation loss (for local: each member its own), and are tested once. An
arm that does not depend on scheme or secure aggregation is computed once for a whole sweep and kept in a cache.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aggregator.simulate.config import ArmsChoice
from clients.contribution import training_seed
from clients.dataset import Blocks, Corpus, joined
from federation import privacy, step
from federation.errors import TrainingDiverged
from federation.plan import Plan, Train
from federation.schemes.state import first_factors
from federation.tensors import Tensors

if TYPE_CHECKING:  # torch takes seconds, and `rengo compare` does without
    from clients.trainer import Trainer

LOCAL_SHARE, POOLED_SHARE = 1 / 4, 1 / 8
"""Of the federation's learning rate, where an arm has none of its own. A mean over members evens steps out and bears
higher rates: at the demo's 8e-3 a third of the members alone, and the pile altogether, unlearn. Not tuned."""

Tell = Callable[[str, int, int], None]
"""(arm, done, of): called after each stretch of training and each test."""


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


def base(bench: Bench) -> Arm:
    """Before any training."""
    members = bench.plan.members
    validation, test = [], []
    for count, member in enumerate(members, start=1):
        validation.append(bench.validate(bench.first, member))
        test.append(bench.test(bench.first, member))
        bench.tell("base", count, len(members))
    return Arm((0,) * len(members), {0: tuple(validation)}, tuple(test))


def federated(bench: Bench, factors: Tensors, chosen: int, validation: Mapping[int, tuple[float, ...]]) -> Arm:
    """The job's adapter after `chosen` rounds; `validation` as the job measured it."""
    members, test = bench.plan.members, []
    for count, member in enumerate(members, start=1):
        test.append(bench.test(factors, member))
        bench.tell("federated", count, len(members))
    return Arm((chosen,) * len(members), validation, tuple(test))


def local(bench: Bench, choice: ArmsChoice, start: Arm) -> Arm:
    """Each member by itself, with one optimiser from beginning to end. `start`: the base arm."""
    plan, chosen, curves, test, diverged = bench.plan, list[int](), list[list[float]](), [], list[str]()
    train = train_alone(plan.train, choice)
    for number, member in enumerate(plan.members):
        stretches = (bench.blocks(member, round) for round in range(1, plan.rounds + 1))
        seed = training_seed(plan, member, "local")
        curve, kept, best = [start.validation[0][number]], 0, bench.first
        try:
            for round, factors in _trained(bench, stretches, train, seed):
                curve.append(bench.validate(factors, member) if step.evaluates(plan, round + 1) else float("nan"))
                if curve[-1] <= np.nanmin(curve):
                    kept, best = round, factors
                bench.tell("local", number * plan.rounds + round, len(plan.members) * plan.rounds)
        except TrainingDiverged:
            diverged.append(member)
            curve += [float("nan")] * (plan.rounds + 1 - len(curve))
        chosen.append(kept)
        curves.append(curve)
        test.append(bench.test(best, member))
    by_round = {round: tuple(losses) for round, losses in enumerate(zip(*curves, strict=True))}
    return Arm(tuple(chosen), _measured(by_round), tuple(test), tuple(diverged))


def pooled(bench: Bench, choice: ArmsChoice, start: Arm) -> Arm:
    """One adapter on everybody's documents: in each stretch what all members train on in that round, shuffled."""
    plan, members = bench.plan, bench.plan.members
    train = train_pooled(plan.train, choice)
    curve, kept, best, diverged = {0: start.validation[0]}, 0, bench.first, tuple[str, ...]()
    stretches = (_pile(bench, round) for round in range(1, plan.rounds + 1))
    try:
        for round, factors in _trained(bench, stretches, train, training_seed(plan, "pooled", "")):
            if step.evaluates(plan, round + 1):
                curve[round] = tuple(bench.validate(factors, member) for member in members)
                if np.mean(curve[round]) <= min(np.mean(losses) for losses in curve.values()):
                    kept, best = round, factors
            bench.tell("pooled", round, plan.rounds)
    except TrainingDiverged:
        diverged = members
    test = tuple(bench.test(best, member) for member in members)
    return Arm((kept,) * len(members), curve, test, diverged)


def plain(bench: Bench, survivors: Mapping[int, Sequence[str]], chosen: int) -> Arm:
    """The federated job with plain averages over the same `survivors` by round, tested after as many rounds as the
    secure one was. Nothing is masked, rounded or clipped to a range."""
    plan, scheme = bench.plan, step.scheme_of(bench.plan)
    state = step.first_state(plan, bench.learner.shapes)
    for round in range(1, chosen + 1):
        factors, trainable = scheme.export(state), scheme.trainable(state)
        updates = []
        for member in survivors[round]:
            seed = training_seed(plan, member, f"round {round}")
            try:
                trained = bench.learner.train(factors, trainable, bench.blocks(member, round), plan.train, seed).tensors
            except TrainingDiverged:  # then a member puts zero into the sum
                trained = dict(factors)
            updates.append(privacy.clip_update(scheme.encode(state, trained), plan.privacy))
        mean = {n: np.stack([update[n] for update in updates]).mean(axis=0, dtype=np.float64) for n in updates[0]}
        state = step.next_state(plan, state, mean)
        bench.tell("plain", round, chosen)
    factors = scheme.export(state)
    test = tuple(bench.test(factors, member) for member in plan.members)
    return Arm((chosen,) * len(plan.members), {}, test)


def _trained(bench: Bench, stretches: Iterator[Blocks], train: Train, seed: int) -> Iterator[tuple[int, Tensors]]:
    """(round, factors) after each stretch of ordinary LoRA training of both factors."""
    first = bench.first
    for round, trained in enumerate(bench.learner.stretches(first, set(first), stretches, train, seed), start=1):
        yield round, trained.tensors


def _pile(bench: Bench, round: int) -> Blocks:
    pile = joined([bench.blocks(member, round) for member in bench.plan.members])
    return pile.for_round(1, len(pile), training_seed(bench.plan, "pooled", f"order {round}"))


def train_alone(train: Train, choice: ArmsChoice) -> Train:
    """How a member trains by itself."""
    return _with_rate(train, choice.local_learning_rate or LOCAL_SHARE * train.optimizer.learning_rate)


def train_pooled(train: Train, choice: ArmsChoice) -> Train:
    """How the pile is trained on."""
    train = _with_rate(train, choice.pooled_learning_rate or POOLED_SHARE * train.optimizer.learning_rate)
    return replace(train, tokens_per_step=choice.pooled_tokens_per_step or train.tokens_per_step)


def _with_rate(train: Train, learning_rate: float) -> Train:
    return replace(train, optimizer=replace(train.optimizer, learning_rate=learning_rate))


def _measured(by_round: Mapping[int, tuple[float, ...]]) -> dict[int, tuple[float, ...]]:
    """Without the rounds that nobody was to be validated in."""
    return {round: losses for round, losses in by_round.items() if not np.isnan(losses).all()}
