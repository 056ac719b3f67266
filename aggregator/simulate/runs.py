"""Finished runs of `rengo simulate`, read from their folders."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.differences import judge
from aggregator.simulate.report import METRICS, Line, read_lines
from aggregator.simulate.summary import losses_by_round
from federation import load_plan
from federation.errors import RengoError
from federation.plan import Plan

_PLACES = {"arms.cache", "data.path", "data.domains"}
"""Settings that say where something lies on one machine; what lay there is in the hashes."""


class NothingToCompare(RengoError):
    """No finished run of `rengo simulate` in {path} (no summary.json). An unfinished one goes on with resume=."""

    ja = "{path} に完了した実行がありません（summary.json なし）。中断した実行は resume= で続けられます。"
    exit_code = 2


class RunUnreadable(RengoError):
    """{path} cannot be compared: {detail}. Run it again with this version."""

    ja = "{path} は比較できません: {detail}。この版で実行し直してください。"
    exit_code = 3


@dataclass(frozen=True)
class Curve:
    """A run's validation loss against the base model's (nats a token): after how many rounds, MB that a member had
    sent, thousands of tokens and seconds that all members together had trained by then."""

    rounds: Sequence[int]
    changes: Sequence[float]
    megabytes: Sequence[float]
    kilotokens: Sequence[float]
    seconds: Sequence[float]


@dataclass(frozen=True)
class Run:
    """One finished run. `settings`: all that has to be the same in runs of one row, flat: not the seed. `yardstick`:
    base model and test text, without which figures of two runs have nothing to do with each other."""

    path: Path
    settings: Mapping[str, Any]
    summary: Line
    curve: Curve
    arms: Line

    @property
    def seed(self) -> int:
        """Of the job."""
        return int(self.summary["seed"])

    @property
    def yardstick(self) -> tuple[str, str]:
        """SHA-256 of the base model, and of the members' test texts as blocks of tokens."""
        return self.summary["model"]["sha256"], self.summary["test"]["sha256"]

    @property
    def domains(self) -> list[str]:
        """Of each member."""
        return [self.summary["domains"][member] for member in self.summary["member_ids"]]


def find_runs(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Folders of finished runs in or below `paths`, each once, in order, and of those that began and did not finish."""
    finished, begun = list[Path](), list[Path]()
    for path in paths:
        below = sorted({file.parent for file in path.rglob("summary.json")}, key=_by_number)
        if not below:
            raise NothingToCompare(path=path)
        finished += below
        begun += sorted({file.parent for file in path.rglob("config.yaml")} - set(below), key=_by_number)
    return _once(finished), _once(begun)


def _once(paths: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys(path.resolve() for path in paths))


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Jobs of a sweep in the order of their numbers: 2 before 10."""
    return [(int(part) if part.isdigit() else -1, part) for part in path.parts]


def read_run(path: Path) -> Run:
    """The run in `path`. Raises RunUnreadable."""
    try:
        return _read(path)
    except OSError as error:
        raise RunUnreadable(path=path, detail=f"{Path(str(error.filename)).name}: {error.strerror}") from error
    except RunUnreadable:
        raise
    except RengoError as error:
        raise RunUnreadable(path=path, detail=f"config.yaml or plan.yaml: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RunUnreadable(path=path, detail="a file of its results is damaged or of another version") from error


def _read(path: Path) -> Run:
    config = load_plan.from_yaml((path / "config.yaml").read_text(encoding="utf-8"), SimulateConfig)
    summary, arms = (json.loads((path / name).read_text(encoding="utf-8")) for name in ("summary.json", "arms.json"))
    plan = load_plan.from_yaml((path / "plan.yaml").read_text(encoding="utf-8"), Plan)
    start, *lines = read_lines(path / METRICS)
    if plan.digest().hex() != start["plan"]:
        raise RunUnreadable(path=path, detail="plan.yaml is not the plan that ran")
    tree = {
        **asdict(plan),
        "arms": asdict(config.arms),
        "data": asdict(config.data),
        "dropouts": asdict(config.dropouts),
    }
    settings = {key: value for key, value in _flat(tree) if key not in _PLACES | {"seed"}}
    members = settings["members"]
    settings["members"] = f"{len(members)}:{sha256(repr(members).encode()).hexdigest()[:6]}"
    settings["documents"] = start["documents"][:12]
    run = Run(path, settings, summary, _curve([line for line in lines if line["event"] == "round"]), arms)
    asked = ("adapter_sha256", "chosen_round", "machine", "versions", "seconds", "trained_tokens", "differences")
    tests = {name: arm["test"] for name, arm in arms["arms"].items()}
    _ = judge(arms["characters"], tests, summary["member_ids"])  # with the next line all that is asked for later
    _ = (run.seed, run.yardstick, run.domains, [summary[key] for key in asked])
    return run


def _curve(rounds: list[Line]) -> Curve:
    losses, training = losses_by_round(rounds), [line for line in rounds if "secure_vs_plain" in line]

    def total(each: list[float]) -> list[float]:
        """Up to and with each round in which the loss was measured."""
        summed = [0.0, *np.cumsum(each)]
        return [float(summed[after]) for after in measured]

    measured = sorted(losses)
    return Curve(
        measured,
        [losses[after] - losses[measured[0]] for after in measured],
        total([line["bytes_up"] / line["survivors"] / 1e6 for line in training]),  # by those in the sum
        total([line["trained_tokens"] / 1e3 for line in training]),
        total([line["train_seconds"] for line in training]),
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
