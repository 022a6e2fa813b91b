"""`archspec validate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]

ROOT = Path(__file__).parents[2]

WRONG = "archspec: 1\nname: tiny\ninputs:\n  x: {kind: dense, dim: 4}\ntasks:\n  t: {}\ntowers:\n  t: {unit: [3]}\n"
WARNED = WRONG.replace("tasks:", "  y: {kind: dense, dim: 4}\ntasks:").replace("unit: [3]", "from: x")


@pytest.mark.usefixtures("tiny")
def test_a_spec_that_is_fine(run: Run) -> None:
    """A valid spec causes one line on standard output, nothing on standard error, and status 0."""
    result = run("validate", "tiny.yaml")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "tiny.yaml: valid\n", "")


def test_an_error_shows_its_line(run: Run) -> None:
    """A mistake is printed to standard error with its line and a caret; the status is 1."""
    Path("wrong.yaml").write_text(WRONG, encoding="utf-8")
    result = run("validate", "wrong.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "wrong.yaml:8:7\n" in result.stderr
    assert "8 |   t: {unit: [3]}\n" in result.stderr
    assert "Traceback" not in result.stderr


def test_concise_takes_one_line(run: Run) -> None:
    """`--format concise` prints each finding on one line that an editor can parse."""
    result = run("validate", "-", "--format", "concise", stdin=WRONG)
    assert result.exit_code == 1
    assert result.stderr.startswith("<stdin>:8:7: error[AS108]: unknown key `unit`")
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("tiny")
def test_json_is_data(run: Run) -> None:
    """`--format json` prints one array for all specs on standard output."""
    Path("wrong.yaml").write_text(WRONG, encoding="utf-8")
    result = run("validate", "tiny.yaml", "wrong.yaml", "--format", "json")
    (finding,) = json.loads(result.stdout)
    assert (finding["code"], finding["severity"], finding["span"]["line"]) == ("AS108", "error", 8)
    assert (result.exit_code, result.stderr) == (1, "")


@pytest.mark.usefixtures("tiny")
def test_json_of_fine_specs_is_an_empty_array(run: Run) -> None:
    """Without diagnostics the JSON is an empty array."""
    assert json.loads(run("validate", "tiny.yaml", "--format", "json").stdout) == []


def test_the_keys_of_a_finding_are_documented(run: Run) -> None:
    """docs/json.md lists every key that `--json` prints, including those of places and notes."""
    page = (ROOT / "docs" / "json.md").read_text(encoding="utf-8").partition("## validate")[2].partition("\n## ")[0]
    (finding, *_) = json.loads(run("validate", "-", "--json", stdin=WRONG).stdout)
    assert [key for key in (*finding, *finding["span"]) if f"`{key}`" not in page] == []


def test_github_annotations(run: Run) -> None:
    """`--format github` prints workflow commands on standard output."""
    result = run("validate", "-", "--format", "github", stdin=WRONG)
    assert result.stdout.startswith("::error file=<stdin>,line=8,col=7,")


@pytest.mark.usefixtures("tiny")
def test_the_worst_status_wins(run: Run) -> None:
    """Every spec is checked even if others fail, and the worst status is returned."""
    result = run("validate", "absent.yaml", "tiny.yaml", "-", stdin=WRONG)
    assert result.exit_code == 2
    assert result.stdout == "tiny.yaml: valid\n"
    assert "AS001" in result.stderr
    assert "AS108" in result.stderr


@pytest.mark.parametrize(("options", "status"), [([], 0), (["--strict"], 1)])
def test_warnings(run: Run, options: list[str], status: int) -> None:
    """Warnings are shown, and count as errors only with `--strict`."""
    result = run("validate", "-", *options, stdin=WARNED)
    assert result.exit_code == status
    assert "warning[AS304]" in result.stderr
    assert result.stdout == ("<stdin>: valid\n" if status == 0 else "")


@pytest.mark.usefixtures("tiny")
def test_set_changes_a_value(run: Run) -> None:
    """The checks include the values of `--set`, and a mistake in one is reported at `--set`."""
    result = run("validate", "tiny.yaml", "--set", "inputs.x.dim=0")
    assert result.exit_code == 1
    assert "--set inputs.x.dim" in result.stderr
    assert run("validate", "tiny.yaml", "--set", "inputs.x.dim=8").exit_code == 0


@pytest.mark.parametrize("name", ["no file", ".", "zero\0byte"])
def test_what_is_no_file(run: Run, name: str) -> None:
    """A path that cannot be read causes one diagnostic and status 2."""
    result = run("validate", name)
    assert result.exit_code == 2
    assert result.stderr.startswith("error[AS0")


@pytest.mark.usefixtures("tiny")
def test_an_unknown_plugin(run: Run) -> None:
    """A plugin that does not exist is reported as a diagnostic, without a traceback."""
    result = run("validate", "tiny.yaml", "--plugin", "absent.py")
    assert result.exit_code == 2
    assert "error[AS501]: plugin file `absent.py` does not exist" in result.stderr


def test_no_spec_is_wrong_usage(run: Run) -> None:
    """Without a spec the command prints its usage, with status 2."""
    result = run("validate")
    assert result.exit_code == 2
    assert "Missing argument 'SPEC...'" in result.stderr


def test_a_folder_is_all_specs_below_it(run: Run, tmp_path: Path) -> None:
    """Every spec in or below a folder is checked; other YAML files, hidden files and hidden folders are skipped."""
    for name in ("b.yaml", "a/c.yml", ".git/d.yaml"):
        path = tmp_path / "all" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(WARNED.replace("y: {kind: dense, dim: 4}", ""), encoding="utf-8")
    (tmp_path / "all" / "compose.yaml").write_text("services: {}\n", encoding="utf-8")
    (tmp_path / "all" / "json.yaml").write_text('{"archspec": 1}\n', encoding="utf-8")
    result = run("validate", "all")
    assert result.stdout == "all/a/c.yml: valid\nall/b.yaml: valid\n"
    assert "all/json.yaml:1:1" in result.stderr


def test_quiet_prints_errors_only(run: Run) -> None:
    """With `-q` errors are printed, but neither warnings nor the word `valid`."""
    result = run("validate", "-", "-q", stdin=WARNED)
    assert (result.exit_code, result.output) == (0, "")
    assert "error[AS101]" in run("validate", "-", "-q", stdin="name: x\n").stderr


@pytest.mark.parametrize("words", [["--ignore", "AS304"], ["--ignore", "as304,AS307"]])
def test_one_finding_is_ignored(run: Run, words: list[str]) -> None:
    """`--ignore CODE` hides a warning, also from `--strict` and JSON."""
    result = run("validate", "-", "--strict", *words, stdin=WARNED)
    assert (result.exit_code, result.output) == (0, "<stdin>: valid\n")
    assert json.loads(run("validate", "-", "--json", *words, stdin=WARNED).stdout) == []


def test_the_environment_ignores_findings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """ARCHSPEC_IGNORE has the effect of `--ignore`; for a wrong code the nearest one is suggested."""
    monkeypatch.setenv("ARCHSPEC_IGNORE", "AS304")
    assert "AS304" not in run("summary", "-", stdin=WARNED).stderr
    monkeypatch.setenv("ARCHSPEC_IGNORE", "AS3O4")
    result = run("validate", "-", stdin=WARNED)
    assert result.exit_code == 2
    assert "no code `AS3O4`; did you mean `AS304`?" in result.stderr


def test_errors_cannot_be_ignored(run: Run) -> None:
    """An error is printed and gives status 1 even if it is listed in `--ignore`."""
    result = run("validate", "-", "--ignore", "AS101", stdin="name: x\n")
    assert result.exit_code == 1
    assert "error[AS101]" in result.stderr


def test_json_is_one_word(run: Run) -> None:
    """`--json` is short for `--format json`."""
    words = [["--json"], ["--format", "json"]]
    short, long = (run("validate", "-", *word, stdin=WARNED).stdout for word in words)
    assert short == long
    assert json.loads(short)[0]["code"] == "AS304"
