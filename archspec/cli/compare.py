"""`archspec diff`: the differences between two specs."""

from __future__ import annotations

import json
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import click

from archspec.cli import completion, options
from archspec.cli.messages import say, warn
from archspec.cli.tables import Column, number, table
from archspec.wrapping import WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.compiler.comparison import Comparison, OldWeights
    from archspec.graph.graph import Graph

NAMED: Final = 2
"""At most this many weights and nodes are named; the others are counted."""

SEVERAL: Final = 4
"""If a setting changes in more ways than this, a few are listed and the others counted; `--json` has all."""


@click.command()
@click.argument("old", shell_complete=completion.spec_files)
@click.argument("new", shell_complete=completion.spec_files)
@options.plugins
@options.findings
@click.option(
    "--render", "picture", metavar="FILE",
    help="Draw both specs in one figure that marks what was added, removed and changed: .svg, .png or .pdf.",
)  # fmt: skip
@options.as_json
def diff(old: str, new: str, plugins: tuple[str, ...], picture: str | None, *, as_json: bool) -> int:
    """Print how two specs differ in meaning.

    Prints each change once, in words, with all places where it occurs; then the parameters and FLOPs before and after,
    and which weights saved for OLD still load into NEW, by name and shape.

    Comments, and other anchors, variables and defaults that lead to the same network, are ignored. Prints nothing if
    the specs mean the same; exits with status 1 if they differ.
    """
    from archspec.compiler.comparison import compare

    if old == new == "-":
        raise click.UsageError("only one of the two specs can be standard input")
    before, after = (options.load(spec, plugins, ()) for spec in (old, new))
    for graph in (before, after):
        warn(graph.spec.diagnostics)
    found = compare(before, after)
    if picture is not None:
        _draw(before, after, found, picture)
    differs = bool(found.renamed or found.changes)
    if as_json:
        say(json.dumps(found.model_dump(mode="json"), indent=2))
    elif differs:
        say("\n".join(_text(found)))
    return int(differs)


def _draw(before: Graph, after: Graph, found: Comparison, path: str) -> None:
    """Draws both specs in one figure, and prints its path to standard error."""
    from archspec.files import ending_of, write_whole
    from archspec.graph.export import build_graph
    from archspec.render import FORMATS, TEXTS, drawing, encode
    from archspec.render.changes import united

    ending = ending_of(path, [ending for ending in FORMATS if ending not in TEXTS])
    changed = {node.node for node in found.nodes.changed if node.settings}
    old, new = build_graph(before.spec), build_graph(after.spec)
    made = drawing(united(old, new, renamed=found.renamed, changed=changed))
    warn(made.findings)
    write_whole(path, encode(made, ending))
    click.echo(path, err=True)


def _text(found: Comparison) -> Iterator[str]:
    """The differences for people, 80 columns wide."""
    for old, new in found.renamed.items():
        yield f"renamed  `{old}` to `{new}`"
    for _, run in groupby(found.changes, lambda change: (change.how, change.setting)):
        alike = list(run)
        if alike[0].setting and len(alike) > SEVERAL:
            texts = [change.text.removeprefix(f"`{change.setting}` of ") for change in alike]
            texts = [f"`{alike[0].setting}` in {len(alike)} ways: {_some(texts)}"]
        else:
            texts = [change.text for change in alike]
        for text in texts:
            yield from _wrapped(f"{alike[0].how:<9}{text}", 11)
    follow: dict[str, list[str]] = {}
    for node in (node for node in found.nodes.changed if not node.settings):
        follow.setdefault(f"{number(node.old_width)} -> {number(node.new_width)}", []).append(node.node)
    for widths, nodes in follow.items():
        yield from _wrapped(f"follows  width of {_some(nodes)}: {widths}", 11)
    yield ""
    yield from _costs(found)
    yield ""
    yield from _weights(found.weights)


def _wrapped(text: str, indent: int) -> list[str]:
    return wrap(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _costs(found: Comparison) -> list[str]:
    columns = [Column(""), *(Column(heading, numbers=True) for heading in ("old", "new", "change", ""))]
    old, new = found.old, found.new
    rows = [("parameters", old.parameters, new.parameters), ("  tables", old.tables, new.tables)]
    rows.append(("FLOPs/row", old.flops, new.flops))
    return table(columns, [(name, number(a), number(b), *_gain(a, b)) for name, a, b in rows])


def _gain(old: int | None, new: int | None) -> tuple[str, str]:
    """The difference of two numbers, also in percent of the old one."""
    if old is None or new is None or old == new:
        return ("", "")
    return (f"{new - old:+,}", f"{(new - old) / old:+.1%}" if old else "")


def _weights(found: OldWeights) -> Iterator[str]:
    count = len(found.load) + len(found.reshaped) + len(found.unused)
    which = "all" if len(found.load) == count else f"{len(found.load)} of"
    yield from _wrapped(
        f"old weights: {which} {count} load, by name and shape ({found.loaded:,} of {found.saved:,} numbers)", 2
    )
    shapes = [f"{one.weight} {_shape(one.old)} -> {_shape(one.new)}" for one in found.reshaped]
    for words, names in (("of another shape", shapes), ("unused", found.unused), ("new", found.missing)):
        if names:
            yield from _wrapped(f"  {len(names)} {words}: {_some(names)}", 4)
    if found.unknown:
        yield from _wrapped(
            f"  not compared, because only a plugin's module knows them: the weights of {_some(found.unknown)}", 4
        )
    if shapes:
        yield from _wrapped(
            "  `archspec train --from` and `archspec.migrate` move weights, and grow gates and tables; "
            "`load_weights(..., strict=False)` requires equal shapes",
            4,
        )


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _some(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
