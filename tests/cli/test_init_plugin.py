"""`archspec init --plugin`, whose plugins work as they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import archspec
from archspec.cli.plugin_files import CATEGORIES, TEMPLATES
from archspec.contract import CATEGORIES as ALL
from archspec.plugins import load

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., Result]

USES = {
    "input": ("inputs", "{x: {kind: NAME, dim: 4}}"),
    "expert": ("levels", "[{experts: {shared: {kind: NAME}}, gates: {click: {sees: shared}}}]"),
    "gate": ("levels", "[{experts: {shared: {count: 2, units: [3]}}, gates: {click: {sees: shared, kind: NAME}}}]"),
    "feature_gate": ("feature_gates", "{gated: {kind: NAME, from: x, selector: x}}"),
    "tower": ("towers", "{click: {kind: NAME}}"),
    "fusion": ("fusion", "{score: {kind: NAME, of: [click]}}"),
    "task": ("tasks", "{click: {kind: NAME}}"),
    "loss": ("tasks", "{click: {kind: binary, loss: NAME}}"),
    "balance": ("balance", "NAME"),
}
BASE = {
    "inputs": "{x: {kind: dense, dim: 4}}",
    "tasks": "{click: {kind: binary}}",
    "towers": "{click: {units: [3]}}",
}


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unloads the plugins that a test imported."""
    for category in CATEGORIES:
        monkeypatch.delitem(sys.modules, f"my_{category}", raising=False)


def test_there_is_a_template_for_every_category() -> None:
    """The command knows the categories of the contract and has a template for each."""
    assert tuple(ALL) == CATEGORIES
    assert {path.name for path in TEMPLATES.iterdir()} == {"test.py.txt", *(f"{c}.py.txt" for c in CATEGORIES)}


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("category", CATEGORIES)
def test_a_written_plugin_works_in_a_spec(run: Run, category: str) -> None:
    """The plugin is documented, validates in a spec that requires it, and is explained and drawn."""
    name = f"my_{category}"
    result = run("init", "--plugin", category, name)
    assert (result.exit_code, result.stdout) == (0, f"{name}.py\ntest_{name}.py\n")
    cls = load([Path(f"{name}.py")]).kinds[category, name]
    assert cls.__doc__
    assert cls.formula
    section, text = USES[category]
    sections = {"archspec": "1", "name": "tiny", "requires": f"[{name}]", **BASE, section: text.replace("NAME", name)}
    if category == "feature_gate":
        sections["towers"] = "{click: {from: gated}}"
    Path("tiny.yaml").write_text("".join(f"{key}: {value}\n" for key, value in sections.items()), encoding="utf-8")
    assert run("validate", "tiny.yaml", "--plugin", f"{name}.py").exit_code == 0
    assert run("kinds", f"{category}.{name}", "--plugin", f"{name}.py").exit_code == 0
    assert run("render", "tiny.yaml", "--plugin", f"{name}.py", "-o", "tiny.svg").exit_code == 0
    with pytest.raises(archspec.SpecError, match=f"--plugin {name}"):
        archspec.load("tiny.yaml")
    del sys.modules[name]


def test_the_tests_of_written_plugins_pass(run: Run, tmp_path: Path) -> None:
    """The test file of each plugin passes unchanged, run from another folder, without a warning."""
    for category in CATEGORIES:
        assert run("init", "--plugin", category, f"my_{category}", "-o", "new/folder").exit_code == 0
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error",
             "-W", "ignore:`torch.jit.script_method`:DeprecationWarning", str(tmp_path / "new" / "folder")]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CATEGORIES)} passed" in done.stdout


@pytest.mark.parametrize("existing", ["my_gate.py", "test_my_gate.py"])
def test_nothing_is_overwritten(run: Run, existing: str) -> None:
    """If one of the two files exists, neither is written, unless --force is given."""
    Path(existing).write_text("mine", encoding="utf-8")
    result = run("init", "--plugin", "gate", "my_gate")
    assert result.exit_code == 2
    assert f"`{existing}` already exists" in result.stderr
    assert [path.name for path in Path().iterdir()] == [existing]
    assert Path(existing).read_text(encoding="utf-8") == "mine"
    assert run("init", "--plugin", "gate", "my_gate", "--force").exit_code == 0
    assert Path(existing).read_text(encoding="utf-8") != "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gate"], "a plugin needs a name: archspec init --plugin gate my_gate"),
        (["gate", "MyGate"], "cannot be the name of a plugin"),
        (["gate", "../x"], "cannot be the name of a plugin"),
        (["gate", "class"], "cannot be the name of a plugin"),
        (["gate", "softmax"], "archspec already has a gate kind `softmax`"),
        (["gate", "json"], "would hide the module `json`"),
        (["gate", "x", "-o", "-"], "give `-o` a folder"),
        (["door", "x"], "'door' is not one of"),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], message: str) -> None:
    """A missing, invalid or taken name and an unknown category are wrong usage: status 2, and nothing is written."""
    result = run("init", "--plugin", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(Path().iterdir()) == []
