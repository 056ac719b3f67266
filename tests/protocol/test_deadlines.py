"""A straggler never holds a round beyond its deadline, does no harm when it answers late, and comes back. Real members
in threads of their own, one request at a time each, as behind a node."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from aggregator import carriers
from aggregator.carriers import Exchange
from aggregator.rounds import Control, Event, RoundDone, run
from federation.plan import Deadlines, SecAgg
from federation.secagg.refusals import OutOfTime
from tests.protocol.consortium import Consortium, Losing, make_consortium

SLOW = "m04"
TRAINING, ANSWER, SILENT = 3, 2, 0.4
MORE = 1.5
"""Seconds that a busy machine may need on top."""


@dataclass
class Punctual:
    """A carrier that keeps deadlines. `took`: seconds of each exchange."""

    consortium: Consortium
    took: list[tuple[int, str, float]] = field(default_factory=list)
    lines: dict[str, ThreadPoolExecutor] = field(default_factory=dict)

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        began = time.monotonic()
        handlers = self.consortium.handlers()
        awaited: dict[Future[bytes], str] = {}
        for member in sorted(requests):
            line = self.lines.setdefault(member, ThreadPoolExecutor(1))
            awaited[line.submit(handlers[member], requests[member])] = member
        while awaited:
            until = began + max(exchange.patience(member) for member in awaited.values())
            if (left := until - time.monotonic()) <= 0:
                break
            for done in wait(awaited, left, "FIRST_COMPLETED").done:
                yield awaited.pop(done), done.result()
        self.took.append((exchange.round, exchange.step, time.monotonic() - began))

    def seconds(self, round: int, *steps: str) -> float:
        return sum(seconds for r, step, seconds in self.took if r == round and step in (steps or (step,)))


@contextmanager
def holding(consortium: Consortium, member: str) -> Iterator[threading.Event]:
    """The member's training stands still until the event."""
    released, learner = threading.Event(), consortium.learners[member]
    trains = learner.train

    def train(*arguments: Any) -> Any:
        assert released.wait(60)
        return trains(*arguments)

    learner.train = train  # type: ignore[method-assign]
    try:
        yield released
    finally:
        released.set()


def run_with(consortium: Consortium, carrier: Punctual, observe: Callable[[Event], None] = lambda _: None) -> None:
    def observed(event: Event) -> None:
        consortium.events.append(event)
        observe(event)

    store = consortium.store()
    try:
        run(consortium.job, carrier, store, observed, Control())
    finally:
        store.close()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carriers, "SILENT_SECONDS", SILENT)


def five(folder: Path, **changes: object) -> Consortium:
    return make_consortium(folder, deadlines=Deadlines(TRAINING, ANSWER), **changes)


def test_a_straggler_in_training_costs_its_deadline_once_and_comes_back(folder: Path) -> None:
    consortium = five(folder, rounds=4)
    carrier = Punctual(consortium)
    with holding(consortium, SLOW) as released:

        def observe(event: Event) -> None:
            if isinstance(event, RoundDone) and event.round == 2:
                released.set()
                carrier.lines[SLOW].submit(int).result(30)  # it has answered all that lay before it

        run_with(consortium, carrier, observe)
    assert not consortium.failed
    sums = [SLOW in done.aggregation.u3 for done in consortium.rounds]
    assert sums == [False, False, False, True, True]
    assert SLOW in consortium.rounds[0].aggregation.u2
    consortium.check_sums()
    # It was waited for to the deadline, and a little in the exchange that asks everybody for the next round's keys.
    assert TRAINING <= carrier.seconds(1, "masked") < TRAINING + MORE
    assert SILENT <= carrier.seconds(1, "agreed") < SILENT + MORE
    assert SILENT <= carrier.seconds(2) < SILENT + MORE
    assert carrier.seconds(3) < MORE
    # Its late vector left its site, and counted for nothing.
    assert consortium.left(SLOW).count("masked") == 3
    assert consortium.journals[SLOW].contributions() == 3


def test_a_member_that_is_connected_and_silent_costs_the_answers_deadline_once_and_little_in_each_round(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    consortium = five(folder, rounds=2)
    carrier, spoken = Punctual(consortium), threading.Event()
    handle = consortium.members[SLOW].handle
    monkeypatch.setattr(consortium.members[SLOW], "handle", lambda request: (spoken.wait(30), handle(request))[1])
    run_with(consortium, carrier)
    spoken.set()
    carrier.lines[SLOW].shutdown()
    assert not consortium.failed
    assert not any(SLOW in done.aggregation.u1 for done in consortium.rounds)
    assert ANSWER <= carrier.seconds(1, "keys") < ANSWER + MORE
    for round in (1, 2):
        assert SILENT <= carrier.seconds(round, "agreed") < SILENT + MORE
        assert carrier.seconds(round, "masked", "revealed", "shares") < MORE


def test_a_member_that_was_silent_is_waited_for_to_the_deadline_where_the_others_are_too_few(folder: Path) -> None:
    everybody = SecAgg(32, "malicious", None, None, 5, 3, "auto", 8.0, 1e-6)
    for secagg, silent in ((everybody, frozenset()), (replace(everybody, quorum="auto"), frozenset({SLOW}))):
        consortium = five(folder / str(secagg.quorum), rounds=1, secagg=secagg)
        carrier = Losing(consortium, {(1, "masked", SLOW): "answer"}, once=True)
        consortium.run(carrier)
        after = carrier.exchanges[carrier.exchanges.index(Exchange(1, "masked")) + 1]
        assert (after.silent, after.seconds) == (silent, ANSWER)
        assert {e.seconds for e in carrier.exchanges if e.step == "masked"} == {TRAINING}


def test_the_shares_that_open_a_sum_are_waited_for_to_the_deadline_each_time(folder: Path) -> None:
    consortium = five(folder, rounds=1)
    lost = {(1, "revealed", member): "answer" for member in ("m00", "m01")}
    carrier = Losing(consortium, lost, once=True)
    consortium.run(carrier)
    asked = [exchange for exchange in carrier.exchanges if exchange == Exchange(1, "revealed")]
    assert [(exchange.silent, exchange.seconds) for exchange in asked] == [(frozenset(), ANSWER)] * 2


def test_a_site_whose_training_runs_out_of_time_says_so_and_is_in_the_next_round(folder: Path) -> None:
    consortium = five(folder, rounds=2)
    learner = consortium.learners[SLOW]
    trains, calls = learner.train, []

    def train(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise OutOfTime(seconds=TRAINING)
        return trains(*arguments)

    learner.train = train  # type: ignore[method-assign]
    consortium.run()
    assert [SLOW in done.aggregation.u3 for done in consortium.rounds] == [False, True, True]
    declined = [event for event in consortium.events if getattr(event, "code", "") == "out-of-time"]
    assert [(event.member, event.exchange.step) for event in declined] == [(SLOW, "masked")]
    assert "masked" not in consortium.left(SLOW)[: consortium.left(SLOW).index("refused")]
