"""The arms of one run, those that other runs can share from a cache, and what they say about joining."""

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aggregator.simulate import arms, differences
from aggregator.simulate.arms import Arm, Bench
from aggregator.simulate.config import ArmsChoice
from aggregator.simulate.differences import Verdict
from aggregator.simulate.machine import LIBRARIES
from clients import dataset
from federation.output import write_text_whole
from federation.plan import plain
from federation.schemes import state
from federation.tensors import Tensors
from federation.wire import canonical_cbor


@dataclass(frozen=True)
class Outcome:
    """What the federated job gave: the adapter that it chose and after how many rounds it stood, each member's
    validation loss by rounds, and who was in each round's sum."""

    factors: Tensors
    chosen: int
    validation: Mapping[int, tuple[float, ...]]
    survivors: Mapping[int, Sequence[str]]


@dataclass(frozen=True)
class Comparison:
    """All arms that were asked for, by name, and the verdict over them. `characters`: of members' test texts."""

    arms: Mapping[str, Arm]
    characters: Sequence[Sequence[int]]
    verdict: Verdict


def compare(bench: Bench, outcome: Outcome, choice: ArmsChoice, documents: str) -> Comparison:
    """Run what is not in the cache. `documents`: the digest of everybody's token blocks."""
    wanted = [name for name, asked in (("local", choice.local), ("pooled", choice.pooled)) if asked]
    shared = cached_arms(bench, choice, documents, wanted)
    federated = arms.federated(bench, outcome.factors, outcome.chosen, outcome.validation)
    found = {"base": shared.pop("base"), "federated": federated, **shared}
    if choice.personalised:
        found["personalised"] = arms.personalised(bench, choice, outcome.factors)
    if choice.plain:
        found["plain"] = arms.plain(bench, outcome.survivors, outcome.chosen)
    members = bench.plan.members
    sizes = [[text.characters for text in bench.corpora[member].test_texts] for member in members]
    verdict = differences.judge(sizes, {name: arm.test for name, arm in found.items()}, members)
    return Comparison(found, sizes, verdict)


def cached_arms(bench: Bench, choice: ArmsChoice, documents: str, wanted: Sequence[str]) -> dict[str, Arm]:
    """The base, and those of `local` and `pooled` that are wanted: they do not depend on a federated job."""
    base = _cached(bench, choice, documents, "base", lambda: arms.base(bench))
    found = {"base": base}
    for name in wanted:
        train = partial(arms.local if name == "local" else arms.pooled, bench, choice, base)
        found[name] = _cached(bench, choice, documents, name, train)
    return found


def _cached(bench: Bench, choice: ArmsChoice, documents: str, name: str, run: Callable[[], Arm]) -> Arm:
    """The arm from the cache, or run and put there. A file that does not hold one is written anew, a folder in its
    place left alone. Where adapters are to be kept, a trained arm runs all the same: the cache has losses only."""
    if choice.cache is None:
        return run()
    path = Path(choice.cache) / f"{name}-{_key(bench, choice, documents, name)}.json"
    if path.is_dir():
        return run()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _one_at_a_time(path.with_suffix(".lock")):
        read = name == "base" or not bench.keep
        if read and path.exists() and (arm := _read(path)):
            bench.tell(name, 1, 1)
            return arm
        arm = run()
        write_text_whole(path, json.dumps(vars(arm)))
    return arm


@contextlib.contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Of runs side by side that want the same arm, one trains it and the others wait for it."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # ends with the process, however that ends
        yield


_SITE = Path(str(dataset.__file__)).parent
CODE = (
    *(Path(str(module.__file__)) for module in (arms, state)),
    *(_SITE / f"{name}.py" for name in ("contribution", "dataset", "determinism", "kernels", "trainer")),
    _SITE / "validated_training.py",
)
"""What an arm's figures depend on. How documents are read and split is in the documents' digest."""


def _key(bench: Bench, choice: ArmsChoice, documents: str, name: str) -> str:
    """SHA-256 of everything that the arm depends on: the plan without scheme, secure aggregation and drop-outs; how the
    arm is trained; libraries and code. A change in them that changes nothing costs a run, but no figure is wrong."""
    whole, train = plain(bench.plan), bench.plan.train
    used = ("consortium", "job", "members", "rounds", "seed", "model", "lora", "evaluation")
    inputs: dict[str, Any] = {key: whole[key] for key in used} | {"documents": documents}
    trained = {"local": arms.train_alone(train, choice), "pooled": arms.train_pooled(train, choice)}
    inputs["train"] = plain(trained[name]) if name in trained else train.sequence_length
    if name == "local":
        inputs["rounds"] = arms.local_rounds(bench.plan, choice)
        inputs["evaluation"] = [inputs["evaluation"], bench.plan.rounds]  # it decides after which ones is validated
    inputs["versions"] = [version(package) for package in LIBRARIES]
    inputs["code"] = [hashlib.sha256(path.read_bytes()).hexdigest() for path in CODE]
    return hashlib.sha256(canonical_cbor([f"rengo arm v1 {name}", inputs])).hexdigest()[:32]


def _read(path: Path) -> Arm | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        by_round = {int(round): tuple(losses) for round, losses in data["validation"].items()}
        arm = Arm(tuple(data["chosen"]), by_round, tuple(map(tuple, data["test"])), tuple(data["diverged"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return arm
