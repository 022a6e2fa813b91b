"""The arguments that a run was started with, and the check that it is resumed with the same ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import Diagnostic, Diagnostics
from archspec.runs.files import RunArguments
from archspec.runs.folder import stamp_of
from archspec.runs.recipe import FREE

if TYPE_CHECKING:
    from archspec.data.prepare import Source
    from archspec.graph.graph import Graph
    from archspec.runs.folder import RunFolder
    from archspec.runs.recipe import Recipe

_FILES = ("files", "validation", "tables")
_OPTIONS = {
    "files": "data", "share": "split", "choices": "encode", "min_counts": "min-count", "columns": "column",
    "separators": "separator", "tables": "table", "start": "from",
}  # fmt: skip
"""Arguments whose option in `archspec train` has another name."""
_LISTED = 5
"""How many items of an argument a message lists."""


def arguments_of(graph: Graph, source: Source, recipe: Recipe) -> dict[str, Any]:
    """The arguments of a run in the form of `run.json`."""
    return _as_json(RunArguments(graph.spec.digest, source, recipe))


def check_same(run: RunFolder, arguments: dict[str, Any]) -> None:
    """Raises SpecError with each difference if the folder contains a run with other arguments.

    Files may be in another place if their names and sizes are the same: a run, and its data, may be moved.
    """
    problems = Diagnostics()
    kept = recorded_arguments(run)
    free = FREE | {"test"}  # rows that decide nothing
    if arguments["schedule"] not in {"constant", "plateau"}:
        free -= {"epochs"}  # a learning rate that falls to 0 at the last step depends on the number of epochs
    for name, value in arguments.items():
        before = kept.get(name)
        if name in free or before == value or (name in _FILES and _moved(run, before or [], value)):
            continue
        began, now = _said(name, before, value), _said(name, value, before)
        problems.error(
            "AS706", f"the run in `{run.path}` was started {began}, not {now}",
            help="use the arguments that the run was started with, or name another folder with `-o`",
        )  # fmt: skip
    problems.raise_errors(status=2)


def _said(name: str, value: Any, other: Any) -> str:  # noqa: ANN401 - JSON data
    """An argument as its option: `with --batch 32`. For a mapping, only entries that the other one does not have."""
    if name == "spec":
        return f"with a spec of digest {value}"
    option = f"--{_OPTIONS.get(name, name.replace('_', '-'))}"
    if isinstance(value, dict):
        own = {key: found for key, found in value.items() if not isinstance(other, dict) or other.get(key) != found}
        value = [f"{key}={','.join(found) if isinstance(found, list) else found}" for key, found in own.items()]
    elif not isinstance(value, list):
        value = [] if value is None else [str(value)]
    more = f" and {len(value) - _LISTED} more" if len(value) > _LISTED else ""
    between = "," if name == "header" else " "
    return f"with `{option} {between.join(value[:_LISTED])}`{more}" if value else f"without `{option}`"


def recorded_arguments(run: RunFolder) -> dict[str, Any]:
    """The arguments of the run in the folder, with defaults for those that an older archspec did not record."""
    return _as_json(run.arguments)


def _as_json(arguments: RunArguments) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        json.dumps({"spec": arguments.spec, **asdict(arguments.source), **asdict(arguments.recipe)})
    )
    return found


def changed_files(run: RunFolder) -> list[Diagnostic]:
    """Warnings about data files that were changed since the run began; the run keeps the rows that it encoded then."""
    return [
        Diagnostic(
            "AS737", f"`{name}` was changed after the run began; the run goes on with the rows that it encoded then",
            help="to train on the new rows, choose another folder with `-o`", severity="warning",
        )
        for name, stamp in run.found.data.items()
        if (now := stamp_of(name)) is not None and now != stamp
    ]  # fmt: skip


def _moved(run: RunFolder, kept: list[str] | dict[str, str], now: list[str] | dict[str, str]) -> bool:
    """Whether these are the same files of the same tables in a different place."""
    if isinstance(kept, dict) and isinstance(now, dict):
        return kept.keys() == now.keys() and _moved(run, [kept[name] for name in now], list(now.values()))
    if len(kept) != len(now):
        return False
    for old, new in zip(kept, now, strict=True):
        was, found = run.found.data.get(old), stamp_of(new)
        if Path(old).name != Path(new).name or was is None or (found is not None and found.bytes != was.bytes):
            return False
    return True
