"""Mistakes of plugin authors are found by a type checker, and by the decorator when the plugin is imported."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from archspec import SpecError, plugins

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((Path(__file__).parent / "mistakes").glob("*.py"))
SAID = {
    "base_of_another_category": r"`lower` takes \(at, x\), archspec calls it with \(at, gate\)",
    "extra_argument": r"`lower` takes \(at, x, training\), archspec calls it with \(at, x\)",
    "head_without_logits": r"`head` returns None, archspec needs a Value",
    "lower_of_other_types": r"`lower` returns str, archspec needs a Value",
    "misspelt_method": r"calls no method `choosen`; did you mean `chosen`\?",
    "missing_argument": r"`lower` takes \(at, column\), archspec calls it with \(at, column, inputs\)",
    "no_kind_at_all": r"is not a subclass of archspec\.ExpertKind",
    "setting_named_like_a_method": r"the setting `chosen` has the name of a method of GateKind; rename it",
    "unknown_selector": r"`selects` is 'streams', not one of stream, domain, none",
    "width_in_words": r"`width` returns str, archspec needs an int",
}


@pytest.fixture(scope="module")
def typed() -> str:
    """The output of mypy for all of the files in strict mode."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, FILES)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def test_there_are_ten() -> None:
    """The folder contains ten files, each with a different mistake."""
    assert [path.stem for path in FILES] == sorted(SAID)
    assert len(FILES) == 10


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_type_checker_reports_it(path: Path, typed: str) -> None:
    """Mypy reports an error in the file."""
    assert re.search(rf"mistakes/{path.name}:\d+: error: ", typed), typed


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")  # pydantic's own warning about such a setting
def test_the_decorator_reports_it(path: Path) -> None:
    """Importing the file raises one sentence that names the class, the file, the line and the mistake."""
    with pytest.raises(SpecError) as error:
        plugins.load([path])
    (found,) = error.value.diagnostics
    assert found.code == "AS501"
    assert re.search(SAID[path.stem], found.message), found.message
    assert re.search(rf"{re.escape(str(path))}:\d+", found.message)
