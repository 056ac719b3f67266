"""The public state of a scheme between two rounds, and what first factors have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from federation.errors import ConfigInvalid, Inconsistent
from federation.plan import Lora
from federation.stream import Stream
from federation.tensors import Array, Tensors

LayerShapes = Mapping[str, tuple[int, int]]
"""Linear layer's name -> (out, in)."""


@dataclass(frozen=True)
class State:
    """After `round` rounds: the public factors, by name. `velocity`: the server's, by name of the tensors that the next
    round uploads and of their shapes; empty without momentum."""

    round: int
    factors: Tensors
    velocity: Tensors = field(default_factory=dict)


def first_factors(shapes: LayerShapes, lora: Lora, seed: int) -> dict[str, Array]:
    """A ~ U(-1/sqrt(in), 1/sqrt(in)), B = 0: peft's own initialisation (Kaiming uniform with a = sqrt 5), so that the
    first adapter changes nothing. Each layer has its own stream, derived from the seed and its name."""
    factors: dict[str, Array] = {}
    for name in sorted(shapes):
        out_size, in_size = shapes[name]
        bound = 1.0 / np.sqrt(in_size)
        uniform = Stream("init", [seed, name]).random(lora.r * in_size).astype(np.float64).reshape(lora.r, in_size)
        factors[f"{name}.lora_A"] = (bound * (2 * uniform - 1)).astype(np.float32)
        factors[f"{name}.lora_B"] = np.zeros((out_size, lora.r), dtype=np.float32)
    return factors


def require_orthonormal(shapes: LayerShapes, lora: Lora, scheme: str) -> None:
    """Raises ConfigInvalid for a rank that no orthonormal factor of some layer can have."""
    largest = min(min(shape) for shape in shapes.values())
    if lora.r > largest:
        detail = f"{lora.r} is more than the smallest side of an adapted layer ({largest}), with scheme={scheme}"
        detail_ja = f"scheme={scheme} では、対象層の最小の辺 {largest} を超えられません（{lora.r}）"
        raise ConfigInvalid([Inconsistent(where="lora.r", detail=detail, detail_ja=detail_ja)])
