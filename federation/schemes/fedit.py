"""FedIT (Zhang et al. 2023): FedAvg of both factors. The control that everyone reports.

Not exact: the mean of B times the mean of A is not the mean of B A. Upload per (out, in) layer: r (out + in) values.
"""

from dataclasses import replace

from federation.plan import Lora
from federation.schemes.state import LayerShapes, State, first_factors
from federation.tensors import Array, Shapes, Tensors, shapes_of


def init(shapes: LayerShapes, lora: Lora, seed: int) -> State:
    """The first adapter: random A, zero B."""
    return State(0, first_factors(shapes, lora, seed))


def trainable(state: State) -> frozenset[str]:
    """Members train both factors of every layer."""
    return frozenset(state.factors)


def upload_shapes(state: State) -> Shapes:
    """One update for every factor, of the factor's shape."""
    return shapes_of(state.factors)


def encode(state: State, local: Tensors) -> dict[str, Array]:
    """What training changed: local - broadcast."""
    return {name: local[name] - state.factors[name] for name in state.factors}


def apply(state: State, update: Tensors) -> State:
    """The next factors: broadcast + update."""
    return replace(state, round=state.round + 1, factors={n: state.factors[n] + update[n] for n in state.factors})


def broadcast(state: State) -> Tensors:
    """All factors travel."""
    return state.factors


def export(state: State) -> Tensors:
    """The factors are plain LoRA already."""
    return state.factors
