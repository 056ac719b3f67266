"""A whole job in bytes: some members of a roster, one round that trains and the one that measures.

Real members and the real coordinator; only what they draw at random is replaced, here and nowhere else, by bytes that
follow from a name. One member is lost after its Shares, and one is shown a number of bad requests before each good one.
"""

import hashlib
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from aggregator.carriers import Exchange
from aggregator.rounds import Job, run
from aggregator.store import Store
from clients.contribution import Contribution
from clients.dataset import Blocks, Corpus, Measure
from clients.journal import Journal
from clients.member import Member
from clients.policy import Policy
from federation import plan as p
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry, SignedRoster
from federation.secagg.messages import Refused
from federation.secagg.shamir import PRIME
from federation.tensors import Array, Tensors
from federation.wire import Limits, Signed, read_body, read_frame, write_frame
from vectors.bad_requests import Identities, Requests, bad_requests

OUTSIDE = "0-outside"
MEMBERS = tuple(sorted(("a1", "東京", "浜松", "豊田", "鈴鹿")))
SHAPES = {"layer": (5, 4)}
LIMITS = Limits(header=10**6, blob=10**6)


def fixed(name: str) -> bytes:
    """32 bytes that stand for a secret."""
    return hashlib.sha256(b"rengo test vectors v1, whole job\0" + name.encode()).digest()


def identity(name: str) -> Identity:
    """A party with a key that everyone knows."""
    return Identity(name, Ed25519PrivateKey.from_private_bytes(fixed(f"signing key of {name}")))


PLAN = p.Plan(
    consortium="連合",
    job="whole job",
    members=MEMBERS,
    rounds=1,
    seed=11,
    model=p.Model("tiny", fixed("base model").hex(), "float32", "cpu", 1),
    lora=p.Lora(r=2, alpha=4.0, targets=("layer",)),
    train=p.Train(16, 64, 16, p.Optimizer("adamw", 1e-3, 0.0)),
    scheme=p.Scheme("fedit"),
    server_optim=p.ServerOptim("fedavg", 1.0),
    secagg=p.SecAgg(16, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6),
    privacy=p.Privacy(None),
    evaluation=p.Evaluation(1, 15, 0.15, 0.2),
    deadlines=p.Deadlines(3600, 300),
)


@dataclass(frozen=True)
class Example:
    """A job of `plan` in a roster that has OUTSIDE as well. In round 1 `lost` gets as far as its Shares. Who is shown
    `bad` requests before each good one: by round."""

    plan: p.Plan
    lost: str
    bad: Callable[[Exchange, tuple[Signed, ...], Identities], Requests]
    victims: Mapping[int, str]

    @cached_property
    def identities(self) -> Mapping[str, Identity]:
        """Of the roster, the coordinator and the root."""
        return {name: identity(name) for name in (*sorted((*self.plan.members, OUTSIDE)), COORDINATOR, "root")}

    @cached_property
    def roster(self) -> Roster:
        """Of the members and OUTSIDE."""
        public = {name: one.public_key for name, one in self.identities.items()}
        entries = tuple(RosterEntry(m, f"{m} 株式会社", public[m]) for m in sorted((*self.plan.members, OUTSIDE)))
        return Roster(self.plan.consortium, 1, public[COORDINATOR], entries)


EVERYBODY = Example(PLAN, MEMBERS[2], bad_requests, {1: MEMBERS[0], 2: MEMBERS[0]})


@dataclass(frozen=True)
class Trained:
    """What training gives back."""

    tensors: Mapping[str, Array]


@dataclass(frozen=True)
class Evaluated:
    """A loss, as a sum over one token."""

    nats: float
    tokens: int = 1


class FixedLearner:
    """Moves each factor by given amounts, some of them beyond the first range; its losses are given too."""

    shapes = SHAPES

    def __init__(self, member: str) -> None:
        draws = np.frombuffer(fixed(f"update of {member}"), np.uint8).astype(np.float64)
        self._moves = np.resize((draws - 127.5) / 127.5 * 0.006, 64)
        self.base_loss, self.loss = 2 + draws[0] / 1000, 1 + draws[1] / 1000

    def train(
        self, factors: Tensors, trainable: AbstractSet[str], blocks: Blocks, train: p.Train, seed: int
    ) -> Trained:
        """`factors` moved."""
        moved, start = {}, 0
        for name in sorted(factors):
            stop = start + factors[name].size
            moved[name] = (factors[name] + self._moves[start:stop].reshape(factors[name].shape)).astype(np.float32)
            start = stop
        return Trained(moved)

    def evaluate(self, factors: Tensors, blocks: Blocks) -> Evaluated:
        """The first adapter has B = 0."""
        return Evaluated(self.loss if factors["layer.lora_B"].any() else self.base_loss)


def no_text() -> Corpus:
    """Blocks that nobody looks at."""
    zeros = np.zeros((8, 16), dtype=np.int32)
    blocks = Blocks(zeros, zeros, zeros)
    return Corpus(blocks, blocks, blocks, (Measure(1, 1),), 1, ())


class Draws:
    """In the place of the system's randomness; it keeps what each member drew."""

    def __init__(self) -> None:
        self.member = ""
        self.drawn: dict[str, list[bytes]] = defaultdict(list)

    def bytes32(self, _: int = 32) -> bytes:
        """The next 32 bytes of the member that is asked."""
        drawn = self.drawn[self.member]
        drawn.append(fixed(f"draw {len(drawn)} of {self.member}"))
        return drawn[-1]

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Keys, seeds and coefficients come from here while this lasts."""
        keys = SimpleNamespace(generate=lambda: X25519PrivateKey.from_private_bytes(self.bytes32()))
        seeds = SimpleNamespace(token_bytes=self.bytes32)
        coefficients = SimpleNamespace(randbelow=lambda _: int.from_bytes(self.bytes32()) % PRIME)
        with (
            patch.multiple("federation.secagg.client", X25519PrivateKey=keys, secrets=seeds),
            patch("federation.secagg.shamir.secrets", coefficients),
        ):
            yield

    def set_ups(self, member: str, threshold: int) -> list[dict[str, Any]]:
        """What a member drew, set-up after set-up."""
        drawn, size = [draw.hex() for draw in self.drawn[member]], 3 + 2 * (threshold - 1)
        parts = [drawn[at : at + size] for at in range(0, len(drawn), size)]
        return [
            {
                **dict(zip(("mask_private", "channel_private", "self_mask_seed"), part, strict=False)),
                "seed_coefficients": part[3 : 2 + threshold],
                "key_coefficients": part[2 + threshold :],
            }
            for part in parts
        ]


class Recording:
    """A carrier that writes down every frame, and what is said to bad ones."""

    def __init__(self, example: Example, members: Mapping[str, Member], draws: Draws) -> None:
        self._example, self._members, self._draws = example, members, draws
        self.exchanges: list[dict[str, Any]] = []

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        """Ask the members in order."""
        record: dict[str, Any] = {"round": exchange.round, "step": exchange.step, "requests": {}, "answers": {}}
        self.exchanges.append(record)
        for member in sorted(requests):
            self._draws.member = member
            record["requests"][member] = requests[member].hex()
            if (exchange.round, exchange.step, member) == (1, "masked", self._example.lost):
                continue
            if member == self._example.victims[exchange.round]:
                record["refused"] = self._refused(exchange, member, requests[member])
            answer = self._members[member].handle(requests[member])
            record["answers"][member] = answer.hex()
            yield member, answer

    def _refused(self, exchange: Exchange, member: str, request: bytes) -> dict[str, dict[str, str]]:
        """What a member says to bad requests; none of them changes what it says to the good one."""
        found = {}
        good = read_frame(request, LIMITS)
        for what, messages in self._example.bad(exchange, good, self._example.identities).items():
            frame = write_frame(messages)
            [refused] = read_frame(self._members[member].handle(frame), LIMITS)
            found[what] = {"request": frame.hex(), "code": read_body(Refused, refused.header.body).code}
        return found


def make(example: Example) -> dict[str, Any]:
    """The whole file as plain data."""
    plan, roster, identities = example.plan, example.roster, example.identities
    learners, draws = {m: FixedLearner(m) for m in plan.members}, Draws()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digests = (plan.digest(), roster.digest(), bytes.fromhex(plan.model.sha256))
        policy = Policy(*digests, 1, 100, semi_malicious=plan.secagg.threat == "semi_malicious")
        members = {
            m: Member(
                identities[m],
                roster,
                plan,
                policy,
                Contribution(plan, m, learners[m], no_text()),
                Journal(folder / f"{number}.sqlite"),
                "vectors",
            )
            for number, m in enumerate(plan.members)
        }
        carrier, store = Recording(example, members, draws), Store(folder, plan.digest())
        with draws.everywhere():
            final = run(Job(plan, roster, identities[COORDINATOR], SHAPES), carrier, store, lambda _: None)
        store.close()
    return {
        "about": "A whole job of Rengo secure aggregation, version 1. Made by scripts/make_vectors.py. All secrets are "
        "public. `refused`: requests that its member refuses with the code, right before the good one.",
        "plan": p.plain(plan),
        "roster": {
            "cbor": roster.to_bytes().hex(),
            "signature": SignedRoster.sign(roster, identities["root"]).signature.hex(),
            "root": identities["root"].public_key.hex(),
        },
        "layers": {layer: list(shape) for layer, shape in SHAPES.items()},
        "members": {m: _member(plan, m, learners[m], draws) for m in plan.members},
        "exchanges": carrier.exchanges,
        "final_adapter": {name: array.ravel().tolist() for name, array in sorted(final.factors.items())},
    }


def _member(plan: p.Plan, member: str, learner: FixedLearner, draws: Draws) -> dict[str, Any]:
    contribution = Contribution(plan, member, learner, no_text())
    first = contribution._scheme.export(contribution._first)
    trained = learner.train(first, frozenset(), no_text().train, plan.train, 0).tensors
    return {
        "signing_private": fixed(f"signing key of {member}").hex(),
        "set_ups": draws.set_ups(member, plan.threshold),
        "trained": {name: array.ravel().tolist() for name, array in sorted(trained.items())},
        "base_loss": learner.base_loss,
        "loss": learner.loss,
    }
