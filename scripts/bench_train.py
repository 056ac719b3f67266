"""Trained tokens a second: rengo's trainer on packed blocks against Hugging Face's `Trainer` with peft on padded rows.

Both train the demo's base from the same factors on the same text with the same rank, optimiser, learning rate, dtype
and threads. They take turns in one process, so that whatever else the machine does falls on both. Padding is not
counted as tokens. `cpu_ratio` is by CPU time and not by wall time: with one thread it says something on a busy
machine too. The held-out loss of both after the same text is given with the speed: it must not pay for it.

    .venv/bin/pip install -c constraints.txt -e '.[bench]'
    .venv/bin/python scripts/bench_train.py
"""

import argparse
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks import demo
from benchmarks.hugging_face import HuggingFace, Row, rows
from benchmarks.machine import emit, machine, say

from aggregator.simulate.table import DEMO_BASE
from clients.dataset import Blocks, Ids, pack, tokenise
from clients.trainer import Trainer
from federation.tensors import Tensors

ARMS = ("rengo", "hf", "hf_grouped")


@dataclass(frozen=True)
class Text:
    """One member's text, as each side takes it, and what both are measured on."""

    tokens: int
    blocks: Blocks
    rows: list[Row]
    held_out: Blocks


@dataclass
class Measured:
    """What one arm did, by repeat."""

    tokens_per_s: list[float] = field(default_factory=list)
    tokens_per_cpu_s: list[float] = field(default_factory=list)
    held_out_loss: list[float] = field(default_factory=list)
    tokens_per_step: list[float] = field(default_factory=list)
    padding_share: list[float] = field(default_factory=list)


class Bench:
    """Both trainers, and one measurement of one of them."""

    def __init__(self, overrides: list[str]) -> None:
        self.config, model = demo.settings(overrides)
        self.ours = Trainer(DEMO_BASE, model, self.config.lora)
        self.theirs = HuggingFace(DEMO_BASE, model, self.config.lora)
        self.first = self.theirs.factors()

    def text(self, member: int, tokens: int) -> Text:
        """The first `tokens` tokens of a member's documents, or all that it has."""
        train, held_out = (tokenise(part, self.ours.tokenizer) for part in demo.documents(member))
        taken, length = demo.leading(train, tokens), self.config.train.sequence_length
        return Text(sum(map(len, taken)), self._pack(taken), rows(taken, length), self._pack(held_out))

    def _pack(self, documents: list[Ids]) -> Blocks:
        return pack(documents, self.config.train.sequence_length, self.ours.tokenizer.pad_id)

    def measure(self, arm: str, text: Text, seed: int, into: Measured) -> None:
        """Train one arm from the first factors on `text`, then evaluate with our evaluation."""
        train = self.config.train
        if arm == "rengo":
            blocks = text.blocks.for_round(1, len(text.blocks), seed)
            began, cpu = time.perf_counter(), time.process_time()
            tensors: Tensors = self.ours.train(self.first, self.first.keys(), blocks, train, seed).tensors
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            steps, padded = -(-len(blocks) * train.sequence_length // train.tokens_per_step), blocks.ids.size
        else:
            trained = self.theirs.train(self.first, text.rows, train, seed, grouped=arm == "hf_grouped")
            tensors, seconds, cpu = trained.tensors, trained.seconds, trained.cpu_seconds
            steps, padded = trained.steps, trained.padded_tokens
        evaluated = self.ours.evaluate(tensors, text.held_out)
        into.tokens_per_s.append(text.tokens / seconds)
        into.tokens_per_cpu_s.append(text.tokens / cpu)
        into.held_out_loss.append(evaluated.nats / evaluated.tokens)
        into.tokens_per_step.append(text.tokens / steps)
        into.padding_share.append(1 - text.tokens / padded)


def main() -> None:
    args = arguments()
    bench = Bench(args.overrides)
    warm_up = bench.text(0, args.warm_up_tokens)
    for arm in args.arms:
        bench.measure(arm, warm_up, 0, Measured())
    measured = {arm: Measured() for arm in args.arms}
    base: list[float] = []
    for repeat in range(args.repeats):
        text = bench.text(repeat, args.tokens)
        evaluated = bench.ours.evaluate(bench.first, text.held_out)
        base.append(evaluated.nats / evaluated.tokens)
        turn = args.arms if repeat % 2 == 0 else args.arms[::-1]  # so that none always comes first
        for arm in turn:
            bench.measure(arm, text, repeat, measured[arm])
            last = measured[arm]
            say(f"repeat {repeat + 1}: {arm} {last.tokens_per_s[-1]:,.0f} tokens/s, loss {last.held_out_loss[-1]:.4f}")
    emit(result(args, bench, measured, base))


def result(args: argparse.Namespace, bench: Bench, measured: dict[str, Measured], base: list[float]) -> dict[str, Any]:
    """The line: medians of speed, means of loss, and every repeat's speed for whoever doubts them."""
    speeds = {arm: statistics.median(values.tokens_per_s) for arm, values in measured.items()}
    config = bench.config
    line: dict[str, Any] = {"benchmark": "train", "repeats": args.repeats, "tokens": args.tokens}
    line |= {"sequence_length": config.train.sequence_length, "dtype": config.model.dtype, "r": config.lora.r}
    line |= {"base_held_out_loss": round(statistics.fmean(base), 4)}
    for arm, values in measured.items():
        line[arm] = {
            "tokens_per_s": round(speeds[arm]),
            "tokens_per_cpu_s": round(statistics.median(values.tokens_per_cpu_s)),
            "held_out_loss": round(statistics.fmean(values.held_out_loss), 4),
            "tokens_per_step": round(statistics.fmean(values.tokens_per_step)),
            "padding_share": round(statistics.fmean(values.padding_share), 3),
            "all_tokens_per_s": [round(speed) for speed in values.tokens_per_s],
        }
    for key, arm in (("ratio", "hf"), ("ratio_grouped", "hf_grouped")):
        if "rengo" in speeds and arm in speeds:
            line[key] = round(speeds["rengo"] / speeds[arm], 3)
            by_cpu = [statistics.median(measured[each].tokens_per_cpu_s) for each in ("rengo", arm)]
            line[f"cpu_{key}"] = round(by_cpu[0] / by_cpu[1], 3)
    return line | {"machine": machine(config.model.threads)}


def arguments() -> argparse.Namespace:
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    parser.add_argument("--repeats", type=int, default=7, help="turns of each arm, each on another member's text")
    parser.add_argument("--tokens", type=int, default=12_288, help="tokens trained in one turn")
    parser.add_argument("--warm-up-tokens", type=int, default=2048, help="tokens trained before, not measured")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("overrides", nargs="*", help="as for `rengo simulate`: model.threads=1 train.sequence_length=…")
    return parser.parse_args()


if __name__ == "__main__":
    main()
