"""The whole pipeline: spec -> graph -> program -> passes -> source -> module; only this module uses torch."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from archspec import plugins as plugin_door
from archspec.compiler.emit import emit
from archspec.compiler.living import class_of
from archspec.compiler.lower import Lowered, lower
from archspec.compiler.names import Attributes
from archspec.compiler.passes import EXACT_PASSES, INEXACT_PASSES, LAYOUT_PASSES
from archspec.compiler.separate import separated
from archspec.compiler.tune import Plan, planned
from archspec.diagnostics import SpecError
from archspec.graph.calls import call, wrong_result
from archspec.graph.load import graph_of, load_graph
from archspec.program import verify
from archspec.spec.spec import Spec

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from torch import Tensor, nn

    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled
    from archspec.program import Value
    from archspec.program.program import Dim


@dataclass(frozen=True, slots=True)
class Built:
    """The results of the stages from a spec to a module."""

    graph: Graph
    plain: Lowered
    lowered: Lowered
    rewrites: tuple[str, ...]
    remarks: tuple[str, ...]
    plan: Plan | None = None
    """The measurements, if lowerings were chosen by measuring."""

    @property
    def source(self) -> str:
        """The Python file."""
        return emit(self.graph, self.lowered)


Precision = Literal["fp32", "bf16"]


def build(
    graph: Graph,
    *,
    optimize: bool = True,
    precision: Precision = "fp32",
    plan: Plan | None = None,
    separate: Sequence[str] = (),
) -> Built:
    """Lowers a checked graph, runs the passes, and applies a plan's lowerings to the matmuls."""
    plain = lower(graph)
    lowered, rewrites, remarks = replace(plain, forward=separated(plain.forward, separate)), (), ()
    exact, layout = (EXACT_PASSES, LAYOUT_PASSES) if optimize else ((), ())
    for run in (*exact, *INEXACT_PASSES.get(precision, ()), *layout):
        result = run(lowered.forward)
        rewrites, remarks = (*rewrites, *result.rewrites), (*remarks, *result.remarks)
        lowered = replace(lowered, forward=verify(result.program, after=run.__name__))
    if plan is not None:
        lowered = replace(lowered, forward=planned(lowered.forward, plan))
    return Built(graph, plain, lowered, rewrites, remarks, plan)


def compile(  # noqa: A001, PLR0913, PLR0917 - named as torch.compile; the public signature
    spec: Spec | str | os.PathLike[str],
    optimize: bool = True,  # noqa: FBT001, FBT002 - part of the public API
    plugins: Iterable[plugin_door.Plugin] = (),
    seed: int | None = None,
    precision: Precision = "fp32",
    plan: Plan | None = None,
    separate: Sequence[str] = (),
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
        separate: blocks whose weights get parameters of their own, by canonical name, such as `towers.ctr` or
            `level1.experts.shared`: to freeze them (`archspec.freeze`) or give them a learning rate. Each may cost a
            fused product.

    Raises:
        SpecError: the spec is wrong.
        ValueError: `separate` has a name that no block with weights has.
    """
    graph = graph_of(spec) if isinstance(spec, Spec) else load_graph(spec, None, plugin_door.load(plugins))
    built = build(graph, optimize=optimize, precision=precision, plan=plan, separate=separate)
    return instantiate(built, seed=seed)


def instantiate(built: Built, *, seed: int | None = None, device: str | None = None) -> Compiled:
    """The module of a built spec, with fresh weights; on the device `meta` without any.

    Raises:
        SpecError: AS210 or AS502: a plugin's kind fails to build its module.
    """
    cls: Any = class_of(built.source, built.graph.spec)
    try:
        model: Compiled = cls(seed=seed, device=device)
    except Exception:
        for module in built.lowered.forward.modules.values():  # again, to report what is wrong with it
            call(built.graph.nodes[module.name], "build", *module.arguments)
        raise
    _check_shapes(built, model)
    return model


def _check_shapes(built: Built, model: Compiled) -> None:
    """Checks that modules of plugins return the shapes that their kinds declare. Raises SpecError."""
    rows, modules = 2, built_modules(built, model)
    for op in {op.attr("module"): op for op in built.lowered.forward.ops if op.kind == "call"}.values():
        found = _run_on_meta(modules[op.attr("module")], op.inputs, rows)
        shape: tuple[Dim, ...] = tuple(getattr(found, "shape", ()))
        shape = ("B", *shape[1:]) if shape[:1] == (rows,) else shape
        if found is not None and shape != op.output.shape:
            shown, declared = (f"[{', '.join(map(str, each))}]" for each in (shape, op.output.shape))
            returned = shown if hasattr(found, "shape") else f"a `{type(found).__name__}`"
            problem = f"builds a module that returns {returned} rather than {declared}"
            raise SpecError([wrong_result(built.graph.nodes[op.node.node], problem)])


def built_modules(built: Built, model: Compiled) -> dict[str, nn.Module]:
    """The modules in a model that kinds of plugins built, by the node that owns them."""
    attributes = Attributes([built.lowered.forward, built.lowered.predict])
    return {name: getattr(model, attributes.name(name)) for name in built.lowered.forward.modules}


def _run_on_meta(module: nn.Module, inputs: Sequence[Value], rows: int) -> object:
    """What a module returns, without values or side effects; None if it cannot run on torch's meta device."""
    import torch

    held = [*module.parameters(), *module.buffers()]
    types = {"float": next((each.dtype for each in held if each.is_floating_point()), None), "int": torch.int64}
    try:
        twin = copy.deepcopy(module, {id(tensor): _on_meta(tensor) for tensor in held}).eval()
        given = [
            torch.empty([rows if size == "B" else int(size) for size in value.shape],
                        dtype=types.get(value.dtype, torch.bool), device="meta")
            for value in inputs
        ]  # fmt: skip
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return twin(*given)
    except Exception:  # noqa: BLE001 - it may need values, or fail for a reason that its first batch shows
        return None


def _on_meta(tensor: Tensor) -> Tensor:
    from torch import nn

    moved = tensor.detach().to("meta")
    return nn.Parameter(moved, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else moved
