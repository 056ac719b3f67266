"""What a team without rengo would write: Hugging Face's `Trainer` with peft, one document a row, padded.

Its settings are those of rengo's trainer (same factors, AdamW, learning rate, no schedule, no clipping, all gradients'
means over tokens), and its own choices the sensible ones: dynamic padding, fused AdamW, no cache while training.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, TrainingArguments
from transformers import Trainer as StockTrainer
from transformers.trainer_callback import PrinterCallback

from clients.dataset import IGNORED, Blocks, Ids
from clients.trainer import LocalTokenizer
from federation import plan

Row = dict[str, list[int]]


@dataclass(frozen=True, eq=False)
class Trained:
    """All factors after training under rengo's names, and what it took. `text_tokens`: trained tokens but padding."""

    tensors: dict[str, NDArray[np.float32]]
    text_tokens: int
    padded_tokens: int
    steps: int
    seconds: float
    cpu_seconds: float


def rows(documents: Sequence[Ids], length: int) -> list[Row]:
    """One row a document; one that is longer than `length` is split into rows, so that none of its text is lost."""
    pieces = [document[at : at + length] for document in documents for at in range(0, len(document), length)]
    return [{"input_ids": piece.tolist(), "labels": piece.tolist()} for piece in pieces]


def documents_of(blocks: Blocks) -> list[Ids]:
    """The tokenised documents that were packed into `blocks`, which have to be in their order.

    A document ends where nothing is predicted; so does a part of one whose further labels are masked. Padding is all
    such ends.
    """
    ids, ends = blocks.ids.ravel(), np.flatnonzero(blocks.labels.ravel() == IGNORED) + 1
    return [piece for piece in np.split(ids, ends) if len(piece) > 1]


def share_of(given: Sequence[Row], round: int, tokens: int, seed: int) -> list[Row]:
    """The rows of a member's `round` (from 1): `tokens` tokens, on from where the last round ended, in shuffled order.

    The row in which the round ends is cut, so that every round has as many tokens as rengo's.
    """
    order = [given[i] for i in np.random.default_rng(seed).permutation(len(given))]
    lengths = np.array([len(row["input_ids"]) for row in order])
    at, taken, rest = (round - 1) * tokens % int(lengths.sum()), list[Row](), tokens
    index = int(np.searchsorted(np.cumsum(lengths), at, side="right"))
    start = at - int(lengths[:index].sum())
    while rest:
        row = order[index % len(order)]
        taken.append({key: values[start : start + rest] for key, values in row.items()})
        rest, start, index = rest - len(taken[-1]["input_ids"]), 0, index + 1
    return taken


def batch_size(given: Sequence[Row], tokens_per_step: int) -> int:
    """How many rows come nearest to a step's tokens, padding not counted."""
    return max(1, round(tokens_per_step * len(given) / sum(len(row["input_ids"]) for row in given)))


class _Counting(DataCollatorForSeq2Seq):
    """Pads to the longest row of a batch, and counts what it made."""

    made = 0

    def __call__(self, features: Any, return_tensors: Any = None) -> Any:
        # transformers leaves its collators without annotations.
        batch: Any = super().__call__(features, return_tensors)  # type: ignore[no-untyped-call]
        self.made += batch["input_ids"].numel()
        return batch


class HuggingFace:
    """One base with peft's factors on it, trained by the stock Trainer."""

    def __init__(self, folder: Path, model: plan.Model, lora: plan.Lora) -> None:
        torch.set_num_threads(model.threads)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.tokenizer = LocalTokenizer(folder)
        dtype = getattr(torch, model.dtype)
        base = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype)
        base.config.use_cache = False
        alpha: Any = lora.alpha
        config = LoraConfig(
            r=lora.r, lora_alpha=alpha, target_modules=list(lora.targets), lora_dropout=0.0, task_type="CAUSAL_LM"
        )
        self._model: Any = get_peft_model(base, config)
        named = ((name, p) for name, p in self._model.named_parameters() if p.requires_grad)
        self._parameters = {_our_name(name): parameter for name, parameter in named}

    def factors(self) -> dict[str, NDArray[np.float32]]:
        """As they stand."""
        return {name: p.detach().numpy().copy() for name, p in sorted(self._parameters.items())}

    def train(
        self, factors: Mapping[str, Any], given: list[Row], train: plan.Train, seed: int, grouped: bool = False
    ) -> Trained:
        """One pass over `given` from `factors`, in an order that `seed` shuffles. Timed without its own set-up."""
        self._copy_in(factors)
        collator = self._collator()
        with tempfile.TemporaryDirectory() as folder:
            arguments = _arguments(folder, train, batch_size(given, train.tokens_per_step), seed, grouped)
            dataset: Any = given
            trainer = StockTrainer(
                self._model, arguments, collator, train_dataset=dataset, processing_class=self._tokenizer
            )
            trainer.remove_callback(PrinterCallback)  # it prints to stdout
            started, cpu = time.perf_counter(), time.process_time()
            trainer.train()
            seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        text = sum(len(row["input_ids"]) for row in given)
        return Trained(self.factors(), text, collator.made, trainer.state.global_step, seconds, cpu)

    def evaluate(self, factors: Mapping[str, Any], given: Sequence[Row], tokens: int) -> float:
        """Nats a predicted token of padded rows, about `tokens` tokens a pass."""
        self._copy_in(factors)
        self._model.eval()
        collator, size = self._collator(), batch_size(given, tokens)
        nats, predicted = 0.0, 0
        with torch.inference_mode():
            for start in range(0, len(given), size):
                batch = collator([dict(row) for row in given[start : start + size]])
                count = int((batch["labels"][:, 1:] != IGNORED).sum())
                nats += float(self._model(**batch).loss) * count if count else 0.0
                predicted += count
        return nats / predicted

    def _collator(self) -> _Counting:
        return _Counting(self._tokenizer, padding="longest", label_pad_token_id=IGNORED)

    @torch.no_grad()
    def _copy_in(self, factors: Mapping[str, Any]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(torch.tensor(factors[name]))


def _arguments(folder: str, train: plan.Train, batch: int, seed: int, grouped: bool) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=batch,
        num_train_epochs=1,
        learning_rate=train.optimizer.learning_rate,
        weight_decay=train.optimizer.weight_decay,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        train_sampling_strategy="group_by_length" if grouped else "random",
        seed=seed,
        use_cpu=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def _our_name(name: str) -> str:
    """`base_model.model.<module>.lora_A.default.weight` as `<module>.lora_A`."""
    return name.removeprefix("base_model.model.").removesuffix(".default.weight")
