"""The exported adapter in the hands of stock peft and transformers: the same model as the members trained."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from aggregator.export import write_peft
from clients.dataset import IGNORED, Blocks
from clients.trainer import Trainer, packed_logits
from federation import step
from federation.plan import Lora, Model, Optimizer, Plan, Scheme, Train
from federation.schemes import State, fedit
from tests.protocol.consortium import make_plan

LORA = Lora(r=3, alpha=7.5, targets=("q_proj", "down_proj"))
PLAN: Plan = replace(
    make_plan(("a", "b", "c")), job="溶接条件", lora=LORA, model=Model("小さなモデル", "ab" * 32, "float32", "cpu", 1)
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights, and a tokenizer of 64 words."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    LlamaForCausalLM(LlamaConfig(vocab_size=64, num_key_value_heads=1, **sizes)).save_pretrained(folder)
    words = {"<pad>": 0, "</s>": 1, **{f"w{number}": number for number in range(2, 64)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")  # noqa: S106
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trainer(base: Path) -> Trainer:
    return Trainer(base, PLAN.model, LORA)


@pytest.fixture(scope="module")
def state(trainer: Trainer) -> State:
    """Factors as after training: neither of them zero."""
    draw, first = np.random.default_rng(1), fedit.init(trainer.shapes, LORA, seed=1)
    return State(2, {name: draw.normal(0, 0.3, a.shape).astype(np.float32) for name, a in first.factors.items()})


def stock(base: Path, adapter: Path | None) -> Any:
    """Without any of our code."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # peft warns of missing and unexpected keys
        return model.eval() if adapter is None else PeftModel.from_pretrained(model, adapter).eval()


def test_stock_peft_computes_what_our_trainer_computes(
    base: Path, trainer: Trainer, state: State, tmp_path: Path
) -> None:
    write_peft(tmp_path, PLAN, state)
    ids = torch.arange(2 * 20).reshape(2, 20) * 7 % 62 + 2
    positions, labels = np.tile(np.arange(20, dtype=np.int32), (2, 1)), np.roll(ids.numpy(), -1, axis=1)
    labels[:, -1] = IGNORED
    with torch.inference_mode():
        theirs = stock(base, tmp_path)(input_ids=ids).logits
        untrained = stock(base, None)(input_ids=ids).logits
    ours = trainer.evaluate(state.factors, Blocks(ids.numpy().astype(np.int32), positions, labels.astype(np.int32)))
    loss = cross_entropy(theirs[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
    assert ours.nats == pytest.approx(float(loss), rel=1e-5)
    with torch.inference_mode():  # with the factors that `evaluate` left in place
        wanted = torch.ones_like(ids, dtype=torch.bool)
        logits = packed_logits(trainer._adapted.model, ids, torch.from_numpy(positions).long(), wanted)
    torch.testing.assert_close(logits, theirs.flatten(0, 1), rtol=1e-4, atol=1e-5)
    assert (untrained - theirs).abs().max() > 0.01


@pytest.mark.parametrize("name", ["fedit", "ffa", "rolora", "alternating", "fedsb"])
def test_every_schemes_export_has_the_loss_in_stock_peft_that_its_members_trained_to(
    base: Path, trainer: Trainer, tmp_path: Path, name: Any
) -> None:
    """Trained for a round, applied, exported, and computed by two programs."""
    plan = replace(PLAN, scheme=Scheme(name), train=Train(20, 40, 20, Optimizer("sgd", 300.0, 0.0)))
    ids = torch.arange(2 * 20).reshape(2, 20) * 7 % 62 + 2
    labels = np.roll(ids.numpy(), -1, axis=1)
    labels[:, -1] = IGNORED
    blocks = Blocks(ids.numpy().astype(np.int32), np.tile(np.arange(20, dtype=np.int32), (2, 1)), labels.astype("i4"))
    scheme, before = step.scheme_of(plan), step.first_state(plan, trainer.shapes)
    trained = trainer.train(before.factors, scheme.trainable(before), blocks, plan.train, 0).tensors
    after = step.next_state(plan, before, {n: a.astype("f8") for n, a in scheme.encode(before, trained).items()})
    write_peft(tmp_path, plan, after)
    with torch.inference_mode():
        logits = stock(base, tmp_path)(input_ids=ids).logits
    theirs = float(cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"))
    assert trainer.evaluate(after.factors, blocks).nats == pytest.approx(theirs, rel=1e-5)
    assert trainer.evaluate(scheme.export(after), blocks).nats == pytest.approx(theirs, rel=1e-5)
    assert trainer.evaluate(before.factors, blocks).nats - theirs > 0.01


def test_the_first_adapter_changes_nothing(base: Path, trainer: Trainer, tmp_path: Path) -> None:
    write_peft(tmp_path, PLAN, fedit.init(trainer.shapes, LORA, seed=1))
    ids = torch.arange(2, 22)[None]
    with torch.inference_mode():
        torch.testing.assert_close(stock(base, tmp_path)(ids).logits, stock(base, None)(ids).logits, rtol=0, atol=0)


class TestFiles:
    def test_are_the_same_bytes_for_the_same_factors(self, state: State, tmp_path: Path) -> None:
        shuffled = State(2, dict(reversed(list(state.factors.items()))))
        digests = [write_peft(tmp_path / name, PLAN, s) for name, s in (("a", state), ("b", shuffled))]
        assert digests[0] == digests[1]
        for file in ("adapter_model.safetensors", "adapter_config.json", "README.md"):
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()

    def test_differ_with_one_value(self, state: State, tmp_path: Path) -> None:
        name = min(state.factors)
        other = State(2, {**state.factors, name: np.nextafter(state.factors[name], np.float32(9))})
        assert write_peft(tmp_path / "a", PLAN, state) != write_peft(tmp_path / "b", PLAN, other)

    def test_replace_an_earlier_export(self, state: State, tmp_path: Path) -> None:
        (tmp_path / "adapter_model.safetensors").write_bytes(b"x" * 100_000)
        write_peft(tmp_path, PLAN, state)
        assert len(load_file(tmp_path / "adapter_model.safetensors")) == len(state.factors)

    def test_hold_the_factors_under_pefts_names(self, state: State, tmp_path: Path) -> None:
        write_peft(tmp_path, PLAN, state)
        found = load_file(tmp_path / "adapter_model.safetensors")
        assert "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight" in found
        for name, array in state.factors.items():
            np.testing.assert_array_equal(found[f"base_model.model.{name}.weight"], array)

    def test_say_how_to_apply_them(self, state: State, tmp_path: Path) -> None:
        write_peft(tmp_path, PLAN, state)
        config = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
        assert config == {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "小さなモデル",
            "r": 3,
            "lora_alpha": 7.5,
            "lora_dropout": 0.0,
            "target_modules": ["q_proj", "down_proj"],
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
        }

    def test_say_where_they_come_from(self, state: State, tmp_path: Path) -> None:
        write_peft(tmp_path, PLAN, state)
        card = (tmp_path / "README.md").read_text(encoding="utf-8")
        for fact in ("溶接条件", "小さなモデル", "ab" * 32, PLAN.digest().hex(), "3 members", "fedit"):
            assert fact in card
