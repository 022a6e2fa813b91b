"""From text to a complete Spec."""

from __future__ import annotations

from pathlib import Path

import pytest

from archspec import plugins
from archspec.diagnostics import Diagnostics, SpecError
from archspec.graph.load import load
from archspec.spec.load import read_spec

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.yaml"))
PLE = (Path(__file__).parents[2] / "specs" / "ple.yaml").read_text()
LOADABLE = [path for path in SPECS if "requires:" not in path.read_text()]


@pytest.mark.parametrize("path", LOADABLE, ids=lambda path: path.stem)
def test_expand_of_expand_changes_nothing(path: Path) -> None:
    """The canonical form reads back as itself, with the same digest and without warnings about pruned parts."""
    spec = load(path)
    again = load(spec.text())
    assert again.text() == spec.text()
    assert again.digest == spec.digest


def test_a_dollar_sign_survives_below_any_name() -> None:
    """`about` and `name` are literal only as sections: in an input of that name, a dollar sign is written `$$`."""
    text = PLE.replace("inputs:\n", "inputs:\n  about: {kind: dense, dim: 2, column: $$price}\n")
    spec = load(text)
    assert spec.inputs["about"].common.column == "$price"
    assert load(spec.text()).digest == spec.digest


def test_digest_ignores_what_means_nothing() -> None:
    """The digest ignores comments, blank lines, anchors, `x-` keys, `about`, and the order of keys without effect."""
    other = PLE.replace("{kind: dense, dim: 8}", "&d {dim: 8, kind: dense} # narrow").replace("about:", "x-about:")
    assert other != PLE
    assert load(other).digest == load(PLE).digest
    explicit = PLE.replace("{units: [32, 16]}", "{activation: relu, units: [32, 16], x-who: me}")
    assert load(explicit).digest == load(PLE).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[64, 32]", "[64, 16]"),
        ("sees: [$task, shared]", "sees: [shared, $task]"),
        ("repeat: 2", "repeat: 3"),
        ("vtr", "vt"),
    ],
)
def test_digest_sees_what_means_something(old: str, new: str) -> None:
    """The digest depends on sizes, the order of what a gate sees, depth and names."""
    assert load(PLE.replace(old, new)).digest != load(PLE).digest


def test_order_of_inputs_counts() -> None:
    """`inputs` concatenates in the order of the file, so the digest depends on that order."""
    lines = PLE.split("\n")
    at = next(index for index, line in enumerate(lines) if line.startswith("  user:"))
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    assert load("\n".join(lines)).digest != load(PLE).digest


def test_text_and_paths_are_told_apart(tmp_path: Path) -> None:
    """A source with a line break or `: ` is a text; any other is a path."""
    (tmp_path / "ple.yaml").write_text(PLE)
    diagnostics = Diagnostics()
    registry = plugins.built_in()
    spec = read_spec(str(tmp_path / "ple.yaml"), registry, diagnostics)
    assert spec.name == read_spec(PLE, registry, diagnostics).name == "ple"
    assert diagnostics.items == []


def test_defaults_are_written_out() -> None:
    """The canonical form contains what the short form omits: streams, columns, kinds, and all defaults."""
    data = load(PLE).data()
    assert data["levels"][0]["experts"]["vtr"]["from"] == "inputs"
    assert data["levels"][1]["experts"]["vtr"]["from"] == "vtr"
    assert data["levels"][1]["gates"]["vtr"]["selector"] == "vtr"
    assert data["towers"]["vcr"]["from"] == "vcr"
    assert data["inputs"]["user"]["column"] == "user"
    assert data["tasks"]["vtr"]["loss"] == "logistic"
    assert "shared" not in data["levels"][1]["gates"]


def test_defaults_of_a_category() -> None:
    """`defaults` set what a block omits, unless the block has another kind."""
    text = PLE + "defaults:\n  towers: {dropout: 0.25}\n  experts: {activation: silu, count: 4}\n"
    data = load(
        text.replace("shared: {count: 3, units: [64, 32]}", "shared: {kind: identity}")
        .replace("sees: [$task, shared]", "sees: $task")
        .replace("sees: all", "sees: shared")
    ).data()
    assert data["towers"]["vtr"]["dropout"] == 0.25
    assert data["levels"][0]["experts"]["vtr"] == {
        "kind": "mlp",
        "count": 2,
        "from": "inputs",
        "units": [64, 32],
        "activation": "silu",
        "norm": "none",
        "dropout": 0.0,
        "bias": True,
    }


def test_overrides_go_before_the_expansion() -> None:
    """An override may change a `repeat`, or a setting of every task."""
    spec = load(PLE, overrides={"levels.1.repeat": 4, "towers.$task.units": [8]})
    assert len(spec.levels) == 4
    assert [tower.settings.units for tower in spec.towers.values()] == [(8,), (8,)]  # type: ignore[union-attr]


@pytest.mark.parametrize("source", ["", "  "])
def test_an_empty_name_is_no_file(source: str) -> None:
    """An empty name, for example from an unset shell variable, is reported as such, with status 2."""
    with pytest.raises(SpecError, match="the name of the spec is empty") as caught:
        load(source)
    assert (caught.value.diagnostics[0].code, caught.value.status) == ("AS001", 2)


@pytest.mark.parametrize("source", [3, None, b"ple.yaml", ["ple.yaml"], {"archspec": 1}])
def test_a_spec_is_a_path_or_a_text(source: object) -> None:
    """Any other object is refused, and the message names its type."""
    with pytest.raises(TypeError, match=f"not an object of type {type(source).__name__}"):
        load(source)  # type: ignore[arg-type] # that is the mistake
