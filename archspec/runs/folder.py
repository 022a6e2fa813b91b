"""The folder of a run: its contents, and the only code that reads its files.

`run.json` contains the arguments of the run, and the hash of every file that does not change after data is prepared: a
file that was edited, cut short or exchanged is an error, with its name and a hint. `rows/`, with the encoded rows, may
be deleted after the run.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from archspec import __version__
from archspec.data.encoder import Encoder
from archspec.data.prepare import COLUMNS, ENCODING, ROWS, TABLES, Source
from archspec.data.rows import Rows
from archspec.diagnostics import SpecError, unusable
from archspec.files import write_whole
from archspec.graph.load import load_graph
from archspec.lightning.average import TRAINED
from archspec.lightning.checkpoint import KEY, read_checkpoint
from archspec.nn.checkpoint import load_weights
from archspec.nn.tables import load_table
from archspec.runs.damage import damage
from archspec.runs.files import (
    CURVES,
    FIXED,
    FORMAT,
    HISTORY,
    LAST,
    LOG,
    RECIPE,
    RESULTS,
    RUN,
    SPEC,
    START,
    STARTED,
    STATE,
    WEIGHTS,
    Digest,
    RunArguments,
    RunFile,
    Stamp,
    State,
)
from archspec.runs.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from archspec.contract import Registry
    from archspec.data.requirements import ColumnRequirement
    from archspec.graph.graph import Graph
    from archspec.lightning.module import MultiTaskModule
    from archspec.nn.module import Compiled

_RETRAIN: Final = "restore the original file, or train again in another folder: `archspec train ... -o FOLDER`"
_RESTART: Final = (
    f"restore the original file; or delete `{HISTORY}` and `{LAST}`, and `--resume` trains again from the first step"
)
_HINTS: Final = {
    WEIGHTS: _RESTART,
    LAST: "restore the original file; or delete it, and `--resume` trains again from the first step",
    HISTORY: f"restore the original file; or delete it, and `--resume` continues from `{LAST}`",
}
_Model = TypeVar("_Model", bound=BaseModel)
_SOURCE, _RECIPE = TypeAdapter(Source), TypeAdapter(Recipe)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run: each file is read, and checked, by one method.

    Raises:
        SpecError: in every method: the file is missing, cut short, edited, a folder, or from a newer archspec. The
            message names the file and says how to fix it.
    """

    path: Path
    found: RunFile = field(init=False)
    arguments: RunArguments = field(init=False)

    def __post_init__(self) -> None:
        found = _parsed(RunFile, self._bytes(RUN), self._place(RUN), _RETRAIN)
        if found.format > FORMAT:
            unusable(
                "AS734", f"`{self._place(RUN)}` was written by archspec {found.archspec}, which is newer than this "
                f"version ({__version__})", help="use that version, or train again in another folder",
            )  # fmt: skip
        object.__setattr__(self, "found", found)
        object.__setattr__(self, "arguments", self._arguments(found))

    def has(self, name: str) -> bool:
        """Whether something with this name exists."""
        return os.path.lexists(self.path / name)

    def graph(self, registry: Registry) -> Graph:
        """The graph of `spec.yaml`. Also raises SpecError if it needs a plugin that is not enabled."""
        self.check(SPEC)
        try:
            graph = load_graph(self.path / SPEC, None, registry)
        except SpecError as error:
            if self.found.sha256 or any(item.code == "AS111" for item in error.diagnostics):
                raise
            self._damaged(SPEC, "is not a valid spec")
        if graph.spec.digest != self.arguments.spec:
            self._damaged(SPEC, f"is not the spec that the run was trained with, by archspec {self.found.archspec}")
        return graph

    def encoder(self, requirements: Mapping[str, ColumnRequirement]) -> Encoder:
        """The encodings of the run's columns."""
        self.check(ENCODING)
        try:
            return Encoder.from_text(self._bytes(ENCODING).decode(), requirements)
        except (ValueError, TypeError, KeyError) as error:
            self._damaged(ENCODING, f"cannot be read: {_first_line(error)}")

    def rows(self, name: str, *, checked: bool = True) -> Rows:
        """The encoded rows of `TRAIN` or `VALIDATION`; with `checked=False`, another process checks them."""
        if checked:
            self.check(name)
        try:
            return Rows(self.path / name)
        except (ValueError, OSError) as error:  # pyarrow raises these
            self._damaged(name, f"cannot be read: {_first_line(error)}")

    def state(self) -> State | None:
        """The state after the last finished epoch; None before the first one."""
        if not self.has(HISTORY):
            return None
        return _parsed(State, self._bytes(HISTORY), self._place(HISTORY), _HINTS[HISTORY])

    def load_weights(self, model: Compiled, *, strict: bool = True) -> None:
        """Copies the weights of the best epoch into the model; without `strict`, the model may have only a part."""
        self._bytes(WEIGHTS, whole=False)
        try:
            load_weights(model, self.path / WEIGHTS, strict)
        except SpecError as error:
            if any(item.code == "AS806" for item in error.diagnostics):
                raise
            reason = error.diagnostics[0].message.partition(": ")[2]
            self._damaged(WEIGHTS, f"is not a complete safetensors file: {reason}")
        except ValueError as error:
            said, named = " ".join(str(error).split()), f"`{self.path / WEIGHTS}` "
            whole = said.removeprefix(named) if said.startswith(named) else f"is not as the run wrote it: {said}"
            self._damaged(WEIGHTS, whole)

    def fixed(self) -> tuple[str, ...]:
        """The files that do not change once data is prepared."""
        return (*fixed_files(self.arguments.source), *((START,) if self.arguments.recipe.start else ()))

    def load_tables(self, model: nn.Module) -> None:
        """Copies the pretrained vectors that the run began with into the model's tables."""
        self.check(TABLES)
        try:
            load_vectors(self.path, self.arguments.source, model)
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            self._damaged(TABLES, f"cannot be read: {_first_line(error)}")

    def load_start(self, model: Compiled) -> None:
        """Copies the weights that the run starts from into the model, if it continues another run."""
        if self.has(START):
            self.check(START)
            load_weights(model, self.path / START)

    def check(self, *names: str) -> None:
        """Checks that files are unchanged since data was prepared."""
        for name in names:
            self._bytes(name, whole=False)
            expected = self.found.sha256.get(name)
            if expected is not None and _hash(self.path / name) != expected:
                self._damaged(name, "is not as the run wrote it: it was edited or cut short")

    def checkpoint(self, module: MultiTaskModule) -> Path | None:
        """The checkpoint to resume from, if there is one for this module; then the best weights must exist, too.

        To check the best weights, they are copied into the module, where Lightning replaces them with the checkpoint's.
        """
        if not self.has(LAST):
            return None
        self._bytes(LAST, whole=False)
        try:
            found = read_checkpoint(self.path / LAST)
        except SpecError as error:
            self._damaged(LAST, "cannot be read: " + error.diagnostics[0].message.rpartition(": ")[2])
        if not found.keys() >= {"state_dict", "optimizer_states", "loops", "callbacks", "global_step", "epoch"}:
            self._damaged(LAST, "is not a checkpoint of a run")
        own = {name: value.shape for name, value in module.state_dict().items()}
        trained = {**found["state_dict"], **found.get(TRAINED, {})}
        if any({name: value.shape for name, value in state.items()} != own for state in (found["state_dict"], trained)):
            wrote = found[KEY].get("version")
            self._damaged(LAST, f"has other weights than the model: it was written by archspec {wrote}")
        try:
            state = State.model_validate(found["callbacks"].get(STATE), strict=False)
        except ValidationError as error:
            self._damaged(LAST, damage(error))
        if state.best:
            self.load_weights(module.model)  # type: ignore[arg-type] # a compiled model
        return self.path / LAST

    def _arguments(self, found: RunFile) -> RunArguments:
        arguments = TypeAdapter(dict[str, Any]).dump_json(found.arguments)
        try:
            return RunArguments(
                Digest.model_validate(found.arguments).spec,
                _SOURCE.validate_json(arguments, strict=True),
                _RECIPE.validate_json(arguments, strict=True),
            )
        except ValidationError as error:
            _refuse_file(self._place(RUN), damage(error, "asked"), _RETRAIN)

    def _place(self, name: str) -> Path:
        return self.path / name

    def _bytes(self, name: str, *, whole: bool = True) -> bytes:
        """A file's content; with `whole=False`, only whether it can be read."""
        try:
            with self._place(name).open("rb") as file:
                return file.read(None if whole else 1)
        except FileNotFoundError:
            self._damaged(name, "is missing")
        except OSError as error:
            self._damaged(name, f"cannot be read: {error.strerror}")

    def _damaged(self, name: str, what: str) -> NoReturn:
        _refuse_file(self._place(name), what, _HINTS.get(name, _RETRAIN))


def load_vectors(folder: Path, source: Source, model: nn.Module) -> None:
    """Copies the pretrained vectors that were prepared in a folder into a model's tables."""
    found = load_file(folder / TABLES)
    for name in source.tables:
        load_table(model, name, found[f"{name}.ids"], found[f"{name}.vectors"])


def check_places(folder: Path) -> None:
    """Raises SpecError if a path that the run writes to already exists and is not a file (for `rows`, a folder)."""
    for name in (SPEC, RUN, RECIPE, RESULTS, LAST, WEIGHTS, HISTORY, CURVES, COLUMNS, *FIXED, TABLES, START, STARTED):
        place = folder / name
        if os.path.lexists(place) and not place.is_file():
            what = "is a folder" if place.is_dir() else "is not a file"
            unusable("AS735", f"`{place}` {what}, but a run writes a file there", help="move it elsewhere")
    for name, what in ((ROWS, "rows"), (LOG, "log")):
        place = folder / name
        if os.path.lexists(place) and not place.is_dir():
            unusable("AS735", f"`{place}` is not a folder, but a run writes its {what} there", help="move it elsewhere")


def write_run(folder: Path, arguments: Mapping[str, Any], prepared: Mapping[str, Any], files: tuple[str, ...]) -> None:
    """Writes `run.json`, which marks the other files as prepared, and contains their hashes.

    Args:
        folder: the folder.
        arguments: what the run was started with.
        prepared: the fields of `RunFile` about the rows.
        files: the data files.
    """
    stamps = {name: stamp for name in files if (stamp := stamp_of(name)) is not None}
    start = (START,) if arguments.get("start") else ()
    fixed = (*fixed_files(_SOURCE.validate_python(dict(arguments))), *start)
    hashes = {name: _hash(folder / name) for name in fixed}
    run = RunFile(archspec=__version__, asked=dict(arguments), sha256=hashes, data=stamps, **prepared)
    write_whole(folder / RUN, run.model_dump_json(indent=1, by_alias=True) + "\n")


def fixed_files(source: Source) -> tuple[str, ...]:
    """The files of a run that do not change once data is prepared."""
    return (*FIXED, TABLES) if source.tables else FIXED


def stamp_of(file: str) -> Stamp | None:
    """The current stamp of a data file; None if there is none."""
    try:
        found = Path(file).stat()
    except (OSError, ValueError):
        return None
    return Stamp(bytes=found.st_size, changed=found.st_mtime_ns)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parsed(model: type[_Model], text: bytes, place: Path, hint: str) -> _Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        _refuse_file(place, damage(error), hint)


def _refuse_file(place: Path, what: str, hint: str) -> NoReturn:
    unusable("AS733", f"`{place}` {what}", help=hint)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
