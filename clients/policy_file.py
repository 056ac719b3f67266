"""policy.toml: what this site permits, as its people wrote it down, and what in it a plan goes beyond."""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from clients.ingest.marks import MARKS
from clients.policy import Hours
from federation import settings
from federation.errors import Fault, Inconsistent, RengoError, SettingsFileInvalid
from federation.plan import Plan
from federation.settings import Range

ANY, NONE = "any", "none"

DEFAULT = """# What this site permits. Stop the member before you edit this, and start it again.
# A plan that goes beyond it cannot be approved; a round that does is refused, logged, and goes on without this site.
minimum_cohort      = 3       # smallest number of members in a sum; the protocol's own threshold is never lowered
rounds_per_data_set = 200     # how often this data may be in a sum, over all jobs: every sum leaks a little
rounds_per_plan     = 200     # the longest plan that may be approved
base_models         = ["any"] # SHA-256 of the base models that may be trained here, as `rengo member review` shows them
semi_malicious      = false   # true: permits plans that trust the coordinator while keys are collected (large cohorts)
training_hours      = "any"   # when a round may begin, local time: "20:00-06:00"
two_persons         = false   # true: who approves a plan has to be another person than who applied for it
automatic_approval  = false   # true: a running member asks for plans and approves one within these limits by itself
permitted_marks     = ["none"] # marks of confidentiality that documents may bear, such as ["社外秘"]: docs/ingest.md
"""


class PolicyInvalid(RengoError):
    """{path} has {count} fault(s); nothing was started:
    {listing}"""

    ja = "{path} に {count} 件の誤りがあります（何も開始していません）:\n{listing_ja}"
    exit_code = 2


class RefusedByPolicy(RengoError):
    """This site's policy does not permit it: {detail}."""

    ja = "社内許可条件により許可されません: {detail_ja}。"
    exit_code = 11


@dataclass(frozen=True)
class SitePolicy:
    """policy.toml; see DEFAULT for what each means."""

    minimum_cohort: Annotated[int, Range(3)]
    rounds_per_data_set: Annotated[int, Range(1)]
    rounds_per_plan: Annotated[int, Range(1)]
    base_models: tuple[str, ...]
    semi_malicious: bool
    training_hours: str
    two_persons: bool
    automatic_approval: bool
    permitted_marks: tuple[str, ...]

    @property
    def marks(self) -> frozenset[str]:
        """`permitted_marks`, none of them for `none`."""
        return frozenset(self.permitted_marks) - {NONE}

    @property
    def hours(self) -> Hours | None:
        """`training_hours`; None for any."""
        return hours(self.training_hours)


@dataclass(frozen=True)
class Breach:
    """One line of policy.toml that a plan goes beyond."""

    key: str
    line: int
    en: str
    ja: str


def read(path: Path) -> SitePolicy:
    """What the file says. Raises SettingsFileInvalid, or PolicyInvalid with every fault."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsFileInvalid(path=path, detail=error.strerror, detail_ja=error.strerror) from error
    return settings.of_file(path, data, lambda raw: settings.read(SitePolicy, raw, _faults), PolicyInvalid)


def breaches(path: Path, plan: Plan, contributions: int) -> list[Breach]:
    """Every line that `plan` goes beyond; `contributions`: how often this data set was in a sum already."""
    policy, text = read(path), path.read_text(encoding="utf-8")
    found = []

    def breach(key: str, en: str, ja: str) -> None:
        line = next(n for n, line in enumerate(text.splitlines(), 1) if re.match(rf'\s*"?{key}"?\s*=', line))
        found.append(Breach(key, line, en, ja))

    if len(plan.members) < policy.minimum_cohort:
        count = len(plan.members)
        breach("minimum_cohort", f"the plan has {count} members", f"計画の参加拠点は {count} です")
    # One more than the rounds that train: the last one measures the final adapter, on this data too.
    needed = plan.rounds + 1
    if contributions + needed > policy.rounds_per_data_set:
        breach(
            "rounds_per_data_set",
            f"this data was in {contributions} sums, and the plan adds up to {needed}",
            f"このデータは既に {contributions} 回の合計に参加し、計画でさらに最大 {needed} 回加わります",
        )
    if plan.rounds > policy.rounds_per_plan:
        breach("rounds_per_plan", f"the plan has {plan.rounds} rounds", f"計画は {plan.rounds} 回です")
    if plan.secagg.threat == "semi_malicious" and not policy.semi_malicious:
        breach(
            "semi_malicious",
            "the plan trusts the coordinator while keys are collected",
            "計画は、鍵を集める間は事務局を信頼します",
        )
    allowed = [model.lower() for model in policy.base_models]
    if ANY not in allowed and plan.model.sha256.lower() not in allowed:
        model = f"{plan.model.name} {plan.model.sha256}"
        breach("base_models", f"the plan's base model is {model}", f"計画の基盤モデルは {model} です")
    return found


def require_within(path: Path, plan: Plan, contributions: int) -> None:
    """Raises RefusedByPolicy, naming each line."""
    found = breaches(path, plan, contributions)
    if found:
        lines = [f"{path.name} line {b.line}, {b.key}: {b.en}" for b in found]
        lines_ja = [f"{path.name} {b.line} 行目 {b.key}: {b.ja}" for b in found]
        raise RefusedByPolicy(detail="; ".join(lines), detail_ja="、".join(lines_ja))


def _faults(values: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with values of the right type."""
    faults: list[Fault] = []
    for model in values.get("base_models", ()):
        if model != ANY and not re.fullmatch("[0-9a-fA-F]{64}", model):
            en, ja = (
                f"{model!r} is not {ANY!r} or a SHA-256 (64 hexadecimal digits)",
                f"{model!r} は SHA-256 ではありません",
            )
            faults.append(Inconsistent(where="base_models", detail=en, detail_ja=ja))
    for mark in values.get("permitted_marks", ()):
        if mark not in (*MARKS, NONE):
            known = ", ".join((*MARKS, NONE))
            en, ja = f"{mark!r} is none of {known}", f"{mark!r} は {known} のいずれでもありません"
            faults.append(Inconsistent(where="permitted_marks", detail=en, detail_ja=ja))
    faults += hours_faults("training_hours", values.get("training_hours", ANY))
    if values.get("two_persons") and values.get("automatic_approval"):
        en, ja = "two_persons = true needs persons: set one of them to false", "two_persons = true と両立しません"
        faults.append(Inconsistent(where="automatic_approval", detail=en, detail_ja=ja))
    return faults


def hours_faults(key: str, text: str) -> list[Fault]:
    """What is wrong with a part of the day, as `hours` takes it."""
    if text == ANY or hours(text) is not None:
        return []
    en, ja = f'{text!r} is not "any" or "HH:MM-HH:MM"', f'{text!r} は "any" でも "HH:MM-HH:MM" でもありません'
    return [Inconsistent(where=key, detail=en, detail_ja=ja)]


def hours(text: str) -> Hours | None:
    """A part of the day, written as 20:00-06:00; None for any, and for what is none."""
    match = re.fullmatch(r"(\d\d:\d\d)-(\d\d:\d\d)", text)
    if match is None:
        return None
    try:
        start, end = map(datetime.time.fromisoformat, match.groups())
    except ValueError:
        return None
    return Hours(start, end) if start != end else None
