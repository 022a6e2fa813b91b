"""The whole pipeline: spec -> graph -> program -> passes -> source -> module; only this module uses torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from archspec import plugins as plugin_door
from archspec.compiler.emit import emit
from archspec.compiler.living import class_of
from archspec.compiler.lower import Lowered, lower
from archspec.compiler.passes import EXACT_PASSES, INEXACT_PASSES
from archspec.compiler.tune import Plan, planned
from archspec.diagnostics import SpecError
from archspec.graph.calls import call, wrong_result
from archspec.graph.load import graph_of, load_graph
from archspec.program import verify
from archspec.spec.spec import Spec

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from archspec.graph.graph import Graph, Node
    from archspec.nn.module import Compiled
    from archspec.program.program import Module


@dataclass(frozen=True, slots=True)
class Built:
    """The results of the stages from a spec to a module."""

    graph: Graph
    plain: Lowered
    lowered: Lowered
    rewrites: tuple[str, ...]
    remarks: tuple[str, ...]
    plan: Plan | None = None
    """The measurements, if lowerings were chosen by measurement."""

    @property
    def source(self) -> str:
        """The Python file."""
        return emit(self.graph, self.lowered)


Precision = Literal["fp32", "bf16"]


def build(graph: Graph, *, optimize: bool = True, precision: Precision = "fp32", plan: Plan | None = None) -> Built:
    """Lowers a checked graph, runs the passes, and applies a plan's lowerings to the matmuls."""
    plain = lower(graph)
    lowered, rewrites, remarks = plain, (), ()
    for run in (*(EXACT_PASSES if optimize else ()), *INEXACT_PASSES.get(precision, ())):
        result = run(lowered.forward)
        rewrites, remarks = (*rewrites, *result.rewrites), (*remarks, *result.remarks)
        lowered = replace(lowered, forward=verify(result.program, after=run.__name__))
    if plan is not None:
        lowered = replace(lowered, forward=planned(lowered.forward, plan))
    return Built(graph, plain, lowered, rewrites, remarks, plan)


def compile(  # noqa: A001, PLR0913, PLR0917 - named as torch.compile; the public signature
    spec: Spec | str | os.PathLike[str],
    optimize: bool = True,  # noqa: FBT001, FBT002 - a word of the public API
    plugins: Iterable[plugin_door.Plugin] = (),
    seed: int | None = None,
    precision: Precision = "fp32",
    plan: Plan | None = None,
) -> Compiled:
    """The PyTorch module of a spec.

    Args:
        spec: a Spec, the path of one, or its text.
        optimize: False returns the plain module, which defines the meaning of the spec.
        plugins: plugins with further kinds; see `archspec.load`.
        seed: draws the initial weights from a separate generator; with the same seed, plain and optimized modules have
            equal weights.
        precision: `bf16` rounds the factors of matmuls to bfloat16; tables, norms and towers' heads are not changed.
        plan: lowerings measured on this machine, by `archspec.tune`.

    Raises:
        SpecError: the spec is wrong.
    """
    graph = graph_of(spec) if isinstance(spec, Spec) else load_graph(spec, None, plugin_door.load(plugins))
    return instantiate(build(graph, optimize=optimize, precision=precision, plan=plan), seed=seed)


def instantiate(built: Built, *, seed: int | None = None) -> Compiled:
    """The module of a built spec, with fresh weights.

    Raises:
        SpecError: AS210 or AS502: a plugin's kind fails to build its module.
    """
    cls: Any = class_of(built.source, built.graph.spec)
    try:
        model: Compiled = cls(seed=seed)
    except Exception:
        for module in built.lowered.forward.modules.values():
            _check_build(built.graph.nodes[module.name], module)
        raise
    return model


def _check_build(node: Node, module: Module) -> None:
    """Builds a plugin's module again, to report what is wrong with it. Raises SpecError."""
    from torch import nn

    answer = call(node, "build", *module.arguments)
    if not isinstance(answer, nn.Module):
        raise SpecError([wrong_result(node, f"gives a `{type(answer).__name__}` from `build`, not an nn.Module")])
