"""A job's adapter as a folder for stock PEFT."""

import json
from pathlib import Path

from federation import peft_folder, step
from federation.plan import Plan
from federation.schemes import State

_CARD = """---
library_name: peft
base_model: {quoted}
---
LoRA adapter of job `{job}` ({consortium}): {members} members, {rounds} rounds, scheme `{scheme}`, secure aggregation.

Base model: `{name}`, SHA-256 of its files `{model}`. Plan: `{plan}`.
"""


def write_peft(folder: Path, plan: Plan, state: State) -> str:
    """Write the state's plain LoRA factors; the hex SHA-256 of the weights."""
    card = _CARD.format(
        name=plan.model.name,
        quoted=json.dumps(plan.model.name, ensure_ascii=False),
        job=plan.job,
        consortium=plan.consortium,
        members=len(plan.members),
        rounds=state.round,
        scheme=plan.scheme.name,
        model=plan.model.sha256,
        plan=plan.digest().hex(),
    )
    return peft_folder.write(folder, step.scheme_of(plan).export(state), plan.lora, plan.model.name, card)
