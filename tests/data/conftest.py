"""A spec that reads columns in every possible way, and rows for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from archspec import plugins
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from archspec.graph.graph import Graph

SPEC = """
archspec: 1
name: shop
inputs:
  user: {kind: sparse, vocab: 10, dim: 4}
  city: {kind: sparse, vocab: 5, dim: 4}
  age: {kind: sparse, vocab: 8, dim: 4}
  visited: {kind: sequence, table: city, length: 3}
  scene: {kind: domain, values: [home, shop], dim: 2}
  price: {kind: dense, dim: 1}
  place: {kind: dense, dim: 2}
tasks:
  click: {}
  buy: {when: click, weight_column: value}
  watch: {kind: regression}
  rating: {kind: multiclass, classes: 3}
towers:
  $task: {units: [4]}
"""


@pytest.fixture(scope="session")
def graph() -> Graph:
    """The graph of the spec."""
    return load_graph(SPEC, None, plugins.load([]))


@pytest.fixture
def rows() -> dict[str, list[Any]]:
    """Forty rows that fit the spec."""
    return {
        "user": [i % 10 for i in range(40)],
        "city": [("Oslo", "Rome", "Lima", "Kyiv", "Bern", "Riga")[min(i % 9, 5)] for i in range(40)],
        "age": [20.5 + i for i in range(40)],
        "visited": [["Oslo", "Rome", "Lima", "Kyiv"][: i % 5] for i in range(40)],
        "scene": [("home", "shop")[i % 2] for i in range(40)],
        "price": [float(i) for i in range(40)],
        "place": [[i / 2, -i] for i in range(40)],
        "click": [i % 2 for i in range(40)],
        "buy": [float(i % 3 == 0) if i % 2 else None for i in range(40)],
        "value": [1.0 + i for i in range(40)],
        "watch": [i / 10 for i in range(40)],
        "rating": [i % 3 for i in range(40)],
        "unread": ["x"] * 40,
    }


PRICED = """
archspec: 1
name: priced
inputs: {x: {kind: dense, dim: 1}}
tasks: {a: {loss: {kind: priced, by: p}}}
towers: {a: {from: x}}
"""
PLUGIN = '''
from typing import ClassVar
from archspec import ColumnName, LossKind, loss
@loss("priced")
class Priced(LossKind):
    """Logistic times a column."""
    tasks: ClassVar = ("binary",)
    by: ColumnName
    def joint(self, logits, labels, outputs, batch):
        return (logits.exp().log1p() - labels * logits) * batch[self.by]
'''


@pytest.fixture(scope="session")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """The graph of a spec whose loss reads a separate column."""
    path = tmp_path_factory.mktemp("plugins") / "priced_by_column.py"
    path.write_text(PLUGIN)
    return load_graph(PRICED, None, plugins.load([path]))
