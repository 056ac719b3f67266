"""One secure aggregation with the real machines of members and coordinator, every message as the bytes of a frame, and
what it costs each side. Members come one after the other: nobody's vector is kept.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from federation import identity
from federation.identity import COORDINATOR, Identity, Roster, RosterEntry
from federation.ring import Ring, rounding_stream
from federation.secagg.client import Seat, announce
from federation.secagg.contexts import SUITE, Terms
from federation.secagg.graph import Parameters
from federation.secagg.messages import Offer
from federation.secagg.parties import Parties
from federation.secagg.primitives import Words
from federation.secagg.server import Aggregation
from federation.wire import ZERO_DIGEST, Limits, Signed, read_body, read_frame, write_frame

TENSOR, RANGE, SPREAD = "update", 0.1, 0.03
# How many words of the sum are compared one by one. All others only by their own sum: nobody's vector is kept.
COMPARED = 1000


class WrongSum(Exception):
    """The unmasked sum is not that of the vectors that went in."""


@dataclass(frozen=True)
class Costs:
    """CPU seconds of each member that stayed and of the coordinator; how many masks the coordinator took off; and the
    bytes that one member sends and receives, its vector's and all others (the largest of any member)."""

    clients: list[float]
    coordinator: float
    masks: int
    vector_bytes: int
    other_bytes: int


@dataclass
class Meter:
    """CPU seconds and bytes by party."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    bytes: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def running(self, party: str) -> Iterator[None]:
        """What happens inside is this party's work."""
        identity._verified.clear()  # a real party has not seen what others verified in this process
        started = time.process_time()
        yield
        self.seconds[party] += time.process_time() - started


class Members:
    """`count` members of a job, who take turns in this process. Every member has the same update, rounded at random."""

    def __init__(
        self, values: int, count: int, bits: int, threads: int, meter: Meter, sparse: Parameters | None = None
    ) -> None:
        self.names = tuple(f"member-{number:04}" for number in range(count))
        identities = {name: Identity.create(name) for name in self.names}
        self.coordinator, digest = Identity.create(COORDINATOR), bytes(32)
        entries = tuple(RosterEntry(name, name, identities[name].public_key) for name in self.names)
        self.parties = Parties(Roster("bench", 1, self.coordinator.public_key, entries), self.names, sparse)
        roster = self.parties.roster.digest()
        self.offer = Offer(SUITE, "bench", "bench", 1, 1, ZERO_DIGEST, roster, digest, digest)
        self.ring = Ring(bits, count, {TENSOR: (values,)}, {TENSOR: RANGE}, ())
        self.terms = Terms(digest, self.ring.dimension, bits, self.ring.digest(), digest)
        self.limits = Limits(header=1 << 24, blob=values * bits // 8 + (1 << 24))
        self._identities, self._threads, self._meter = identities, threads, meter
        self._update = np.random.default_rng(1).normal(0, SPREAD, values).astype(np.float32)
        self._states: dict[str, Any] = {}
        self._expected = np.zeros(min(values, COMPARED), self.ring.dtype)
        self._expected_sum = 0
        self._answers = (self._on_offer, self._on_cohort, self._on_inbox, self._on_survivors, self._on_unmask)

    def answer(self, step: int, name: str, request: bytes) -> bytes:
        """What a member says at step 0 to 4, at its own cost."""
        reply = self._answers[step](name, request)
        self._meter.bytes[name] += len(request) + len(reply)
        return reply

    def require_right(self, total: Words) -> None:
        """Raises WrongSum unless this is the sum of the vectors that were masked."""
        modulus = 1 << self.ring.bits
        same = np.array_equal(total[: len(self._expected)], self._expected)
        if not same or int(total.sum(dtype=np.uint64)) % modulus != self._expected_sum % modulus:
            raise WrongSum

    def _read(self, request: bytes) -> Signed:
        (message,) = read_frame(request, self.limits)
        message.check_blob()
        return message

    def _on_offer(self, name: str, request: bytes) -> bytes:
        with self._meter.running(name):
            offer = read_body(Offer, self._read(request).header.body)
            self._states[name], keys = announce(Seat(self._identities[name], self.parties, 1, offer))
            return write_frame([keys])

    def _on_cohort(self, name: str, request: bytes) -> bytes:
        with self._meter.running(name):
            self._states[name], shares = self._states[name].on_cohort(self._read(request))
            return write_frame([shares])

    def _on_inbox(self, name: str, request: bytes) -> bytes:
        with self._meter.running(name):
            ready = self._states[name].on_inbox(self._read(request))
            self.ring.clipped_share({TENSOR: self._update})
            rounding = rounding_stream("bench", "bench", 1, name, 1)
            vector = self.ring.encode({TENSOR: self._update}, {}, rounding)
        self._expect(vector)
        with self._meter.running(name):
            self._states[name], masked = ready.mask(vector, self.terms, self._threads)
            return write_frame([masked])

    def _on_survivors(self, name: str, request: bytes) -> bytes:
        with self._meter.running(name):
            self._states[name], agreed = self._states[name].on_survivors(self._read(request))
            return write_frame([agreed])

    def _on_unmask(self, name: str, request: bytes) -> bytes:
        with self._meter.running(name):
            return write_frame([self._states[name].on_unmask(self._read(request))])

    def _expect(self, vector: Words) -> None:
        self._expected += vector[: len(self._expected)]
        self._expected_sum += int(vector.sum(dtype=np.uint64))


class Table:
    """`members` members and a coordinator in one process. `dropped` of them fall silent once their shares went out,
    which gives the coordinator the most to do."""

    def __init__(self, values: int, members: int, dropped: int, bits: int, threads: int) -> None:
        self._meter = Meter()
        self._members = Members(values, members, bits, threads, self._meter)
        self._aggregation = Aggregation(self._members.coordinator, self._members.parties, self._members.offer)
        self._staying, self._threads = self._members.names[: members - dropped], threads

    def aggregate(self, after_each_vector: Callable[[], None]) -> Costs:
        """The five steps. Raises WrongSum."""
        aggregation, members, staying = self._aggregation, self._members, self._staying
        self._exchange(0, aggregation.offers, members.names)
        self._exchange(1, aggregation.cohorts, members.names)
        self._exchange(2, lambda: aggregation.inboxes(members.terms), staying, after_each_vector)
        self._exchange(3, aggregation.survivors, staying)
        self._exchange(4, aggregation.unmasks, staying)
        with self._meter.running(COORDINATOR):
            total = aggregation.total(self._threads)
            members.ring.decode(total, len(staying))
        members.require_right(total)
        vector_bytes = total.nbytes
        other_bytes = max(self._meter.bytes[name] for name in staying) - vector_bytes
        clients = [self._meter.seconds[name] for name in staying]
        masks = len(aggregation.u3) * (1 + len(aggregation.u2) - len(aggregation.u3))
        return Costs(clients, self._meter.seconds[COORDINATOR], masks, vector_bytes, other_bytes)

    def _exchange(
        self,
        step: int,
        requests: Callable[[], Mapping[str, Signed]],
        asked: Sequence[str],
        after_each: Callable[[], None] = lambda: None,
    ) -> None:
        with self._meter.running(COORDINATOR):
            messages = requests()
        for name in asked:
            with self._meter.running(COORDINATOR):
                request = write_frame([messages[name]])
            reply = self._members.answer(step, name, request)
            with self._meter.running(COORDINATOR):
                for statement in read_frame(reply, self._members.limits):
                    self._aggregation.accept(statement)
            after_each()
