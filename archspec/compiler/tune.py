"""Chooses the lowering of each matmul of a model on this machine, by measurement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archspec import plugins as plugin_door
from archspec.graph.load import graph_of, load_graph
from archspec.spec.spec import Spec

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from archspec.program import Op, Program

Lowerings = tuple[tuple[int, str], ...]
"""(smallest number of rows, lowering), ascending; the empty name is torch's default."""

GAIN = 0.95
"""A lowering is chosen if it takes at most this fraction of the time of torch's default."""


@dataclass(frozen=True, slots=True)
class Product:
    """One matmul of a program: `[B, width]`, or a stack of `experts` of them, times weights, to `out` columns."""

    experts: int | None
    width: int
    out: int

    def __str__(self) -> str:
        """The shape as text, such as `640 -> 1600` or `6 x (256 -> 128)`."""
        plain = f"{self.width} -> {self.out}"
        return plain if self.experts is None else f"{self.experts} x ({plain})"


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of one matmul at one batch size, forward and backward, by lowering."""

    product: Product
    rows: int
    seconds: Mapping[str, float]

    @property
    def best(self) -> str:
        """The lowering to choose."""
        own = self.seconds[""]
        fastest = min(self.seconds, key=self.seconds.__getitem__)
        return fastest if self.seconds[fastest] <= GAIN * own else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The measurements, and the lowerings chosen from them. Pass it to `archspec.compile(..., plan=...)`."""

    measured: tuple[Measured, ...]

    def lowerings(self, product: Product) -> Lowerings:
        """The lowerings of one matmul; each applies from the geometric mean of its batch size and the next smaller."""
        chosen: list[tuple[int, str]] = []
        last = 0
        for found in sorted((m for m in self.measured if m.product == product), key=lambda m: m.rows):
            first = 0 if not chosen else round((last * found.rows) ** 0.5)
            if not chosen or chosen[-1][1] != found.best:
                chosen.append((first, found.best))
            last = found.rows
        return () if all(not how for _, how in chosen) else tuple(chosen)

    def __str__(self) -> str:
        """One line per matmul and batch size: times in microseconds, the chosen one marked."""
        lines = []
        for found in self.measured:
            shown = ", ".join(
                f"{how or 'torch'}{'*' if how == found.best else ''} {seconds * 1e6:.0f}"
                for how, seconds in found.seconds.items()
            )
            lines.append(f"{found.product}, B {found.rows}: {shown}")
        return "\n".join(lines)


def tune(
    spec: Spec | str | os.PathLike[str],
    batch: Iterable[int] = (16, 256, 2048),
    plugins: Iterable[plugin_door.Plugin] = (),
) -> Plan:
    """Measures every matmul of a spec's optimized module on this machine, at the given batch sizes.

    Args:
        spec: a Spec, the path of one, or its text.
        batch: batch sizes.
        plugins: plugins with further kinds; see `archspec.load`.

    Raises:
        SpecError: the spec is wrong.
    """
    from archspec.compiler.compile import build

    graph = graph_of(spec) if isinstance(spec, Spec) else load_graph(spec, None, plugin_door.load(plugins))
    return measure(build(graph).lowered.forward, batch)


def measure(program: Program, batch: Iterable[int]) -> Plan:
    """Measures the matmuls of a program, each shape once."""
    from archspec.nn.measure import time_products

    products = list(dict.fromkeys(product_of(op) for op in program.ops if op.kind == "linear"))
    return Plan(
        tuple(
            Measured(product, rows, time_products(product.experts, product.width, product.out, rows))
            for product in products
            for rows in sorted(set(batch))
        )
    )


def planned(program: Program, plan: Plan) -> Program:
    """The program with the plan's lowerings set on its matmuls."""
    ops = []
    for op in program.ops:
        found = plan.lowerings(product_of(op)) if op.kind == "linear" and not op.attr("precision") else ()
        ops.append(replace(op, attrs=(*op.attrs, ("plan", found))) if found else op)
    return replace(program, ops=tuple(ops))


def product_of(op: Op) -> Product:
    """The shape of a matmul."""
    (x,) = op.inputs
    return Product(int(x.shape[0]) if x.is_stack else None, x.width, op.output.width)
