"""The two places where a training step on a CPU spends most of what is not the base's own products, written out with
their gradients: a LoRA layer and the loss. The same mathematics as peft's and torch's, in fewer passes over memory.

Every operation here is deterministic, and runs on the device of what it is given.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ROWS = {"cpu": 64, "cuda": 2048}
"""Positions whose logits are in float32 at a time: few enough for a CPU's cache with a large vocabulary too, enough to
keep a GPU busy."""


def fuse_lora(layer: Any, core: Callable[[], Tensor | None]) -> bool:
    """Let one of peft's LoRA layers, without dropout and not merged, compute by `_Lora`. `core`: R in B R A, (r, r), or
    None where there is none.

    False for a base layer that is more than a linear map: it is left to peft, which knows no R.
    """
    base = layer.base_layer
    if type(base) is not torch.nn.Linear:
        return False
    a, b, scale = layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.scaling["default"]

    def forward(x: Tensor) -> Tensor:
        r = core()
        narrow = a if r is None else r @ a
        # torch leaves Function.apply without annotations.
        result: Tensor = _Lora.apply(x, base.weight, base.bias, narrow, b, scale)  # type: ignore[no-untyped-call]
        return result

    layer.forward = forward
    return True


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Nats of each row's label, float32: (n, vocabulary) logits of any dtype, (n,) labels."""
    losses: Tensor = _CrossEntropy.apply(logits, labels)  # type: ignore[no-untyped-call]  # as above
    return losses


class _Lora(torch.autograd.Function):
    """x W^T + bias + scale (x A^T) B^T over a frozen W. The factors' part is computed in their dtype, float32.

    peft makes of each step a tensor of its own, in float32, as large as the result or the input: here the scale is
    applied to the narrow product, and the wide ones add to what is there.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        rows = x.flatten(0, -2)
        narrow = (rows.to(a.dtype) @ a.t()).mul_(scale)
        wide = torch.nn.functional.linear(rows, weight, bias).to(a.dtype)
        ctx.save_for_backward(rows, weight, a, b, narrow)
        ctx.scale = scale
        return torch.addmm(wide, narrow, b.t()).to(x.dtype).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, a, b, narrow = ctx.saved_tensors
        given, of_x, of_a, of_b = gradients[0], None, None, None
        wide = given.flatten(0, -2)
        exact = wide.to(a.dtype)
        back = (exact @ b).mul_(ctx.scale)
        if ctx.needs_input_grad[0]:
            of_x = torch.addmm((wide @ weight).to(a.dtype), back, a).to(given.dtype).view(*given.shape[:-1], -1)
        if ctx.needs_input_grad[3]:
            of_a = back.t() @ rows.to(a.dtype)
        if ctx.needs_input_grad[4]:
            of_b = exact.t() @ narrow
        return of_x, None, None, of_a, of_b, None


class _CrossEntropy(torch.autograd.Function):
    """The gradient (softmax minus one at the label) is made with the loss, a few rows at a time, in the logits' dtype.

    So there is never a float32 tensor over all positions and the whole vocabulary; torch's own makes three.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        losses = torch.empty(len(labels), dtype=torch.float32, device=logits.device)
        ctx.gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        rows = ROWS[logits.device.type]
        for start in range(0, len(labels), rows):
            part, label = slice(start, start + rows), labels[start : start + rows, None]
            logs = torch.log_softmax(logits[part].float(), dim=1)
            at_label = logs.gather(1, label)
            losses[part] = -at_label[:, 0]
            if ctx.gradient is not None:
                ctx.gradient[part] = logs.exp_().scatter_(1, label, torch.expm1(at_label))
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.gradient * gradients[0][:, None].to(ctx.gradient.dtype), None
