"""What `rengo simulate` is configured with: a plan before its members and its base model are known."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from federation.errors import ConfigInvalid, Inconsistent, ModelMismatch
from federation.plan import (
    Deadlines,
    Evaluation,
    Lora,
    Model,
    Plan,
    Privacy,
    Scheme,
    SecAgg,
    ServerOptim,
    Train,
    check_consistent,
)
from federation.settings import Range

Control = Literal["none", "shuffled", "unrelated"]
"""Of members from whom nothing can be gained; see aggregator/simulate/controls.py."""


@dataclass(frozen=True)
class ModelChoice:
    """The base model: a local Hugging Face folder, or the demo model inside rengo when `path` is null.

    `lora_targets`: the linear layers of its family, what `lora.targets` is unless it is given.
    """

    path: str | None
    name: str | None
    sha256: str | None
    dtype: Literal["float32", "bfloat16", "float16"]
    device: str
    threads: Annotated[int, Range(1, 1024)]
    lora_targets: tuple[str, ...]

    def pinned(self, sha256: str) -> Model:
        """This choice as every member has to have it: by the hash of what was found. Raises ModelMismatch when that is
        not the one that was asked for."""
        if self.sha256 is not None and self.sha256.lower() != sha256:
            raise ModelMismatch(path=self.path or "(demo)", expected=self.sha256.lower(), actual=sha256)
        name = self.name or (Path(self.path).name if self.path else "rengo-demo-base")
        return Model(name=name, sha256=sha256, dtype=self.dtype, device=self.device, threads=self.threads)


@dataclass(frozen=True)
class DataChoice:
    """The documents: a folder with one folder a member, or the thirty demo members when `path` is null.

    `domains`: a JSON file, member -> what its documents are about. `control`: see aggregator/simulate/controls.py.
    """

    path: str | None
    domains: str | None
    control: Control


@dataclass(frozen=True)
class ArmsChoice:
    """Which arms stand beside base and federated, and how they are trained; see aggregator/simulate/arms.py."""

    local: bool
    pooled: bool
    personalised: bool
    plain: bool
    personalised_rounds: Annotated[int, Range(1, 100_000)]
    personalised_learning_rate: Annotated[float | None, Range(1e-12)]
    local_learning_rate: Annotated[float | None, Range(1e-12)]
    pooled_learning_rate: Annotated[float | None, Range(1e-12)]
    pooled_tokens_per_step: Annotated[int | None, Range(8)]
    cache: str | None


@dataclass(frozen=True)
class ProbesChoice:
    """What base and federated adapter are asked and read beside the members' documents; see probes.py. `path`: a folder
    with questions.jsonl and general.txt, those inside rengo when null. `every_arm`: ask the other arms' adapters too.
    """

    questions: bool
    general: bool
    path: str | None
    every_arm: bool = False  # as runs were before the setting came


@dataclass(frozen=True)
class Dropouts:
    """How many members leave in the middle of each round."""

    each_round: Annotated[int | Literal["auto"], Range(0)]

    def count(self, plan: Plan) -> int:
        """How many members each round loses: `auto` is a tenth of them, or as many as can be lost."""
        return min(round(len(plan.members) / 10), spared(plan)) if self.each_round == "auto" else self.each_round


def spared(plan: Plan) -> int:
    """How many members each round can lose. Half of those that it can do without, because a member lost while one
    round agrees on or opens its sum is missing from the next round too."""
    return plan.spare // 2


@dataclass(frozen=True)
class SimulateConfig:
    """The root of conf/simulate.yaml."""

    consortium: str
    job: str
    carrier: Literal["in_process"]
    model: ModelChoice
    lora: Lora
    train: Train
    scheme: Scheme
    server_optim: ServerOptim
    secagg: SecAgg
    privacy: Privacy
    evaluation: Evaluation
    deadlines: Deadlines
    arms: ArmsChoice
    probes: ProbesChoice
    data: DataChoice
    dropouts: Dropouts
    rounds: Annotated[int, Range(1, 100_000)]
    seed: Annotated[int, Range(0, 2**63 - 1)]
    workers: Annotated[int | Literal["auto"], Range(1, 1024)]

    @property
    def worker_count(self) -> int:
        """How many members train at once: `auto` is as many as this process's cores hold, and on a GPU one."""
        if self.workers != "auto":
            return self.workers
        return max(_cores() // self.model.threads, 1) if self.model.device == "cpu" else 1

    def plan(self, members: tuple[str, ...], model_sha256: str) -> Plan:
        """The job's plan, or ConfigInvalid: now that the members are known, their number has to fit the settings."""
        plan = Plan(
            consortium=self.consortium,
            job=self.job,
            members=members,
            rounds=self.rounds,
            seed=self.seed,
            model=self.model.pinned(model_sha256),
            lora=self.lora,
            train=self.train,
            scheme=self.scheme,
            server_optim=self.server_optim,
            secagg=self.secagg,
            privacy=self.privacy,
            evaluation=self.evaluation,
            deadlines=self.deadlines,
        )
        faults = check_consistent(plan)
        spare = spared(plan)
        if self.dropouts.count(plan) > spare:
            faults.append(
                Inconsistent(
                    where="dropouts.each_round",
                    detail=f"of {len(members)} members a round can lose {spare}, not {self.dropouts.each_round}",
                    detail_ja=f"{len(members)} 拠点で失ってよいのは {spare} まで（{self.dropouts.each_round} は不可）",
                )
            )
        if faults:
            raise ConfigInvalid(faults)
        return plan


def _cores() -> int:
    """Cores for this process: the machine's, or as many as OMP_NUM_THREADS leaves it. With that, joblib deals the cores
    to the jobs that it runs side by side."""
    cores, share = os.cpu_count() or 1, os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(share)) if share.isdigit() and int(share) else cores
