"""Libraries that only some commands need."""

from __future__ import annotations

from importlib.util import find_spec

from archspec.diagnostics import unusable


def need(*modules: str) -> None:
    """Raises SpecError if a library of the extra `train` is not installed."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        unusable(
            "AS709", f"this command needs {', '.join(missing)}",
            help="pip install 'archspec-mtl[train]', or from a checkout: pip install -e '.[train]'",
        )  # fmt: skip
