"""FFA-LoRA (Sun et al. 2024): A stays as it was drawn, members train B.

Exact: A is the same at every member, so mean(B) A = mean(B A). Upload per (out, in) layer: r out values. The price: the
adapter never leaves the rows that A was drawn with.
"""

from dataclasses import replace

from federation.plan import Lora
from federation.schemes.state import LayerShapes, State, first_factors
from federation.tensors import Array, Shapes, Tensors, shapes_of


def init(shapes: LayerShapes, lora: Lora, seed: int) -> State:
    """The first adapter: random A, zero B."""
    return State(0, first_factors(shapes, lora, seed))


def trainable(state: State) -> frozenset[str]:
    """B of every layer."""
    return frozenset(name for name in state.factors if name.endswith(".lora_B"))


def upload_shapes(state: State) -> Shapes:
    """One update for every B, of its shape."""
    return shapes_of(broadcast(state))


def encode(state: State, local: Tensors) -> dict[str, Array]:
    """What training changed: local - broadcast."""
    return {name: local[name] - state.factors[name] for name in sorted(trainable(state))}


def apply(state: State, update: Tensors) -> State:
    """The next B: broadcast + update."""
    moved = {name: state.factors[name] + update[name] for name in update}
    return replace(state, round=state.round + 1, factors={**state.factors, **moved})


def broadcast(state: State) -> Tensors:
    """B travels; everyone has A from the plan's seed."""
    return {name: state.factors[name] for name in sorted(trainable(state))}


def export(state: State) -> Tensors:
    """The factors are plain LoRA already."""
    return state.factors
