"""LoRA training and evaluation of one base model. Only this file imports transformers and peft; torch, kernels.py
and determinism.py too.

One `Trainer` serves every member of a process: the base is frozen, and a member differs only by its LoRA factors,
which each call copies in. Optimiser state starts anew with each call. Several threads may train at once: each has
factors of its own, and the base is there once.
"""

import copy
import math
import os
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

# Read when torch loads its OpenMP. By default its threads wait for each other by spinning, and with any other work on
# the machine they mostly spin: two threads on two cores then trained 200 to 1,300 tokens a second instead of 5,000.
# With this they train 3,500, and as fast as before on an idle machine. Nothing of the results changes.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from clients.dataset import IGNORED, Blocks, begun
from clients.determinism import device_of, exact
from clients.kernels import cross_entropy, fuse_lora
from federation import plan
from federation.base_model import FAMILIES, check, invalid
from federation.errors import TrainingDiverged, UnknownLoraTarget
from federation.secagg.refusals import OutOfTime
from federation.tensors import Array, Tensors

# What transformers would print about a folder is raised as an error here, or matters to nobody.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

CORE = ".lora_R"

# Positions in one forward pass; a step sums gradients over such parts. 512: about the fastest on one CPU thread.
PART_POSITIONS = {"cpu": 512, "cuda": 8192}

# How far a packed document's logits may be from the same document's alone (root mean square, relative). On our demo
# base rounding gives 4e-7, 1e-3 and 7e-3, and a leak from the document before 0.17 to 0.64.
PACKING_TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}

# How far they may move, at any position, when only the document before changes. Equal shapes leave no rounding, but for
# mixtures of experts (2e-7). Short convolutions and state spaces that run on into the next document give 1e-3 and more.
LEAK_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Trained:
    """All factors after training, by name; `loss`: mean nats a predicted token, over the run; time in seconds."""

    tensors: dict[str, Array]
    loss: float
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """`nats`: the summed loss over `tokens` predicted tokens."""

    nats: float
    tokens: int


class LocalTokenizer:
    """A folder's tokenizer, as `clients.dataset.Tokenizer` wants it."""

    def __init__(self, folder: Path) -> None:
        # For a tokenizer.model alone, transformers needs sentencepiece, and when that fails speaks of tiktoken.
        alone = not any((folder / name).exists() for name in ("tokenizer.json", "vocab.json", "vocab.txt"))
        en, ja = "its tokenizer does not load", "トークナイザーを読み込めません"
        if alone:
            en, ja = f"{en} (there is no tokenizer.json; save one with sentencepiece)", f"{ja}（tokenizer.json なし）"
        with _loading(folder, en, ja):
            loaded: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if loaded.eos_token_id is None:
            raise invalid(folder, "its tokenizer has no end-of-text token", "トークナイザーに終端トークンがありません")
        self._tokenizer, self.size = loaded, len(loaded)
        self.bos_id: int | None = loaded.bos_token_id
        self.eos_id: int = loaded.eos_token_id
        # Llama 3's tokenizer, for one, has no padding token. Padding is a run of its own behind the last document of a
        # block, predicts nothing and is seen by nothing: any id that the model knows will do.
        self.pad_id: int = loaded.eos_token_id if loaded.pad_token_id is None else loaded.pad_token_id

    def encode(self, text: str) -> list[int]:
        """Token ids of `text` alone. `<s>` or `</s>` in a text (HTML strikes out with them) stay mere characters."""
        return list(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False).input_ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class Trainer:
    """A frozen base with LoRA factors on it.

    Tensors are named `<module>.lora_A` (r, in) and `<module>.lora_B` (out, r), `<module>` as in the base model, and
    are float32 over a base of any dtype. With `<module>.lora_R` (r, r) of each, a layer is W + (alpha / r) B R A.
    `shapes`: module -> (out, in) for every LoRA target, sorted by name.

    Making one raises ModelFolderInvalid (the folder does not load, or the model cannot keep packed documents apart),
    UnknownLoraTarget or DeviceUnavailable.

    Any thread may call at any time, with the same results: it gets modules and factors of its own over the same base.
    A call that takes longer than `seconds` ends with OutOfTime, within one forward pass.
    """

    def __init__(self, folder: Path, model: plan.Model, lora: plan.Lora, seconds: float = math.inf) -> None:
        check(folder)
        self._folder, self._threads, self._seconds = folder, model.threads, seconds
        self._device = device_of(model.device)
        self.tokenizer = LocalTokenizer(folder)
        base = _load(folder, getattr(torch, model.dtype)).to(self._device)
        if self.tokenizer.size > base.get_input_embeddings().num_embeddings:
            raise invalid(folder, "its tokenizer has more tokens than its weights", "語彙の数が重みの数を超えています")
        self.shapes: Mapping[str, tuple[int, int]] = _target_shapes(base, lora.targets)
        with exact(0, self._threads, self._device):
            alpha: Any = lora.alpha  # peft says int, and computes with floats
            config = LoraConfig(r=lora.r, lora_alpha=alpha, target_modules=list(self.shapes), lora_dropout=0.0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # peft calls what transformers has renamed
                # No dropout anywhere, also in the base: a member's result depends on the plan and its data alone.
                self._first = _Adapted(get_peft_model(base, config).eval(), self.shapes)
            _check_packing(folder, self._first.model, base)
        self._stopped = threading.Event()
        self._own = threading.local()
        self._own.adapted = self._first

    @property
    def _adapted(self) -> "_Adapted":
        """The calling thread's modules and factors."""
        if not hasattr(self._own, "adapted"):
            self._own.adapted = self._first.twin()
        adapted: _Adapted = self._own.adapted
        return adapted

    def stop(self) -> None:
        """For the end of a run that others still train in: each thread's call, and any later one, raises CancelledError
        within one forward pass."""
        self._stopped.set()

    def train(self, factors: Tensors, trainable: Set[str], blocks: Blocks, train: plan.Train, seed: int) -> Trained:
        """One pass over `blocks` in their order, from `factors`; those not in `trainable` stay as they are.

        An optimiser step takes tokens_per_step / sequence_length blocks and descends on the mean loss of the tokens
        predicted in them. The optimiser starts without state. Bit for bit repeatable on the same kind of machine
        with the same number of threads. `seed` is for models that draw random numbers; none supported does today.

        Raises ModelFolderInvalid for blocks longer than the model can read, TrainingDiverged when the loss or a factor
        is no longer finite, OutOfTime, ValueError for names or shapes that are not the model's.
        """
        self._own.until = time.monotonic() + self._seconds
        return next(self.stretches(factors, trainable, [blocks], train, seed, 1))

    def stretches(
        self, factors: Tensors, trainable: Set[str], stretches: Iterable[Blocks], train: plan.Train, seed: int, of: int
    ) -> Iterator[Trained]:
        """As `train` over all stretches in turn, with one optimiser: what a site would do without a federation. The
        learning rate falls over `of` stretches as over a job's rounds. Yields after each; the trainer may be used for
        something else in between. In one thread from first to last. Raises as `train` does."""
        parameters = self._adapted.parameters
        if not trainable or not trainable <= parameters.keys():
            raise ValueError(f"trainable has to name factors of this model: {sorted(trainable)[:3]}…")
        optimizer = None
        for number, blocks in enumerate(stretches, start=1):
            self.check_length(blocks.ids.shape[1])
            began, per_step = time.perf_counter(), train.tokens_per_step // train.sequence_length
            with exact(seed, self._threads, self._device):
                self._copy_in(factors, trainable)
                optimizer = optimizer or self._optimizer(trainable, train.optimizer)
                optimizer.param_groups[0]["lr"] = train.in_round(number, of).optimizer.learning_rate
                nats = torch.zeros((), dtype=torch.float64, device=self._device)
                for start in range(0, len(blocks), per_step):
                    nats += self._step(blocks[start : start + per_step], optimizer)
                factors = {name: parameters[name].detach().cpu().numpy().copy() for name in sorted(factors)}
            loss = float(nats) / max(blocks.predicted, 1)
            if not (np.isfinite(loss) and all(np.isfinite(factors[name]).all() for name in trainable)):
                raise TrainingDiverged(learning_rate=train.optimizer.learning_rate)
            yield Trained(dict(factors), loss, blocks.predicted, time.perf_counter() - began)

    def _optimizer(self, trainable: Set[str], given: plan.Optimizer) -> torch.optim.Optimizer:
        kind: Any = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[given.name]
        parameters = [self._adapted.parameters[name] for name in sorted(trainable)]
        optimizer: torch.optim.Optimizer = kind(
            parameters, lr=given.learning_rate, weight_decay=given.weight_decay, fused=True
        )
        return optimizer

    def evaluate(self, factors: Tensors, blocks: Blocks) -> Evaluated:
        """The summed loss of `blocks` under `factors`. Raises as `train` does, TrainingDiverged aside."""
        return Evaluated(float(self.losses(factors, blocks).sum(dtype=np.float64)), blocks.predicted)

    def losses(self, factors: Tensors, blocks: Blocks) -> Array:
        """Nats of each predicted token of `blocks` under `factors`, in their order: float32, (blocks.predicted,)."""
        self.check_length(blocks.ids.shape[1])
        self._own.until = time.monotonic() + self._seconds
        with exact(0, self._threads, self._device), torch.inference_mode():
            self._copy_in(factors, frozenset())
            parts = [losses.cpu().numpy() for losses in self._losses(blocks)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)

    def _step(self, blocks: Blocks, optimizer: torch.optim.Optimizer) -> Tensor:
        """One optimiser step on `blocks`; returns the summed loss before it."""
        nats = torch.zeros((), dtype=torch.float64, device=self._device)
        for losses in self._losses(blocks):
            # Summed, and divided below in float32: a mean's gradients would vanish in a float16 base.
            losses.sum().backward()
            nats += losses.detach().double().sum()
        for parameter in optimizer.param_groups[0]["params"]:
            if parameter.grad is not None:  # None: a layer that the forward pass leaves out
                parameter.grad.div_(max(blocks.predicted, 1))
        optimizer.step()
        optimizer.zero_grad()
        return nats

    def _losses(self, blocks: Blocks) -> Iterator[Tensor]:
        """Nats of each predicted token, float32: one tensor for each part of `blocks` that a forward pass takes."""
        size = max(1, PART_POSITIONS[self._device.type] // blocks.ids.shape[1])
        for part in (blocks[start : start + size] for start in range(0, len(blocks), size)):
            self._go_on()
            arrays = (part.ids, part.positions, part.labels)
            ids, positions, labels = (torch.from_numpy(array).to(self._device, torch.int64) for array in arrays)
            wanted = labels != IGNORED
            yield cross_entropy(packed_logits(self._adapted.model, ids, positions, wanted), labels[wanted])

    def line_after(self, factors: Tensors, text: str, most: int) -> str:
        """How the model goes on after `text`, to the end of the line: at most `most` tokens, each time the likeliest.
        Raises as `evaluate` does."""
        ids, written = begun(text, self.tokenizer), list[int]()
        self.check_length(len(ids) + most, "prompt")
        self._own.until = time.monotonic() + self._seconds
        with exact(0, self._threads, self._device), torch.inference_mode():
            self._copy_in(factors, frozenset())
            for token in islice(likeliest(self._adapted.model, torch.tensor([ids], device=self._device)), most):
                self._go_on()
                written.append(token)
                if token == self.tokenizer.eos_id or "\n" in self.tokenizer.decode(written):
                    break
        return self.tokenizer.decode(written).partition("\n")[0]

    def _go_on(self) -> None:
        """Raises CancelledError or OutOfTime where the call is to end."""
        if self._stopped.is_set():
            raise CancelledError
        if time.monotonic() > getattr(self._own, "until", math.inf):
            raise OutOfTime(seconds=f"{self._seconds:g}")

    @torch.no_grad()
    def _copy_in(self, factors: Tensors, trainable: Set[str]) -> None:
        adapted = self._adapted
        adapted.has_cores = any(name.endswith(CORE) for name in factors)
        wanted = {name for name in adapted.parameters if adapted.has_cores or not name.endswith(CORE)}
        if factors.keys() != wanted:
            raise ValueError(f"factors of another model: {sorted(factors.keys() ^ wanted)[:3]}…")
        for name in sorted(wanted):
            parameter = adapted.parameters[name]
            if factors[name].shape != parameter.shape:  # copy_ would broadcast
                raise ValueError(f"{name} is {factors[name].shape}, it has to be {tuple(parameter.shape)}")
            parameter.copy_(torch.tensor(factors[name], dtype=torch.float32))
            parameter.requires_grad_(name in trainable)
            parameter.grad = None

    def check_length(self, length: int, what: str = "train.sequence_length") -> None:
        """Raises ModelFolderInvalid unless the model reads as many tokens at a time as `what` has."""
        limit = getattr(self._first.model.config, "max_position_embeddings", None)
        if limit is not None and length > limit:
            detail = f"it reads at most {limit} tokens, {what} is {length}"
            raise invalid(self._folder, detail, f"読める長さは {limit} トークンまでです（{what}: {length}）")


class _Adapted:
    """One thread's modules: `model`, and its LoRA `parameters` under our names. `has_cores`: whether R is in use."""

    def __init__(self, model: Any, shapes: Iterable[str]) -> None:
        self.model, self._shapes, self.has_cores = model, tuple(shapes), False
        self.parameters: dict[str, torch.nn.Parameter] = {}
        for name in self._shapes:
            layer = model.get_base_model().get_submodule(name)
            a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            self.parameters |= {f"{name}.lora_A": a, f"{name}.lora_B": b}
            core = torch.nn.Parameter(torch.zeros(len(a), len(a), dtype=a.dtype, device=a.device))
            if fuse_lora(layer, partial(self._core, core)):
                self.parameters[name + CORE] = core

    def _core(self, core: torch.nn.Parameter) -> torch.nn.Parameter | None:
        return core if self.has_cores else None

    def twin(self) -> "_Adapted":
        """Other modules with factors of their own, over the very same base weights."""
        own = {id(parameter) for parameter in self.parameters.values()}
        base = {id(parameter): parameter for parameter in self.model.parameters() if id(parameter) not in own}
        with torch.inference_mode(False):  # what is made while evaluating could not be trained afterwards
            return _Adapted(copy.deepcopy(self.model, base), self._shapes)


def packed_logits(model: Any, ids: Tensor, positions: Tensor, wanted: Tensor) -> Tensor:
    """Logits (wanted.sum(), vocabulary) at the `wanted` positions; ids, positions (int64) and wanted (bool): (n, L).

    transformers keeps the documents of a block apart by restarting `positions`, but only without a cache and without
    an attention mask. With its default cache, or with a mask of ones, it lets them see each other and says nothing.
    """
    logits: Tensor = model(input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=wanted).logits
    return logits


def likeliest(model: Any, ids: Tensor) -> Iterator[int]:
    """The likeliest token after `ids` (1, n), then the likeliest after that one, and so on. One document in one row:
    here the cache can show it nothing but its own beginning."""
    cache, position = None, 0
    while True:
        positions = torch.arange(position, position + ids.shape[1], device=ids.device)[None]
        out = model(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, position = out.past_key_values, position + ids.shape[1]
        ids = out.logits[:, -1].argmax(dim=-1, keepdim=True)
        yield int(ids)


def _check_packing(folder: Path, model: Any, base: Any) -> None:
    """Refuse a model whose packed documents see each other, or are not what they are alone. 24 tokens each tell."""
    tokens = torch.arange(72, device=base.device) * 7919 % base.get_input_embeddings().num_embeddings
    first, second, document = tokens.split(24)
    positions = torch.arange(24, device=base.device).repeat(2, 2)
    rows = torch.stack([torch.cat([first, document]), torch.cat([second, document])])
    wanted = (torch.arange(48, device=base.device) >= 24).expand(2, 48)
    with torch.inference_mode(), _loading(folder, "it cannot compute packed documents", "文書を連結して計算できません"):
        behind_first, behind_second = packed_logits(model, rows, positions, wanted).float().chunk(2)
        alone = packed_logits(model, document[None], positions[:1, :24], wanted[:1, 24:]).float()
    scale = (alone - alone.mean(dim=1, keepdim=True)).norm(dim=1)
    leak = float(((behind_first - behind_second).norm(dim=1) / scale).max())
    difference = float((behind_first - alone).norm() / scale.norm())
    if not (leak <= LEAK_TOLERANCE and difference <= PACKING_TOLERANCE[base.dtype]):  # so that NaN is refused too
        kind, shares = type(base).__name__, f"{leak:.2%} / {difference:.2%}"
        detail = f"{kind} does not keep packed documents apart (logits change by {shares} with what stands before)"
        raise invalid(folder, detail, f"{kind} は連結した文書を区別できません（前の文書によるロジットの変化 {shares}）")


def _load(folder: Path, dtype: torch.dtype) -> Any:
    with _loading(folder, "the model does not load", "モデルを読み込めません"):
        safe: Any = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
        how: Any = {"dtype": dtype, "attn_implementation": "sdpa", "output_loading_info": True}
        loaded: Any = AutoModelForCausalLM.from_pretrained(folder, **safe, **how)
    base, report = loaded
    # transformers fills what is missing with random numbers and only warns.
    absent = sorted([*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])])
    if absent:
        raise invalid(folder, f"its weights do not contain {absent[0]}", f"重みに {absent[0]} が含まれていません")
    return base


@contextmanager
def _loading(folder: Path, detail: str, detail_ja: str) -> Iterator[None]:
    """Whatever a library raises inside becomes ModelFolderInvalid, with the library's own words and as its cause."""
    try:
        yield
    except Exception as error:  # their loaders raise whatever their many dependencies raise
        words = (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(". ")
        raise invalid(folder, f"{detail}: {words}", f"{detail_ja}: {words}") from error


def _target_shapes(base: Any, targets: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Name -> (out, in) of each linear layer whose name ends in a target. The output head is not one of them."""
    head = base.get_output_embeddings()
    linear = {
        name: (module.out_features, module.in_features)
        for name, module in sorted(base.named_modules())
        if isinstance(module, torch.nn.Linear) and module is not head
    }

    def asked_by(name: str) -> Set[str]:
        return {target for target in targets if name == target or name.endswith(f".{target}")}

    missing = ", ".join(sorted(set(targets).difference(*(asked_by(name) for name in linear))))
    if missing or not targets:
        available = ", ".join(sorted({name.rpartition(".")[2] for name in linear}))
        kind = base.config.model_type
        options = " | ".join(FAMILIES.get(kind, ()))
        raise UnknownLoraTarget(
            missing=missing,
            available=available or "none (なし)",
            hint=f" For a model of this kind ({kind}) there is `model={options}`." if options else "",
            hint_ja=f"この種類のモデル（{kind}）には `model={options}` があります。" if options else "",
        )
    return {name: shape for name, shape in linear.items() if asked_by(name)}
