"""Two specs compared as data: what `archspec diff` prints, and the schema of its `--json`."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Literal

from archspec.compiler.count import count_program, counted_weights
from archspec.compiler.lower import lower
from archspec.compiler.summary import Reported, Sizes
from archspec.graph.difference import difference, new_name
from archspec.graph.statements import statements

if TYPE_CHECKING:
    from archspec.graph.difference import Difference
    from archspec.graph.graph import Graph
    from archspec.program import Program


class Side(Sizes):
    """One of the two specs."""

    name: str
    """The spec's `name`."""
    digest: str
    """16 hexadecimal digits that identify the spec's meaning."""
    tables: int
    """Parameters of embedding tables."""


class ChangeInWords(Reported):
    """A change, listed once for all places where it occurs."""

    how: Literal["added", "removed", "changed"]
    """What happened."""
    text: str
    """The change in words."""
    setting: str
    """The setting that differs, such as `units` or `balance`; empty for added and removed blocks."""
    places: list[str]
    """The blocks, by canonical name (`level1.experts.ctr`, `level3`); empty for a key of the top level."""
    old: Any
    """The old value; null for an added one, and where the places have different values."""
    new: Any
    """The new value; null for a removed one, and where the places have different values."""


class NodeChange(Reported):
    """A node of both graphs that differs."""

    node: str
    """Its canonical name in the new spec."""
    old_width: int | None
    """Features of its output in the old spec."""
    new_width: int | None
    """Features of its output in the new spec."""
    settings: list[str]
    """Its settings that differ; empty if only its width follows from another change."""


class Nodes(Reported):
    """The nodes of the two graphs."""

    added: list[str]
    """Nodes of the new graph only."""
    removed: list[str]
    """Nodes of the old graph only."""
    changed: list[NodeChange]
    """Nodes of both that differ; those of a renamed block count as nodes of both."""


class Reshaped(Reported):
    """A weight of both specs whose shape differs."""

    weight: str
    """Its canonical name."""
    old: list[int]
    """Its shape in the old spec."""
    new: list[int]
    """Its shape in the new spec."""


class OldWeights(Reported):
    """Which weights of a file of `archspec.save_weights` fit the new spec, including statistics."""

    load: list[str]
    """Weights with the same canonical name and shape, which `load_weights(..., strict=False)` copies."""
    loaded: int
    """How many numbers these weights contain."""
    saved: int
    """How many numbers all weights of the old spec contain."""
    reshaped: list[Reshaped]
    """Weights of the same name and another shape. `load_weights` refuses a file that holds one."""
    missing: list[str]
    """Weights of the new spec only, which start fresh."""
    unused: list[str]
    """Weights of the old spec only."""
    unknown: list[str]
    """Nodes with a plugin's module, whose weights only the module knows; they are in none of the lists."""


class Comparison(Reported):
    """Two specs compared."""

    old: Side
    """The first spec."""
    new: Side
    """The second spec."""
    renamed: dict[str, str]
    """Old name of a block to its new name, if both have the same places, and at most one setting differs."""
    changes: list[ChangeInWords]
    """All other changes of the canonical forms; empty if the specs mean the same."""
    nodes: Nodes
    """The differences of the graphs."""
    weights: OldWeights
    """Which of the old weights load."""


def compare(old: Graph, new: Graph) -> Comparison:
    """Compares two checked specs. Raises SpecError like `lower`."""
    found = difference(old, new)
    programs = lower(old).forward, lower(new).forward
    return Comparison(
        old=_side(old, programs[0]),
        new=_side(new, programs[1]),
        renamed=dict(found.renamed),
        changes=[
            ChangeInWords(
                how=one.how, text=one.text, setting=one.setting, places=list(one.places), old=one.old, new=one.new
            )
            for one in statements(found)
        ],
        nodes=_nodes(old, new, found),
        weights=_weights(*programs),
    )


def _side(graph: Graph, program: Program) -> Side:
    total = count_program(graph, program).total
    tables = sum(weights.parameters or 0 for weights in counted_weights(graph, program) if weights.table)
    spec = graph.spec
    return Side(name=spec.name, digest=spec.digest, parameters=total.parameters, flops=total.flops, tables=tables)


def _nodes(old: Graph, new: Graph, found: Difference) -> Nodes:
    before = {new_name(name, found.renamed): width for name, width in old.widths.items()}
    settings: dict[str, list[str]] = {}
    for change in found.changes:
        if change.setting not in {"", "count"}:  # the count of a group is no setting of one expert
            settings.setdefault(str(change.place), []).append(change.setting)
    changed = [
        NodeChange(node=name, old_width=before[name], new_width=new.widths[name], settings=settings.get(block, []))
        for name, block in ((name, name.whole if name.number is not None else name) for name in new.order)
        if name in before and (before[name] != new.widths[name] or block in settings)
    ]
    kept = {new_name(name, found.renamed): name for name in old.order}
    return Nodes(
        added=[name for name in new.order if name not in kept],
        removed=[old_name for name, old_name in kept.items() if name not in new.nodes],
        changed=changed,
    )


def _weights(old: Program, new: Program) -> OldWeights:
    before = {name: weight.shape for name, weight in old.weights.items()}
    after = {name: weight.shape for name, weight in new.weights.items()}
    load = [name for name, shape in before.items() if after.get(name) == shape]
    return OldWeights(
        load=load,
        loaded=sum(prod(before[name]) for name in load),
        saved=sum(map(prod, before.values())),
        reshaped=[
            Reshaped(weight=name, old=list(shape), new=list(after[name]))
            for name, shape in before.items()
            if after.get(name, shape) != shape
        ],
        missing=[name for name in after if name not in before],
        unused=[name for name in before if name not in after],
        unknown=list(dict.fromkeys((*old.modules, *new.modules))),
    )
