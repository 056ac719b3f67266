"""Training at one machine that keeps what validates best: of a member alone, or of an adapter that it goes on with."""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from clients.contribution import Trained
from clients.dataset import Blocks
from federation.errors import TrainingDiverged
from federation.plan import Train
from federation.tensors import Tensors


class Learner(Protocol):
    """Of trainer.py, or anything with the same function."""

    def stretches(
        self, factors: Tensors, trainable: Set[str], stretches: Iterable[Blocks], train: Train, seed: int, of: int
    ) -> Iterator[Trained]: ...


@dataclass(frozen=True)
class Kept:
    """What was best: after how many stretches, its factors, the validation loss before and after each stretch (NaN
    where none was measured), and whether training did not stay finite (what came before it counts)."""

    after: int
    factors: Tensors
    losses: tuple[float, ...]
    diverged: bool


def train_on(
    learner: Learner,
    start: tuple[Tensors, float],
    stretches: Iterable[Blocks],
    count: int,
    train: Train,
    seed: int,
    validated: Callable[[int, Tensors], float],
) -> Kept:
    """Train all factors over `count` stretches with one optimiser; keep the adapter with the lowest validation loss.

    `start`: the first adapter and its loss; it may be the best. `validated`: (stretches so far, factors) -> loss, NaN
    where it is not to be measured.
    """
    best, first_loss = start
    losses, after, diverged = [first_loss], 0, False
    try:
        for number, each in enumerate(learner.stretches(best, set(best), stretches, train, seed, count), start=1):
            losses.append(validated(number, each.tensors))
            if losses[-1] <= np.nanmin(losses):
                after, best = number, each.tensors
    except TrainingDiverged:
        diverged = True
        losses += [float("nan")] * (count + 1 - len(losses))
    return Kept(after, best, tuple(losses), diverged)
