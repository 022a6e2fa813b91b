"""The architectures that `archspec init` writes: commented templates, and the published specs with their plugins."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

TEMPLATES: Final = Path(__file__).parent / "templates"
"""Specs with comments on every line. If an architecture has one, it is written instead of the published spec."""


def architectures() -> dict[str, str]:
    """The names of all architectures, sorted, with their sources."""
    return {name: _about(source.read_text(encoding="utf-8")) for name, source in sorted(_sources().items())}


def files_of(name: str) -> dict[str, str]:
    """Names and texts of an architecture's files: its spec, the specs that it extends, and its plugins.

    Raises:
        KeyError: there is no architecture with this name.
    """
    return _with_parts(f"{name}.yaml", _sources()[name].read_text(encoding="utf-8"))


def published(folder: str) -> Traversable:
    """The folder `specs` or `plugins`: inside the installed package, or next to it in a checkout."""
    package = files("archspec")
    inside = package / "architectures" / folder  # where pyproject.toml puts them in the wheel
    return inside if inside.is_dir() else Path(str(package)).parent / folder


def _sources() -> dict[str, Traversable]:
    """The file that each architecture is written from."""
    both = (*published("specs").iterdir(), *TEMPLATES.iterdir())
    return {path.name.removesuffix(".yaml"): path for path in both if path.name.endswith(".yaml")}


def _with_parts(file: str, text: str) -> dict[str, str]:
    """A spec, and the files that it needs."""
    import yaml

    found = {file: text}
    spec: dict[str, Any] = yaml.safe_load(text)
    if base := spec.get("extends"):
        found |= _with_parts(base, (published("specs") / base).read_text(encoding="utf-8"))
    for plugin in spec.get("requires", ()):
        found[f"{plugin}.py"] = (published("plugins") / f"{plugin}.py").read_text(encoding="utf-8")
    return found


def _about(text: str) -> str:
    """The `about` of a spec."""
    return next((line.removeprefix("about:").strip() for line in text.splitlines() if line.startswith("about:")), "")
