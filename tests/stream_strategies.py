"""Lists of events and blocks for random specs: rows, tokens and fields, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.strategies import Data, World


def events(world: World, inputs: Data) -> None:
    """Adds one or two inputs with tokens."""
    for index in range(world.number(1, 2)):
        name, width = f"e{index}", world.number(1, 3)
        own: Data = {"vocab": world.number(1, 9), "dim": width, **world.maybe(trainable=[False])}
        if "e0" in world.tokens and world.chance(40):
            own, width = {"table": "e0"}, world.tokens["e0"][0]
        length = world.pick([3, 3, 2])
        own |= world.maybe(weights=[f"{name}_weights"])
        inputs[name] = {"kind": "sequence", "length": length, "pool": "none", **own}
        world.tokens[name] = (width, length)


def token_reference(world: World) -> tuple[object, int, int]:
    """A reference to tokens: the width of one, and their number."""
    name = world.pick(list(world.tokens))
    width, count = world.tokens[name]
    alike = [other for other, (_, length) in world.tokens.items() if length == count]
    form = world.pick(["name", "list", "sum", "detach"])
    if form == "list":
        other = world.pick(alike)
        return [name, other], width + world.tokens[other][0], count
    if form == "sum":
        return {"sum": [name, *(other for other in alike if world.tokens[other] == (width, count))]}, width, count
    return ({"detach": name} if form == "detach" else name), width, count


def of_tokens(world: World) -> tuple[Data, int, int]:
    """An expert or block that reads tokens, its width, and its number of output tokens (0: rows)."""
    source, width, count = token_reference(world)
    queries = [name for name, wide in world.widths.items() if wide == width and not name.startswith("level")]
    kind = world.pick(["pool", "transformer", *(["target_attention"] * 2 if queries else [])])
    made: Data = {"kind": kind, "from": source}
    if kind == "pool":
        return made | world.maybe(how=["mean", "sum", "max", "last"]), width, 0
    if kind == "target_attention":
        own = world.maybe(units=[[], [2], [3, 2]], activation=["relu", "dice", "prelu"], normalize=["softmax"])
        return made | {"query": world.pick(queries), **own}, width, 0
    heads = world.pick([heads for heads in (1, 2, 3) if width % heads == 0])
    pool = world.maybe(pool=["mean", "max", "last"])
    own = world.maybe(layers=[2], hidden=[2], dropout=[0.5], positions=[False], activation=["gelu"])
    return made | {"heads": heads, **pool, **own}, width, 0 if pool else count


def of_fields(world: World) -> tuple[Data, int]:
    """A block that reads fields of one width, and its width."""
    able = {name: width for name, width in world.widths.items() if name not in {"inputs", "fields"}}
    width = world.pick(sorted(set(able.values())))
    names = [name for name, wide in able.items() if wide == width]
    fields: list[object] = [world.pick(names) for _ in range(world.number(1, 3))]
    fields[-1] = {"sum": [fields[-1], world.pick(names)]} if world.chance(30) else fields[-1]
    if world.chance(50):
        return {"kind": "fm", "from": fields}, width
    own = world.maybe(layers=[1], scaled=[True])
    return {"kind": "fields_attention", "dim": 2, "from": fields, **own}, 2 * len(fields)
