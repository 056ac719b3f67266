"""A job with a large adapter, whose members learn nothing: what is left is what rounds do with the bytes.

Members are the real ones (journal, checks of the adapter against the last sum, masks); their learner adds noise.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import numpy as np

from aggregator.rounds import Job
from clients.contribution import Contribution
from clients.dataset import Blocks, Corpus, Measure
from clients.home import Home
from clients.journal import Journal
from clients.member import Member, request_limits
from clients.policy import Policy
from clients.service import Service
from federation import plan as p
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry
from federation.schemes.state import LayerShapes
from federation.tensors import Array, Tensors

WIDTH, RANK = 4096, 64
"""Of each linear layer, and of its adapter: 524,288 values a layer."""
_MODEL = bytes(32)
_LENGTH = 16


@dataclass(frozen=True)
class Large:
    """What every process of the job is told. `keys`: private keys by name, made for this measurement alone."""

    plan: p.Plan
    layers: int
    keys: Mapping[str, bytes]

    @classmethod
    def make(cls, members: int, values: int, bits: Literal[16, 32], rounds: int) -> "Large":
        """As many layers as come nearest to `values`."""
        names = tuple(f"member-{number:02}" for number in range(members))
        keys = {name: Identity.create(name).private_bytes() for name in (*names, COORDINATOR)}
        plan = p.Plan(
            consortium="bench",
            job="large",
            members=names,
            rounds=rounds,
            seed=1,
            model=p.Model("none", _MODEL.hex(), "float32", "cpu", 1),
            lora=p.Lora(r=RANK, alpha=1.0, targets=("layer",)),
            train=p.Train(_LENGTH, _LENGTH, _LENGTH, p.Optimizer("adamw", 0.001, 0.0)),
            scheme=p.Scheme("fedit"),
            server_optim=p.ServerOptim("fedavg", 1.0),
            secagg=p.SecAgg(bits, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6),
            privacy=p.Privacy(None),
            evaluation=p.Evaluation(1, _LENGTH, 0.2, 0.2),
            deadlines=p.Deadlines(1800, 1800),
        )
        return cls(plan, max(1, round(values / (2 * WIDTH * RANK))), keys)

    @property
    def shapes(self) -> LayerShapes:
        """The layers, (out, in)."""
        return {f"model.{number:03}.layer": (WIDTH, WIDTH) for number in range(self.layers)}

    @property
    def values(self) -> int:
        """How many the adapter has."""
        return self.layers * 2 * WIDTH * RANK

    @property
    def roster(self) -> Roster:
        """Everybody."""
        entries = tuple(RosterEntry(m, m, self.identity(m).public_key) for m in self.plan.members)
        return Roster(self.plan.consortium, 1, self.identity(COORDINATOR).public_key, entries)

    def identity(self, name: str) -> Identity:
        """A member's or the coordinator's."""
        return Identity.from_private_bytes(name, self.keys[name])

    def job(self) -> Job:
        """For the coordinator."""
        return Job(self.plan, self.roster, self.identity(COORDINATOR), self.shapes)

    def member(self, name: str, folder: Path) -> tuple[Member, Contribution]:
        """The real one, with its journal in `folder`."""
        contribution = Contribution(self.plan, name, Noise(self.shapes), _corpus())
        policy = Policy(self.plan.digest(), self.roster.digest(), _MODEL, 1, 1000)
        journal = Journal(folder / "journal.sqlite")
        member = Member(self.identity(name), self.roster, self.plan, policy, contribution, journal, "bench")
        return member, contribution


class Noise:
    """A learner that moves every value a little, and finds every loss the same."""

    def __init__(self, shapes: LayerShapes) -> None:
        self.shapes = shapes

    def train(
        self, factors: Tensors, trainable: AbstractSet[str], blocks: Blocks, train: p.Train, seed: int
    ) -> "Moved":
        """`factors` with noise of 0.0003."""
        stream = np.random.default_rng(seed)

        def moved(array: Array) -> Array:
            noise = stream.standard_normal(array.shape, np.float32)
            noise *= np.float32(0.0003)
            noise += array
            return noise

        return Moved({name: moved(array) if name in trainable else array for name, array in factors.items()})

    def evaluate(self, factors: Tensors, blocks: Blocks) -> "Same":
        """One nat a token."""
        return Same(float(blocks.predicted), blocks.predicted)


@dataclass(frozen=True)
class Moved:
    """What training gives back."""

    tensors: Mapping[str, Array]


@dataclass(frozen=True)
class Same:
    """What evaluation gives back."""

    nats: float
    tokens: int


def serve_site(large: Large, name: str, folder: Path, socket: Path, ready: Connection) -> None:
    """One member in this process, behind the socket that a relay connects to; until the other end of `ready` closes."""
    member, contribution = large.member(name, folder)
    limits = request_limits(large.plan, contribution)
    service = Service(Home(folder), member.handle, 4 * (limits.header + limits.blob), large.plan.job, socket)
    ready.send_bytes(b"ready")
    _wait(ready)
    service.close()


def serve_crowd(large: Large, names: Sequence[str], folder: Path, pipe: Connection) -> None:
    """All members in this process: a name and a request come through `pipe`, the answer goes back."""
    members = {}
    for name in names:
        (folder / name).mkdir()
        members[name], _ = large.member(name, folder / name)
    pipe.send_bytes(b"ready")
    while name := pipe.recv_bytes().decode():
        pipe.send_bytes(members[name].handle(pipe.recv_bytes()))


def _wait(ready: Connection) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        ready.recv_bytes()
    except EOFError:
        return


def _corpus() -> Corpus:
    ids = np.ones((4, _LENGTH), np.int32)
    blocks = Blocks(ids, np.tile(np.arange(_LENGTH, dtype=np.int32), (4, 1)), ids)
    return Corpus(blocks, blocks, blocks, (Measure(_LENGTH, _LENGTH),), 1, ())
