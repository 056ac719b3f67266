"""The smallest job that the real machines run: four members, t = 3, one value a vector. The model and the fuzzer drive
it; identities and keys follow from names, so that what was signed in one run verifies in the next."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from random import Random
from typing import Any
from unittest import mock

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from numpy.typing import NDArray

from clients.contribution import Contribution, Received
from clients.policy import Policy
from federation import plan as p
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry
from federation.ring import Ring
from federation.schemes import State
from federation.secagg.contexts import SUITE
from federation.secagg.messages import Broadcast, Offer
from federation.secagg.parties import Parties
from federation.tensors import Shapes
from federation.wire import ZERO_DIGEST, Buffer

MEMBERS = ("m0", "m1", "m2", "m3")
LAYER = "layer"
SHAPES = {LAYER: (2, 3)}
RING = Ring(32, len(MEMBERS), {}, {}, ("diverged",))
MODEL = bytes(range(32))


class OneValue(Contribution):
    """Learns nothing and accepts any adapter, in any round: a coordinator can do more against it than against a real
    contribution, which recomputes each adapter from the last sum."""

    def __init__(self) -> None:
        """Nothing to prepare."""

    def adapter_shapes(self, round: int) -> Shapes:
        return {LAYER: (1,)}

    def receive(self, round: int, broadcast: Broadcast, blob: Buffer) -> Received:
        return Received(round, State(round - 1, {}), RING, broadcast.adapter)

    def knows(self, round: int) -> bool:
        return True

    def contribute(self, received: Received) -> NDArray[np.unsignedinteger[Any]]:
        return np.zeros(RING.dimension, RING.dtype)


class SmallJob:
    """Who takes part, under which plan."""

    def __init__(self, rounds: int = 2) -> None:
        self.identities = {name: _identity(name) for name in (*MEMBERS, COORDINATOR)}
        entries = tuple(RosterEntry(name, name, self.identities[name].public_key) for name in MEMBERS)
        self.plan = small_plan(rounds)
        self.roster = Roster(self.plan.consortium, 1, self.coordinator.public_key, entries)
        self.parties = Parties(self.roster, MEMBERS)

    @property
    def coordinator(self) -> Identity:
        return self.identities[COORDINATOR]

    @cached_property
    def policy(self) -> Policy:
        return Policy(self.plan.digest(), self.roster.digest(), MODEL, minimum_cohort=1, rounds_per_data_set=10**6)

    def offer(self, round: int = 1, attempt: int = 1, parent: bytes = ZERO_DIGEST) -> Offer:
        plan = self.plan
        digests = (self.roster.digest(), plan.digest(), MODEL)
        return Offer(SUITE, plan.consortium, plan.job, round, attempt, parent, *digests)


def small_plan(rounds: int) -> p.Plan:
    return p.Plan(
        consortium="small",
        job="small",
        members=MEMBERS,
        rounds=rounds,
        seed=1,
        model=p.Model("tiny", MODEL.hex(), "float32", "cpu", 1),
        lora=p.Lora(r=1, alpha=1.0, targets=(LAYER,)),
        train=p.Train(8, 8, 8, p.Optimizer("sgd", 0.1, 0.0)),
        scheme=p.Scheme("fedit"),
        server_optim=p.ServerOptim("fedavg", 1.0),
        secagg=p.SecAgg(32, "malicious", None, None, "auto", 3, "auto", 8.0, 1e-6),
        privacy=p.Privacy(None),
        evaluation=p.Evaluation(1, 8, 0.2, 0.2),
        deadlines=p.Deadlines(3600, 300),
    )


@contextmanager
def same_randomness() -> Iterator[None]:
    """Everything secret inside is the same in every run: what is made here protects nothing."""
    source = Random("rengo")  # noqa: S311

    def private() -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(source.randbytes(32))

    with (
        mock.patch("secrets.token_bytes", source.randbytes),
        mock.patch("secrets.randbelow", source.randrange),
        mock.patch.object(X25519PrivateKey, "generate", private),
    ):
        yield


def _identity(name: str) -> Identity:
    return Identity.from_private_bytes(name, hashlib.sha256(name.encode()).digest())
