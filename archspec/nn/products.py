"""Matrix products, each computed by the library that is faster for its size on this machine; all exact.

In a CPU build, `F.linear` and `bmm` call MKL, which uses no AVX-512 on AMD's processors: it reaches half the speed of a
Zen 5, and nine tenths of a Zen 4, which computes 512 bits in two steps. oneDNN, in the same torch build, reaches all of
it, but takes 7 microseconds more per call. It has no batched product, but a grouped convolution, which takes a quarter
less time than MKL's from about 500 rows on. Elsewhere torch chooses.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

Plan = tuple[tuple[int, str], ...]
"""(smallest number of rows, lowering), ascending: the result of `archspec.tune` for one matmul; empty: use the rule."""


def has_onednn() -> bool:
    """Whether this torch has oneDNN's linear operation and its convolution."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call] # torch leaves it untyped
    return available and all(hasattr(torch.ops.mkldnn, f"_{name}_pointwise") for name in ("linear", "convolution"))


def onednn_is_faster() -> bool:
    """Whether oneDNN should compute large matmuls if nothing was measured: on an AMD processor with AVX-512."""
    return has_onednn() and torch.backends.cpu.get_cpu_capability() == "AVX512" and "AuthenticAMD" in processor()


def processor() -> str:
    """The operating system's description of the processor, if there is one."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - built files need no pathlib
            return file.read(4096)
    except OSError:
        return platform.processor()


HAS_ONEDNN = has_onednn()
ONEDNN = onednn_is_faster()
ONEDNN_FROM = 2_000_000
"""From this many multiplications on, a matmul is worth the more expensive call."""
ONEDNN_STACK_ROWS = 512
"""From this many rows on, and `ONEDNN_FROM` multiplications of each member, so is a stack of matmuls."""
NARROW = 8
"""A stack with fewer columns than this, as of gates and heads, is multiplied by MKL, with its weights transposed."""
NARROW_FROM = 100_000
"""From this many multiplications of each member on, transposing the weights first is faster."""


def lowering(plan: Plan, x: Tensor, rows: int, weights: int, least: int = ONEDNN_FROM) -> str:
    """How to multiply `rows` rows by `weights` weights: `onednn`, `each` (one matmul per member), `` for torch's own.

    A measured plan decides if there is one, else a rule: oneDNN where it is known to be faster, for matmuls of at least
    `least` multiplications. The rule never chooses `each`: on two threads it was measured 12 % faster to 48 % slower
    than one batched matmul. Traced graphs, other devices and other types always use torch's default.
    """
    if x.dtype is not torch.float32 or not x.is_cpu or torch.compiler.is_compiling():
        return ""
    for first, how in reversed(plan):
        if rows >= first:
            return how if how != "onednn" or HAS_ONEDNN else ""
    return "onednn" if ONEDNN and rows * weights >= least else ""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, plan: Plan = ()) -> Tensor:
    """`x W^T + b`: `[..., D], [H, D], [H] -> [..., H]`, rows or tokens."""
    rows = x.shape[0] if x.dim() == 2 else x.numel() // x.shape[-1]  # noqa: PLR2004 - [B, D]
    if lowering(plan, x, rows, weight.numel()) == "onednn":
        return onednn_linear(x, weight, bias)
    return F.linear(x, weight, bias)


def linear_stack(x_EBD: Tensor, weight_EDH: Tensor, bias_EH: Tensor | None = None, plan: Plan = ()) -> Tensor:
    """A linear layer per member of a stack: `[E, B, D], [E, D, H], [E, H] -> [E, B, H]`; tokens as rows."""
    if x_EBD.dim() > 3:  # noqa: PLR2004 - [E, B, T, D]
        rows = x_EBD.shape[1:-1]
        return linear_stack(x_EBD.flatten(1, -2), weight_EDH, bias_EH, plan).view(
            len(x_EBD), *rows, weight_EDH.shape[2]
        )
    weights = weight_EDH.shape[1] * weight_EDH.shape[2]
    least = NARROW_FROM if weight_EDH.shape[2] < NARROW else max(ONEDNN_FROM, ONEDNN_STACK_ROWS * weights)
    how = lowering(plan, x_EBD, x_EBD.shape[1], weights, least)
    if how == "onednn" and x_EBD.numel():
        return stack_by_onednn(x_EBD, weight_EDH, bias_EH)
    if how == "each" and not torch.is_grad_enabled():
        return linear_each(x_EBD, weight_EDH, bias_EH)
    if how == "each":
        biases = [None] * len(weight_EDH) if bias_EH is None else bias_EH.unbind()
        members = zip(x_EBD.unbind(), weight_EDH.unbind(), biases, strict=True)
        return torch.stack([F.linear(x, w.t(), b) for x, w, b in members])
    if bias_EH is None:
        return torch.bmm(x_EBD, weight_EDH)
    return torch.baddbmm(bias_EH.unsqueeze(1), x_EBD, weight_EDH)


def linear_each(x_EBD: Tensor, weight_EDH: Tensor, bias_EH: Tensor | None) -> Tensor:
    """`linear_stack` with one matmul per member, written in place; without a gradient."""
    product_EBH = x_EBD.new_empty(len(weight_EDH), x_EBD.shape[1], weight_EDH.shape[2])
    for e, product in enumerate(product_EBH):
        if bias_EH is None:
            torch.mm(x_EBD[e], weight_EDH[e], out=product)
        else:
            torch.addmm(bias_EH[e], x_EBD[e], weight_EDH[e], out=product)
    return product_EBH


def linear_bf16(x: Tensor, weight: Tensor, bias: Tensor | None = None, rounded: bool = False) -> Tensor:  # noqa: FBT001, FBT002 - written by the compiler
    """`x W^T + b` with factors rounded to bfloat16: `[..., D], [H, D], [H] -> [..., H]`.

    The result has the type of the bias, or of x without one; with `rounded` it is bfloat16. The weight may be packed.
    """
    if weight.is_mkldnn:
        return linear_packed(x, weight, bias, rounded)
    if rounded:
        return F.linear(x.bfloat16(), weight.bfloat16(), None if bias is None else bias.bfloat16())
    product = F.linear(x.bfloat16(), weight.bfloat16())
    return product.to(x.dtype) if bias is None else product.to(bias.dtype).add_(bias)


def linear_packed(x: Tensor, weight: Tensor, bias: Tensor | None, rounded: bool) -> Tensor:  # noqa: FBT001 - as above
    """`linear_bf16` with a weight in oneDNN's own layout; no gradient."""
    rows = (x if x.dim() == 2 else x.flatten(0, -2)).bfloat16()  # noqa: PLR2004 - [B, D]
    shift = None if bias is None else bias.float()
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, shift, "none", [], "")  # noqa: SLF001 - it has no public name
    product = product if rounded else product.to(x.dtype if bias is None else bias.dtype)
    return product if x.dim() == 2 else product.view(*x.shape[:-1], product.shape[1])  # noqa: PLR2004


def linear_stack_bf16(
    x_EBD: Tensor,
    weight_EDH: Tensor,
    bias_EH: Tensor | None = None,
    rounded: bool = False,  # noqa: FBT001, FBT002 - written by the compiler
) -> Tensor:
    """`linear_stack` with factors rounded to bfloat16; the result has a type as that of `linear_bf16`."""
    if x_EBD.dim() > 3:  # noqa: PLR2004 - [E, B, T, D]
        product = linear_stack_bf16(x_EBD.flatten(1, -2), weight_EDH, bias_EH, rounded)
        return product.view(len(x_EBD), *x_EBD.shape[1:-1], weight_EDH.shape[2])
    x_EBD, weight_EDH, dtype = x_EBD.bfloat16(), weight_EDH.bfloat16(), x_EBD.dtype
    if rounded and bias_EH is not None:
        return torch.baddbmm(bias_EH.bfloat16().unsqueeze(1), x_EBD, weight_EDH)
    product = torch.bmm(x_EBD, weight_EDH)
    if bias_EH is None:
        return product if rounded else product.to(dtype)
    return product.to(bias_EH.dtype).add_(bias_EH.unsqueeze(1))


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x W^T + b` with oneDNN: `[..., D], [H, D], [H] -> [..., H]`."""
    rows = x if x.dim() == 2 else x.flatten(0, -2)  # noqa: PLR2004 - [B, D]
    product = rows_by_onednn(rows, weight, bias)
    return product if rows is x else product.view(*x.shape[:-1], weight.shape[0])


class OneDnnLinear(torch.autograd.Function):
    """`x W^T + b` with oneDNN, forward and backward.

    The backward pass uses transposed views of dense tensors only: for a transposed view of a slice, oneDNN falls back
    to a reference kernel that is 50 to 1000 times slower. The gradient of the weight is laid out as the weight is.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`[B, D] -> [B, H]`."""
        return rows_by_onednn(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401, ARG004 - torch's signature
        """Keeps the factors."""
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # noqa: ANN401 - torch's context
        """Gradients of x, weight and bias; only those that are needed."""
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_x = rows_by_onednn(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        of_weight = None
        if ctx.needs_input_grad[1] and weight.stride(0) == 1:  # a transposed view
            of_weight = rows_by_onednn(x.contiguous().t(), gradient.t()).t()
        elif ctx.needs_input_grad[1]:
            of_weight = gradient.t() @ x  # oneDNN takes 10 % to 5 times longer
        return of_x, of_weight, gradient.sum(0) if ctx.needs_input_grad[2] else None


def rows_by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x W^T + b`: `[B, D], [H, D], [H] -> [B, H]`; through autograd, which takes longer, only for gradients."""
    if torch.is_grad_enabled():
        product: Tensor = OneDnnLinear.apply(x, weight, bias)  # type: ignore[no-untyped-call] # torch leaves it untyped
    else:
        product = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001 - it has no public name
    return product


class OneDnnLinearStack(torch.autograd.Function):
    """`linear_stack` with oneDNN, as a convolution of width 1 with a group per member, forward and backward.

    Operand and result lie side by side in memory, as rows `[B, E D]` and `[B, E H]`. So does the result of a wide
    matmul, and whatever is computed from a stack element by element: the next stack need not copy its operand.

    MKL multiplies a few columns faster than oneDNN, provided that they lie transposed, as in the weights of
    `nn.Linear`; it also computes the gradient of the weights, whose transposed factors oneDNN would copy.
    """

    @staticmethod
    def forward(x_EBD: Tensor, weight_EDH: Tensor, bias_EH: Tensor | None) -> Tensor:
        """`[E, B, D] -> [E, B, H]`."""
        return stack_by_onednn(x_EBD, weight_EDH, bias_EH).data  # which is not a view: an activation may overwrite it

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401, ARG004 - torch's signature
        """Keeps the factors."""
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # noqa: ANN401 - torch's context
        """Gradients of x, weight and bias; only those that are needed."""
        x_EBD, weight_EDH = ctx.saved_tensors
        x_BED, gradient_BEH = (each.transpose(0, 1).contiguous() for each in (x_EBD, gradients[0]))
        gradient_EBH, narrow = gradient_BEH.transpose(0, 1), weight_EDH.shape[2] < NARROW
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = torch.bmm(gradients[0], weight_EDH.mT) if narrow else stack_by_onednn(gradient_EBH, weight_EDH.mT)
        if ctx.needs_input_grad[1] and narrow:
            of_weight = torch.bmm(gradient_EBH.mT, x_BED.transpose(0, 1)).mT
        elif ctx.needs_input_grad[1]:
            of_weight = torch.bmm(x_BED.permute(1, 2, 0), gradient_EBH)
        return of_x, of_weight, gradient_BEH.sum(0) if ctx.needs_input_grad[2] else None


def stack_by_onednn(x_EBD: Tensor, weight_EDH: Tensor, bias_EH: Tensor | None = None) -> Tensor:
    """`linear_stack` with operand and result side by side in memory; through autograd as in `rows_by_onednn`."""
    if torch.is_grad_enabled():
        stack: Tensor = OneDnnLinearStack.apply(x_EBD, weight_EDH, bias_EH)  # type: ignore[no-untyped-call] # torch leaves it untyped
        return stack
    if weight_EDH.shape[2] < NARROW:
        columns = weight_EDH.mT.contiguous().mT
        return torch.bmm(x_EBD, columns) if bias_EH is None else torch.baddbmm(bias_EH.unsqueeze(1), x_EBD, columns)
    experts, rows, width = x_EBD.shape
    image = x_EBD.transpose(0, 1).reshape(1, 1, rows, experts * width).permute(0, 3, 1, 2)
    filters, shifts = weight_EDH.mT.reshape(-1, width, 1, 1), None if bias_EH is None else bias_EH.flatten()
    product: Tensor = torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001 - it has no public name
        image, filters, shifts, [0, 0], [1, 1], [1, 1], experts, "none", [], ""
    )
    return product.permute(0, 2, 3, 1).reshape(rows, experts, -1).transpose(0, 1)
