"""Graphs as `archspec.build_graph` creates them, small enough to write out, for tests of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import networkx as nx

if TYPE_CHECKING:
    from collections.abc import Iterable

    Graph: TypeAlias = nx.MultiDiGraph[str]


def join(graph: Graph, tail: str, head: str, role: str, *, detached: bool = False) -> None:
    """Adds one edge, as `build_graph` does."""
    graph.add_edge(tail, head, key=f"{role}, detached" if detached else role, role=role, detached=detached)


class Builder:
    """Adds nodes and edges in the order in which a graph lists them: inputs first, tasks last."""

    def __init__(self, name: str, tasks: Iterable[str], levels: int, about: str = "") -> None:
        self.tasks, self.levels = tuple(tasks), levels
        self.graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(
            name=name, about=about, tasks=self.tasks, levels=levels, digest="0" * 64
        )

    def node(self, name: str, category: str, kind: str, level: int, **attributes: object) -> str:
        """One node; attributes that are not given are those of a shared block."""
        defaults: dict[str, object] = {
            "width": 0,
            "tasks": self.tasks,
            "owner": None,
            "group": None,
            "index": None,
            "case": None,
            "title": name.rpartition(".")[2],
            "detail": "",
            "steered": (),
            "penalty": False,
            "probability": category == "task",
            "like": None,
            "settings": {},
            "changed": {},
            "unsaid": (),
        }
        self.graph.add_node(name, category=category, kind=kind, level=level, **(defaults | attributes))
        return name

    def edges(self, tails: Iterable[str], head: str, role: str, *, detached: bool = False) -> None:
        """Edges of one role."""
        for tail in tails:
            join(self.graph, tail, head, role, detached=detached)

    def inputs(self, **widths: int) -> list[str]:
        """Sparse inputs of these widths."""
        return [self.node(f"inputs.{name}", "input", "sparse", 0, width=width) for name, width in widths.items()]

    def owner(self, name: str) -> str | None:
        """The task of this name, if there is one."""
        return name if name in self.tasks else None

    def experts(
        self, level: int, group: str, count: int, sources: Iterable[str], detail: str = "256, 128"
    ) -> list[str]:
        """One group of experts that read the same."""
        names = []
        for index in range(count):
            name = self.node(
                f"level{level}.experts.{group}.{index}",
                "expert",
                "mlp",
                level,
                width=128,
                owner=self.owner(group),
                group=group,
                index=index,
                title="MLP",
                detail=detail,
            )
            self.edges(sources, name, "from")
            names.append(name)
        return names

    def gate(self, level: int, name: str, sees: Iterable[str], selector: Iterable[str], detail: str = "") -> str:
        """One softmax gate."""
        gate = self.node(
            f"level{level}.gates.{name}",
            "gate",
            "softmax",
            level,
            width=128,
            owner=self.owner(name),
            title="gate",
            detail=detail,
            steered=(f"by {', '.join(name.partition('.')[2] for name in selector)}",),
        )
        self.edges(sees, gate, "sees")
        self.edges(selector, gate, "selector")
        return gate

    def tower(self, name: str, sources: Iterable[str], detail: str = "64, 32, 1") -> str:
        """One tower."""
        tower = self.node(
            f"towers.{name}",
            "tower",
            "mlp",
            self.levels + 1,
            width=1,
            owner=self.owner(name),
            title=f"{name} tower",
            detail=detail,
        )
        self.edges(sources, tower, "from")
        return tower

    def fusion(self, name: str, sources: Iterable[str], title: str = "×") -> str:
        """One fusion of outputs."""
        fusion = self.node(
            f"fusion.{name}", "fusion", "product", self.levels + 2, width=1, owner=self.owner(name), title=title
        )
        self.edges(sources, fusion, "of")
        return fusion

    def task(self, name: str, source: str) -> str:
        """One output with a loss."""
        task = self.node(f"tasks.{name}", "task", "binary", self.levels + 3, owner=name)
        self.edges([source], task, "output")
        return task

    def done(self) -> nx.MultiDiGraph[str]:
        """The graph, with the tasks that each node reaches."""
        for name in self.graph:
            reached = {name, *nx.descendants(self.graph, name)}
            self.graph.nodes[name]["tasks"] = tuple(task for task in self.tasks if f"tasks.{task}" in reached)
        return self.graph


def ple(tasks: tuple[str, ...] = ("ctr", "cvr"), levels: int = 2, count: int = 2) -> nx.MultiDiGraph[str]:
    """PLE; no shared gate in the last level."""
    b = Builder("ple", tasks, levels, "Progressive Layered Extraction (Tang et al., RecSys 2020)")
    streams = dict.fromkeys((*tasks, "shared"), b.inputs(user=128, item=128, ctx=64))
    for level in range(1, levels + 1):
        groups = {name: b.experts(level, name, count, stream) for name, stream in streams.items()}
        gates = {}
        for name in (*tasks, "shared") if level < levels else tasks:
            everything = [expert for group in groups.values() for expert in group]
            sees = everything if name == "shared" else [*groups[name], *groups["shared"]]
            gates[name] = [b.gate(level, name, sees, streams[name])]
        streams = gates
    for name in tasks:
        b.tower(name, streams[name])
    for name in tasks:
        b.task(name, f"towers.{name}")
    return b.done()


def mmoe(tasks: tuple[str, ...] = ("ctr", "cvr"), count: int = 4) -> nx.MultiDiGraph[str]:
    """MMoE: every gate sees every expert."""
    b = Builder("mmoe", tasks, 1, "Multi-gate Mixture-of-Experts (Ma et al., KDD 2018)")
    inputs = b.inputs(user=16, item=16)
    experts = b.experts(1, "shared", count, inputs)
    for name in tasks:
        b.gate(1, name, experts, inputs)
    for name in tasks:
        b.tower(name, [f"level1.gates.{name}"])
    for name in tasks:
        b.task(name, f"towers.{name}")
    return b.done()


def esmm() -> nx.MultiDiGraph[str]:
    """ESMM: two towers on shared embeddings, their product is the second task."""
    b = Builder("esmm", ("ctr", "ctcvr"), 0, "Entire Space Multi-Task Model (Ma et al., SIGIR 2018)")
    inputs = b.inputs(user=18, item=18, query=18)
    towers = [b.tower(name, inputs, "360, 200, 80, 1") for name in ("ctr", "cvr")]
    product = b.fusion("ctcvr", towers)
    b.task("ctr", "towers.ctr")
    b.task("ctcvr", product)
    return b.done()


DOMAINS = ("flash", "grocery", "takeaway", "select", "groupbuy")


def meituan() -> nx.MultiDiGraph[str]:
    """ESMM over CGC, a feature gate per business, and a click tower per business."""
    b = Builder("meituan_search", ("ctr", "ctcvr"), 1, "Multi-business search ranking at Meituan")
    domain = b.node("inputs.business", "input", "domain", 0, width=8)
    common = b.inputs(user=16, query=16, item=16, history=16, stats=8, hour=4, city=8)
    profiles = {d: b.inputs(**{f"shop_{d}": 8, f"numbers_{d}": 3}) for d in DOMAINS}
    gates = []
    for d in DOMAINS[:3]:
        gate = b.node(f"feature_gates.{d}", "feature_gate", "softmax", 0, width=84, title=d, detail="per field")
        b.edges(common, gate, "from")
        b.edges([domain, *common], gate, "selector")
        gates.append(gate)
    groups = {name: b.experts(1, name, 2, gates, "64, 32") for name in ("ctr", "cvr", "shared")}
    for name in ("ctr", "cvr"):
        b.gate(1, name, [*groups[name], *groups["shared"]], gates)
    tower = b.node("towers.ctr", "tower", "switch", 2, width=1, owner="ctr", title="ctr tower", detail="switch")
    for d in DOMAINS:
        case = b.node(
            f"towers.ctr.cases.{d}", "tower", "mlp", 2, width=1, owner="ctr", case=d, title="MLP", detail="64, 32, 1"
        )
        b.edges(["level1.gates.ctr", *profiles[d]], case, "from")
        b.edges([case], tower, "case")
    b.edges([domain], tower, "switch")
    b.tower("cvr", ["level1.gates.cvr"], "64, 32, 1")
    product = b.fusion("ctcvr", ["towers.ctr", "towers.cvr"])
    b.fusion("rank", ["towers.ctr", "towers.cvr"], "Σ")
    b.task("ctr", "towers.ctr")
    b.task("ctcvr", product)
    return b.done()


def home(graph: nx.MultiDiGraph[str], name: str) -> str:
    """The block in which a node (not an input) is drawn."""
    if graph.nodes[name]["case"] is not None:
        return name.partition(".cases.")[0]
    return name.rpartition(".")[0] if graph.nodes[name]["category"] == "expert" else name
