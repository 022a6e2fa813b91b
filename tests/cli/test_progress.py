"""The progress bar of a run, and the lines that it prints."""

from __future__ import annotations

import io
import sys

import pytest
import torch

from archspec.cli.progress import ProgressBar
from archspec.diagnostics import Diagnostic
from archspec.runs.checkpoints import Step


class Terminal(io.StringIO):
    """A terminal that records what is written to it."""

    def isatty(self) -> bool:
        """Always true."""
        return True


def screen(text: str) -> list[str]:
    """The final content of a terminal, after cursor moves and erased lines."""
    import re

    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b"):
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b") and part != "\r":
            lines[row] += part
    return [line for line in lines if line]


def session(progress: ProgressBar) -> None:
    """The whole output of a run."""
    with progress:
        progress.rows("looking at values", 65_536)
        progress.rows("encoding", 65_536)
        progress.say("90 rows to train on")
        for epoch in (1, 2):
            for step in (1, 2, 3):
                progress.step(Step(epoch, 2, step, 3, torch.tensor(0.5)))
            progress.warn([Diagnostic("AS736", f"no value in {epoch}", severity="warning")])
            progress.say(f"epoch {epoch}: fine")


def test_lines_are_never_glued_to_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the bar is drawn below complete lines, and is erased at the end."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    session(ProgressBar(30))
    assert "epoch 2/2, step 3/3" in terminal.getvalue()
    assert "encoding: 65,536 rows" in terminal.getvalue()
    assert screen(terminal.getvalue()) == [
        "90 rows to train on", "warning[AS736]: no value in 1", "epoch 1: fine", "warning[AS736]: no value in 2",
        "epoch 2: fine",
    ]  # fmt: skip


@pytest.mark.parametrize("case", ["pipe", "dumb"])
def test_where_there_is_no_terminal_there_are_lines_alone(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """In a file or on a dumb terminal only lines are written, even if FORCE_COLOR asks for colours."""
    stream = io.StringIO() if case == "pipe" else Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm" if case == "pipe" else "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    session(ProgressBar(30))
    assert stream.getvalue().splitlines() == screen(stream.getvalue())
    assert len(stream.getvalue().splitlines()) == 5


def test_the_other_processes_are_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With --devices only one process prints."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    session(ProgressBar(30))
    assert capsys.readouterr().err == ""
