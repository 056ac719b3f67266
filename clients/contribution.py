"""One member's part of a round, between protocol and learning: check the adapter, train on it, encode the update."""

import hashlib
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from clients.dataset import Blocks, Corpus
from federation import privacy, step, tensors
from federation.errors import TrainingDiverged
from federation.plan import Plan, Train
from federation.ring import NotFinite, Ring, rounding_stream
from federation.schemes import State
from federation.schemes.state import LayerShapes
from federation.secagg.contexts import last_sum_digest
from federation.secagg.messages import Broadcast, LastSum
from federation.secagg.refusals import AdapterUnexplained, WrongTerms
from federation.stream import Stream
from federation.tensors import Array, Means, Tensors
from federation.wire import ZERO_DIGEST, Buffer, Malformed, canonical_cbor

SAME_ADAPTER = 1e-5
"""Relative L2 difference up to which two machines' results of the same floating-point recipe count as the same."""


class Trained(Protocol):
    """What training gives back."""

    @property
    def tensors(self) -> Mapping[str, Array]: ...


class Evaluated(Protocol):
    """The summed loss over a number of predicted tokens."""

    @property
    def nats(self) -> float: ...
    @property
    def tokens(self) -> int: ...


class Learner(Protocol):
    """Local training and evaluation (trainer.py, or anything with the same two functions)."""

    @property
    def shapes(self) -> LayerShapes: ...
    def train(
        self, factors: Tensors, trainable: AbstractSet[str], blocks: Blocks, train: Train, seed: int
    ) -> Trained: ...
    def evaluate(self, factors: Tensors, blocks: Blocks) -> Evaluated: ...


@dataclass(frozen=True)
class Received:
    """An accepted adapter: the public state that opens a round, and how the round's vectors are encoded."""

    round: int
    state: State
    ring: Ring
    adapter: bytes
    last: bytes = ZERO_DIGEST


@dataclass(frozen=True)
class Measured:
    """The adapter that opened `round`, and the base model, on this member's own validation sample: nats a token."""

    round: int
    loss: float
    base_loss: float


class Contribution:
    """What one member computes in a job. Remembers the last two adapters, in order to check the next. `noted`: hears
    what each evaluation found, of which the coordinator learns sums alone. `train`: where this machine has a smaller
    budget of tokens than the plan."""

    def __init__(
        self,
        plan: Plan,
        member: str,
        learner: Learner,
        corpus: Corpus,
        noted: Callable[[Measured], None] = lambda measured: None,
        train: Train | None = None,
    ) -> None:
        self._plan, self._member, self._learner, self._corpus, self._noted = plan, member, learner, corpus, noted
        self._train = train or plan.train
        self._scheme = step.scheme_of(plan)
        self._first = step.first_state(plan, learner.shapes)
        self._first_digest = step.adapter_digest(self._first)
        self._known: dict[int, Received] = {}

    def adapter_shapes(self, round: int) -> tensors.Shapes:
        """The tensors that open `round`, by name."""
        return step.broadcast_shapes(self._plan, self._first, round)

    def receive(self, round: int, broadcast: Broadcast, blob: Buffer) -> Received:
        """The adapter that opens `round`, checked. Raises Malformed, WrongTerms or AdapterUnexplained.

        A member that was in the last round recomputes the adapter from the last sum and refuses any other; one that
        was not has nothing to recompute it from, and its session asks for proof that the others have (proof.py).
        """
        shapes = self.adapter_shapes(round)
        if broadcast.adapter_size != 4 * tensors.size_of(shapes) or broadcast.adapter_size > len(blob):
            raise Malformed(detail="the adapter has another size than the plan's")
        view = memoryview(blob)
        values = tensors.from_bytes(view[: broadcast.adapter_size], shapes)
        state = step.restore(self._first, round - 1, values)
        if step.adapter_digest(state) != broadcast.adapter:
            raise Malformed(detail="the adapter does not match its digest")
        mean = None
        if round == 1:
            if broadcast.last is not None or len(blob) != broadcast.adapter_size:
                raise WrongTerms(what="last sum", actual="given", expected="none in round 1")
            # To the bit: it comes from integers and exact float64 steps, so no machine has a reason to differ. A
            # neighbouring first adapter in a second job would be a way to difference two sums.
            if broadcast.adapter != self._first_digest:
                raise AdapterUnexplained(difference="not the first adapter of this plan, to the bit")
        else:
            mean = self._last_mean(round, broadcast.last, view[broadcast.adapter_size :], state)
        ring = step.ring_for(self._plan, state, round, mean)
        last = last_sum_digest(broadcast.last, view[broadcast.adapter_size :])
        return Received(round, state, ring, broadcast.adapter, last)

    def knows(self, round: int) -> bool:
        """Whether this member trained on the adapter that opened `round`, and can recompute the next one."""
        return round in self._known

    def contribute(self, received: Received) -> NDArray[np.unsignedinteger[Any]]:
        """Train and evaluate on the accepted adapter: this member's vector, not yet masked.

        Training that diverges gives a zero update and says so inside the sum. A refusal would tell the coordinator, of
        this member alone, what a crafted adapter does on its text.
        """
        round = received.round
        ring = received.ring
        try:
            update, scalars = self._learn(received)
            vector = ring.encode(update, scalars, self._rounding(round))
        except (TrainingDiverged, NotFinite):
            update = {name: np.zeros(shape, dtype=np.float32) for name, shape in ring.shapes.items()}
            scalars = dict.fromkeys(ring.scalars, 0.0) | {step.DIVERGED: 1.0}
            vector = ring.encode(update, scalars, self._rounding(round))
        # Remembered only here: an adapter that was refused must not stand in for the one that was used.
        self._known = {r: known for r, known in self._known.items() if r == round - 1} | {round: received}
        return vector

    def _learn(self, received: Received) -> tuple[dict[str, Array], dict[str, float]]:
        """(update, scalars) of this round. Raises TrainingDiverged."""
        plan, round, state = self._plan, received.round, received.state
        scalars = {step.DIVERGED: 0.0}
        if step.evaluates(plan, round):
            scalars[step.BASE_LOSS] = self._base_loss
            scalars[step.HELD_OUT_LOSS] = self._base_loss if round == 1 else self._validate(state)
            self._noted(Measured(round, scalars[step.HELD_OUT_LOSS], self._base_loss))
        update: dict[str, Array] = {}
        if not step.trains(plan, round):
            scalars |= step.gains(self._base_loss, scalars[step.HELD_OUT_LOSS])
        else:
            count = self._train.tokens_per_round // self._train.sequence_length
            blocks = self._corpus.train.for_round(round, count, self._seed("order"))
            trainable, seed = self._scheme.trainable(state), self._seed(f"round {round}")
            train = self._train.in_round(round, plan.rounds)
            trained = self._learner.train(state.factors, trainable, blocks, train, seed)
            update = privacy.clip_update(self._scheme.encode(state, trained.tensors), plan.privacy)
            scalars[step.CLIPPED_SHARE] = received.ring.clipped_share(update)
        return update, scalars

    @cached_property
    def _base_loss(self) -> float:
        """Under the first adapter, which is the base model: B, or R, is zero."""
        return self._validate(self._first)

    def _validate(self, state: State) -> float:
        """Mean loss in nats a token, on the same tokens in every round."""
        factors = self._scheme.export(state)
        evaluated = self._learner.evaluate(factors, self._corpus.validation.first(self._plan.evaluation.tokens))
        return evaluated.nats / evaluated.tokens

    def _rounding(self, round: int) -> Stream:
        plan = self._plan
        return rounding_stream(plan.consortium, plan.job, plan.seed, self._member, round)

    def _seed(self, purpose: str) -> int:
        return training_seed(self._plan, self._member, purpose)

    def _last_mean(self, round: int, last: LastSum | None, words: memoryview, state: State) -> Means:
        if last is None:
            raise WrongTerms(what="last sum", actual="missing", expected=f"the sum of round {round - 1}")
        known = self._known.get(round - 1)
        ring = known.ring if known is not None else self._stated_ring(round - 1, last)
        if (last.scalars, last.ranges, last.proof.encoding) != (ring.scalars, ring.stated_ranges, ring.digest()):
            raise WrongTerms(what="last encoding", actual="another", expected="the one of the last round")
        if len(words) != ring.dimension * ring.dtype.itemsize:
            raise Malformed(detail="the last sum has a wrong length")
        if not self._plan.quorum <= last.count <= len(self._plan.members):
            raise WrongTerms(what="last count", actual=last.count, expected=f"at least {self._plan.quorum}")
        mean, _ = ring.decode(np.frombuffer(words, dtype=ring.dtype), last.count)
        if known is not None:
            actual, opened_by = last.proof.adapter, known.adapter
            if actual != opened_by:
                raise WrongTerms(what="last adapter", actual=actual.hex()[:16], expected=opened_by.hex()[:16])
            self._require_same(state, step.next_state(self._plan, known.state, mean))
        return mean

    def _stated_ring(self, round: int, last: LastSum) -> Ring:
        """The last round's encoding as the coordinator states it, for a member that was not there."""
        shapes = self._scheme.upload_shapes(State(round - 1, self._first.factors))
        if len(last.ranges) != len(shapes):
            raise Malformed(detail="the last encoding has a wrong number of ranges")
        try:
            ranges = {name: float.fromhex(text) for name, text in zip(sorted(shapes), last.ranges, strict=True)}
        except (ValueError, OverflowError) as error:
            raise Malformed(detail="a range is not a number") from error
        if not all(self._plan.secagg.smallest_range <= r < np.inf for r in ranges.values()):
            raise Malformed(detail="a range is not positive and finite")
        bits, count = self._plan.secagg.ring_bits, len(self._plan.members)
        return Ring(bits, count, shapes, ranges, step.scalars_of(self._plan, round))

    def _require_same(self, actual: State, expected: State) -> None:
        """Factors and velocity, each by itself: next to a large one a small one could be anything."""
        of_factors = tensors.relative_difference(self._scheme.broadcast(actual), self._scheme.broadcast(expected))
        difference = max(of_factors, tensors.relative_difference(actual.velocity, expected.velocity))
        if not difference <= SAME_ADAPTER:
            raise AdapterUnexplained(difference=f"relative difference {difference:.2g}")


def training_seed(plan: Plan, member: str, purpose: str) -> int:
    """From the plan, and by the job's name: two jobs on one data set must not train on it in the same order, or the
    difference of two sums over neighbouring sets would be one member's update to the digit."""
    text = canonical_cbor(["rengo training v1", plan.consortium, plan.job, plan.seed, member, purpose])
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) >> 1
