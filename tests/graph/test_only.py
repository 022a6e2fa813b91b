"""The part of a model that some outputs need."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import archspec
from archspec import plugins
from archspec.compiler.compile import build, instantiate
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph
from archspec.graph.only import only
from archspec.nn.measure import random_batch

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted((ROOT / "plugins").glob("*.py"))


@pytest.mark.parametrize(
    ("spec", "outputs", "kept"),
    [
        ("ple", ["vtr"], {"vtr"}),
        ("ple", ["vcr", "vtr"], {"vtr", "vcr"}),
        ("shared_bottom", ["stay"], {"stay"}),
        ("esmm", ["ctcvr"], {"ctr", "cvr", "ctcvr"}),
        ("esmm", ["cvr"], {"cvr"}),
        ("escm2", ["ctr"], {"ctr"}),
        ("aitm", ["approve"], {"approve"}),
        ("aitm", ["click"], {"click"}),
        ("meituan_search", ["ctr"], {"ctr"}),
        ("star", ["click"], {"click", "main", "auxiliary"}),
    ],
)
def test_outputs_of_the_smaller_model_are_those_of_the_whole(spec: str, outputs: list[str], kept: set[str]) -> None:
    """With the whole model's weights, the smaller model gives the same scores, and has only the weights they need."""
    graph = load_graph(ROOT / "specs" / f"{spec}.yaml", None, plugins.load(PLUGINS))
    smaller = only(graph, outputs)
    whole, part = (instantiate(build(each), seed=1).eval().double() for each in (graph, smaller))
    own, weights = dict(part.named_weights()), dict(whole.named_weights())
    assert own.keys() <= weights.keys()
    part.load_weights(weights, strict=False)
    columns = [(key, c.dtype, c.shape, c.low, c.high) for key, c in build(graph).lowered.columns.values()]
    batch = {
        name: values.double() if values.is_floating_point() else values
        for name, values in random_batch(columns, 9).items()
    }
    expected, found = whole.predict(batch), part.predict(batch)
    assert set(found) == kept
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=0, atol=1e-12)
    assert (len(own) < len(weights)) == (kept != set(expected))


def test_the_smaller_spec_stands_alone() -> None:
    """Its text is a valid spec of the same model, so that the model can be pickled and exported."""
    graph = load_graph(ROOT / "specs" / "ple.yaml", None, plugins.load([]))
    spec = only(graph, ["vtr"]).spec
    assert archspec.load(spec.text()).digest == spec.digest != graph.spec.digest
    assert list(spec.tasks) == ["vtr"]
    assert spec.diagnostics == ()


def test_everything_is_the_same_model() -> None:
    """Selecting all outputs keeps all weights."""
    graph = load_graph(ROOT / "specs" / "ple.yaml", None, plugins.load([]))
    assert only(graph, ["vtr", "vcr"]).spec.digest == graph.spec.digest


def test_an_output_that_is_not_there() -> None:
    """An unknown output is an error that suggests the nearest name and lists all of them."""
    graph = load_graph(ROOT / "specs" / "ple.yaml", None, plugins.load([]))
    with pytest.raises(SpecError, match="AS812") as raised:
        only(graph, ["vtr", "vrc"])
    assert raised.value.diagnostics[0].help == "did you mean `vcr`? outputs: vtr, vcr"
    assert raised.value.status == 2
