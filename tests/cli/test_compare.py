"""`archspec diff`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from click.testing import Result

from archspec.compiler.comparison import Comparison
from tests.render import stress

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Result]


@pytest.mark.usefixtures("tiny")
def test_equal_specs(run: Run, specs: Path) -> None:
    """A spec and its canonical form do not differ: nothing is printed, the status is 0, and the JSON has no changes."""
    canonical = run("expand", str(specs / "ple.yaml")).stdout
    result = run("diff", str(specs / "ple.yaml"), "-", stdin=canonical)
    assert (result.exit_code, result.stdout) == (0, "")
    found = Comparison.model_validate_json(run("diff", "tiny.yaml", "tiny.yaml", "--json").stdout)
    assert (found.changes, found.renamed, found.old) == ([], {}, found.new)


@pytest.mark.usefixtures("tiny")
def test_the_text(run: Run, tiny: Path) -> None:
    """The text lists the changes, then the costs, then which of the old weights can be loaded; the status is 1."""
    changed = tiny.read_text(encoding="utf-8").replace("[3]", "[5]").replace("binary", "regression")
    result = run("diff", "tiny.yaml", "-", stdin=changed)
    assert result.exit_code == 1
    assert result.stdout == TEXT


TEXT = """\
changed  `kind` of tasks.click: binary -> regression
changed  `loss` of tasks.click: logistic -> mse
changed  `units` of towers.click: [3] -> [5]

            old  new  change
parameters   19   31     +12  +63.2%
  tables      0    0
FLOPs/row    33   55     +22  +66.7%

old weights: 1 of 4 load, by name and shape (1 of 19 numbers)
  3 of another shape: towers.click.layers.0.weight 3x4 -> 5x4,
    towers.click.layers.0.bias 3 -> 5 and 1 more
  `archspec train --from` and `archspec.migrate` move weights, and grow gates
    and tables; `load_weights(..., strict=False)` requires equal shapes
"""


def test_widths_that_follow_are_one_line(run: Run, specs: Path) -> None:
    """Nodes whose settings are the same but whose width changes are listed separately, on one line."""
    text = (specs / "ple.yaml").read_text(encoding="utf-8").replace("[64, 32]", "[64, 48]")
    lines = run("diff", str(specs / "ple.yaml"), "-", stdin=text).stdout.splitlines()
    assert lines[:3] == [
        "changed  `units` of all 6 expert groups: [64, 32] -> [64, 48]",
        "follows  width of level1.gates.vtr, level1.gates.vcr and 3 more: 32 -> 48",
        "",
    ]


def test_a_setting_that_changes_in_many_ways_is_said_once(run: Run, tmp_path: Path) -> None:
    """If five tasks change to five different weights, two are named and three counted; the JSON lists all of them."""
    other = stress.different(5).replace("different_5", "ple_5").replace("weight: 1.000", "weight: 1.5")
    old = tmp_path / "old.yaml"
    old.write_text(stress.ple(5), encoding="utf-8")
    lines = run("diff", str(old), "-", stdin=other).stdout.splitlines()
    assert lines[:2] == [
        "changed  `weight` in 5 ways: tasks.t0: 1.0 -> 1.5, tasks.t1: 1.0 -> 1.001 and 3",
        "           more",
    ]
    assert len(json.loads(run("diff", str(old), "-", "--json", stdin=other).stdout)["changes"]) == 5


def test_a_renamed_task(run: Run, specs: Path) -> None:
    """A new name is one line; the weights of the renamed task are not loaded, since weights load by name."""
    text = (specs / "ple.yaml").read_text(encoding="utf-8").replace("vtr", "click")
    found = run("diff", str(specs / "ple.yaml"), "-", stdin=text).stdout
    assert found.startswith("renamed  `vtr` to `click`\nchanged  `label` of tasks.click: vtr -> click\n\n")
    assert "old weights: 51 of 75 load" in found


@pytest.mark.parametrize("new", ["mmoe", "esmm", "meituan_search", "cgc", "ple_video", "pepnet"])
def test_it_fits_80_columns(run: Run, specs: Path, new: str) -> None:
    """Lines are wrapped at 80 columns for any two specs."""
    found = run("diff", str(specs / "ple.yaml"), str(specs / f"{new}.yaml"), "-q")
    assert found.exit_code == 1
    assert max(map(len, found.stdout.splitlines())) <= 80


def test_json(run: Run, specs: Path) -> None:
    """The JSON is as docs/json.md describes it, and has the same content as the text."""
    text = (specs / "ple.yaml").read_text(encoding="utf-8").replace("[64, 32]", "[64, 48]")
    printed = run("diff", str(specs / "ple.yaml"), "-", "--json", stdin=text).stdout
    found = Comparison.model_validate_json(printed)
    assert json.loads(printed)["changes"][0]["setting"] == "units"
    widths = {node.node: (node.old_width, node.new_width, node.settings) for node in found.nodes.changed}
    assert widths["level1.gates.vtr"] == (32, 48, [])
    assert widths["level1.experts.vtr.1"] == (32, 48, ["units"])
    assert (found.nodes.added, found.nodes.removed) == ([], [])


@pytest.mark.usefixtures("tiny")
def test_a_wrong_spec_is_no_difference(run: Run) -> None:
    """A file that cannot be read is an error with status 2, not a difference."""
    assert run("diff", "tiny.yaml", "absent.yaml").exit_code == 2
    assert run("diff", "-", "-").exit_code == 2


def test_both_in_one_figure(run: Run, specs: Path, tmp_path: Path) -> None:
    """`--render` draws both specs and prints the path on standard error; text formats are rejected without a file."""
    text = (specs / "ple.yaml").read_text(encoding="utf-8").replace("[64, 32]", "[64, 48]")
    result = run("diff", str(specs / "ple.yaml"), "-", "--render", "both.svg", stdin=text)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "both.svg")
    assert 'data-change="changed"' in (tmp_path / "both.svg").read_text(encoding="utf-8")
    refused = run("diff", str(specs / "ple.yaml"), "-", "--render", "both.txt", stdin=text)
    assert refused.exit_code == 2
    assert "AS604" in refused.stderr
    assert not (tmp_path / "both.txt").exists()
