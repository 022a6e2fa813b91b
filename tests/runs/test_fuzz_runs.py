"""Fuzzing run folders: however a run's files are damaged, each command ends properly and leaves no partial file."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from archspec.data.prepare import COLUMNS, ENCODING, TRAIN, VALIDATION
from archspec.runs.files import CURVES, HISTORY, LAST, RESULTS, RUN, SPEC, WEIGHTS
from tests.fuzzing import contents, fuzz, run_command, unfinished

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
archspec: 1
name: g
inputs: {user: {kind: sparse, vocab: 100, dim: 4}}
tasks: {click: {kind: binary}, like: {kind: binary, label: click}}
levels: [{experts: {e: {count: 2, units: [4]}}, gates: {$task: {sees: e}}}]
towers: {$task: {}}
"""
FILES = (RUN, SPEC, ENCODING, COLUMNS, HISTORY, RESULTS, LAST, WEIGHTS, CURVES, TRAIN, VALIDATION)
JUNK: tuple[Any, ...] = (None, True, 0, -1, 1.5, 10**30, float("nan"), "", "x", "1", [], {}, [[]], [None], {"x": 1})
"""What an editor may leave in the place of a value."""
TRAINING = 6.0
"""Seconds of a command that trains a few steps."""


@dataclass(frozen=True)
class Damage:
    """A damage to one file; `place` and `value` determine where and with what."""

    name: str
    how: str
    place: int
    value: int


damages = st.builds(
    Damage,
    st.sampled_from(FILES),
    st.sampled_from(
        ["cut", "empty", "gone", "folder", "{}", "flipped", "grown", "swapped", "link", "edited", "edited"]
    ),
    st.integers(0, 2**20),
    st.integers(0, 255),
)


def do(damage: Damage, run: Path) -> None:
    """Damages the file if it exists."""
    path = run / damage.name
    if not path.is_file():
        return
    content = path.read_bytes()
    place = damage.place % max(len(content), 1)
    path.unlink()
    match damage.how:
        case "gone":
            pass
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(path.name if damage.value % 2 else "nowhere")
        case "swapped":
            other = run / FILES[damage.value % len(FILES)]
            path.write_bytes(other.read_bytes() if other.is_file() else b"\0")
        case "flipped":
            path.write_bytes(content[:place] + bytes([damage.value]) + content[place + 1 :])
        case "edited":
            path.write_bytes(edited(content, damage))
        case _:
            new = {"cut": content[:place], "empty": b"", "{}": b"{}", "grown": content + b"x" * (1 + damage.value)}
            path.write_bytes(new[damage.how])


def edited(content: bytes, damage: Damage) -> bytes:
    """The JSON text with one value replaced, removed or renamed; another text with a line removed."""
    try:
        data = json.loads(content)
    except ValueError:
        lines = content.splitlines(keepends=True) or [b""]
        del lines[damage.place % len(lines) : damage.place % len(lines) + 1]
        return b"".join(lines)
    places = list(holders(data))
    if not places:
        return b"[]"
    holder, key = places[damage.place % len(places)]
    if damage.value % 4 == 0:
        del holder[key]
    elif damage.value % 4 == 1 and isinstance(holder, dict):
        holder["renamed"] = holder.pop(key)
    else:
        holder[key] = JUNK[damage.value % len(JUNK)]
    return json.dumps(data).encode()


def holders(data: Any) -> Any:  # noqa: ANN401 - JSON
    """Every place in JSON data, as its container and its key there."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield data, key
            yield from holders(value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec, 60 rows, and a finished run of one epoch."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "g.yaml").write_text(TEXT)
    (folder / "a.csv").write_text("user,click\n" + "".join(f"{i % 9},{i % 2}\n" for i in range(60)))
    assert run_command(*training(folder, "sound", 1), seconds=600).exit_code == 0
    return folder


def training(folder: Path, run: str, epochs: int) -> list[str]:
    """The arguments of a training command."""
    words = ["train", str(folder / "g.yaml"), "--data", str(folder / "a.csv"), "-o", str(folder / run)]
    return [*words, "--batch", "20", "--interval", "1", "--epochs", str(epochs), "--threads", "1"]


def check(folder: Path, words: list[str]) -> None:
    """A command on the damaged run succeeds, or is refused in one sentence without changing anything."""
    run = folder / "x"
    before = contents(run)
    result = run_command(*words, seconds=TRAINING)
    event(f"{words[0]}: {result.exit_code}")
    assert result.exit_code in {0, 1, 2}, result.output
    assert "Traceback" not in result.output
    assert unfinished(run) == []
    if result.exit_code:
        assert "error[AS" in result.stderr
        assert contents(run) == before


@example([Damage("history.json", "flipped", 347, 145)])  # the refused run got another recipe.yaml
@given(st.lists(damages, min_size=1, max_size=2))
@fuzz(by_day=25, by_night=2000)
def test_fuzz_of_run_folders(folder: Path, done: list[Damage]) -> None:
    """A run with damaged files is opened and resumed, or refused in one sentence and left unchanged."""
    shutil.rmtree(folder / "x", ignore_errors=True)
    run = shutil.copytree(folder / "sound", folder / "x")
    for damage in done:
        do(damage, run)
    check(folder, ["gates", str(run), "--json"])
    check(folder, [*training(folder, "x", 2), "--resume"])
