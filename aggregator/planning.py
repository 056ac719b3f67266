"""`rengo coordinator plan`: from overrides to a plan that members can approve, and back from its file."""

import dataclasses
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from aggregator.simulate.config import ModelChoice
from federation import base_model, load_plan, step
from federation.errors import ConfigInvalid, Fault, Inconsistent, ModelFolderInvalid, RengoError
from federation.identity import Roster
from federation.plan import (
    Deadlines,
    Evaluation,
    Lora,
    Plan,
    Privacy,
    Scheme,
    SecAgg,
    ServerOptim,
    Train,
    check_consistent,
)
from federation.schemes.state import LayerShapes
from federation.settings import Range

DEMO_BASE = Path(__file__).parent / "simulate" / "demo" / "base"
_SEEDS = 2**31


class TooFewForAPlan(RengoError):
    """The roster (version {version}) has {count} member(s); secure aggregation needs at least 3. Invite more, have the
    root sign the new roster, and publish it."""

    ja = (
        "参加者名簿（版 {version}）の参加拠点は {count} です。秘匿集計には 3 以上が必要です。"
        "招待し、ルート鍵で名簿に署名し、公開してください。"
    )
    exit_code = 9


class PlanUnreadable(RengoError):
    """The plan {path} cannot be read: {detail}. `rengo coordinator plan job=NAME > plan.yaml` writes one."""

    ja = "計画 {path} を読めません: {detail_ja}。`rengo coordinator plan job=ジョブ名 > plan.yaml` で作成できます。"
    exit_code = 2


class NoSuchLayer(RengoError):
    """The base model has no matrix named {missing}, which `lora.targets` asks for."""

    ja = "`lora.targets` にある {missing} という行列は基盤モデルにありません。"
    exit_code = 3


@dataclass(frozen=True)
class PlanConfig:
    """The root of conf/plan.yaml: a plan before its members and its base model are known."""

    job: str
    model: ModelChoice
    lora: Lora
    train: Train
    scheme: Scheme
    server_optim: ServerOptim
    secagg: SecAgg
    privacy: Privacy
    evaluation: Evaluation
    deadlines: Deadlines
    rounds: Annotated[int, Range(1, 100_000)]
    seed: Annotated[int | Literal["auto"], Range(0, 2**63 - 1)]


def make_plan(overrides: Sequence[str], roster: Roster) -> tuple[Plan, dict[str, tuple[int, int]]]:
    """The plan for the roster's members, and the base model's matrix shapes. Raises ConfigInvalid with every fault,
    ModelFolderInvalid, TooFewForAPlan."""
    config = _configured(overrides)
    members = tuple(sorted(roster.keys))
    if len(members) < 3:
        raise TooFewForAPlan(version=roster.version, count=len(members))
    folder = Path(config.model.path) if config.model.path else DEMO_BASE
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    model = config.model.pinned(base_model.digest(folder))
    # Two jobs with one seed and the same settings would open with one adapter, and members reveal on an adapter once.
    seed = secrets.randbelow(_SEEDS) if config.seed == "auto" else config.seed
    found = {"consortium": roster.consortium, "members": members, "model": model, "seed": seed}
    plan = Plan(**(values | found))
    if faults := check_consistent(plan):
        raise ConfigInvalid(faults)
    shapes = base_model.linear_shapes(folder)
    # A scheme may not have the plan's rank for these layers. Now, and not when thirty sites have approved it.
    step.first_state(plan, layers(plan, shapes))
    return plan, shapes


def _configured(overrides: Sequence[str]) -> PlanConfig:
    """Raises ConfigInvalid with every fault, the model's folder among them where there are others."""
    try:
        return load_plan.compose(overrides, PlanConfig, "plan")
    except ConfigInvalid as error:
        raise ConfigInvalid([*error.faults, *_model_faults(overrides)]) from error


def _model_faults(overrides: Sequence[str]) -> list[Fault]:
    """What is wrong with the model's folder, when only the settings of the model are read."""
    about_model = [override for override in overrides if override.startswith(("model=", "model."))]
    try:
        path = load_plan.compose([*about_model, "job=any"], PlanConfig, "plan").model.path
        if path:
            base_model.check(Path(path))
    except ModelFolderInvalid as error:
        return [Inconsistent(where="model.path", detail=error.text("en"), detail_ja=error.text("ja"))]
    except ConfigInvalid:  # told already
        return []
    return []


def read_plan(path: Path) -> Plan:
    """A plan that `rengo coordinator plan` wrote. Raises PlanUnreadable or ConfigInvalid."""
    try:
        return load_plan.from_yaml(path.read_text(encoding="utf-8"), Plan)
    except FileNotFoundError as error:
        raise PlanUnreadable(path=path, detail="there is no such file", detail_ja="ファイルがありません") from error
    except UnicodeDecodeError as error:
        raise PlanUnreadable(path=path, detail="it is not UTF-8 text", detail_ja="UTF-8 ではありません") from error
    except OSError as error:
        raise PlanUnreadable(path=path, detail=error.strerror, detail_ja=error.strerror) from error


def layers(plan: Plan, shapes: Mapping[str, tuple[int, int]]) -> LayerShapes:
    """The shapes of the layers that get LoRA: those whose name ends in a target. Raises NoSuchLayer."""
    wanted = set(plan.lora.targets)
    found = {name: shape for name, shape in shapes.items() if name.rpartition(".")[2] in wanted}
    missing = sorted(wanted - {name.rpartition(".")[2] for name in found})
    if missing:
        raise NoSuchLayer(missing=", ".join(missing))
    return found


def shapes_from_json(text: str) -> dict[str, tuple[int, int]]:
    """What `json.dumps` made of shapes."""
    return {name: (rows, columns) for name, (rows, columns) in json.loads(text).items()}
