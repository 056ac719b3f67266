"""A small consortium in memory: real members, real coordinator, real journals and stores; only the model is small.

`TinyLearner` is a linear model trained by gradient descent in numpy, so that protocol tests take milliseconds.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aggregator.carriers import Carrier, Exchange
from aggregator.carriers.in_process import InProcess
from aggregator.rounds import AttemptFailed, Event, Job, RoundDone, run
from aggregator.store import Checkpoint, Store
from clients.contribution import Contribution, Received
from clients.dataset import Blocks, Corpus, Measure
from clients.journal import Journal
from clients.member import Member
from clients.policy import Policy
from federation import plan as p
from federation import step, tensors
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster
from federation.ring import Ring
from federation.schemes import State
from federation.secagg.primitives import Words
from federation.tensors import Array, Tensors

Floats = NDArray[np.float64]
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
    """Learns a 5x4 matrix W = B A, or B R A, from pairs (x, y) that a member's token ids stand for. Squared error.

    `calls` counts trainings and evaluations.
    """

    shapes = SHAPES

    def __init__(self) -> None:
        self.calls = 0

    def train(
        self, factors: Tensors, trainable: AbstractSet[str], blocks: Blocks, train: p.Train, seed: int
    ) -> Trained:
        with np.errstate(all="ignore"):  # tests let it diverge
            return self._train(factors, blocks, train)

    def _train(self, factors: Tensors, blocks: Blocks, train: p.Train) -> Trained:
        self.calls += 1
        a, b = (factors[f"{LAYER}.lora_{f}"].astype(np.float64) for f in "AB")
        if f"{LAYER}.lora_R" in factors:
            return self._train_core(factors, a, b, blocks, train.optimizer.learning_rate)
        for ids in blocks.ids:
            x, y = _pair(ids)
            error = b @ (a @ x) - y
            rate = train.optimizer.learning_rate
            b, a = b - rate * np.outer(error, a @ x), a - rate * np.outer(b.T @ error, x)
        return Trained({f"{LAYER}.lora_A": a.astype(np.float32), f"{LAYER}.lora_B": b.astype(np.float32)})

    def _train_core(self, factors: Tensors, a: Floats, b: Floats, blocks: Blocks, rate: float) -> Trained:
        r = factors[f"{LAYER}.lora_R"].astype(np.float64)
        for ids in blocks.ids:
            x, y = _pair(ids)
            r = r - rate * np.outer(b.T @ (b @ (r @ (a @ x)) - y), a @ x)
        return Trained({**factors, f"{LAYER}.lora_R": r.astype(np.float32)})

    def evaluate(self, factors: Tensors, blocks: Blocks) -> Evaluated:
        self.calls += 1
        a, b = factors[f"{LAYER}.lora_A"], factors[f"{LAYER}.lora_B"]
        with np.errstate(all="ignore"):
            errors = self._errors(a, b, blocks)
        return Evaluated(float(np.mean(errors)) * blocks.predicted, blocks.predicted)

    def _errors(self, a: Array, b: Array, blocks: Blocks) -> list[float]:
        return [float(np.square(b @ (a @ _pair(ids)[0]) - _pair(ids)[1]).sum()) for ids in blocks.ids]


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
        secagg=p.SecAgg(32, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6),
        privacy=p.Privacy(None),
        evaluation=p.Evaluation(1, 30, 0.2, 0.2),
        deadlines=p.Deadlines(3600, 300),
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
    return Corpus(blocks[:8], blocks[8:10], blocks[10:], (Measure(30, 100),), 12, ())


class Recorded(Store):
    """The coordinator's store, which also shows every checkpoint that it commits."""

    def __init__(self, folder: Path, plan_digest: bytes, checkpoints: list[Checkpoint]) -> None:
        super().__init__(folder, plan_digest)
        self._checkpoints = checkpoints

    def commit(self, checkpoint: Checkpoint, *, carried: bool = False) -> None:
        super().commit(checkpoint, carried=carried)
        self._checkpoints.append(checkpoint)


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
    learners: dict[str, TinyLearner] = field(default_factory=dict)
    journals: dict[str, Journal] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
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
        weaker = self.plan.secagg.threat == "semi_malicious"
        return Policy(*digests, self.minimum_cohort, self.rounds_per_data_set, semi_malicious=weaker)

    def start_member(self, name: str, plan: p.Plan | None = None, **approved: object) -> Member:
        """A member process: fresh memory over the journal that is on its disk. `approved` overrides its policy."""
        if name in self.journals:
            self.journals[name].close()
        self.journals[name] = Journal(self.folder / "members" / name / "journal.sqlite")
        self.members[name] = self._member(name, plan or self.plan, replace(self.policy(), **approved))
        return self.members[name]

    def second_job(self, job: str, **changes: object) -> "Consortium":
        """The same members, open at the same time on the same data and journals, in another job."""
        second = replace(self, plan=replace(self.plan, job=job, **changes), members={}, events=[], checkpoints=[])
        second.members = {name: second._member(name, second.plan, second.policy()) for name in self.names}
        return second

    def _member(self, name: str, plan: p.Plan, policy: Policy) -> Member:
        self.learners[name] = TinyLearner()
        contribution = Contribution(plan, name, self.learners[name], make_corpus(name))
        identity, journal = self.identities[name], self.journals[name]
        return Member(identity, self.roster, plan, policy, contribution, journal, "in-process")

    def handlers(self) -> dict[str, Callable[[bytes], bytes]]:
        """Looked up at each call, so that a restarted member answers."""
        return {name: (lambda request, n=name: self.members[n].handle(request)) for name in self.names}

    def store(self) -> Recorded:
        return Recorded(self.folder / self.plan.job, self.plan.digest(), self.checkpoints)

    def run(self, carrier: Carrier | None = None, store: Store | None = None) -> State:
        with contextlib.closing(store or self.store()) as store:
            return run(self.job, carrier or InProcess(self.handlers()), store, self.events.append)

    @property
    def rounds(self) -> list[RoundDone]:
        return [event for event in self.events if isinstance(event, RoundDone)]

    @property
    def failed(self) -> list[AttemptFailed]:
        return [event for event in self.events if isinstance(event, AttemptFailed)]

    def states(self) -> list[State]:
        """The state that opened each round that is done."""
        return [step.first_state(self.plan, SHAPES), *(done.state for done in self.rounds)][: len(self.rounds)]

    def plain_words(self, name: str, round: int, state: State, ring: Ring) -> Words:
        """The vector that this member masks, computed apart from it: same learner, same data, same rounding stream."""
        contribution = Contribution(self.plan, name, TinyLearner(), make_corpus(name))
        return contribution.contribute(Received(round, state, ring, bytes(32)))

    def check_sums(self) -> None:
        """Every committed sum is the plain sum of U3's vectors, word for word."""
        for done, state, checkpoint in zip(self.rounds, self.states(), self.checkpoints, strict=True):
            words = [self.plain_words(name, done.round, state, done.ring) for name in done.aggregation.u3]
            assert np.array_equal(np.sum(words, axis=0, dtype=done.ring.dtype), checkpoint.total)

    def left(self, name: str) -> list[str]:
        """Every statement that left a member's site, by its journal."""
        return [kind for row in self.journals[name].sent() if row.job for kind in row.kinds.split()]


def make_consortium(
    folder: Path, count: int = 5, minimum_cohort: int = 1, rounds_per_data_set: int = 100, **changes: object
) -> Consortium:
    """`changes` replace fields of the plan."""
    names = tuple(f"m{index:02d}" for index in range(count))
    root, coordinator = Identity.create("root"), Identity.create(COORDINATOR)
    identities = {name: Identity.create(name) for name in names}
    entries = tuple(RosterEntry(name, f"{name} 株式会社", identities[name].public_key) for name in names)
    plan = make_plan(names, **changes)
    roster = Roster(plan.consortium, 1, coordinator.public_key, entries)
    roster = SignedRoster.sign(roster, root).verify(root.public_key)
    consortium = Consortium(folder, plan, root, coordinator, identities, roster)
    consortium.minimum_cohort, consortium.rounds_per_data_set = minimum_cohort, rounds_per_data_set
    for name in names:
        consortium.start_member(name)
    return consortium


def digest(state: State) -> bytes:
    """The name of the adapter that a state holds."""
    return tensors.digest(state.factors)


def undisturbed(folder: Path, count: int = 5) -> bytes:
    """The final adapter's digest of the usual job when nothing is lost."""
    return digest(make_consortium(folder / "undisturbed", count).run())


Lost = Literal["request", "answer"]


class Losing:
    """A carrier that loses what `lost` says at (round, step, member): always, or once. It remembers what it carried.

    `dies_at`: where the coordinator is killed, before it asks.
    """

    def __init__(
        self,
        consortium: Consortium,
        lost: Mapping[tuple[int, str, str], Lost] | None = None,
        *,
        once: bool = False,
        dies_at: Exchange | None = None,
    ) -> None:
        self._consortium, self._lost, self._once, self._dies_at = consortium, dict(lost or {}), once, dies_at
        self.exchanges: list[Exchange] = []
        self.requests: list[tuple[Exchange, str, bytes]] = []
        self.answers: list[tuple[Exchange, str, bytes]] = []

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        if exchange == self._dies_at:
            raise Killed
        self.exchanges.append(exchange)
        for member in sorted(requests):
            self.requests.append((exchange, member, requests[member]))
            take = self._lost.pop if self._once else self._lost.get
            how = take((exchange.round, exchange.step, member), None)
            if how != "request":
                answer = self._consortium.members[member].handle(requests[member])
                self.answers.append((exchange, member, answer))
                if how != "answer":
                    yield member, answer


class Killed(Exception):
    """The coordinator's process is gone."""
