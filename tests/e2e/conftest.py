"""Small real runs of `rengo simulate`: the demo's own base model and documents, few members, few tokens."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aggregator.simulate.table import DEMO_MEMBERS
from tests.e2e.sites import PATIENCE, Consortium, Program, rengo, succeeds, wait_until
from tests.e2e.watching import Watch

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
    "probes=none",
)


def copy_members(target: Path, count: int, documents: int = 5, *, small: bool = False) -> Path:
    """The first `count` demo members' folders, with a few documents each, in whatever formats they come; the smallest
    ones if `small`."""
    for folder in sorted(DEMO_MEMBERS.iterdir())[:count]:
        (target / folder.name).mkdir(parents=True)
        found = sorted(file for file in folder.iterdir() if file.is_file())
        for document in sorted(found, key=lambda file: file.stat().st_size if small else 0)[:documents]:
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


@dataclass(frozen=True)
class Trained:
    """A job that is done: who took part, what the programs wrote, what they were seen to do, and the status at its
    end."""

    consortium: Consortium
    plan: Path
    coordinator: Program
    members: dict[str, Program]
    watch: Watch
    ended: dict[str, Any]


@pytest.fixture(scope="session")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Watches every program of the consortium, from the first to the last."""
    watch = Watch(tmp_path_factory.mktemp("watch"))
    yield watch
    watch.stop()


@pytest.fixture(scope="session")
def consortium(watch: Watch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """Four members (t = 3) that have joined and stand in the roster; the registry listens."""
    folder = tmp_path_factory.mktemp("consortium")
    data = copy_members(folder / "data", 4)
    names = sorted(each.name for each in data.iterdir())
    made = Consortium(folder, names, data, watch.environment)
    try:
        made.create()
        made.serve()
        for name in names:
            assert made.join(name, made.token(name)).code == 0
        made.sign_roster()
        yield made
    finally:
        made.stop()


def connected(consortium: Consortium) -> list[str]:
    """Who is connected to a job that is paused."""
    now = succeeds("coordinator", "status", "--home", consortium.home)
    assert (now["phase"], now["asked"]) == ("paused", []), now
    return list(now["online"])


@pytest.fixture(scope="session")
def trained(consortium: Consortium, watch: Watch) -> Trained:
    """Their job, from the plan to the exported adapter; afterwards the registry listens again."""
    assert succeeds("coordinator", "stop", "--home", consortium.home)["stopped"]
    assert consortium.running[-1].process.wait(PATIENCE) == 130  # its lock ends shortly before itself
    plan = consortium.make_plan()
    coordinator = consortium.serve(plan)
    coordinator.says("0 of 4 members approved")
    assert succeeds("coordinator", "pause", "--home", consortium.home) == {"job": "trial", "paused": True}
    for name in consortium.names:
        succeeds("member", "approve", "--home", consortium.folder / name, "--yes", **consortium.environment)
    members = {name: consortium.start_member(name) for name in consortium.names}
    coordinator.says("job trial is paused")
    wait_until(lambda: connected(consortium) == list(consortium.names), "all members connect to the paused job")
    succeeds("coordinator", "backup", consortium.folder / "backup", "--home", consortium.home)
    succeeds("coordinator", "resume", "--home", consortium.home)
    assert coordinator.process.wait(4 * PATIENCE) == 0, coordinator.text()
    for name in consortium.names:
        succeeds("member", "stop", "--home", consortium.folder / name)
    ended = json.loads(rengo("coordinator", "status", "--home", consortium.home).out)
    consortium.serve()
    return Trained(consortium, plan, coordinator, members, watch, ended)
