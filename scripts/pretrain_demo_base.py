# /// script
# requires-python = ">=3.11"
# dependencies = []  # what rengo itself needs is enough
# ///
"""Train the demo's base model from scratch on Debian's Japanese documentation: a stand-in for a real one.

Why: no package index carries a small Japanese causal language model, and the demo has to train and measure something.

How: fetch pinned packages, keep their Japanese paragraphs once each and none that the demo's members have too, train a
tokenizer, train a LLaMA of 7.4 M parameters, measure it on held-out documents, and write a model card with the figures.

Stop it at any time, also with kill -9: the same command goes on from the last checkpoint in --work, and ends in the
same weights as if it had never stopped (with --tokens and the same --threads). Delete --work to start anew.

Run, on Debian 12 after `apt-get update`, in the project's environment:

    nice .venv/bin/python scripts/pretrain_demo_base.py --work ~/demo-base --out ~/demo-base/model --threads 2
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from build_demo_members import MEMBERS
from demo_base import corpus, export, sources, training, vocabulary
from tokenizers import Tokenizer

EVALUATE_EVERY = 250  # steps: about a million tokens
SAVE_EVERY = 3.0  # minutes
TOKENS = 14_000_000


def main() -> None:
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    training.use_threads(args.threads)
    texts, members = prepare_corpus(args.work, args.debs or args.work / "debs")
    tokenizer = prepare_tokenizer(texts, args.work / "tokenizer.json")
    encoder = vocabulary.Encoder(tokenizer)
    shape, recipe = training.Shape(), training.Recipe(args.tokens, args.hours)
    blocks = export.pack_texts([t for part in texts.values() for t in part.train], encoder, shape.positions)
    parts = {name: export.held_out(part.held_out, encoder, shape.positions) for name, part in texts.items()}
    key = corpus.digest([tokenizer.read_text(encoding="utf-8"), *(t for part in texts.values() for t in part.train)])
    run = training.Run(shape, recipe, blocks, args.work / "checkpoint.pt", key)
    say(f"{blocks.predicted:,} tokens to train on, {sum(p.blocks.predicted for p in parts.values()):,} held out")
    say(f"starting at step {run.progress.step:,}, {run.share:.1%}; {run.steps:,} steps for {recipe.tokens:,} tokens")
    if not args.export and not training.train(run, lambda: evaluate(run, parts), EVALUATE_EVERY, SAVE_EVERY, say):
        say("stopped and saved; the same command goes on from here")
        return
    parts[export.MEMBERS] = export.held_out(members, encoder, shape.positions)
    facts = {"parts": parts, "threads": args.threads, "byte_fallback": byte_fallback(tokenizer, members)}
    finish(run, texts, tokenizer, facts, args.out)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the corpus, tokenizer and checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--debs", type=Path, help="folder that keeps the .deb files (default: WORK/debs)")
    parser.add_argument("--threads", type=int, default=1)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--tokens", type=int, default=TOKENS, help=f"to train on, repeats counted ({TOKENS:,})")
    length.add_argument("--hours", type=float, help="train by the clock instead; two runs then differ")
    parser.add_argument("--export", action="store_true", help="write --out from the last checkpoint, do not train")
    return parser.parse_args()


def prepare_corpus(work: Path, debs: Path) -> tuple[corpus.Corpus, list[str]]:
    """The cleaned corpus, from an earlier start if there was one, and the members' texts that it is kept apart from."""
    file, members = work / "corpus.json", corpus.members_texts(MEMBERS)
    if not file.exists():
        with tempfile.TemporaryDirectory() as scratch:
            read = ((s.name, sources.read_source(s, debs, Path(scratch))) for s in sources.SOURCES)
            corpus.save(corpus.build(read, members), corpus.digest(members), file)
    texts, kept_apart_from = corpus.load(file)
    if kept_apart_from != corpus.digest(members):
        raise SystemExit(f"The members' documents have changed since {file} was kept apart from them. Delete {work}.")
    for name, part in texts.items():
        counts = f"{sum(map(len, part.train)):9,} + {sum(map(len, part.held_out)):6,} characters held out"
        removed = f"repeats {part.repeated:,}, shared with members {part.shared_with_members:,}"
        say(f"{name:24} {len(part.train):5,} + {len(part.held_out):2} documents, {counts}; removed: {removed}")
    return texts, members


def prepare_tokenizer(texts: corpus.Corpus, file: Path) -> Path:
    """The tokenizer's file, trained on the training texts unless an earlier start has."""
    if not file.exists():
        tokenizer = vocabulary.train(text for part in texts.values() for text in part.train)
        corpus.replaced(file, tokenizer.to_str().encode())
    return file


def byte_fallback(tokenizer: Path, members: list[str]) -> float:
    """Refuse a tokenizer that spells more than 2 % of the members' text in bytes."""
    share = vocabulary.byte_fallback(Tokenizer.from_file(str(tokenizer)), members)
    if share >= 0.02:
        raise SystemExit(f"{share:.1%} of the members' tokens are single bytes: the tokenizer lacks characters.")
    return share


def evaluate(run: training.Run, parts: dict[str, export.HeldOut]) -> None:
    """Note the held-out losses, in bits a character, in the run's history."""
    nats = run.evaluate({name: part.blocks for name, part in parts.items()})
    total = summary(nats, parts)
    bits = {name: round(part.bits(nats[name]), 4) for name, part in parts.items()}
    run.progress.history.append({"step": run.progress.step, "tokens": run.progress.tokens, "all": total, **bits})
    say(f"held out: {total:.3f} bits a character; " + ", ".join(f"{name} {value:.2f}" for name, value in bits.items()))


def summary(nats: dict[str, float], parts: dict[str, export.HeldOut]) -> float:
    """Bits a character over all held-out text of the base's own kind."""
    own = [name for name in parts if name != export.MEMBERS]
    whole = export.HeldOut(parts[own[0]].blocks, sum(parts[name].characters for name in own))
    return whole.bits(sum(nats[name] for name in own))


def finish(run: training.Run, texts: corpus.Corpus, tokenizer: Path, facts: dict[str, Any], out: Path) -> None:
    """Write the folder, measure it as it is, and write its card."""
    export.write_weights(run, tokenizer, out)
    losses = export.measure(out, facts["parts"], facts["threads"])
    export.write_card(out, run, texts, losses, facts)
    say(f"{out} is written: {summary(losses, facts['parts']):.3f} bits a character on its own kind, held out")
    for name, part in facts["parts"].items():
        say(f"{name:40} {losses[name] / part.blocks.predicted:.3f} nats a token, {part.bits(losses[name]):.3f} bits")


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


if __name__ == "__main__":
    main()
