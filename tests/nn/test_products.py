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


def test_without_a_plan_a_stack_goes_to_onednn_on_zen_5_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere one batched product is faster, or in inference one product per member if each is large."""
    x = torch.zeros(2, 1, 1)
    small, large = products.ONEDNN_FROM // 1000, products.EACH_FROM // 1000
    for zen5, expected in ((True, ["onednn"] * 3), (False, ["", "", "each"])):
        monkeypatch.setattr(products, "ONEDNN", True)
        monkeypatch.setattr(products, "ONEDNN_STACKS", zen5)
        found = [products.lowering((), x, 1000, small, stack=True), products.lowering((), x, 1000, large, stack=True)]
        with torch.no_grad():
            found.append(products.lowering((), x, 1000, large, stack=True))
        assert found == expected
        assert products.lowering((), x, 1, 1, stack=True) == ""


@pytest.mark.parametrize(
    ("text", "zen5"),
    [
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t: 2", True),
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t: 17", False),
        ("AMD64 Family 26 Model 68 Stepping 0, AuthenticAMD", True),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 26", False),
        ("arm", False),
        ("", False),
    ],
)
def test_zen_5_is_recognized_by_its_family(text: str, zen5: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter of the test
    """In Linux's and in Windows's words."""
    monkeypatch.setattr(products, "processor", lambda: text)
    assert products.is_zen5() == zen5


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
