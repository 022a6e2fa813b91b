"""Matrix products, each through the library that is faster for its size on the machine at hand; all exact.

`F.linear` and `bmm` of a CPU build go to MKL, which uses half of what an AMD processor with AVX-512 can do; oneDNN, in
the same torch build, uses all of it, at 7 microseconds more per call. Everywhere else the choice is torch's own.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def onednn_is_faster() -> bool:
    """Whether large products should go to oneDNN on this machine: an AMD processor with AVX-512, and the operation there."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise") or not torch.backends.mkldnn.is_available():
        return False
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and "AuthenticAMD" in processor()


def processor() -> str:
    """What the operating system says of the processor, as far as it says anything."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return file.read(4096)
    except OSError:
        return platform.processor()


ONEDNN = onednn_is_faster()
ONEDNN_FROM = 2_000_000
"""Multiplications from which on a product is worth the dearer call."""


def onednn_pays(x: Tensor, rows: int, weight: Tensor) -> bool:
    """Whether a product of `rows` rows with a weight goes to oneDNN: large, fp32, on the CPU, and not being traced."""
    return (
        ONEDNN
        and rows * weight.numel() >= ONEDNN_FROM
        and x.dtype is torch.float32
        and x.is_cpu
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W^T + b`: `[B, D], [H, D], [H] -> [B, H]`."""
    if onednn_pays(x, x.shape[0], weight):
        product: Tensor = OneDnnLinear.apply(x, weight, bias)
        return product
    return F.linear(x, weight, bias)


def linear_stack(x_EBD: Tensor, weight_EHD: Tensor, bias_EH: Tensor | None = None) -> Tensor:
    """A linear layer per member of a stack: `[E, B, D], [E, H, D], [E, H] -> [E, B, H]`."""
    if onednn_pays(x_EBD, x_EBD.shape[1], weight_EHD[0]):
        biases = [None] * len(weight_EHD) if bias_EH is None else bias_EH
        return torch.stack([OneDnnLinear.apply(x, w, b) for x, w, b in zip(x_EBD, weight_EHD, biases)])
    if bias_EH is None:
        return torch.bmm(x_EBD, weight_EHD.mT)
    return torch.baddbmm(bias_EH.unsqueeze(1), x_EBD, weight_EHD.mT)


class OneDnnLinear(torch.autograd.Function):
    """`x W^T + b` in oneDNN, forward and backward.

    The backward takes transposed views; they must be of dense tensors, since a transposed view of a slice falls into a
    reference kernel that is 50 to 1000 times slower.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`[B, D] -> [B, H]`."""
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of x, weight and bias; only those that are asked for."""
        x, weight = ctx.saved_tensors
        product, gradient = torch.ops.mkldnn._linear_pointwise, gradients[0].contiguous()
        of_x = product(gradient, weight.t(), None, "none", [], "") if ctx.needs_input_grad[0] else None
        of_weight = product(gradient.t(), x.contiguous().t(), None, "none", [], "") if ctx.needs_input_grad[1] else None
        return of_x, of_weight, gradient.sum(0) if ctx.needs_input_grad[2] else None
