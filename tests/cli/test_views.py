"""`archspec summary`, `expand` and `diff`."""

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
def test_summary_as_json(run: Run) -> None:
    """Parameters and FLOPs of 4 -> 3 -> 1: (4 + 1) 3 + (3 + 1) 1, and two per multiply-add, one per ReLU."""
    summary = json.loads(run("summary", "tiny.yaml", "--json").stdout)
    assert summary["total"] == {"parameters": 19, "flops": 2 * 4 * 3 + 3 + 2 * 3}
    assert [node["node"] for node in summary["nodes"]] == ["inputs.x", "towers.click"]
    assert summary["nodes"][1] == {
        "node": "towers.click",
        "category": "tower",
        "kind": "mlp",
        "width": 3,
        "parameters": 19,
        "flops": 33,
        "tasks": ["click"],
    }


def test_summary_as_a_table(run: Run, specs: Path) -> None:
    """The table has a row per node, totals, and no colours where nobody looks."""
    result = run("summary", str(specs / "ple.yaml"))
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["level1.gates.vtr", "softmax", "32", "280", "895", "vtr"] in lines
    assert any(line[:2] == ["total", "121,914"] for line in lines)
    assert "\x1b" not in result.stdout


def test_shared_weights_are_said(run: Run, specs: Path) -> None:
    """The summary says whose weights an expert has, the canonical form keeps `like`, and a difference names it."""
    summary = json.loads(run("summary", str(specs / "mtan.yaml"), "--json").stdout)
    nodes = {node["node"]: node for node in summary["nodes"]}
    assert nodes["level1.experts.f_depth.0"]["like"] == "level1.experts.f_segment.0"
    assert nodes["level1.experts.f_depth.0"]["parameters"] == 0
    assert "like" not in nodes["level1.experts.f_segment.0"]
    assert "mlp, like level1.experts.f_segment.0" in run("summary", str(specs / "mtan.yaml")).stdout
    expanded = run("expand", str(specs / "mtan.yaml")).stdout
    assert "f_depth: {from: level1.experts.depth, like: f_segment}" in expanded
    assert run("expand", "-", stdin=expanded).stdout == expanded


def test_names_are_no_markup(run: Run, tiny: Path) -> None:
    """Text of a spec that looks like rich's markup is printed as it is."""
    text = tiny.read_text(encoding="utf-8") + 'about: "[bold]deep[/bold] :smile:"\n'
    assert "[bold]deep[/bold] :smile:" in run("summary", "-", stdin=text).stdout


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
