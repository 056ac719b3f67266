"""The folder that comes out: fp16 weights, tokenizer, and a model card with figures measured on that very folder."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from clients.dataset import Blocks, pack, tokenise
from clients.ingest import Document
from clients.trainer import Trainer
from demo_base.corpus import Corpus
from demo_base.sources import SOURCES
from demo_base.training import Run, llama_config
from demo_base.vocabulary import END, PADDING, START, UNKNOWN, Encoder
from federation import plan

MEMBERS = "the demo's members (never trained on)"
LARGEST = 16_000_000  # bytes of the folder: it is kept in the repository
LORA = plan.Lora(r=8, alpha=16.0, targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"))


@dataclass(frozen=True)
class HeldOut:
    """Text to measure on: its blocks, and its characters, by which losses become bits a character."""

    blocks: Blocks
    characters: int

    def bits(self, nats: float) -> float:
        """Bits a character for the summed loss."""
        return nats / log(2) / self.characters


def held_out(texts: Sequence[str], encoder: Encoder, length: int) -> HeldOut:
    """Pack texts to measure on."""
    blocks = pack_texts(texts, encoder, length)
    return HeldOut(blocks, sum(map(len, texts)))


def pack_texts(texts: Sequence[str], encoder: Encoder, length: int) -> Blocks:
    """Blocks of the texts, packed as a member's are."""
    return pack(tokenise([Document("", text) for text in texts], encoder), length, encoder.pad_id)


def write_weights(run: Run, tokenizer: Path, out: Path) -> None:
    """Everything in the folder but its card. Raises ValueError if it would be too large to keep."""
    out.mkdir(parents=True, exist_ok=True)
    model: Any = LlamaForCausalLM(llama_config(run.shape))
    model.load_state_dict(run.masters, strict=False)  # the output head is the embedding
    model.tie_weights()
    model.half().save_pretrained(out)
    names = {"unk_token": UNKNOWN, "bos_token": START, "eos_token": END, "pad_token": PADDING}
    make: Any = PreTrainedTokenizerFast
    fast = make(
        tokenizer_file=str(tokenizer),
        model_max_length=run.shape.positions,
        clean_up_tokenization_spaces=False,
        **names,
    )
    fast.save_pretrained(out)
    for file in out.iterdir():
        file.chmod(0o644)  # the weights are written for their owner alone
    size = sum(file.stat().st_size for file in out.iterdir())
    if size > LARGEST:
        raise ValueError(f"{out} would be {size:,} bytes, more than {LARGEST:,}")


def measure(out: Path, parts: Mapping[str, HeldOut], threads: int) -> dict[str, float]:
    """Summed loss in nats of each part under the folder as written, by the product's own trainer and its checks."""
    trainer = Trainer(out, plan.Model("demo", "", "float32", "cpu", threads), LORA)
    zero = {
        f"{name}.{kind}": np.zeros(shape, dtype=np.float32)
        for name, (rows, columns) in trainer.shapes.items()
        for kind, shape in (("lora_A", (LORA.r, columns)), ("lora_B", (rows, LORA.r)))
    }
    return {name: trainer.evaluate(zero, part.blocks).nats for name, part in parts.items()}


def write_card(out: Path, run: Run, corpus: Corpus, losses: Mapping[str, float], facts: Mapping[str, Any]) -> None:
    """The model card. `losses`: nats by part as measured; `facts`: the parts themselves and the tokenizer's figures."""
    parts: Mapping[str, HeldOut] = facts["parts"]
    own = [name for name in parts if name != MEMBERS]
    total = sum(losses[n] for n in own) / log(2) / sum(parts[n].characters for n in own)
    parameters = sum(master.numel() for master in run.masters.values())
    characters = sum(len(text) for part in corpus.values() for text in part.train)
    text = CARD.format(
        parameters=f"{parameters / 1e6:.1f} M",
        shape=run.shape,
        recipe=run.recipe,
        tokens=f"{run.progress.tokens / 1e6:.1f} M",
        epochs=f"{run.progress.tokens / run.blocks.predicted:.1f}",
        hours=f"{run.progress.seconds / 3600:.1f}",
        machine=f"{facts['threads']} thread(s) at low priority, {processor()}",
        share_done="" if run.share >= 1 else f" **Unfinished: {run.share:.0%} of its training.**",
        characters=f"{characters / 1e6:.1f} M",
        held_out=f"{sum(parts[n].characters for n in own):,}",
        shared=f"{sum(part.shared_with_members for part in corpus.values()):,}",
        shared_paragraphs=f"{sum(part.shared_paragraphs for part in corpus.values()):,}",
        bytes=f"{facts['byte_fallback']:.2%}",
        total=f"{total:.2f}",
        sources="\n".join(source_rows(corpus)),
        losses="\n".join(loss_row(name, losses[name], parts[name]) for name in parts),
    )
    (out / "README.md").write_text(text, encoding="utf-8")


def source_rows(corpus: Corpus) -> list[str]:
    """A row for each package: version, licence, characters trained on."""
    rows = []
    for source in SOURCES:
        characters = sum(map(len, corpus[source.name].train))
        version = source.package.name.partition("=")[2]
        rows.append(f"| {source.name} | {version} | {source.licence} | {characters:,} |")
    return rows


def loss_row(name: str, nats: float, part: HeldOut) -> str:
    """A row for each text measured on."""
    return f"| {name} | {part.characters:,} | {nats / part.blocks.predicted:.3f} | {part.bits(nats):.2f} |"


def processor() -> str:
    """The processor's name as the system tells it: speed means nothing without."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


CARD = """# The demo's base model: a stand-in

A small Japanese language model that makes every path of the demo real: loading, LoRA training, secure sums, evaluation.
Trained from scratch by `scripts/pretrain_demo_base.py`, which anyone can run again.{share_done}

| | |
|---|---|
| Architecture | LLaMA, {parameters} parameters: hidden size {shape.hidden}, {shape.layers} layers, {shape.heads} \
heads, tied embeddings; {shape.positions} positions |
| Weights | float16, safetensors |
| Tokenizer | BPE, {shape.vocabulary:,} entries, byte fallback; all 2,136 jōyō kanji, JIS level 1, kana, full-width \
forms, units, circled digits |
| Training | {tokens} tokens ({epochs} times through the text), {hours} hours; AdamW, peak rate \
{recipe.learning_rate:g}, warm-up and cosine, {recipe.blocks_per_step} blocks of {shape.positions} a step, \
{recipe.compute} under float32 |
| Machine | {machine} |

## What it was trained on
The Japanese text of these Debian 12 packages, {characters} characters after keeping paragraphs that are at least 30 %
Japanese and dropping listings and repeats. **Texts under the GPL, the GFDL and other licences were trained on.** The
texts themselves are not part of this repository.

| package | version | licence of the text | characters |
|---|---|---|---:|
{sources}

It has not seen apache2-doc, libreoffice-help-ja or debian-handbook, from which the demo's members have their documents.
Every paragraph that shared 40 characters (blanks aside) with those documents was removed before training:
{shared} characters, {shared_paragraphs} paragraphs.

## How good it is
Loss on {held_out} characters held out (whole documents or parts of long ones, by hash), measured on this folder by the
product's own trainer in float32. All held-out text of its own kind: **{total} bits a character**.

| text | characters | nats a token | bits a character |
|---|---:|---:|---:|
{losses}

Of the members' text, {bytes} of the tokens are single bytes of characters that the tokenizer lacks.

Held-out text is of the same packages as the training text, and manuals repeat themselves in other words: the figures
for its own kind flatter it.

## What it cannot do
It does not answer questions, follow instructions or write usable prose, and it knows nothing of your machines: software
manuals are all it has read. Figures obtained with it show that the machinery works and how methods compare on it. They
say nothing about models of real size. Do not use it for anything else.
"""
