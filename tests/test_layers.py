"""The layers hold at run time: parts that do not need torch work without it.

Import-linter (`make lint`) reads the imports in the sources; here they are executed.
"""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = str(ROOT / "specs" / "ple.yaml")

# Runs first in a new interpreter: importing torch, or anything below it, then raises ImportError.
BLOCK_TORCH = """
import sys

class NoTorch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, NoTorch)
"""

# As in the installed console script.
COMMAND_LINE = """
from archspec.cli import main

sys.argv[0] = "archspec"
sys.exit(main())
"""


def run_without_torch(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a new interpreter that cannot import torch."""
    command = [sys.executable, "-c", BLOCK_TORCH + program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", ["validate", "expand", "summary"])
def test_reading_a_spec_needs_no_torch(command: str) -> None:
    """Checking, expanding and summarising a spec work on a machine without torch."""
    result = run_without_torch(COMMAND_LINE, command, SPEC)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("suffix", "opening"), [(".dot", "digraph"), (".svg", "<svg")])
def test_drawing_a_spec_needs_no_torch(suffix: str, opening: str, tmp_path: Path) -> None:
    """A figure is drawn on a machine without torch and without a system Graphviz."""
    figure = tmp_path / f"ple{suffix}"
    result = run_without_torch(COMMAND_LINE, "render", SPEC, "-o", str(figure))
    assert result.returncode == 0, result.stderr
    assert opening in figure.read_text(encoding="utf-8")


@pytest.mark.parametrize("statement", ["import torch", "import torch.nn", "from torch import nn"])
def test_a_command_that_imports_torch_is_caught(statement: str) -> None:
    """The harness of the tests above fails if a command imports torch in any form."""
    assert importlib.util.find_spec("torch") is not None, "without torch here, blocking it proves nothing"
    result = run_without_torch(f"{statement}\n{COMMAND_LINE}", "validate", SPEC)
    assert result.returncode == 1
    assert "is blocked" in result.stderr


@pytest.mark.parametrize("module", ["torch", "networkx"])
def test_importing_archspec_imports_no_heavy_module(module: str) -> None:
    """`import archspec` imports neither torch nor networkx."""
    program = "import sys, archspec; print(sys.argv[1] in sys.modules)"
    command = [sys.executable, "-c", program, module]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "False"


def test_every_package_says_what_lives_there() -> None:
    """Each folder with sources under `archspec` is a package with a docstring."""
    folders = {source.parent for source in (ROOT / "archspec").rglob("*.py")}
    assert ROOT / "archspec" / "spec" in folders
    without = [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not _introduces_itself(folder)]
    assert without == []


def _introduces_itself(folder: Path) -> bool:
    """Whether the folder's `__init__.py` exists and begins with a docstring."""
    opening = folder / "__init__.py"
    return opening.is_file() and bool(ast.get_docstring(ast.parse(opening.read_text(encoding="utf-8"))))
