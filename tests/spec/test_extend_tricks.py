"""`extends` of anything but a spec file is one error at its location; nothing hangs, and no other file is opened."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

import archspec
from archspec.diagnostics import SpecError
from archspec.spec import source

if TYPE_CHECKING:
    from pathlib import Path

SOUND = "archspec: 1\nname: a\ninputs: {x: {kind: dense, dim: 2}}\ntasks: {click: {}}\ntowers: {click: {from: x}}\n"


def refusal(folder: Path, value: str) -> tuple[str, str]:
    """Code and message of the one error of a spec that extends something."""
    path = folder / "spec.yaml"
    path.write_text(f"archspec: 1\nextends: {value}\nname: x\n")
    with pytest.raises(SpecError) as caught:
        archspec.load(path)
    (item,) = caught.value.diagnostics
    assert item.span is not None
    assert (item.span.file, item.span.line, item.span.column) == (str(path), 2, 10)
    return item.code, item.message


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('"c.yaml\\0"', "null byte"),
        (f"{'a' * 300}.yaml", "too long"),
        (f"{'a/' * 3000}b.yaml", "too long"),
        ("loop.yaml", "loop of links"),
        ("loop.yaml/x.yaml", "loop of links"),
        ("folder", "is a folder"),
        ("folder/", "is a folder"),
        ('""', "is a folder"),
        (".", "is a folder"),
        ("pipe", "not a regular file"),
        ("plug", "not a regular file"),
        ("sound.yaml/x", "there is no file"),
        ("nothing.yaml", "there is no file"),
        ("dangling.yaml", "there is no file"),
        ('"a\\nb"', "there is no file"),
        ('"~/x.yaml"', "there is no file"),
    ],
)
def test_what_is_no_file(tmp_path: Path, value: str, reason: str) -> None:
    """Impossible bytes, long paths, link loops, folders, pipes, sockets and missing files are refused."""
    (tmp_path / "sound.yaml").write_text(SOUND)
    (tmp_path / "loop.yaml").symlink_to("loop2.yaml")
    (tmp_path / "loop2.yaml").symlink_to("loop.yaml")
    (tmp_path / "dangling.yaml").symlink_to("gone.yaml")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(os.path.relpath(tmp_path / "plug"))
        code, message = refusal(tmp_path, value)
    assert code == "AS120"
    assert reason in message.lower()


@pytest.mark.parametrize("target", ["/dev/stdin", "/dev/zero", "/proc/self/environ", "/etc/passwd"])
def test_links_that_lead_out_are_not_opened(tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link beside the spec to a device or to a file outside is refused without opening it."""
    (tmp_path / "link.yaml").symlink_to(target)
    monkeypatch.setattr("archspec.spec.extend.read", lambda *_, **__: pytest.fail("opened"))
    assert refusal(tmp_path, "link.yaml")[0] == "AS122"
    assert refusal(tmp_path, target)[0] == "AS122"


def test_the_file_that_was_checked_is_the_one_that_is_read(tmp_path: Path) -> None:
    """`link/../x.yaml` is resolved through the link, as the system does: no file outside the folder is read."""
    (tmp_path / "place" / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "place" / "link").symlink_to("deep/deeper")
    (tmp_path / "secret.yaml").write_text("x-secret: here\n")
    (tmp_path / "place" / "deep" / "secret.yaml").write_text(SOUND)
    inner = tmp_path / "place" / "spec.yaml"
    inner.write_text("extends: link/../secret.yaml\nname: x\n")
    assert archspec.load(inner).name == "x"


@pytest.mark.parametrize("reason", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_files_that_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: OSError) -> None:
    """A file without permission or on a broken disk is an error with the system's reason."""
    (tmp_path / "base.yaml").write_text(SOUND)
    real = source._read_regular

    def fails(name: str) -> bytes:
        if name.endswith("base.yaml"):
            raise reason
        return real(name)

    monkeypatch.setattr(source, "_read_regular", fails)
    code, message = refusal(tmp_path, "base.yaml")
    assert code == "AS120"
    assert str(reason.strerror) in message


def test_a_file_that_grows(tmp_path: Path) -> None:
    """At most one mebibyte is read, however large the file has become."""
    with (tmp_path / "base.yaml").open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than 1 MiB" in refusal(tmp_path, "base.yaml")[1]


def test_a_pipe_in_the_place_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that replaces the file after the check is refused, without waiting for it."""
    os.mkfifo(tmp_path / "base.yaml")
    regular = (tmp_path / "file").write_text("") or (tmp_path / "file").stat()
    monkeypatch.setattr(os, "stat", lambda _: regular)
    with pytest.raises(SpecError) as caught:
        source.read(tmp_path / "base.yaml")
    assert "not a regular file" in caught.value.diagnostics[0].message


@pytest.mark.parametrize(("count", "code"), [(64, None), (65, "AS138"), (1100, "AS138")])
def test_a_long_row_of_files(tmp_path: Path, count: int, code: str | None) -> None:
    """64 files may extend each other in a chain; more are refused, even a thousand."""
    (tmp_path / "c0.yaml").write_text(SOUND)
    for number in range(1, count + 1):
        (tmp_path / f"c{number}.yaml").write_text(f"extends: c{number - 1}.yaml\n")
    if code is None:
        assert archspec.load(tmp_path / f"c{count}.yaml").name == "a"
        return
    with pytest.raises(SpecError) as caught:
        archspec.load(tmp_path / f"c{count}.yaml")
    assert [item.code for item in caught.value.diagnostics] == [code]


def test_a_row_of_large_files(tmp_path: Path) -> None:
    """All files together may be as large as a single file."""
    for number in range(3):
        lines = "".join(f"  k{number}_{index}: {{}}\n" for index in range(45_000))
        head = f"extends: c{number - 1}.yaml\n" if number else ""
        (tmp_path / f"c{number}.yaml").write_text(f"{head}towers:\n{lines}")
    with pytest.raises(SpecError) as caught:
        archspec.load(tmp_path / "c2.yaml")
    assert [item.code for item in caught.value.diagnostics] == ["AS133"]


def test_extends_cannot_be_set(tmp_path: Path) -> None:
    """`--set extends=...` is refused, because it would have no effect."""
    (tmp_path / "base.yaml").write_text(SOUND)
    with pytest.raises(SpecError) as caught:
        archspec.load(tmp_path / "base.yaml", overrides={"extends": "other.yaml"})
    assert (caught.value.diagnostics[0].code, caught.value.status) == ("AS136", 2)


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the current folder no longer exists, `extends` in a text is an ordinary error of the spec."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SpecError) as caught:
        archspec.load("extends: base.yaml\nname: x\n")
    assert [item.code for item in caught.value.diagnostics] == ["AS120"]
