"""Codes of diagnostics."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from archspec.diagnostics import CODES

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "archspec"


def test_every_code_in_use_has_a_title_and_every_title_is_in_use() -> None:
    """CODES lists exactly the codes that some module reports, in order."""
    used = set[str]()
    for path in PACKAGE.rglob("*.py"):
        if path.name != "codes.py":
            used |= set(re.findall(r"\"(AS\d{3})\"", path.read_text()))
    assert sorted(used - set(CODES)) == []
    assert sorted(set(CODES) - used) == []
    assert list(CODES) == sorted(CODES)


OF_SEVERAL_FILES = {"AS120", "AS121", "AS122"}
"""Codes whose bad specs extend other files, which a page cannot show as one."""


def test_each_code_with_a_bad_spec_has_a_repaired_one() -> None:
    """docs/repairs.toml has a good example for each code of tests/bad and tests/lint, since the site shows both."""
    texts = [path.read_text(encoding="utf-8") for name in ("bad", "lint") for path in (TESTS / name).glob("*.txt")]
    have = {code for text in texts for code in re.findall(r"\[(AS\d{3})\]", text)}
    repaired = set(tomllib.loads((TESTS.parent / "docs" / "repairs.toml").read_text(encoding="utf-8")))
    assert sorted(have - repaired - OF_SEVERAL_FILES) == [], "add an entry to docs/repairs.toml"
