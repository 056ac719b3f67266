"""Going on with a federated adapter by oneself: a few local steps, kept where they were made.

What comes out has seen this site's documents alone at last, and no secure sum hides what it learned from them. It
belongs to the site and leaves it for nobody.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from clients.contribution import training_seed
from clients.dataset import Corpus
from clients.home import Home
from clients.journal import Journal
from clients.loading import load_frozen
from clients.trainer import Trainer
from clients.validated_training import train_on
from federation import peft_folder
from federation.plan import Plan
from federation.tensors import Tensors

RATE_SHARE = 1 / 4
"""Of the plan's learning rate, unless another is given: one member alone unlearns at rates that a mean bears."""

_CARD = """---
library_name: peft
base_model: {quoted}
---
The adapter `{adapter}` of job `{job}`, trained on by member `{member}` with its own documents. **It stays at this
site**: unlike the adapter that it began with, it is no sum over members.

Base model: `{name}`, SHA-256 of its files `{model}`.
"""


@dataclass(frozen=True)
class Measured:
    """Nats a token: on the validation sample, which chose, and on the test text, which did not."""

    validation: float
    test: float


@dataclass(frozen=True)
class Personalised:
    """`after`: rounds' worth of tokens, 0 for the adapter as it came. Losses under the base model, the adapter that was
    given and the one that was kept; `sha256`: of its weights."""

    member: str
    job: str
    after: int
    rounds: int
    diverged: bool
    base: Measured
    given: Measured
    kept: Measured
    sha256: str


class Told(Protocol):
    """Hears after each stretch: how many there were, of how many, and the validation loss."""

    def __call__(self, done: int, of: int, loss: float) -> None: ...


def personalise(
    home: Home, plan: Plan, journal: Journal, adapter: Path, out: Path, rounds: int, rate: float | None, told: Told
) -> Personalised:
    """Train the adapter in `adapter` on over `rounds` rounds' worth of the text that this site trains on in the plan's
    job, and write the best one to `out`. Raises AdapterInvalid, and what model and data raise."""
    learner, corpus, _ = load_frozen(home, plan, journal)
    given = peft_folder.read_checked(adapter, learner.shapes, plan.lora)
    me = home.settings().id
    learning_rate = rate or RATE_SHARE * plan.train.optimizer.learning_rate
    here = home.settings().train_here(plan.train)
    train = replace(here, optimizer=replace(here.optimizer, learning_rate=learning_rate))
    count, order = train.tokens_per_round // train.sequence_length, training_seed(plan, me, "order")
    stretches = (corpus.train.for_round(plan.rounds + n, count, order) for n in range(1, rounds + 1))

    def validate(number: int, factors: Tensors) -> float:
        loss = _validation(learner, corpus, plan, factors)
        told(number, rounds, loss)
        return loss

    before = _validation(learner, corpus, plan, given)
    told(0, rounds, before)
    seed = training_seed(plan, me, "personalised")
    kept = train_on(learner, (given, before), stretches, rounds, train, seed, validate)
    untouched = {name: np.zeros_like(array) for name, array in given.items()}
    base, first, last = (_measured(learner, corpus, plan, factors) for factors in (untouched, given, kept.factors))
    name = json.dumps(plan.model.name, ensure_ascii=False)
    facts = {"adapter": adapter.name, "job": plan.job, "member": me, "name": plan.model.name}
    card = _CARD.format(quoted=name, model=plan.model.sha256, **facts)
    sha256 = peft_folder.write(out, kept.factors, plan.lora, plan.model.name, card)
    return Personalised(me, plan.job, kept.after, rounds, kept.diverged, base, first, last, sha256)


def facts(made: Personalised) -> dict[str, object]:
    """For a program."""
    return asdict(made)


def _validation(learner: Trainer, corpus: Corpus, plan: Plan, factors: Tensors) -> float:
    found = learner.evaluate(factors, corpus.validation.first(plan.evaluation.tokens))
    return found.nats / found.tokens


def _measured(learner: Trainer, corpus: Corpus, plan: Plan, factors: Tensors) -> Measured:
    test = learner.evaluate(factors, corpus.test)
    return Measured(_validation(learner, corpus, plan, factors), test.nats / test.tokens)
