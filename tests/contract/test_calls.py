"""Every method that archspec calls on a kind: a defect is reported with the method and the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import Field
from torch import Tensor, nn

import archspec
from archspec import (
    Column,
    ExpertKind,
    KindError,
    SpecError,
)
from archspec.compiler.count import count
from archspec.contract.calls import _ANSWERS, MAKES_TENSORS
from archspec.contract.kinds import BASES
from archspec.contract.methods import methods
from archspec.graph.calls import call
from archspec.graph.load import graph_of
from archspec.graph.widths import seen_by
from archspec.program import TrainedGate
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.contract import Category, Kind, KindClass
    from archspec.diagnostics import Diagnostic

SPEC = """
archspec: 1
name: tiny
inputs:
  x: {kind: dense, dim: 4}
  made: {kind: INPUT}
feature_gates:
  scaled: {from: [x, made], per: element, kind: FEATURE_GATE}
tasks:
  a: {kind: TASK, loss: LOSS}
  b: {kind: binary}
levels:
  - experts:
      shared: {count: 2, kind: EXPERT, from: scaled}
    gates:
      a: {sees: shared, kind: GATE}
towers:
  a: {kind: TOWER}
fusion:
  score: {kind: FUSION, of: [a]}
  b: {kind: FUSION, of: [a]}
balance: BALANCE
"""
USUAL = {
    "INPUT": "dense, dim: 2", "FEATURE_GATE": "sigmoid", "LOSS": "logistic", "EXPERT": "identity", "GATE": "softmax",
    "TOWER": "mlp, units: []", "FUSION": "product", "BALANCE": "sum",
    "TASK": "binary",
}  # fmt: skip


class _Layer(nn.Module):
    """A linear layer on the selector or stream."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class _Total(archspec.BalanceModule):
    """Adds the losses."""

    def forward(self, losses: Tensor, counted: Tensor) -> Tensor:
        return losses.sum()


def _through(self: Any, at: Any, x: Any, *_: Any) -> Any:  # noqa: ANN401, ARG001 - for several categories
    return x


SOUND: dict[str, dict[str, Callable[..., Any]]] = {
    "input": {"width": lambda *_: 2, "column": lambda *_: Column("float", ("B", 2)), "lower": _through},
    "expert": {"width": lambda _, width: width, "lower": _through},
    "tower": {"width": lambda _, width: width, "lower": _through},
    "gate": {"lower": lambda _, at, gate: at.linear(gate.selector, gate.seen.count, "head")},
    "feature_gate": {"lower": lambda _, at, x, count: at.linear(x, count, "head")},
    "fusion": {"lower": lambda *given: given[-1][0].logits, "logits": lambda *given: given[-1][0].logits},
    "task": {"default_loss": lambda *_: {"kind": "mse"}},
    "loss": {"rows": lambda _, logits, labels: logits - labels},
    "balance": {"build": lambda *_: _Total()},
}
"""The methods that a working kind of each category needs."""

BUILT: dict[str, Callable[..., Any]] = {
    "expert": lambda _, width: _Layer(width, width),
    "tower": lambda _, width: _Layer(width, width),
    "gate": lambda _, seen: _Layer(seen.selector, seen.count),
    "feature_gate": lambda _, width, count: _Layer(width, count),
}
"""The same for kinds with `build` instead of `lower`."""


def odd(category: Category, method: str, defect: Callable[..., Any]) -> KindClass:
    """A kind that works except for one method."""
    sound = {**SOUND[category], method: defect}
    if method in {"build", "parameters", "flops"} and category in BUILT:
        del sound["lower"]
        sound = {"build": BUILT[category], **sound}
    made = {name: with_arguments(BASES[category], name, function) for name, function in sound.items()}
    body: dict[str, Any] = {"__module__": __name__, **made}
    if category == "task":
        body |= {"output": "binary", "score": "sigmoid"}
    if category == "fusion":
        body |= {"__annotations__": {"of": "tuple[str, ...]"}, "of": Field(...)}
    cls = type("Odd", (BASES[category],), body)
    globals()["Odd"] = cls  # a built file imports it from here
    cls.__qualname__ = "Odd"
    marked: KindClass = getattr(archspec, category)("odd")(cls)
    return marked


def with_arguments(base: type[Kind], method: str, function: Callable[..., Any]) -> Any:  # noqa: ANN401 - a function
    """Gives the function the arguments of a method of the base class."""
    code = methods(base)[method].__code__
    names = ", ".join(code.co_varnames[: code.co_argcount])
    made: dict[str, Any] = {}
    exec(f"def {method}({names}): return function({names})", {"function": function}, made)  # noqa: S102 - written here
    return made[method]


def with_kinds(text: str, **kinds: str) -> str:
    """The text of a spec with the usual kind in each place, except where another is given."""
    for word, kind in (USUAL | kinds).items():
        text = text.replace(f": {word}", f": {kind}")
    return text


def everything(category: Category, cls: KindClass) -> tuple[Diagnostic, ...]:
    """Loads, counts and compiles a spec that uses the kind, and builds its loss; returns what is reported."""
    text = SPEC.replace(", loss: LOSS", "") if category == "task" else SPEC
    spec = archspec.load(with_kinds(text, **{category.upper(): "odd"}), plugins=[cls])
    graph = graph_of(spec)
    count(graph)
    for node in graph.nodes.values():
        if node.category == "gate":  # as when weights move to a model with more experts
            seen = seen_by(graph, node)
            assert isinstance(node.block, Block)
            trained = TrainedGate(node.block.settings, seen, tuple(range(seen.count)))
            call(node, "entering", seen, trained, 0.1)
    archspec.MultiTaskLoss(archspec.compile(spec, seed=0))
    return spec.diagnostics


CALLED = [
    (category, name)
    for category, base in BASES.items()
    for name in methods(base)
    if name not in MAKES_TENSORS and not (category == "tower" and name in methods(ExpertKind))
]


def test_every_method_has_a_declared_result() -> None:
    """A method that is added to a base class must also have a line that declares its return type."""
    for base in BASES.values():
        assert all(any(vars(cls).get(name) in _ANSWERS for cls in base.__mro__) for name in methods(base))


@pytest.mark.parametrize("category", BASES)
def test_the_kinds_of_these_tests_work(category: Category) -> None:
    """Without a defect nothing is reported, so what the tests below find is caused by the defect."""
    assert everything(category, odd(category, "detail", lambda *_: "")) == ()
    if category in BUILT:
        assert everything(category, odd(category, "build", BUILT[category])) == ()


@pytest.mark.parametrize(("category", "method"), CALLED)
def test_a_method_that_raises_is_named(category: Category, method: str) -> None:
    """An error in a plugin's method is AS502, with the method, the location of the class and the original message."""

    def failing(*_: object) -> None:
        raise RuntimeError("out of ideas")

    with pytest.raises(SpecError) as error:
        everything(category, odd(category, method, failing))
    for found in error.value.diagnostics:
        assert found.code == "AS502"
        assert f"failed in `{method}`: RuntimeError: out of ideas" in found.message
        assert found.span is not None


@pytest.mark.parametrize(("category", "method"), CALLED)
def test_a_method_that_returns_something_else_is_named(category: Category, method: str) -> None:
    """A return value of the wrong type is AS502, with the method and the required type."""
    with pytest.raises(SpecError) as error:
        everything(category, odd(category, method, lambda *_: [object]))
    found = error.value.diagnostics[0]
    assert found.code == "AS502"
    assert f"`{method}`" in found.message
    assert "its kind `odd` (" in found.message
    assert found.help


@pytest.mark.parametrize(("category", "method"), CALLED)
def test_a_method_may_object(category: Category, method: str) -> None:
    """Any method may raise KindError, whose message and help become a diagnostic."""

    def objecting(*_: object) -> None:
        raise KindError("suits no one", help="choose another kind")

    with pytest.raises(SpecError) as error:
        everything(category, odd(category, method, objecting))
    found = error.value.diagnostics[0]
    assert (found.code, found.help) == ("AS210", "choose another kind")
    assert "suits no one" in found.message


@pytest.mark.parametrize(
    ("category", "method", "answer", "words"),
    [
        ("expert", "width", 4.0, "returns 4.0 as its `width`, which must be a whole number of at least 1"),
        ("expert", "width", True, "returns True as its `width`"),
        ("input", "width", -1, "a whole number of at least 0"),
        ("input", "column", Column("float", (2,)), 'whose shape begins with "B"'),
        ("input", "columns", {"no_setting": Column("int", ("B",))}, "a dict from settings"),
        ("input", "domain", ["a", "b"], "a tuple of names or None"),
        ("gate", "check", "suits no one", "which must be None"),
        ("gate", "chosen", 0, "a whole number of at least 1 or None"),
        ("expert", "parameters", -1.5, "a whole number of at least 0 or None"),
        ("feature_gate", "flops", "many", "a whole number of at least 0 or None"),
        ("fusion", "excess", ("a",), "a pair of texts or None"),
        ("fusion", "auxiliary", 1.0, "which must be None"),
        ("tower", "idle", {"units": "a reason"}, "a dict from paths of settings"),
        ("tower", "idle", {("no_setting",): "a reason"}, "a dict from paths of settings"),
        ("task", "outputs", 0, "a whole number of at least 1"),
        ("task", "class_count", 1, "a whole number of at least 2 or None"),
        ("task", "default_loss", "mse", 'a dict with the "kind" of a loss'),
        ("loss", "detail", None, "which must be text"),
        ("balance", "build", nn.Identity(), "which must be an archspec.BalanceModule"),
        ("expert", "build", sum, "which must be an nn.Module"),
    ],
)
def test_near_misses_are_refused(category: Category, method: str, answer: object, words: str) -> None:
    """A list for a tuple, a float for a whole number and a sentence returned instead of a KindError are reported."""
    with pytest.raises(SpecError) as error:
        everything(category, odd(category, method, lambda *_: answer))
    assert words in error.value.diagnostics[0].message


@pytest.mark.parametrize(("annotation", "of"), [("str", "a"), ("int", 1), ("tuple[int, ...]", (1,))])
def test_a_fusion_names_its_parts(annotation: str, of: object) -> None:
    """A setting `of` of the wrong type would be read letter by letter or not at all; it is reported with the class."""

    class Base(archspec.FusionKind):
        def auxiliary(self, at: archspec.Scope, parts: tuple[archspec.Part, ...]) -> None:
            """Adds nothing."""

    body = {"__module__": __name__, "__annotations__": {"of": annotation}, "of": of}
    kind: Any = archspec.fusion("odd")(type("Odd", (Base,), body))
    text = SPEC.replace("  score: {kind: FUSION, of: [a]}\n  b: {kind: FUSION, of: [a]}", "  score: {kind: odd}")
    with pytest.raises(SpecError) as error:
        archspec.load(with_kinds(text).replace("\n  b: {kind: binary}", ""), plugins=[kind])
    assert "as its `of`, which must be a tuple of names" in error.value.diagnostics[0].message
