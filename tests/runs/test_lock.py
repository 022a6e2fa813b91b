"""Only one process at a time trains in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archspec.diagnostics import SpecError
from archspec.runs.lock import LOCK, claimed

if TYPE_CHECKING:
    from pathlib import Path


def test_the_second_is_refused(tmp_path: Path) -> None:
    """While one process holds the lock, another gets an error; afterwards it succeeds, and no lock file remains."""
    folder = tmp_path / "a" / "run"
    with claimed(folder):
        with pytest.raises(SpecError, match="AS730") as told, claimed(folder):
            pass
        assert told.value.status == 2
        assert (folder / LOCK).exists()
        (folder / "kept").write_text("")
    with claimed(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_links_and_other_spellings_are_one_folder(tmp_path: Path) -> None:
    """A symbolic link does not bypass the lock."""
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    with claimed(tmp_path / "run"), pytest.raises(SpecError, match="AS730"), claimed(tmp_path / "link"):
        pass


def test_folders_that_were_made_for_nothing_vanish(tmp_path: Path) -> None:
    """If a run is refused inside the block, the folder made for it is removed; an existing folder stays."""
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_kill_leaves_no_lock(tmp_path: Path) -> None:
    """The lock of a killed process is released although its file still exists."""
    code = (
        "import os, pathlib, signal; from archspec.runs.lock import claimed\n"
        f"with claimed(pathlib.Path({str(tmp_path / 'run')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "run" / LOCK).exists()
    with claimed(tmp_path / "run"):
        pass
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_lock_that_another_process_removes_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the owner ends and removes the file between opening and locking, a new file is locked instead."""
    from archspec.runs import lock

    take, calls = lock._lock, []

    def removed(file: object) -> bool:
        calls.append(file)
        if len(calls) == 1:
            (tmp_path / LOCK).unlink()
        return take(file)  # type: ignore[arg-type] # the open file

    monkeypatch.setattr(lock, "_lock", removed)
    with claimed(tmp_path):
        assert len(calls) == 2
        monkeypatch.setattr(lock, "_lock", take)
        with pytest.raises(SpecError, match="AS730"), claimed(tmp_path):
            pass


@pytest.mark.parametrize("name", ["file", "file/run", "x" * 300, "a\0b"])
def test_places_where_no_folder_can_be(tmp_path: Path, name: str) -> None:
    """An occupied, too long or impossible name gives one sentence and status 2, and nothing is created."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SpecError) as told, claimed(tmp_path / name):
        pass
    assert told.value.status == 2
    assert told.value.diagnostics[0].code == "AS013"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    """Permission denied is reported in one sentence."""
    (tmp_path / "run").mkdir(mode=0o500)
    with pytest.raises(SpecError, match="AS013"), claimed(tmp_path / "run"):
        pass


@pytest.mark.parametrize("name", ["with blanks and ü 雪", "x" * 250, "雪" * 80])
def test_odd_names_are_names(tmp_path: Path, name: str) -> None:
    """Any name that the system accepts can be a folder's."""
    with claimed(tmp_path / name):
        assert (tmp_path / name / LOCK).exists()
