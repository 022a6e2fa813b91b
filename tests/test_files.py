"""Writing files: completely or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from archspec.diagnostics import SpecError
from archspec.files import write_whole


def refusal(path: Path, *, parents: bool = False) -> tuple[str, int]:
    """Return the code and the exit status of a failed write."""
    with pytest.raises(SpecError) as caught:
        write_whole(path, "new", parents=parents)
    return caught.value.diagnostics[0].code, caught.value.status


def names(folder: Path) -> list[str]:
    """Return the names in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    """Text is written as UTF-8 with its own line ends, bytes unchanged, and nothing else is left in the folder."""
    write_whole(tmp_path / "a", "é\r\n")
    write_whole(tmp_path / "b", b"\0\xff")
    assert (tmp_path / "a").read_bytes() == "é\r\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\0\xff"
    assert names(tmp_path) == ["a", "b"]


def test_an_existing_file_keeps_its_mode_and_its_links(tmp_path: Path) -> None:
    """A replaced file keeps its permissions; a symbolic link still points to the file, which has the new content."""
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "link").symlink_to("a")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "link").is_symlink()


def test_a_device_is_written_to_and_not_replaced() -> None:
    """/dev/null is still a device after writing to it."""
    write_whole("/dev/null", "x")
    assert Path("/dev/null").is_char_device()


def test_folders_are_made_only_when_asked(tmp_path: Path) -> None:
    """A missing folder is reported as an error, or created with `parents`."""
    assert refusal(tmp_path / "no" / "a") == ("AS011", 2)
    assert not (tmp_path / "no").exists()
    write_whole(tmp_path / "no" / "a", "x", parents=True)
    assert (tmp_path / "no" / "a").read_text() == "x"


def test_places_that_cannot_be_written_are_errors(tmp_path: Path) -> None:
    """A folder, a path below a file, a name too long or with a zero byte: status 2, and nothing is left behind."""
    (tmp_path / "file").write_text("old")
    assert refusal(tmp_path) == ("AS012", 2)
    assert refusal(tmp_path / "file" / "a") == ("AS013", 2)
    assert refusal(tmp_path / "file" / "a", parents=True) == ("AS013", 2)
    assert refusal(tmp_path / ("x" * 300)) == ("AS013", 2)
    assert refusal(tmp_path / "a\0b") == ("AS013", 2)
    assert names(tmp_path) == ["file"]


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last step fails, the old file is intact and there is no other file beside it."""
    (tmp_path / "a").write_text("old")

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, f"Permission denied: {self} to {target}")

    monkeypatch.setattr(Path, "replace", refuse)
    assert refusal(tmp_path / "a") == ("AS013", 2)
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]
