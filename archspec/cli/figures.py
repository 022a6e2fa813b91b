"""`archspec render`: figures of specs."""

from __future__ import annotations

import click

from archspec.cli import options
from archspec.cli.build import refuse_twice, target
from archspec.cli.messages import warn


@click.command()
@options.specs
@click.option(
    "-o", "--output", metavar="FILE_OR_FOLDER",
    help="Where to draw; the ending decides: .svg .png .pdf .dot .mmd .txt. [default: build/NAME.svg]",
)  # fmt: skip
@click.option("--selectors", is_flag=True, help="Draw also what decides the weights of each gate.")
@click.option(
    "--collapse", type=click.IntRange(min=1), metavar="N", help="Fold expert groups of more than N into one box."
)
def render(  # noqa: PLR0913 - one argument per option
    specs: tuple[str, ...],
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    output: str | None,
    *,
    selectors: bool,
    collapse: int | None,
) -> None:
    """Draw specs as figures.

    Levels, expert groups, gates and towers, with one hue per task. Prints the paths written.
    """
    from archspec.files import write_whole
    from archspec.graph.export import build_graph
    from archspec.render import FORMATS
    from archspec.render import render as drawn

    graphs = [options.load(spec, plugins, overrides) for spec in specs]
    targets = [target(output, f"{graph.spec.name}.svg", len(graphs)) for graph in graphs]
    refuse_twice(targets)
    for graph, path in zip(graphs, targets, strict=True):
        warn(graph.spec.diagnostics)
        figure = build_graph(graph.spec)
        if output is None:  # then the folder is archspec's own, and is made
            write_whole(path, FORMATS[".svg"](figure, selectors=selectors, collapse=collapse), parents=True)
        else:
            drawn(figure, path, selectors=selectors, collapse=collapse)
        click.echo(path)
