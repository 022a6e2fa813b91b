"""Products: every lowering computes the same, forward and backward; plan and rule make the choice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from archspec.nn import products
from archspec.nn.measure import lowerings, time_products

needs_onednn = pytest.mark.skipif(not products.HAS_ONEDNN, reason="this torch has no oneDNN product")


def operands(*stack: int, bias: bool = True) -> tuple[Tensor, Tensor, Tensor | None]:
    """x `[*stack, 5, 6]`, weights `[4, 6]` or a stack `[*stack, 6, 4]`, biases, all with gradients."""
    torch.manual_seed(0)
    x = torch.randn(*stack, 5, 6, requires_grad=True)
    weight = torch.randn(*stack, *((6, 4) if stack else (4, 6)), requires_grad=True)
    return x, weight, torch.randn(*stack, 4, requires_grad=True) if bias else None


def with_gradients(product: Tensor, *operands: Tensor | None) -> list[Tensor]:
    """The product and the gradients of its sum of squares."""
    leaves = [operand for operand in operands if operand is not None]
    return [product.detach(), *torch.autograd.grad(product.square().sum(), leaves)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("way", lowerings(None))
def test_every_lowering_of_rows_is_a_linear_layer(way: str, *, bias: bool) -> None:
    """Forward and backward equal F.linear in fp32 to 1e-5."""
    x, weight, b = operands(bias=bias)
    found = with_gradients(products.linear(x, weight, b, plan=((0, way),)), x, weight, b)
    expected = with_gradients(functional.linear(x, weight, b), x, weight, b)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("way", lowerings(3))
def test_every_lowering_of_a_stack_is_a_linear_layer_each(way: str, *, bias: bool) -> None:
    """Forward and backward equal three linear layers in fp32 to 1e-5."""
    x, weight, b = operands(3, bias=bias)
    found = with_gradients(products.linear_stack(x, weight, b, plan=((0, way),)), x, weight, b)
    each = [functional.linear(x[i], weight[i].t(), None if b is None else b[i]) for i in range(3)]
    torch.testing.assert_close(found, with_gradients(torch.stack(each), x, weight, b), rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.parametrize("columns", [1, products.NARROW, 24])
@pytest.mark.parametrize("rows", [1, 7])
def test_a_stack_takes_and_gives_any_layout(rows: int, columns: int) -> None:
    """Members one after another, side by side, or as slices: results and gradients equal bmm's in fp32 to 1e-5."""
    torch.manual_seed(0)
    weight, bias = torch.randn(3, 5, columns, requires_grad=True), torch.randn(3, columns, requires_grad=True)
    wide = torch.randn(rows, 20)
    layouts = [
        torch.randn(3, rows, 5),
        wide[:, :15].view(rows, 3, 5).transpose(0, 1),
        torch.randn(3, rows, 9)[..., 2:7],
    ]
    for layout in layouts:
        x = layout.detach().requires_grad_()
        product = products.linear_stack(x, weight, bias, plan=((0, "onednn"),))
        found = with_gradients(torch.relu_(product), x, weight, bias)
        expected = with_gradients(torch.baddbmm(bias.unsqueeze(1), x, weight).relu(), x, weight, bias)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch leaves it untyped
    """Counts copies of tensors of at least `least` numbers."""

    def __init__(self, least: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch leaves it untyped
        self.least, self.count = least, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's signature
        """Counts one operation."""
        if func.overloadpacket in {torch.ops.aten.clone, torch.ops.aten.copy_, torch.ops.aten.cat}:
            self.count += isinstance(args[0], list) or args[0].numel() >= self.least
        return func(*args, **(kwargs or {}))


@needs_onednn
def test_stacks_on_a_wide_product_copy_no_activation() -> None:
    """A stack reads the columns of a wide matmul where they lie, and so does the next; the backward pass, too."""
    wide, plan = torch.randn(64, 36, requires_grad=True), ((0, "onednn"),)
    first = torch.randn(3, 12, 16, requires_grad=True)
    second = torch.randn(6, 8, 8, requires_grad=True)
    with Copies(64 * 36) as copies:
        x = wide.view(64, 3, 12).transpose(0, 1)
        h = torch.relu_(products.linear_stack(x, first, plan=plan))
        h = h.view(3, 64, 2, 8).transpose(1, 2).flatten(0, 1)
        product = products.linear_stack(h, second, plan=plan)
        product.backward(torch.ones_like(product))  # type: ignore[no-untyped-call] # torch leaves it untyped
    assert wide.grad is not None
    assert copies.count == 0


class NoTransposedSlices(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch leaves it untyped
    """Refuses a oneDNN product of a transposed view whose rows are not dense: it would be 50 to 1000 times slower."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's signature
        """Checks the operands of oneDNN products."""
        if "_linear_pointwise" in str(func):
            for operand in (arg for arg in args if isinstance(arg, Tensor) and arg.dim() == 2):
                transposed = operand.stride(0) == 1 and operand.shape[0] > 1
                assert not transposed or operand.stride(1) == operand.shape[0], operand.stride()
        return func(*args, **(kwargs or {}))


@needs_onednn
def test_no_transposed_view_of_a_slice_reaches_onednn() -> None:
    """Slices of wider tensors are inputs and receive gradients; still, each product gets dense views."""
    wide = torch.randn(5, 20, requires_grad=True)
    weight = torch.randn(4, 6, requires_grad=True)
    with NoTransposedSlices():  # type: ignore[no-untyped-call] # torch leaves it untyped
        product = products.linear(wide[:, 3:9], weight, None, plan=((0, "onednn"),))
        torch.cat([product, product], dim=1)[:, 2:6].square().sum().backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        members = torch.randn(3, 5, 12, requires_grad=True)
        stack = torch.randn(3, 6, 4, requires_grad=True)
        products.linear_stack(members[..., 2:8], stack, None, plan=((0, "onednn"),)).sum().backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    assert all(x.grad is not None for x in (wide, weight, members, stack))


def test_a_plan_decides_by_rows() -> None:
    """From a row count of the plan on its lowering applies, below it the previous one; other types use torch's."""
    plan = ((0, ""), (100, "each"))
    x = torch.zeros(3, 1, 1)
    assert [products.lowering(plan, x, rows, 1) for rows in (0, 99, 100, 5000)] == ["", "", "each", "each"]
    assert products.lowering(plan, x.double(), 5000, 1) == ""


def test_without_a_plan_only_large_products_of_a_machine_that_gains_go_to_onednn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a plan, the choice depends on the machine and on the size."""
    x = torch.zeros(1, 1)
    monkeypatch.setattr(products, "ONEDNN", True)
    assert products.lowering((), x, 1000, products.ONEDNN_FROM // 1000) == "onednn"
    assert products.lowering((), x, 1, 100) == ""
    monkeypatch.setattr(products, "ONEDNN", False)
    assert products.lowering((), x, 1000, products.ONEDNN_FROM // 1000) == ""


@pytest.mark.parametrize("columns", [products.NARROW - 1, products.NARROW])
def test_without_a_plan_only_large_stacks_go_to_onednn(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack with few columns is large earlier."""
    seen: list[str] = []

    def multiplied(x: Tensor, weight: Tensor, _: None) -> Tensor:
        seen.append("onednn")
        return x @ weight

    monkeypatch.setattr(products, "ONEDNN", True)
    monkeypatch.setattr(products, "HAS_ONEDNN", True)
    monkeypatch.setattr(products.OneDnnLinearStack, "apply", multiplied)
    least = products.NARROW_FROM if columns < products.NARROW else products.ONEDNN_FROM
    rows = -(-least // (64 * columns))
    assert rows >= products.ONEDNN_STACK_ROWS or columns < products.NARROW
    for count in (rows - 1, rows):
        products.linear_stack(torch.zeros(2, count, 64), torch.zeros(2, 64, columns))
        seen.append(str(count))
    assert seen == [str(rows - 1), "onednn", str(rows)]


@needs_onednn
@pytest.mark.parametrize("rows", [1, 5])
def test_the_gradient_of_a_weight_is_laid_out_as_the_weight(rows: int) -> None:
    """So that nothing is copied when it is accumulated; for weights stored as `[H, D]` and as `[D, H]`."""
    x = torch.randn(rows, 12)[:, 2:8]
    for weight in (torch.randn(4, 6), torch.randn(6, 4).t()):
        seen: list[Tensor] = []
        held = weight.clone().requires_grad_()  # keeps the layout
        held.register_hook(seen.append)  # type: ignore[no-untyped-call] # torch leaves it untyped
        products.onednn_linear(x, held, None).square().sum().backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        assert seen[0].stride() == weight.stride()
        torch.testing.assert_close(seen[0], 2 * (x @ weight.t()).t() @ x)


def test_bfloat16_products_are_near_and_of_the_same_type() -> None:
    """Rounding the factors changes a product by about one percent and keeps its type."""
    x, weight, bias = operands(3)
    near = products.linear_stack_bf16(x, weight, bias)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, products.linear_stack(x, weight, bias), rtol=0.05, atol=0.05)
    assert bias is not None
    rows = products.linear_bf16(x[0], weight[0].t(), bias[0])
    torch.testing.assert_close(rows, functional.linear(x[0], weight[0].t(), bias[0]), rtol=0.05, atol=0.05)


def test_times_are_measured_for_each_lowering() -> None:
    """Each lowering that this machine supports has one positive time."""
    found = time_products(2, 4, 3, 5, seconds=0.001)
    assert tuple(found) == lowerings(2)
    assert all(seconds > 0 for seconds in found.values())


@needs_onednn
@pytest.mark.parametrize("stacked", [False, True], ids=["rows", "stack"])
@pytest.mark.parametrize("out", [3, products.NARROW + 1])
def test_gradients_by_onednn_can_be_differentiated_again(out: int, *, stacked: bool) -> None:
    """A penalty on gradients has the gradient that torch's own product gives it; it was lost with a warning."""
    x, weight, bias = torch.randn(2, 5, 4), torch.randn(2, 4, out), torch.randn(2, out)
    found: list[tuple[Tensor, ...]] = []
    for way in ("", "onednn"):
        leaves = [each.clone().requires_grad_() for each in (x, weight, bias)]
        if stacked:
            y = products.linear_stack(leaves[0], leaves[1], leaves[2], plan=((0, way),))
        else:
            y = products.linear(leaves[0][0], leaves[1][0].t(), leaves[2][0], plan=((0, way),))
        first = torch.autograd.grad(y.square().sum(), leaves, create_graph=True)
        found.append(torch.autograd.grad(sum(each.square().sum() for each in first), leaves))  # type: ignore[arg-type] # torch's stubs
    for own, torchs in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(own, torchs, rtol=1e-4, atol=1e-3)


@needs_onednn
def test_products_by_onednn_take_part_in_torch_func() -> None:
    """`torch.func.grad` gives the gradients of the backward pass."""
    x, weight = torch.randn(2, 5, 4), torch.randn(2, 4, 9, requires_grad=True)

    def loss(stack: Tensor) -> Tensor:
        members = products.linear_stack(x, stack, None, plan=((0, "onednn"),))
        return members.square().sum() + products.linear(x[0], stack[0].t(), None, plan=((0, "onednn"),)).sum()

    (expected,) = torch.autograd.grad(loss(weight), [weight])
    torch.testing.assert_close(torch.func.grad(loss)(weight.detach()), expected)
