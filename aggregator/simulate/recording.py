"""What only a simulation can know: the members' vectors in clear. They are taken where a member's trainer returns them,
from outside, so that neither the member nor the coordinator has a way to hand them over."""

import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from threading import Lock

import numpy as np

from clients.contribution import Evaluated, Learner, Trained
from clients.dataset import Blocks
from federation import privacy, step
from federation.plan import Plan, Train
from federation.ring import Ring
from federation.schemes import State
from federation.schemes.state import LayerShapes
from federation.tensors import Array, Means, Tensors


@dataclass(frozen=True)
class Noted:
    """What one round trained and measured: each member's factors and validation loss (nats a token) under the adapter
    that opened the round, by member in order, and the tokens and seconds that it took.

    Where several members train at once, seconds are those of all of them, divided by how many can: a second in which
    only half of them trains counts half.
    """

    trained: Mapping[str, Mapping[str, Array]]
    losses: Mapping[str, float]
    train_seconds: float
    eval_seconds: float
    trained_tokens: int


class Recording:
    """Notes what the members compute, `at_once` of them in threads of their own."""

    def __init__(self, at_once: int = 1) -> None:
        self._at_once, self._lock = at_once, Lock()
        self._begin()

    def _begin(self) -> None:
        self._trained: dict[str, Mapping[str, Array]] = {}
        self._losses: dict[str, float] = {}
        self._train_seconds = self._eval_seconds = 0.0
        self._tokens = 0

    def train(self, member: str, tensors: Mapping[str, Array], tokens: int, seconds: float) -> None:
        """A member has trained."""
        with self._lock:
            self._trained[member] = tensors
            self._tokens += tokens
            self._train_seconds += seconds / self._at_once

    def evaluate(self, member: str, loss: float, seconds: float) -> None:
        """A member has evaluated. One that needs the base's loss evaluates that first, so the last is the round's."""
        with self._lock:
            self._losses[member] = loss
            self._eval_seconds += seconds / self._at_once

    def take(self) -> Noted:
        """What was noted since the last call."""
        with self._lock:
            trained, losses = dict(sorted(self._trained.items())), dict(sorted(self._losses.items()))
            taken = Noted(trained, losses, self._train_seconds, self._eval_seconds, self._tokens)
            self._begin()
        return taken


class Recorded:
    """One member's view of the shared learner; what it computes is noted in the recording."""

    def __init__(self, learner: Learner, member: str, recording: Recording) -> None:
        self._learner, self._member, self._recording = learner, member, recording

    @property
    def shapes(self) -> LayerShapes:
        """As the learner's."""
        return self._learner.shapes

    def train(self, factors: Tensors, trainable: AbstractSet[str], blocks: Blocks, train: Train, seed: int) -> Trained:
        """As the learner's."""
        started = time.perf_counter()
        trained = self._learner.train(factors, trainable, blocks, train, seed)
        self._recording.train(self._member, trained.tensors, blocks.ids.size, time.perf_counter() - started)
        return trained

    def evaluate(self, factors: Tensors, blocks: Blocks) -> Evaluated:
        """As the learner's."""
        started = time.perf_counter()
        evaluated = self._learner.evaluate(factors, blocks)
        self._recording.evaluate(self._member, evaluated.nats / evaluated.tokens, time.perf_counter() - started)
        return evaluated


@dataclass(frozen=True)
class Difference:
    """A round's secure mean against the plain mean of the same members' updates, before range and rounding.

    `relative_l2`: over all values. `max_quantisation_steps`: the largest difference of one value, in steps of one
    member's quantiser, against the mean of the updates within their ranges (what lies beyond is clipped by design and
    counted in `clipped_share`).
    """

    relative_l2: float
    max_quantisation_steps: float


def compare(plan: Plan, before: State, ring: Ring, mean: Means, trained: Mapping[str, Tensors]) -> Difference:
    """`mean` is the secure one over exactly the members in `trained`; `before` opened the round."""
    encode = step.scheme_of(plan).encode
    updates = [privacy.clip_update(encode(before, tensors), plan.privacy) for tensors in trained.values()]
    distance = size = steps = 0.0
    for name in mean:
        stacked = np.stack([update[name].astype(np.float64) for update in updates])
        plain = stacked.mean(axis=0)
        distance += float(np.square(mean[name] - plain).sum())
        size += float(np.square(plain).sum())
        within = np.clip(stacked, -ring.ranges[name], ring.ranges[name]).mean(axis=0)
        steps = max(steps, float(np.abs(mean[name] - within).max()) / ring.step(name))
    return Difference(float(np.sqrt(distance / size)) if size else float(distance > 0), steps)
