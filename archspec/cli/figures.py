"""`archspec render`: figures of specs."""

from __future__ import annotations

import click

from archspec.cli import options
from archspec.cli.messages import warn
from archspec.cli.output import STDOUT, put, targets


@click.command()
@options.specs
@click.option(
    "-o", "--output", metavar="FILE_OR_FOLDER",
    help="Where to draw; the ending decides: .svg .png .pdf .dot .mmd .txt; `-`: standard output. "
    "[default: build/NAME.svg]",
)  # fmt: skip
@click.option(
    "--format", "ending", type=click.Choice(["svg", "png", "pdf", "dot", "mmd", "txt"]),
    help="The format, where no file's ending names it. [default: svg]",
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
    ending: str | None,
    *,
    selectors: bool,
    collapse: int | None,
) -> None:
    """Draw specs as figures.

    Levels, expert groups, gates and towers, with one hue per task. A folder stands for all specs below it. Prints the
    paths of the figures.
    """
    from archspec.files import ending_of
    from archspec.graph.export import build_graph
    from archspec.render import FORMATS

    graphs = [options.load(spec, plugins, overrides) for spec in specs]
    paths = targets(output, [f"{graph.spec.name}.{ending or 'svg'}" for graph in graphs])
    endings = [f".{ending or 'svg'}" if path == STDOUT else ending_of(path, FORMATS) for path in paths]
    if ending is not None and (other := next((named for named in endings if named != f".{ending}"), None)):
        raise click.UsageError(f"`--format {ending}` and the ending `{other}` differ: drop one of them")
    for graph, path, named in zip(graphs, paths, endings, strict=True):
        warn(graph.spec.diagnostics)
        put(path, FORMATS[named](build_graph(graph.spec), selectors=selectors, collapse=collapse), output, len(graphs))
