"""The trainer on tiny random models of other families: those that train, and those that it refuses and why."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from clients.dataset import Blocks
from clients.trainer import Trainer
from federation.errors import ModelFolderInvalid, RengoError, UnknownLoraTarget
from tests.unit.test_trainer import BASE, LORA, MODEL, blocks, factors_for, trainer, with_optimizer

__all__ = ["blocks", "trainer"]  # fixtures

COMMON: dict[str, Any] = {
    "vocab_size": 10240,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
NEWER = COMMON | {"num_key_value_heads": 2}


def tiny(path: Path, config: Any) -> Path:
    """A model of random weights with the demo's tokenizer, as a folder."""
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BASE / name, path)
    return path


@pytest.mark.parametrize(
    ("config", "targets"),
    [
        (transformers.LlamaConfig(**NEWER), ("q_proj", "down_proj")),
        (transformers.Qwen2Config(**NEWER), ("q_proj", "down_proj")),
        (transformers.Qwen3Config(**NEWER, head_dim=16), ("q_proj", "down_proj")),
        (transformers.MistralConfig(**NEWER, sliding_window=16), ("q_proj", "down_proj")),
        (transformers.Gemma3TextConfig(**NEWER, head_dim=16), ("q_proj", "down_proj")),
        (transformers.GPTNeoXConfig(**COMMON), ("query_key_value", "dense_4h_to_h")),
    ],
    ids=lambda value: getattr(value, "model_type", None),
)
def test_families_that_train(tmp_path: Path, blocks: Blocks, config: Any, targets: tuple[str, ...]) -> None:
    family = Trainer(tiny(tmp_path, config), MODEL, dataclasses.replace(LORA, targets=targets))
    factors = factors_for(family)
    trained = family.train(factors, factors.keys(), blocks, with_optimizer("adamw", 1e-2), seed=1).tensors
    assert family.evaluate(trained, blocks).nats < family.evaluate(factors, blocks).nats


@pytest.mark.parametrize(
    ("config", "targets", "error", "reason"),
    [
        (
            transformers.GPT2Config(vocab_size=10240, n_embd=64, n_layer=2, n_head=4, n_positions=128),
            ("c_attn",),
            UnknownLoraTarget,
            "no linear layer named c_attn",  # its layers are Conv1D
        ),
        (
            transformers.OPTConfig(**COMMON | {"ffn_dim": 96, "word_embed_proj_dim": 64}),
            ("q_proj",),
            ModelFolderInvalid,
            "does not keep packed documents apart",  # it counts positions by the mask
        ),
        (
            transformers.Lfm2Config(**NEWER, layer_types=["conv", "full_attention"]),
            ("q_proj",),
            ModelFolderInvalid,
            "does not keep packed documents apart",  # its convolutions run on into the next document
        ),
        (
            transformers.BloomConfig(vocab_size=10240, hidden_size=64, n_layer=2, n_head=4),
            ("query_key_value",),
            ModelFolderInvalid,
            "does not support an attention implementation",
        ),
    ],
    ids=lambda value: getattr(value, "model_type", None),
)
def test_families_that_are_refused(
    tmp_path: Path, config: Any, targets: tuple[str, ...], error: type[RengoError], reason: str
) -> None:
    folder = tiny(tmp_path, config)
    for dtype in ("float32", "bfloat16"):
        with pytest.raises(error, match=reason):
            Trainer(folder, dataclasses.replace(MODEL, dtype=dtype), dataclasses.replace(LORA, targets=targets))
