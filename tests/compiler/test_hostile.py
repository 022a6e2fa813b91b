"""Free text of a spec is data in the emitted file, whatever characters it contains."""

from __future__ import annotations

import ast
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.compiler.compile import build
from archspec.graph.load import graph_of
from tests.compiler.models import BOTH, model_of

NASTY = [
    '"',
    "'",
    "'''",
    '"""',
    '""" + __import__("os").system("id") + """',
    "a\nb",
    "a\r\nimport os",
    "\\",
    '\\"',
    "\\n",
    "\\N{DASH}",
    "\\x",
    "{x}",
    "%s",
    "$task",
    "$$",
    "${",
    "é",
    "用户",
    "\u202e",
    "\x7f",
    "# noqa",
    "a b",
    "self",
    "batch",
    "a, b",
    "\u2028",
    "a" * 300,
]


def text_with(about: str, column: str, label: str) -> str:
    """A spec with three free texts; `$` is doubled where variables would be expanded."""
    double = column.replace("$", "$$")
    return json.dumps({
        "archspec": 1, "name": "tiny", "about": about,
        "inputs": {
            "x": {"kind": "dense", "dim": 2, "column": double},
            "one": {"kind": "dense", "dim": 1, "column": double + "1"},
            "h": {"kind": "sequence", "vocab": 3, "dim": 2, "column": double + "h"},
        },
        "tasks": {"y": {"kind": "binary", "label": label.replace("$", "$$")}},
        "towers": {"y": {"units": [2]}},
        "x-note": about,
    }, indent=1)  # fmt: skip


def statements(source: str) -> list[tuple[str, str]]:
    """The kinds and names of the top-level statements of a file, without the docstring."""
    return [(type(node).__name__, getattr(node, "name", "")) for node in ast.parse(source).body[1:]]


def check(about: str, column: str, label: str, *, optimize: bool) -> None:
    """Asserts that the spec keeps the texts, and that its file has the usual statements and reads these columns."""
    spec = archspec.load(text_with(about, column, label))
    assert spec.about == about
    assert spec.inputs["x"].common.column == column
    assert spec.tasks["y"].task.label == label
    assert archspec.load(spec.text()).text() == spec.text()
    source = build(graph_of(spec), optimize=optimize).source
    harmless = build(graph_of(archspec.load(text_with("", "c", "l"))), optimize=optimize).source
    assert statements(source) == statements(harmless)
    assert not any(isinstance(node, ast.Name) and node.id == "__import__" for node in ast.walk(ast.parse(source)))
    model = model_of(spec, optimize=optimize, dtype=torch.float32)
    batch = {
        column: torch.zeros(3, 2),
        column + "1": torch.zeros(3),
        column + "h": torch.zeros(3, 4, dtype=torch.int64),
    }
    assert model(batch)["y"].shape == (3,)
    assert model.predict(batch)["y"].shape == (3,)
    with pytest.raises(KeyError):
        model({})


@BOTH
@pytest.mark.parametrize("text", NASTY)
def test_quotes_newlines_and_code_are_data(*, text: str, optimize: bool) -> None:
    """In `about`, `column` and `label`, every text is kept unchanged, and the file compiles."""
    check(text, text, f"{text}2", optimize=optimize)  # the same column cannot be both


@given(st.text(max_size=30), st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
@settings(max_examples=30)
def test_any_text_is_data(about: str, column: str, label: str) -> None:
    """Any text from hypothesis is kept or rejected with a diagnostic; the file always compiles."""
    try:
        archspec.load(text_with(about, column, label))
    except archspec.SpecError:
        return
    check(about, column, label, optimize=False)


@pytest.mark.parametrize("name", ["Tiny", "a-b", "class", "a b", "__init__", "é", "a\nb", '"', "1a", "", "a.b", "$x"])
def test_names_that_become_code_are_plain_names(name: str) -> None:
    """Names of the spec, inputs, tasks, experts and gates appear in code, so anything but a plain name is rejected."""
    sound = {
        "archspec": 1, "name": "tiny", "inputs": {"x": {"kind": "dense", "dim": 2}}, "tasks": {"y": {"kind": "binary"}},
        "levels": [{"experts": {"e": {"units": [2], "from": "x"}}, "gates": {"y": {"sees": "all"}}}],
        "towers": {"y": {}},
    }  # fmt: skip
    archspec.load(json.dumps(sound))
    text = json.dumps(sound)
    for old in ('"tiny"', '"x": {', '"y": {"kind"', '"e": {', '"y": {"sees"', '"y": {}'):
        new = old.replace(old.split('"')[1], json.dumps(name)[1:-1], 1)
        with pytest.raises(archspec.SpecError):
            archspec.load(text.replace(old, new))
