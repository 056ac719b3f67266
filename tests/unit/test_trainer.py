"""LoRA training on the demo's base; other families are in test_trainer_families.py."""

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from clients import trainer as trainer_module
from clients.dataset import IGNORED, Blocks, pack, tokenise
from clients.ingest import Document
from clients.trainer import Trainer, packed_logits
from federation import plan, tensors
from federation.errors import (
    ModelFolderInvalid,
    TrainingDiverged,
)
from federation.secagg.refusals import OutOfTime

BASE = Path(__file__).parents[2] / "aggregator/simulate/demo/base"
TEXTS = [
    "サーバーの設定ファイルを編集したあとは、必ず再起動してください。",
    "印刷する範囲を選択し、メニューから「書式」を開きます。",
    "データベースの索引は検索を速くしますが、更新は遅くなります。利用の状況をよく見て決めてください。",
    "図面の尺度を変更する。",
]
MODEL = plan.Model("demo", "0" * 64, "float32", "cpu", 1)
LORA = plan.Lora(r=4, alpha=8.0, targets=("q_proj", "down_proj"))
TRAIN = plan.Train(
    sequence_length=32, tokens_per_round=128, tokens_per_step=64, optimizer=plan.Optimizer("adamw", 1e-3, 0.0)
)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(BASE, MODEL, LORA)


@pytest.fixture(scope="module")
def blocks(trainer: Trainer) -> Blocks:
    documents = tokenise([Document(str(i), text) for i, text in enumerate(TEXTS)], trainer.tokenizer)
    return pack(documents, 32, trainer.tokenizer.pad_id)


def factors_for(trainer: Trainer, r: int = LORA.r) -> dict[str, np.ndarray]:
    """Random factors, both of them far from zero."""
    draw = np.random.default_rng(0)
    shapes = {f"{module}.lora_A": (r, size) for module, (_, size) in trainer.shapes.items()}
    shapes |= {f"{module}.lora_B": (size, r) for module, (size, _) in trainer.shapes.items()}
    return {name: draw.normal(0, 0.05, shape).astype(np.float32) for name, shape in sorted(shapes.items())}


def with_optimizer(name: Any, learning_rate: float, weight_decay: float = 0.0) -> plan.Train:
    return dataclasses.replace(TRAIN, optimizer=plan.Optimizer(name, learning_rate, weight_decay))


class TestPacking:
    """A packed document has to come out as it does alone. Two ways of calling the model that do not are planted."""

    def worst(self, trainer: Trainer, forward: Callable[..., torch.Tensor]) -> float:
        """The largest difference of a logit between packed documents and the same ones alone."""
        documents = [torch.tensor([trainer.tokenizer.bos_id, *trainer.tokenizer.encode(text)]) for text in TEXTS]
        positions = [torch.arange(len(document)) for document in documents]
        with torch.inference_mode():
            model = trainer._adapted.model
            packed = forward(model, torch.cat(documents)[None], torch.cat(positions)[None])
            alone = [forward(model, d[None], p[None]) for d, p in zip(documents, positions, strict=True)]
        return float((packed - torch.cat(alone)).abs().max())

    def test_is_right(self, trainer: Trainer) -> None:
        def ours(model: Any, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
            return packed_logits(model, ids, positions, torch.ones_like(ids, dtype=torch.bool))

        assert self.worst(trainer, ours) < 5e-5

    @pytest.mark.parametrize("leak", ["mask of ones", "default cache"])
    def test_planted_leaks_are_seen(self, trainer: Trainer, leak: str) -> None:
        def theirs(model: Any, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
            options: Any = (
                {} if leak == "default cache" else {"use_cache": False, "attention_mask": torch.ones_like(ids)}
            )
            logits: torch.Tensor = model(input_ids=ids, position_ids=positions, **options).logits[0]
            return logits

        assert self.worst(trainer, theirs) > 1

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
    def test_the_check_at_load_sees_a_planted_leak(self, monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
        def leaking(model: Any, ids: torch.Tensor, positions: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = model(input_ids=ids, position_ids=positions, logits_to_keep=wanted).logits
            return logits

        Trainer(BASE, dataclasses.replace(MODEL, dtype=dtype), LORA)
        monkeypatch.setattr(trainer_module, "packed_logits", leaking)
        with pytest.raises(ModelFolderInvalid, match="does not keep packed documents apart"):
            Trainer(BASE, dataclasses.replace(MODEL, dtype=dtype), LORA)

    def test_what_stands_before_a_document_does_not_change_its_loss(self, trainer: Trainer) -> None:
        first, other, document = tokenise(
            [Document("", text) for text in (TEXTS[0], TEXTS[1], TEXTS[2])], trainer.tokenizer
        )
        losses = []
        for before in (first, other):
            packed = pack([before[:12], document], 64, trainer.tokenizer.pad_id)
            packed.labels[:, :12] = IGNORED
            losses.append(trainer.evaluate(factors_for(trainer), packed).nats)
        assert losses[0] == losses[1]


class TestEvaluate:
    def test_is_the_sum_of_the_labels_losses(self, trainer: Trainer, blocks: Blocks) -> None:
        zero = {name: np.zeros_like(value) for name, value in factors_for(trainer).items()}
        evaluated = trainer.evaluate(zero, blocks)
        base = transformers.AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
        expected, tokens = 0.0, 0
        for ids, positions, labels in zip(blocks.ids, blocks.positions, blocks.labels, strict=True):
            for run in np.split(np.arange(len(ids)), np.flatnonzero(positions == 0)[1:]):
                with torch.no_grad():
                    logits = base(torch.from_numpy(ids[run]).long()[None]).logits[0]
                table = torch.log_softmax(logits.double(), dim=-1)
                predicting = [(row, int(label)) for row, label in enumerate(labels[run]) if label != IGNORED]
                expected -= sum(float(table[row, label]) for row, label in predicting)
                tokens += len(predicting)
        assert evaluated.tokens == tokens == blocks.predicted
        assert evaluated.nats == pytest.approx(expected, rel=1e-6)

    def test_counts_exactly_the_first_tokens(self, trainer: Trainer, blocks: Blocks) -> None:
        factors = factors_for(trainer)
        parts = [trainer.evaluate(factors, blocks.first(tokens)) for tokens in (40, 41)]
        assert [part.tokens for part in parts] == [40, 41]
        assert parts[1].nats > parts[0].nats

    def test_follows_the_factors(self, trainer: Trainer, blocks: Blocks) -> None:
        factors = factors_for(trainer)
        merged = {name: value * (2 if name.endswith("lora_B") else 0.5) for name, value in factors.items()}
        nats = trainer.evaluate(factors, blocks).nats
        assert trainer.evaluate(merged, blocks).nats == pytest.approx(nats, rel=1e-6), "only the product B A counts"
        assert trainer.evaluate({n: 2 * v for n, v in factors.items()}, blocks).nats != pytest.approx(nats, rel=1e-4)


class TestTrain:
    def test_lowers_the_loss(self, trainer: Trainer, blocks: Blocks) -> None:
        factors = factors_for(trainer)
        trained = trainer.train(factors, factors.keys(), blocks, with_optimizer("adamw", 5e-3), seed=1)
        before, after = (trainer.evaluate(each, blocks) for each in (factors, trained.tensors))
        assert after.nats < 0.95 * before.nats
        assert trained.tokens == blocks.predicted
        assert after.nats / after.tokens < trained.loss <= before.nats / before.tokens + 0.1
        assert trained.seconds > 0

    def test_is_bit_equal_when_repeated(self, trainer: Trainer, blocks: Blocks) -> None:
        factors = factors_for(trainer)
        one = trainer.train(factors, factors.keys(), blocks, TRAIN, seed=1)
        trainer.train({n: -v for n, v in factors.items()}, {min(factors)}, blocks, with_optimizer("sgd", 1.0), seed=2)
        trainer.evaluate({n: 3 * v for n, v in factors.items()}, blocks)
        two = trainer.train(factors, factors.keys(), blocks, TRAIN, seed=1)
        assert tensors.digest(one.tensors) == tensors.digest(two.tensors)
        assert one.loss == two.loss

    @pytest.mark.parametrize("dtype", ["bfloat16"])
    def test_is_bit_equal_in_another_process(self, dtype: Any) -> None:
        program = (
            "import dataclasses; from tests.unit.test_trainer import *;"
            f"t = Trainer(BASE, dataclasses.replace(MODEL, dtype={dtype!r}, threads=2), LORA); f = factors_for(t);"
            "d = tokenise([Document('', text) for text in TEXTS], t.tokenizer); b = pack(d, 32, t.tokenizer.pad_id);"
            "print(tensors.digest(t.train(f, f.keys(), b, TRAIN, seed=1).tensors).hex())"
        )
        command = [sys.executable, "-W", "ignore", "-c", program]
        running = [subprocess.Popen(command, cwd=BASE.parents[3], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        digests = [process.communicate(timeout=50)[0].strip() for process in running]
        assert len(digests[0]) == 64
        assert digests[0] == digests[1]

    @pytest.mark.parametrize("kind", ["lora_A", "lora_B"])
    def test_only_trainable_factors_change(self, trainer: Trainer, blocks: Blocks, kind: str) -> None:
        factors = factors_for(trainer)
        trainable = {name for name in factors if name.endswith(kind)}
        trained = trainer.train(factors, trainable, blocks, TRAIN, seed=1).tensors
        assert trained.keys() == factors.keys()
        for name, value in trained.items():
            assert value.dtype == np.float32
            assert np.array_equal(value, factors[name]) == (name not in trainable), name

    @pytest.mark.parametrize("name", ["adamw", "sgd"])
    def test_without_a_learning_rate_nothing_changes(self, trainer: Trainer, blocks: Blocks, name: str) -> None:
        factors = factors_for(trainer)
        trained = trainer.train(factors, factors.keys(), blocks, with_optimizer(name, 0.0, 0.1), seed=1).tensors
        assert tensors.digest(trained) == tensors.digest(factors)

    def test_does_not_write_into_what_it_was_given(self, trainer: Trainer, blocks: Blocks) -> None:
        factors = factors_for(trainer)
        first = trainer.train(factors, factors.keys(), blocks, TRAIN, seed=1).tensors
        kept = tensors.digest(first)
        trainer.train(first, factors.keys(), blocks, TRAIN, seed=1)
        assert tensors.digest(factors) == tensors.digest(factors_for(trainer))
        assert tensors.digest(first) == kept

    def test_a_step_is_on_the_mean_over_its_tokens_however_it_is_computed(
        self, trainer: Trainer, blocks: Blocks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Plain gradient descent shows the gradient itself; parts of one block each have to add up to the whole."""
        factors, one_step = (
            factors_for(trainer),
            dataclasses.replace(with_optimizer("sgd", 0.1), tokens_per_step=32 * len(blocks)),
        )
        whole = trainer.train(factors, factors.keys(), blocks, one_step, seed=1).tensors
        monkeypatch.setitem(trainer_module.PART_POSITIONS, "cpu", 32)
        parts = trainer.train(factors, factors.keys(), blocks, one_step, seed=1).tensors
        for name in factors:
            np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-7)
            assert not np.array_equal(whole[name], factors[name])
        name, index = "model.layers.3.mlp.down_proj.lora_B", (5, 2)
        losses = []
        for sign in (1, -1):
            nudged = {n: v.copy() for n, v in factors.items()}
            nudged[name][index] += sign * 0.05
            losses.append(trainer.evaluate(nudged, blocks).nats / blocks.predicted)
        slope = (losses[0] - losses[1]) / 0.1
        assert (factors[name] - whole[name])[index] / 0.1 == pytest.approx(slope, rel=0.02)

    def test_torchs_global_state_comes_back(self, trainer: Trainer, blocks: Blocks) -> None:
        def state() -> tuple[Any, ...]:
            memory: Any = torch.utils.deterministic
            mode = torch.get_deterministic_debug_mode()
            return torch.get_num_threads(), mode, memory.fill_uninitialized_memory, torch.get_rng_state().sum().item()

        factors, before = factors_for(trainer), state()
        trainer.train(factors, factors.keys(), blocks, TRAIN, seed=1)
        trainer.evaluate(factors, blocks)
        with pytest.raises(ValueError, match="another model"):
            trainer.evaluate({}, blocks)
        assert state() == before

    def test_divergence_is_an_error(self, trainer: Trainer, blocks: Blocks) -> None:
        factors = factors_for(trainer)
        with pytest.raises(TrainingDiverged, match="1e\\+30"):
            trainer.train(factors, factors.keys(), blocks, with_optimizer("sgd", 1e30), seed=1)

    def test_names_and_shapes_have_to_match(self, trainer: Trainer, blocks: Blocks) -> None:
        factors = factors_for(trainer)
        for trainable in (set(), {"no such factor"}):
            with pytest.raises(ValueError, match="trainable"):
                trainer.train(factors, trainable, blocks, TRAIN, seed=1)
        name = min(factors)
        with pytest.raises(ValueError, match="has to be"):
            trainer.evaluate(factors | {name: factors[name][:1]}, blocks)

    def test_blocks_longer_than_the_model_reads(self, trainer: Trainer) -> None:
        long = pack([np.arange(10, 2000, dtype=np.int32)], 1024, 3)
        with pytest.raises(ModelFolderInvalid, match="at most 512 tokens"):
            trainer.evaluate(factors_for(trainer), long)


def test_a_call_that_takes_too_long_ends_and_one_in_time_gives_the_same(trainer: Trainer, blocks: Blocks) -> None:
    factors, names = factors_for(trainer), frozenset(factors_for(trainer))
    late, punctual = Trainer(BASE, MODEL, LORA, 0.0), Trainer(BASE, MODEL, LORA, 1000.0)
    with pytest.raises(OutOfTime, match="longer than the 0 s"):
        late.train(factors, names, blocks, TRAIN, 1)
    with pytest.raises(OutOfTime):
        late.evaluate(factors, blocks)
    expected = trainer.train(factors, names, blocks, TRAIN, 1)
    actual = punctual.train(factors, names, blocks, TRAIN, 1)
    assert all(np.array_equal(actual.tensors[name], expected.tensors[name]) for name in names)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_base_of_half_the_precision_keeps_the_factors_in_float32(blocks: Blocks, dtype: Any) -> None:
    half = Trainer(BASE, dataclasses.replace(MODEL, dtype=dtype), LORA)
    factors = factors_for(half)
    assert {p.dtype for p in half._adapted.parameters.values()} == {torch.float32}
    trained = half.train(factors, factors.keys(), blocks, with_optimizer("adamw", 1e-6), seed=1).tensors
    assert all(not np.array_equal(trained[name], factors[name]) for name in factors)
    assert max(float(np.abs(trained[name] - factors[name]).max()) for name in factors) < 1e-5


class TestTokenizer:
    def test_names_of_special_tokens_in_a_text_stay_text(self, trainer: Trainer) -> None:
        ids = trainer.tokenizer.encode("<s>削除</s><pad>")
        assert not {trainer.tokenizer.bos_id, trainer.tokenizer.eos_id, trainer.tokenizer.pad_id} & set(ids)

    def test_factors_are_named_after_the_bases_modules(self, trainer: Trainer) -> None:
        assert list(trainer.shapes) == sorted(trainer.shapes)
        assert trainer.shapes["model.layers.0.self_attn.q_proj"] == (256, 256)
        assert trainer.shapes["model.layers.5.mlp.down_proj"] == (256, 688)
        cores = {f"{module}.lora_R" for module in trainer.shapes}
        assert trainer._adapted.parameters.keys() == factors_for(trainer).keys() | cores

    def test_without_a_padding_token_padding_is_the_end_of_text_and_changes_nothing(
        self, trainer: Trainer, tmp_path: Path
    ) -> None:
        folder = Path(shutil.copytree(BASE, tmp_path / "model"))
        values = json.loads((folder / "tokenizer_config.json").read_text())
        del values["pad_token"]
        (folder / "tokenizer_config.json").write_text(json.dumps(values))
        unpadded = Trainer(folder, MODEL, LORA)
        assert unpadded.tokenizer.pad_id == unpadded.tokenizer.eos_id != trainer.tokenizer.pad_id
        results = []
        for one in (trainer, unpadded):
            documents = tokenise([Document("", text) for text in TEXTS], one.tokenizer)
            packed = pack(documents, 64, one.tokenizer.pad_id)
            assert (packed.ids[packed.labels == IGNORED] == one.tokenizer.pad_id).sum() >= 8  # there is padding
            factors = factors_for(one)
            results.append(one.train(factors, factors.keys(), packed, with_optimizer("adamw", 1e-2), seed=1))
        assert results[0].loss == results[1].loss
        assert all(np.array_equal(results[0].tensors[name], results[1].tensors[name]) for name in factors)


class TestLineAfter:
    """What a model writes: the likeliest token each time."""

    def by_hand(self, trainer: Trainer, text: str, count: int) -> list[int]:
        """Without a cache: the whole text anew for each token."""
        ids = [trainer.tokenizer.bos_id, *trainer.tokenizer.encode(text)]
        start = len(ids)
        with torch.inference_mode():
            for _ in range(count):
                row = torch.tensor([ids])
                wanted = torch.arange(len(ids))[None] == len(ids) - 1
                logits = packed_logits(trainer._adapted.model, row, torch.arange(len(ids))[None], wanted)
                ids.append(int(logits[0].argmax()))
        return ids[start:]

    def test_is_what_the_whole_text_read_anew_for_each_token_gives(self, trainer: Trainer) -> None:
        factors = {name: 8 * value for name, value in factors_for(trainer).items()}
        for text in TEXTS:
            written = trainer.line_after(factors, text[:8], 12)
            expected = trainer.tokenizer.decode(self.by_hand(trainer, text[:8], 12))
            assert written == expected.partition("\n")[0] != ""
            assert written == trainer.line_after(factors, text[:8], 12)

    def test_ends_with_the_line(self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
        zero = {name: np.zeros_like(value) for name, value in factors_for(trainer).items()}
        one, other = trainer.tokenizer.encode("一"), trainer.tokenizer.encode("\n二")
        for tokens, line in (
            ([*one, *other], "一"),
            ([*one, trainer.tokenizer.eos_id, *one], "一"),
            (one * 9, "一一一"),
        ):
            monkeypatch.setattr(trainer_module, "likeliest", lambda model, ids, tokens=tokens: iter(tokens))
            assert trainer.line_after(zero, "零", 3 * len(one)) == line

    def test_depends_on_the_factors(self, trainer: Trainer) -> None:
        some = factors_for(trainer)
        lines = [trainer.line_after({n: by * v for n, v in some.items()}, TEXTS[0][:8], 12) for by in (0, 8)]
        assert lines[0] != lines[1]

    def test_more_than_the_model_reads_is_refused(self, trainer: Trainer) -> None:
        with pytest.raises(ModelFolderInvalid, match="at most 512 tokens, prompt is"):
            trainer.line_after(factors_for(trainer), "鉄" * 20, 600)


def test_a_core_descends_along_the_gradient_that_the_chain_rule_gives(trainer: Trainer, blocks: Blocks) -> None:
    """W + s B R A: what plain descent takes from A' = R A, seen through A, is what it takes from R."""
    plain, rate = factors_for(trainer), with_optimizer("sgd", 0.5)
    draw = np.random.default_rng(3)
    cores = {f"{module}.lora_R": draw.normal(0, 0.5, (LORA.r, LORA.r)).astype(np.float32) for module in trainer.shapes}
    whole = {f"{module}.lora_A": cores[f"{module}.lora_R"] @ plain[f"{module}.lora_A"] for module in trainer.shapes}
    two = blocks[:2]
    by_core = trainer.train({**plain, **cores}, cores.keys(), two, rate, seed=1)
    by_a = trainer.train({**plain, **whole}, whole.keys(), two, rate, seed=1)
    assert by_core.loss == pytest.approx(by_a.loss, rel=1e-5)
    for module in trainer.shapes:
        name, a = f"{module}.lora_R", plain[f"{module}.lora_A"]
        expected = (by_a.tensors[f"{module}.lora_A"] - whole[f"{module}.lora_A"]) @ a.T
        np.testing.assert_allclose(
            by_core.tensors[name] - cores[name], expected, atol=2e-6 + 1e-3 * np.abs(expected).max()
        )
        np.testing.assert_array_equal(by_core.tensors[f"{module}.lora_A"], a)
    assert trainer.train(plain, plain.keys(), two, rate, seed=1).tensors.keys() == plain.keys()
