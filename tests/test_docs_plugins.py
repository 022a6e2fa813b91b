"""Every step of docs/plugins.md works from an empty folder, and its tables match the contract."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from archspec.contract import Kind
from archspec.contract.checks import signature
from archspec.contract.kinds import BASES, NEEDED
from archspec.contract.methods import methods
from archspec.program import Scope

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^`([\w.]+)`\n)?^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
"""Name of the file (or nothing), language and text of every block of the page, in order."""


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]]]:
    """The folder after all steps of the page, and the output of each command."""
    folder, programs = tmp_path_factory.mktemp("reader"), tmp_path_factory.mktemp("bin")
    for name, words in {"archspec": "-m archspec", "pytest": "-m pytest", "python": ""}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "NO_COLOR": "1",
                   "PYTHONWARNINGS": "error"}  # fmt: skip
    printed = []
    for name, language, text in BLOCKS:
        if language == "sh":
            for line in text.splitlines():
                shell = ["/bin/sh", "-c", line]
                done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                printed.append((line, done.stdout))
        else:
            (folder / name).write_text(text, encoding="utf-8")
    return folder, printed


def test_every_block_is_executed() -> None:
    """A block is a file with its name above it, or commands: every block of the page is tested."""
    assert len(BLOCKS) > 8
    assert len(BLOCKS) == PAGE.count("\n```") / 2
    for name, language, text in BLOCKS:
        assert language in {"sh", "python", "yaml"}
        assert bool(name) == (language != "sh"), text
    assert {name for name, _, _ in BLOCKS if name.endswith(".py")} <= set(re.findall(r"[\w]+\.py", PAGE))


def test_the_walk_leads_to_a_figure(followed: tuple[Path, list[tuple[str, str]]]) -> None:
    """Every command succeeds; there is a figure, a built file, and a row of gate weights that sum to one."""
    folder, printed = followed
    output = dict(printed)
    assert (folder / "routing.svg").read_text(encoding="utf-8").count("bit_gate") >= 2
    assert "import bit_gate" in (folder / "routing.py").read_text(encoding="utf-8")
    assert "1 passed" in output["pytest test_bit_gate.py"]
    assert re.search(r"gates.engagement +bit_gate ", output["archspec summary routing.yaml --plugin bit_gate.py"])
    weights = [float(number) for number in re.findall(r"\d\.\d+(?:e-\d+)?", output["python train.py"])]
    assert len(weights) == 8
    assert abs(sum(weights) - 1) < 1e-3


def test_the_plugin_of_the_walk_is_short() -> None:
    """The DSelect-k-like plugin has at most 40 lines."""
    (text,) = (text for name, _, text in BLOCKS if name == "bit_gate.py")
    assert len(text.splitlines()) <= 40


def table(marker: str) -> str:
    """A marked table of the page."""
    return PAGE.partition(f"<!-- {marker} -->\n")[2].partition("<!-- end -->")[0]


def test_the_table_of_methods_is_the_contract() -> None:
    """Every category has a row with the methods and arguments that archspec calls."""
    rows = ["| category | base class | methods that it needs | methods that it may have |", "|---|---|---|---|"]
    common = methods(Kind).keys()
    for category, base in BASES.items():
        written = {
            name: f"`{name}({', '.join(signature(method))})`"
            for name, method in methods(base).items()
            if name not in common
        }
        needed = ", ".join(" or ".join(written.pop(name) for name in options) for options in NEEDED[category])
        rows.append(
            f"| `{category}` | `{base.__name__}` | {needed} | {', '.join(written.values())} |".replace("|  |", "| |")
        )
    assert table("contract").splitlines() == rows


def test_the_table_of_operations_has_all_of_scope() -> None:
    """Every public method of Scope is in the table, with valid arguments."""
    written = dict(re.findall(r"`(\w+)\(([^`]*)\)`", table("scope")))
    methods = {name: method for name, method in vars(Scope).items() if callable(method) and not name.startswith("_")}
    assert set(written) == set(methods)
    for name, arguments in written.items():
        names = [argument.partition("=")[0].lstrip("*") for argument in arguments.split(", ") if argument != "..."]
        assert set(names) <= set(inspect.signature(methods[name]).parameters), name
