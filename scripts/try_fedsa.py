"""Would members gain by keeping their own B? FedSA-LoRA (Guo et al., ICLR 2025, arXiv:2410.01463) against alone.

Members train both factors, share A and keep B; so each has an adapter of its own after every round, and uploads as
little as `alternating`. Then they go on by themselves, as the arm `personalised` does, and are held against the arm
`local` of the same tokens. It decides whether Rengo should offer it: there is no job of this kind, a member keeps no
state of a scheme. Plain means with everybody present instead of secure sums with drop-outs, which favours FedSA-LoRA.

    python scripts/try_fedsa.py experiment=four_arms rounds=48 seed=6 train.optimizer.learning_rate=0.004 \
        arms.local_learning_rate=0.002 arms.personalised_rounds=16

One JSON line. With `--validation` only the validation loss against the base model: to choose a learning rate.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aggregator.simulate import arms, comparison, differences, machine
from aggregator.simulate.config import ArmsChoice, SimulateConfig
from aggregator.simulate.table import Table, set_table
from clients.contribution import training_seed
from clients.validated_training import train_on
from federation import load_plan, step
from federation.tensors import Array, Tensors, shapes_of, size_of


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--validation", action="store_true", help="neither test text nor going on: to tune")
    parser.add_argument("overrides", nargs="+", help="settings of `rengo simulate`")
    args = parser.parse_args()
    began = time.perf_counter()
    config = load_plan.compose(args.overrides, SimulateConfig, "simulate")
    with tempfile.TemporaryDirectory() as folder:
        table = set_table(config, Path(folder))
        bench = arms.Bench(table.plan, table.learner, table.corpora, lambda *_: None)
        first = dict.fromkeys(table.plan.members, bench.first)
        kept = _federated(bench, first)
        line: dict[str, Any] = {"settings": args.overrides, "chosen_round": kept.round, "gain_nats": kept.gain}
        if not args.validation:
            line |= _tested(table, bench, config.arms, kept.adapters)
    shared = {name: factor for name, factor in bench.first.items() if _is_shared(name)}
    line |= {"values_per_upload": size_of(shapes_of(shared)), "seconds": round(time.perf_counter() - began)}
    print(json.dumps(line | machine.machine(), ensure_ascii=False))


@dataclass(frozen=True)
class _Kept:
    """Each member's adapter after the round with the lowest validation loss, by how many nats a token that lies below
    the first adapter's, mean over members."""

    round: int
    gain: float
    adapters: Mapping[str, Tensors]


def _federated(bench: arms.Bench, adapters: Mapping[str, Tensors]) -> _Kept:
    """All rounds: every member trains its adapter, and takes the mean of everybody's A instead of its own."""
    plan = bench.plan
    start = _validated(bench, adapters)
    kept = _Kept(0, 0.0, adapters)
    for round in range(1, plan.rounds + 1):
        trained = {member: _trained(bench, member, round, adapters[member]) for member in plan.members}
        shared = {name: _mean([each[name] for each in trained.values()]) for name in bench.first if _is_shared(name)}
        adapters = {member: {**trained[member], **shared} for member in plan.members}
        if step.evaluates(plan, round + 1):
            gain = start - _validated(bench, adapters)
            kept = _Kept(round, gain, adapters) if gain > kept.gain else kept
    return kept


def _trained(bench: arms.Bench, member: str, round: int, adapter: Tensors) -> Tensors:
    plan = bench.plan
    seed = training_seed(plan, member, f"round {round}")
    train = plan.train.in_round(round, plan.rounds)
    return bench.learner.train(adapter, set(adapter), bench.blocks(member, round), train, seed).tensors


def _validated(bench: arms.Bench, adapters: Mapping[str, Tensors]) -> float:
    return float(np.mean([bench.validate(adapter, member) for member, adapter in adapters.items()]))


def _mean(arrays: Sequence[Array]) -> Array:
    mean: Array = np.stack(arrays).mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def _is_shared(name: str) -> bool:
    return name.endswith(".lora_A")


def _tested(table: Table, bench: arms.Bench, choice: ArmsChoice, adapters: Mapping[str, Tensors]) -> dict[str, Any]:
    """Test text: with the adapters as they are, after going on alone, and training alone from the start."""
    members = bench.plan.members
    local = comparison.cached_arms(bench, replace(choice, personalised=True), table.documents_digest, ("local",))
    nats = {
        "local": local["local"].test,
        "federated": [bench.test(adapters[member], member) for member in members],
        "personalised": [bench.test(_gone_on(bench, choice, member, adapters[member]), member) for member in members],
    }
    characters = [[text.characters for text in table.corpora[member].test_texts] for member in members]
    verdict = differences.judge(characters, nats, members)
    return {
        "differences": {name: vars(found) for name, found in verdict.differences.items()},
        "harmed_personalised": verdict.harmed_personalised,
    }


def _gone_on(bench: arms.Bench, choice: ArmsChoice, member: str, adapter: Tensors) -> Tensors:
    """As the arm `personalised` does, from the member's own adapter."""
    plan, count = bench.plan, choice.personalised_rounds
    stretches = (bench.blocks(member, round) for round in range(plan.rounds + 1, plan.rounds + count + 1))
    start = adapter, bench.validate(adapter, member)
    seed, train = training_seed(plan, member, "personalised"), arms.train_personalised(plan.train, choice)
    return train_on(
        bench.learner, start, stretches, count, train, seed, lambda _, factors: bench.validate(factors, member)
    ).factors


if __name__ == "__main__":
    main()
