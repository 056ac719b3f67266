"""Several threads train on one base at once: the same floats as one after another, and one base in memory."""

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest
import torch

from clients.dataset import Blocks, pack, tokenise
from clients.ingest import Document
from clients.trainer import Trainer
from federation import tensors
from federation.errors import TrainingDiverged
from tests.unit.test_trainer import BASE, LORA, MODEL, TEXTS, TRAIN, factors_for, with_optimizer

FOUR = range(4)


@pytest.fixture(params=[1, 2])
def trainer(request: pytest.FixtureRequest) -> Trainer:
    """With one torch thread for each of ours, and with two."""
    return Trainer(BASE, dataclasses.replace(MODEL, dtype="bfloat16", threads=request.param), LORA)


@pytest.fixture
def blocks(trainer: Trainer) -> Blocks:
    documents = tokenise([Document(str(i), text) for i, text in enumerate(TEXTS)], trainer.tokenizer)
    return pack(documents, 32, trainer.tokenizer.pad_id)


def at_once(function: Callable[[int], Any]) -> list[Any]:
    """`function` of each of FOUR, really at once: all begin together."""
    together = threading.Barrier(len(FOUR))

    def begin(number: int) -> Any:
        together.wait()
        return function(number)

    with ThreadPoolExecutor(len(FOUR)) as pool:
        return list(pool.map(begin, FOUR))


def global_state() -> tuple[Any, ...]:
    memory: Any = torch.utils.deterministic
    mode = torch.get_deterministic_debug_mode()
    return torch.get_num_threads(), mode, memory.fill_uninitialized_memory, torch.get_rng_state().sum().item()


def test_members_that_train_at_once_learn_what_they_learn_one_after_another(trainer: Trainer, blocks: Blocks) -> None:
    factors = factors_for(trainer)

    def learn(number: int) -> tuple[bytes, float, float]:
        trainer.evaluate(factors, blocks)  # as a member does: before it trains
        train = with_optimizer("adamw", 1e-3 * (number + 1))
        trained = trainer.train(factors, factors.keys(), blocks, train, seed=number)
        evaluated = trainer.evaluate(trained.tensors, blocks)
        return tensors.digest(trained.tensors), trained.loss, evaluated.nats

    before = global_state()
    alone = [learn(number) for number in FOUR]
    assert len(set(alone)) == len(FOUR)
    assert at_once(learn) == alone
    assert global_state() == before


def test_the_base_is_there_once_and_factors_once_a_thread(trainer: Trainer) -> None:
    def addresses(_: int) -> tuple[set[int], set[int]]:
        adapted = trainer._adapted
        own = {parameter.data_ptr() for parameter in adapted.parameters.values()}
        return own, {parameter.data_ptr() for parameter in adapted.model.parameters()} - own

    found = [addresses(0), *at_once(addresses)]
    assert len({frozenset(base) for _, base in found}) == 1
    assert len(set.union(*(own for own, _ in found))) == sum(len(own) for own, _ in found)


def test_what_goes_wrong_in_one_thread_leaves_the_others_alone(trainer: Trainer, blocks: Blocks) -> None:
    factors, before = factors_for(trainer), global_state()
    alone = tensors.digest(trainer.train(factors, factors.keys(), blocks, TRAIN, seed=1).tensors)

    def learn(number: int) -> bytes | str:
        train = with_optimizer("sgd", 1e30) if number == 0 else TRAIN
        try:
            return tensors.digest(trainer.train(factors, factors.keys(), blocks, train, seed=1).tensors)
        except TrainingDiverged:
            return "diverged"

    assert at_once(learn) == ["diverged", alone, alone, alone]
    assert global_state() == before


def test_stopping_ends_training_in_every_thread(trainer: Trainer, blocks: Blocks) -> None:
    factors, learning = factors_for(trainer), threading.Barrier(len(FOUR) + 1)

    def learn_for_ever(_: int) -> str:
        learning.wait()
        try:
            while True:
                trainer.train(factors, factors.keys(), blocks, TRAIN, seed=1)
        except CancelledError:
            return "stopped"

    def stop() -> None:
        learning.wait()
        trainer.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    assert at_once(learn_for_ever) == ["stopped"] * len(FOUR)
    stopping.join()
