"""The progress of commands: a bar on a terminal, lines, lines of JSON, or nothing."""

from __future__ import annotations

import io
import json
import os
import re
import select
import subprocess
import sys
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

import click
import pytest
import torch
from click.testing import CliRunner

from archspec.cli import options
from archspec.cli.app import archspec
from archspec.cli.progress import Display
from archspec.diagnostics import Diagnostic
from archspec.runs.checkpoints import Epoch, Step
from tests.cli.conftest import ROOT, TINY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

METRICS = {"validation/loss": 0.5, "validation/click/auc": None}
JSON = ["--json", "--progress", "json"]
LONG = ["--epochs", "1000", "--patience", "0"]


class Terminal(io.StringIO):
    """A terminal that records what is written to it."""

    def isatty(self) -> bool:
        """Always true."""
        return True


def screen(text: str) -> list[str]:
    """The final content of a terminal, after cursor moves and erased lines."""
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


def session(display: Display) -> None:
    """The whole output of a run."""
    with display:
        display.rows("looking at values", 65_536)
        display.rows("encoding", 65_536)
        display.say("90 rows to train on")
        for epoch in (1, 2):
            for step in (1, 2, 3):
                display.step(Step(epoch, 2, step, 3, torch.tensor(step / 4)))
            display.warn([Diagnostic("AS736", f"no value in {epoch}", severity="warning")])
            display.epoch(Epoch(epoch, METRICS, kept=True, line=f"epoch {epoch}: fine"))


@contextmanager
def asked(*words: str) -> Iterator[None]:
    """Inside a command that was called with these options."""

    @options.shown
    def nothing() -> None: ...

    with click.command(nothing).make_context("x", list(words)):
        yield


def clock(seconds: float) -> Callable[[], float]:
    """A clock that moves on by this much whenever it is read."""
    times = count()
    return lambda: next(times) * seconds


def test_lines_are_never_glued_to_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the bar is drawn below complete lines, and is erased at the end."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    session(Display(30))
    assert "epoch 2/2, step 3/3" in terminal.getvalue()
    assert "encoding: 65,536 rows" in terminal.getvalue()
    assert screen(terminal.getvalue()) == [
        "90 rows to train on", "warning[AS736]: no value in 1", "epoch 1: fine", "warning[AS736]: no value in 2",
        "epoch 2: fine",
    ]  # fmt: skip


def test_what_others_print_is_not_glued_to_the_bar_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning of a library, printed while the bar is there, becomes a line of its own above it."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    with Display(30) as display:
        for step in (1, 2, 3):
            display.step(Step(1, 1, step, 3, torch.tensor(0.5)))
            sys.stderr.write(f"UserWarning: [step] {step}\n")
    assert sys.stderr is terminal
    assert screen(terminal.getvalue()) == [f"UserWarning: [step] {step}" for step in (1, 2, 3)]


@pytest.mark.parametrize("case", ["pipe", "dumb"])
def test_where_there_is_no_terminal_there_are_lines_alone(monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    """In a file or on a dumb terminal only lines are written, even if FORCE_COLOR asks for colours."""
    stream = io.StringIO() if case == "pipe" else Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm" if case == "pipe" else "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    session(Display(30))
    assert stream.getvalue().splitlines() == screen(stream.getvalue())
    assert len(stream.getvalue().splitlines()) == 5


def test_the_bar_shows_the_mean_loss_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the bar are rows per second, the mean loss since it was last drawn, and the time until the last step."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with Display(30, clock(0.02)) as display:
        for step in range(1, 11):
            display.step(Step(1, 2, step, 10, torch.tensor(float(step))))
    shown = re.findall(r"step (\d+)/10[^\r]*?rows/s, loss ([0-9.]+), (0:00:\d\d) left", terminal.getvalue())
    means = {int(step): float(loss) for step, loss, _ in shown}
    drawn = [1, *means]
    assert 3 <= len(means) < 9  # not after each of ten steps: they are too close together
    assert drawn[-1] == 10
    assert all(means[now] == (before + 1 + now) / 2 for before, now in pairwise(drawn))


def test_a_line_every_half_minute_where_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal, long epochs are not silent: a line shows the step, the speed, the loss and the time left."""
    display = Display(100, clock(5))
    for step in range(1, 21):
        display.step(Step(1, 1, step, 100, torch.tensor(0.25)))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6  # 20 steps of 10 seconds
    assert all(
        re.fullmatch(r"epoch 1/1, step \d+/100, \d+ rows/s, loss 0.2500, 0:\d\d:\d\d left", line) for line in lines
    )


def test_every_line_of_json_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    """With `--progress json` standard error has an object per line; their keys are those of docs/training.md."""
    with asked("--progress", "json"):
        session(Display(30, clock(0.5)))
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [one["event"] for one in found if one["event"] != "step"] == [
        "rows", "rows", "message", "finding", "epoch", "finding", "epoch",
    ]  # fmt: skip
    steps = [one for one in found if one["event"] == "step"]
    assert [(one["epoch"], one["step"]) for one in steps if one["step"] in {1, 3}] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    assert set(steps[0]) == {"event", "epoch", "epochs", "step", "steps", "loss", "rows_per_second", "seconds_left"}
    assert steps[-1]["seconds_left"] == 0
    assert steps[-1]["rows_per_second"] > 0
    assert found[0] == {"event": "rows", "stage": "looking at values", "rows": 65_536, "rows_per_second": None}
    epoch = found[-1]
    assert epoch["metrics"] == METRICS
    assert (epoch["epoch"], epoch["kept"]) == (2, True)
    documented = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in documented for one in found if one["event"] != "finding" for key in one)


@pytest.mark.parametrize("words", [("--quiet",), ("--progress", "none")])
def test_nothing_is_shown_if_nothing_is_wanted(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """`--progress none` leaves the warnings, `--quiet` not even those."""
    with asked(*words):
        session(Display(30))
    shown = capsys.readouterr().err.splitlines()
    assert shown == ([] if "--quiet" in words else [f"warning[AS736]: no value in {epoch}" for epoch in (1, 2)])


def test_a_bar_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """`--progress bar` in a pipe writes lines, not control characters."""
    with asked("--progress", "bar"):
        session(Display(30))
    assert "\x1b" not in capsys.readouterr().err


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """The folder with a spec and a file of rows for it."""
    (tmp_path / "tiny.yaml").write_text(TINY.replace("dim: 4", "dim: 1"))
    lines = "".join(f"{i % 7 / 3},{int(i % 7 > 3)}\n" for i in range(4000))
    (tmp_path / "rows.csv").write_text("x,click\n" + lines)
    return tmp_path


def test_results_and_progress_do_not_mix(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--json --progress json`, standard output is one document, and standard error has an object per line."""
    monkeypatch.chdir(rows)
    ran = CliRunner().invoke(archspec, ["train", "tiny.yaml", "--data", "rows.csv", "--epochs", "2", *JSON])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["epoch"] in {1, 2}
    events = [json.loads(line)["event"] for line in ran.stderr.splitlines()]
    assert events.count("epoch") == 2
    assert {"rows", "message", "step"} <= set(events)
    for words in (["evaluate"], ["importance", "--repeats", "1"]):
        ran = CliRunner().invoke(archspec, [*words, "runs/tiny", "--data", "rows.csv", *JSON])
        assert json.loads(ran.stdout)
        assert {json.loads(line)["event"] for line in ran.stderr.splitlines()} == {"rows"}
    ran = CliRunner().invoke(archspec, ["predict", "runs/tiny", "--data", "rows.csv", "-o", "-", *JSON[1:]])
    assert len(ran.stdout.splitlines()) == 4001
    assert json.loads(ran.stderr.splitlines()[-1]) == {"event": "message", "text": "4,000 rows"}
    ran = CliRunner().invoke(archspec, ["predict", "nowhere", "--data", "rows.csv", "-o", "-", *JSON[1:]])
    assert (ran.exit_code, json.loads(ran.stderr)["code"]) == (2, "AS708")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_ctrl_c_on_a_terminal_leaves_it_tidy(rows: Path) -> None:
    """The bar shows the run; Ctrl-C removes it, shows the cursor again, and the last line is the hint."""
    import pty

    here, there = pty.openpty()
    train = [sys.executable, "-m", "archspec", "train", "tiny.yaml", "--data", "rows.csv", "--batch", "4", *LONG]
    # A session's first terminal becomes its own, and Ctrl-C there sends it a signal.
    words = ["sh", "-c", f'exec "$@" <>{os.ttyname(there)} 2>&0', "sh", *train]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    quiet, text, pressed = subprocess.DEVNULL, "", False
    with subprocess.Popen(words, cwd=rows, stdout=quiet, env=environment, start_new_session=True) as process:
        last_resort = Timer(120, process.kill)
        last_resort.start()
        while (part := received(here)) or process.poll() is None:
            text += part
            if not pressed and "loss" in text and "epoch 2/" in text:
                os.write(here, b"\x03")  # as the keyboard does: the terminal sends the signal
                pressed = True
        last_resort.cancel()
    assert process.returncode == 130
    os.close(there)
    os.close(here)
    assert re.search(r"epoch 1/1000, step [0-9,]+/[0-9]+ .*rows/s, loss 0\.\d{4}, \d+:\d\d:\d\d left", text)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again
    lines = screen(text.replace("^C", ""))
    assert lines[-1] == "interrupted: to continue the run in runs/tiny, add --resume to the same command"
    assert not [line for line in lines if "rows/s" in line]


def received(terminal: int) -> str:
    """What was written to a terminal within a tenth of a second."""
    ready, _, _ = select.select([terminal], [], [], 0.1)
    return os.read(terminal, 65_536).decode(errors="replace") if ready else ""


def test_the_other_processes_are_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With --devices only one process prints."""
    monkeypatch.setenv("LOCAL_RANK", "1")
    session(Display(30))
    assert capsys.readouterr().err == ""
