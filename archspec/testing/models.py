"""Checks of kinds that are part of a model: inputs, experts, gates, feature gates, towers, fusions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from archspec.compiler.compile import Built, build, built_modules, instantiate
from archspec.compiler.count import count
from archspec.diagnostics import SpecError
from archspec.graph.calls import call
from archspec.graph.load import graph_of
from archspec.program import Output
from archspec.program.nodes import NodeName
from archspec.testing.running import (
    Tensors,
    batch_for,
    difference,
    failing_with,
    gradients,
    numerical_gradients,
    run,
    state,
)
from archspec.testing.tiny import Tiny, tiny_spec

if TYPE_CHECKING:
    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled
    from archspec.program import Value

ROWS = 7
TOLERANCE = 1e-10
"""Tolerance for float64 sums in a different order."""


def check_model(tiny: Tiny, *, gradcheck: bool) -> None:
    """Runs all checks, those with the most informative messages first. Raises AssertionError."""
    built = _built(tiny)
    _same_source(tiny, built)
    _widths(tiny, built)
    try:
        wider = _built(tiny.twice_as_wide())
    except AssertionError as error:
        if not _refused(error.__cause__):
            raise
    else:
        _widths(tiny.twice_as_wide(), wider)
    with failing_with(tiny, "creating the plain and the optimized model from one seed"):
        models = [instantiate(each, seed=0).double() for each in (built, build(built.graph))]
    _costs(tiny, built, models[0])
    _same_weights(tiny, models)
    _moved(models)
    batch = batch_for(built.plain.columns, ROWS)
    for model, what in zip(models, ("plain", "optimized"), strict=True):
        _state(tiny, model, batch, what)
        _batch_sizes(tiny, model, batch, what)
    if gradcheck:
        numerical_gradients(tiny, models[0], batch_for(built.plain.columns, 3))
    _equal(tiny, models[0], models[1], batch)
    _compiles(tiny, models[1], batch)


def _refused(error: BaseException | None) -> bool:
    """Whether a kind refused this width, which it may do, rather than failing."""
    return isinstance(error, SpecError) and all(item.code != "AS502" for item in error.diagnostics)


# -- building --------------------------------------------------------------------------------------------------------


def _built(tiny: Tiny) -> Built:
    """The plain program of the kind's spec."""
    with failing_with(tiny, f"building a model with an `x` of width {tiny.width}"):
        return build(graph_of(tiny_spec(tiny)), optimize=False)


def _same_source(tiny: Tiny, built: Built) -> None:
    again = _built(tiny)
    assert again.source == built.source, (
        f"{tiny.label}: expected a second build to return the same file; does `lower` keep state?"
    )


def _costs(tiny: Tiny, built: Built, model: Compiled) -> None:
    """Checks the results of `parameters` and `flops`, and the number of parameters against the modules."""
    with failing_with(tiny, "counting parameters and FLOPs"):
        count(built.graph)
    for name, module in built_modules(built, model).items():
        node = built.graph.nodes[name]
        declared = call(node, "parameters", *built.lowered.forward.modules[name].arguments)
        found = sum(parameter.numel() for parameter in module.parameters())
        assert declared in {None, found}, (
            f"{tiny.label}: its `parameters` returns {declared}, but its module has {found}"
        )


def _same_weights(tiny: Tiny, models: list[Compiled]) -> None:
    plain, optimized = (dict(model.named_weights()) for model in models)
    assert (found := difference(plain, optimized, 0.0)) is None, (
        f"{tiny.label}: expected the plain and the optimized model to have equal initial weights for one seed; {found}"
    )


def _moved(models: list[Compiled]) -> None:
    """Moves the weights away from special initial values such as zero gates, to the same values in both models."""
    plain, optimized = models
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    optimized.load_weights(dict(plain.named_weights()))


# -- shapes ----------------------------------------------------------------------------------------------------------


def _widths(tiny: Tiny, built: Built) -> None:
    """Checks that values in a forward pass have the shapes that `width` and `lower` declare."""
    probes = [(value, shape) for value, shape in _promised(tiny, built.graph, built)]
    rule = "its `width` declares" if tiny.category in {"input", "expert", "tower"} else "its category requires"
    outputs = tuple(Output("logits", f"probe{i}", value) for i, (value, _) in enumerate(probes))
    probed = replace(built, lowered=replace(built.lowered, forward=replace(built.lowered.forward, outputs=outputs)))
    with failing_with(tiny, f"a forward pass of {ROWS} rows, where {rule} {_shapes(probes)}"):
        model = instantiate(probed, seed=0).double().eval()
        made = model(batch_for(built.plain.columns, ROWS))
    for index, (value, shape) in enumerate(probes):
        found = tuple(made[f"probe{index}"].shape)
        wanted = tuple(ROWS if size == "B" else size for size in shape)
        assert found == wanted, (
            f"{tiny.label}: {rule} {list(shape)}, but a forward pass of {ROWS} rows, with `x` of width {tiny.width}, "
            f"returns {list(found)}"
        )
        assert tuple(ROWS if size == "B" else size for size in value.shape) == found, (
            f"{tiny.label}: `lower` returns a value of shape {list(value.shape)}, but a forward pass returns "
            f"{list(found)}"
        )


def _shapes(probes: list[tuple[Value, tuple[int | str, ...]]]) -> str:
    return ", ".join(dict.fromkeys(str(list(shape)) for _, shape in probes))


def _promised(tiny: Tiny, graph: Graph, built: Built) -> list[tuple[Value, tuple[int | str, ...]]]:
    """Values of the kind, with the shapes that they must have. Raises AssertionError if `lower` returns no value."""
    named: dict[str, tuple[int | str, ...]]
    match tiny.category:
        case "input":
            named = {name: _declared(graph, NodeName("inputs", name)) for name in ("made", "more")}
        case "expert":
            groups = [NodeName("experts", name, level=1) for name in ("one", "two")]
            experts = [group.member(number) for group in groups for number in (0, 1)]
            named = {f"{expert.name}_{expert.number}": _declared(graph, expert) for expert in experts}
        case "gate":
            gates = [NodeName("gates", name, level=1) for name in ("one", "two")]
            named = {f"{gate.name}_weights": ("B", len(graph.seen[gate])) for gate in gates}
        case "feature_gate":
            per_field = tiny.read(tiny.text()).feature_gates["first"].common.per == "field"
            count = 2 if per_field else tiny.width + 4
            named = {f"{name}_factors": ("B", count) for name in ("first", "second")}
        case "tower":
            named = {f"{name}_hidden": _declared(graph, NodeName("towers", name)) for name in ("one", "two", "many")}
        case _:
            named = {"asked_logit": ("B",)}
    hints, program = built.lowered.forward.hints, built.lowered.forward
    # The last value of a name: an input's column comes before the stream that is made of it.
    made = {hint: op.output for op in program.ops if (hint := hints.get(op.output.name)) in named}
    static = tiny.category == "gate"
    return [
        (value, named[hint][1:] if static and len(value.shape) == 1 else named[hint]) for hint, value in made.items()
    ]


def _declared(graph: Graph, name: str) -> tuple[int | str, ...]:
    """The shape of a node's output: rows, or tokens."""
    count = graph.tokens.get(name)
    return ("B", *(() if count is None else (count,)), graph.widths[name] or 0)


# -- running ---------------------------------------------------------------------------------------------------------


def _batch_sizes(tiny: Tiny, model: Compiled, batch: Tensors, what: str) -> None:
    """Checks 7, 1 and 0 rows in evaluation; the result of a row must not depend on the other rows."""
    model.eval()
    whole: Tensors = {}
    for rows in (ROWS, 1, 0):
        part = {key: column[:rows] for key, column in batch.items()}
        with failing_with(tiny, f"the {what} model with a batch of {rows} rows"):
            found = {**model(part), **{f"score {name}": score for name, score in model.predict(part).items()}}
        whole = whole or {name: value.detach() for name, value in found.items()}
        for name, value in found.items():
            wanted = (rows, *whole[name].shape[1:])
            assert tuple(value.shape) == wanted, (
                f"{tiny.label}: expected `{name}` of shape {list(wanted)} for a batch of {rows} rows, got "
                f"{list(value.shape)} ({what} model)"
            )
            assert value.isfinite().all(), f"{tiny.label}: `{name}` is not finite ({what} model): {value.tolist()}"
        first = {name: value[:rows] for name, value in whole.items()}
        assert (other := difference(found, first, TOLERANCE)) is None, (
            f"{tiny.label}: expected the result of a row not to depend on other rows, in evaluation; {other}"
        )


def _state(tiny: Tiny, model: Compiled, batch: Tensors, what: str) -> None:
    """Checks that evaluation changes nothing, that training changes only buffers, and that there is no other state."""
    model.eval()
    with failing_with(tiny, f"the {what} model with a batch of {ROWS} rows"):
        before, first = state(model), run(model, batch)
    assert (found := difference(run(model, batch), first, 0.0)) is None, (
        f"{tiny.label}: expected the same outputs from a second call in evaluation; {found}: it keeps state between "
        f"calls, or draws random numbers when `training` is False ({what} model)"
    )
    assert (found := difference(state(model), before, 0.0)) is None, (
        f"{tiny.label}: expected evaluation not to change weights and buffers; {found} ({what} model)"
    )
    model.train()
    with failing_with(tiny, f"the {what} model in training"):
        first = run(model, batch)
    after = state(model)
    changed = [name for name, _ in model.named_parameters() if not torch.equal(after[name], before[name])]
    assert not changed, f"{tiny.label}: a forward pass changed parameters: {', '.join(changed)}"
    model.load_state_dict(before)
    assert (found := difference(run(model, batch), first, 0.0)) is None, (
        f"{tiny.label}: expected the same results for the same weights, buffers and seed in training; {found}: it "
        f"keeps state outside of its buffers ({what} model)"
    )
    model.load_state_dict(before)


def _equal(tiny: Tiny, plain: Compiled, optimized: Compiled, batch: Tensors) -> None:
    """Compares plain and optimized outputs, gradients, losses and buffers; in training too if nothing is random."""
    for training in (False, True):
        for model in (plain, optimized):
            model.train(training)
        if training and _is_random(plain, batch):
            continue
        mode = "training" if training else "evaluation"
        for what, of in (("outputs", run), ("gradients", gradients)):
            found = difference(of(optimized, batch), of(plain, batch), TOLERANCE)
            assert found is None, (
                f"{tiny.label}: expected equal {what} of the plain and the optimized model in {mode}; {found}"
            )
        found = difference(dict(optimized.named_weights()), dict(plain.named_weights()), TOLERANCE)
        assert found is None, (
            f"{tiny.label}: expected equal buffers of the plain and the optimized model after {mode}; {found}"
        )


def _is_random(model: Compiled, batch: Tensors) -> bool:
    before = state(model)
    made = []
    for seed in (0, 1):
        made.append(run(model, batch, seed))
        model.load_state_dict(before)
    return difference(made[0], made[1], 0.0) is not None


def _compiles(tiny: Tiny, model: Compiled, batch: Tensors) -> None:
    """Checks that torch.compile finds one graph without breaks, and changes no outputs or gradients in evaluation."""
    torch.compiler.reset()
    whole = torch.compile(model, fullgraph=True, backend="aot_eager")
    model.train()
    before = state(model)
    with failing_with(tiny, "torch.compile(fullgraph=True) in training"):
        gradients(model, batch, whole)
    model.load_state_dict(before)
    model.eval()
    with failing_with(tiny, "torch.compile(fullgraph=True) in evaluation"):
        made = [
            (run(model, batch), gradients(model, batch)),
            (run(model, batch, by=whole), gradients(model, batch, whole)),
        ]
    torch.compiler.reset()
    for what, eager, compiled in zip(("outputs", "gradients"), *made, strict=True):
        assert (found := difference(compiled, eager, TOLERANCE)) is None, (
            f"{tiny.label}: expected torch.compile not to change the {what}; {found}"
        )
