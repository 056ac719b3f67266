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


class Table:
    """`members` members and a coordinator. `dropped` of them fall silent once their shares went out, which gives the
    coordinator the most to do. Every member has the same update, rounded at random."""

    def __init__(self, values: int, members: int, dropped: int, bits: int, threads: int) -> None:
        names = tuple(f"member-{number:03}" for number in range(members))
        self._identities = {name: Identity.create(name) for name in names}
        coordinator, digest = Identity.create(COORDINATOR), bytes(32)
        entries = tuple(RosterEntry(name, name, self._identities[name].public_key) for name in names)
        self._parties = Parties(Roster("bench", 1, coordinator.public_key, entries), names)
        roster = self._parties.roster.digest()
        self._offer = Offer(SUITE, "bench", "bench", 1, 1, ZERO_DIGEST, roster, digest, digest)
        self._aggregation = Aggregation(coordinator, self._parties, self._offer)
        self._ring = Ring(bits, members, {TENSOR: (values,)}, {TENSOR: RANGE}, ())
        self._terms = Terms(digest, self._ring.dimension, bits, self._ring.digest(), digest)
        self._limits = Limits(header=1 << 24, blob=values * bits // 8 + (1 << 24))
        self._update = np.random.default_rng(1).normal(0, SPREAD, values).astype(np.float32)
        self._names, self._staying, self._threads = names, names[: members - dropped], threads
        self._states: dict[str, Any] = {}
        self._expected = np.zeros(min(values, COMPARED), self._ring.dtype)
        self._expected_sum = 0
        self._meter = Meter()

    def aggregate(self, after_each_vector: Callable[[], None]) -> Costs:
        """The five steps. Raises WrongSum."""
        aggregation, staying = self._aggregation, self._staying
        self._exchange(aggregation.offers, self._names, self._on_offer)
        self._exchange(aggregation.cohorts, self._names, self._on_cohort)
        self._exchange(lambda: aggregation.inboxes(self._terms), staying, self._on_inbox, after_each_vector)
        self._exchange(aggregation.survivors, staying, self._on_survivors)
        self._exchange(aggregation.unmasks, staying, self._on_unmask)
        with self._meter.running(COORDINATOR):
            total = aggregation.total(self._threads)
            self._ring.decode(total, len(staying))
        self._require_right(total)
        vector_bytes = total.nbytes
        other_bytes = max(self._meter.bytes[name] for name in staying) - vector_bytes
        clients = [self._meter.seconds[name] for name in staying]
        masks = len(aggregation.u3) * (1 + len(aggregation.u2) - len(aggregation.u3))
        return Costs(clients, self._meter.seconds[COORDINATOR], masks, vector_bytes, other_bytes)

    def _exchange(
        self,
        requests: Callable[[], Mapping[str, Signed]],
        asked: Sequence[str],
        answer: Callable[[str, bytes], bytes],
        after_each: Callable[[], None] = lambda: None,
    ) -> None:
        with self._meter.running(COORDINATOR):
            messages = requests()
        for name in asked:
            with self._meter.running(COORDINATOR):
                request = write_frame([messages[name]])
            reply = answer(name, request)
            with self._meter.running(COORDINATOR):
                for statement in read_frame(reply, self._limits):
                    self._aggregation.accept(statement)
            self._meter.bytes[name] += len(request) + len(reply)
            after_each()

    def _read(self, request: bytes) -> Signed:
        (message,) = read_frame(request, self._limits)
        message.check_blob()
        return message

    def _on_offer(self, name: str, request: bytes) -> bytes:
        with self._meter.running(name):
            offer = read_body(Offer, self._read(request).header.body)
            self._states[name], keys = announce(Seat(self._identities[name], self._parties, 1, offer))
            return write_frame([keys])

    def _on_cohort(self, name: str, request: bytes) -> bytes:
        with self._meter.running(name):
            self._states[name], shares = self._states[name].on_cohort(self._read(request))
            return write_frame([shares])

    def _on_inbox(self, name: str, request: bytes) -> bytes:
        with self._meter.running(name):
            ready = self._states[name].on_inbox(self._read(request))
            self._ring.clipped_share({TENSOR: self._update})
            rounding = rounding_stream("bench", "bench", 1, name, 1)
            vector = self._ring.encode({TENSOR: self._update}, {}, rounding)
        self._expect(vector)
        with self._meter.running(name):
            self._states[name], masked = ready.mask(vector, self._terms, self._threads)
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

    def _require_right(self, total: Words) -> None:
        modulus = 1 << self._ring.bits
        same = np.array_equal(total[: len(self._expected)], self._expected)
        if not same or int(total.sum(dtype=np.uint64)) % modulus != self._expected_sum % modulus:
            raise WrongSum
