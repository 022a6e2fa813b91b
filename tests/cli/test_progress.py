"""The bar of a run, and its lines."""

from __future__ import annotations

import io
import sys

import pytest
import torch

from archspec.cli.progress import ProgressBar
from archspec.diagnostics import Diagnostic
from archspec.runs.checkpoints import Step


class Terminal(io.StringIO):
    """A terminal that keeps what it is given."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def screen(text: str) -> list[str]:
    """What a terminal shows in the end: cursor moves and erased lines applied."""
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
    """A run, with its whole output."""
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
    """On a terminal the bar is drawn, below whole lines, and is gone in the end."""
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
    """Into a file, or on a dumb terminal, nothing but lines is written, whatever FORCE_COLOR says of colours."""
    stream = io.StringIO() if case == "pipe" else Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm" if case == "pipe" else "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    session(ProgressBar(30))
    assert stream.getvalue().splitlines() == screen(stream.getvalue())
    assert len(stream.getvalue().splitlines()) == 5


def test_the_other_processes_are_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With --devices one process speaks."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    session(ProgressBar(30))
    assert capsys.readouterr().err == ""
