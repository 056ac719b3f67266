"""Arms of a tiny problem that members can learn together: fair to each other, chosen on validation, cached soundly."""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregator.simulate import arms, comparison
from aggregator.simulate.arms import Arm, Bench
from aggregator.simulate.comparison import Outcome, compare
from aggregator.simulate.config import ArmsChoice
from aggregator.simulate.probes import Adapters
from clients.dataset import Blocks, Corpus, Measure
from federation import step
from federation.errors import TrainingDiverged
from federation.plan import Plan, Train
from federation.tensors import Array, Tensors
from tests.protocol.consortium import SHAPES, TinyLearner, Trained, make_corpus, make_plan

MEMBERS = tuple(f"m{n:02}" for n in range(5))
PLAN = make_plan(MEMBERS, rounds=4)
CHOICE = ArmsChoice(True, True, False, False, 2, None, None, None, None, None)


class ArmsLearner(TinyLearner):
    """Adds to TinyLearner what only arms use, and notes what was asked. `diverges`: member whose training does."""

    def __init__(self, diverges: str = "") -> None:
        super().__init__()
        self.trained: list[tuple[int, float, int]] = []  # (blocks, learning rate, tokens a step)
        self._diverges = diverges

    def train(self, factors: Tensors, trainable: AbstractSet[str], blocks: Blocks, train: Train, seed: int) -> Trained:
        self.trained.append((len(blocks), train.optimizer.learning_rate, train.tokens_per_step))
        return super().train(factors, trainable, blocks, train, seed)

    def stretches(
        self,
        factors: Tensors,
        trainable: AbstractSet[str],
        stretches: Iterable[Blocks],
        train: Train,
        seed: int,
        of: int,
    ) -> Iterator[Trained]:
        for number, blocks in enumerate(stretches, start=1):
            if blocks.source.member == self._diverges and number == 3:
                raise TrainingDiverged(learning_rate=1.0)
            result = self.train(factors, trainable, blocks, train.in_round(number, of), seed)
            factors = result.tensors
            yield result

    def losses(self, factors: Tensors, blocks: Blocks) -> Array:
        each = [self.evaluate(factors, blocks[index : index + 1]) for index in range(len(blocks))]
        return np.concatenate([np.full(e.tokens, e.nats / e.tokens, dtype=np.float32) for e in each])


def corpus(member: str) -> Corpus:
    made = make_corpus(member)
    source = dataclasses.replace(made.train.source, member=member)
    train = dataclasses.replace(made.train, source=source)
    measures = tuple(Measure(made.test[i : i + 1].predicted, 40 + i) for i in range(len(made.test)))
    return dataclasses.replace(made, train=train, test_texts=measures)


@pytest.fixture
def learner() -> ArmsLearner:
    return ArmsLearner()


@pytest.fixture
def bench(learner: ArmsLearner) -> Bench:
    return make_bench(learner)


def make_bench(learner: Any, plan: Plan = PLAN) -> Bench:
    return Bench(plan, learner, {member: corpus(member) for member in plan.members}, lambda arm, done, of: None)


def total(arm: Arm) -> float:
    return sum(sum(nats) for nats in arm.test)


class TestFairness:
    def test_each_arm_sees_the_same_tokens_and_starts_from_the_base(self, bench: Bench, learner: ArmsLearner) -> None:
        base = arms.base(bench)
        arms.local(bench, CHOICE, base)
        alone, learner.trained = sum(blocks for blocks, _, _ in learner.trained), []
        arms.pooled(bench, CHOICE, base)
        assert alone == sum(blocks for blocks, _, _ in learner.trained) == 5 * 4 * PLAN.train.steps
        assert arms.local(bench, CHOICE, base).validation[0] == base.validation[0]

    def test_a_member_alone_trains_on_its_blocks_in_the_order_of_the_job(self, bench: Bench) -> None:
        walked = [bench.blocks("m01", round).ids.tolist() for round in (1, 2)]
        order = comparison.arms.training_seed(PLAN, "m01", "order")
        assert walked == [corpus("m01").train.for_round(r, PLAN.train.steps, order).ids.tolist() for r in (1, 2)]

    def test_a_pile_holds_what_all_members_train_on_in_that_round_shuffled(self, bench: Bench) -> None:
        pile = arms._pile(bench, 2).ids.tolist()
        stacked = [row for member in MEMBERS for row in bench.blocks(member, 2).ids.tolist()]
        assert sorted(pile) == sorted(stacked)
        assert pile != stacked

    def test_a_member_alone_is_given_as_many_tokens_as_a_personalised_one(self, bench: Bench) -> None:
        choice = dataclasses.replace(CHOICE, personalised=True)  # for two rounds' worth more
        assert sorted(arms.local(bench, choice, arms.base(bench)).validation) == [0, 1, 2, 3, 4, 5, 6]
        assert sorted(arms.local(bench, CHOICE, arms.base(bench)).validation) == [0, 1, 2, 3, 4]

    def test_the_rate_falls_in_every_arm_over_its_own_rounds(self, learner: ArmsLearner) -> None:
        optimizer = dataclasses.replace(PLAN.train.optimizer, learning_rate=0.4, decay_to=0.25)
        plan = dataclasses.replace(PLAN, train=dataclasses.replace(PLAN.train, optimizer=optimizer))
        bench = make_bench(learner, plan)
        choice = ArmsChoice(True, True, True, False, 2, None, 0.04, 0.8, None, None)
        base = arms.base(bench)
        everybody = {round: ["m00"] for round in range(1, 5)}
        for arm, expected in (
            (lambda: arms.plain(bench, everybody, chosen=4), [0.4, 0.3, 0.2, 0.1]),
            (lambda: arms.pooled(bench, choice, base), [0.8, 0.6, 0.4, 0.2]),
            (lambda: arms.local(bench, choice, base), 5 * [0.04, 0.034, 0.028, 0.022, 0.016, 0.01]),
            (lambda: arms.personalised(bench, choice, bench.first), 5 * [0.04, 0.01]),
        ):
            learner.trained = []
            arm()
            assert [rate for _, rate, _ in learner.trained] == pytest.approx(expected)

    def test_own_learning_rates_and_steps_are_taken(self, bench: Bench, learner: ArmsLearner) -> None:
        choice = ArmsChoice(True, True, True, False, 2, 0.5, 0.125, 0.25, 32, None)
        base = arms.base(bench)
        arms.local(bench, choice, base)
        assert {(rate, tokens) for _, rate, tokens in learner.trained} == {(0.125, PLAN.train.tokens_per_step)}
        learner.trained = []
        arms.pooled(bench, choice, base)
        assert {(rate, tokens) for _, rate, tokens in learner.trained} == {(0.25, 32)}


class TestChoice:
    def test_the_lowest_validation_loss_is_kept_by_each_member_its_own(self, bench: Bench) -> None:
        arm = arms.local(bench, dataclasses.replace(CHOICE, local_learning_rate=2.5), arms.base(bench))
        for number, chosen in enumerate(arm.chosen):
            curve = {round: losses[number] for round, losses in arm.validation.items()}
            assert curve[chosen] == min(curve.values())
        assert len(set(arm.chosen)) > 1  # too high a rate: members do differ

    def test_training_that_only_hurts_leaves_the_base(self, bench: Bench) -> None:
        base = arms.base(bench)
        arm = arms.pooled(bench, dataclasses.replace(CHOICE, pooled_learning_rate=1e4), base)
        assert arm.chosen == (0,) * 5
        assert arm.test == base.test

    def test_a_member_that_diverges_keeps_what_it_had_and_is_named(self) -> None:
        bench = make_bench(ArmsLearner(diverges="m03"))
        arm = arms.local(bench, CHOICE, arms.base(bench))
        assert arm.diverged == ("m03",)
        assert arm.chosen[3] <= 2
        assert np.isnan(arm.validation[4][3])
        assert np.isfinite(arm.validation[4][2])

    def test_rounds_without_evaluation_are_not_chosen(self) -> None:
        plan = dataclasses.replace(PLAN, evaluation=dataclasses.replace(PLAN.evaluation, every=3))
        bench = make_bench(ArmsLearner(), plan)
        base = arms.base(bench)
        for arm in (arms.local(bench, CHOICE, base), arms.pooled(bench, CHOICE, base)):
            assert sorted(arm.validation) == [0, 3, 4]
            assert set(arm.chosen) <= {0, 3, 4}


class TestPersonalised:
    def test_begins_where_the_federation_ended_and_goes_on_through_the_member_s_text(
        self, bench: Bench, learner: ArmsLearner
    ) -> None:
        walked: list[Any] = []
        blocks = Bench.blocks

        class Walking(Bench):
            def blocks(self, member: str, round: int) -> Blocks:
                walked.append((member, round))
                return blocks(self, member, round)

        factors = bench.learner.train(bench.first, set(bench.first), bench.blocks("m00", 1), PLAN.train, 0).tensors
        arm = arms.personalised(Walking(**vars(bench)), CHOICE, factors)
        assert walked == [(member, round) for member in MEMBERS for round in (5, 6)]
        assert arm.validation[0] == bench.validations(factors)
        assert arm.diverged == ()

    def test_takes_a_rate_of_its_own_else_that_of_local(self, bench: Bench, learner: ArmsLearner) -> None:
        for given, taken in ((0.5, 0.5), (None, 0.125)):
            learner.trained = []
            choice = dataclasses.replace(CHOICE, local_learning_rate=0.125, personalised_learning_rate=given)
            arms.personalised(bench, choice, bench.first)
            assert {rate for _, rate, _ in learner.trained} == {taken}

    def test_that_only_hurts_leaves_a_member_the_federated_adapter(self, bench: Bench) -> None:
        arm = arms.personalised(bench, dataclasses.replace(CHOICE, personalised_learning_rate=1e4), bench.first)
        assert arm.chosen == (0,) * 5
        assert arm.test == arms.base(bench).test

    def test_is_never_taken_from_the_cache_of_another_federated_adapter(self, bench: Bench, tmp_path: Path) -> None:
        choice = dataclasses.replace(CHOICE, personalised=True, cache=str(tmp_path))
        trained = bench.learner.train(bench.first, set(bench.first), bench.blocks("m00", 1), PLAN.train, 0).tensors
        found = [
            compare(bench, Outcome(factors, 2, {}, {}), choice, "documents").arms["personalised"].test
            for factors in (bench.first, trained)
        ]
        assert found[0] != found[1]


class TestPlain:
    def test_is_the_federated_job_without_rounding(self, bench: Bench) -> None:
        """One round by hand: the mean of the survivors' updates, and nobody else's."""
        arm = arms.plain(bench, {1: ["m00", "m02", "m04"]}, chosen=1)
        first = bench.first
        factors = [
            bench.learner.train(first, set(first), bench.blocks(m, 1), PLAN.train, 0).tensors
            for m in ("m00", "m02", "m04")
        ]
        mean = {name: np.mean([f[name] for f in factors], axis=0) for name in first}
        assert arm.test[1] == pytest.approx(bench.test(mean, "m01"), rel=1e-5)

    def test_a_member_that_diverges_puts_zero_into_the_mean(self) -> None:
        class Diverging(ArmsLearner):
            def train(self, factors: Tensors, trainable: Any, blocks: Blocks, train: Train, seed: int) -> Trained:
                if blocks.source.member == "m02":
                    raise TrainingDiverged(learning_rate=1.0)
                return super().train(factors, trainable, blocks, train, seed)

        bench = make_bench(Diverging())
        arm = arms.plain(bench, {1: ["m00", "m02"]}, chosen=1)
        after = bench.learner.train(bench.first, set(bench.first), bench.blocks("m00", 1), PLAN.train, 0).tensors
        mean = {name: (after[name] + bench.first[name]) / 2 for name in after}
        assert arm.test[1] == pytest.approx(bench.test(mean, "m01"), rel=1e-5)

    def test_after_no_round_is_the_base(self, bench: Bench) -> None:
        assert arms.plain(bench, {}, chosen=0).test == arms.base(bench).test


class TestTogether:
    def outcome(self, bench: Bench) -> Outcome:
        state = step.first_state(PLAN, SHAPES)
        return Outcome(state.factors, 2, {0: arms.base(bench).validation[0]}, {})

    def test_pooling_beats_training_alone_where_members_share_what_is_to_be_learned(self, bench: Bench) -> None:
        found = compare(bench, self.outcome(bench), CHOICE, "documents").arms
        assert list(found) == ["base", "federated", "local", "pooled"]
        assert total(found["pooled"]) < total(found["local"]) < total(found["base"])

    def test_only_what_was_asked_for_is_run(self, bench: Bench, learner: ArmsLearner) -> None:
        found = compare(bench, self.outcome(bench), dataclasses.replace(CHOICE, local=False, pooled=False), "documents")
        assert list(found.arms) == ["base", "federated"]
        assert learner.trained == []


class TestCache:
    @pytest.fixture
    def choice(self, tmp_path: Path) -> ArmsChoice:
        return dataclasses.replace(CHOICE, cache=str(tmp_path / "arms"))

    def run(self, choice: ArmsChoice, plan: Plan = PLAN, documents: str = "documents") -> tuple[dict[str, Arm], int]:
        """(arms, how many stretches were trained)"""
        learner = ArmsLearner()
        bench = make_bench(learner, plan)
        outcome = Outcome(bench.first, 0, {}, {})
        return dict(compare(bench, outcome, choice, documents).arms), len(learner.trained)

    def test_the_second_run_trains_nothing_and_finds_the_same(self, choice: ArmsChoice) -> None:
        first, trained = self.run(choice)
        again, nothing = self.run(choice)
        assert (trained > 0, nothing) == (True, 0)
        assert again == first

    def test_where_adapters_are_wanted_they_are_trained_and_are_those_that_were_tested(
        self, choice: ArmsChoice, bench: Bench
    ) -> None:
        choice = dataclasses.replace(choice, personalised=True)
        cached, _ = self.run(choice)
        kept = Adapters()
        bench = dataclasses.replace(bench, keep=kept.keep)
        assert compare(bench, Outcome(bench.first, 0, {}, {}), choice, "documents").arms == cached
        found = kept.by_arm(MEMBERS)
        assert found.keys() == {"local", "pooled", "personalised"}
        for arm, adapters in found.items():
            each = adapters * len(MEMBERS) if arm == "pooled" else adapters
            tested = [bench.test(factors, member) for factors, member in zip(each, MEMBERS, strict=True)]
            assert tuple(tested) == cached[arm].test

    def test_scheme_secure_aggregation_and_privacy_do_not_matter(self, choice: ArmsChoice) -> None:
        self.run(choice)
        plan = dataclasses.replace(PLAN, secagg=dataclasses.replace(PLAN.secagg, ring_bits=16))
        assert (
            self.run(choice, dataclasses.replace(plan, scheme=dataclasses.replace(PLAN.scheme, name="alternating")))[1]
            == 0
        )

    def test_nor_does_the_federation_s_learning_rate_where_an_arm_has_its_own(self, choice: ArmsChoice) -> None:
        choice = dataclasses.replace(choice, local_learning_rate=0.5, pooled_learning_rate=0.5)
        self.run(choice)
        optimizer = dataclasses.replace(PLAN.train.optimizer, learning_rate=0.25)
        assert (
            self.run(choice, dataclasses.replace(PLAN, train=dataclasses.replace(PLAN.train, optimizer=optimizer)))[1]
            == 0
        )

    def test_local_alone_is_run_anew_where_it_is_given_more_tokens(self, choice: ArmsChoice) -> None:
        self.run(choice)
        alone, stretches = PLAN.rounds + choice.personalised_rounds, choice.personalised_rounds
        _, trained = self.run(dataclasses.replace(choice, personalised=True))
        assert trained == len(MEMBERS) * (alone + stretches)

    def test_other_code_is_run_anew(self, choice: ArmsChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _, trained = self.run(choice)
        other = tmp_path / "other.py"
        other.write_text("# changed")
        monkeypatch.setattr(comparison, "CODE", (*comparison.CODE, other))
        assert self.run(choice)[1] == trained

    @pytest.mark.parametrize("change", [{"seed": 8}, {"rounds": 3}, {"job": "other"}])
    def test_another_plan_is_run_anew(self, choice: ArmsChoice, change: dict[str, Any]) -> None:
        self.run(choice)
        assert self.run(choice, dataclasses.replace(PLAN, **change))[1] > 0

    def test_other_documents_or_another_rate_are_run_anew(self, choice: ArmsChoice) -> None:
        _, whole = self.run(choice)
        assert self.run(choice, documents="others")[1] == whole
        assert 0 < self.run(dataclasses.replace(choice, local_learning_rate=0.1))[1] < whole

    @pytest.mark.parametrize("damage", ["", "{", "[]", '{"chosen": 1}', "null"])
    def test_a_damaged_file_is_written_anew(self, choice: ArmsChoice, damage: str) -> None:
        first, trained = self.run(choice)
        for path in Path(str(choice.cache)).glob("*.json"):
            path.write_text(damage)
        assert self.run(choice) == (first, trained)
        assert all(json.loads(path.read_text()) for path in Path(str(choice.cache)).glob("*.json"))

    def test_a_folder_in_the_place_of_a_file_is_left_alone(self, choice: ArmsChoice) -> None:
        first, trained = self.run(choice)
        for path in list(Path(str(choice.cache)).glob("*.json")):
            path.unlink()
            path.mkdir()
        assert self.run(choice) == (first, trained)
        assert all(path.is_dir() for path in Path(str(choice.cache)).glob("*.json"))
