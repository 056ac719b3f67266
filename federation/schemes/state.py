"""The public state of a scheme between two rounds, and the usual first factors."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from federation.plan import Lora
from federation.stream import Stream
from federation.tensors import Array, Tensors

LayerShapes = Mapping[str, tuple[int, int]]
"""Linear layer's name -> (out, in)."""


@dataclass(frozen=True)
class State:
    """After `round` rounds: the public factors, by name."""

    round: int
    factors: Tensors


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
