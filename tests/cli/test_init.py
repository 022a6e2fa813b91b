"""`archspec init`, which writes specs to start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

import archspec
from archspec.cli.architectures import TEMPLATES, architectures, files_of

Run = Callable[..., Result]


@pytest.mark.parametrize("name", sorted(path.stem for path in TEMPLATES.glob("*.yaml")))
def test_a_template_is_its_architecture(name: str, specs: Path) -> None:
    """A template validates without a warning and means the same as the published spec of its name."""
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
    """An existing file is kept unless --force is given."""
    Path("ple.yaml").write_text("mine", encoding="utf-8")
    result = run("init", "ple")
    assert result.exit_code == 2
    assert "`ple.yaml` already exists" in result.stderr
    assert Path("ple.yaml").read_text(encoding="utf-8") == "mine"
    assert run("init", "ple", "--force").exit_code == 0
    assert Path("ple.yaml").read_text(encoding="utf-8") != "mine"


def test_without_a_name_they_are_listed(run: Run, specs: Path) -> None:
    """`archspec init` lists every published architecture with its source, and writes nothing."""
    lines = run("init").stdout.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in specs.glob("*.yaml"))
    assert all(len(line.split()) > 2 for line in lines)
    assert "ple                 Progressive Layered Extraction (Tang et al., RecSys 2020, eq. 6-7)" in lines
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("name", sorted(architectures()))
def test_every_published_spec_is_written_with_what_it_needs(run: Run, name: str, specs: Path) -> None:
    """`archspec init NAME` writes a spec equivalent to the published one, with its base and its plugin."""
    result = run("init", name)
    written = result.stdout.split()
    assert (result.exit_code, written) == (0, list(files_of(name)))
    plugins = [specs.parent / "plugins" / file for file in written if file.endswith(".py")]
    assert [path.read_bytes() for path in plugins] == [Path(path.name).read_bytes() for path in plugins]
    expected = archspec.load(specs / f"{name}.yaml", plugins=plugins)
    assert archspec.load(written[0], plugins=plugins).digest == expected.digest


def test_a_spec_with_a_plugin_says_how_it_is_checked(run: Run) -> None:
    """The suggested command line is quoted as a shell requires; tests/test_wheel.py runs it."""
    assert run("init", "star", "-o", "a folder/").stderr == (
        "the spec needs its plugin: archspec validate 'a folder/star.yaml' --plugin 'a folder/star.py'\n"
    )


def test_a_spec_that_extends_another_comes_with_it(run: Run) -> None:
    """The base is written next to the spec, in any folder; an existing base with the same text is kept."""
    assert run("init", "snr_aver", "-o", "mine.yaml").stdout == "mine.yaml\nsnr_trans.yaml\n"
    assert run("validate", "mine.yaml").exit_code == 0
    assert run("init", "snr_aver").stdout == "snr_aver.yaml\n"


def test_a_changed_base_or_plugin_is_kept(run: Run) -> None:
    """Nothing is written if one of the files exists with a different text, unless --force is given."""
    Path("star.py").write_text("mine", encoding="utf-8")
    result = run("init", "star")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "`star.py` already exists" in result.stderr
    assert [path.name for path in Path().iterdir()] == ["star.py"]
    assert run("init", "star", "--force").stdout == "star.yaml\nstar.py\n"


@pytest.mark.parametrize(("name", "output"), [("star", "star.py"), ("snr_aver", "snr_trans.yaml"), ("star", "-")])
def test_files_do_not_take_each_others_place(run: Run, name: str, output: str) -> None:
    """Giving the spec the name of its plugin or base, or writing several files to standard output, is wrong usage."""
    result = run("init", name, "-o", output)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"`{name}` " in result.stderr
    assert list(Path().iterdir()) == []


def test_standard_output(run: Run) -> None:
    """`-o -` prints the template."""
    assert run("init", "cgc", "-o", "-").stdout == (TEMPLATES / "cgc.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "helps"),
    [("pel", "did you mean `ple`?"), ("../ple", "did you mean `ple`?"), ("x", "architectures: adatt")],
)
def test_an_unknown_name(run: Run, name: str, helps: str) -> None:
    """A name that is not an architecture is wrong usage, and so is a path in place of a name."""
    result = run("init", name)
    assert result.exit_code == 2
    assert helps in result.stderr
