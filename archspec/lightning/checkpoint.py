"""The spec in a checkpoint: canonical text, digest, and the version of archspec that wrote it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from archspec import __version__
from archspec.diagnostics import Diagnostic, SpecError, unusable
from archspec.files import whole
from archspec.graph.load import load_graph
from archspec.spec.source import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.contract import Registry
    from archspec.spec.spec import Spec

KEY = "archspec"
"""Key of a checkpoint whose value is `{"spec": text, "digest": ..., "version": ...}`."""
_ZIP = b"PK\3\4"
"""The first bytes of the files of torch.save."""
_PLAIN, _WRAPPED = "model.", "model._orig_mod."


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint to a temporary file in the same folder, then renames it; if that fails, the old file is kept.

    Lightning's own class writes to TMPDIR and copies from there if that is another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: object = None
    ) -> None:
        """Writes the file. Raises SpecError if the disk is full, or the file cannot be written."""
        with whole(path) as file:
            torch.save(checkpoint, file)


def described(spec: Spec) -> dict[str, str]:
    """The entry that describes a checkpoint's spec."""
    return {"spec": spec.text(), "digest": spec.digest, "version": __version__}


def read_checkpoint(path: str | os.PathLike[str] | IO[bytes]) -> dict[str, Any]:
    """Reads a checkpoint as plain data and tensors; executes nothing, and memory-maps the tensors of a file.

    Raises:
        SpecError: the file cannot be read, or is not a checkpoint.
    """
    named = isinstance(path, str | os.PathLike)
    shown = os.fspath(path) if isinstance(path, str | os.PathLike) else "the checkpoint"
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=named or None)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        unusable("AS005", f"`{shown}` cannot be read as a checkpoint: {_reason(path, error)}")
    if not isinstance(path, str | os.PathLike):
        path.seek(0)
    if not isinstance(found, dict) or not isinstance(found.get(KEY), dict):
        unusable("AS005", f"`{shown}` is not a checkpoint of a MultiTaskModule: it contains no spec")
    return found


def _reason(path: str | os.PathLike[str] | IO[bytes], error: Exception) -> str:
    """Why torch cannot read a file; torch's own message is about its parser, or advises to save it differently."""
    if isinstance(path, str | os.PathLike):
        try:
            with Path(path).open("rb") as file:
                start = file.read(len(_ZIP))
        except OSError as problem:
            return problem.strerror or str(problem)
        if not start:
            return "it is empty"
        if start != _ZIP:
            return "it was not written by torch.save"
    if str(error).startswith("Weights only"):
        return "it contains more than tensors and plain data"
    return "it is truncated or damaged"


def spec_in(checkpoint: Mapping[str, Any], registry: Registry) -> Spec:
    """The Spec of a checkpoint. Its text cannot refer to files: `extends` and paths are refused.

    Raises:
        SpecError: everything that is wrong with the spec, such as a kind whose plugin is not enabled.
    """
    text = checkpoint[KEY].get("spec")
    if not isinstance(text, str):
        unusable("AS005", "the checkpoint contains no spec")
    return spec_of_text(text, registry)


def spec_of_text(text: str, registry: Registry) -> Spec:
    """The Spec of a text in a file, which cannot refer to other files. Raises SpecError like `spec_in`."""
    text += "\n"  # with a line break, it is always treated as a text, never as a path
    entry = parse(text, "<checkpoint>").entry("extends")
    if entry is not None:
        raise SpecError([Diagnostic("AS122", "the spec of a checkpoint cannot extend a file", entry.node.span)])
    return load_graph(text, None, registry).spec


def check_same(checkpoint: Mapping[str, Any], spec: Spec) -> None:
    """Raises ValueError if a checkpoint was made with a different spec."""
    if KEY not in checkpoint:
        raise ValueError("this is not a checkpoint of a MultiTaskModule: it contains no spec")
    if checkpoint[KEY].get("digest") == spec.digest:
        return
    other = spec_in(checkpoint, spec.registry)
    if other.digest != spec.digest:
        raise ValueError(
            f"the checkpoint's spec is `{other.name}` ({other.digest}), but the module's is `{spec.name}` "
            f"({spec.digest}): create the module from the checkpoint, with MultiTaskModule.load_from_checkpoint(path)"
        )


def unwrapped_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Weights under their names without `torch.compile(module.model)`."""
    return {name.replace(_WRAPPED, _PLAIN, 1): value for name, value in state.items()}


def wrapped_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """Weights under their names with `torch.compile(module.model)`."""
    return {
        name.replace(_PLAIN, _WRAPPED, 1) if name.startswith(_PLAIN) else name: value
        for name, value in unwrapped_names(state).items()
    }
