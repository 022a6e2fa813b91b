"""`archspec init`: specs to start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

import archspec
from archspec.cli.init import TEMPLATES, templates

Run = Callable[..., Result]


@pytest.mark.parametrize("name", sorted(templates()))
def test_a_template_is_its_architecture(name: str, specs: Path) -> None:
    """A template validates without a warning, and means the same as the spec of its name."""
    template = archspec.load(TEMPLATES / f"{name}.yaml")
    assert [item for item in template.diagnostics if item.severity == "warning"] == []
    assert template.digest == archspec.load(specs / f"{name}.yaml").digest
    assert replace(template, about="").data() != template.data(), "the template says where it comes from"


def test_a_file_is_written(run: Run) -> None:
    """`archspec init ple` writes a commented ple.yaml, and prints its path."""
    result = run("init", "ple")
    assert (result.exit_code, result.stdout) == (0, "ple.yaml\n")
    assert Path("ple.yaml").read_bytes() == (TEMPLATES / "ple.yaml").read_bytes()
    assert run("validate", "ple.yaml").exit_code == 0


def test_nothing_is_overwritten(run: Run) -> None:
    """A file that exists is kept, unless --force is given."""
    Path("ple.yaml").write_text("mine", encoding="utf-8")
    result = run("init", "ple")
    assert result.exit_code == 2
    assert "`ple.yaml` exists already" in result.stderr
    assert Path("ple.yaml").read_text(encoding="utf-8") == "mine"
    assert run("init", "ple", "--force").exit_code == 0
    assert Path("ple.yaml").read_text(encoding="utf-8") != "mine"


def test_without_a_name_they_are_listed(run: Run) -> None:
    """`archspec init` lists the templates and where each comes from, and writes nothing."""
    lines = run("init").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["cgc", "esmm", "mmoe", "ple", "shared_bottom"]
    assert "Progressive Layered Extraction" in lines[3]
    assert list(Path().iterdir()) == []


def test_standard_output(run: Run) -> None:
    """`-o -` prints the template."""
    assert run("init", "cgc", "-o", "-").stdout == (TEMPLATES / "cgc.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "helps"), [("pel", "did you mean `ple`?"), ("../ple", "did you mean `ple`?"), ("x", "there are cgc")]
)
def test_an_unknown_name(run: Run, name: str, helps: str) -> None:
    """A name without a template is wrong usage; names are no paths."""
    result = run("init", name)
    assert result.exit_code == 2
    assert helps in result.stderr
