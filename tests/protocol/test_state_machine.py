"""Whole jobs under drawn trouble: whatever is lost, doubled, delayed or restarted, sums are right and secrets kept.

An example is a whole job and every trouble a whole exchange of one member, so that rounds complete. What happened is
labelled with `event` (see it with `--hypothesis-show-statistics`), and directed tests hold the rare paths.
"""

import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from aggregator.carriers import Exchange
from federation.errors import JobStopped
from federation.secagg.messages import Keys, Revealed
from federation.secagg.server import Step
from federation.wire import Signed, read_body, read_frame
from tests.protocol.consortium import Consortium, Killed, make_consortium
from tests.protocol.neighbours import make_sparse
from tests.protocol.play import LIMITS

What = Literal[
    "request lost",
    "answer lost",
    "request doubled",
    "answer doubled",
    "old request again",
    "restarted",
    "coordinator killed",
]


@dataclass(frozen=True)
class Trouble:
    """What befalls one member in the n-th exchange of a job."""

    exchange: int
    member: int
    what: What


TROUBLES = st.builds(Trouble, st.integers(0, 14), st.integers(0, 4), st.sampled_from(get_args(What)))


class Troubled:
    """A carrier under a schedule, in a drawn order. It keeps every statement that left a member, delivered
    or not, and in which round a context was first seen."""

    def __init__(self, consortium: Consortium, troubles: list[Trouble], order: random.Random) -> None:
        self._consortium, self._troubles, self._order = consortium, troubles, order
        self._count, self.kills = -1, 0
        self._old: dict[str, list[bytes]] = defaultdict(list)
        self.statements: list[Signed] = []
        self.rounds: dict[bytes, int] = {}

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        self._count += 1
        members = sorted(requests)
        self._order.shuffle(members)
        for member in members:
            whats = {t.what for t in self._troubles if (t.exchange, f"m{t.member:02d}") == (self._count, member)}
            answers = self._deliver(member, requests[member], whats)
            for statement in self.statements:
                self.rounds.setdefault(statement.header.digest, exchange.round)
            yield from ((member, answer) for answer in answers)
            if "coordinator killed" in whats:
                raise Killed

    def _deliver(self, member: str, request: bytes, whats: set[What]) -> list[bytes]:
        if "restarted" in whats:
            self._consortium.start_member(member)
        answers = []
        if "old request again" in whats and self._old[member]:
            answers.append(self._ask(member, self._order.choice(self._old[member])))
        if "request lost" not in whats:
            self._old[member].append(request)
            times = 2 if "request doubled" in whats else 1
            answers += [self._ask(member, request) for _ in range(times)]
        if "answer lost" in whats:
            return []
        return answers * 2 if "answer doubled" in whats else answers

    def _ask(self, member: str, request: bytes) -> bytes:
        answer = self._consortium.members[member].handle(request)
        self.statements += read_frame(answer, LIMITS)
        return answer


def check_promises(carrier: Troubled) -> None:
    """What no honest member ever says, over everything that left all of them."""
    said: dict[tuple[str, str, bytes], set[bytes]] = defaultdict(set)
    for statement in carrier.statements:
        header = statement.header
        if header.kind != "refused":
            said[header.sender, header.kind, header.digest].add(statement.header_bytes)
    # One statement a member, step and context: never a second vote, vector or reveal.
    assert all(len(different) == 1 for different in said.values())
    keys = [read_body(Keys, s.header.body) for s in distinct(carrier.statements, Keys.kind)]
    points = [point for pair in keys for point in (pair.mask_key, pair.channel_key)]
    assert len(points) == len(set(points))
    opened: dict[tuple[str, int], set[bytes]] = defaultdict(set)
    kinds: dict[tuple[bytes, str], set[str]] = defaultdict(set)
    for statement in distinct(carrier.statements, Revealed.kind):
        revealed, digest = read_body(Revealed, statement.header.body), statement.header.digest
        opened[statement.header.sender, carrier.rounds[digest]].add(digest)
        for kind, shares in (("seed", revealed.seed_shares), ("key", revealed.key_shares)):
            for dealer in shares:
                kinds[digest, dealer].add(kind)
    # Nobody helps to open two sums of one round, and of one dealer only one kind of share is ever seen.
    assert all(len(contexts) == 1 for contexts in opened.values())
    assert all(len(both) == 1 for both in kinds.values())


def distinct(statements: list[Signed], kind: str) -> list[Signed]:
    """Every statement of a kind once; the same bytes sent again are no other statement."""
    return list({s.header_bytes: s for s in statements if s.header.kind == kind}.values())


def label(consortium: Consortium, carrier: Troubled, stopped: JobStopped | None) -> None:
    """Tell hypothesis what happened."""
    if carrier.kills:
        event(f"coordinator killed {carrier.kills} times")
    for done in consortium.rounds:
        dropped = [step.value for step in Step if done.aggregation.dropped[step]]
        event(f"round completed, dropped at: {' '.join(dropped) or 'none'}")
    for failed in consortium.failed:
        event(f"attempt failed: {failed.code}")
    event(f"job stopped: {str(stopped)[-40:]}" if stopped else "job completed")


def run_troubled(
    folder: Path, troubles: list[Trouble], seed: int, make: Callable[[Path], Consortium] = make_consortium
) -> tuple[Consortium, Troubled, JobStopped | None]:
    consortium, stopped = make(folder), None
    carrier = Troubled(consortium, troubles, random.Random(seed))
    try:
        while not finished(consortium, carrier):
            carrier.kills += 1
    except JobStopped as error:
        stopped = error
    consortium.check_sums()
    check_promises(carrier)
    return consortium, carrier, stopped


def finished(consortium: Consortium, carrier: Troubled) -> bool:
    """One life of the coordinator, over what an earlier one left on its disk. Raises JobStopped."""
    try:
        consortium.run(carrier)
    except Killed:
        return False
    return True


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TROUBLES, min_size=2, max_size=9), st.integers(0, 2**16))
def test_under_any_trouble_sums_are_exact_and_nobody_says_two_things(
    folder: Path, troubles: list[Trouble], seed: int
) -> None:
    own = Path(tempfile.mkdtemp(dir=folder))
    consortium, carrier, stopped = run_troubled(own, troubles, seed)
    label(consortium, carrier, stopped)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 10), max_size=4), st.lists(TROUBLES, max_size=2), st.integers(0, 2**16))
def test_with_one_loss_an_exchange_at_most_every_round_completes(
    folder: Path, exchanges: list[int], harmless: list[Trouble], seed: int
) -> None:
    """One member is in trouble, whatever it is: t remain everywhere, so no round may fail."""
    own = Path(tempfile.mkdtemp(dir=folder))
    troubles = [Trouble(exchange, 2, "answer lost") for exchange in exchanges]
    troubles += [Trouble(trouble.exchange, 2, trouble.what) for trouble in harmless]
    consortium, carrier, stopped = run_troubled(own, troubles, seed)
    label(consortium, carrier, stopped)
    assert stopped is None
    assert not consortium.failed
    assert [done.round for done in consortium.rounds] == [1, 2, 3]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TROUBLES, min_size=2, max_size=9), st.integers(0, 2**16))
def test_in_neighbourhoods_too_sums_are_exact_and_nobody_says_two_things(
    folder: Path, troubles: list[Trouble], seed: int
) -> None:
    own = Path(tempfile.mkdtemp(dir=folder))
    consortium, carrier, stopped = run_troubled(own, troubles, seed, lambda path: make_sparse(path, 14))
    label(consortium, carrier, stopped)


def test_directed_a_member_that_dealt_and_then_left_has_its_pair_masks_taken_out(folder: Path) -> None:
    """The rare path: its mask key is recovered, and its masks are in the others' vectors."""
    consortium, carrier, stopped = run_troubled(folder, [Trouble(2, 1, "request lost")], 0)
    assert stopped is None
    first = consortium.rounds[0].aggregation
    assert first.dropped[Step.MASKED] == ("m01",)
    revealed = [read_body(Revealed, s.header.body) for s in carrier.statements if s.header.kind == "revealed"]
    assert any(set(answer.key_shares) == {"m01"} for answer in revealed)


def test_directed_every_kind_of_trouble_at_once_still_completes(folder: Path) -> None:
    troubles = [
        Trouble(1, 0, "request doubled"),
        Trouble(2, 1, "answer lost"),
        Trouble(2, 3, "old request again"),
        Trouble(3, 4, "answer doubled"),
        Trouble(4, 2, "old request again"),
        Trouble(6, 2, "coordinator killed"),
        Trouble(9, 3, "restarted"),
    ]
    consortium, carrier, stopped = run_troubled(folder, troubles, 3)
    assert stopped is None
    assert carrier.kills == 1
    assert not consortium.failed
    assert [len(done.aggregation.u3) for done in consortium.rounds] == [4, 5, 4]
