"""The number of operations of an optimized model, which is what small batches and GPUs pay for; counts do not vary."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import archspec
from benchmarks.compile_time import nodes
from benchmarks.contenders import SIZES, optimized, plain

PRODUCTS = ("aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm")
ROWS = 3


class Counted(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch leaves it untyped
    """Counts operations by name as they reach the dispatcher, without views, which compute nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch leaves it untyped
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401 - torch's signature
        """Counts one call."""
        name = str(func.overloadpacket)
        self.calls[name] += not func.is_view and name != "aten.detach"
        return func(*args, **(kwargs or {}))


def ple(tasks: int) -> str:
    """A PLE of two levels over four sparse inputs and one dense one."""
    inputs = "".join(f"  f{i}: {{kind: sparse, vocab: 9, dim: 2}}\n" for i in range(4))
    return f"""archspec: 1
name: ple
inputs:
{inputs}  x: {{kind: dense, dim: 3}}
tasks: {{{", ".join(f"t{i}: {{}}" for i in range(tasks))}}}
levels:
  - repeat: 2
    experts: {{$task: {{units: [6, 4]}}, shared: {{units: [6, 4]}}}}
    gates: {{$task: {{sees: [$task, shared]}}, shared: {{sees: all}}}}
towers: {{$task: {{units: [3]}}}}
"""


def counted(text: str, device: str) -> tuple[Counter[str], Counter[str]]:
    """Operations of a forward and a backward pass; with `meta`, the products are those of any device except a CPU."""
    model = archspec.compile(text, seed=0).to(device)
    model.check_inputs = device == "cpu"
    batch = {f"f{i}": torch.zeros(ROWS, dtype=torch.int64, device=device) for i in range(4)}
    batch["x"] = torch.zeros(ROWS, 3, device=device)
    with Counted() as forward:
        logits = model(batch)
    total = torch.stack(list(logits.values())).sum()
    with Counted() as backward:
        total.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    return forward.calls, backward.calls


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_products_do_not_grow_with_tasks(device: str) -> None:
    """Two and sixteen tasks need the same number of matrix products, forward and backward, on a CPU and elsewhere."""
    few, many = counted(ple(2), device), counted(ple(16), device)
    for small, large in zip(few, many, strict=True):
        products = [sum(calls[name] for name in PRODUCTS) for calls in (small, large)]
        assert products[0] == products[1] <= 25


def test_calls_hardly_grow_with_tasks() -> None:
    """With sixteen tasks, a forward or backward pass makes at most two more calls than with two tasks."""
    few, many = counted(ple(2), "cpu"), counted(ple(16), "cpu")
    assert many[0].total() <= few[0].total() + 2
    assert many[1].total() <= few[1].total() + 2


def test_gradients_of_stacks_arrive_as_they_are_kept() -> None:
    """No gradient of a weight is copied to a different memory layout."""
    _, backward = counted(ple(4), "cpu")
    assert backward["aten.copy_"] == backward["aten.new_empty_strided"] == 0


def test_ids_are_put_together_once_and_checked_with_two_operations() -> None:
    """The lookup reuses the ids stacked by the check: there is one stack, one clamp and one comparison."""
    forward, _ = counted(ple(2), "cpu")
    assert [forward[f"aten.{name}"] for name in ("stack", "clamp", "equal", "index_select")] == [1, 1, 1, 1]


def test_a_traced_graph_has_few_nodes() -> None:
    """`torch.compile` traces 8 tasks into a quarter of the nodes of the plain module, 56 arguments included."""
    ids, _ = SIZES[1].draw(4)
    traced = nodes(optimized(SIZES[1]), ids)
    assert traced <= 160
    assert traced <= nodes(plain(SIZES[1]), ids) / 4
