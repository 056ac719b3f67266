"""The fused LoRA layer and loss against the plain formulas and torch's own gradients."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from clients.kernels import ROWS, cross_entropy, fuse_lora


def layer_of(base: torch.nn.Module, a: Tensor, b: Tensor, scale: float) -> Any:
    """What `fuse_lora` reads of peft's layer."""
    adapter = {"lora_A": a, "lora_B": b}
    named = {name: {"default": SimpleNamespace(weight=value)} for name, value in adapter.items()}
    return SimpleNamespace(base_layer=base, scaling={"default": scale}, forward="peft's", **named)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", [None, "a", "b", "x"])
def test_the_layer_and_its_gradients(bias: bool, frozen: str | None) -> None:
    torch.manual_seed(0)
    base = torch.nn.Linear(5, 4, bias=bias, dtype=torch.float64).requires_grad_(False)
    given = {"x": torch.randn(2, 3, 5), "a": torch.randn(2, 5), "b": torch.randn(4, 2)}
    x, a, b = (value.double().requires_grad_(name != frozen) for name, value in given.items())

    def fused(x: Tensor, a: Tensor, b: Tensor) -> Any:
        layer = layer_of(base, a, b, 1.5)
        fuse_lora(layer, lambda: None)
        return layer.forward(x)

    torch.testing.assert_close(fused(x, a, b), base(x) + 1.5 * (x @ a.t()) @ b.t())
    assert torch.autograd.gradcheck(fused, (x, a, b))


def test_a_base_layer_that_is_more_than_linear_is_left_to_peft() -> None:
    class Doubled(torch.nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    layer = layer_of(Doubled(5, 4), torch.zeros(2, 5), torch.zeros(4, 2), 1.0)
    fuse_lora(layer, lambda: None)
    assert layer.forward == "peft's"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", [1, ROWS["cpu"], 2 * ROWS["cpu"] + 3])
def test_the_loss_and_its_gradient_are_torchs(dtype: torch.dtype, count: int) -> None:
    torch.manual_seed(0)
    logits, labels = (4 * torch.randn(count, 50)).to(dtype), torch.randint(50, (count,))
    results = []
    for loss_of in (cross_entropy, lambda x, y: torch.nn.functional.cross_entropy(x.float(), y, reduction="none")):
        leaf = logits.clone().requires_grad_()
        losses = loss_of(leaf, labels)
        (3 * losses).sum().backward()
        results.append((losses, leaf.grad))
    (ours, of_ours), (torchs, of_torchs) = results
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, torchs)
    # One rounding in the logits' dtype may fall on the other side, twice.
    torch.testing.assert_close(of_ours, of_torchs, rtol=3 * torch.finfo(dtype).eps, atol=1e-6)
