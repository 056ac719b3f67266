"""RoLoRA (Chen et al. 2024) with an orthonormal refactor: members train B in one round and A in the next, by turns.

Exact: while A is frozen and the same at every member, mean(B) A = mean(B A), and likewise for B. Upload per (out, in)
layer: r out or r in values by turns, about half of FedIT's.

After each round the product B A is kept and its factors are chosen anew (QR of B, then SVD of an r x in matrix; never
out x in): the factor that is frozen next becomes orthonormal, so that a step of the other moves the product by as much
as it moves the factor, in every direction alike.
"""

from collections.abc import Iterable

import numpy as np

from federation.errors import ConfigInvalid, Inconsistent
from federation.plan import Lora
from federation.schemes.state import LayerShapes, State, first_factors
from federation.tensors import Array, Shapes, Tensors, shapes_of


def init(shapes: LayerShapes, lora: Lora, seed: int) -> State:
    """The first adapter: random A, zero B. B is trained first: with B = 0 the loss does not depend on A.

    Raises ConfigInvalid for a rank that no orthonormal factor of some layer can have.
    """
    largest = min(min(shape) for shape in shapes.values())
    if lora.r > largest:
        detail = f"{lora.r} is more than the smallest side of an adapted layer ({largest}), with scheme=alternating"
        detail_ja = f"scheme=alternating では、対象層の最小の辺 {largest} を超えられません（{lora.r}）"
        raise ConfigInvalid([Inconsistent(where="lora.r", detail=detail, detail_ja=detail_ja)])
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
    """The updated product, in the factors that suit the next round."""
    factors = dict(state.factors) | {name: state.factors[name] + update[name] for name in update}
    following = State(state.round + 1, factors)
    freezes_a = any(name.endswith(".lora_B") for name in trainable(following))
    for layer in _layers(factors):
        a, b = refactor(factors[f"{layer}.lora_A"], factors[f"{layer}.lora_B"], freezes_a)
        factors[f"{layer}.lora_A"], factors[f"{layer}.lora_B"] = a, b
    return following


def refactor(a: Array, b: Array, freezes_a: bool) -> tuple[Array, Array]:
    """(A', B') with B' A' = B A: A' (r, in) has orthonormal rows if `freezes_a`, else B' (out, r) orthonormal columns.

    In float64; signs are chosen so that the largest entry of each row of A' is positive. Where singular values coincide
    (they do only by construction, as in an untrained layer) the factors are not unique between machines.
    """
    q, rest = np.linalg.qr(b.astype(np.float64))
    left, values, right = np.linalg.svd(rest @ a.astype(np.float64), full_matrices=False)
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    left, right = left * signs, right * signs[:, None]
    if freezes_a:
        new_a, new_b = right, q @ (left * values)
    else:
        new_a, new_b = values[:, None] * right, q @ left
    return new_a.astype(np.float32), new_b.astype(np.float32)


def broadcast(state: State) -> Tensors:
    """All factors travel: the refactor changes the frozen one too."""
    return state.factors


def restore(state: State, tensors: Tensors) -> State:
    """The state whose broadcast is `tensors`."""
    return State(state.round, dict(tensors))


def export(state: State) -> Tensors:
    """The factors are plain LoRA already."""
    return state.factors


def _layers(names: Iterable[str]) -> list[str]:
    return sorted({name.removesuffix(".lora_A") for name in names if name.endswith(".lora_A")})
