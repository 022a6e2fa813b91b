"""The command line as a process: start-up, signals, colours, completion."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from archspec import __version__
from archspec.cli import validate
from archspec.cli.app import archspec, run
from archspec.cli.messages import colored
from archspec.plugins import load

ROOT = Path(__file__).resolve().parents[2]
PLE = str(ROOT / "specs" / "ple.yaml")
COMMANDS = [
    "init", "validate", "build", "render", "view", "summary", "expand", "diff", "train", "predict", "evaluate",
    "export", "gates", "importance", "explain", "kinds", "schema",
]  # fmt: skip


def process(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m archspec` in the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "archspec", *arguments],
        cwd=ROOT, env=os.environ | options, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["validate", PLE], ["render", PLE, "-o", "-"]])
def test_starting_imports_nothing_heavy(arguments: list[str]) -> None:
    """Each command imports what it needs: only `render` imports networkx, and help neither pydantic nor yaml."""
    program = "import sys\nfrom archspec.cli import main\nstatus = main()\nprint(status, *sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", program, *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    status, *modules = result.stderr.splitlines()[-1].split()
    assert status == "0"
    assert {"torch", "rich", "numpy", "pyarrow", "lightning", "matplotlib"}.isdisjoint(modules)
    assert ("networkx" in modules) == (arguments[0] == "render")
    assert ("pydantic" in modules, "yaml" in modules) == (arguments[-1] != "--help",) * 2


@pytest.mark.parametrize(("size", "says"), [("1", "exit finalized"), ("2", "exit")])
@pytest.mark.parametrize(("word", "status"), [("--version", 0), ("--nope", 2)])
def test_one_of_several_processes_ends_without_finalization(size: str, says: str, word: str, status: int) -> None:
    """Its exit functions still run, and output and status are the same, but no thread of gloo can abort it any more."""
    program = """
import atexit, sys
class Witness:
    def __del__(self, write=sys.stderr.write): write("finalized ")
sys.witness = Witness()
from archspec.cli import main
status = main()
atexit.register(sys.stderr.write, "exit ")
sys.exit(status)
"""
    command = [sys.executable, "-c", program, word]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"WORLD_SIZE": size},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr.splitlines()[-1].split()) == (status, says.split())
    assert result.stdout == (f"archspec {__version__}\n" if word == "--version" else "")


def test_help_lists_all_commands() -> None:
    """Every command is listed with a sentence that fits on its line."""
    result = process("--help", COLUMNS="80")
    listed = [
        line.split(maxsplit=1) for line in result.stdout.partition("Commands:\n")[2].splitlines() if line[:2] == "  "
    ]
    assert [name for name, _ in listed[: len(COMMANDS)]] == COMMANDS
    assert [text for _, text in listed[: len(COMMANDS)] if not text.endswith(".") or "..." in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    """`archspec COMMAND --help` explains the command."""
    result = CliRunner().invoke(archspec, [command, "--help"])
    assert result.exit_code == 0
    assert f"Usage: archspec {command}" in result.stdout.replace("archspec-", "archspec ")


def test_the_checkout_runs_without_installing() -> None:
    """`python cli.py` runs the same command line."""
    command = [sys.executable, "cli.py", "validate", PLE]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, f"{PLE}: valid\n")


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["valdate"], 2), (["--version"], 0), (["validate", "-", "--nope"], 2)]
)
def test_usage(arguments: list[str], status: int) -> None:
    """Wrong usage exits with status 2, and never with a traceback."""
    result = process(*arguments)
    assert result.returncode == status
    assert "Traceback" not in result.stderr


def test_a_closed_pipe_is_quiet() -> None:
    """A reader that closes the pipe early, such as `head`, causes no error message."""
    command = [sys.executable, "-m", "archspec", "schema"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the command with status 130 and one word, without a traceback."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(validate, "check", interrupted)
    result = CliRunner().invoke(archspec, ["validate", PLE])
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_a_file_name_that_no_encoding_holds() -> None:
    """Characters that standard output cannot encode are escaped."""
    result = process("validate", "ö.yaml", "-", PYTHONIOENCODING="ascii")
    assert "UnicodeEncodeError" not in result.stderr
    assert result.returncode == 2


@pytest.mark.parametrize(
    ("terminal", "environment", "expected"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours(monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a table
    """Colours are used on terminals only, and not if NO_COLOR is set."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert colored(sys.stderr) is expected


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("archspec va", "plain,validate"),
        ("archspec kinds gate.to", "plain,gate.topk"),
        ("archspec explain AS20", "plain,AS204"),
        ("archspec explain temp", "plain,temperature"),
        ("archspec validate --ignore as30", "plain,AS307"),
        ("archspec init mm", "plain,mmoe"),
        ("archspec render sp", "file,sp"),
    ],
)
def test_completion(words: str, found: str) -> None:
    """The shell completes commands, kinds, keys, codes, templates and files."""
    result = process(_ARCHSPEC_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))
    assert found in result.stdout.splitlines()


@pytest.mark.parametrize(("word", "hint"), [("vlidate", "did you mean `validate`?"), ("xyz", "commands: init, ")])
def test_an_unknown_command(word: str, hint: str) -> None:
    """A misspelt command gets a suggestion; one that resembles no command gets the list of commands."""
    result = CliRunner().invoke(archspec, [word])
    assert result.exit_code == 2
    assert f"no command `{word}`; {hint}" in result.stderr


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Runs a line of bash in which `archspec` is this checkout's command line."""
    python = f"{sys.executable} -m archspec"
    command = ["bash", "-c", line.replace("archspec", python)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(os.name != "posix", reason="redirections of a POSIX shell")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"archspec summary {PLE} > /dev/full", "standard output cannot be written: No space left on device"),
        (f"archspec build {PLE} -q -o - > /dev/full", "standard output cannot be written: No space left on device"),
        ("archspec schema > /dev/full", "standard output cannot be written: No space left on device"),
        (f"archspec summary {PLE} >&-", "standard output cannot be written: it is closed"),
        ("archspec explain AS204 >&-", "standard output cannot be written: it is closed"),
        ("archspec validate - <&-", "standard input is closed"),
    ],
)
def test_a_standard_stream_that_cannot_be_used(line: str, message: str) -> None:
    """A full disk or a closed stream causes one line of error and status 2."""
    result = shell(line)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.skipif(os.name != "posix", reason="redirections of a POSIX shell")
def test_a_file_is_not_taken_for_a_closed_stream(tmp_path: Path) -> None:
    """Without standard streams a figure is written as usual, and nothing that is printed ends up in its file."""
    with_streams, without = tmp_path / "a.svg", tmp_path / "b.svg"
    assert shell(f"archspec render {PLE} -o {with_streams}").returncode == 0
    assert shell(f"archspec render {PLE} -o {without} <&- >&- 2>&-").returncode == 2
    assert without.read_bytes() == with_streams.read_bytes()


def test_a_defect_of_archspec_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected exception prints its traceback and a request to report it; the exit status is 70."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(validate, "check", broken)
    monkeypatch.setattr(sys, "argv", ["archspec", "validate", PLE])
    assert run() == 70
    assert "ZeroDivisionError" in (said := capsys.readouterr().err)
    assert "this is a bug in archspec. Please report it" in said.splitlines()[-1]


def test_a_defect_of_a_plugin_names_the_plugin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """An error in a plugin's code in training is not called a bug in archspec; the plugin's file and line are named."""
    path = tmp_path / "failing_loss.py"
    path.write_text(
        "from archspec import LossKind, loss\n\n\n@loss('failing')\nclass Failing(LossKind):\n"
        "    def rows(self, logits, labels):\n        raise RuntimeError('no idea')\n",
        encoding="utf-8",
    )
    kind = load([path]).find("loss", "failing")
    assert kind is not None

    def broken(**_: object) -> int:
        loss: Any = kind()
        return int(loss.rows(None, None))

    monkeypatch.setattr(validate.validate, "callback", broken)
    monkeypatch.setattr(sys, "argv", ["archspec", "validate", PLE])
    monkeypatch.setattr(gc, "set_threshold", lambda *_: None)
    assert run() == 1
    said = capsys.readouterr().err
    assert "RuntimeError: no idea" in said
    assert said.splitlines()[-1] == f"archspec: the error is in the plugin at {path}:7, see above"
