"""Serves the page of a spec on this machine while the spec is edited: it reloads when a file changes."""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archspec.diagnostics import SpecError, render
from archspec.page.html import broken_page, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.graph.graph import Graph

HOST: Final = "127.0.0.1"
"""Only this machine can connect."""


class Watched:
    """A spec and its page: made again when one of its files changes.

    While the spec has errors, the page shows them above the last figure without errors.

    Args:
        spec: the path of the spec.
        load: reads and checks it; raises SpecError.
    """

    def __init__(self, spec: str, load: Callable[[], Graph]) -> None:
        self.spec, self.load = spec, load
        self.version = 0
        self._lock = threading.Lock()
        self._stamps: dict[str, tuple[int, int] | None] = {}
        self._good: Graph | None = None
        self.text = ""
        self.problems = ""

    def look(self) -> int:
        """Makes the page if a file has changed since the last look; returns the version of the page."""
        with self._lock:
            if not self._stamps or any(_stamp(name) != stamp for name, stamp in self._stamps.items()):
                self._make()
            return self.version

    def _make(self) -> None:
        before = {name: _stamp(name) for name in (self._stamps or {self.spec: None})}
        try:
            graph = self._good = self.load()
            self.problems = ""
            self.text = page(graph, live=True)
            names = {self.spec, *(node.block.place.file for node in graph.nodes.values())}
        except SpecError as error:
            self.problems = render(error.diagnostics, "full")
            good = self._good
            name = Path(self.spec).stem
            self.text = page(good, live=True, problems=self.problems) if good else broken_page(name, self.problems)
            names = {*before, *(item.span.file for item in error.diagnostics if item.span)}
        self._stamps = {name: before.get(name, _stamp(name)) for name in names}
        self.version += 1


def _stamp(name: str) -> tuple[int, int] | None:
    """When a file was changed, and its size; None if there is none."""
    try:
        found = Path(name).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


class _Server(ThreadingHTTPServer):
    """Waits for its requests when it is closed."""

    daemon_threads = False


def serve(spec: str, load: Callable[[], Graph], port: int = 0) -> tuple[ThreadingHTTPServer, Watched]:
    """A server for the page of a spec, which has not begun to serve: call `serve_forever()`.

    Args:
        spec: the path of the spec.
        load: reads and checks it; raises SpecError.
        port: the port; 0 takes a free one, which `server.server_address` then holds.

    Raises:
        OSError: the port is taken.
    """
    watched = Watched(spec, load)

    class Handler(BaseHTTPRequestHandler):
        """Answers `/` with the page and `/version` with its number."""

        timeout = 2.0  # a browser may connect in advance, and send nothing

        def do_GET(self) -> None:
            """Answers a request of this machine's browser; one under another host's name is refused."""
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            if host not in {HOST, "localhost"}:
                self.send_error(HTTPStatus.FORBIDDEN)
                return
            version = watched.look()
            match self.path.partition("?")[0]:
                case "/":
                    self.answer(watched.text, "text/html; charset=utf-8")
                case "/version":
                    self.answer(str(version), "text/plain; charset=utf-8")
                case _:
                    self.send_error(HTTPStatus.NOT_FOUND)

        def answer(self, text: str, kind: str) -> None:
            """Sends a text."""
            body = text.encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: object) -> None:
            """Prints nothing for requests."""

    return _Server((HOST, port), Handler), watched
