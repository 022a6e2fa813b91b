"""From a Spec to its Graph: one node per input, expert, gate, tower, fusion and task, an edge for everything read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.contract import TableName
from archspec.diagnostics import Diagnostics, Note, Span, suggest
from archspec.graph.checks.limits import check_size
from archspec.graph.construct.levels import connect_level
from archspec.graph.construct.resolve import Reader, listed
from archspec.graph.construct.towers import connect_tower
from archspec.graph.construct.wiring import Wiring, settings_names
from archspec.program.nodes import NodeName
from archspec.spec.categories import BOTTOM, bottom_blocks
from archspec.spec.complete import renamed
from archspec.spec.like import group_of
from archspec.spec.tree import provenance_at, span_at

if TYPE_CHECKING:
    from archspec.graph.graph import Graph
    from archspec.spec.spec import Block, Spec, TaskBlock


def connect(spec: Spec, diagnostics: Diagnostics) -> Graph:
    """The graph of a spec. Unknown names are reported and omitted, so that other checks can continue."""
    check_size(spec, diagnostics)
    wiring = Wiring(spec, diagnostics)
    _Names(wiring).check()
    _inputs(wiring)
    for name in spec.groups:
        _group(wiring, name)
    for node, block in bottom_blocks(spec):
        _bottom(wiring, node, block)
    for number in range(1, len(spec.levels) + 1):
        connect_level(wiring, number)
    for name, tower in spec.towers.items():
        connect_tower(wiring, name, tower)
    for name, block in spec.fusion.items():
        _fusion(wiring, name, block)
    for name, task in spec.tasks.items():
        _task(wiring, name, task)
    return wiring.graph


class _Names:
    """Checks that a bare name has one meaning in the whole spec."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.seen: dict[str, tuple[str, Span]] = {}

    def check(self) -> None:
        """Reports names with two meanings."""
        spec = self.wiring.spec
        for section in ("inputs", "groups", *BOTTOM):
            for name in getattr(spec, section):
                self.declare(name, section.removesuffix("s").replace("_", " "), self.wiring.declared(section, name))
        gates = {
            name: (n, block)
            for n, level in reversed([*enumerate(spec.levels, 1)])
            for name, block in level.gates.items()
        }
        for name, (number, block) in gates.items():  # a gate of each name, the lowest
            self.declare(name, f"gate of level {number}", block.place, block.provenance)

    def declare(self, name: str, what: str, span: Span, provenance: tuple[Note, ...] = ()) -> None:
        """Records a name; reports one that is already taken."""
        if name not in self.seen:
            self.seen[name] = (what, span)
            return
        other, place = self.seen[name]
        hint = " (an input keeps its column with `column:`)" if other == "input" else ""
        self.wiring.error(
            "AS202",
            f"`{name}` could mean the {other} or the {what} with this name",
            span,
            notes=[*provenance, Note(f"the {other}", place)],
            help=f"give one of them another name{hint}",
        )


def _inputs(wiring: Wiring) -> None:
    for name, block in wiring.spec.inputs.items():
        what = f"input `{name}`"
        node, reader = wiring.node(NodeName("inputs", name), 0, what, block), Reader(what, 0, block)
        for path, table in settings_names(block.settings, TableName):
            wiring.is_input(table, reader, path)
        wiring.read_settings([node], reader)


def _group(wiring: Wiring, name: str) -> None:
    """Checks that the members of a group are inputs, each once."""
    tree, inputs, members = wiring.spec.tree, wiring.spec.inputs, wiring.spec.groups[name]
    named: set[str] = set()
    for index, member in enumerate(members):
        path = ("groups", name, index)
        if member in named:
            wiring.error(
                "AS205",
                f"group `{name}` lists `{member}` twice",
                span_at(tree, path),
                notes=provenance_at(tree, path),
                help="list each input once",
            )
        elif member not in inputs and member not in wiring.diagnostics.blamed and not wiring.diagnostics.incomplete:
            guess = suggest(member, inputs)
            helps = f"did you mean `{guess}`?" if guess else f"inputs: {listed(inputs)}"
            wiring.error("AS201", f"group `{name}` lists `{member}`, which is not an input", span_at(tree, path),
                         notes=provenance_at(tree, path), help=helps)  # fmt: skip
        named.add(member)


def _bottom(wiring: Wiring, name: NodeName, block: Block) -> None:
    """A block below the first level."""
    reader = Reader(f"{block.category.replace('_', ' ')} `{block.name}`", 0, block)
    like = getattr(block.common, "like", None) if block.settings is not None else None
    node = wiring.node(name, 0, reader.what, block, like=None if like is None else group_of(like, name))
    if block.common is not None:
        wiring.read([node], "from", block.common.source, reader, ("from",))
        if "selector" in type(block.common).model_fields:
            wiring.read([node], "selector", block.common.selector, reader, ("selector",))
        wiring.read_settings([node], reader)


def _fusion(wiring: Wiring, name: str, block: Block) -> None:
    """Connects a fusion with the outputs in its `of`."""
    spec, reader = wiring.spec, Reader(f"fusion `{name}`", wiring.top + 1, block)
    node = wiring.node(NodeName("fusion", name), wiring.top + 1, reader.what, block)
    if name in spec.towers:
        wiring.error("AS202", f"`{name}` could mean the tower or the fusion with this name", block.place, notes=[
            *block.provenance, Note("the tower", spec.towers[name].place)], help="rename one of them")  # fmt: skip
    for index, part in enumerate(block.settings.of if block.settings is not None else ()):
        path = ("of", index) if isinstance(block.settings.of, tuple) else ("of", part)
        wiring.read_output((node,), "of", part, reader, path)
    wiring.read_settings([node], reader)


def _task(wiring: Wiring, name: str, task: TaskBlock) -> None:
    """Connects a task with the tower or fusion of its name."""
    what = f"task `{name}`"
    node = wiring.node(NodeName("tasks", name), wiring.top + 2, what, task, kind=task.kind)
    if name in wiring.spec.towers:
        wiring.edge(NodeName("towers", name), node, "output")
    elif name in wiring.spec.fusion:
        wiring.edge(NodeName("fusion", name), node, "output")
    elif not wiring.diagnostics.incomplete and name not in wiring.diagnostics.blamed:
        wiring.error(
            "AS207",
            f"{what} has no output: no tower or fusion has its name",
            task.place,
            notes=task.provenance,
            help=_output(wiring, name),
        )
    for loss in task.losses:
        wiring.read_settings((node,), Reader(f"a loss of {what}", wiring.top + 2, loss))


def _output(wiring: Wiring, task: str) -> str:
    """How to give a task an output: rename a tower whose name no longer matches, or add one."""
    tower = renamed(wiring.spec).get(task)
    if tower is None:
        return f"add `{task}: ...` to `towers`"
    return f"if the task was renamed, rename tower `{tower}` to `{task}`; or add `{task}: ...` to `towers`"
