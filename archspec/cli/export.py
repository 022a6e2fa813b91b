"""`archspec export`: a model as files that other programs serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archspec.cli import options
from archspec.cli.extras import need

if TYPE_CHECKING:
    from archspec.serving.formats import Format


@click.command()
@click.argument("source", metavar="RUN_OR_SPEC")
@click.option(
    "--to", type=click.Choice(["onnx", "torch-export", "aoti"]), default="onnx", show_default=True,
    help="ONNX; an ExportedProgram of torch.export; a library that AOTInductor compiles for this machine.",
)  # fmt: skip
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Where to write the files.")
@options.tasks
@click.option("--gates", is_flag=True, help="Also output the weights of every gate.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the random weights of a spec."
)
@options.plugins
def export(  # noqa: PLR0913, PLR0917 - one argument per option
    source: str, to: Format, output: str, tasks: tuple[str, ...], seed: int, plugins: tuple[str, ...], *, gates: bool
) -> None:
    """Write a model as files that other programs serve.

    RUN_OR_SPEC is a folder of `archspec train`, or a spec. Writes predictions by name from inputs by name, for any
    number of rows; for a run also its encoding as JSON and, with ONNX, a program that scores rows with both. The files
    are loaded again and compared with the model. Prints their paths.
    """
    need("lightning", "pyarrow", "torchmetrics")
    from archspec.serving.export import export as write

    found = write(source, to, output, gates=gates, tasks=tasks, plugins=plugins, seed=seed)
    for path in found.files:
        click.echo(path)
    click.echo(f"largest difference to the model: {found.difference:.1e}", err=True)
