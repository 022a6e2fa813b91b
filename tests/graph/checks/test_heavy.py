"""The bound on the memory of weights: specs that pass it without being lowered really are small."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import pytest

import archspec
from archspec.compiler.lower import lower
from archspec.contract import limits
from archspec.graph.checks import heavy
from archspec.graph.load import graph_of
from tests.compiler.models import NAMES, spec_of

if TYPE_CHECKING:
    from archspec.graph.graph import Graph


def most_bytes(graph: Graph) -> int:
    """The bytes of all weights of a graph in float32."""
    return sum(4 * prod(weight.shape) for weight in lower(graph).forward.weights.values())


@pytest.mark.parametrize("name", NAMES)
def test_no_published_spec_is_heavy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published specs are checked without lowering; with a limit below their size, the bound is exceeded."""
    graph = graph_of(spec_of(name))
    assert not heavy.may_be_heavy(graph)
    monkeypatch.setattr(heavy, "MANY_BYTES", most_bytes(graph) - 1)
    assert heavy.may_be_heavy(graph)


def test_a_large_table_is_seen() -> None:
    """A table above the limit exceeds the bound."""
    rows = limits.MANY_BYTES // 4 // 16 + 1
    text = (
        f"archspec: 1\nname: big\ninputs: {{u: {{kind: sparse, vocab: {rows}, dim: 16}}}}\n"
        "tasks: {t: {}}\ntowers: {t: {from: u}}\n"
    )
    assert heavy.may_be_heavy(graph_of(archspec.load(text)))
    assert not heavy.may_be_heavy(graph_of(archspec.load(text.replace(str(rows), "1000"))))


def test_what_a_layer_reads_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow settings and a wide stream make a large weight, so the bound counts the width of all that a node reads."""
    names = [f"x{i}" for i in range(20)]
    text = (
        f"archspec: 1\nname: wide\ninputs: {{{', '.join(f'{name}: {{kind: dense, dim: 1000}}' for name in names)}}}\n"
        "tasks: {t: {}}\nlevels: [{experts: {e: {units: [100000, 2]}}, gates: {}}]\n"
        "towers: {t: {from: level1.experts.e}}\n"
    )
    graph = graph_of(archspec.load(text))
    monkeypatch.setattr(heavy, "MANY_BYTES", most_bytes(graph) - 1)
    assert heavy.may_be_heavy(graph)


def test_learned_positions_of_a_long_list_are_seen() -> None:
    """The bound counts learned positions: a vector for each of a million places is a transformer's largest weight."""
    text = """
archspec: 1
name: big
inputs: {e: {kind: sequence, vocab: 2, dim: 16400, length: 1000000, pool: none}}
blocks: {b: {kind: transformer, from: e, pool: mean}}
tasks: {t: {}}
towers: {t: {from: b}}
"""
    assert heavy.may_be_heavy(graph_of(archspec.load(text)))
    assert not heavy.may_be_heavy(graph_of(archspec.load(text.replace("16400", "16").replace("1000000", "50"))))


def test_a_gate_over_many_experts_is_not_heavy() -> None:
    """A gate that sees the experts of 1,000 tasks is small: a weight for each expert has the width of one expert."""
    tasks = ", ".join(f"t{i}: {{}}" for i in range(1000))
    text = f"""
archspec: 1
name: wide
inputs: {{x: {{kind: dense, dim: 128}}}}
tasks: {{{tasks}}}
levels: [{{experts: {{$task: {{units: [16]}}}}, gates: {{wide: {{sees: all}}}}}}]
towers: {{$task: {{from: level1.gates.wide}}}}
"""
    graph = graph_of(archspec.load(text))
    assert most_bytes(graph) < 10**8
    assert not heavy.may_be_heavy(graph)
