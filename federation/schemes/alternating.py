"""RoLoRA (rolora.py) with an orthonormal refactor: members train B in one round and A in the next, by turns.

After each round the product B A is kept and its factors are chosen anew (QR of B, then SVD of an r x in matrix; never
out x in): the factor that is frozen next becomes orthonormal, so that a step of the other moves the product by as much
as it moves the factor, in every direction alike.

The server's velocity is one of the product: of it, what the next frozen factor can express goes on as a velocity of
the factor that is trained next. No inverse is taken, so a small singular value does no harm.
"""

import numpy as np

from federation.plan import Lora
from federation.schemes import rolora
from federation.schemes.rolora import broadcast as broadcast
from federation.schemes.rolora import encode as encode
from federation.schemes.rolora import export as export
from federation.schemes.rolora import trainable as trainable
from federation.schemes.rolora import upload_shapes as upload_shapes
from federation.schemes.state import LayerShapes, State, require_orthonormal
from federation.tensors import Array, Tensors


def init(shapes: LayerShapes, lora: Lora, seed: int) -> State:
    """As RoLoRA's. Raises ConfigInvalid for a rank that no orthonormal factor of some layer can have."""
    require_orthonormal(shapes, lora, "alternating")
    return rolora.init(shapes, lora, seed)


def apply(state: State, update: Tensors) -> State:
    """The updated product, in the factors that suit the next round."""
    moved = rolora.apply(state, update)
    factors, velocity = dict(moved.factors), {}
    freezes_a = moved.round % 2 == 0
    for layer in sorted(name.removesuffix(".lora_A") for name in factors if name.endswith(".lora_A")):
        of_a, of_b = f"{layer}.lora_A", f"{layer}.lora_B"
        factors[of_a], factors[of_b] = refactor(moved.factors[of_a], moved.factors[of_b], freezes_a)
        if freezes_a and state.velocity:
            velocity[of_b] = _times(state.factors[of_b], state.velocity[of_a], factors[of_a].T)
        elif state.velocity:
            velocity[of_a] = _times(factors[of_b].T, state.velocity[of_b], state.factors[of_a])
    return State(moved.round, factors, velocity)


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


def _times(*factors: Array) -> Array:
    """Their product in float64, by the order that never makes an out x in matrix."""
    product: Array = np.linalg.multi_dot([factor.astype(np.float64) for factor in factors]).astype(np.float32)
    return product
