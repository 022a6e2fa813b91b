"""Kinds that violate their contract: the message names the kind, the location of its class, and the violation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import archspec
from archspec import (
    ExpertKind,
    FeatureGateKind,
    FusionKind,
    GateKind,
    KindError,
    Settings,
    SpecError,
    TowerKind,
    Width,
    expert,
    feature_gate,
    fusion,
    gate,
    tower,
)
from archspec.compiler.lower import lower
from archspec.graph.load import graph_of
from archspec.kinds.fusion import Names

if TYPE_CHECKING:
    from archspec.contract import KindClass
    from archspec.program import GateInputs, Part, Scope, Value

SPEC = """
archspec: 1
name: lying
inputs:
  x: {kind: dense, dim: 4}
feature_gates:
  scaled: {from: x, per: element, kind: FEATURE}
tasks:
  a: {kind: binary}
levels:
  - experts:
      shared: {count: 2, kind: EXPERT, from: scaled}
    gates:
      a: {sees: shared, kind: GATE}
towers:
  a: {kind: TOWER}
fusion:
  score: {kind: FUSION, of: [a]}
"""
USUAL = {"EXPERT": "identity", "GATE": "softmax", "TOWER": "mlp, units: []", "FUSION": "sum", "FEATURE": "sigmoid"}


@expert("narrow")
class _Narrow(ExpertKind):
    """Its `width` is that of its input, but its output is narrower."""

    def width(self, input: Width) -> Width:
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        return at.linear(x, 3, "half")


@expert("nothing")
class _Nothing(ExpertKind):
    """Returns nothing."""

    def width(self, input: Width) -> Width:
        return input

    def lower(self, at: Scope, x: Value) -> Value:  # type: ignore[return] # the defect
        at.linear(x, x.width, "layer")


@expert("failing")
class _Failing(ExpertKind):
    """Raises an error in `lower`."""

    def width(self, input: Width) -> Width:
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        settings: dict[str, bool] = {}
        return at.linear(x, x.width, "layer", bias=settings["bias"])


@expert("objecting")
class _Objecting(ExpertKind):
    """Raises a KindError, but only in `lower`."""

    def width(self, input: Width) -> Width:
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        raise KindError("takes an even width", help="add a column")


@expert("illegal")
class _Illegal(ExpertKind):
    """Adds values that cannot be added."""

    def width(self, input: Width) -> Width:
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        return at.sum(x, at.linear(x, 3, "half"))


@gate("short")
class _Short(GateKind):
    """Returns one weight too few."""

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        assert gate.selector is not None
        return at.linear(gate.selector, gate.seen.count - 1, "head")


@gate("values")
class _Values(GateKind):
    """Mixes one value too few."""

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        assert gate.selector is not None
        return at.softmax(at.linear(gate.selector, gate.seen.count, "head"))

    def values(self, at: Scope, gate: GateInputs) -> tuple[Value, ...]:
        return gate.experts[1:]


@feature_gate("factors")
class _Factors(FeatureGateKind):
    """Returns one factor too many."""

    def lower(self, at: Scope, selector: Value, count: int) -> Value:
        return at.linear(selector, count + 1, "head")


@tower("head")
class _Head(TowerKind):
    """A head that ignores the kind of task."""

    def width(self, input: Width) -> Width:
        return input

    def lower(self, at: Scope, x: Value) -> Value:
        return x

    def head(self, at: Scope, hidden: Value, outputs: int) -> Value:
        return hidden


@fusion("wide")
class _Wide(FusionKind):
    """A fusion that returns a row instead of one number per row."""

    of: Names

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        return at.op("concat", (), ("B", 2))


BROKEN: dict[type[Settings], tuple[str, str]] = {
    _Narrow: ("EXPERT", "declares a width of 4, but its `lower` returns [B, 3]"),
    _Nothing: ("EXPERT", "declares a width of 4, but its `lower` returns a `NoneType`"),
    _Failing: ("EXPERT", "failed in `lower`: KeyError: 'bias'"),
    _Illegal: ("EXPERT", "adds an illegal operation: "),
    _Short: ("GATE", "sees 2 experts of width 4, but its `lower` returns [B, 1]"),
    _Values: ("GATE", "sees 2 experts of width 4, but its `values` returns [B, 4]"),
    _Factors: ("FEATURE", "scales 4 elements, but its `lower` returns [B, 5]"),
    _Head: ("TOWER", "needs 1 logit per row, but its `head` returns [B, 4]"),
    _Wide: ("FUSION", "must return one number per row, but its `lower` returns [B, 2]"),
}


def spec_with(place: str, kind: str) -> str:
    """The spec with the kind at one of its places, and usual kinds at the others."""
    text = SPEC
    for key, name in (USUAL | {place: kind}).items():
        text = text.replace(key, name)
    return text


def refused(cls: KindClass, place: str) -> archspec.SpecError:
    """The SpecError that the spec raises with the class at one of its places."""
    ((_, name),) = cls.__dict__["__archspec_kinds__"]
    graph = graph_of(archspec.load(spec_with(place, name), plugins=[cls]))
    with pytest.raises(SpecError) as error:
        lower(graph)
    return error.value


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_a_kind_that_breaks_its_word_is_named_with_its_place(cls: KindClass) -> None:
    """AS502 at the block's line says what the kind declares, what it returned, and the file and line of the class."""
    place, sentence = BROKEN[cls]
    (found,) = refused(cls, place).diagnostics
    ((_, name),) = cls.__dict__["__archspec_kinds__"]
    assert found.code == "AS502"
    assert f"its kind `{name}` ({__file__}:" in found.message
    assert sentence in found.message
    assert found.span is not None
    line = SPEC.splitlines()[found.span.line - 1]
    assert place in line
    assert found.help


def test_a_late_objection_is_the_sentence_of_the_kind() -> None:
    """A KindError from `lower` is AS210 at the block, like one from `check`."""
    (found,) = refused(_Objecting, "EXPERT").diagnostics
    assert (found.code, found.help) == ("AS210", "add a column")
    assert "takes an even width" in found.message


def test_compiling_says_the_same() -> None:
    """Compiling such a spec raises the same message, not a traceback from the compiler."""
    with pytest.raises(SpecError, match="declares a width of 4, but its `lower` returns"):
        archspec.compile(spec_with("EXPERT", "narrow"), plugins=[_Narrow])


@pytest.mark.parametrize("width", ["8", None, 0, -1, 8.0, True])
def test_a_width_that_is_no_width_is_a_diagnostic(width: object) -> None:
    """An expert whose `width` returns anything but a positive whole number is named, with what it returned."""

    class Odd(ExpertKind):
        """Returns the given value as its width."""

        def width(self, input: Width) -> Any:  # noqa: ANN401 - the defect
            return width

        def lower(self, at: Scope, x: Value) -> Value:
            return x

    spec = (
        "archspec: 1\nname: x\ninputs: {x: {kind: dense, dim: 2}}\ntasks: {t: {}}\n"
        "levels: [{experts: {e: {kind: odd}}}]\ntowers: {t: {from: level1.experts.e}}\n"
    )
    with pytest.raises(SpecError) as error:
        archspec.load(spec, plugins=[expert("odd")(Odd)])
    (found,) = error.value.diagnostics
    assert found.code == "AS502"
    assert f"returns {width!r} as its `width`, which must be a whole number of at least 1" in found.message
