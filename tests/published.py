"""The specs of the repository, and the plugins that they require."""

from __future__ import annotations

from pathlib import Path

import yaml

SPECS = Path(__file__).resolve().parents[1] / "specs"
PLUGINS = SPECS.parent / "plugins"


def plugins_of(spec: Path | str) -> list[Path]:
    """The files of the plugins that a spec requires, which is a file or its text."""
    text = spec.read_text(encoding="utf-8") if isinstance(spec, Path) else spec
    return [PLUGINS / f"{name}.py" for name in yaml.safe_load(text).get("requires", [])]
