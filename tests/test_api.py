"""The public API is the one in docs/api.md, and a name is removed only after a release in which it warns."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import archspec

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
MODULES = (
    "archspec",
    "archspec.testing",
    "archspec.lightning",
    "archspec.charts",
    "archspec.torchrec",
    "archspec.synthetic",
)


def rows(section: str) -> list[list[str]]:
    """The rows of all tables in a section of the page, without their headers."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [row for row in cells if row[0].startswith("`")]


@pytest.mark.parametrize("module", MODULES)
def test_the_page_lists_every_public_name(module: str) -> None:
    """Every name of a module's `__all__` has one line in docs/api.md, with a description, and no other name has one."""
    listed = {name.strip("`"): about for name, about in rows(module)}
    assert sorted(listed) == sorted(importlib.import_module(module).__all__), f"docs/api.md, section {module}"
    assert len(rows(module)) == len(listed)
    assert [name for name, about in listed.items() if len(about.split()) < 3] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_exists(module: str) -> None:
    """Each name of `__all__` can be imported without a warning and is listed by `dir`."""
    found = importlib.import_module(module)
    assert [name for name in found.__all__ if not hasattr(found, name)] == []
    assert set(found.__all__) <= set(dir(found))


def test_the_page_has_every_module_with_public_names() -> None:
    """The page has one section per module that is tested here, and no others."""
    assert tuple(re.findall(r"^## (archspec\S*)$", PAGE, re.MULTILINE)) == MODULES


def test_a_deprecated_name_warns_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old name is an alias of the new one; each use warns, at the caller's line, when it will be removed."""
    monkeypatch.setitem(archspec._DEPRECATED, "read", ("load", "0.3"))
    message = r"^archspec\.read is deprecated and will be removed in archspec 0\.3; use archspec\.load$"
    for _ in range(2):
        with pytest.warns(DeprecationWarning, match=message) as caught:
            found = archspec.read
        assert found is archspec.load
        assert caught[0].filename == __file__
    assert "read" not in dir(archspec)


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    """A name that is neither public nor deprecated raises AttributeError."""
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = archspec.laod


def test_deprecated_names_are_listed_and_go_in_time() -> None:
    """The page lists each with its replacement; the version that removes it is a later minor one, not yet released."""
    table = [[cell.strip("`") for cell in row] for row in rows("Deprecation")]
    expected = [[name, new, version] for name, (new, version) in archspec._DEPRECATED.items()]
    assert sorted(table) == sorted(expected)
    assert ("None at the moment." in PAGE) == (not expected)
    now = [int(part) for part in archspec.__version__.split(".")[:2]]
    for name, (new, version) in archspec._DEPRECATED.items():
        assert name not in archspec.__all__
        assert new in archspec.__all__
        assert [int(part) for part in version.split(".")[:2]] > now, f"archspec.{name} is to be removed by now"
