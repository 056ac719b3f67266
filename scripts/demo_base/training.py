"""The training loop: bf16 weights under float32 masters, packed blocks, a checkpoint every few minutes.

Measured on one thread of a core with AVX-512 BF16, in processor time: bf16 weights 2,550 tokens a second at blocks of
512 (3,200 at 256, which would leave half of the model's positions untrained), autocast 2,400 to 2,800, float32 1,100
to 1,200. One block a pass is the fastest: its logits stay in the cache. torch.compile gained 3 % and needs a compiler.

What a step trains on depends on its number alone, and a checkpoint holds everything else. So a run that is stopped at
any moment and started again ends, with the same number of threads, in the very same weights.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from clients.dataset import IGNORED, Blocks
from clients.trainer import packed_logits
from demo_base.corpus import replaced

SEED = 20_240


@dataclass(frozen=True)
class Shape:
    """The model. The defaults make 7.4 M parameters, a third of them in the embedding that is also the output."""

    vocabulary: int = 10_240
    hidden: int = 256
    inner: int = 688
    layers: int = 6
    heads: int = 4
    positions: int = 512


@dataclass(frozen=True)
class Recipe:
    """How it is trained. With `hours`, the learning rate falls by the time trained, otherwise by the steps."""

    tokens: int
    hours: float | None = None
    blocks_per_step: int = 8
    learning_rate: float = 2e-3
    warm_up: float = 0.02  # share of the run
    final: float = 0.03  # share of the learning rate
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    compute: str = "bfloat16"


@dataclass
class Progress:
    """What a checkpoint remembers besides weights and optimiser."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Run:
    """A model in training. `masters` are its weights in float32; the model computes with a copy in `recipe.compute`."""

    def __init__(self, shape: Shape, recipe: Recipe, blocks: Blocks, file: Path, key: str) -> None:
        """`file`: the checkpoint, continued if it is there. `key` tells corpora and tokenizers apart.

        Raises ValueError if the checkpoint is of another corpus, model or recipe.
        """
        torch.manual_seed(SEED)
        self.shape, self.recipe, self.blocks, self._file = shape, recipe, blocks, file
        self._key = f"{key} {asdict(shape)} {asdict(recipe)}"
        self.model: Any = LlamaForCausalLM(llama_config(shape))
        self.masters: dict[str, Tensor] = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self.model.to(getattr(torch, recipe.compute))
        groups = [
            {"params": [m for m in self.masters.values() if m.dim() > 1], "weight_decay": recipe.weight_decay},
            {"params": [m for m in self.masters.values() if m.dim() == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)
        self.progress = Progress()
        if file.exists():
            self._restore()
        self._copy_to_model()

    @property
    def share(self) -> float:
        """How much of the run is done."""
        if self.recipe.hours is not None:
            return min(1.0, self.progress.seconds / (3600 * self.recipe.hours))
        return min(1.0, self.progress.step / self.steps)

    @property
    def steps(self) -> int:
        """How many steps `recipe.tokens` are; blocks are taken as full, which all are but the last of an epoch."""
        return -(-self.recipe.tokens // (self.recipe.blocks_per_step * int(self.blocks.ids.shape[1])))

    def step(self) -> float:
        """One optimiser step; returns the mean loss in nats a token before it."""
        began = time.perf_counter()
        batch = self.blocks.for_round(self.progress.step + 1, self.recipe.blocks_per_step, SEED)
        for master in self.masters.values():
            master.grad = torch.zeros_like(master)
        nats = 0.0
        for losses in token_losses(self.model, batch):
            mean: Any = losses.sum() / batch.predicted
            mean.backward()
            nats += float(losses.detach().double().sum())
            self._collect_gradients()
        torch.nn.utils.clip_grad_norm_(self.masters.values(), self.recipe.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.share)
        self.optimizer.step()
        self._copy_to_model()
        self.progress.step += 1
        self.progress.tokens += batch.predicted
        self.progress.seconds += time.perf_counter() - began
        return nats / batch.predicted

    def evaluate(self, parts: Mapping[str, Blocks]) -> dict[str, float]:
        """Summed loss in nats of each part."""
        with torch.inference_mode():
            return {
                name: sum(float(losses.double().sum()) for losses in token_losses(self.model, blocks))
                for name, blocks in parts.items()
            }

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        content = {"key": self._key, "progress": asdict(self.progress), "masters": self.masters}
        stream = BytesIO()
        torch.save(content | {"optimizer": self.optimizer.state_dict()}, stream)
        replaced(self._file, stream.getvalue())

    def _restore(self) -> None:
        content = torch.load(self._file, weights_only=True)
        if content["key"] != self._key:
            raise ValueError(f"{self._file} is of another run:\n{content['key']}\nand not\n{self._key}")
        with torch.no_grad():
            for name, master in self.masters.items():
                master.copy_(content["masters"][name])
        self.optimizer.load_state_dict(content["optimizer"])
        self.progress = Progress(**content["progress"])

    @torch.no_grad()
    def _collect_gradients(self) -> None:
        """Add the model's gradients to the masters': summed in bf16, those of a step's later blocks would be lost."""
        for name, parameter in self.model.named_parameters():
            master = self.masters[name]
            if parameter.grad is not None and master.grad is not None:
                master.grad.add_(parameter.grad)
                parameter.grad = None

    @torch.no_grad()
    def _copy_to_model(self) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(self.masters[name])


def use_threads(count: int) -> None:
    """Compute with so many threads, and with no kernel whose result depends on their timing."""
    torch.set_num_threads(count)
    torch.use_deterministic_algorithms(True)
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = False  # it would cost, and change no result


def llama_config(shape: Shape) -> LlamaConfig:
    """The ids are those of the special tokens' order in `vocabulary.SPECIAL`."""
    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
    )


def token_losses(model: Any, blocks: Blocks) -> Iterator[Tensor]:
    """Nats of each predicted token, float32, block by block."""
    for at in range(len(blocks)):
        part = blocks[at : at + 1]
        ids, positions, labels = (torch.from_numpy(a).to(torch.int64) for a in (part.ids, part.positions, part.labels))
        wanted = labels != IGNORED
        logits = packed_logits(model, ids, positions, wanted).float()
        yield cross_entropy(logits, labels[wanted], reduction="none")


def learning_rate(recipe: Recipe, share: float) -> float:
    """A linear warm-up, then half a cosine down to `final` of the peak."""
    if share < recipe.warm_up:
        return recipe.learning_rate * (share + 0.001) / (recipe.warm_up + 0.001)
    turned = (share - recipe.warm_up) / (1 - recipe.warm_up)
    return recipe.learning_rate * (recipe.final + (1 - recipe.final) * (1 + math.cos(math.pi * turned)) / 2)


def train(run: Run, evaluate: Callable[[], None], every: int, minutes: float, say: Callable[[str], None]) -> bool:
    """Run to the end; False if SIGINT or SIGTERM came before. Evaluates every `every` steps, saves every `minutes`."""
    with _stop_asked() as asked:
        saved, since, losses = time.monotonic(), run.progress.seconds, list[float]()
        while run.share < 1 and not asked:
            losses.append(run.step())
            if run.progress.step % 25 == 0 or run.share >= 1:
                spent, since = run.progress.seconds - since, run.progress.seconds
                say(progress_line(run, sum(losses) / len(losses), spent / len(losses)))
                losses.clear()
            if run.progress.step % every == 0 and run.share < 1:
                evaluate()
            if time.monotonic() - saved > 60 * minutes:
                run.save()
                saved = time.monotonic()
        run.save()
        return not asked


def progress_line(run: Run, loss: float, seconds_a_step: float) -> str:
    """What a person wants to know of a run: where it is, how fast, how good, how long still."""
    speed = run.recipe.blocks_per_step * run.blocks.ids.shape[1] / seconds_a_step
    left = run.progress.seconds * (1 - run.share) / max(run.share, 1e-9)
    rate = learning_rate(run.recipe, run.share)
    where = f"step {run.progress.step:,} ({run.share:.1%}), {run.progress.tokens / 1e6:.2f} M tokens"
    return f"{where}: loss {loss:.3f}, rate {rate:.1e}, {speed:,.0f} tokens/s, {left / 60:.0f} min left"


@contextmanager
def _stop_asked() -> Iterator[list[int]]:
    """A list that is no longer empty once SIGINT or SIGTERM has come."""
    asked: list[int] = []
    before = {kind: signal.signal(kind, lambda kind, _: asked.append(kind)) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
