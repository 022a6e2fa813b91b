"""Sections: version, names, required parts."""

from __future__ import annotations

import pytest

from archspec.diagnostics import SpecError
from archspec.graph.load import load

HEAD = "archspec: 1\nname: x\n"
BODY = "inputs: {x: {kind: dense, dim: 8}}\ntasks: {ctr: {kind: binary}}\ntowers: {ctr: {units: [4]}}\n"


def codes(text: str) -> list[str]:
    """Codes of the errors of a spec."""
    with pytest.raises(SpecError) as caught:
        load(text)
    return [item.code for item in caught.value.diagnostics]


def test_the_smallest_spec() -> None:
    """Inputs, tasks and towers suffice; empty sections are equivalent to missing ones."""
    spec = load(HEAD + BODY)
    empty = "levels:\nabout:\ngroups:\nfusion:\nbalance:\ndefaults:\nsets:\nrequires:\nfeature_gates:\n"
    assert load(HEAD + BODY + empty).text() == spec.text()


def test_a_level_may_have_no_gates() -> None:
    """`gates` may be empty or missing: Shared-Bottom's towers read the experts."""
    for gates in ("", ", gates: {}", ", gates: "):
        text = f"levels: [{{experts: {{bottom: {{units: [4]}}}}{gates}}}]\n"
        tower = BODY.replace("{units: [4]}", "{from: level1.experts.bottom, units: [4]}")
        assert load(HEAD + tower + text).levels[0].gates == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name: x\n" + BODY, ["AS101"]),
        ("archspec: 2\nname: x\n" + BODY, ["AS102"]),
        (HEAD + BODY + "level: []", ["AS103"]),
        (HEAD, ["AS104", "AS104", "AS104"]),
        ("archspec: 1\n" + BODY, ["AS104"]),
        (HEAD + BODY.replace("kind: binary", "kind: multiclass, classes: 1, loss: cross_entropy"), ["AS109"]),
        (HEAD + BODY.replace("kind: binary", "kind: binary, loss: []"), ["AS109"]),
        (HEAD + BODY.replace("ctr:", "Ctr:"), ["AS105"]),
        (HEAD + BODY + "balance: 3", ["AS109"]),
        (HEAD + BODY + "groups: {g: }", ["AS109"]),
    ],
)
def test_mistakes_of_sections(text: str, found: list[str]) -> None:
    """Each mistake is reported once, without follow-up errors."""
    assert codes(text) == found


def test_a_list_of_losses() -> None:
    """A task may have several losses; each is checked against its kind."""
    spec = load(HEAD + BODY.replace("kind: binary", "kind: regression, loss: [mse, {kind: huber, delta: 0.5}]"))
    assert spec.data()["tasks"]["ctr"]["loss"] == ["mse", {"kind": "huber", "delta": 0.5}]
    assert codes(HEAD + BODY.replace("kind: binary", "kind: regression, loss: [mse, logistic]")) == ["AS109"]
