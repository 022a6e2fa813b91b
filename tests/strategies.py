"""Specs for hypothesis: the whole language, mostly valid, some with a mistake."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

from tests.stream_strategies import events, of_fields, of_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hypothesis.strategies import DrawFn

Data = dict[str, object]
Widths = dict[str, int]
T = TypeVar("T")

TASKS = ("a", "b", "c", "d")
JUNK: tuple[object, ...] = (
    0,
    -1,
    1.5,
    7,
    True,
    None,
    "x",
    "a",
    "inputs",
    "all",
    "none",
    "$task",
    "${",
    "towers.a",
    "level1.experts.a",
    "softmax",
    [],
    {},
    [3, 2],
    ["a", "a"],
    {"detach": "inputs"},
    {"x-note": 1},
)
"""What a mistake may put in the place of a value."""


@dataclass
class World:
    """A spec in progress, and what can be read from it: name -> width."""

    draw: DrawFn
    tasks: tuple[str, ...] = ()
    widths: Widths = field(default_factory=dict)
    domains: dict[str, list[str]] = field(default_factory=dict)
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Name -> how wide a token is, and how many there are."""
    blocks: list[str] = field(default_factory=list)
    """Blocks that give rows."""
    fields: list[str] = field(default_factory=list)
    """Inputs that have a width."""

    def pick(self, choices: Sequence[T] | Mapping[T, int]) -> T:
        """One of the options."""
        return self.draw(st.sampled_from(list(choices)))

    def number(self, low: int, high: int) -> int:
        """An integer between the bounds, inclusive."""
        return self.draw(st.integers(low, high))

    def chance(self, percent: int) -> bool:
        """True in this percentage of cases."""
        return self.number(1, 100) > 100 - percent

    def some(self, choices: Sequence[T], at_least: int = 0) -> list[T]:
        """A few of the items, in their order."""
        chosen = [choice for choice in choices if self.chance(50)]
        return chosen if len(chosen) >= at_least else list(choices)[: max(at_least, 1)]

    def maybe(self, **settings: Sequence[object]) -> Data:
        """Some of the settings, each with one of its values."""
        return {key: self.pick(values) for key, values in settings.items() if self.chance(25)}


def reference(world: World, names: Widths) -> tuple[object, int]:
    """A reference to some of the names, and its width."""
    form = world.pick(["name", "name", "name", "list", "sum", "detach"])
    first = world.pick(names)
    width = names[first]
    if form == "list":
        others = [world.pick(names) for _ in range(world.number(0, 2))]
        items: list[object] = [first, *others]
        items[-1] = {"detach": items[-1]} if world.chance(20) else items[-1]
        return items, width + sum(names[other] for other in others)
    if form == "sum":
        return {"sum": [first, *world.some([name for name in names if names[name] == width])]}, width
    return ({"detach": first} if form == "detach" else first), width


ACTIVATIONS = "relu silu gelu tanh sigmoid leaky_relu elu softplus prelu dice none".split()  # noqa: SIM905 - names read best as words


def block(world: World, width: int, *, last: int | None = None) -> tuple[Data, int]:
    """Settings of an MLP on an input of a width, and its output's width; `last` prescribes that width."""
    units = [world.number(1, 4) for _ in range(world.number(0, 2))]
    units += [] if last is None else [last]
    made: Data = {"units": units}
    made |= world.maybe(
        activation=ACTIVATIONS,
        norm=["none", "batch", "layer"], dropout=[0, 0.5], bias=[True, False], input_norm=["batch", "layer"],
        slope=[0.2, 0.01], eps=[0.001, 0.1], momentum=[0.01, 1],
    )  # fmt: skip
    if world.chance(20):
        made["modulate"] = modulation(world)
    return made, units[-1] if units else width


def expert(world: World, width: int) -> Data:
    """Settings of an expert of a kind on an input of any width, with the given output width."""
    kind = world.pick(["mlp", "mlp", "cross", "mask"])
    if kind == "mlp":
        return block(world, 0, last=width)[0]
    final = world.maybe(activation=["silu", "none"], norm=["batch", "layer"], dropout=[0.5])
    if kind == "cross":
        return {"kind": kind, "units": [width], **final, **world.maybe(layers=[1, 2], rank=[1, 2], gated=[True])}
    own = world.maybe(form=["serial"], reduction=[0.5, 2])
    return {"kind": kind, "blocks": [2] * world.number(1, 2), "units": [width], **final, **own}


def network(world: World) -> Data:
    """Settings of the hidden layers of a gate network."""
    if not world.chance(40):
        return world.maybe(units=[[], [3]])
    return {"units": [3], **world.maybe(
        activation=["silu", "leaky_relu", "prelu", "dice", "none"], norm=["none", "batch", "layer"],
        hidden_dropout=[0, 0.5],
        slope=[0.2], eps=[0.001], momentum=[0.5],
    )}  # fmt: skip


def modulation(world: World) -> Data:
    """A modulation of a block."""
    made = world.maybe(at=["hidden", "input", "layer_inputs"], scale=[2, 0.5], rank=[1, 2], bias=[True]) | network(
        world
    )
    if world.chance(30):
        made["selector"], _ = reference(world, {name: world.widths[name] for name in world.fields})
    return made


def inputs(world: World) -> Data:
    """One to five inputs, at least one with a width."""
    made: Data = {}
    for index in range(world.number(1, 5)):
        name = f"i{index}"
        made[name], width = one_input(world, made, first=index == 0)
        if width:
            world.widths[name] = width
            world.fields.append(name)
    world.widths["inputs"] = sum(world.widths[name] for name in world.fields)
    return made


def one_input(world: World, others: Data, *, first: bool) -> tuple[Data, int]:
    """An input and its width."""
    tables = [name for name, other in others.items() if isinstance(other, dict) and "vocab" in other]
    kind = world.pick(["dense", "sparse", "sequence", "numeric", *([] if first else ["domain"])])
    name, dim = f"i{len(others)}", world.number(1, 3)
    if kind == "domain":
        values = world.pick([list(world.tasks), ["p", "q"]])
        world.domains[name] = values
        return {"kind": kind, "values": values, **({"dim": dim} if world.chance(60) else {})}, 0
    if kind == "dense":
        return {"kind": kind, "dim": dim}, dim
    if kind == "numeric":
        embedding = world.pick(["linear", "autodis", "buckets", "periodic"])
        limits = {"boundaries": [-0.5, 0.5]} if embedding == "buckets" else {}
        return {"kind": kind, "dim": dim, "embedding": embedding, **limits}, dim
    more = (
        world.maybe(pool=["mean", "sum", "max", "last"], length=[1, 4])
        if kind == "sequence"
        else world.maybe(column=["id", "k 'y\""])
    )
    if more.get("pool", "mean") in {"mean", "sum"} and kind == "sequence" and world.chance(30):
        more["weights"] = f"{name}_weights"
    if tables and world.chance(40):
        table = world.pick(tables)
        return {"kind": kind, "table": table, **more}, world.widths[table]
    return {"kind": kind, "vocab": world.number(1, 9), "dim": dim, **more, **world.maybe(trainable=[False])}, dim


def feature_gates(world: World) -> Data:
    """None to two feature gates."""
    made: Data = {}
    for index in range(world.number(0, 2) if world.chance(40) else 0):
        source, width = reference(world, world.widths)
        made[f"scaled{index}"] = {"from": source, **world.maybe(
            per=["field", "element"], kind=["softmax", "sigmoid", "relu", "linear"], squeeze=["mean"],
            scale=[2, "fields"], rank=[1], bias=[True],
        ), **network(world)}  # fmt: skip
        if world.chance(50):
            made[f"scaled{index}"]["selector"], _ = reference(world, world.widths)  # type: ignore[index] # the mapping above
        world.widths[f"scaled{index}"] = width
    return made


def blocks(world: World, least: int = 0) -> Data:
    """Up to four blocks of rows, fields or tokens; a later one may read an earlier one, or share its weights."""
    made: Data = {}
    for index in range(world.number(least, 4)):
        name, form = f"b{index}", world.pick(["rows", "fields", *(["tokens"] * 3 if world.tokens else [])])
        if form == "tokens":
            made[name], width, count = of_tokens(world)
            world.tokens |= {name: (width, count)} if count else {}
        elif form == "fields":
            made[name], width = of_fields(world)
            count = 0
        else:
            source, _ = reference(world, world.widths)
            width, count = world.number(1, 3), 0
            made[name] = expert(world, width) | {"from": source}
        owner = made[name]
        if not count:
            world.widths[name] = width
            world.blocks.append(name)
        if isinstance(owner, dict) and world.chance(20):
            made[f"{name}_again"] = {
                "like": name,
                "from": {"detach": owner["from"]} if form == "rows" else owner["from"],
            }
            if not count:
                world.widths[f"{name}_again"] = width
                world.blocks.append(f"{name}_again")
    return made


def gate(world: World, name: str, groups: Mapping[str, int], mixed: Sequence[str]) -> Data:
    """A gate over expert groups of one width (name -> count); `mixed` are the existing gates of the level."""
    seen = world.some(list(groups), at_least=1)
    form = world.pick(["list", "list", "all", "except", "detach", "one"])
    sees: object = seen
    if form == "all" or (form == "except" and len(groups) > 1):
        sees = "all" if form == "all" else {"except": list(groups)[-1]}
        seen = list(groups) if form == "all" else list(groups)[:-1]
    elif form == "detach":
        sees = [*seen[:-1], {"detach": seen[-1]}]
    elif form == "one":
        sees, seen = [f"{seen[0]}.0"], [seen[0]]
    count = 1 if form == "one" else sum(groups[group] for group in seen)
    made: Data = {"sees": sees, **world.maybe(transform=["linear"])}
    if mixed and world.chance(30):
        made["residual"] = world.pick(mixed)
    return made | gate_kind(world, name, seen, count)


def gate_kind(world: World, name: str, seen: Sequence[str], count: int) -> Data:
    """The kind of a gate that sees `count` experts of some groups."""
    kind = world.pick(["softmax", "softmax", "sigmoid", "linear", "topk", "hard_concrete", "domain", "sum"])
    domain = world.pick([*world.domains, None])
    if kind == "hard_concrete":
        return {"kind": kind, **world.maybe(penalty=[0.1], beta=[0.5])}
    if kind == "sum":
        return {"kind": kind}
    if kind == "domain" and domain is not None and set(world.domains[domain]) <= set(seen):
        return {"kind": kind, "selector": domain}
    kind = "linear" if kind == "domain" else kind
    made: Data = {"kind": kind, **world.maybe(temperature=[0.5], dropout=[0.25])}
    made |= {"k": world.number(1, count), **world.maybe(balance=[0.01])} if kind == "topk" else {}
    if domain is not None and len(seen) > 1 and world.chance(30):
        after = kind in {"softmax", "topk"} and world.chance(50)
        only = set(world.domains[domain]) <= set(seen) and world.chance(50)
        made["only" if only else "exclude"] = {"domain": domain, "after": "softmax"} if after else domain
    if world.chance(20):
        identity = kind == "linear" and name in seen and world.chance(50)
        start = {"init": "identity"} if identity else world.maybe(init=["uniform", "random"])
        return made | {"selector": "none", **start}
    made |= world.maybe(bias=[True]) | network(world)
    if world.chance(30):
        made["selector"], _ = reference(world, {n: w for n, w in world.widths.items() if not n.startswith("level")})
    return made


def levels(world: World) -> list[Data]:
    """None to three levels of gates and experts; a task's tower can read the last ones by name."""
    made: list[Data] = []
    streams: Widths = {}
    for number in range(1, world.number(0, 3) + 1):
        if number == 1 and world.chance(25):
            made.append(stacked(world))
            streams = dict.fromkeys((*world.tasks, "shared"), 2)
            break
        level, streams = free_level(world, number, streams)
        made.append(level)
    world.widths |= streams
    return made


def stacked(world: World) -> Data:
    """Levels in the short form, with variables and `repeat`."""
    return {
        "repeat": world.number(1, 3),
        "experts": {
            "$task": {"count": world.number(1, 2), "units": [3, 2]},
            "shared": {"count": world.number(1, 2), "units": [2], **world.maybe(norm=["layer"])},
        },
        "gates": {"$task": {"sees": world.pick([["$task", "shared"], "all"])}, "shared": {"sees": "all"}},
    }


def free_level(world: World, number: int, below: Widths) -> tuple[Data, Widths]:
    """One level, and its gates with their widths."""
    width, experts, groups = world.number(1, 3), {}, {}
    for name in world.some([*world.tasks, "shared"], at_least=1):
        settings = expert(world, width)
        groups[name] = world.number(1, 2)
        if width in {wide for wide, _ in world.tokens.values()} and world.chance(25):
            pooled, wide, count = of_tokens(world)
            settings = pooled if (wide, count) == (width, 0) else settings
        if "from" not in settings and number > 1 and (name not in below or world.chance(20)):
            settings["from"], _ = reference(world, world.widths | below)
        experts[name] = settings | {"count": groups[name]}
        if (owners := [other for other in groups if other != name and "like" not in experts[other]]) and world.chance(
            20
        ):
            owner = world.pick(owners)
            source = experts[owner].get("from", owner if number > 1 else "inputs")
            experts[name] = {"like": owner, "from": world.pick([source, {"detach": source}, {"sum": [source, source]}])}
            groups[name] = groups[owner]
    gates: dict[str, Data] = {}
    for name in world.some([*world.tasks, "shared"], at_least=1):
        gates[name] = gate(world, name, groups, list(gates))
        if number > 1 and name not in below and gates[name].get("kind") not in {"hard_concrete", "sum"}:
            gates[name].setdefault("selector", world.pick([*below, "inputs"]))
    world.widths |= {f"level{number}.experts.{name}": count * width for name, count in groups.items()}
    world.widths |= {f"level{number}.gates.{name}": width for name in gates}
    return {"experts": experts, "gates": gates}, dict.fromkeys(gates, width)


def towers(world: World, names: Sequence[str]) -> Data:
    """A tower for each name; a later one may read an earlier one."""
    made: Data = {}
    for name in names:
        if world.domains and world.chance(25):
            domain = world.pick(list(world.domains))
            source, _ = reference(world, world.widths)
            cases = {value: {"from": source, **block(world, 0, last=2)[0]} for value in world.domains[domain]}
            made[name] = {"switch": domain, "cases": cases}
            world.widths[f"towers.{name}"] = 2
            continue
        source, width = (name, world.widths[name]) if name in world.widths else reference(world, world.widths)
        if world.blocks and world.chance(70):
            beside = world.pick(world.blocks)
            source, width = [source, beside], width + world.widths[beside]
        settings, last = block(world, width)
        made[name] = {"from": source, **settings}
        world.widths[f"towers.{name}"] = last
    return made


def fusions(world: World, kinds: Mapping[str, str], task: str | None) -> Data:
    """Fusions of outputs that are a single number; one of them may be a task."""
    outputs = [name for name, kind in kinds.items() if kind != "multiclass" and name != task]
    made: Data = {}
    for name in [task] if task else ["score"] if outputs and world.chance(40) else []:
        kind = world.pick(["product", "sum", "weighted_sum", "weighted_product", *["mixture"] * bool(outputs)])
        of = [world.pick(outputs) for _ in range(3)] if kind == "mixture" else world.some(outputs, at_least=1)
        weighted: object = {name: world.pick([0.5, 1, -2]) for name in of}
        made[name] = {"kind": kind, "of": weighted if kind.startswith("weighted") else of}
        if task is None and kind != "mixture" and "i0" in world.fields and world.widths["i0"] == 1 and world.chance(50):
            made[name] |= {"times": {"input": "i0", **world.maybe(fn=["log1p", "sqrt", "exp"])}}  # type: ignore[operator] # a mapping
    return made


def sound(draw: DrawFn) -> Data:
    """A spec that is valid except for details that only archspec checks."""
    world = World(draw)
    world.tasks = TASKS[: world.number(1, 4)]
    kinds = {name: world.pick(["binary", "binary", "regression", "multiclass"]) for name in world.tasks}
    made_inputs = inputs(world)
    if world.chance(50):
        events(world, made_inputs)
    data: Data = {"archspec": 1, "name": "drawn", "inputs": made_inputs}
    if world.chance(30):
        data["groups"] = {"fields": world.fields}
        world.widths["fields"] = world.widths["inputs"]
    data |= {"feature_gates": made} if (made := feature_gates(world)) else {}
    data |= {"blocks": made} if world.chance(60) and (made := blocks(world)) else {}
    data["tasks"] = {
        name: {"kind": kind, **({"classes": 3} if kind == "multiclass" else {})} for name, kind in kinds.items()
    }
    data |= {"levels": made} if (made := levels(world)) else {}  # type: ignore[assignment] # a list now
    fused = world.pick([None, None, *(name for name in world.tasks if kinds[name] != "multiclass")])
    named = [name for name in (*world.tasks, "extra") if name != fused]
    data["towers"] = towers(world, named if world.chance(30) or len(named) == 1 else named[:-1])
    data |= {"fusion": made} if (made := fusions(world, kinds, fused)) else {}
    if world.chance(20):
        data["defaults"] = world.pick(
            [{"gates": {"bias": True}}, {"experts": {"norm": "layer"}}, {"towers": {"activation": "silu"}}]
        )
    return data


def damaged(draw: DrawFn, data: Data) -> Data:
    """The data with one place deleted, replaced or renamed."""
    data = copy.deepcopy(data)
    place: object = data
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        key = draw(st.sampled_from(keys))
        inner = place[key]  # type: ignore[index] # a mapping or a list: it has keys
        if not (isinstance(inner, dict | list) and inner) or draw(st.integers(0, 4)) == 0:
            break
        place = inner
    change = draw(st.sampled_from(["delete", "replace", "rename"]))
    value = place.pop(key)  # type: ignore[attr-defined] # as above
    if change != "delete" and isinstance(place, dict):
        place["x" if change == "rename" else key] = value if change == "rename" else draw(st.sampled_from(JUNK))
    elif change != "delete" and isinstance(place, list):
        place.insert(key, draw(st.sampled_from(JUNK)))
    return data


@st.composite
def streams(draw: DrawFn) -> str:
    """Text of a spec with rows, tokens, fields and blocks, without levels; towers read all blocks of rows."""
    world = World(draw, tasks=TASKS[:2])
    made = inputs(world)
    events(world, made)
    data: Data = {"archspec": 1, "name": "drawn", "inputs": made, "blocks": blocks(world, 2)}
    sources = [*world.blocks, world.fields[0]]
    towers = {task: {"from": [*world.some(sources, at_least=1), sources[0]]} for task in world.tasks}
    return json.dumps(data | {"tasks": {task: {} for task in world.tasks}, "towers": towers}, indent=1)


@st.composite
def specs(draw: DrawFn) -> str:
    """Text of a spec; one in four has one to three mistakes."""
    data = sound(draw)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 3]))):
        data = damaged(draw, data)
    return json.dumps(data, indent=1)
