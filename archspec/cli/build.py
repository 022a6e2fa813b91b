"""`archspec build`: one PyTorch file per spec."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import click

from archspec.cli import options
from archspec.cli.messages import report
from archspec.cli.output import FOLDER, STDOUT, put, targets
from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from archspec.compiler.compile import Built, Precision
    from archspec.compiler.tune import Plan
    from archspec.graph.graph import Graph

WHERE = f"File or folder to write to; `-` is standard output. [default: {FOLDER}/NAME.py]"


def batch_sizes(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, ...]:
    """Parses a list of numbers such as `16,256`. Raises BadParameter for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"`{text}` is not a list of row counts such as `16,256,2048`")
    return tuple(int(part) for part in parts)


@click.command()
@options.specs
@click.option("-o", "--output", metavar="FILE_OR_FOLDER", help=WHERE)
@options.tasks
@click.option("--plain", is_flag=True, help="Do not optimise: the file is a literal translation of the spec.")
@click.option(
    "--explain", is_flag=True, help="Print the program before and after, what was rewritten, and what was not, and why."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="bf16: round the factors of matmuls to bfloat16, and print the largest resulting difference.",
)
@click.option(
    "--tune", is_flag=True, help="Measure every matmul on this machine, and write the fastest method into the file."
)
@click.option(
    "--batch",
    default="16,256,2048",
    show_default=True,
    metavar="ROWS,...",
    callback=batch_sizes,
    help="Batch sizes to tune for.",
)
@click.option(
    "--separate",
    multiple=True,
    metavar="NAME",
    help="A block whose weights get parameters of their own, by canonical name, such as towers.ctr. May be repeated.",
)
def build(  # noqa: PLR0913, PLR0917 - one argument per option
    specs: tuple[str, ...],
    plugins: tuple[str, ...],
    overrides: tuple[str, ...],
    output: str | None,
    tasks: tuple[str, ...],
    precision: Precision,
    batch: tuple[int, ...],
    separate: tuple[str, ...],
    *,
    plain: bool,
    explain: bool,
    tune: bool,
) -> None:
    """Compile specs to one PyTorch file each.

    The files need only torch, and the plugins that the specs use. A folder means all specs below it. Prints the
    paths of the files.
    """
    from archspec.compiler.compile import build as compiled
    from archspec.program.nodes import UnknownBlockError

    graphs = [options.load(spec, plugins, overrides) for spec in specs]
    warnings = [graph.spec.diagnostics for graph in graphs]
    if tasks:
        from archspec.graph.only import only

        graphs = [only(graph, tasks) for graph in graphs]
    paths = targets(output, [f"{graph.spec.name}.py" for graph in graphs], (*specs, *plugins))
    for graph, path, found in zip(graphs, paths, warnings, strict=True):
        report(found)
        try:
            plan = measured(graph, batch, separate, optimize=not plain) if tune else None
            built = compiled(graph, optimize=not plain, precision=precision, plan=plan, separate=separate)
        except UnknownBlockError as error:
            unusable("AS745", f"`--separate`: {error}", help="`archspec summary SPEC` lists the names of all blocks")
        report(built.plain.findings)
        if explain:
            click.echo(explanation(built), err=path == STDOUT)
        if precision != "fp32":
            difference = largest_difference(graph, built, optimize=not plain)
            click.echo(
                f"{graph.spec.name}: the largest difference from fp32 on random input is {difference:.1e}", err=True
            )
        put(path, built.source, output, len(graphs))


def measured(graph: Graph, batch: tuple[int, ...], separate: tuple[str, ...], *, optimize: bool) -> Plan:
    """The plan for a graph's matmuls on this machine; prints its findings."""
    from archspec.compiler.compile import build as compiled
    from archspec.compiler.tune import measure

    plan = measure(compiled(graph, optimize=optimize, separate=separate).lowered.forward, batch)
    click.echo(f"{graph.spec.name}: microseconds forward and backward, * chosen\n{plan}", err=True)
    return plan


def largest_difference(graph: Graph, built: Built, *, optimize: bool) -> float:
    """The largest difference between a built model's outputs and those in fp32, on random input."""
    from archspec.compiler.compile import build as compiled
    from archspec.compiler.compile import instantiate
    from archspec.nn.measure import largest_difference as between
    from archspec.nn.measure import random_batch

    exact = instantiate(compiled(graph, optimize=optimize), seed=0)
    return between(exact, instantiate(built, seed=0), random_batch(built.lowered.of_batch(), 256))


def explanation(built: Built) -> str:
    """The compiler's report, as text."""
    before, after = built.plain.forward, built.lowered.forward
    sections = [
        (f"program of the spec: {len(before.ops)} operations", str(before)),
        (f"compiled program: {len(after.ops)} operations", str(after)),
        (f"rewritten: {len(built.rewrites)}", "\n".join(map(str, built.rewrites))),
        (f"not rewritten: {len(built.remarks)}", "\n".join(map(str, built.remarks))),
        ("cost", cost(built)),
    ]
    if built.plan is not None:
        sections.append(("lowerings: microseconds forward and backward on this machine, * chosen", str(built.plan)))
    return "\n".join(f"== {title}\n{text}\n" if text else f"== {title}\n" for title, text in sections)


def cost(built: Built) -> str:
    """FLOPs per row, and the size of the weights."""
    from archspec.compiler.count import count

    total = count(built.graph).known
    size = sum(prod(weight.shape) for weight in built.plain.forward.weights.values())
    return f"{total.flops:,} FLOPs per row; {size:,} weights and statistics, {4 * size:,} bytes in fp32"
