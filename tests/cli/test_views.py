"""`archspec expand`, `diff` and `explain`."""

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
    """What `expand` prints is read back as the same spec."""
    once = run("expand", str(specs / "meituan_search.yaml")).stdout
    assert run("expand", "-", stdin=once).stdout == once


@pytest.mark.usefixtures("tiny")
def test_equal_specs(run: Run, specs: Path) -> None:
    """A spec and its canonical form do not differ: nothing is printed, status 0."""
    canonical = run("expand", str(specs / "ple.yaml")).stdout
    result = run("diff", str(specs / "ple.yaml"), "-", stdin=canonical)
    assert (result.exit_code, result.stdout) == (0, "")


def test_different_specs(run: Run, tiny: Path) -> None:
    """Differences are told by their canonical path; the status is 1."""
    changed = tiny.read_text(encoding="utf-8").replace("[3]", "[5]").replace("binary", "regression")
    result = run("diff", "tiny.yaml", "-", stdin=changed)
    assert result.exit_code == 1
    assert result.stdout == (
        'changed tasks.click.kind: "binary" -> "regression"\n'
        'changed tasks.click.loss: "logistic" -> "mse"\n'
        "changed towers.click.units: [3] -> [5]\n"
        "changed width of towers.click: 3 -> 5\n"
    )


def test_differences_as_json(run: Run, tiny: Path) -> None:
    """`--json` holds both values."""
    changed = tiny.read_text(encoding="utf-8").replace("[3]", "[]")
    (units, width) = json.loads(run("diff", "tiny.yaml", "-", "--json", stdin=changed).stdout)
    assert units == {"what": "key", "how": "changed", "path": "towers.click.units", "old": [3], "new": []}
    assert (width["path"], width["old"], width["new"]) == ("towers.click", 3, 4)


@pytest.mark.usefixtures("tiny")
def test_a_wrong_spec_is_no_difference(run: Run) -> None:
    """What cannot be read is told as such, with status 2, not as a difference."""
    assert run("diff", "tiny.yaml", "absent.yaml").exit_code == 2
    assert run("diff", "-", "-").exit_code == 2


def test_expand_as_json(run: Run, specs: Path) -> None:
    """`expand --json` holds what `expand` prints as YAML."""
    ple = str(specs / "ple.yaml")
    assert json.loads(run("expand", ple, "--json").stdout) == yaml.safe_load(run("expand", ple).stdout)


def test_explain_as_json(run: Run) -> None:
    """`explain --json` gives a code's title and text, or a key's meanings."""
    assert json.loads(run("explain", "as204", "--json").stdout)["code"] == "AS204"
    assert json.loads(run("explain", "sees", "--json").stdout)["meanings"]
