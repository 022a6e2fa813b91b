"""The cost of importing, and the message if the extra is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import archspec.lightning

BLOCK = """
import sys

class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing)
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a new interpreter."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("missing", ["torchmetrics"])  # requested first, so that the test is quick
def test_a_missing_extra_says_how_to_install_it(missing: str) -> None:
    """The error is one sentence with both install commands instead of the name of an unknown module."""
    result = run(BLOCK + "import archspec.lightning", missing)
    assert result.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: archspec.lightning needs {missing}: pip install 'archspec-mtl[train]' "
        "(from a checkout: pip install -e '.[train]')"
    )


@pytest.mark.parametrize("module", ["lightning", "torchmetrics"])
def test_importing_archspec_and_its_commands_imports_no_lightning(module: str) -> None:
    """Only `archspec.lightning` and the command that trains import Lightning."""
    result = run("import sys, archspec, archspec.cli; print(sys.argv[1] in sys.modules)", module)
    assert result.stdout.strip() == "False", result.stderr


def test_runs_are_opened_from_the_adapter() -> None:
    """`load_run` is public in `archspec.lightning`, which imports runs only when needed; other names raise an error."""
    program = (
        "import sys, archspec.lightning as it; print('archspec.runs' in sys.modules); print(it.load_run.__module__)"
    )
    assert run(program).stdout.split() == ["False", "archspec.runs.trained"]
    with pytest.raises(AttributeError, match="no attribute 'load_rn'"):
        _ = archspec.lightning.load_rn  # type: ignore[attr-defined] # the misspelling
