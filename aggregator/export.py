"""An adapter as stock PEFT writes it, so that peft, transformers, vLLM and others load it without any of our code."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from federation import step
from federation.plan import Plan
from federation.schemes import State
from federation.tensors import Array

_CARD = """---
library_name: peft
base_model: {quoted}
---
LoRA adapter of job `{job}` ({consortium}): {members} members, {rounds} rounds, scheme `{scheme}`, secure aggregation.

Base model: `{name}`, SHA-256 of its files `{model}`. Plan: `{plan}`.
"""


def write_peft(folder: Path, plan: Plan, state: State) -> str:
    """Write `adapter_model.safetensors`, `adapter_config.json` and a card; the hex SHA-256 of the first.

    The same factors give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    factors = step.scheme_of(plan).export(state)
    named = {f"base_model.model.{n}.weight": np.ascontiguousarray(factors[n]) for n in sorted(factors)}
    weights = save(named, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": plan.model.name,
        "r": plan.lora.r,
        "lora_alpha": plan.lora.alpha,
        "lora_dropout": 0.0,
        "target_modules": list(plan.lora.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
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
    _write(folder / "adapter_model.safetensors", weights)
    _write(folder / "adapter_config.json", (json.dumps(config, indent=2) + "\n").encode())
    _write(folder / "README.md", card.encode())
    return hashlib.sha256(weights).hexdigest()


def read_peft(folder: Path) -> dict[str, Array]:
    """The factors that `write_peft` wrote, under our names."""
    loaded: dict[str, Array] = load_file(folder / "adapter_model.safetensors")
    return {name.removeprefix("base_model.model.").removesuffix(".weight"): loaded[name] for name in sorted(loaded)}


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
