"""Copies the Markdown pages of the repository, with links that hold on the site."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]

PAGES: Final = {
    **{f"docs/{page.name}": page.name for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "README.md"},
    "docs/architectures.md": "architectures/index.md",
    "README.md": "index.md",
    "benchmarks/results.md": "benchmarks.md",
    "benchmarks/README.md": "benchmarking.md",
    "examples/synthetic_protocol.md": "synthetic_protocol.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Page of the repository -> its place on the site."""

FOLDERS: Final = {"docs/README.md": "index.md", "docs": "index.md", "specs": "architectures/index.md"}
"""What pages link to, and the page that the site has in its place."""

_LINK: Final = re.compile(r"(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_PICTURE: Final = re.compile(r'<img src="([^"]+)"[^>]*alt="([^"]*)"[^>]*>')
_FENCED: Final = re.compile(r"^(```.*?^```$)", re.DOTALL | re.MULTILINE)


def stage(folder: Path) -> None:
    """Writes all pages of PAGES, and the files that they link to, into a folder."""
    for source, target in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if source == "README.md":
            text = _without_table(text)
        write(folder / target, linked(text, source, target, folder))


def write(path: Path, text: str) -> None:
    """Writes a page, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def linked(text: str, source: str, target: str, folder: Path) -> str:
    """The text of a page with links that hold at its place on the site; code is left alone."""
    parts = _FENCED.split(text)
    return "".join(
        part if part.startswith("```") else _LINK.sub(lambda match: _link(match, source, target, folder), part)
        for part in parts
    )


def _link(match: re.Match[str], source: str, target: str, folder: Path) -> str:
    picture, words, address = match.groups()
    inner = _LINK.sub(lambda inner: _link(inner, source, target, folder), words)
    if re.match(r"[a-z]+:", address) or address.startswith("#"):
        return f"{picture}[{inner}]({address})"
    path, hash_, anchor = address.partition("#")
    goal = os.path.normpath(PurePosixPath(source).parent / path)
    place = place_of(goal, folder)
    if place is None:
        return words  # a folder, which the site does not have
    return f"{picture}[{inner}]({_relative(place, target)}{hash_}{anchor})"


def place_of(goal: str, folder: Path) -> str | None:
    """Where the site has a file of the repository: its page, the spec's page, or a copy. None for a folder.

    Raises:
        FileNotFoundError: the repository has no such file.
    """
    file = ROOT / goal
    if goal in PAGES or goal in FOLDERS:
        return PAGES.get(goal) or FOLDERS[goal]
    if not file.exists():
        raise FileNotFoundError(f"a page links to {goal}, which does not exist")
    if file.is_dir():
        return None
    if file.parent == ROOT / "specs" and file.suffix == ".yaml":
        return f"architectures/{file.stem}.md"
    copy = folder / "files" / goal
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    return f"files/{goal}"


def _relative(place: str, target: str) -> str:
    return os.path.relpath(place, PurePosixPath(target).parent)


def _without_table(text: str) -> str:
    """The README without the table that puts its spec beside its figure; pictures as Markdown."""
    text = re.sub(r"</?table>|</?tr>|</?td>", "", text)
    return _PICTURE.sub(lambda match: f"![{match[2]}]({match[1]})", text)
