"""The demo's settings, base and documents, for benchmarks that need no consortium around them."""

from collections.abc import Iterable, Sequence

import numpy as np

from aggregator.simulate.config import SimulateConfig
from aggregator.simulate.table import DEMO_BASE, DEMO_MEMBERS
from clients.dataset import Ids
from clients.ingest import Document, read_documents
from federation import base_model, load_plan, plan

HELD_OUT_EVERY = 5


def settings(overrides: Sequence[str]) -> tuple[SimulateConfig, plan.Model]:
    """What `rengo simulate` with these overrides would run, and the base model as it would pin it."""
    config = load_plan.compose(overrides, SimulateConfig, "simulate")
    return config, config.model.pinned(base_model.digest(DEMO_BASE))


def documents(member: int) -> tuple[list[Document], list[Document]]:
    """(to train on, held out) of the demo member with this number: every fifth document is held out."""
    folders = sorted(DEMO_MEMBERS.iterdir())
    texts = read_documents(folders[member % len(folders)]).documents
    train = [text for i, text in enumerate(texts) if i % HELD_OUT_EVERY]
    return train, [text for i, text in enumerate(texts) if not i % HELD_OUT_EVERY]


def leading(tokenised: Iterable[Ids], tokens: int) -> list[Ids]:
    """The first documents, `tokens` tokens of them in all: the last one is cut."""
    taken: list[Ids] = []
    for ids in tokenised:
        rest = tokens - sum(map(len, taken))
        if rest <= 0:
            break
        taken.append(np.asarray(ids[:rest]))
    return taken
