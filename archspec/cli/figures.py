"""`archspec render`: figures of specs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

from archspec.cli import options
from archspec.cli.extras import need
from archspec.cli.messages import warn
from archspec.cli.output import STDOUT, put, targets
from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import networkx as nx

    from archspec.graph.graph import Graph

POINTS: Final = {"cm": 72 / 2.54, "mm": 72 / 25.4, "in": 72.0, "pt": 1.0, "px": 0.75}
"""Units of a width, in points."""
DRAWN: Final = ("width", "detail", "theme", "focus", "trained_by", "annotate")
"""Options for drawn figures only."""
PAGE: Final = ".html"
"""The ending of a page."""
LEAST, MOST = 72.0, 14_400.0  # points: an inch, and the largest page that PDF has


class Length(click.ParamType):  # type: ignore[type-arg] # generic since click 8.3
    """A length such as `8.5cm` or `800px`, in points."""

    name = "length"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Converts to points. Raises BadParameter if it is not a length, or one that is too small or too large."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(cm|mm|in|pt|px)", str(value).strip())
        if found is None:
            self.fail(f"`{value}` is not a length: write a number and its unit, such as 8.5cm or 800px", param, ctx)
        points = float(found[1]) * POINTS[found[2]]
        if not LEAST <= points <= MOST:
            self.fail(f"`{value}` is not between 1 and 200 inches (96px and 19200px)", param, ctx)
        return points


@click.command()
@options.specs
@click.option(
    "-o", "--output", metavar="FILE_OR_FOLDER",
    help="File or folder to draw to; the format is that of the ending, .svg .png .pdf .html .dot .mmd .txt; `-` is "
    "standard output. "
    "[default: build/NAME.svg]",
)  # fmt: skip
@click.option(
    "--format", "ending", type=click.Choice(["svg", "png", "pdf", "html", "dot", "mmd", "txt"]),
    help="The format, if no file name ends in one. [default: svg]",
)  # fmt: skip
@click.option(
    "--width", type=Length(), metavar="LENGTH",
    help="Fold and scale the figure to a width, such as 8.5cm (a paper's column) or 800px.",
)  # fmt: skip
@click.option(
    "--detail", type=click.Choice(["paper", "full"]),
    help="full draws every expert and every task; paper folds those that are alike. [default: paper]",
)  # fmt: skip
@click.option("--theme", type=click.Choice(["light", "dark", "print"]), help="Colours. [default: light]")
@click.option(
    "--focus", metavar="task=NAME|node=NAME",
    help="Highlight what a task needs, or a node (level1.gates.ctr) with its neighbours; fade the rest.",
)  # fmt: skip
@click.option("--trained-by", metavar="TASK", help="Highlight what the loss of a task trains; fade the rest.")
@click.option(
    "--annotate", type=click.Choice(["params", "flops", "width"]),
    help="Write parameters, FLOPs per row or the width into each block.",
)  # fmt: skip
@click.option("--selectors", is_flag=True, help="Also draw selectors that are the stream of the gate's own experts.")
@click.option(
    "--collapse", type=click.IntRange(min=1), metavar="N", help="Fold expert groups of more than N into one box."
)
@click.option("--no-caption", is_flag=True, help="Leave out name and source, for papers that have their own captions.")
@click.option("--no-legend", is_flag=True, help="Leave out the explanation of the marks.")
@click.option("--run", metavar="RUN", help="Of a page (.html): show how this trained run's gates weigh their experts.")
def render(  # noqa: PLR0913, PLR0917 - one argument per option
    specs: tuple[str, ...],
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    output: str | None,
    ending: str | None,
    run: str | None,
    **chosen: Any,  # noqa: ANN401 - the other options, whose types click knows
) -> None:
    """Draw specs as figures.

    Levels, expert groups, gates and towers, with one hue and one sign per task. A folder means all specs below it.
    Prints the paths of the figures.
    """
    from archspec.files import ending_of
    from archspec.graph.export import build_graph
    from archspec.render import FORMATS

    known = (*FORMATS, PAGE)
    graphs = [options.load(spec, plugins, overrides) for spec in specs]
    paths = targets(output, [f"{graph.spec.name}.{ending or 'svg'}" for graph in graphs], (*specs, *plugins))
    endings = [f".{ending or 'svg'}" if path == STDOUT else ending_of(path, known) for path in paths]
    if ending is not None and (other := next((named for named in endings if named != f".{ending}"), None)):
        raise click.UsageError(f"`--format {ending}` and the ending `{other}` differ: remove one of them")
    wishes = _wishes(chosen, endings)
    if run is not None and (set(endings) != {PAGE} or len(graphs) > 1):
        raise click.UsageError("`--run` is for the page of one spec: write `-o NAME.html`")
    for graph, path, named in zip(graphs, paths, endings, strict=True):
        warn(graph.spec.diagnostics)
        if named == PAGE:
            made: str | bytes = _page(graph, run, plugins)
        else:
            exported = build_graph(graph.spec)
            if wishes.get("annotate") in {"params", "flops"}:
                _count(graph, exported)
            made = _drawn(exported, named, wishes)
        put(path, made, output, len(graphs))


def _wishes(chosen: Mapping[str, Any], endings: list[str]) -> dict[str, Any]:
    """The options as the renderer takes them. Raises UsageError for those that a text format has not."""
    from archspec.render import TEXTS

    if chosen["focus"] and chosen["trained_by"]:
        raise click.UsageError("use either `--focus` or `--trained-by`, not both")
    wishes = {key: value for key, value in chosen.items() if value is not None and not key.startswith("no_")}
    wishes["caption"] = not chosen["no_caption"]
    text = next((ending for ending in endings if ending in (*TEXTS, PAGE)), None)
    if text is None:
        return wishes | {"legend": not chosen["no_legend"]}
    unused: list[str] = [key for key in DRAWN if key in wishes]
    if unused := unused + ["no-legend"] * chosen["no_legend"]:
        raise click.UsageError(
            f"`--{unused[0].replace('_', '-')}` is for drawn figures (.svg, .png, .pdf), not for `{text}`"
        )
    return wishes


def _count(graph: Graph, exported: nx.MultiDiGraph[str]) -> None:
    """Gives each node its parameters and FLOPs."""
    from archspec.compiler.count import count

    for name, cost in count(graph).nodes.items():
        if name in exported:
            exported.nodes[name].update(params=cost.parameters, flops=cost.flops)


def _page(graph: Graph, run: str | None, plugins: tuple[str, ...]) -> str:
    """The page of a spec, with the mean gate weights of a run of the same spec. Raises SpecError for another run."""
    from archspec.page import page

    if run is None:
        return page(graph)
    need("lightning", "pyarrow", "torchmetrics")
    from archspec.runs.trained import load_run
    from archspec.train.gates import gate_statistics

    trained = load_run(run, plugins)
    if trained.graph.spec.digest != graph.spec.digest:
        unusable(
            "AS706", f"the run in `{run}` is of another spec than `{graph.spec.name}`",
            help=f"draw its own: `archspec render {run}/spec.yaml --run {run} -o NAME.html`",
        )  # fmt: skip
    return page(graph, gates=gate_statistics(trained.model, trained.validation(), trained.graph.spec))


def _drawn(graph: nx.MultiDiGraph[str], ending: str, wishes: dict[str, Any]) -> str | bytes:
    """The bytes of a figure; prints its diagnostics to standard error."""
    from archspec.render import FORMATS, TEXTS, drawing, encode

    if ending in TEXTS:
        return FORMATS[ending](graph, **wishes)
    made = drawing(graph, **wishes)
    warn(made.findings)
    return encode(made, ending)
