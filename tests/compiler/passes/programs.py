"""Builds programs before and after a pass, and compares their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

import archspec
from archspec.compiler.compile import Built, build, instantiate
from archspec.compiler.passes import PassResult
from archspec.graph.load import graph_of
from archspec.nn.measure import random_batch
from archspec.program import Builder, Program, Scope, Value, verify
from archspec.program.nodes import NodeName

Pass = Callable[[Program], PassResult]

HEAD = """
archspec: 1
name: small
inputs:
  x: {kind: dense, dim: 5}
  a: {kind: sparse, vocab: 7, dim: 3}
  b: {kind: sparse, vocab: 4, dim: 3}
  c: {kind: sparse, vocab: 4, dim: 2}
tasks: {one: {}, two: {}}
"""
PLE = (
    HEAD
    + """
levels:
  - repeat: 2
    experts:
      $task: {count: 2, units: [6, 4]}
      shared: {count: 3, units: [6, 4]}
    gates:
      $task: {sees: [$task, shared]}
      shared: {sees: all}
towers:
  $task: {units: [3]}
"""
)


def plain(text: str) -> Built:
    """The plain program of a spec's text."""
    return build(graph_of(archspec.load(text)), optimize=False)


def program_of(make: Callable[[Scope, Value], Value]) -> Program:
    """A program that returns the result of `make` for x `[B, 4]`."""
    builder = Builder(lambda *_: x, lambda _: x)
    at = Scope(builder, NodeName())
    x = at.op("column", (), ("B", 4), key="x", source="batch")
    builder.output("logits", "y", make(at, x))
    return verify(builder.program())


def after(built: Built, *passes: Pass) -> tuple[Built, PassResult]:
    """The program after the passes, each result verified, and the result of the last pass."""
    result = PassResult(built.lowered.forward)
    for run in passes:
        result = run(built.lowered.forward)
        verify(result.program, after=run.__name__)
        built = replace(built, lowered=replace(built.lowered, forward=result.program))
    return built, result


def outputs_and_gradients(built: Built) -> dict[str, Tensor]:
    """Logits, gate weights, and the gradient of every canonical weight, in float64 on one random batch."""
    model = instantiate(built, seed=0).double()
    columns = [(key, c.dtype, c.shape, c.low, c.high) for key, c in built.lowered.columns.values()]
    batch = {name: x.double() if x.is_floating_point() else x for name, x in random_batch(columns, 6).items()}
    logits = model(batch)
    torch.stack([value.square().sum() for value in logits.values()]).sum().backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    found = {f"logit {name}": value.detach() for name, value in logits.items()}
    found |= {f"gate {name}": value for name, value in model.gate_weights(batch).items()}
    for storage in (s for s in built.lowered.forward.storages.values() if s.trainable):
        for slot in storage.slots:
            found[f"gradient {slot.weight}"] = _gradient(model, slot.weight)
    return found


def _gradient(model: torch.nn.Module, weight: str) -> Tensor:
    """The gradient of a canonical weight, cut out of the tensor that holds it; zero if there is none."""
    view = dict(model.named_weights())[weight]  # type: ignore[operator] # a compiled module
    for parameter in model.parameters():
        start = view.storage_offset() - parameter.storage_offset()
        if view.untyped_storage().data_ptr() == parameter.untyped_storage().data_ptr():
            if parameter.grad is None:
                return torch.zeros_like(view)
            return parameter.grad.as_strided(view.shape, view.stride(), start)
    raise AssertionError(f"nothing holds {weight}")


def assert_same(one: Built, other: Built) -> None:
    """Asserts that outputs, gate weights and gradients agree to 1e-10."""
    left, right = outputs_and_gradients(one), outputs_and_gradients(other)
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=0, atol=1e-10, msg=partial("{}: {}".format, name))
