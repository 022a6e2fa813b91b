"""The files that `archspec build` and `archspec render` write."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import Result

Run = Callable[..., Result]


PLUGIN = Path(__file__).parents[2] / "plugins" / "mlora.py"


def test_a_plugin_of_the_spec_s_name_is_not_overwritten(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-o mlora.py` next to the plugin `mlora.py` is rejected, and the plugin's file stays unchanged."""
    # Other tests import it from another folder: theirs is put back afterwards, or this one removed.
    monkeypatch.setitem(sys.modules, "mlora", ModuleType("mlora"))
    monkeypatch.delitem(sys.modules, "mlora")
    assert run("init", "mlora").exit_code == 0
    for command in ("build", "render"):
        result = run(command, "mlora.yaml", "--plugin", "mlora.py", "-o", "./mlora.py")
        assert result.exit_code == 2
        assert "`./mlora.py` is a file that this command reads" in result.stderr
    assert Path("mlora.py").read_bytes() == PLUGIN.read_bytes()


@pytest.mark.usefixtures("tiny")
def test_the_default_place(run: Run) -> None:
    """Without -o the file is build/NAME.py, and its path is the only output."""
    result = run("build", "tiny.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (0, str(Path("build", "tiny.py")) + "\n", "")
    module = ast.parse(Path("build/tiny.py").read_text(encoding="utf-8"))
    assert "Tiny" in [node.name for node in module.body if isinstance(node, ast.ClassDef)]


def test_building_twice_gives_the_same_bytes(run: Run, specs: Path) -> None:
    """The bytes of the emitted file depend on the spec alone."""
    for name in ("a.py", "b.py"):
        assert run("build", str(specs / "ple.yaml"), "-o", name).exit_code == 0
    assert Path("a.py").read_bytes() == Path("b.py").read_bytes()


def test_a_folder_takes_many(run: Run, specs: Path) -> None:
    """Several specs are written into one folder, each under its own name."""
    Path("out").mkdir()
    result = run("build", str(specs / "moe.yaml"), str(specs / "esmm.yaml"), "-o", "out")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [str(Path("out/moe.py")), str(Path("out/esmm.py"))]
    assert sorted(path.name for path in Path("out").iterdir()) == ["esmm.py", "moe.py"]


def test_one_name_twice_is_refused(run: Run, tiny: Path) -> None:
    """Two specs with the same name are rejected, so that neither overwrites the other's file."""
    Path("again.yaml").write_text(tiny.read_text(encoding="utf-8"), encoding="utf-8")
    result = run("build", "tiny.yaml", "again.yaml")
    assert result.exit_code == 2
    assert "have the same `name`" in result.stderr
    assert not Path("build").exists()


def test_standard_output(run: Run, tiny: Path) -> None:
    """`-o -` prints the file to standard output."""
    result = run("build", "-", "-o", "-", stdin=tiny.read_text(encoding="utf-8"))
    assert "class Tiny" in result.stdout
    assert list(Path().iterdir()) == [Path("tiny.yaml")]


def test_plain_is_what_the_spec_says(run: Run, specs: Path) -> None:
    """With `--plain`, every weight of the spec is a separate tensor."""
    result = run("build", str(specs / "moe.yaml"), "-o", "-", "--plain")
    assert result.exit_code == 0
    assert result.stdout.count("level1.experts.pool.7.layers.0.weight") >= 1


@pytest.mark.usefixtures("tiny")
def test_explain_prints_the_programs(run: Run) -> None:
    """`--explain` prints the program before and after optimization, and what was and what was not rewritten."""
    output = run("build", "tiny.yaml", "--explain").stdout
    titles = [line for line in output.splitlines() if line.startswith("== ")]
    assert [title.split(":")[0] for title in titles] == [
        "== program of the spec",
        "== compiled program",
        "== rewritten",
        "== not rewritten",
        "== cost",
    ]
    assert "towers.click.head" in output
    assert "FLOPs per row" in output


@pytest.mark.usefixtures("tiny")
def test_tuning_prints_what_was_measured(run: Run) -> None:
    """`--tune` prints the time of each lowering for each product and batch size; the file is written as usual."""
    result = run("build", "tiny.yaml", "--tune", "--batch", "2,3", "--explain")
    assert result.exit_code == 0
    assert "* chosen" in result.stderr
    assert ", B 2: " in result.stderr
    assert "== lowerings: microseconds" in result.stdout
    assert Path("build/tiny.py").is_file()


@pytest.mark.usefixtures("tiny")
def test_bfloat16_says_what_it_costs(run: Run) -> None:
    """`--precision bf16` prints the largest difference measured on random input."""
    result = run("build", "tiny.yaml", "--precision", "bf16")
    assert (result.exit_code, result.stdout) == (0, str(Path("build", "tiny.py")) + "\n")
    assert result.stderr.startswith("tiny: the largest difference from fp32 on random input is ")


@pytest.mark.parametrize("batch", ["", "0", "16,", "many", "-3"])
@pytest.mark.usefixtures("tiny")
def test_batch_sizes_are_numbers(run: Run, batch: str) -> None:
    """Anything but a list of row counts is wrong usage, and nothing is written."""
    result = run("build", "tiny.yaml", "--tune", f"--batch={batch}")
    assert result.exit_code == 2
    assert "is not a list of row counts" in result.stderr
    assert not Path("build").exists()


@pytest.mark.parametrize("command", ["build", "render"])
@pytest.mark.usefixtures("tiny")
def test_a_wrong_spec_leaves_no_file(run: Run, command: str) -> None:
    """If one of several specs is wrong, nothing is written."""
    result = run(command, "tiny.yaml", "-", stdin="archspec: 1\n")
    assert result.exit_code == 1
    assert "error[AS104]" in result.stderr
    assert list(Path().iterdir()) == [Path("tiny.yaml")]


@pytest.mark.parametrize(("command", "name"), [("build", "out/tiny.py"), ("render", "out/tiny.dot")])
@pytest.mark.usefixtures("tiny")
def test_a_missing_folder(run: Run, command: str, name: str) -> None:
    """A folder that does not exist is an error with status 2; it is not created."""
    result = run(command, "tiny.yaml", "-o", name)
    assert result.exit_code == 2
    assert "error[AS011]: there is no folder `out`" in result.stderr


@pytest.mark.parametrize("command", ["build", "render"])
@pytest.mark.usefixtures("tiny")
def test_a_file_where_the_folder_belongs(run: Run, command: str) -> None:
    """A file named `build` makes both commands fail with one diagnostic."""
    Path("build").write_text("mine", encoding="utf-8")
    result = run(command, "tiny.yaml")
    assert result.exit_code == 2
    assert "error[AS013]" in result.stderr
    assert Path("build").read_text(encoding="utf-8") == "mine"


@pytest.mark.usefixtures("tiny")
def test_render_by_default(run: Run) -> None:
    """Without -o the figure is build/NAME.svg."""
    result = run("render", "tiny.yaml")
    assert (result.exit_code, result.stdout) == (0, str(Path("build", "tiny.svg")) + "\n")
    assert "<svg" in Path("build/tiny.svg").read_text(encoding="utf-8")


def test_the_ending_decides(run: Run, specs: Path) -> None:
    """The extension of the file selects DOT or Mermaid; `--selectors` adds the streams that control gates."""
    ple = str(specs / "ple.yaml")
    for name in ("a.dot", "b.mmd"):
        assert run("render", ple, "-o", name).exit_code == 0
    assert run("render", ple, "-o", "c.dot", "--selectors").exit_code == 0
    assert Path("a.dot").read_text(encoding="utf-8").startswith("digraph")
    assert "flowchart" in Path("b.mmd").read_text(encoding="utf-8")
    assert Path("c.dot").read_text(encoding="utf-8").count("->") > Path("a.dot").read_text(encoding="utf-8").count("->")


@pytest.mark.usefixtures("tiny")
def test_an_unknown_ending(run: Run) -> None:
    """An extension of no known format is rejected, and the known ones are listed."""
    result = run("render", "tiny.yaml", "-o", "tiny.jpg")
    assert result.exit_code == 2
    assert "error[AS604]" in result.stderr


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("command", "name"), [("build", "tiny.py"), ("render", "tiny.svg"), ("init", "mmoe.yaml")])
def test_a_folder_that_is_not_there_yet(run: Run, command: str, name: str) -> None:
    """`-o FOLDER/` creates the folder; `-o FOLDER/FILE` does not."""
    spec = "mmoe" if command == "init" else "tiny.yaml"
    assert run(command, spec, "-o", "new/deep/").exit_code == 0
    assert Path("new/deep", name).is_file()
    result = run(command, spec, "-o", f"other/{name}")
    assert result.exit_code == 2
    assert "error[AS011]: there is no folder `other`" in result.stderr


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("output", ["tiny.yaml/", "tiny.yaml/deep/x.py"])
def test_a_folder_that_is_a_file(run: Run, output: str) -> None:
    """A file where a folder is needed is named in the error."""
    result = run("build", "tiny.yaml", "-o", output)
    assert result.exit_code == 2
    assert "error[AS013]: `tiny.yaml` is a file, not a folder" in result.stderr


@pytest.mark.parametrize("command", ["build", "render", "init", "gates"])
def test_a_name_that_no_file_can_have(run: Run, tiny: Path, command: str) -> None:
    """A name of 300 letters causes one diagnostic."""
    words = [str(tiny)] if command != "init" else ["mmoe"]
    result = run(command, *words, "-o", "a" * 300 + (".py" if command == "build" else ".svg"))
    assert result.exit_code == 2
    assert "error[AS" in result.stderr


@pytest.mark.usefixtures("tiny")
def test_a_figure_on_standard_output(run: Run) -> None:
    """`render -o -` prints SVG, or the format given by `--format`, and nothing else."""
    assert run("render", "tiny.yaml", "-o", "-").stdout_bytes.startswith(b"<svg")
    assert run("render", "tiny.yaml", "-o", "-", "--format", "png").stdout_bytes.startswith(b"\x89PNG")
    assert run("render", "tiny.yaml", "-o", "-", "--format", "dot").stdout.startswith("digraph")
    assert not Path("-").exists()


@pytest.mark.usefixtures("tiny")
def test_a_width_is_met(run: Run) -> None:
    """`--width 8.5cm` makes an SVG of that width; lengths without a unit or out of range are rejected."""
    assert run("render", "tiny.yaml", "-o", "a.svg", "--width", "8.5cm").exit_code == 0
    assert 'width="240.94pt"' in Path("a.svg").read_text(encoding="utf-8")
    assert run("render", "tiny.yaml", "-o", "b.svg", "--width", "800px").exit_code == 0
    assert 'width="600pt"' in Path("b.svg").read_text(encoding="utf-8")
    for wrong, said in (("8.5", "write a number and its unit"), ("1cm", "is not between"), ("-3cm", "is not a length")):
        result = run("render", "tiny.yaml", "-o", "c.svg", "--width", wrong)
        assert result.exit_code == 2
        assert said in result.stderr
    assert not Path("c.svg").exists()


def test_a_width_at_which_nothing_is_legible(run: Run, specs: Path) -> None:
    """A figure that is too narrow to be legible is drawn anyway, with a warning that says how wide it should be."""
    result = run("render", str(specs / "ple.yaml"), "-o", "a.svg", "--width", "1in")
    assert result.exit_code == 0
    assert "warning[AS605]: at this width the smallest text of `ple` is" in result.stderr
    assert "cm wide, or " in result.stderr


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    "option", [("--width", "8cm"), ("--theme", "dark"), ("--no-legend",), ("--trained-by", "click")]
)
def test_what_text_formats_do_not_have(run: Run, option: tuple[str, ...]) -> None:
    """DOT, Mermaid and text have no width, theme or legend: such an option is reported rather than ignored."""
    result = run("render", "tiny.yaml", "-o", "a.dot", *option)
    assert result.exit_code == 2
    assert f"`{option[0]}` is for drawn figures" in result.stderr
    assert not Path("a.dot").exists()


def test_what_comes_forward(run: Run, specs: Path) -> None:
    """`--trained-by` and `--focus` fade everything else; a name that does not exist is a diagnostic."""
    ple = str(specs / "ple.yaml")
    assert run("render", ple, "-o", "a.svg", "--trained-by", "vcr").exit_code == 0
    assert 'opacity="' in Path("a.svg").read_text(encoding="utf-8")
    result = run("render", ple, "-o", "b.svg", "--focus", "task=vcrr")
    assert result.exit_code == 2
    assert "error[AS607]: the figure has no task `vcrr`" in result.stderr
    assert "did you mean `vcr`?" in result.stderr
    assert run("render", ple, "-o", "b.svg", "--focus", "task=vcr", "--trained-by", "vcr").exit_code == 2
    assert not Path("b.svg").exists()


def test_numbers_in_a_figure(run: Run, specs: Path) -> None:
    """`--annotate` shows the counts of `summary`: 48,008 parameters of PLE's tables, 1,633 of a tower."""
    assert run("render", str(specs / "ple.yaml"), "-o", "a.svg", "--annotate", "params").exit_code == 0
    text = Path("a.svg").read_text(encoding="utf-8")
    assert "48K params" in text
    assert "1.6K params" in text
    assert run("render", str(specs / "ple.yaml"), "-o", "a.svg", "--annotate", "flops").exit_code == 0
    assert "FLOPs" in Path("a.svg").read_text(encoding="utf-8")


@pytest.mark.usefixtures("tiny")
def test_a_format_without_a_file_name(run: Run) -> None:
    """`--format` sets the format of files in the default folder, and must not contradict a file's extension."""
    assert run("render", "tiny.yaml", "--format", "txt").stdout == str(Path("build", "tiny.txt")) + "\n"
    result = run("render", "tiny.yaml", "--format", "txt", "-o", "a.svg")
    assert result.exit_code == 2
    assert "`--format txt` and the ending `.svg` differ" in result.stderr


def test_one_file_fits_standard_output(run: Run, specs: Path) -> None:
    """Two specs cannot both be written to standard output."""
    result = run("build", str(specs / "ple.yaml"), str(specs / "mmoe.yaml"), "-o", "-")
    assert result.exit_code == 2
    assert "only one file can be written to standard output" in result.stderr


def test_a_folder_of_specs_is_built(run: Run, specs: Path, tmp_path: Path) -> None:
    """`build FOLDER` writes one file for each spec in the folder or below it."""
    (tmp_path / "mine").mkdir()
    for name in ("mmoe", "moe"):
        (tmp_path / "mine" / f"{name}.yaml").write_text((specs / f"{name}.yaml").read_text())
    assert run("build", "mine", "-o", "out/").exit_code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["mmoe.py", "moe.py"]


def test_blocks_that_are_stored_apart(run: Run, specs: Path) -> None:
    """`--separate` gives a block parameters of its own in the file; a wrong name is refused with a suggestion."""
    ple = str(specs / "ple.yaml")
    assert run("build", ple, "-o", "fused.py").exit_code == 0
    assert run("build", ple, "-o", "apart.py", "--separate", "towers.vtr").exit_code == 0
    stacks = [Path(name).read_text(encoding="utf-8").count("nn.Parameter(") for name in ("fused.py", "apart.py")]
    assert stacks[1] > stacks[0]
    for tune in ((), ("--tune", "--batch", "16")):
        wrong = run("build", ple, "-o", "wrong.py", "--separate", "towers.vtrr", *tune)
        assert (wrong.exit_code, Path("wrong.py").exists()) == (2, False)
        assert "did you mean `towers.vtr`?" in wrong.stderr
