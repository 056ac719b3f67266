"""Training in stretches with one optimiser, and losses token by token: what arms need of the trainer."""

import dataclasses

import numpy as np
import pytest

from clients.dataset import Blocks
from clients.trainer import Trainer
from federation import plan, tensors
from tests.unit.test_trainer import TRAIN, blocks, factors_for, trainer

__all__ = ["blocks", "trainer"]  # fixtures


class TestStretches:
    """Several stretches of text with one optimiser: what a site would do without a federation."""

    def both(self, trainer: Trainer) -> frozenset[str]:
        return frozenset(factors_for(trainer))

    def test_are_one_training_cut_in_two(self, trainer: Trainer, blocks: Blocks) -> None:
        given, names = factors_for(trainer), self.both(trainer)
        whole = trainer.train(given, names, blocks[:4], TRAIN, 0).tensors
        *_, last = trainer.stretches(given, names, [blocks[:2], blocks[2:4]], TRAIN, 0, 2)
        assert tensors.digest(last.tensors) == tensors.digest(whole)

    def test_a_new_optimiser_in_between_would_be_another_training(self, trainer: Trainer, blocks: Blocks) -> None:
        given, names = factors_for(trainer), self.both(trainer)
        whole = trainer.train(given, names, blocks[:4], TRAIN, 0).tensors
        half = trainer.train(given, names, blocks[:2], TRAIN, 0).tensors
        restarted = trainer.train(half, names, blocks[2:4], TRAIN, 0).tensors
        assert tensors.digest(restarted) != tensors.digest(whole)

    def test_the_rate_falls_from_stretch_to_stretch(self, trainer: Trainer, blocks: Blocks) -> None:
        given, names = factors_for(trainer), self.both(trainer)
        sgd = dataclasses.replace(TRAIN, optimizer=plan.Optimizer("sgd", 0.5, 0.0, decay_to=0.1))  # has no state
        first, second = trainer.stretches(given, names, [blocks[:2], blocks[2:4]], sgd, 0, 2)
        slower = dataclasses.replace(sgd, optimizer=plan.Optimizer("sgd", 0.05, 0.0))
        alone = trainer.train(first.tensors, names, blocks[2:4], slower, 0).tensors
        assert tensors.digest(second.tensors) == tensors.digest(alone)
        assert tensors.digest(first.tensors) == tensors.digest(trainer.train(given, names, blocks[:2], sgd, 0).tensors)

    def test_the_trainer_may_be_used_in_between(self, trainer: Trainer, blocks: Blocks) -> None:
        given, names = factors_for(trainer), self.both(trainer)
        *_, undisturbed = trainer.stretches(given, names, [blocks[:2], blocks[2:4]], TRAIN, 0, 2)
        stretches = trainer.stretches(given, names, [blocks[:2], blocks[2:4]], TRAIN, 0, 2)
        first = next(stretches)
        before = tensors.digest(first.tensors)
        trainer.evaluate({name: 2 * array for name, array in given.items()}, blocks)
        trainer.train(given, frozenset(sorted(names)[:1]), blocks[:2], TRAIN, 0)
        last = next(stretches)
        assert tensors.digest(last.tensors) == tensors.digest(undisturbed.tensors)
        assert tensors.digest(first.tensors) == before  # what was handed out stays as it is


def test_losses_are_one_a_predicted_token_in_the_order_of_the_text(trainer: Trainer, blocks: Blocks) -> None:
    factors = factors_for(trainer)
    whole = trainer.losses(factors, blocks)
    assert whole.shape == (blocks.predicted,)
    parts = [trainer.losses(factors, blocks[i : i + 1]) for i in range(len(blocks))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-4)
    assert trainer.evaluate(factors, blocks).nats == pytest.approx(float(whole.sum(dtype=np.float64)))
    assert trainer.losses(factors, blocks[:0]).shape == (0,)
