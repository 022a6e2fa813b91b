"""Towers: switches over domains, towers that read towers, several classes, and the predictions of `predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import archspec
from tests.compiler.models import BOTH, HEAD, assert_agree, batch_of, model_of, run

if TYPE_CHECKING:
    from collections.abc import Callable

INPUTS = "inputs: {x: {kind: dense, dim: 5}, place: {kind: domain, values: [p, q, r]}}\n"


def layer(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """A linear layer of the model."""
    return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


@BOTH
def test_each_row_takes_its_own_case(*, optimize: bool) -> None:
    """Cases may differ in depth and width; a row's gradient reaches its own case only."""
    cases = "{p: {from: x, units: [4]}, q: {from: x}, r: {from: x, units: [3, 2]}}"
    text = HEAD + INPUTS + f"tasks: {{y: {{kind: binary}}}}\ntowers: {{y: {{switch: place, cases: {cases}}}}}\n"
    model, batch = model_of(text, optimize=optimize), batch_of(text, 9)
    weights = dict(model.named_weights())
    for index, (value, depth) in enumerate((("p", 1), ("q", 0), ("r", 2))):
        rows = {"x": batch["x"][:4], "place": torch.full((4,), index)}
        h = rows["x"]
        for number in range(depth):
            h = torch.relu(layer(weights, f"towers.y.cases.{value}.layers.{number}", h))
        outputs, gradients, _ = run(model, rows)
        assert_agree(outputs, {"y": layer(weights, f"towers.y.cases.{value}.head", h).squeeze(-1)}, 1e-12)
        assert {name.split(".")[3] for name, gradient in gradients.items() if gradient.any()} == {value}
    mixed = model(batch)["y"]
    for row in range(9):
        alone = model({key: value[row : row + 1] for key, value in batch.items()})["y"]
        torch.testing.assert_close(alone, mixed[row : row + 1], rtol=1e-12, atol=1e-12)


@BOTH
def test_a_switch_of_several_classes(*, optimize: bool) -> None:
    """Each case of a multiclass tower outputs all classes."""
    text = HEAD + INPUTS + "tasks: {y: {kind: multiclass, classes: 4}}\n"
    text += "towers: {y: {switch: place, cases: {$domain: {from: x, units: [2]}}}}\n"
    model, batch = model_of(text, optimize=optimize), batch_of(text, 7)
    logits = model(batch)["y"]
    assert logits.shape == (7, 4)
    assert_agree(model.predict(batch), {"y": logits.softmax(-1)}, 1e-12)


@BOTH
def test_a_tower_reads_the_last_hidden_vector_of_another(*, optimize: bool) -> None:
    """`towers.a` is the input of a's head, not a's logit; a switch passes on that of the row's case."""
    text = HEAD + INPUTS + "tasks: {a: {kind: binary}, b: {kind: binary}}\n"
    text += "towers: {a: {switch: place, cases: {$domain: {from: x, units: [3]}}}, b: {from: [x, towers.a]}}\n"
    model, batch = model_of(text, optimize=optimize), batch_of(text, 7)
    weights = dict(model.named_weights())
    hidden = torch.stack([torch.relu(layer(weights, f"towers.a.cases.{v}.layers.0", batch["x"])) for v in "pqr"], dim=1)
    own = hidden[torch.arange(7), batch["place"]]
    wanted = layer(weights, "towers.b.head", torch.cat([batch["x"], own], dim=1)).squeeze(-1)
    torch.testing.assert_close(model(batch)["b"], wanted, rtol=1e-12, atol=1e-12)


@BOTH
def test_predict_gives_probabilities_and_values(*, optimize: bool) -> None:
    """Sigmoid for binary, softmax for classes, the raw value for regression; a tower without a task is binary."""
    text = HEAD + INPUTS + "tasks: {a: {kind: binary}, b: {kind: regression}, c: {kind: multiclass, classes: 3}}\n"
    text += "towers: {$task: {from: x}, free: {from: x}, value: {from: x, output: regression}}\n"
    model, batch = model_of(text, optimize=optimize), batch_of(text, 5)
    logits = model(batch)
    kinds = {"a": "s", "b": "v", "c": "m", "free": "s", "value": "v"}
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "s": torch.sigmoid,
        "v": lambda x: x,
        "m": lambda x: x.softmax(-1),
    }
    scores = model.predict(batch)
    assert_agree(scores, {name: functions[kind](logits[name]) for name, kind in kinds.items()}, 1e-12)
    assert not any(score.requires_grad for score in scores.values())
    assert [logits[name].shape for name in kinds] == [(5,), (5,), (5, 3), (5,), (5,)]


def test_a_switch_needs_every_case() -> None:
    """A value of the domain without a case is an error of the spec."""
    text = (
        HEAD
        + INPUTS
        + "tasks: {y: {kind: binary}}\ntowers: {y: {switch: place, cases: {p: {from: x}, q: {from: x}}}}\n"
    )
    with pytest.raises(archspec.SpecError, match="AS213"):
        archspec.load(text)
