"""Fed-SB (Singhal et al. 2025): W + (alpha / r) B R A with fixed orthonormal A and B. Members train R (r, r).

Exact: A and B are the same at every member, so B mean(R) A = mean(B R A). Upload per layer: r r values.

The authors take A and B from the first gradients of the data. Here that would be the members' private text, and factors
of a singular value decomposition differ between machines, while the first adapter has to be the same to the bit. So A
and B come from the plan's seed: sparse, with disjoint rows (each coordinate is in one, with a random sign), orthonormal
without any linear algebra. A random subspace holds less of what is to be learned than one that gradients chose: this is
Fed-SB's upload with a weaker start.
"""

from dataclasses import replace

import numpy as np

from federation.plan import Lora
from federation.schemes.state import LayerShapes, State, require_orthonormal
from federation.stream import Stream
from federation.tensors import Array, Shapes, Tensors, shapes_of


def init(shapes: LayerShapes, lora: Lora, seed: int) -> State:
    """The first adapter: R = 0 changes nothing. Raises ConfigInvalid for a rank that some layer cannot have."""
    require_orthonormal(shapes, lora, "fedsb")
    factors: dict[str, Array] = {}
    for name, (out_size, in_size) in sorted(shapes.items()):
        factors[f"{name}.lora_A"] = disjoint_rows(lora.r, in_size, Stream("init A", [seed, name]))
        factors[f"{name}.lora_B"] = disjoint_rows(lora.r, out_size, Stream("init B", [seed, name])).T
        factors[f"{name}.lora_R"] = np.zeros((lora.r, lora.r), dtype=np.float32)
    return State(0, factors)


def disjoint_rows(count: int, size: int, stream: Stream) -> Array:
    """(count, size) with orthonormal rows: the coordinates in a random order are dealt to the rows in turn. Of
    integers, correctly rounded square roots and quotients alone, so the same on every machine."""
    order = np.argsort(stream.random(size), kind="stable")
    signs = np.where(stream.random(size) < 0.5, -1.0, 1.0)
    row = np.arange(size) % count
    rows = np.zeros((count, size), dtype=np.float32)
    rows[row, order] = (signs / np.sqrt(np.bincount(row)[row])).astype(np.float32)
    return rows


def trainable(state: State) -> frozenset[str]:
    """R of every layer."""
    return frozenset(name for name in state.factors if name.endswith(".lora_R"))


def upload_shapes(state: State) -> Shapes:
    """One update for every R."""
    return shapes_of(broadcast(state))


def encode(state: State, local: Tensors) -> dict[str, Array]:
    """What training changed: local - broadcast."""
    return {name: local[name] - state.factors[name] for name in sorted(trainable(state))}


def apply(state: State, update: Tensors) -> State:
    """The next R: broadcast + update."""
    moved = {name: state.factors[name] + update[name] for name in update}
    return replace(state, round=state.round + 1, factors={**state.factors, **moved})


def broadcast(state: State) -> Tensors:
    """R travels; everyone has A and B from the plan's seed."""
    return {name: state.factors[name] for name in sorted(trainable(state))}


def export(state: State) -> Tensors:
    """Plain LoRA of the same rank: A, and B R for B, rounded to float32."""
    factors: dict[str, Array] = {}
    for name in sorted(trainable(state)):
        layer = name.removesuffix(".lora_R")
        factors[f"{layer}.lora_A"] = state.factors[f"{layer}.lora_A"]
        product = state.factors[f"{layer}.lora_B"].astype(np.float64) @ state.factors[name]
        factors[f"{layer}.lora_B"] = product.astype(np.float32)
    return factors
