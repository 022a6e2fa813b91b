r"""Characters that control a terminal or change the direction of text are escaped wherever they are printed."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch
from click.testing import Result

import archspec
from archspec.diagnostics import visible

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Result]

STEERING = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
"""Characters that control a terminal, or that are invisible."""

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07 \x9b31m \r\n second\tline \u202e dlrow \u2066 \u200b \u00ad \u0085 \u2028 \x7f \b "
    "\"\"\" ''' \\ \\N {x} ${y} %s </text> ]]> --> # `end` é 漢"
)
PLUGIN = '''
from archspec import Settings, expert

@expert("odd")
class Odd(Settings):
    """First \\x1b[31m line \\u202e.

    More \\x9b31m \\u200b text.
    """

    formula = "y \\x1b[2J"
    paper = "\\x07 a paper"
    title = "t \\x1b[31m"
    shade: str = "\\x1b[0m"
    """About \\x1b[31m it."""

    def width(self, input): return input
    def lower(self, at, x): return x
    def detail(self): return self.shade
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with such text in every free-text field of the specs, and their plugin, which is imported only once."""
    tmp_path = tmp_path_factory.mktemp("hostile")
    (tmp_path / "odd.py").write_text(PLUGIN, encoding="utf-8")
    text = HOSTILE.replace("$", "$$")
    data = {
        "archspec": 1, "name": "esc", "about": HOSTILE, "requires": ["odd"],
        "inputs": {"x": {"kind": "dense", "dim": 4, "column": text},
                   "s": {"kind": "domain", "values": ["a", "b"], "dim": 2, "column": f"{text} s"}},
        "tasks": {"click": {"label": f"{text} l", "when": f"{text} w", "weight_column": f"{text} c"}},
        "levels": [{"experts": {"e": {"units": [2]}, "o": {"kind": "odd", "shade": text, "from": "s"}},
                    "gates": {"click": {"sees": "all"}}}],
        "towers": {"click": {}, "spare": {"from": "x"}},
    }  # fmt: skip
    (tmp_path / "esc.yaml").write_text(json.dumps(data), encoding="utf-8")
    data["tasks"]["click"]["label"] = f"{text} other"  # type: ignore[index] # a mapping of mappings
    (tmp_path / "other.yaml").write_text(json.dumps(data), encoding="utf-8")
    data["inputs"]["x"]["dmi"] = text  # type: ignore[index] # a mapping of mappings
    data["towers"]["click"] = {"from": text, "activation": text, "kind": text}  # type: ignore[index] # the same
    (tmp_path / "bad.yaml").write_text(json.dumps(data), encoding="utf-8")
    return tmp_path


@pytest.fixture
def here(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in that folder."""
    monkeypatch.chdir(folder)
    for path in [*folder.glob("drawn.*"), *folder.glob("built.*")]:
        path.unlink()
    return run


COMMANDS = [
    ("summary", "esc.yaml"), ("summary", "esc.yaml", "--json"), ("expand", "esc.yaml"),
    ("diff", "esc.yaml", "other.yaml"),
    ("diff", "esc.yaml", "other.yaml", "--json"), ("validate", "esc.yaml"), ("validate", "bad.yaml"),
    ("validate", "bad.yaml", "--format", "concise"), ("validate", "bad.yaml", "--format", "json"),
    ("validate", "bad.yaml", "--format", "github"), ("build", "esc.yaml", "-o", "-"),
    ("build", "esc.yaml", "-o", "built.py", "--explain"), ("kinds",), ("kinds", "odd"), ("kinds", "odd", "--json"),
    ("explain", "shade"), ("explain", "shade", "--json"), ("schema",),
    ("render", "esc.yaml", "-o", "drawn.svg"), ("render", "esc.yaml", "-o", "drawn.dot"),
    ("render", "esc.yaml", "-o", "drawn.mmd"), ("render", "esc.yaml", "-o", "drawn.txt"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_steers_is_shown(here: Run, command: tuple[str, ...], folder: Path) -> None:
    """No command prints or writes a character that controls a terminal or is invisible."""
    result = here(*command, "--plugin", "odd.py")
    drawn = [path.read_bytes().decode() for path in folder.glob("drawn.*")]
    built = [path.read_bytes().decode() for path in folder.glob("built.*")]
    for text in (result.stdout, result.stderr, *drawn, *built):
        found = STEERING.search(text)
        assert found is None, text[max(0, found.start() - 80) : found.start() + 20]
    assert result.exit_code in {0, 1}
    assert len(result.stdout + "".join(drawn) + "".join(built)) > 0 or "error[" in result.stderr


def test_a_built_file_says_it_in_a_docstring(here: Run, folder: Path) -> None:
    """Quotes, backslashes and line breaks in `about` end neither the docstring nor a comment; the file runs."""
    assert here("build", "esc.yaml", "-o", "built.py", "--plugin", "odd.py").exit_code == 0
    tree = ast.parse((folder / "built.py").read_text(encoding="utf-8"))
    (cls,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Esc"]
    assert "dlrow" in (ast.get_docstring(tree) or "")
    assert "end" in (ast.get_docstring(cls) or "")


@pytest.mark.parametrize(
    "about", ['"""', "\\", "'''\\", 'a """ b', '"', "\\x", "\\N{x}", "\n\n", "{}", "%", "\\x00"],
)  # fmt: skip
def test_an_about_of_quotes_compiles(about: str) -> None:
    """The built file compiles, whatever characters `about` ends with."""
    data = {"archspec": 1, "name": "t", "about": about, "inputs": {"x": {"kind": "dense", "dim": 2}},
            "tasks": {"click": {}}, "towers": {"click": {}}}  # fmt: skip
    assert archspec.compile(json.dumps(data), seed=0)({"x": torch.zeros(1, 2)})["click"].shape == (1,)


COLUMNS = [
    "\u00e9",
    "e\u0301",
    "\u00c9",
    "a",
    "A",
    "a ",
    "a\n",
    "\ufb01",
    "fi",
    "self",
    "batch",
    "'",
    '"""',
    "\\",
    "{x}",
]


def test_columns_that_look_alike_are_different() -> None:
    """Columns that differ only by case, composition, a ligature or a blank are read as separate columns."""
    data = {
        "archspec": 1, "name": "t", "tasks": {"click": {}}, "towers": {"click": {}},
        "inputs": {f"i{n}": {"kind": "dense", "dim": 1, "column": column} for n, column in enumerate(COLUMNS)},
    }  # fmt: skip
    model = archspec.compile(json.dumps(data), seed=0).double()
    zeros = {column: torch.zeros(1, 1, dtype=torch.float64) for column in COLUMNS}
    ones = torch.ones(1, 1, dtype=torch.float64)
    found = {float(model(zeros | {column: ones})["click"].detach()) for column in COLUMNS}
    assert len(found) == len(COLUMNS)


ALIKE = [("Ctr", "ctr"), ("caf\u00e9", "cafe\u0301"), ("\ufb01", "fi"), ("ctr\u200b", "ctr"), ("\u0441tr", "ctr")]


@pytest.mark.parametrize("names", ALIKE)
def test_names_that_look_alike_are_no_names(names: tuple[str, str]) -> None:
    """A name consists only of a-z, 0-9 and _, so that no two look alike; the error shows invisible characters."""
    data = {"archspec": 1, "name": "t", "inputs": {"x": {"kind": "dense", "dim": 2}},
            "tasks": {name: {} for name in names}, "towers": {name: {} for name in names}}  # fmt: skip
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(json.dumps(data))
    assert {item.code for item in caught.value.diagnostics} == {"AS105"}
    assert not STEERING.search(visible(str(caught.value)).replace("\\n", ""))
