"""Modules of plugins have unique names in a built file, and must have the functions that are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import archspec

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = '''
from archspec import ExpertKind, expert


@expert("{kind}")
class Scaled(ExpertKind):
    """A number times the input."""

    def width(self, input):
        return input

    def lower(self, at, x):
        return at.apply("{function}", x)


def times(x):
    return {factor} * x
'''
SPEC = """
archspec: 1
name: two_plugins
inputs: {x: {kind: dense, dim: 2}}
tasks: {t: {kind: regression}}
levels: [{experts: {one: {kind: one}, two: {kind: two}}, gates: {}}]
towers: {t: {from: [level1.experts.one, level1.experts.two], units: []}}
"""


def written(path: Path, kind: str, function: str, factor: int) -> None:
    """Writes a plugin file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(PLUGIN.format(kind=kind, function=function, factor=factor), encoding="utf-8")


def test_modules_whose_names_look_alike_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pair_of.plugins` and `pair_of_plugins` have similar names, but each expert calls its own function."""
    monkeypatch.syspath_prepend(tmp_path)
    written(tmp_path / "pair_of" / "plugins.py", "one", "pair_of.plugins:times", 2)
    written(tmp_path / "pair_of_plugins.py", "two", "pair_of_plugins:times", 3)
    model = archspec.compile(SPEC, plugins=["pair_of.plugins", "pair_of_plugins"], seed=0)
    weights = dict(model.named_weights())
    head, bias = weights["towers.t.head.weight"], weights["towers.t.head.bias"]
    x = torch.tensor([[1.0, -2.0]])
    torch.testing.assert_close(model({"x": x})["t"], (torch.cat([2 * x, 3 * x], dim=-1) @ head.T + bias)[:, 0])


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("lacking_{}:tmies", "but the module `lacking_{}` does not have it"),
        ("no_such_module_{}:times", "but there is no module `no_such_module_{}`"),
        (".:times", "but there is no module `.`"),
        ("times", "which archspec.nn.functional does not have"),
    ],
)
def test_a_function_that_does_not_exist_is_reported(
    function: str, words: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A misspelt `apply` is AS502 at the block when the spec is lowered, so `archspec build` writes no broken file."""
    name = f"case{request.node.callspec.indices['function']}"
    path = tmp_path / f"lacking_{name}.py"
    written(path, "two", function.format(name), 2)
    spec = archspec.load(SPEC.replace("kind: one", "kind: identity"), plugins=[path])
    with pytest.raises(archspec.SpecError, match=r"AS502.*expert group `two`") as error:
        archspec.compile(spec)
    assert f"applies `{function.format(name)}`, {words.format(name)}" in str(error.value)
