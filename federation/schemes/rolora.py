"""RoLoRA (Chen et al. 2024): members train B in one round and A in the next, by turns.

Exact: while A is frozen and the same at every member, mean(B) A = mean(B A), and likewise for B. Upload per (out, in)
layer: r out or r in values by turns, about half of FedIT's. `alternating` is this with factors that are chosen anew
after each round.
"""

from dataclasses import replace

from federation.plan import Lora
from federation.schemes.state import LayerShapes, State, first_factors
from federation.tensors import Array, Shapes, Tensors, shapes_of


def init(shapes: LayerShapes, lora: Lora, seed: int) -> State:
    """The first adapter: random A, zero B. B is trained first: with B = 0 the loss does not depend on A."""
    return State(0, first_factors(shapes, lora, seed))


def trainable(state: State) -> frozenset[str]:
    """B after an even number of rounds, A after an odd one."""
    kind = ".lora_B" if state.round % 2 == 0 else ".lora_A"
    return frozenset(name for name in state.factors if name.endswith(kind))


def upload_shapes(state: State) -> Shapes:
    """One update for every factor that is trained in this round, of the factor's shape."""
    shapes = shapes_of(state.factors)
    return {name: shapes[name] for name in sorted(trainable(state))}


def encode(state: State, local: Tensors) -> dict[str, Array]:
    """What training changed: local - broadcast."""
    return {name: local[name] - state.factors[name] for name in sorted(trainable(state))}


def apply(state: State, update: Tensors) -> State:
    """The trained factors moved on, the others as they are."""
    moved = {name: state.factors[name] + update[name] for name in update}
    return replace(state, round=state.round + 1, factors={**state.factors, **moved})


def broadcast(state: State) -> Tensors:
    """All factors travel: each moves in every other round."""
    return state.factors


def export(state: State) -> Tensors:
    """The factors are plain LoRA already."""
    return state.factors
