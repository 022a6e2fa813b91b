"""Fuzzes command lines: any arguments give status 0, 1 or 2, a message on failure, and no partial files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from archspec.cli.app import COMMANDS, archspec
from tests.fuzzing import contents, fuzz, run_command, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import DrawFn

    Options = dict[str, list[click.Option]]

SPEC = """archspec: 1
name: g
inputs: {user: {kind: sparse, vocab: 20, dim: 2}, x: {kind: dense, dim: 1}}
tasks: {click: {kind: binary}, buy: {kind: binary, when: click, label: click}}
levels: [{experts: {e: {count: 2, units: [2]}}, gates: {$task: {sees: e}}}]
towers: {$task: {}}
"""
FILES = {
    "g.yaml": SPEC,
    "other.yaml": SPEC.replace("vocab: 20", "vocab: 30").replace("name: g", "name: other"),
    "wrong.yaml": SPEC.replace("sees: e", "sees: f"),
    "empty.yaml": "",
    "a.csv": "user,x,click\n" + "".join(f"{i % 9},{i / 7},{i % 2}\n" for i in range(40)),
    "bad.csv": "user,click\n1,2\n",
    "plug.py": 'import archspec\n\n@archspec.expert("twice")\nclass Twice(archspec.Settings):\n    """Twice."""\n',
    "broken.py": "raise ValueError('no')\n",
    "out.svg": "old",
}
PATHS = (
    *FILES, "run", "folder", "nothing", "new.svg", "new.py", "new.yaml", "new.md", "new.dot", "new.png", "nodir/a.svg",
    "-", "", " ", ".", "*.csv", "a\0b", "a\0*", "é.svg", *("a" * 300 + ending for ending in ("", "*", ".svg", ".csv")),
)  # fmt: skip
VALUES = (
    "0", "1", "2", "-1", "1.5", "nan", "inf", "x", "", "user=vocabulary", "x=standard", "user=", "=", "click=classes",
    "tasks.click.kind=regression", "levels.1.repeat=2", "levels.9.repeat=2", "towers=null", "name=h", "a.b.c=[", "{",
    "user,x,click", "user", "validation/click/auc", "stop", "skip", "AS307", "AS999", "gate", "softmax", "gate.softmax",
    "ple", "mmoe", "units", "json", "svg", "x:y", "[1]",
)  # fmt: skip
FEW = {
    "--epochs": ("1", "2", "0", "x"),
    "--devices": ("1", "0", "x"),
    "--threads": ("1", "0", "x"),
    "--patience": ("0", "1"),
}
"""Options whose values are limited to these, since others take long or start processes."""


def options() -> Options:
    """The options of each command, as archspec defines them."""
    context = click.Context(archspec)
    commands = {name: archspec.get_command(context, name) for name in COMMANDS}
    return {
        name: [option for option in command.params if isinstance(option, click.Option)] if command else []
        for name, command in commands.items()
    }


OPTIONS = options()
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\"), max_size=8).filter(
    lambda t: ".." not in t
)
words = st.one_of(st.sampled_from(PATHS), st.sampled_from(PATHS), st.sampled_from(VALUES), texts)


@st.composite
def lines(draw: DrawFn) -> list[str]:
    """A command, options of this or another command with values, and words, in any order."""
    command = draw(st.sampled_from(list(COMMANDS)))
    parts: list[list[str]] = [["g.yaml"]] if draw(st.booleans()) else []
    parts += [[word] for word in draw(st.lists(words, max_size=2))]
    for _ in range(draw(st.integers(0, 4))):
        option = draw(st.sampled_from(OPTIONS[command] or OPTIONS["train"]))
        name = draw(st.sampled_from(option.opts))
        value = (
            []
            if option.is_flag
            else [draw(st.sampled_from(FEW.get(option.opts[-1], ())) if option.opts[-1] in FEW else words)]
        )
        parts.append([name, *value])
    if command == "train" and draw(st.booleans()):
        parts += [["--data", "a.csv"], ["--epochs", "1"]]
    line = [word for part in draw(st.permutations(parts)) for word in part]
    odd = draw(st.integers(0, 9))
    return [*([] if odd == 0 else [command]), *line, *([draw(texts)] if odd == 1 else [])]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the words name, and a run."""
    folder = tmp_path_factory.mktemp("prepared")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "folder").mkdir()
    made = [str(folder / name) for name in ("g.yaml", "a.csv", "run")]
    assert run_command("train", made[0], "--data", made[1], "-o", made[2], "--epochs", "1", seconds=600).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The parent of the folder where the commands run."""
    before = Path.cwd()
    yield tmp_path_factory.mktemp("around")
    os.chdir(before)


@given(lines(), st.sampled_from([b"", SPEC.encode(), b"\xff\0"]))
@fuzz(by_day=100, by_night=10_000)
def test_fuzz_of_command_lines(prepared: Path, outside: Path, line: list[str], stdin: bytes) -> None:
    """Any command line has one of the three statuses; failures have a message; other folders are not touched."""
    work = outside / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(prepared, work)
    os.chdir(work)
    result = run_command(*line, stdin=stdin, seconds=6)
    event(f"{line[0] if line and line[0] in COMMANDS else 'none'}: {result.exit_code}")
    assert result.exit_code in {0, 1, 2}, result.output
    assert "Traceback" not in result.output
    assert result.exit_code == 0 or result.stderr or result.stdout
    assert unfinished(work) == []
    assert [path.name for path in outside.iterdir()] == ["work"]
    inputs = {name: text for name, text in contents(prepared).items() if name.split("/")[0] not in line}
    after = contents(work)
    assert {name: after.get(name) for name in inputs} == inputs
