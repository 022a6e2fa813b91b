"""`archspec view`: the page of a spec in a browser, while the spec is edited."""

from __future__ import annotations

import webbrowser

import click

from archspec.cli import options
from archspec.cli.messages import warn
from archspec.diagnostics import SpecError


@click.command()
@options.spec
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port to serve on. [default: any]")
@click.option("--no-browser", is_flag=True, help="Do not open a browser; print the address only.")
def view(spec: str, plugins: tuple[str, ...], overrides: tuple[str, ...], port: int, *, no_browser: bool) -> None:
    """Show a spec's page in the browser while you edit it.

    Serves this machine only. The page reloads when a file of the spec is saved; while the spec has errors, it shows
    them above the last good figure. Ctrl-C ends it.
    """
    from archspec.page import serve

    if spec == "-":
        raise click.UsageError("`view` watches a file, and `-` is standard input: name the spec's file")
    try:
        warn(options.load(spec, plugins, overrides).spec.diagnostics)
    except SpecError as error:
        if error.status != 1:  # the file cannot be read
            raise
        warn(error.diagnostics)  # the page shows them until they are corrected
    try:
        server, _ = serve(spec, lambda: options.load(spec, plugins, overrides), port)
    except OSError as error:
        raise click.UsageError(f"port {port} cannot be used: {error.strerror}; leave out `--port`") from error
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    click.echo(address)
    if not no_browser:
        webbrowser.open(address)
    with server:
        server.serve_forever()
