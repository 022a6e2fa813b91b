"""The command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from archspec.cli.app import archspec

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `archspec ARGUMENTS...` in an empty folder; any exception other than SystemExit fails the test."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(archspec, arguments, input=stdin, catch_exceptions=False)

    return invoke


@pytest.fixture
def specs() -> Path:
    """The folder of the published specs."""
    return ROOT / "specs"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small spec in the folder where the command runs."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path


TINY = """\
archspec: 1
name: tiny
inputs:
  x: {kind: dense, dim: 4}
tasks:
  click: {kind: binary}
towers:
  click: {units: [3]}
"""
