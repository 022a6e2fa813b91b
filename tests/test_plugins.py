"""Plugins come through one door, opened by the caller."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from archspec import plugins
from archspec.contract import Settings, Width, expert
from archspec.diagnostics import SpecError
from archspec.graph.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CROSS = """
from archspec import Settings, Width, expert

@expert("cross")
class Cross(Settings):
    layers: int = 2

    def width(self, input: Width) -> Width:
        {body}

    def build(self, input: Width):
        raise NotImplementedError
"""
SPEC = """archspec: 1
name: x
requires: [NAME]
inputs: {x: {kind: dense, dim: 8}}
tasks: {ctr: {kind: binary}}
levels:
  - experts: {shared: {kind: cross, layers: 3}}
towers: {ctr: {from: level1.experts.shared}}
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plugin file of its own name, forgotten after the test."""
    path = tmp_path / f"cross_{tmp_path.name.replace('-', '_')}.py"
    path.write_text(CROSS.format(body="return input * self.layers"))
    monkeypatch.delitem(sys.modules, path.stem, raising=False)
    yield path
    sys.modules.pop(path.stem, None)


def refusal(*given: plugins.Plugin) -> str:
    """The sentence with which plugins are refused."""
    with pytest.raises(SpecError) as caught:
        plugins.load(given)
    (item,) = caught.value.diagnostics
    assert item.code == "AS501"
    assert item.help
    return item.message


def test_a_file_defines_a_kind(plugin: Path) -> None:
    """An enabled plugin's kind works in a spec that requires it, and the file is imported once."""
    spec = load(SPEC.replace("NAME", plugin.stem), plugins=[plugin])
    assert spec.levels[0].experts["shared"].settings.layers == 3
    assert plugins.load([plugin]).find("expert", "cross") is plugins.load([str(plugin)]).find("expert", "cross")


def test_a_spec_cannot_enable_a_plugin(plugin: Path) -> None:
    """`requires` asks; without the caller nothing is imported, and the refusal shows the flag."""
    with pytest.raises(SpecError) as caught:
        load(SPEC.replace("NAME", plugin.stem))
    (item,) = caught.value.diagnostics
    assert item.code == "AS111"
    assert f"--plugin {plugin.stem}" in item.help
    assert plugin.stem not in sys.modules


def test_classes_and_modules_are_plugins(plugin: Path) -> None:
    """A marked class of a notebook, and an imported module, need no file."""

    @expert("own")
    class Own(Settings):
        """An expert of this test."""

        def width(self, input: Width) -> Width:
            """As wide as its input."""
            return input

        def build(self, input: Width) -> object:
            """Nothing."""
            return input

    assert plugins.load([Own]).find("expert", "own") is Own
    plugins.load([plugin])
    assert plugins.load([sys.modules[plugin.stem]]).plugins == (plugin.stem,)


def test_refusals(plugin: Path, tmp_path: Path) -> None:
    """Missing, broken, empty and doubled plugins are told apart."""
    broken, empty = tmp_path / "broken_plugin.py", tmp_path / "empty_plugin.py"
    broken.write_text("import sys\nsys.exit(3)")
    empty.write_text("x = 1")
    assert refusal(tmp_path / "nowhere.py") == f"plugin file `{tmp_path / 'nowhere.py'}` does not exist"
    assert refusal("no_such_plugin") == "there is no plugin `no_such_plugin`"
    assert "cannot be imported: SystemExit: 3" in refusal(broken)
    assert "defines no kind" in refusal(empty)
    assert "defines no kind" in refusal(Settings)
    twin = tmp_path / "twin_plugin.py"
    twin.write_text(plugin.read_text())
    assert "is already defined in" in refusal(plugin, twin)
    sys.modules.pop("empty_plugin")
    sys.modules.pop("twin_plugin")
    (tmp_path / "json.py").write_text("")
    assert "already imported from elsewhere" in refusal(tmp_path / "json.py")


def test_a_kind_that_fails_is_a_diagnostic(plugin: Path) -> None:
    """What a plugin raises becomes an error at the block, not a traceback."""
    plugin.write_text(CROSS.format(body="return 1 // 0"))
    with pytest.raises(SpecError) as caught:
        load(SPEC.replace("NAME", plugin.stem), plugins=[plugin])
    (item,) = caught.value.diagnostics
    assert item.code == "AS502"
    assert "ZeroDivisionError" in item.message
    assert item.span is not None
    assert item.span.line == 7
