"""`archspec kinds`, `schema` and `explain`, which describe what a spec may contain."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from click.testing import Result

from archspec.cli.explain import explained_codes
from archspec.contract import CATEGORIES
from archspec.diagnostics import CODES

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Result]

PLUGIN = '''"""A plugin."""

from typing import ClassVar

from archspec import ExpertKind, expert


@expert("doubled")
class Doubled(ExpertKind):
    """Twice the input."""

    formula: ClassVar[str] = "2 x"
    factor: float = 2.0
    """What it is multiplied by."""

    def width(self, input):
        return input

    def lower(self, at, x):
        return at.scale(x, self.factor)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    """Writes a plugin file."""
    path = tmp_path / f"{tmp_path.name}.py"  # each test uses its own name, since modules stay imported
    path.write_text(PLUGIN, encoding="utf-8")
    return str(path)


def test_the_list_has_every_category(run: Run) -> None:
    """All categories are listed, with the first sentence of each kind."""
    lines = run("kinds").stdout.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == list(CATEGORIES)
    assert any(re.match(r"  identity +Passes its input on", line) for line in lines)


def test_one_kind(run: Run) -> None:
    """The explanation of a kind has its settings, its formula and where it is used."""
    text = run("kinds", "gate.topk").stdout
    assert text.startswith("gate topk\n")
    assert "formula: softmax(keep the k largest of W s / temperature)" in text
    assert re.search(r"defined in: .*gates\.py:\d+\n", text)
    assert re.search(r"\n +k +whole number >= 1 +required\n", text)
    assert re.search(r"\n +temperature +number > 0 +default 1\.0 +The logits are divided by this\.\n", text)
    assert re.search(r"\n +transform +none \| linear +default \"none\"", text)


def test_a_name_in_two_categories(run: Run) -> None:
    """For `mlp`, which is an expert and a tower, both kinds are explained."""
    found = json.loads(run("kinds", "mlp", "--json").stdout)
    assert [kind["category"] for kind in found] == ["expert", "tower"]
    assert [kind["settings"][1]["required"] for kind in found] == [True, False]


def test_kinds_say_what_they_take_and_give(run: Run) -> None:
    """Experts show whether they take and return rows, fields or tokens; other categories have no such line."""
    kinds = {"expert.mlp": "rows to rows", "fm": "fields to rows", "transformer": "tokens to tokens or rows"}
    for name, said in kinds.items():
        assert f"\n  streams: {said}\n" in run("kinds", name).stdout
    assert "\n  streams:" not in run("kinds", "gate.softmax").stdout


def test_an_unknown_kind(run: Run) -> None:
    """A misspelt kind is wrong usage, with a suggestion."""
    result = run("kinds", "sofmax")
    assert result.exit_code == 2
    assert "did you mean `softmax`?" in result.stderr


def test_kinds_of_a_plugin(run: Run, plugin: str) -> None:
    """The explanation of a plugin's kind comes from its class alone."""
    text = run("kinds", "doubled", "--plugin", plugin).stdout
    assert text.startswith("expert doubled\n\n  Twice the input.\n\n  formula: 2 x\n")
    assert re.search(r"\n +factor +number +default 2\.0 +What it is multiplied by\.\n", text)


def test_the_schema_knows_plugins(run: Run, plugin: str) -> None:
    """The schema contains the kinds of the given plugins, and no kinds of other plugins."""
    assert "expert.doubled" in json.loads(run("schema", "--plugin", plugin).stdout)["definitions"]
    assert "expert.doubled" not in json.loads(run("schema").stdout)["definitions"]


def test_a_code(run: Run) -> None:
    """A code is explained in any spelling."""
    for word in ("AS204", "as204", "[AS204]"):
        text = run("explain", word).stdout
        assert text.startswith("AS204: unknown expert group or expert\n\n")
        assert "Example: `sees: [ctr, sharde]`." in text


def test_a_key(run: Run) -> None:
    """A key is explained for every place where the language has it."""
    assert run("explain", "sees").stdout.startswith("`sees` of every gate: names of expert groups")
    assert run("explain", "towers").stdout == "section `towers`: Towers, one per output.\n"
    assert "`units` of expert `mlp`: list of whole number >= 1; required." in run("explain", "units").stdout


def test_an_unknown_word(run: Run) -> None:
    """A word that is neither a code nor a key is wrong usage, with a suggestion."""
    result = run("explain", "unit")
    assert result.exit_code == 2
    assert "did you mean `units`?" in result.stderr


def test_every_code_is_explained() -> None:
    """Each code has its own title and a paragraph with an example or a fix."""
    codes = explained_codes()
    assert {code: title for code, (title, _) in codes.items()} == CODES
    assert [code for code, (_, text) in codes.items() if "Fix:" not in text and "Example:" not in text] == []
