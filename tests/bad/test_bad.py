"""Every bad spec in this folder is rejected with its expected diagnostics: `NAME.yaml` with the text of `NAME.txt`.

If messages change, `GOLDEN=write pytest tests/bad tests/lint` rewrites the texts; read each one that changed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archspec.diagnostics import SpecError, render
from archspec.files import write_whole
from archspec.graph.load import load

HERE = Path(__file__).parent
SPECS = sorted(path.stem for path in HERE.glob("*.yaml"))


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in diagnostics are relative to the folder of the specs."""
    monkeypatch.chdir(HERE)


def refused(source: str | Path) -> SpecError:
    """Returns the SpecError that loading the spec raises."""
    with pytest.raises(SpecError) as caught:
        load(source)
    return caught.value


@pytest.mark.parametrize("name", SPECS)
def test_diagnostics_are_the_golden_text(name: str) -> None:
    """A bad spec is rejected with exactly these diagnostics, at least one of them an error, and exit status 1."""
    error = refused(f"{name}.yaml")
    text = render(error.diagnostics, "full") + "\n"
    golden = HERE / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()
    assert "error[AS" in text
    assert error.status == 1


def test_there_are_no_texts_without_a_spec() -> None:
    """Each golden text belongs to a bad spec, and there is a large number of them."""
    assert sorted(path.stem for path in HERE.glob("*.txt")) == SPECS
    assert len(SPECS) > 250


def test_each_spec_says_what_is_bad_about_it() -> None:
    """The first line of a bad spec describes the mistake, so that its diagnostic can be judged."""
    assert [name for name in SPECS if not (HERE / f"{name}.yaml").read_text().startswith("# bad: ")] == []


@pytest.mark.parametrize("name", [name for name in SPECS if not name.startswith("several_")])
def test_one_mistake_is_one_diagnostic(name: str) -> None:
    """A spec with one mistake has one error and no consequential errors; two bad values in a list have two errors."""
    errors = [item for item in refused(f"{name}.yaml").diagnostics if item.severity == "error"]
    two = {"domain_value_number", "extends_level_mistake"}
    assert len(errors) == (2 if name in two else 1)


@pytest.mark.parametrize(
    ("content", "code", "status"),
    [
        (b"", "AS030", 1),
        (b"\0\1\2", "AS003", 2),
        (b"\xff\xfea\0", "AS003", 2),
        (b"archspec: 1\nname: \xe9", "AS003", 2),
        (b"archspec: 1\nname: a\x07b", "AS044", 1),
        (b"archspec: 1\nname: " + b"[" * 200_000, "AS041", 1),
        (b"archspec: 1\nabout: " + b"x" * (1 << 20), "AS004", 2),
        (b"archspec: 1\nname: " + b"9" * 5000, "AS043", 1),
    ],
)
def test_files_that_are_no_specs(tmp_path: Path, content: bytes, code: str, status: int) -> None:
    """Empty, binary, badly encoded, deeply nested and large files each cause one diagnostic and the right status."""
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    error = refused(path)
    assert [item.code for item in error.diagnostics] == [code]
    assert error.status == status


def test_alias_bomb(tmp_path: Path) -> None:
    """Aliases of aliases do not exhaust the memory."""
    lines = ["archspec: 1", "x-a0: &a0 [1, 1]"]
    lines += [f"x-a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    assert [item.code for item in refused(path).diagnostics] == ["AS042"]


@pytest.mark.parametrize("towers", ["${a}_${b}_$c: {}", "$a: {cases: {$b: {modulate: {$c: 1}}}}"])
def test_variable_bomb(towers: str) -> None:
    """Variables over long sets, side by side or nested, do not exhaust the memory."""
    values = ", ".join(f"v{i}" for i in range(200))
    with pytest.raises(SpecError) as caught:
        load(f"archspec: 1\nname: bomb\nsets: {{a: [{values}], b: [{values}], c: [{values}]}}\ntowers:\n  {towers}\n")
    assert [item.code for item in caught.value.diagnostics] == ["AS133"]


def test_missing_file_and_folder(tmp_path: Path) -> None:
    """A path that is not a file is reported with exit status 2, and a similar name is suggested."""
    (tmp_path / "ple.yaml").write_text("archspec: 1")
    missing, folder = refused(tmp_path / "plee.yaml"), refused(tmp_path)
    assert (missing.diagnostics[0].code, missing.status) == ("AS001", 2)
    assert "ple.yaml" in missing.diagnostics[0].help
    assert (folder.diagnostics[0].code, folder.status) == ("AS002", 2)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """If the output folder is missing or is a file, nothing is written."""
    (tmp_path / "file").write_text("")
    for target, code in (
        (tmp_path / "no" / "ple.py", "AS011"),
        (tmp_path / "file" / "ple.py", "AS013"),
        (tmp_path, "AS012"),
    ):
        with pytest.raises(SpecError) as caught:
            write_whole(target, "text")
        assert (caught.value.diagnostics[0].code, caught.value.status) == (code, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_mistakes_of_text_have_places() -> None:
    """A spec given as text is rejected like a file, under the name `<text>`."""
    (item,) = refused("archspec: 1\nname: x\nrepeat: 2\ninputs: {x: {kind: dense, dim: 1}}\n"
                      "tasks: {a: {kind: binary}}\ntowers: {a: {units: []}}").diagnostics  # fmt: skip
    assert item.span is not None
    assert (item.code, item.span.file, item.span.line) == ("AS103", "<text>", 3)
