"""The learning rate over a job's rounds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.plan import Plan, Train, plain
from tests.protocol.consortium import TinyLearner, make_consortium, make_plan

MEMBERS = ("m00", "m01", "m02")


def falling(decay_to: float) -> Plan:
    plan = make_plan(MEMBERS, rounds=4)
    optimizer = replace(plan.train.optimizer, learning_rate=0.4, decay_to=decay_to)
    return replace(plan, train=replace(plan.train, optimizer=optimizer))


def rates(plan: Plan) -> list[float]:
    return [plan.train.in_round(round, plan.rounds).optimizer.learning_rate for round in range(1, plan.rounds + 1)]


def test_falls_by_as_much_every_round_to_its_share_in_the_last() -> None:
    assert rates(falling(0.25)) == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert rates(replace(falling(0.25), rounds=1)) == [0.4]


def test_stays_the_same_to_the_last_bit_by_default_and_then_is_no_part_of_the_plan() -> None:
    assert rates(falling(1.0)) == 4 * [0.4]
    assert "decay_to" not in plain(falling(1.0))["train"]["optimizer"]
    assert falling(1.0).digest() != falling(0.25).digest()


def test_members_train_at_the_rate_of_the_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, train = list[float](), TinyLearner._train

    def noted(learner: TinyLearner, factors: Any, blocks: Any, given: Train) -> Any:
        trained.append(given.optimizer.learning_rate)
        return train(learner, factors, blocks, given)

    monkeypatch.setattr(TinyLearner, "_train", noted)
    plan = falling(0.25)
    consortium = make_consortium(tmp_path, len(MEMBERS), rounds=plan.rounds, train=plan.train)
    consortium.run()
    assert trained == pytest.approx([rate for rate in rates(plan) for _ in MEMBERS])
