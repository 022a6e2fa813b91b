"""Codes of diagnostics."""

from __future__ import annotations

import re
from pathlib import Path

from archspec.diagnostics import CODES

PACKAGE = Path(__file__).parents[1] / "archspec"


def test_every_code_in_use_has_a_title_and_every_title_is_in_use() -> None:
    """CODES lists exactly the codes that some module reports, in order."""
    used = set[str]()
    for path in PACKAGE.rglob("*.py"):
        if path.name != "codes.py":
            used |= set(re.findall(r"\"(AS\d{3})\"", path.read_text()))
    assert sorted(used - set(CODES)) == []
    assert sorted(set(CODES) - used) == []
    assert list(CODES) == sorted(CODES)
