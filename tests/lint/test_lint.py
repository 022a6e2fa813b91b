"""Every odd spec in this folder is accepted, with the recorded warnings and notes (see tests/bad/test_bad.py)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import archspec
from archspec.diagnostics import CODES, render
from archspec.graph.load import load

HERE = Path(__file__).parent
SPECS = sorted(path.stem for path in HERE.glob("*.yaml"))


@pytest.mark.parametrize("name", SPECS)
def test_warnings_are_the_golden_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An odd spec is accepted with exactly the recorded messages."""
    monkeypatch.chdir(HERE)
    spec = load(f"{name}.yaml")
    text = render(spec.diagnostics, "full") + "\n"
    golden = HERE / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()
    assert {item.severity for item in spec.diagnostics} <= {"warning", "note"}
    assert spec.diagnostics


def test_every_lint_has_an_example() -> None:
    """Each code of the lints is in one of these specs, except AS310 of the compiler (tests/graph/test_limits.py)."""
    texts = "".join((HERE / f"{name}.txt").read_text() for name in SPECS)
    assert [
        code for code in CODES if code.startswith(("AS234", "AS235", "AS3")) and code != "AS310" and code not in texts
    ] == []


@pytest.mark.parametrize("embedding", ["linear", "autodis", "buckets, boundaries: [1.0]", "periodic"])
def test_the_canonical_form_has_no_new_findings(embedding: str) -> None:
    """Defaults that `expand` writes out are not reported as settings without effect."""
    text = (
        f"archspec: 1\nname: x\ninputs: {{x: {{kind: numeric, dim: 4, embedding: {embedding}}}}}\n"
        "tasks: {t: {}}\ntowers: {t: {from: x}}\n"
    )
    spec = archspec.load(text)
    assert spec.diagnostics == archspec.load(spec.text()).diagnostics == ()
