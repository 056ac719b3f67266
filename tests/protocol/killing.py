"""Coordinators that are killed: at a named durable write, or in the middle of a named exchange."""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from aggregator.carriers import Exchange
from aggregator.store import Checkpoint
from federation.secagg.messages import Revealed
from federation.secagg.server import Answers
from federation.wire import read_body, read_frame
from tests.protocol.consortium import Consortium, Killed, Losing, Lost, Recorded, digest, make_consortium
from tests.protocol.play import LIMITS

When = Literal["before", "within", "after"]


@dataclass(frozen=True)
class Moment:
    """A durable write of the coordinator: a step's of a round, or "commit". `within`: its file is on disk, its row is
    not."""

    round: int
    step: str
    when: When

    def __str__(self) -> str:
        return f"{self.when} {self.step} of round {self.round}"


class Dying(Recorded):
    """The coordinator's store, whose process is killed at a moment."""

    def __init__(self, consortium: Consortium, dies: Moment) -> None:
        self._dies, self._writing = dies, ("", 0)
        super().__init__(consortium.folder / consortium.plan.job, consortium.plan.digest(), consortium.checkpoints)

    def keep(self, steps: Sequence[Answers]) -> None:
        with self._dying(steps[0].offer.round, steps[0].step.value) if steps else contextlib.nullcontext():
            super().keep(steps)

    def commit(self, checkpoint: Checkpoint, *, carried: bool = False) -> None:
        with self._dying(checkpoint.round, "commit"):
            super().commit(checkpoint, carried=carried)

    def _write(self, name: str, data: bytes) -> None:
        super()._write(name, data)
        self._die_if(*self._writing, "within")

    @contextlib.contextmanager
    def _dying(self, round: int, step: str) -> Iterator[None]:
        self._writing = (round, step)
        self._die_if(round, step, "before")
        yield
        self._die_if(round, step, "after")

    def _die_if(self, round: int, step: str, when: When) -> None:
        if Moment(round, step, when) == self._dies:
            raise Killed


class DyingWithin(Losing):
    """A carrier whose coordinator is killed in the middle of an exchange: `after` members have answered, others not."""

    def __init__(self, consortium: Consortium, dies: Exchange, after: int = 2) -> None:
        super().__init__(consortium)
        self._dies, self._after = dies, after

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        for count, answered in enumerate(super().exchange(exchange, requests), start=1):
            yield answered
            if exchange == self._dies and count == self._after:
                raise Killed


def check_said_once(carriers: Sequence[Losing]) -> None:
    """Nobody says two things in one step and context, and nobody helps to open two sums of one round."""
    said: dict[tuple[str, str, bytes], set[bytes]] = defaultdict(set)
    opened: dict[tuple[str, int], set[bytes]] = defaultdict(set)
    for carrier in carriers:
        for exchange, member, answer in carrier.answers:
            for statement in read_frame(answer, LIMITS):
                header = statement.header
                if header.kind != "refused":
                    said[member, header.kind, header.digest].add(statement.header_bytes + statement.signature)
                if header.kind == Revealed.kind:
                    opened[member, exchange.round].add(read_body(Revealed, header.body).survivors)
    assert all(len(different) == 1 for different in said.values())
    assert all(len(sums) == 1 for sums in opened.values())
    assert len({(round, *sums) for (_, round), sums in opened.items()}) == len({round for _, round in opened})


@dataclass(frozen=True)
class Undisturbed:
    """What a job gives when its coordinator is not killed."""

    adapter: bytes
    sums: list[bytes]


def run_undisturbed(folder: Path, lost: Mapping[tuple[int, str, str], Lost]) -> Undisturbed:
    """The usual job, with what the carrier loses."""
    consortium = make_consortium(folder)
    adapter = digest(consortium.run(Losing(consortium, lost)))
    return Undisturbed(adapter, [checkpoint.total.tobytes() for checkpoint in consortium.checkpoints])


def two_lives(consortium: Consortium, first: Losing, second: Losing, dies: Moment | None = None) -> bytes:
    """A coordinator that is killed, and another one over what the first has left on its disk."""
    with pytest.raises(Killed):
        consortium.run(first, Dying(consortium, dies) if dies else None)
    return digest(consortium.run(second))


def check_nothing_shows(consortium: Consortium, expected: Undisturbed, adapter: bytes, lives: list[Losing]) -> None:
    """The same sums and adapter, in one attempt; nobody was asked two things, and no data was in two vectors."""
    assert adapter == expected.adapter
    assert [checkpoint.total.tobytes() for checkpoint in consortium.checkpoints] == expected.sums
    assert not consortium.failed
    assert all(done.aggregation.offer.attempt == 1 for done in consortium.rounds)
    check_said_once(lives)
    asked = {(exchange, member): request for life in lives for exchange, member, request in life.requests}
    assert all(asked[exchange, member] == request for life in lives for exchange, member, request in life.requests)
    assert not any(journal.evidence() for journal in consortium.journals.values())
    assert max(journal.contributions() for journal in consortium.journals.values()) == 3
