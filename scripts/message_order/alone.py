"""One real member (clients.member.Member with its journal), asked everything in every state that it can come to.

The result is a table: for each state, the requests that the member complies with, what others have to have said for the
coordinator to make them, and the state after. States are told apart by the member's History and its open sessions.
Refused requests are asserted to change nothing.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from small_job import MEMBERS, OneValue, SmallJob

from clients.journal import Journal
from clients.member import Member
from federation.secagg.client import AgreedSent, KeysSent, MaskedSent, SharesSent
from federation.secagg.history import History, Position
from federation.secagg.messages import Refused, Revealed
from federation.wire import Signed, read_body, read_frame, write_frame
from message_order.coordinator import STEPS, Coordinator, Label, Request

STATES = (KeysSent, SharesSent, MaskedSent, AgreedSent)
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Move:
    """A request that is complied with. `needs` as in Request; `target` is the number of the state after."""

    position: Position
    said: Label
    needs: tuple[tuple[int, Label], ...]
    target: int


@dataclass
class Local:
    """A state of one member. `closed`: where it never says anything again. `restarted`: the state after a restart."""

    key: Key
    closed: frozenset[Position] = frozenset()
    moves: list[Move] = field(default_factory=list)
    restarted: int = 0


@dataclass(frozen=True)
class Table:
    """All states of one member, the first one first, and how many requests were made to find them."""

    states: list[Local]
    asked: int
    refused: int


@dataclass
class _Frozen:
    """A member and its journal, as they were."""

    history: History
    sessions: dict[Position, Any]
    labels: dict[Position, Label]
    journal: sqlite3.Connection
    last: int
    written: frozenset[bytes]


class Alone:
    """The search. `folder` takes the journal."""

    def __init__(self, folder: Path, positions: Sequence[Position], adapters: int) -> None:
        self._job = SmallJob(rounds=max(round for _, round in positions))
        self._positions = positions
        self._adapters = [bytes([number + 1]) * 32 for number in range(adapters)]
        self._lead = Coordinator(self._job, self._adapters)
        self._path = folder / "journal.sqlite"
        self._start()
        self._labels: dict[Position, Label] = {}
        self._numbers: dict[Key, int] = {}
        self._states: list[Local] = []
        self._waiting: list[tuple[int, _Frozen]] = []
        self._asked = self._refused = 0

    def explore(self) -> Table:
        self._number()
        while self._waiting:
            number, frozen = self._waiting.pop()
            self._expand(number, frozen)
        _close_for_good(self._states)
        return Table(self._states, self._asked, self._refused)

    def _expand(self, number: int, frozen: _Frozen) -> None:
        state = self._states[number]
        self._thaw(frozen)
        open_at = {position for position, session in self._member._sessions.items() if session.state is not None}
        closed = set(self._positions) - open_at
        for request in self._requests():
            target = self._ask(request, frozen)
            if target is not None:
                said = (*request.said[:-1], self._revealed) if request.said[-1:] == (None,) else request.said
                state.moves.append(Move(request.position, said, request.needs, target))
                closed.discard(request.position)
                self._thaw(frozen)
        state.closed = frozenset(closed)
        self._journal.close()
        self._start()
        self._labels = {}
        state.restarted = self._number()

    def _requests(self) -> list[Request]:
        requests = []
        for position in self._positions:
            if position not in self._member._sessions:
                requests.append(self._lead.offer(self._member, position))
            elif self._member._sessions[position].state is not None:
                requests += self._lead.requests(self._member, position, self._labels[position])
        return requests

    def _ask(self, request: Request, frozen: _Frozen) -> int | None:
        """The number of the state after, or None when the member refused and nothing changed."""
        said = {a.header_bytes for s in frozen.sessions.values() for _, a in s.answered.values() if a is not None}
        # The same bytes again, for a request that was answered before, say nothing new.
        answers = [a for a in self._answers(request.messages) if a.header_bytes not in said]
        self._asked += 1
        if all(answer.header.kind == Refused.kind for answer in answers):
            self._refused += 1
            if len(request.messages) > 1:
                # Of an Inbox with a Broadcast that is refused, the Inbox was taken.
                self._thaw(frozen)
            assert self._same(frozen)
            return None
        assert [answer.header.kind for answer in answers] == [STEPS[len(request.said)]]
        if answers[0].header.kind == Revealed.kind:
            revealed = read_body(Revealed, answers[0].header.body)
            self._revealed = tuple(
                sum(1 << MEMBERS.index(dealer) for dealer in shares)
                for shares in (revealed.seed_shares, revealed.key_shares)
            )
        labels = {**self._labels, request.position: request.said}
        self._labels = {p: label for p, label in labels.items() if p in self._member._sessions}
        return self._number()

    def _answers(self, messages: Sequence[Signed]) -> tuple[Signed, ...]:
        return read_frame(self._member.handle(write_frame(messages)), self._member._limits)

    def _number(self) -> int:
        """The number of the state that the member is in; a new one is put on the list of what is to be asked."""
        member, sessions = self._member, {}
        for position, session in member._sessions.items():
            label = self._labels[position]
            if session.state is not None:
                assert type(session.state) is STATES[len(label)]
            sessions[position] = None if session.state is None else label
        history = member._history
        spent = frozenset(self._adapters.index(adapter) for adapter in history.spent)
        key = (
            history.keyed, history.masked, history.revealed_round, spent, tuple(sorted(sessions.items()))
        )  # fmt: skip
        if key not in self._numbers:
            self._numbers[key] = len(self._states)
            self._states.append(Local(key))
            self._waiting.append((self._numbers[key], self._freeze()))
        return self._numbers[key]

    def _start(self) -> None:
        """A member process over the journal that is on disk."""
        job = self._job
        self._journal = Journal(self._path)
        identity = job.identities[MEMBERS[0]]
        self._member = Member(identity, job.roster, job.plan, job.policy, OneValue(), self._journal, "model")

    def _freeze(self) -> _Frozen:
        memory = sqlite3.connect(":memory:")
        self._journal._db.backup(memory)
        member, journal = self._member, self._journal
        return _Frozen(
            member._history, _copied(member._sessions), dict(self._labels), memory, journal._last, journal._written
        )

    def _thaw(self, frozen: _Frozen) -> None:
        frozen.journal.backup(self._journal._db)
        self._journal._last, self._journal._written = frozen.last, frozen.written
        vars(self._member).update(_history=frozen.history, _sessions=_copied(frozen.sessions))
        self._labels = dict(frozen.labels)

    def _same(self, frozen: _Frozen) -> bool:
        states = {position: session.state for position, session in self._member._sessions.items()}
        before = {position: session.state for position, session in frozen.sessions.items()}
        return self._member._history == frozen.history and all(states[p] is before[p] for p in states | before)


def _close_for_good(states: Sequence[Local]) -> None:
    """Closed is only what is closed in all states that follow too, whatever the rules under test say."""
    changed = True
    while changed:
        changed = False
        for state in states:
            targets = (state.restarted, *(move.target for move in state.moves))
            still = state.closed.intersection(*(states[target].closed for target in targets))
            changed |= still != state.closed
            state.closed = still


def _copied(sessions: dict[Position, Any]) -> dict[Position, Any]:
    return {p: replace(s, digests=set(s.digests), answered=dict(s.answered)) for p, s in sessions.items()}
