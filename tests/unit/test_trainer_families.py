"""The trainer on tiny random models of other families: those that train, and those that it refuses and why."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers

from aggregator.export import write_peft
from aggregator.simulate.config import SimulateConfig
from clients.dataset import Blocks
from clients.trainer import Trainer
from federation import base_model, load_plan, step
from federation.base_model import FAMILIES
from federation.errors import ModelFolderInvalid, RengoError, UnknownLoraTarget
from tests.unit.test_config import CONF
from tests.unit.test_trainer import BASE, LORA, MODEL, TRAIN, blocks, factors_for, trainer, with_optimizer

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


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2}

# What stands behind each option of conf/model, with what is special about the family: biases, tied weights, RoPE.
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
OPTIONS = [
    ("llm_jp", transformers.LlamaConfig(**COMMON)),
    ("sarashina", transformers.LlamaConfig(**NEWER, head_dim=32)),
    ("tinyswallow", transformers.Qwen2Config(**NEWER, tie_word_embeddings=True)),
    ("swallow", transformers.LlamaConfig(**NEWER, rope_parameters=LLAMA3_ROPE)),
    ("swallow", transformers.MistralConfig(**NEWER)),
    ("swallow", transformers.Qwen3Config(**NEWER, head_dim=16)),
]


def option(name: str) -> SimulateConfig:
    return load_plan.compose([f"model={name}", "model.path=./model"], SimulateConfig, "simulate")


@pytest.mark.parametrize(("name", "config"), OPTIONS, ids=[f"{name}-{config.model_type}" for name, config in OPTIONS])
def test_an_option_of_conf_model_trains_and_exports(tmp_path: Path, blocks: Blocks, name: str, config: Any) -> None:
    """As configured, in bfloat16: its targets are all linear layers of the family, and PEFT alone reads the result."""
    assert name in FAMILIES[config.model_type]
    chosen, folder = option(name), tiny(tmp_path / "model", config)
    made = dataclasses.replace(chosen, train=TRAIN).plan(("a", "b", "c"), base_model.digest(folder))
    family = Trainer(folder, made.model, made.lora)
    linear = transformers.AutoModelForCausalLM.from_config(config).named_modules()
    named = {n for n, module in linear if isinstance(module, torch.nn.Linear) and n != "lm_head"}
    assert set(family.shapes) == named

    first = step.first_state(made, family.shapes)
    factors = step.scheme_of(made).export(first)
    trained = family.train(factors, factors.keys(), blocks, with_optimizer("adamw", 1e-2), seed=1).tensors
    before, after = family.evaluate(factors, blocks).nats, family.evaluate(trained, blocks).nats
    assert after < before

    write_peft(tmp_path / "adapter", made, dataclasses.replace(first, factors=trained))
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    stock = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")
    loaded = {n.removeprefix("base_model.model."): p for n, p in stock.named_parameters() if "lora_" in n}
    assert len(loaded) == len(trained)
    for key, value in trained.items():
        assert np.array_equal(loaded[f"{key}.default.weight"].detach().float().numpy(), value)


def test_each_option_is_tried_and_each_hint_names_one() -> None:
    options = {file.stem for file in CONF.glob("model/*.yaml")} - {"demo_base", "plamo"}
    assert {name for name, _ in OPTIONS} == options == {name for names in FAMILIES.values() for name in names}


def test_plamo_is_still_unknown_to_transformers() -> None:
    """conf/model/plamo.yaml says so. When this fails, PLaMo has come: try it, and rewrite what the file says."""
    assert [name for name in transformers.CONFIG_MAPPING if "plamo" in name] == []
    assert option("plamo").lora.targets == ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")


@pytest.mark.parametrize(
    "config",
    [
        transformers.MixtralConfig(**NEWER, **EXPERTS, num_local_experts=4),
        transformers.Qwen3MoeConfig(**NEWER, **EXPERTS, head_dim=16, num_experts=4, moe_intermediate_size=32),
    ],
    ids=lambda config: config.model_type,
)
def test_mixtures_of_experts_train_by_their_attention(tmp_path: Path, blocks: Blocks, config: Any) -> None:
    folder = tiny(tmp_path, config)
    with pytest.raises(UnknownLoraTarget) as caught:
        Trainer(folder, MODEL, option("swallow").lora)
    assert set(str(caught.value.facts["available"]).split(", ")) == set(ATTENTION)
    family = Trainer(folder, MODEL, dataclasses.replace(LORA, targets=ATTENTION))
    factors = factors_for(family)
    trained = family.train(factors, factors.keys(), blocks, with_optimizer("adamw", 1e-2), seed=1).tensors
    assert family.evaluate(trained, blocks).nats < family.evaluate(factors, blocks).nats


@pytest.mark.parametrize(
    ("config", "targets", "error", "reason"),
    [
        (
            transformers.Gemma2Config(**NEWER, head_dim=16),
            ("q_proj",),
            ModelFolderInvalid,
            "does not support an attention implementation",  # conf/model/swallow.yaml says so of Gemma-2-Llama-Swallow
        ),
        (
            transformers.GptOssConfig(**NEWER, **EXPERTS, head_dim=16, num_local_experts=4),
            ("q_proj",),
            ModelFolderInvalid,
            "does not support an attention implementation",  # and of GPT-OSS-Swallow
        ),
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
