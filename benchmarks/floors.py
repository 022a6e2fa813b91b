"""Floors: the time of only the matmuls of a cell, each done in the fastest way on this machine."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F  # noqa: N812 - as everywhere in torch

from benchmarks.contenders import ARCHSPEC, LEVELS, Size
from benchmarks.grid import INFER, Cell, measure
from benchmarks.report import Section, ms, quick, show
from benchmarks.timing import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor


def onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` by oneDNN, an operation of torch without a public name."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001 - the only way to it
    return product


def has_onednn() -> bool:
    """Whether this build of torch has it."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call] # torch leaves it untyped
    return available and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def products(size: Size) -> Iterator[tuple[int, int, int]]:
    """The products of a forward pass as (count, input width, output width); those on one input are one wide product."""
    total, streams = size.experts * (size.tasks + 1), size.tasks + 1
    gate = 2 * size.experts
    yield 1, size.inputs * size.dim, total * size.units[0] + size.tasks * gate + total
    for level in range(LEVELS):
        if level:
            yield streams, size.units[-1], size.experts * size.units[0] + gate
        for a, b in zip(size.units, size.units[1:], strict=False):
            yield total, a, b
    for a, b in zip((size.units[-1], *size.tower), size.tower, strict=False):
        yield size.tasks, a, b


def floor(size: Size, rows: int, mode: str, seconds: float) -> float:
    """Seconds of only a cell's products; in training also of their backward products and the tables' gradient.

    The products of the forward pass run one after another, each with its own weights, as in a model: a product that is
    repeated alone finds its weights in the caches. Those of the backward pass are timed one by one.
    """
    forward = _in_sequence(size, rows, seconds)
    if mode == INFER:
        return forward
    backward = sum(
        _fastest(count, rows, b, a, seconds)[1] + _fastest(count, b, rows, a, seconds)[1]
        for count, a, b in products(size)
    )
    return forward + backward + _tables(size, rows, seconds)


@cache
def _in_sequence(size: Size, rows: int, seconds: float) -> float:
    """The products of a forward pass, each by its fastest way."""
    chosen = [_ways(count, rows, a, b)[_fastest(count, rows, a, b, seconds)[0]] for count, a, b in products(size)]
    return _median({"forward": lambda: [run() for run in chosen]}, 4 * seconds)["forward"]


@cache
def _fastest(count: int, rows: int, inputs: int, outputs: int, seconds: float) -> tuple[str, float]:
    """The fastest way to compute a product that is repeated, and its seconds."""
    times = _median(_ways(count, rows, inputs, outputs), seconds)
    return min(times.items(), key=lambda item: item[1])


def _ways(count: int, rows: int, inputs: int, outputs: int) -> dict[str, Callable[[], object]]:
    """One `F.linear` each (MKL or torch's default), one by oneDNN each, one batched product.

    Each for weights that are stored as `[H, D]` and as `[D, H]`. Every call draws new factors.
    """
    x, weights = torch.randn(count, rows, inputs), torch.randn(count, outputs, inputs)
    ways: dict[str, Callable[[], object]] = {}
    for layout, stored in (("[H, D]", weights), ("[D, H]", weights.mT.contiguous().mT)):
        pairs = [(x[i], stored[i]) for i in range(count)]
        ways[f"linear {layout}"] = lambda pairs=pairs: [F.linear(a, b) for a, b in pairs]
        if has_onednn():
            ways[f"onednn {layout}"] = lambda pairs=pairs: [onednn(a, b) for a, b in pairs]
        if count > 1:
            ways[f"batched {layout}"] = lambda stored=stored: torch.bmm(x, stored.mT)
    return ways


@cache
def _tables(size: Size, rows: int, seconds: float) -> float:
    """The dense gradient of all tables, as one table: the faster of those of `embedding` and `index_select`."""
    ids, _ = size.draw(rows)
    gradient, flat, total = torch.randn(rows, size.inputs, size.dim), ids.flatten(), size.inputs * size.vocab
    ways: dict[str, Callable[[], object]] = {
        "embedding": lambda: torch.ops.aten.embedding_dense_backward(gradient, ids, total, -1, False),  # noqa: FBT003 - its signature
        "index_select": lambda: torch.zeros(total, size.dim).index_add_(0, flat, gradient.flatten(0, 1)),
    }
    return min(_median(ways, seconds).values())


def _median(ways: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The median seconds of each way."""
    with torch.no_grad():
        return {name: timing.median for name, timing in interleaved(ways, seconds).items()}


def section(cells: Sequence[Cell], seconds: float) -> Section:
    """The floor beside each cell of the grid."""
    about = (
        "What the matrix products of a cell cost alone, each by the quickest of `F.linear`, oneDNN and `bmm`,\n"
        "those of the forward pass one after another; for training with both backward products, timed one by\n"
        "one, and the dense gradient of the tables. The last column is\n"
        "what nobody could exceed with such products: the best other library's time over the floor. Lookups,\n"
        "gates' softmax, mixing and activations are not in the floor."
    )
    header = (
        "size",
        "B",
        "mode",
        "best other, ms",
        "archspec, ms",
        "floor, ms",
        "archspec / floor",
        "best other / floor",
    )
    rows = []
    for cell in cells:
        least = floor(cell.size, cell.rows, cell.mode, seconds)
        other, ours = (cell.timings[name].median for name in (cell.best_other, ARCHSPEC))
        where = (str(cell.size), str(cell.rows), cell.mode)
        rows.append((*where, ms(other), ms(ours), ms(least), f"{ours / least:.2f}", f"{other / least:.2f}"))
    return Section("Floors", about, header, tuple(rows))


def main() -> None:
    """Grid and floors."""
    seconds = 0.05 if quick() else 0.2
    show(section(measure(seconds), seconds / 4))


if __name__ == "__main__":
    main()
