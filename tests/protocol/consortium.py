"""A small consortium in memory: real members, real coordinator, real journals and stores; only the model is small.

`TinyLearner` is a linear model trained by gradient descent in numpy, so that protocol tests take milliseconds.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from aggregator.carriers import Exchange
from aggregator.carriers.in_process import InProcess
from aggregator.rounds import Event, Job, RoundDone, run
from aggregator.store import Store
from clients.contribution import Contribution
from clients.dataset import Blocks, Corpus
from clients.journal import Journal
from clients.member import Member
from clients.policy import Policy
from federation import plan as p
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster
from federation.schemes import State
from federation.tensors import Array, Tensors

LAYER = "layer"
SHAPES = {LAYER: (5, 4)}
BASE_MODEL = bytes(range(32))


@dataclass(frozen=True)
class Trained:
    tensors: Mapping[str, Array]


@dataclass(frozen=True)
class Evaluated:
    nats: float
    tokens: int


class TinyLearner:
    """Learns a 5x4 matrix W = B A from pairs (x, y) that a member's token ids stand for. Squared error."""

    shapes = SHAPES

    def train(
        self, factors: Tensors, trainable: AbstractSet[str], blocks: Blocks, train: p.Train, seed: int
    ) -> Trained:
        a, b = (factors[f"{LAYER}.lora_{f}"].astype(np.float64) for f in "AB")
        for ids in blocks.ids:
            x, y = _pair(ids)
            error = b @ (a @ x) - y
            rate = train.optimizer.learning_rate
            b, a = b - rate * np.outer(error, a @ x), a - rate * np.outer(b.T @ error, x)
        return Trained({f"{LAYER}.lora_A": a.astype(np.float32), f"{LAYER}.lora_B": b.astype(np.float32)})

    def evaluate(self, factors: Tensors, blocks: Blocks) -> Evaluated:
        a, b = factors[f"{LAYER}.lora_A"], factors[f"{LAYER}.lora_B"]
        errors = [float(np.square(b @ (a @ _pair(ids)[0]) - _pair(ids)[1]).sum()) for ids in blocks.ids]
        return Evaluated(float(np.mean(errors)) * blocks.predicted, blocks.predicted)


def _pair(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = (ids[:9].astype(np.float64) - 50) / 50
    return values[:4], values[4:]


def make_plan(members: tuple[str, ...], **changes: object) -> p.Plan:
    plan = p.Plan(
        consortium="名古屋製造業コンソーシアム",
        job="walk",
        members=members,
        rounds=2,
        seed=7,
        model=p.Model("tiny", BASE_MODEL.hex(), "float32", "cpu", 1),
        lora=p.Lora(r=2, alpha=4.0, targets=(LAYER,)),
        train=p.Train(16, 64, 16, p.Optimizer("adamw", 0.5, 0.0)),
        scheme=p.Scheme("fedit"),
        server_optim=p.ServerOptim("fedavg", 1.0),
        secagg=p.SecAgg(32, "malicious", 3, "auto", 8.0, 1e-6),
        privacy=p.Privacy(None),
        evaluation=p.Evaluation(1, 30, 0.2),
    )
    return replace(plan, **changes)


def make_corpus(member: str) -> Corpus:
    """Token blocks that differ by member and share one relation, y = W x, which the members can learn together."""
    stream = np.random.default_rng(int.from_bytes(member.encode()) % 2**32)
    relation = np.random.default_rng(5).uniform(-0.5, 0.5, (5, 4))
    ids = stream.integers(0, 100, (12, 16)).astype(np.int32)
    ids[:, 4:9] = np.rint(50 + (ids[:, :4] - 50) @ relation.T)
    labels = np.where(np.arange(16) < 15, np.roll(ids, -1, axis=1), -100).astype(np.int32)
    positions = np.tile(np.arange(16, dtype=np.int32), (12, 1))
    blocks = Blocks(ids, positions, labels)
    return Corpus(blocks[:8], blocks[8:], 100, 12, ())


@dataclass
class Consortium:
    """N members and a coordinator. `members` can be replaced one by one, to restart or corrupt them."""

    folder: Path
    plan: p.Plan
    root: Identity
    coordinator: Identity
    identities: dict[str, Identity]
    roster: Roster
    members: dict[str, Member] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    minimum_cohort: int = 1
    rounds_per_data_set: int = 100

    @property
    def names(self) -> tuple[str, ...]:
        return self.plan.members

    @property
    def job(self) -> Job:
        return Job(self.plan, self.roster, self.coordinator, SHAPES)

    def policy(self) -> Policy:
        digests = (self.plan.digest(), self.roster.digest(), BASE_MODEL)
        return Policy(*digests, self.minimum_cohort, self.rounds_per_data_set)

    def start_member(self, name: str) -> Member:
        """A member process: fresh memory over the journal that is on its disk."""
        journal = Journal(self.folder / "members" / name / "journal.sqlite")
        contribution = Contribution(self.plan, name, TinyLearner(), make_corpus(name))
        member = Member(
            self.identities[name], self.roster, self.plan, self.policy(), contribution, journal, "in-process"
        )
        self.members[name] = member
        return member

    def handlers(self) -> dict[str, Callable[[bytes], bytes]]:
        """Looked up at each call, so that a restarted member answers."""
        return {name: (lambda request, n=name: self.members[n].handle(request)) for name in self.names}

    def store(self) -> Store:
        return Store(self.folder / "coordinator", self.plan.digest())

    def run(self, carrier: object = None) -> State:
        store = self.store()
        try:
            return run(self.job, carrier or InProcess(self.handlers()), store, self.events.append)
        finally:
            store.close()

    @property
    def rounds(self) -> list[RoundDone]:
        return [event for event in self.events if isinstance(event, RoundDone)]


def make_consortium(folder: Path, count: int = 5, **changes: object) -> Consortium:
    names = tuple(f"m{index:02d}" for index in range(count))
    root, coordinator = Identity.create("root"), Identity.create(COORDINATOR)
    identities = {name: Identity.create(name) for name in names}
    entries = tuple(RosterEntry(name, f"{name} 株式会社", identities[name].public_key) for name in names)
    plan = make_plan(names, **changes)
    roster = Roster(plan.consortium, 1, coordinator.public_key, entries)
    roster = SignedRoster.sign(roster, root).verify(root.public_key)
    consortium = Consortium(folder, plan, root, coordinator, identities, roster)
    for name in names:
        consortium.start_member(name)
    return consortium


class Losing:
    """A carrier that loses what `lost(exchange, member)` says: "request", "reply" or None."""

    def __init__(
        self, handlers: Mapping[str, Callable[[bytes], bytes]], lost: Callable[[Exchange, str], str | None]
    ) -> None:
        self._handlers, self._lost = handlers, lost

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        for member in sorted(requests):
            how = self._lost(exchange, member)
            if how != "request":
                answer = self._handlers[member](requests[member])
                if how != "reply":
                    yield member, answer
