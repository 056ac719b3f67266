"""Small real runs of `rengo simulate`: the demo's own base model and documents, few members, few tokens."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from aggregator.simulate.table import DEMO_MEMBERS

SMALL = (
    "model.threads=1",
    "train.sequence_length=64",
    "train.tokens_per_round=128",
    "train.tokens_per_step=64",
    "train.optimizer.learning_rate=2e-3",
    "evaluation.tokens=64",
    "evaluation.every=1",
    "evaluation.validation_share=0.1",
    "evaluation.test_share=0.1",
    "arms=none",
)


def copy_members(target: Path, count: int, documents: int = 5) -> Path:
    """The first `count` demo members' folders, with a few documents each, in whatever formats they come."""
    for folder in sorted(DEMO_MEMBERS.iterdir())[:count]:
        (target / folder.name).mkdir(parents=True)
        for document in sorted(file for file in folder.iterdir() if file.is_file())[:documents]:
            shutil.copy(document, target / folder.name)
    return target


@pytest.fixture(scope="session")
def seven_members(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven members: t = 5, so that each round can lose one."""
    return copy_members(tmp_path_factory.mktemp("data") / "members", 7)


@pytest.fixture(scope="session")
def overrides(seven_members: Path) -> Callable[..., Sequence[str]]:
    """Overrides of a small job over the seven members."""
    return lambda *more: [*SMALL, f"data={seven_members}", "dropouts.each_round=1", "rounds=4", *more]
