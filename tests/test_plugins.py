"""Plugins are enabled only by the caller, never by a spec."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archspec import kinds, plugins
from archspec.contract import ExpertKind, Width, expert
from archspec.contract.checks import wrong_settings
from archspec.contract.registry import marked_classes, marks
from archspec.contract.settings import Positive, Units
from archspec.diagnostics import SpecError
from archspec.graph.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from archspec.program import Scope, Value

ROOT = Path(__file__).resolve().parent.parent

CROSS = """
from archspec import ExpertKind, GateKind, Settings, Width, expert

@expert("zigzag")
class Cross(ExpertKind):
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
  - experts: {shared: {kind: zigzag, layers: 3}}
towers: {ctr: {from: level1.experts.shared}}
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A plugin file with a unique name, unloaded after the test."""
    path = tmp_path / f"cross_{tmp_path.name.replace('-', '_')}.py"
    path.write_text(CROSS.format(body="return input * self.layers"))
    monkeypatch.delitem(sys.modules, path.stem, raising=False)
    yield path
    sys.modules.pop(path.stem, None)


def refusal(*given: plugins.Plugin) -> str:
    """The message with which plugins are refused."""
    with pytest.raises(SpecError) as caught:
        plugins.load(given)
    (item,) = caught.value.diagnostics
    assert item.code == "AS501"
    assert item.help
    return item.message


def test_a_file_defines_a_kind(plugin: Path) -> None:
    """An enabled plugin's kind works in a spec that requires it, and its file is imported once."""
    spec = load(SPEC.replace("NAME", plugin.stem), plugins=[plugin])
    assert spec.levels[0].experts["shared"].settings.layers == 3
    assert plugins.load([plugin]).find("expert", "zigzag") is plugins.load([str(plugin)]).find("expert", "zigzag")


def test_a_spec_cannot_enable_a_plugin(plugin: Path) -> None:
    """Without the caller `requires` imports nothing, and the message shows the flag that enables the plugin."""
    with pytest.raises(SpecError) as caught:
        load(SPEC.replace("NAME", plugin.stem))
    (item,) = caught.value.diagnostics
    assert item.code == "AS111"
    assert f"--plugin {plugin.stem}" in item.help
    assert plugin.stem not in sys.modules


def test_classes_and_modules_are_plugins(plugin: Path) -> None:
    """A marked class in a notebook, or an imported module, needs no file."""

    @expert("own")
    class Own(ExpertKind):
        """An expert of this test."""

        def width(self, input: Width) -> Width:
            """As wide as its input."""
            return input

        def build(self, input: Width) -> nn.Module:
            """Nothing."""
            raise NotImplementedError

    assert plugins.load([Own]).find("expert", "own") is Own
    plugins.load([plugin])
    assert plugins.load([sys.modules[plugin.stem]]).plugins == (plugin.stem,)


def test_refusals(plugin: Path, tmp_path: Path) -> None:
    """Missing, broken, empty and duplicate plugins have different messages."""
    broken, empty = tmp_path / "broken_plugin.py", tmp_path / "empty_plugin.py"
    broken.write_text("import sys\nsys.exit(3)")
    empty.write_text("x = 1")
    assert refusal(tmp_path / "nowhere.py") == f"plugin file `{tmp_path / 'nowhere.py'}` does not exist"
    assert refusal("no_such_plugin") == "there is no plugin `no_such_plugin`"
    assert refusal(broken).endswith("SystemExit: 3")
    assert "defines no kind" in refusal(empty)
    assert "defines no kind" in refusal(ExpertKind)
    twin = tmp_path / "twin_plugin.py"
    twin.write_text(plugin.read_text())
    assert "is already defined in" in refusal(plugin, twin)
    sys.modules.pop("empty_plugin")
    sys.modules.pop("twin_plugin")
    (tmp_path / "json.py").write_text("")
    assert "already imported from elsewhere" in refusal(tmp_path / "json.py")


def test_a_kind_that_fails_is_a_diagnostic(plugin: Path) -> None:
    """An exception in a plugin becomes an error at the block instead of a traceback."""
    plugin.write_text(CROSS.format(body="return 1 // 0"))
    with pytest.raises(SpecError) as caught:
        load(SPEC.replace("NAME", plugin.stem), plugins=[plugin])
    (item,) = caught.value.diagnostics
    assert item.code == "AS502"
    assert "ZeroDivisionError" in item.message
    assert item.span is not None
    assert item.span.line == 7


def written(tmp_path: Path, name: str, text: str) -> Path:
    """A plugin file."""
    path = tmp_path / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


GATE = """from archspec import ExpertKind, GateKind, Settings, gate

@gate("{kind}")
class {cls}(Settings):
    \"\"\"A gate.\"\"\"

    def lower(self, {arguments}):
        raise NotImplementedError
"""


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("x = 1\nclass Broken(\n", 2, "SyntaxError"),
        ("def fail():\n    raise ValueError('no luck')\n\nfail()\n", 2, "ValueError: no luck"),
        ("import no_such_module_at_all\n", 1, "needs the module `no_such_module_at_all`"),
        (GATE.format(kind="g", cls="Wrong", arguments="scope, gate"), 4, "`lower` takes (scope, gate), archspec calls"),
        ("from archspec import GateKind, gate\n@gate('g')\nclass Empty(GateKind):\n    pass\n", 3, "needs a method"),
        ("from archspec import gate\n\n@gate('g')\nclass Alone:\n    pass\n", 3, "not a subclass of archspec.GateKind"),
        ("from archspec import GateKind, gate\n\n@gate('g')\nclass K(GateKind):\n    k = 3\n", 4, "non-annotated"),
    ],
    ids=["syntax", "raises", "import", "signature", "method", "class", "setting"],
)  # fmt: skip
def test_a_broken_plugin_shows_its_file_and_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    """Whatever is wrong with a file, the message has its path and line."""
    path = written(tmp_path, "broken_one", text)
    found = refusal(path)
    assert message in found
    places = {int(number) for number in re.findall(rf"{re.escape(str(path))}:(\d+)", found)}
    assert places, found
    assert min(abs(place - line) for place in places) <= 1, found
    assert "broken_one" not in sys.modules


@pytest.mark.parametrize("name", ["wave", "pluggy", "tomllib"])
def test_a_file_named_like_a_library_is_refused(tmp_path: Path, name: str) -> None:
    """A plugin file that would shadow a library for later imports has to be renamed."""
    sys.modules.pop("wave", None)
    path = written(tmp_path, name, GATE.format(kind="g", cls="G", arguments="at, gate"))
    found = refusal(path)
    assert f"would hide the module `{name}`" in found or "already imported from elsewhere" in found


def test_a_folder_of_the_same_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without code, and the plugin's own folder on the path, do not count as a library of that name."""
    (tmp_path / "elsewhere" / "odd_gate_here").mkdir(parents=True)
    path = written(tmp_path, "odd_gate_here", GATE.format(kind="g", cls="G", arguments="at, gate"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    try:
        assert plugins.load([path]).find("gate", "g") is not None
    finally:
        sys.modules.pop("odd_gate_here", None)


def test_a_double_name_shows_both_places(tmp_path: Path) -> None:
    """For two plugins with one kind, or a plugin and a built-in kind, both classes are shown with file and line."""
    first = written(tmp_path, "first_plugin", GATE.format(kind="twice", cls="First", arguments="at, gate"))
    second = written(tmp_path, "second_plugin", "\n\n" + GATE.format(kind="twice", cls="Second", arguments="at, gate"))
    taken = written(tmp_path, "taken_plugin", GATE.format(kind="softmax", cls="Mine", arguments="at, gate"))
    try:
        found = refusal(first, second)
        assert re.search(rf"{re.escape(str(second))}:\d+ is already defined in {re.escape(str(first))}:\d+", found)
        assert re.search(rf"{re.escape(str(taken))}:\d+ is already defined in .*gates\.py:\d+", refusal(taken))
    finally:
        for name in ("first_plugin", "second_plugin", "taken_plugin"):
            sys.modules.pop(name, None)


def test_a_file_without_a_kind_is_named(tmp_path: Path) -> None:
    """The message names the file that contains no kind."""
    path = written(tmp_path, "no_kind_here", "from archspec import gate\n")
    try:
        assert str(path) in refusal(path)
    finally:
        sys.modules.pop("no_kind_here", None)


def installed(folder: Path, distribution: str, offers: str) -> None:
    """The part of an installed distribution that matters: its metadata with one entry point."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[archspec.plugins]\n{offers}\n", encoding="utf-8")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with kinds in one of its modules; an entry point offers them as the plugin `routing`."""
    (tmp_path / "routing_kinds").mkdir()
    (tmp_path / "routing_kinds" / "__init__.py").write_text(
        "from routing_kinds.gates import Routed\n", encoding="utf-8"
    )
    text = GATE.format(kind="routed", cls="Routed", arguments="at, gate")
    (tmp_path / "routing_kinds" / "gates.py").write_text(text, encoding="utf-8")
    installed(tmp_path, "routing", "routing = routing_kinds")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "routing_kinds"]:
        del sys.modules[name]


@pytest.mark.usefixtures("package")
def test_an_installed_plugin_goes_by_its_entry_point() -> None:
    """The name of an entry point of `archspec.plugins` enables the plugin; before that nothing is imported."""
    assert plugins.load().find("gate", "routed") is None
    assert "routing_kinds" not in sys.modules
    found = plugins.load(["routing"]).find("gate", "routed")
    assert found is not None
    assert found.__module__ == "routing_kinds.gates"
    assert plugins.load(["routing_kinds"]).find("gate", "routed") is found


def test_two_installed_plugins_of_one_name_are_refused(package: Path) -> None:
    """If two distributions offer one name, neither is imported, and both are named."""
    installed(package, "other-routing", "routing = somewhere.else_")
    found = refusal("routing")
    assert "`routing_kinds` of routing" in found
    assert "`somewhere.else_` of other-routing" in found
    assert "routing_kinds" not in sys.modules


class _Own(ExpertKind):
    """Works."""

    def width(self, input: Width) -> Width:
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        return x


@pytest.mark.parametrize(
    ("annotation", "default", "words"),
    [
        ("int", "a", "the default of the setting `units` is 'a', which must be a valid integer"),
        (Units, (4, 0), "the default of the setting `units.1` is 0, which must be greater than or equal to 1"),
        (Positive, -1.0, "the default of the setting `units` is -1.0, which must be greater than 0"),
        ("Nowhere", 1, "the type `Nowhere` of a setting is imported only for type checkers"),
    ],
)
def test_a_default_is_a_value_of_its_setting(annotation: object, default: object, words: str) -> None:
    """A default of a wrong type, or a type that only type checkers know, is refused with the location of the class."""
    body = {"__module__": __name__, "__annotations__": {"units": annotation}, "units": default}
    with pytest.raises(SpecError, match="AS501") as error:
        plugins.load([expert("odd")(type("Odd", (_Own,), body))])
    assert words in str(error.value)


def test_settings_without_a_default_are_fine() -> None:
    """A required setting has no default to check; `None` is valid if the type allows it."""
    body = {"__module__": __name__, "__annotations__": {"units": "int", "more": "int | None"}, "more": None}
    assert plugins.load([expert("fine")(type("Fine", (_Own,), body))]).find("expert", "fine")


def test_built_in_defaults_are_values_of_their_settings() -> None:
    """The built-in kinds, and their names, satisfy the checks that plugins have to pass."""
    assert {cls: problem for cls in plugins.built_in().kinds.values() if (problem := wrong_settings(cls))} == {}


def test_every_marked_class_is_a_built_in_kind() -> None:
    """The registry, which reads only the lines with decorators, has the kinds that importing every file finds."""
    found = {
        mark: cls
        for module in pkgutil.iter_modules(kinds.__path__)
        for cls in marked_classes(vars(importlib.import_module(f"archspec.kinds.{module.name}")))
        for mark in marks(cls)
    }
    assert dict(plugins.built_in().kinds) == found
    assert len(found) > 60


def test_kinds_that_a_spec_does_not_name_are_not_imported() -> None:
    """Checking a spec imports the files of its own kinds only; `archspec validate` is quick."""
    code = (
        "import sys, archspec; archspec.load('specs/ple.yaml'); "
        "print(*sorted(name for name in sys.modules if name.startswith('archspec.kinds.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = {name.rpartition(".")[2] for name in done.stdout.split()}
    assert {"inputs", "experts", "gates"} <= imported
    assert not imported & {"attention", "cross", "mask", "numeric", "ranking_losses", "fusion", "feature_gates"}
