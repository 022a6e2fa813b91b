"""`archspec expand` and `explain`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import Result

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Result]


@pytest.mark.usefixtures("tiny")
def test_expand_prints_the_canonical_form(run: Run) -> None:
    """Every default is written out."""
    assert run("expand", "tiny.yaml").stdout == (
        "archspec: 1\n"
        "name: tiny\n"
        "\n"
        "inputs:\n"
        "  x: {kind: dense, column: x, dim: 4}\n"
        "\n"
        "tasks:\n"
        "  click: {kind: binary, label: click, weight: 1.0, loss: logistic}\n"
        "\n"
        "towers:\n"
        "  click: {kind: mlp, from: inputs, units: [3], activation: relu, norm: none, dropout: 0.0, bias: true}\n"
        "\n"
        "balance: sum\n"
    )


def test_expanding_twice_changes_nothing(run: Run, specs: Path) -> None:
    """The output of `expand` reads back as the same spec."""
    once = run("expand", str(specs / "meituan_search.yaml")).stdout
    assert run("expand", "-", stdin=once).stdout == once


def test_expand_as_json(run: Run, specs: Path) -> None:
    """`expand --json` prints the same content as `expand` does in YAML."""
    ple = str(specs / "ple.yaml")
    assert json.loads(run("expand", ple, "--json").stdout) == yaml.safe_load(run("expand", ple).stdout)


def test_explain_as_json(run: Run) -> None:
    """`explain --json` returns a code's title and text, or a key's meanings."""
    assert json.loads(run("explain", "as204", "--json").stdout)["code"] == "AS204"
    assert json.loads(run("explain", "sees", "--json").stdout)["meanings"]
