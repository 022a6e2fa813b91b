"""Turns DOT text into the bytes of a picture, with a renderer that runs as a separate program."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final, Literal, NoReturn

from archspec.diagnostics import Note, unusable

Format = Literal["svg", "png", "pdf"]

SECONDS: Final = 120  # most time for one figure; a thousand nodes take 7 s as PNG
DOTS_PER_INCH: Final = 144
BEGINNINGS: Final = {"svg": (b"<?xml", b"<svg"), "png": (b"\x89PNG",), "pdf": (b"%PDF",)}

BUNDLED: Final = "graphviz-pure"
SYSTEM: Final = "dot"


def draw(dot: str, format: Format) -> bytes:
    """The picture of a DOT text.

    `graphviz-pure`, which is installed with archspec, draws SVG and PNG. PDF requires the `dot` of a system Graphviz,
    which is also used if graphviz-pure is missing.

    Raises:
        SpecError: AS601 without a renderer (the help says what to install), AS602 if it fails, AS603 if it takes too
            long.
    """
    program = _find(format)
    command = [program, f"-T{format}", *([f"-Gdpi={DOTS_PER_INCH}"] if format == "png" else [])]
    try:
        done = subprocess.run(  # noqa: S603 a renderer of this machine, with arguments written here
            command, input=dot.encode(), capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        unusable(
            "AS603",
            f"`{program}` took longer than {SECONDS} seconds for this figure",
            help="fold large groups with a smaller `collapse`, or write DOT (.dot) and lay it out elsewhere",
        )
    except OSError as problem:
        unusable("AS602", f"`{program}` cannot be started: {problem.strerror or problem}", help=_advice(format))
    # If the renderer prints warnings (about fonts) and a picture, it has succeeded.
    if done.returncode != 0 or not done.stdout.startswith(BEGINNINGS[format]):
        _failed(program, done)
    return done.stdout


def _find(format: Format) -> str:
    system = shutil.which(SYSTEM)
    found = system if format == "pdf" else _bundled() or system
    if found is None:
        unusable("AS601", f"no program found that draws {format.upper()}", help=_advice(format))
    return found


def _bundled() -> str | None:
    """graphviz-pure of this environment, then of the PATH: it is a program, not a module that can be imported."""
    folders = dict.fromkeys((sysconfig.get_path("scripts"), str(Path(sys.executable).parent)))
    places = (shutil.which(BUNDLED, path=folder) for folder in folders)
    return next((place for place in places if place), None) or shutil.which(BUNDLED)


def _advice(format: Format) -> str:
    if format == "pdf":
        return "install Graphviz for its `dot` (`apt install graphviz`, `brew install graphviz`); SVG and PNG need none"
    return f"`pip install {BUNDLED}`, or install Graphviz; a .dot or .mmd file needs neither"


def _failed(program: str, done: subprocess.CompletedProcess[bytes]) -> NoReturn:
    said = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
    how = f"ended with signal {-done.returncode}" if done.returncode < 0 else f"ended with status {done.returncode}"
    unusable(
        "AS602",
        f"`{program}` drew nothing: it {how}",
        notes=[Note(f"it said: {line}") for line in said],
        help="this is not a fault of the spec; a .dot file can still be written and drawn elsewhere",
    )
