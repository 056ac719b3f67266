"""A coordinator with its store in a process of its own, so that its memory and its time are nobody else's."""

import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from aggregator.store import Store
from benchmarks.aggregation import Members
from federation.identity import Identity
from federation.secagg.contexts import Terms
from federation.secagg.messages import Offer
from federation.secagg.parties import Parties
from federation.secagg.primitives import Words
from federation.secagg.server import Aggregation, Step
from federation.wire import Limits, Signed, read_frame, write_frame


@dataclass(frozen=True)
class Task:
    """What the coordinator needs to know; `staying`: who is asked after step 1."""

    private: bytes
    parties: Parties
    offer: Offer
    terms: Terms
    limits: Limits
    staying: tuple[str, ...]


@dataclass(frozen=True)
class Spent:
    """CPU seconds, and the peak of memory over what the process held before it began."""

    cpu_s: float
    peak_mb: float


def aggregate(members: Members, staying: tuple[str, ...]) -> Spent:
    """The five steps, members in this process. Raises WrongSum."""
    here, there = multiprocessing.Pipe()
    private = members.coordinator.private_bytes()
    task = Task(private, members.parties, members.offer, members.terms, members.limits, staying)
    process = multiprocessing.get_context("spawn").Process(target=_coordinate, args=(there, task))
    process.start()
    there.close()
    try:
        for step in range(5):
            for name in members.names if step < 2 else staying:
                here.send_bytes(members.answer(step, name, here.recv_bytes()))
        members.require_right(np.frombuffer(here.recv_bytes(), members.ring.dtype))
        spent: Spent = here.recv()
    finally:
        here.close()
        process.join()
    return spent


def _coordinate(pipe: Connection, task: Task) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Store(Path(folder), task.offer.plan)) as store:
        _run(pipe, task, store)


def _run(pipe: Connection, task: Task, store: Store) -> None:
    """As aggregator/exchange.py does it: what was accepted is durable before the next step's requests leave."""
    signer, shelf = Identity.from_private_bytes("coordinator", task.private), store.open_shelf(task.offer.round)
    aggregation = Aggregation(signer, task.parties, task.offer, shelf)
    steps: tuple[Callable[[], Mapping[str, Signed]], ...] = (
        aggregation.offers,
        aggregation.cohorts,
        lambda: aggregation.inboxes(task.terms),
        aggregation.survivors,
        aggregation.unmasks,
    )
    before, started = _memory_mb("VmRSS"), time.process_time()
    for step, requests in enumerate(steps):
        messages = requests()
        for name in task.parties.members if step < 2 else task.staying:
            pipe.send_bytes(write_frame([messages[name]]))
            for statement in read_frame(pipe.recv_bytes(), task.limits):
                aggregation.accept(statement)
                if aggregation.step is Step.REVEALED:
                    store.keep_revealed(task.offer.round, statement)
        answers = aggregation.answers()
        assert answers is not None  # noqa: S101  # enough members take part
        store.keep([answers])
    total: Words = aggregation.total()
    spent = Spent(time.process_time() - started, _memory_mb("VmHWM") - before)
    pipe.send_bytes(total.tobytes())
    pipe.send(spent)


def _memory_mb(field: str) -> float:
    """Of this process, by the kernel. Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024
