"""What a Flower run of the benchmark is told, and what one member does in it. No Flower in here.

Each process of Flower's makes one trainer and keeps it for all members that it plays, as a careful user would.
"""

import functools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import demo
from benchmarks.hugging_face import HuggingFace, documents_of, rows, share_of

from aggregator.simulate.table import DEMO_BASE, member_folders
from clients.dataset import Blocks, Corpus, Source, read_corpus
from clients.trainer import Trainer
from federation import step
from federation.plan import Plan
from federation.tensors import Tensors

VARIABLE = "RENGO_BENCH_FLOWER"


@dataclass(frozen=True)
class Job:
    """`overrides`: as of `rengo simulate`. `padded`: with Hugging Face's Trainer and padding, not with ours."""

    overrides: tuple[str, ...]
    members: str
    padded: bool
    actors: int
    output: str

    def environment(self) -> dict[str, str]:
        """For the processes of the run."""
        return {VARIABLE: json.dumps(asdict(self))}

    @functools.cached_property
    def plan(self) -> Plan:
        """The plan that rengo's side runs."""
        config, model = demo.settings(self.overrides)
        return config.plan(tuple(member_folders(Path(self.members))), model.sha256)


@functools.cache
def job() -> Job:
    """This process's."""
    told = json.loads(os.environ[VARIABLE])
    return Job(**{**told, "overrides": tuple(told["overrides"])})


@functools.cache
def learner() -> Trainer | HuggingFace:
    """This process's."""
    plan = job().plan
    return (HuggingFace if job().padded else Trainer)(DEMO_BASE, plan.model, plan.lora)


@functools.cache
def corpus(member: int) -> Corpus:
    """A member's text, read as rengo reads it."""
    name, folder = list(member_folders(Path(job().members)).items())[member]
    plan = job().plan
    return read_corpus(Source(name, folder), learner().tokenizer, plan.train.sequence_length, plan.evaluation)


def first_factors() -> dict[str, Any]:
    """The adapter that rengo's first round opens with."""
    plan = job().plan
    state = step.first_state(plan, Trainer(DEMO_BASE, plan.model, plan.lora).shapes)
    return dict(step.scheme_of(plan).export(state))


def train(member: int, round: int, factors: Tensors) -> tuple[Tensors, float]:
    """One member's part of a round, as in rengo: measure the adapter that opens the round, then train on it."""
    text, plan, by = corpus(member), job().plan, learner()
    loss = evaluate(factors, text.validation.first(plan.evaluation.tokens)) if step.evaluates(plan, round) else 0.0
    if isinstance(by, HuggingFace):
        given = rows(documents_of(text.train), plan.train.sequence_length)
        part = share_of(given, round, plan.train.tokens_per_round, member)
        return by.train(factors, part, plan.train, round).tensors, loss
    blocks = text.train.for_round(round, plan.train.tokens_per_round // plan.train.sequence_length, member)
    return by.train(factors, factors.keys(), blocks, plan.train, round).tensors, loss


def measure(member: int, factors: Tensors) -> tuple[float, float, float]:
    """What rengo evaluates at the end of a job: final and base on the validation sample, both on all test text."""
    sample, test = corpus(member).validation.first(job().plan.evaluation.tokens), corpus(member).test
    unchanged = {name: 0 * values for name, values in factors.items()}
    part, _ = evaluate(factors, sample), evaluate(unchanged, sample)
    return part, evaluate(unchanged, test), evaluate(factors, test)


def evaluate(factors: Tensors, blocks: Blocks) -> float:
    """Nats a token, by this process's trainer: packed, or padded rows of the same documents."""
    by = learner()
    if isinstance(by, HuggingFace):
        length = job().plan.train.sequence_length
        return by.evaluate(factors, rows(documents_of(blocks), length), job().plan.train.tokens_per_step)
    evaluated = by.evaluate(factors, blocks)
    return evaluated.nats / evaluated.tokens
