"""How LoRA factors become one summable vector and back: one file a scheme.

The coordinator learns only sums, so what a scheme uploads must be linear: the mean of the encodings has to be the
encoding of something useful. A scheme is a module with these functions (numpy only, no state of its own):

    init(shapes, lora, seed) -> State           the first adapter, which changes nothing
    trainable(state) -> frozenset[str]          the tensors that members train in this round
    upload_shapes(state) -> Shapes              what `encode` returns
    encode(state, local) -> Tensors             a member's trained tensors as its update, fixed shapes, linear
    apply(state, update) -> State               the next round's state from the (server-optimised) mean
    broadcast(state) -> Tensors                 the factors that travel to the members; the others never change
    export(state) -> Tensors                    plain LoRA factors A and B of every target, loadable by stock peft

Members train on `state.factors`: `MODULE.lora_A` (r, in), `MODULE.lora_B` (out, r) and, for a scheme that has one,
`MODULE.lora_R` (r, r) between them: W + (alpha / r) B R A. MODULE is the linear layer's name in the base model.
docs/schemes.md compares the schemes.
"""

from typing import Protocol, assert_never

from federation.plan import Lora, Scheme
from federation.schemes import alternating, fedit, fedsb, ffa, rolora
from federation.schemes.state import LayerShapes, State
from federation.tensors import Array, Shapes, Tensors

__all__ = ["LoraScheme", "State", "scheme_named"]


class LoraScheme(Protocol):
    """What a scheme module offers; see above."""

    def init(self, shapes: LayerShapes, lora: Lora, seed: int) -> State: ...
    def trainable(self, state: State) -> frozenset[str]: ...
    def upload_shapes(self, state: State) -> Shapes: ...
    def encode(self, state: State, local: Tensors) -> dict[str, Array]: ...
    def apply(self, state: State, update: Tensors) -> State: ...
    def broadcast(self, state: State) -> Tensors: ...
    def export(self, state: State) -> Tensors: ...


def scheme_named(scheme: Scheme) -> LoraScheme:
    """The scheme that a plan asks for."""
    match scheme.name:
        case "fedit":
            return fedit
        case "ffa":
            return ffa
        case "rolora":
            return rolora
        case "alternating":
            return alternating
        case "fedsb":
            return fedsb
    assert_never(scheme.name)
