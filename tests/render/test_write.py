"""Renderers, files, and the other formats."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

import pytest

from archspec.diagnostics import SpecError
from archspec.render import draw, render
from tests.render import graphs

if TYPE_CHECKING:
    from pathlib import Path

DRAW = sys.modules["archspec.render.draw"]


def code(problem: pytest.ExceptionInfo[SpecError]) -> str:
    """The code of the one diagnostic."""
    (diagnostic,) = problem.value.diagnostics
    return diagnostic.code


def script(folder: Path, text: str) -> Path:
    """A program that stands in for a renderer."""
    path = folder / "renderer"
    path.write_text(f"#!{sys.executable}\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.svg", b"<?xml"), ("a.PNG", b"\x89PNG"), ("a.dot", b"digraph"), ("a.mmd", b"%% ple\nflowchart BT"),
     ("a.txt", b"ple  Progressive")],
)  # fmt: skip
def test_the_ending_names_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    """Each known ending, in any case, gives a whole file of that format."""
    render(graphs.ple(), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_png_is_sharp_enough_to_print() -> None:
    """The picture of PLE is about five inches wide at 144 dots each."""
    width, height = struct.unpack(">II", draw("digraph { a [width=5, height=2, fixedsize=true] }", "png")[16:24])
    assert (width // 100, height // 100) == (7, 3)


def test_an_unknown_ending_lists_the_known(tmp_path: Path) -> None:
    """`.jpg` is refused before anything is drawn, and the refusal says what works."""
    with pytest.raises(SpecError, match=r"\.svg, \.png, \.pdf, \.dot, \.mmd, \.txt") as problem:
        render(graphs.ple(), tmp_path / "figure.jpg")
    assert code(problem) == "AS604"
    assert not list(tmp_path.iterdir())


def test_without_a_renderer_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither program found: install one, or take a format that needs none."""
    monkeypatch.setattr(DRAW.shutil, "which", lambda *_, **__: None)
    with pytest.raises(SpecError, match="pip install graphviz-pure") as problem:
        draw("digraph {}", "svg")
    assert code(problem) == "AS601"
    with pytest.raises(SpecError, match="install Graphviz for its `dot`") as problem:
        draw("digraph {}", "pdf")
    assert code(problem) == "AS601"


@pytest.mark.parametrize(
    ("program", "said"),
    [("import sys; sys.exit('no good')", "no good"), ("print('nothing')", "ended with status 0"),
     ("import os; os.kill(os.getpid(), 9)", "signal 9")],
)  # fmt: skip
def test_a_renderer_that_fails_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    """A crash, an error and a wrong answer are one diagnostic with what the program said, and no file."""
    path = script(tmp_path, f"import sys; sys.stdin.read(); {program}")
    monkeypatch.setattr(DRAW, "_find", lambda _: str(path))
    with pytest.raises(SpecError, match=said) as problem:
        render(graphs.ple(), tmp_path / "a.svg")
    assert code(problem) == "AS602"
    assert not (tmp_path / "a.svg").exists()


def test_a_renderer_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time limit the renderer is ended and the error says what to try."""
    monkeypatch.setattr(DRAW, "_find", lambda _: str(script(tmp_path, "import time; time.sleep(60)")))
    monkeypatch.setattr(DRAW, "SECONDS", 0.2)
    with pytest.raises(SpecError, match="collapse") as problem:
        draw("digraph {}", "svg")
    assert code(problem) == "AS603"


def test_a_renderer_that_cannot_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a program in it is an error like any other."""
    monkeypatch.setattr(DRAW, "_find", lambda _: str(tmp_path / "absent"))
    with pytest.raises(SpecError, match="cannot be started") as problem:
        draw("digraph {}", "svg")
    assert code(problem) == "AS602"


def test_mermaid_keeps_markup_as_text(tmp_path: Path) -> None:
    """Words of a spec cannot end a Mermaid label or bring in a tag."""
    graph = graphs.mmoe()
    graph.nodes["towers.ctr"]["title"] = '"]<script>\n--> x'
    render(graph, tmp_path / "a.mmd")
    text = (tmp_path / "a.mmd").read_text(encoding="utf-8")
    assert "#quot;]#lt;script#gt; --#gt; x" in text
    assert "<script>" not in text


def test_text_names_what_each_thing_reads(tmp_path: Path) -> None:
    """The tree for a terminal holds the routing."""
    render(graphs.ple(), tmp_path / "a.txt")
    lines = (tmp_path / "a.txt").read_text(encoding="utf-8").splitlines()
    assert "│  ├─ gate ctr  ← experts ctr, experts shared" in lines
    assert "│  └─ gate shared  ← experts ctr, experts cvr, experts shared" in lines
    assert "   └─ cvr  ← tower cvr" in lines
