"""Three honest members, each as its table says, a corrupt one and a malicious coordinator: every schedule there is.

The coordinator asks whom it likes for what it likes, as long as it can show what the request shows: an honest member's
statement exists only once that member has made it. Breadth first, so that a counterexample is a shortest one. What is
looked for after each answer that reveals shares stands in `broken_promises`.

Fewer states, none of their consequences lost:
- The honest members are interchangeable, and so are the adapters: of states that differ by names one is kept.
- States of one member that comply with the same requests for good are one (`alike`).
- A statement is forgotten once nobody can be shown it any more (`Search._tidied`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from federation.secagg.history import Position
from message_order.alone import Key, Local, Table
from message_order.coordinator import THRESHOLD, Label
from message_order.names import HONEST, NAMES, ORDERS, RENAMINGS, Said, Step, named, renamed, renamed_key, renamed_said

CORRUPT_SHARES = 1
ENOUGH = THRESHOLD - CORRUPT_SHARES
"""So many honest members' shares of a secret and the corrupt member's give the secret."""

Records = tuple[int, ...]
_State = tuple[Records, int, int]
"""A record a member, the restarts left, the adapters opened."""


@dataclass(frozen=True)
class _Choice:
    """A move of one member: what it says, and (who, how far, label) of what has to have been said by others."""

    at: int
    label: Label
    needs: tuple[tuple[int, int, Label], ...]
    target: int


_Taken = tuple[int, _Choice | None]
"""Whose move, and which; it restarts when there is none."""
_Followed = tuple[_Taken, bool, list[str], _State]
"""A move, whether a sum is known after it, what it breaks, the state after it."""


@dataclass(frozen=True)
class Result:
    """What was searched, after how many moves a sum was known, and the first schedule that breaks a promise."""

    states: int
    transitions: int
    depth: int
    openings: int
    broken: str | None = None
    schedule: tuple[Step, ...] = ()


def broken_promises(labels: Sequence[Sequence[Label]], opened: int) -> tuple[list[str], int]:
    """At one (attempt, round), given each honest member's labels and the adapters (a bit mask) that sums were opened on
    elsewhere: what is broken, and the mask with those that are opened here."""
    revealed = [(m, label) for m in HONEST for label in labels[m] if len(label) == 4]
    broken, recovered = [], {}
    for u1 in {label[0] for _, label in revealed}:
        for kind in (0, 1):
            recovered[u1, kind] = {
                v
                for v in HONEST
                if len({m for m, label in revealed if label[0] == u1 and label[3][kind] >> v & 1}) >= ENOUGH
            }
        broken += [f"both kinds of share of {named(1 << v)} are known" for v in recovered[u1, 0] & recovered[u1, 1]]
    for ctx in sorted({label[:2] for _, label in revealed}):
        u1, (u2, adapter) = ctx
        sent = {m for m in HONEST for label in labels[m] if label[:2] == ctx}
        for members in _components({v for v in HONEST if u2 >> v & 1}, recovered[u1, 1]):
            if members <= sent & recovered[u1, 0]:
                if len(members) < ENOUGH:
                    broken.append(f"a sum of {len(members)} honest member(s) is known")
                if opened >> adapter & 1:
                    broken.append(f"two sums on adapter {adapter} are known")
                opened |= 1 << adapter
    return broken, opened


def _components(members: set[int], recovered: set[int]) -> list[set[int]]:
    """Who is joined by pair masks that nobody knows: all whose mask key is secret are, the others stand alone."""
    hidden = members - recovered
    return [part for part in (hidden, *({v} for v in members & recovered)) if part]


class Search:
    """Breadth first over states of three honest members. A state is five numbers in one: three records (the number of a
    member's state in the table with what it said, as seen from itself), the restarts left, the adapters opened."""

    def __init__(self, table: Table, positions: Sequence[Position], adapters: int, restarts: int) -> None:
        self._positions, self._adapters, self._restarts = positions, adapters, restarts
        self._states, self._alike = table.states, alike(table.states, restarts > 0)
        self._closed = [[position in state.closed for position in positions] for state in table.states]
        self._numbers: dict[tuple[int, Said], int] = {}
        self._records: list[tuple[int, Said]] = []
        self._views: list[tuple[Said, ...]] = []
        self._moves: dict[tuple[int, int], list[_Choice]] = {}
        numbers = {state.key: alike for state, alike in zip(table.states, self._alike, strict=True)}
        self._renamed = [
            [numbers[renamed_key(state.key, *renaming)] for renaming in RENAMINGS[: 2 * adapters]]
            for state in table.states
        ]
        self._like: dict[int, tuple[int, ...]] = {}
        self._given_up = [
            [numbers.get(_without_session(state.key, position)) for position in positions] for state in table.states
        ]
        self._stuck: dict[tuple[object, ...], bool] = {}

    def run(self) -> Result:
        """Search until a promise is broken or nothing new is found."""
        start = self._first()
        before: dict[int, int] = {self._canonical(*start): -1}
        frontier, transitions, depth, openings = list(before), 0, 0, 0
        while frontier:
            found = []
            for state in frontier:
                for _, opens, broken, after in self._following(*_unpacked(state)):
                    transitions += 1
                    openings += opens
                    if broken:
                        why, schedule = self._counterexample(before, state)
                        return Result(len(before), transitions, depth + 1, openings, why, schedule)
                    number = self._canonical(*after)
                    if number not in before:
                        before[number] = state
                        found.append(number)
            frontier = found
            depth += bool(found)
        return Result(len(before), transitions, depth, openings)

    def _first(self) -> _State:
        nothing: Said = ((),) * len(self._positions)
        return (self._record(self._alike[0], nothing),) * 3, self._restarts, 0

    def _following(self, records: Records, restarts: int, opened: int) -> Iterator[_Followed]:
        """Every move from here."""
        views = [self._views[records[m]][m] for m in HONEST]
        for m in HONEST:
            local, said = self._records[records[m]]
            for choice in self._choices(m, local):
                if all(any(label[:n] == needed for label in views[j][choice.at]) for j, n, needed in choice.needs):
                    record = self._record(choice.target, _with(said, choice.at, choice.label))
                    after = (*records[:m], record, *records[m + 1 :])
                    opens, broken = self._judged(after, choice.at, opened) if len(choice.label) == 4 else (False, [])
                    yield (m, choice), opens, broken, self._tidied(after, restarts, opened)
            restarted = self._alike[self._states[local].restarted]
            if restarts and restarted != local:
                record = self._record(restarted, said)
                after = (*records[:m], record, *records[m + 1 :])
                yield (m, None), False, [], self._tidied(after, restarts - 1, opened)

    def _choices(self, m: int, local: int) -> list[_Choice]:
        """The moves of member `m` in a state of its table, with the needs as everyone sees them."""
        if (m, local) not in self._moves:
            names = NAMES[m]
            self._moves[m, local] = [
                _Choice(
                    self._positions.index(move.position),
                    move.said,
                    tuple((names[bit], len(label), renamed(label, names)) for bit, label in move.needs),
                    self._alike[move.target],
                )
                for move in self._states[local].moves
            ]
        return self._moves[m, local]

    def _judged(self, records: Records, at: int, opened: int) -> tuple[bool, list[str]]:
        """Whether a sum is known, and what is broken, at the place where shares were just revealed."""
        labels = [self._views[records[m]][m][at] for m in HONEST]
        return broken_promises(labels, 0)[1] != 0, broken_promises(labels, opened)[0]

    def _tidied(self, records: Records, restarts: int, opened: int) -> _State:
        """The same state without what can have no consequences any more: what was said where everyone is done, but for
        the adapters that were opened there; and, where nobody has revealed, what nobody can be shown any more."""
        for at in range(len(self._positions)):
            records = self._stuck_given_up(records, at)
            closed = [self._closed[self._records[record][0]][at] for record in records]
            if not any(closed):
                continue
            labels = [self._views[records[m]][m][at] for m in HONEST]
            if all(closed):
                opened = broken_promises(labels, opened)[1]
                kept: list[Sequence[Label]] = [()] * 3
            elif any(len(label) == 4 for said in labels for label in said):
                continue
            else:
                kept = [_usable(m, labels, closed) if closed[m] else labels[m] for m in HONEST]
            records = tuple(self._without(records[m], at, m, kept[m]) for m in HONEST)
        return records, restarts, opened

    def _stuck_given_up(self, records: Records, at: int) -> Records:
        """Without the open sessions that nobody will ever bring a step further. (A member without one of its sessions
        is in the table: a restart on the way gives it.)"""
        m = 0
        while m < len(HONEST):
            local, said = self._records[records[m]]
            less = self._given_up[local][at]
            if less is not None and less != local and self._is_stuck(records, m, at):
                records, m = (*records[:m], self._record(less, said), *records[m + 1 :]), 0
            else:
                m += 1
        return records

    def _is_stuck(self, records: Records, m: int, at: int) -> bool:
        local = self._records[records[m]][0]
        labels = tuple(self._views[records[j]][j][at] for j in HONEST)
        closed = tuple(self._closed[self._records[record][0]][at] for record in records)
        known = (local, m, at, labels, closed)
        if known not in self._stuck:
            self._stuck[known] = not any(
                choice.at == at and all(_may_come(labels[j], closed[j], needed) for j, _, needed in choice.needs)
                for choice in self._choices(m, local)
            )
        return self._stuck[known]

    def _without(self, record: int, at: int, m: int, kept: Sequence[Label]) -> int:
        local, said = self._records[record]
        shown = self._views[record][m][at]
        if len(kept) == len(shown):
            return record
        left = tuple(label for label, as_shown in zip(said[at], shown, strict=True) if as_shown in kept)
        return self._record(local, (*said[:at], left, *said[at + 1 :]))

    def _record(self, local: int, said: Said) -> int:
        number = self._numbers.get((local, said))
        if number is None:
            number = self._numbers[local, said] = len(self._records)
            assert number < 1 << 20
            self._records.append((local, said))
            self._views.append(tuple(renamed_said(said, NAMES[m]) for m in HONEST))
        return number

    def _canonical(self, records: Records, restarts: int, opened: int) -> int:
        """One number for all states that differ by the names of honest members and of adapters only."""
        likes = [self._likes_of(record) for record in records]
        candidates = []
        for adapter in range(self._adapters):
            mask = (opened >> 1 & 1) | (opened << 1 & 2) if adapter else opened
            like, rest = 2 * adapter, restarts << 2 | mask
            for (a, turn_a), (b, turn_b), (c, turn_c) in ORDERS:
                first, second, third = likes[a][like + turn_a], likes[b][like + turn_b], likes[c][like + turn_c]
                candidates.append(first << 44 | second << 24 | third << 4 | rest)
        return min(candidates)

    def _likes_of(self, record: int) -> tuple[int, ...]:
        """The record as it is, and with the two others exchanged; then both with the two adapters exchanged."""
        if record not in self._like:
            local, said = self._records[record]
            self._like[record] = tuple(
                self._record(self._renamed[local][index], renamed_said(said, names, adapters))
                for index, (names, adapters) in enumerate(RENAMINGS[: 2 * self._adapters])
            )
        return self._like[record]

    def _counterexample(self, before: dict[int, int], state: int) -> tuple[str, tuple[Step, ...]]:
        """What is broken, and how it is come to, with names that the members keep on the whole way."""
        path = [state]
        while before[path[-1]] >= 0:
            path.append(before[path[-1]])
        here, steps = self._first(), []
        for following in reversed(path[:-1]):
            taken, here = next(
                (taken, after) for taken, *_, after in self._following(*here) if self._canonical(*after) == following
            )
            steps.append(self._step(taken))
        last, why = next((taken, broken[0]) for taken, _, broken, _ in self._following(*here) if broken)
        return why, (*steps, self._step(last))

    def _step(self, taken: _Taken) -> Step:
        m, choice = taken
        if choice is None:
            return Step(m)
        return Step(m, self._positions[choice.at], renamed(choice.label, NAMES[m]))


def alike(states: Sequence[Local], restarts: bool) -> list[int]:
    """For each state of a member the first one that nobody can tell from it, now or after any further requests (the
    coarsest bisimulation, by refinement)."""
    group, count = [0] * len(states), 0
    while len(set(group)) > count:
        count = len(set(group))
        seen: dict[object, int] = {}
        group = [
            seen.setdefault(
                (
                    state.closed,
                    group[state.restarted] if restarts else 0,
                    frozenset((move.position, move.said, move.needs, group[move.target]) for move in state.moves),
                ),
                number,
            )
            for number, state in enumerate(states)
        ]
    return group


def _may_come(said: Sequence[Label], closed: bool, needed: Label) -> bool:
    """Whether a member has come to a label, or still may."""
    if any(label[: len(needed)] == needed for label in said):
        return True
    return not closed and (not said or said[-1] == needed[: len(said[-1])])


def _without_session(key: Key, position: Position) -> Key:
    *history, sessions = key
    return (*history, tuple(session for session in sessions if session[0] != position))


def _usable(m: int, labels: Sequence[Sequence[Label]], closed: Sequence[bool]) -> list[Label]:
    """What `m` said and another member, one that can still speak here, can be shown to some purpose."""
    behind = [labels[j][-1] if labels[j] else () for j in HONEST if j != m and not closed[j]]
    return [label for label in labels[m] if any(label[: len(known)] == known for known in behind)]


def _with(said: Said, at: int, label: Label) -> Said:
    """With a set-up begun, or the last one that was begun come to `label`."""
    here = (*said[at], label) if label == () else (*said[at][:-1], label)
    return (*said[:at], here, *said[at + 1 :])


def _unpacked(state: int) -> _State:
    mask = (1 << 20) - 1
    return (state >> 44, state >> 24 & mask, state >> 4 & mask), state >> 2 & 3, state & 3
