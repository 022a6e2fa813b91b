"""The defaults that make the short form work."""

from __future__ import annotations

import pytest

from archspec.diagnostics import SpecError
from archspec.graph.load import load

HEAD = "archspec: 1\nname: x\ninputs: {x: {kind: dense, dim: 8}}\ntasks: {ctr: {kind: binary}}\n"


def test_without_levels_a_tower_reads_the_inputs() -> None:
    """Without levels there is no gate, so a tower reads the inputs."""
    assert load(HEAD + "towers: {ctr: {units: [4]}}").data()["towers"]["ctr"]["from"] == "inputs"


def test_a_static_kind_has_no_selector() -> None:
    """A kind without a selector gets `none` instead of a stream."""
    text = (
        HEAD + "levels: [{experts: {a: {units: [4]}}, gates: {ctr: {sees: a, kind: hard_concrete}}}]\ntowers: {ctr: {}}"
    )
    assert load(text).data()["levels"][0]["gates"]["ctr"]["selector"] == "none"


def test_a_feature_gate_is_steered_by_what_it_scales() -> None:
    """Without `selector`, a feature gate uses `from` as its selector."""
    text = HEAD + "feature_gates: {f: {from: x, per: element, kind: sigmoid}}\ntowers: {ctr: {from: f}}"
    gate = load(text).data()["feature_gates"]["f"]
    assert gate["from"] == gate["selector"] == "x"


@pytest.mark.parametrize(
    ("level", "what"),
    [("experts: {b: {units: [4]}}, gates: {ctr: {sees: b}}", "expert group `b`"),
     ("experts: {ctr: {units: [4]}}, gates: {top: {sees: ctr}}", "gate `top`")],
)  # fmt: skip
def test_a_stream_that_is_missing(level: str, what: str) -> None:
    """At a later level, a block that is not named after a gate of the level below needs `from`."""
    text = HEAD + f"levels: [{{experts: {{a: {{units: [4]}}}}, gates: {{ctr: {{sees: a}}}}}}, {{{level}}}]\n"
    with pytest.raises(SpecError) as caught:
        load(text + "towers: {ctr: {from: level1.gates.ctr}}")
    assert caught.value.diagnostics[0].code == "AS203"
    assert caught.value.diagnostics[0].message.startswith(what)
