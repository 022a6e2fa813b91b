"""`extends` and overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from archspec.diagnostics import Diagnostics, SpecError
from archspec.spec.extend import extended, merge, overridden
from archspec.spec.source import parse
from archspec.spec.tree import span_at, to_data

BASE = """archspec: 1
name: base
inputs:
  x: {kind: dense, dim: 8}
levels:
  - experts: {shared: {units: [8, 4]}}
  - experts: {ctr: {units: [4]}}
"""


def merged(base: str, over: str) -> object:
    """The data of `over` on top of `base`."""
    return to_data(merge(parse(base, "base.yaml"), parse(over, "over.yaml")))


def test_mappings_merge_key_by_key() -> None:
    """Keys that the upper file does not set are kept, in the lower file's order."""
    assert merged("a: {x: 1, y: 2}\nb: 3", "a: {y: 4, z: 5}") == {"a": {"x": 1, "y": 4, "z": 5}, "b": 3}


def test_null_removes_a_key() -> None:
    """`null` removes a key; if there is no such key, the `null` remains with its provenance."""
    assert merged("a: {x: 1, y: 2}", "a: {x: null}") == {"a": {"y": 2}}
    node = merge(parse("a: 1", "base.yaml"), parse("b: null", "over.yaml")).get("b")
    assert "has no `b`" in node.provenance[0].message


def test_lists_are_replaced_but_levels_merge() -> None:
    """`levels` merge level by level, and a longer list adds levels; every other list is replaced."""
    assert merged("units: [1, 2]", "units: [3]") == {"units": [3]}
    over = "levels:\n  - experts: {shared: {count: 2}}\n  - null\n  - experts: {top: {units: [2]}}"
    assert merged(BASE, over)["levels"] == [  # type: ignore[index]
        {"experts": {"shared": {"units": [8, 4], "count": 2}}},
        {"experts": {"top": {"units": [2]}}},
    ]


def test_fewer_levels_change_the_first_and_keep_the_others() -> None:
    """Levels beyond those of the upper file are kept from the lower file, in order."""
    over = "levels:\n  - experts: {shared: {count: 2}}"
    assert merged(BASE, over)["levels"] == [  # type: ignore[index]
        {"experts": {"shared": {"units": [8, 4], "count": 2}}},
        {"experts": {"ctr": {"units": [4]}}},
    ]


def test_places_survive(tmp_path: Path) -> None:
    """A value refers to its file, and one from an extended file also names the extending file."""
    (tmp_path / "base.yaml").write_text(BASE)
    file = str(tmp_path / "over.yaml")
    Path(file).write_text("extends: base.yaml\nname: over\n")
    diagnostics = Diagnostics()
    tree = extended(parse(Path(file).read_text(), file, diagnostics), file, diagnostics)
    assert span_at(tree, ("name",)).file == file
    span = span_at(tree, ("inputs", "x", "dim"))
    assert (Path(span.file).name, span.line, span.column) == ("base.yaml", 4, 25)
    node = tree.get("inputs")
    assert node is not None
    assert node.provenance[0].message == "`over.yaml` extends this file"


def test_a_part_may_extend_a_part(tmp_path: Path) -> None:
    """A path is relative to the file that contains it, and must stay inside the folder of the first file."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "low.yaml").write_text("name: low\nabout: low")
    (tmp_path / "parts" / "mid.yaml").write_text("extends: low.yaml\nname: mid")
    file = str(tmp_path / "top.yaml")
    Path(file).write_text("extends: parts/mid.yaml")
    assert to_data(extended(parse("extends: parts/mid.yaml", file), file, Diagnostics())) == {
        "name": "mid",
        "about": "low",
    }
    (tmp_path / "parts" / "mid.yaml").write_text("extends: ../../low.yaml")
    with pytest.raises(SpecError) as caught:
        extended(parse("extends: parts/mid.yaml", file), file, Diagnostics())
    assert caught.value.diagnostics[0].code == "AS122"


def test_overrides() -> None:
    """A path sets, adds or (with null) removes a value; levels count from 1."""
    tree = parse(BASE, "base.yaml")
    changed = overridden(
        tree, {"name": "wide", "levels.2.experts.ctr.count": 3, "inputs.x": None, "tasks.a.kind": "binary"}
    )
    assert to_data(changed) == {
        "archspec": 1, "name": "wide", "inputs": {},
        "levels": [{"experts": {"shared": {"units": [8, 4]}}}, {"experts": {"ctr": {"units": [4], "count": 3}}}],
        "tasks": {"a": {"kind": "binary"}},
    }  # fmt: skip
    assert to_data(overridden(tree, ["levels.1.experts.shared.units=[1]"]))["levels"][0] == {  # type: ignore[index, call-overload]
        "experts": {"shared": {"units": [1]}}
    }


@pytest.mark.parametrize("text", ["name", "=3", "levels.0.repeat=2", "levels.3.repeat=2", "name.x=1"])
def test_overrides_that_set_nothing(text: str) -> None:
    """An override without a value, or through something that is not a mapping, is a usage error."""
    with pytest.raises(SpecError) as caught:
        overridden(parse(BASE, "base.yaml"), [text])
    assert (caught.value.diagnostics[0].code, caught.value.status) == ("AS136", 2)


@pytest.mark.parametrize(
    ("text", "message", "help_"),
    [
        (
            "levels.3.experts.ctr.count=2",
            "`levels` has 2 entries, but none is `3`",
            "`--set levels.2.experts.ctr.count=...`",
        ),
        ("levels.x=[]", "`levels` has 2 entries, but none is `x`", "`--set levels.2=...`"),
        ("name.x=1", "`name` is a single value, so it has no `x`", "`--set name=VALUE`"),
    ],
)
def test_an_override_that_leads_nowhere_says_how_far_it_came(text: str, message: str, help_: str) -> None:
    """The message names the existing part of the path, and the help is an override that works."""
    with pytest.raises(SpecError) as caught:
        overridden(parse(BASE, "base.yaml"), [text])
    found = caught.value.diagnostics[0]
    assert message in found.message
    assert help_ in (found.help or "")
