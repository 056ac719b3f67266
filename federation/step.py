"""From one public adapter to the next. Coordinator and members compute it alike, so that a member can refuse an adapter
that is not the one that the last round's sum gives."""

import bisect
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from federation import server_optim, tensors
from federation.plan import Plan, plain
from federation.ring import Ring
from federation.schemes import LoraScheme, State, scheme_named
from federation.schemes.state import LayerShapes
from federation.secagg.contexts import Terms
from federation.tensors import Means, Tensors
from federation.wire import ZERO_DIGEST, canonical_cbor

T = TypeVar("T")

HELD_OUT_LOSS = "held_out_loss"
BASE_LOSS = "base_held_out_loss"
"""The base model's loss on the same text. Who is in a sum changes from round to round, and texts differ by more than a
round teaches: only the difference of the two means, over the same members, can be followed."""
CLIPPED_SHARE = "clipped_share"
DIVERGED = "diverged"
GAIN_NOTHING, GAIN_MUCH = 0.01, 0.1
GAIN_EDGES = (-GAIN_MUCH, -GAIN_NOTHING, GAIN_NOTHING, GAIN_MUCH)
"""Nats a token. They part members by what the final adapter gains them: the base model's loss less its own, each on the
member's validation sample. Not a setting: whoever could choose the edges could ask where one member lies."""
GAINS = ("lose_much", "lose", "even", "gain", "gain_much")
"""How many members lie in each part: the figures of the last sum alone. From round to round the coordinator could
subtract two counts, and see in which part the one member lies that was lost in between."""
ADAMW_REACH = 1.25
"""How far AdamW moves a value in practice, in learning rates a step: one where gradients keep their sign and size
(Kingma & Ba 2015, section 2.1), a little more where they grow."""

_VELOCITY = ".velocity"


def scheme_of(plan: Plan) -> LoraScheme:
    """The plan's scheme."""
    return scheme_named(plan.scheme)


def first_state(plan: Plan, shapes: LayerShapes) -> State:
    """The state before the first round: a function of the plan and the base model's shapes alone."""
    scheme = scheme_of(plan)
    state = scheme.init(shapes, plan.lora, plan.seed)
    return replace(state, velocity=server_optim.first_velocity(plan.server_optim, scheme.upload_shapes(state)))


def adapter_digest(state: State) -> bytes:
    """The adapter's name in every context, journal and ledger: of all that is public, whether or not it travels."""
    return tensors.digest({**state.factors, **_named(state.velocity)})


def broadcast(plan: Plan, state: State) -> Tensors:
    """What travels of `state`, by name: factors, and the server's velocity as `NAME.velocity`."""
    return {**scheme_of(plan).broadcast(state), **_named(state.velocity)}


def broadcast_shapes(plan: Plan, first: State, round: int) -> tensors.Shapes:
    """Of what opens `round`. `first`: the job's first state."""
    shapes = tensors.shapes_of(scheme_of(plan).broadcast(first))
    uploads = scheme_of(plan).upload_shapes(State(round - 1, first.factors)) if first.velocity else {}
    return {**shapes, **_named(uploads)}


def restore(first: State, round: int, values: Tensors) -> State:
    """The state after `round` rounds whose broadcast is `values`. `first`: the job's first state."""
    velocity = {name.removesuffix(_VELOCITY): values[name] for name in values if name.endswith(_VELOCITY)}
    factors = {name: values[name] for name in values if not name.endswith(_VELOCITY)}
    return State(round, {**first.factors, **factors}, velocity)


def _named(velocity: Mapping[str, T]) -> dict[str, T]:
    return {f"{name}{_VELOCITY}": value for name, value in velocity.items()}


def trains(plan: Plan, round: int) -> bool:
    """Rounds 1..rounds train. The one after them only evaluates the final adapter."""
    return round <= plan.rounds


def evaluates(plan: Plan, round: int) -> bool:
    """Whether members report the loss of the adapter that opens `round`."""
    return (round - 1) % plan.evaluation.every == 0 or not trains(plan, round)


def ring_for(plan: Plan, state: State, round: int, last_mean: Means | None) -> Ring:
    """How this round's updates are encoded: ranges from the plan and the last public mean of the same tensors.

    Ranges of round 1: `secagg.initial_range`; `auto` is learning rate x steps x ADAMW_REACH. Later: `range_headroom`
    times the largest absolute mean, within that same first range.
    """
    shapes = scheme_of(plan).upload_shapes(state) if trains(plan, round) else {}
    first = plan.secagg.initial_range
    if first == "auto":
        first = ADAMW_REACH * plan.train.optimizer.learning_rate * plan.train.steps
    ranges = {}
    for name in shapes:
        ranges[name] = first
        if last_mean is not None and name in last_mean:
            largest = plan.secagg.range_headroom * float(np.max(np.abs(last_mean[name]), initial=0.0))
            ranges[name] = max(plan.secagg.smallest_range, min(first, largest))
    return Ring(plan.secagg.ring_bits, len(plan.members), shapes, ranges, scalars_of(plan, round))


def scalars_of(plan: Plan, round: int) -> tuple[str, ...]:
    """The figures that travel with the updates of `round`, in order."""
    evaluated = evaluates(plan, round)
    stated = (
        (HELD_OUT_LOSS, evaluated),
        (BASE_LOSS, evaluated),
        *((name, not trains(plan, round)) for name in GAINS),
        (CLIPPED_SHARE, trains(plan, round)),
        (DIVERGED, True),
    )
    return tuple(name for name, wanted in stated if wanted)


def gains(base_loss: float, loss: float) -> dict[str, float]:
    """A member's GAINS: one in the part that its gain lies in (an edge belongs to the part above), zero elsewhere."""
    part = bisect.bisect_right(GAIN_EDGES, base_loss - loss)
    return {name: float(index == part) for index, name in enumerate(GAINS)}


def members_by_gain(scalars: Mapping[str, float], survivors: int) -> dict[str, int]:
    """How many of the `survivors` of a sum said that they lie in each part; empty where they were not asked."""
    return {name: round(scalars[name] * survivors) for name in GAINS if name in scalars}


def terms(plan: Plan, adapter: bytes, ring: Ring, last: bytes = ZERO_DIGEST) -> Terms:
    """What the round's context binds of the vectors: `adapter` is the digest of the adapter that opens the round,
    `last` that of the sum that gave it."""
    bounds = hashlib.sha256(b"rengo privacy v1\0" + canonical_cbor(plain(plan.privacy))).digest()
    return Terms(adapter, ring.dimension, ring.bits, ring.digest(), bounds, last)


def next_state(plan: Plan, state: State, mean: Means) -> State:
    """The state after a round whose decoded mean update is `mean`."""
    velocity = server_optim.next_velocity(plan.server_optim, state.velocity, mean)
    taken = server_optim.step(plan.server_optim, velocity, mean)
    return scheme_of(plan).apply(replace(state, velocity=velocity), taken)
