"""A long job under bad weather: 30 % of the members missing somewhere in every round, and more that should not matter.

In each round members drop out at a drawn step: the request is lost, or the answer, or the member's process ends before
or behind it and starts again over its journal. Besides, requests and answers come twice, late or in another order, and
the coordinator is killed within exchanges and goes on from its store. All of it is real but the model (TinyLearner) and
the network. What must hold is checked round by round, so that nothing has to be kept: see `Watched`.

    python -m tests.protocol.soak --rounds 200 --seed 1
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from aggregator.carriers import Exchange
from aggregator.exchange import Declined, Rejected
from aggregator.rounds import AttemptFailed, Event, RoundDone, run
from aggregator.store import Store
from federation import plan as p
from federation import step
from federation.schemes import State
from federation.secagg.messages import Refused, Revealed
from federation.wire import Signed, read_frame
from tests.protocol.conftest import MEMORY
from tests.protocol.consortium import SHAPES, Consortium, Killed, make_consortium
from tests.protocol.play import LIMITS

Loss = Literal["request lost", "answer lost", "restarted before", "restarted behind"]
LOSSES: tuple[Loss, ...] = ("request lost", "answer lost", "restarted before", "restarted behind")
COLD, STEADY = ("keys", "shares", "masked", "agreed", "revealed"), ("masked", "agreed", "revealed")
NUISANCE = 0.03
"""How likely each of these is for a member in an exchange: an old request again, a request twice, an answer twice, an
answer of an earlier exchange late."""
RECENT = 12
"""How many requests of each member may come again, and how many rounds back its statements are remembered."""
KILLS = 0.05
"""How likely the coordinator is killed within an exchange."""


@dataclass
class Weather:
    """A carrier. `befell`: what happened to each member in this round and the last, which is all that can explain a
    refusal; `counts`: how often what happened."""

    consortium: Consortium
    drawn: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    befell: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _before: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _round: int = 0
    _restarted: set[str] = field(default_factory=set)
    _losses: dict[tuple[str, str], Loss] = field(default_factory=dict)
    _old: dict[str, deque[tuple[bytes, bytes]]] = field(default_factory=dict)
    statements: list[Signed] = field(default_factory=list)

    def exchange(self, exchange: Exchange, requests: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
        if exchange.round != self._round:
            self._draw(exchange, set(requests))
        members = self.drawn.sample(sorted(requests), len(requests))
        dies_after = self.drawn.randrange(len(members)) if self.drawn.random() < KILLS and members else None
        for count, member in enumerate(members):
            loss = self._losses.pop((exchange.step, member), None)
            yield from ((member, answer) for answer in self._deliver(member, requests[member], loss))
            if count == dies_after:
                self.counts["coordinator killed"] += 1
                raise Killed

    def explains(self, member: str) -> set[str]:
        """What befell a member lately."""
        return self.befell[member] | self._before[member]

    def _draw(self, exchange: Exchange, asked: set[str]) -> None:
        """Who is lost in a new round: as many as make 30 % together with those who are not in its set-up, or were and
        have restarted since."""
        self._round, self._before, self.befell = exchange.round, self.befell, defaultdict(set)
        names = self.consortium.names
        steady = exchange.step == "masked"
        there = asked - self._restarted if steady else asked
        self._restarted = set()
        victims = self.drawn.sample(sorted(there), max(0, round(0.3 * len(names)) - (len(names) - len(there))))
        steps = STEADY if steady else COLD
        self._losses = {(self.drawn.choice(steps), m): self.drawn.choice(LOSSES) for m in victims}

    def _deliver(self, member: str, request: bytes, loss: Loss | None) -> list[bytes]:
        old = self._old.setdefault(member, deque(maxlen=RECENT))
        answers = []
        if old and self._happens(member, "old request again"):
            self._ask(member, self.drawn.choice(old)[0])
        if old and self._happens(member, "old answer late"):
            answers.append(self.drawn.choice(old)[1])
        if loss:
            self._note(member, loss)
        if loss == "restarted before":
            self.consortium.start_member(member)
        if loss == "request lost":
            return answers
        answer = self._ask(member, request)
        old.append((request, answer))
        if self._happens(member, "request twice"):
            answers.append(self._ask(member, request))
        if loss == "restarted behind":
            self.consortium.start_member(member)
            self._restarted.add(member)
        if loss != "answer lost":
            answers += [answer, answer] if self._happens(member, "answer twice") else [answer]
        return answers

    def _happens(self, member: str, what: str) -> bool:
        if self.drawn.random() >= NUISANCE:
            return False
        self._note(member, what)
        return True

    def _note(self, member: str, what: str) -> None:
        self.counts[what] += 1
        self.befell[member].add(what)

    def _ask(self, member: str, request: bytes) -> bytes:
        answer = self.consortium.members[member].handle(request)
        self.statements += read_frame(answer, LIMITS)
        return answer


@dataclass
class Watched:
    """Checks every event. Each sum is the plain sum of its survivors' vectors; no member says two things in one step
    and context or reveals twice for one round; every refusal is of a member that something befell lately."""

    consortium: Consortium
    weather: Weather
    samples: list["Sample"] = field(default_factory=list)
    declined: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    survivors: list[int] = field(default_factory=list)
    _state: State | None = None
    _said: deque[dict[tuple[str, str, bytes], bytes]] = field(default_factory=lambda: deque(maxlen=RECENT))

    def observe(self, event: Event) -> None:
        match event:
            case Declined():
                self.declined[event.code] += 1
                assert self.weather.explains(event.member), f"{event.member} refused and nothing befell it: {event}"
            case Rejected():
                self.rejected[event.code] += 1
                assert self.weather.explains(event.member), f"{event.member} was not understood: {event}"
            case AttemptFailed():
                self.failed[event.code] += 1
            case RoundDone():
                self._check_sum(event)
                self._check_said()
                self.survivors.append(len(event.aggregation.u3))
                self.samples.append(sample(self.consortium, event))

    def _check_sum(self, done: RoundDone) -> None:
        state = self._state or step.first_state(self.consortium.plan, SHAPES)
        words = [self.consortium.plain_words(m, done.round, state, done.ring) for m in done.aggregation.u3]
        mean, _ = done.ring.decode(np.sum(words, axis=0, dtype=done.ring.dtype), len(words))
        assert all(np.array_equal(mean[name], done.mean[name]) for name in mean)
        self._state = done.state

    def _check_said(self) -> None:
        """Over the statements of the last rounds: as far back as `Weather` repeats anything."""
        before = {key: said for window in self._said for key, said in window.items()}
        now: dict[tuple[str, str, bytes], bytes] = {}
        for statement in self.weather.statements:
            header = statement.header
            if header.kind != Refused.kind:
                key = (header.sender, header.kind, header.digest)
                said = now.setdefault(key, before.get(key, statement.header_bytes))
                assert said == statement.header_bytes, f"{header.sender} said two things: {header.kind}"
        reveals = Counter(sender for sender, kind, _ in now.keys() - before.keys() if kind == Revealed.kind)
        assert max(reveals.values()) == 1, "a member helped to open two sums of one round"
        self._said.append(now)
        self.weather.statements.clear()


@dataclass(frozen=True)
class Sample:
    """Sizes after a round, in bytes: this process's memory, the coordinator's folder, all members' journals."""

    round: int
    memory: int
    store: int
    journals: int


def sample(consortium: Consortium, done: RoundDone) -> Sample:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    job, members = consortium.folder / consortium.plan.job, consortium.folder / "members"
    return Sample(done.round, pages * 4096, size(job), size(members))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def soak(consortium: Consortium, seed: int) -> Watched:
    """The whole job, started again after each kill. Raises JobStopped where the weather was too bad for it."""
    watched = Watched(consortium, Weather(consortium, random.Random(seed)))
    while True:
        store = Store(consortium.folder / consortium.plan.job, consortium.plan.digest())
        try:
            run(consortium.job, watched.weather, store, watched.observe)
        except Killed:
            continue
        finally:
            store.close()
        return watched


def make(folder: Path, members: int, rounds: int) -> Consortium:
    """Learning slowly enough for its adapter to move to the end."""
    train = p.Train(16, 64, 16, p.Optimizer("adamw", 0.02, 0.0))
    return make_consortium(folder, members, rounds=rounds, train=train, rounds_per_data_set=4 * rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--members", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    started, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        watched = soak(make(Path(folder), args.members, args.rounds), args.seed)
    every = watched.samples[:: max(1, len(watched.samples) // 10)]
    print(
        json.dumps(
            vars(args)
            | {"seconds": round(time.monotonic() - started), "cpu_s": round(time.process_time() - cpu)}
            | {"happened": watched.weather.counts, "declined": watched.declined, "rejected": watched.rejected}
            | {"attempts_failed": watched.failed, "survivors": Counter(watched.survivors)}
            | {"samples": [asdict(s) for s in every]},
        ),
        file=sys.stdout,
    )


if __name__ == "__main__":
    main()
