"""Kills and full disks: the last checkpoint remains intact, and the run continues from it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from archspec.diagnostics import SpecError
from archspec.lightning.checkpoint import read_checkpoint
from archspec.runs.files import LAST, WEIGHTS
from archspec.runs.recipe import Recipe
from archspec.runs.training import train
from tests.runs.killed import Killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archspec.data.prepare import Source
    from archspec.graph.graph import Graph

TEXT = """
archspec: 1
name: g
inputs: {user: {kind: sparse, vocab: 1000, dim: 16}}
tasks: {click: {kind: binary}}
towers: {click: {from: user}}
"""
"""A model of 64 kB, with checkpoints of 192 kB."""
RECIPE = Recipe(epochs=2, batch=50, interval=2)


def assert_equal(found: Path, expected: Path) -> None:
    """The weights are bit-identical, and there are no leftover files."""
    assert (found / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()
    one, other = read_checkpoint(found / LAST)["state_dict"], read_checkpoint(expected / LAST)["state_dict"]
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert {path.name for path in found.rglob("*")} == {path.name for path in expected.rglob("*")}


@pytest.mark.parametrize("saves", [1, 2, 4])
def test_a_save_that_dies_midway_leaves_the_last_checkpoint(  # noqa: PLR0913, PLR0917 - fixtures
    graph: Graph, source: Source, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    """A half-written checkpoint never replaces the last one (or appears where there was none); the run can continue."""
    save, calls = torch.save, []

    def half(found: Any, file: Any) -> None:  # noqa: ANN401 - torch's signature
        calls.append(found["global_step"])
        if len(calls) < saves:
            save(found, file)
        else:
            file.write(b"PK" * 10_000)
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", half)
        with pytest.raises(Killed):
            train(graph, source, RECIPE, tmp_path / "run")
    if saves == 1:
        assert not (tmp_path / "run" / LAST).exists()
    else:
        assert read_checkpoint(tmp_path / "run" / LAST)["global_step"] == calls[-2]
    train(graph, source, RECIPE, tmp_path / "run", resume=True)
    assert_equal(tmp_path / "run", unbroken)


KILLED = """
import os, signal, sys
import torch
save, calls = torch.save, []
def half(found, file):
    calls.append(found)
    if len(calls) < 3:
        return save(found, file)
    file.write(b"PK" * 10_000)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
torch.save = half
from archspec.cli import main
sys.exit(main())
"""


def test_a_kill_in_the_middle_of_a_save(graph: Graph, source: Source, unbroken: Path, tmp_path: Path) -> None:
    """If a process is killed while writing, the last checkpoint is intact and the partial file is removed later."""
    (tmp_path / "spec.yaml").write_text(TEXT)
    words = [
        sys.executable, "-c", KILLED, "train", "spec.yaml", "--data", source.files[0], "--epochs", "2", "--batch", "50",
        "--interval", "2", "-o", "run",
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = subprocess.run(words, cwd=tmp_path, env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert read_checkpoint(tmp_path / "run" / LAST)["global_step"] == 4
    assert len(list((tmp_path / "run").glob(".last.ckpt.*.tmp"))) == 1
    train(graph, source, RECIPE, tmp_path / "run", resume=True)
    assert_equal(tmp_path / "run", unbroken)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A separate small disk, if the system lets a test mount one (as root on Linux)."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=False).returncode:
        pytest.skip("this system does not let root mount")
    yield place
    subprocess.run([shutil.which("umount") or "umount", "-l", place], check=True)


@pytest.mark.parametrize("room", [0, 4, 12, 32, 64, 100, 200, 300, 400])
def test_a_full_disk_is_a_sentence_and_costs_nothing(
    graph: Graph, source: Source, unbroken: Path, disk: Path, room: int
) -> None:
    """Whenever it fills up, the message names a file of the run; after space is freed, the run ends as usual."""
    filler = disk / "filler"
    filler.write_bytes(b"x" * ((4096 - room) * 1024))
    with pytest.raises(SpecError) as told:
        train(graph, source, RECIPE, disk / "run")
    (item,) = told.value.diagnostics
    assert item.code == "AS013"
    assert str(disk / "run") in item.message
    assert "No space left" in item.message
    assert not list(disk.rglob("*.tmp"))
    filler.unlink()
    train(graph, source, RECIPE, disk / "run", resume=True)
    assert_equal(disk / "run", unbroken)


def test_a_full_disk_keeps_figures_and_built_files(disk: Path) -> None:
    """`build` and `render` keep the old file if the new one does not fit."""
    from click.testing import CliRunner

    from archspec.cli.app import archspec

    (disk / "spec.yaml").write_text(TEXT)
    for name in ("m.py", "m.svg"):
        (disk / name).write_text("old")
    (disk / "filler").write_bytes(b"x" * (4096 - 12) * 1024)
    for command, name in (("build", "m.py"), ("render", "m.svg")):
        result = CliRunner().invoke(archspec, [command, str(disk / "spec.yaml"), "-o", str(disk / name)])
        assert (result.exit_code, (disk / name).read_text()) == (2, "old")
        assert "free some space" in result.stderr
    assert {path.name for path in disk.iterdir()} == {"spec.yaml", "m.py", "m.svg", "filler"}


def test_a_run_that_a_folder_without_rights_refuses(
    graph: Graph, source: Source, unbroken: Path, tmp_path: Path
) -> None:
    """On a read-only disk `train` fails with one sentence, and `load_run` still works."""
    from archspec.runs.trained import load_run

    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount")
    place = tmp_path / "place"
    place.mkdir()
    if subprocess.run([mount, "--bind", unbroken, place], check=False).returncode:
        pytest.skip("this system does not let root mount")
    try:
        subprocess.run([mount, "-o", "remount,ro,bind", place], check=True)
        with pytest.raises(SpecError, match="AS013"):
            train(graph, source, replace(RECIPE, epochs=3), place, resume=True)
        assert load_run(place).graph.spec.digest == graph.spec.digest
    finally:
        subprocess.run([shutil.which("umount") or "umount", "-l", place], check=True)
