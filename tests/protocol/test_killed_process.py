"""kill -9 of a coordinator's process: the members live here, the coordinator in a child, and a pipe carries bytes."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from aggregator.carriers import Exchange
from aggregator.rounds import run
from aggregator.store import Store
from tests.protocol.consortium import Consortium, digest, make_consortium, undisturbed
from tests.protocol.play import STEPS

ANSWERS = 3  # of five: the process dies with the others' requests not yet sent


@dataclass
class Piped:
    """A carrier through a pipe, whose process kills itself in the middle of an exchange."""

    pipe: Connection
    dies: Exchange | None

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        for count, member in enumerate(sorted(requests), start=1):
            self.pipe.send((exchange, member, requests[member]))
            yield member, self.pipe.recv()
            if exchange == self.dies and count == ANSWERS:
                os.kill(os.getpid(), signal.SIGKILL)


def coordinate(consortium: Consortium, pipe: Connection, dies: Exchange | None) -> None:
    """The child process, whole. Of the consortium it uses the coordinator's key and what is public."""
    store = Store(consortium.folder / "coordinator", consortium.plan.digest())
    pipe.send(digest(run(consortium.job, Piped(pipe, dies), store, lambda event: None)))


def serve(consortium: Consortium, dies: Exchange | None) -> tuple[list[Exchange], bytes | None, int | None]:
    """Start a coordinator and answer it as the members: what it asked, the final adapter, and how it ended."""
    # Forked, so that the coordinator's key needs no file; no member has secrets that this process did not make.
    context = multiprocessing.get_context("fork")
    pipe, theirs = context.Pipe()
    process = context.Process(target=coordinate, args=(consortium, theirs, dies))
    process.start()
    theirs.close()
    asked: list[Exchange] = []
    adapter = None
    with contextlib.suppress(EOFError):  # killed
        while not isinstance(message := pipe.recv(), bytes):
            exchange, member, request = message
            asked += [exchange] if exchange not in asked else []
            pipe.send(consortium.members[member].handle(request))
        adapter = message
    process.join()
    return asked, adapter, process.exitcode


@pytest.mark.parametrize("dies", [Exchange(1, "shares"), Exchange(1, "revealed"), Exchange(2, "masked")], ids=str)
def test_a_coordinator_killed_within_an_exchange_goes_on_from_its_disk(folder: Path, dies: Exchange) -> None:
    consortium = make_consortium(folder)
    first, nothing, killed = serve(consortium, dies)
    assert (nothing, killed) == (None, -signal.SIGKILL)
    second, adapter, ended = serve(consortium, None)
    assert (adapter, ended) == (undisturbed(folder), 0)
    # Voters are asked once more before anyone is asked to reveal.
    voters = [Exchange(dies.round, "agreed")] if dies.step == "revealed" else []
    assert first[-1] == dies
    assert second[: len(voters) + 1] == [*voters, dies]
    # One attempt: m04 was not reached before the kill, and has said everything once in each of three rounds; but its
    # vote, and the next round's Keys with it, once more.
    once, again = dict.fromkeys(STEPS, 3), dict.fromkeys(("agreed", "keys"), 3 + len(voters))
    assert {kind: consortium.left("m04").count(kind) for kind in STEPS} == once | again
