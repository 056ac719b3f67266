"""A folder with one adapter as stock PEFT writes it, so that peft, transformers, vLLM and others load it without any of
our code. Tensors are named `MODULE.lora_A` and `MODULE.lora_B` here and `base_model.model.….weight` there."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from federation.errors import RengoError
from federation.plan import Lora
from federation.tensors import Array, Tensors

WEIGHTS, CONFIG, CARD = "adapter_model.safetensors", "adapter_config.json", "README.md"
_PREFIX, _SUFFIX = "base_model.model.", ".weight"
_LARGEST_CONFIG = 1 << 20


class AdapterInvalid(RengoError):
    """{path} holds no adapter for this plan: {detail}. Nothing was written. Ask the coordinator for the folder
    `adapter` of the job that this site took part in."""

    ja = (
        "{path} はこの計画の追加学習差分ではありません: {detail_ja}。何も書き込んでいません。"
        "この拠点が参加したジョブの `adapter` フォルダーを事務局に依頼してください。"
    )
    exit_code = 3


def write(folder: Path, factors: Tensors, lora: Lora, base_model: str, card: str) -> str:
    """Weights, configuration and card, each 0600; the hex SHA-256 of the weights. The same factors give the same
    bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {f"{_PREFIX}{name}{_SUFFIX}": np.ascontiguousarray(factors[name]) for name in sorted(factors)}
    weights = save(named, metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": lora.r,
        "lora_alpha": lora.alpha,
        "lora_dropout": 0.0,
        "target_modules": list(lora.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    _write(folder / WEIGHTS, weights)
    _write(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())
    _write(folder / CARD, card.encode())
    return hashlib.sha256(weights).hexdigest()


def read(folder: Path) -> dict[str, Array]:
    """The factors that `write` wrote, under our names."""
    loaded: dict[str, Array] = load_file(folder / WEIGHTS)
    return {name.removeprefix(_PREFIX).removesuffix(_SUFFIX): loaded[name] for name in sorted(loaded)}


def read_checked(folder: Path, shapes: Mapping[str, tuple[int, int]], lora: Lora) -> dict[str, Array]:
    """The factors in a folder that somebody handed over: float32, finite, of exactly these layers (module -> (out, in))
    and this rank and alpha. Raises AdapterInvalid."""

    def invalid(detail: str, detail_ja: str) -> AdapterInvalid:
        return AdapterInvalid(path=folder, detail=detail, detail_ja=detail_ja)

    config = _config(folder)
    if (config.get("peft_type"), config.get("r"), config.get("lora_alpha")) != ("LORA", lora.r, lora.alpha):
        detail = f"its configuration is not LORA of rank {lora.r} and alpha {lora.alpha:g}"
        raise invalid(detail, f"階数 {lora.r}、alpha {lora.alpha:g} の LORA ではありません")
    expected = {f"{name}.lora_A": (lora.r, inn) for name, (_, inn) in shapes.items()}
    expected |= {f"{name}.lora_B": (out, lora.r) for name, (out, _) in shapes.items()}
    path, size = folder / WEIGHTS, sum(4 * rows * columns for rows, columns in expected.values())
    try:
        if not path.is_file() or path.stat().st_size > size + (1 << 20):
            raise invalid(f"{WEIGHTS} is not there or larger than the plan's", f"{WEIGHTS} がないか、大きすぎます")
        factors = read(folder)
    except (SafetensorError, OSError, ValueError) as error:
        raise invalid(f"{WEIGHTS} cannot be read", f"{WEIGHTS} を読み込めません") from error
    if {name: array.shape for name, array in factors.items()} != expected:
        raise invalid("it is for other layers or another rank", "対象層または階数が異なります")
    if not all(array.dtype == np.float32 and np.isfinite(array).all() for array in factors.values()):
        raise invalid("its values are not finite float32 numbers", "float32 の有限の数値ではありません")
    return factors


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST_CONFIG))
    except (OSError, ValueError, RecursionError) as error:
        detail, detail_ja = f"{CONFIG} cannot be read", f"{CONFIG} を読み込めません"
        raise AdapterInvalid(path=folder, detail=detail, detail_ja=detail_ja) from error
    return found if isinstance(found, dict) else {}


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
