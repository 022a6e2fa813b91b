"""`archspec summary`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from click.testing import Result

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Result]


def rows(text: str) -> list[list[str]]:
    """The lines of a table, split into words."""
    return [line.split() for line in text.splitlines()]


@pytest.mark.usefixtures("tiny")
def test_json(run: Run) -> None:
    """Counts for 4 -> 3 -> 1: (4 + 1) 3 + (3 + 1) 1 parameters; 2 FLOPs per multiply-add, 1 per ReLU."""
    summary = json.loads(run("summary", "tiny.yaml", "--json").stdout)
    assert summary["total"] == {"parameters": 19, "flops": 2 * 4 * 3 + 3 + 2 * 3}
    assert [node["node"] for node in summary["nodes"]] == ["inputs.x", "towers.click"]
    assert summary["nodes"][1] == {
        "node": "towers.click",
        "category": "tower",
        "kind": "mlp",
        "like": None,
        "weights_of": [],
        "width": 3,
        "tokens": None,
        "parameters": 19,
        "flops": 33,
        "tasks": ["click"],
    }


def test_the_text(run: Run, specs: Path) -> None:
    """The text has one line per node or set of equal experts, a sum for each section, and no colours off a terminal."""
    found = run("summary", str(specs / "ple.yaml")).stdout
    assert ["gates.vtr", "softmax", "32", "280", "895", "vtr"] in rows(found)
    assert ["experts.shared", "×", "3", "mlp", "32", "17,184", "34,080", "all"] in rows(found)
    assert ["level1", "41,048", "82,563"] in rows(found)
    assert rows(found)[-7:-4] == [["total", "121,914", "148,353"], ["tables", "48,000"], ["dense", "73,914"]]
    assert "\x1b" not in found


def test_a_line_per_task(run: Run, specs: Path) -> None:
    """A task needs the weights that it trains, alone or with others; those that it only reads are listed separately."""
    assert rows(run("summary", str(specs / "ple.yaml")).stdout)[-3:] == [
        ["task", "FLOPs/row", "parameters", "trains", "alone", "with", "others"],
        ["vtr", "127,075", "111,489", "10,425", "101,064"],
        ["vcr", "127,075", "111,489", "10,425", "101,064"],
    ]
    frozen = run("summary", str(specs / "ple.yaml"), "--set", "inputs.user.trainable=false").stdout
    assert rows(frozen)[-3][-1] == "untrained"
    assert rows(frozen)[-1] == ["vcr", "127,075", "111,489", "10,425", "69,064", "32,000"]


def test_shared_weights_are_said(run: Run, specs: Path) -> None:
    """The summary says which expert or input owns shared weights, which are counted once."""
    summary = json.loads(run("summary", str(specs / "mtan.yaml"), "--json").stdout)
    nodes = {node["node"]: node for node in summary["nodes"]}
    assert nodes["level1.experts.f_depth.0"]["like"] == "level1.experts.f_segment.0"
    assert nodes["level1.experts.f_depth.0"]["parameters"] == 0
    assert nodes["level1.experts.f_segment.0"]["like"] is None
    assert "    weights of level1.experts.f_segment.0\n" in run("summary", str(specs / "mtan.yaml")).stdout
    assert "    weights of inputs.video\n" in run("summary", str(specs / "ple.yaml")).stdout


PART = """\
archspec: 1
name: part
inputs: {x: {kind: dense, dim: 4}}
tasks: {a: {}, b: {}}
levels:
  - experts: {e: {count: 4, units: [4]}}
    gates: {a: {sees: [e.0, e.1, e.2]}, b: {sees: [e.0, e.3]}}
towers: {a: {}, b: {}}
"""


def test_experts_that_other_tasks_train_have_another_line(run: Run) -> None:
    """Experts of a group share a line only if the same tasks train them; part of a group is named by its numbers."""
    lines = rows(run("summary", "-", stdin=PART).stdout)
    assert [[row[0], row[-1]] for row in lines if row and row[0].startswith("experts")] == [
        ["experts.e.0", "all"],
        ["experts.e.1-2", "a"],
        ["experts.e.3", "b"],
    ]


STRESS = """\
archspec: 1
name: stress
about: {about}
inputs:
  x: {{kind: dense, dim: 4}}
tasks:
{tasks}
levels:
  - experts: {{$task: {{count: 2, units: [4]}}, shared: {{count: 30, units: [4]}}}}
    gates: {{$task: {{sees: [$task, shared]}}}}
towers:
  $task: {{units: [3000000]}}
"""


@pytest.mark.parametrize("count", [3, 50])
def test_it_fits_80_columns(run: Run, count: int) -> None:
    """With long names, large numbers and many tasks, no line exceeds 80 columns, and each name is complete."""
    names = [f"predicted_watch_time_of_short_videos_{number}" for number in range(count)]
    text = STRESS.format(about="words " * 30, tasks="\n".join(f"  {name}: {{}}" for name in names))
    found = run("summary", "-", "-q", stdin=text).stdout
    assert max(map(len, found.splitlines())) <= 80
    assert [name for name in names if name not in re.sub(r"_\s+", "_", found)] == []


def test_what_a_plugin_does_not_tell_is_unknown(run: Run, tmp_path: Path, tiny: Path) -> None:
    """A module that does not report its numbers is `unknown`, and the sums are lower bounds."""
    (tmp_path / "opaque.py").write_text(OPAQUE, encoding="utf-8")
    text = tiny.read_text(encoding="utf-8").replace("towers:", LEVEL)
    found = run("summary", "-", "--plugin", "opaque.py", stdin=text)
    assert ["experts.e.0", "opaque", "4", "unknown", "unknown", "all"] in rows(found.stdout)
    assert ["total", ">=", "19", ">=", "42"] in rows(found.stdout)
    summary = json.loads(run("summary", "-", "--json", "--plugin", "opaque.py", stdin=text).stdout)
    assert (summary["dense"], summary["by_task"][0]["alone"]) == (None, None)


OPAQUE = '''
from archspec import Settings, expert

@expert("opaque")
class Opaque(Settings):
    """x."""

    formula = "y = x"
    paper = "none"

    def width(self, input):
        return input

    def build(self, input):
        from torch import nn
        return nn.Identity()
'''
LEVEL = """\
levels:
  - experts: {e: {kind: opaque}}
    gates: {click: {kind: sum, sees: e}}
towers:"""


def test_names_are_no_markup(run: Run, tiny: Path) -> None:
    """Text of a spec that looks like rich markup is printed unchanged."""
    text = tiny.read_text(encoding="utf-8") + 'about: "[bold]deep[/bold] :smile:"\n'
    assert "[bold]deep[/bold] :smile:" in run("summary", "-", stdin=text).stdout
