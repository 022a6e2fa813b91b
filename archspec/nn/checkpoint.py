"""Weights on disk: safetensors files keyed by canonical names, which survive fusion and most edits of a spec."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import unusable
from archspec.files import missing, write_whole
from archspec.nn.wrapped import unwrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

KEY, SPEC, VOCABULARIES = "archspec", "spec", "vocabularies"
"""Key of a file's metadata, and the keys in it; a run's model has the attribute `vocabularies`, a digest per table."""
PATIENCE = 60
"""How many characters of another library's error a message quotes."""


def save_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Writes every weight and statistic of a compiled model; the file is written completely or not at all.

    Args:
        model: a compiled model, or one inside DistributedDataParallel or `torch.compile`.
        path: the file, usually `.safetensors`.

    Raises:
        SpecError: the file cannot be written.
        TypeError: the model is not a compiled model.
        ValueError: the model is on the meta device, or sharded over processes (FSDP2).
    """
    from safetensors.torch import save

    inner: Any = unwrapped(model)
    if any(hasattr(parameter, "device_mesh") for parameter in inner.parameters()):
        raise ValueError(
            f"{type(inner).__name__} is sharded (FSDP2), so no process has all of it: gather the weights with "
            "get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)) of "
            "torch.distributed.checkpoint.state_dict, load_state_dict() them into an unsharded model, and save that"
        )
    weights: dict[str, Tensor] = dict(inner.named_weights())
    if any(value.is_meta for value in weights.values()):
        raise ValueError(f"{type(inner).__name__} is on the meta device: it has no values to save")
    kept = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    write_whole(path, save(kept, metadata=_described(inner)))


def load_weights(model: nn.Module, path: str | os.PathLike[str], strict: bool = True) -> None:  # noqa: FBT001, FBT002 - as load_state_dict
    """Copies the weights of a file into a compiled model, by canonical name.

    Args:
        model: a compiled model, or one inside DistributedDataParallel or `torch.compile`.
        path: a file written by `save_weights`.
        strict: False copies only the weights that the file and the model both have.

    Raises:
        SpecError: the file is missing, cut, or not a safetensors file; AS806: the ids of a table mean other values than
            in the model, because file and model come from different runs.
        TypeError: the model is not a compiled model.
        ValueError: weights are missing or extra (with `strict`) or have another shape, or the file has none of the
            model's weights; nothing is copied then.
    """
    inner: Any = unwrapped(model)
    weights, metadata = read_weights(os.fspath(path))
    _check_vocabularies(getattr(inner, VOCABULARIES, {}), metadata, os.fspath(path))
    own = [name for name, _ in inner.named_weights()]
    if own and not set(own) & set(weights):
        held = f"its first is `{next(iter(weights))}`" if weights else "it contains none"
        raise ValueError(
            f"`{os.fspath(path)}` has none of the {len(own)} weights of {type(inner).__name__}: {held}, the model's is "
            f"`{own[0]}`; it was saved from another spec, or not by `archspec.save_weights`"
        )
    inner.load_weights(weights, strict)


def read_weights(path: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a safetensors file, and its metadata: `SPEC` is the text of the canonical spec.

    Raises:
        SpecError: the file is missing, cut short, or not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(path, "pt") as file:
            metadata = _metadata(file.metadata())
        return load_file(path), metadata
    except FileNotFoundError:
        missing(path)
    except OSError as error:
        unusable("AS005", f"`{path}` cannot be read: {error.strerror or error}", help="give a file of `save_weights`")
    except (SafetensorError, ValueError) as error:
        reason = str(error).partition(": ")[2] or str(error)
        unusable(
            "AS005", f"`{path}` is not a complete safetensors file: {reason[:PATIENCE]}",
            help="it was cut short, or written by another program: save it again with `archspec.save_weights`",
        )  # fmt: skip


def _described(model: Any) -> dict[str, str]:  # noqa: ANN401 - a compiled model, whose class may know its spec
    """The metadata of a model's file: its spec, and digests of what the ids of its tables mean.

    It has one key, because safetensors writes several in any order, and equal weights should give equal bytes.
    """
    spec, vocabularies = getattr(type(model), "spec", None), getattr(model, VOCABULARIES, None)
    found: dict[str, Any] = {} if spec is None else {SPEC: spec.text()}
    return {KEY: json.dumps(found | ({VOCABULARIES: dict(vocabularies)} if vocabularies else {}))}


def _metadata(found: Mapping[str, str] | None) -> dict[str, Any]:
    """Reads what `_described` wrote; empty for a file of an older archspec."""
    try:
        data = json.loads((found or {}).get(KEY, "{}"))
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _check_vocabularies(own: Mapping[str, str], metadata: Mapping[str, Any], path: str) -> None:
    """Raises SpecError AS806 if the ids of a table mean other values in the file than in the model."""
    found = metadata.get(VOCABULARIES)
    other = [name for name, digest in own.items() if isinstance(found, dict) and found.get(name, digest) != digest]
    if other:
        more = f" and {len(other) - 1} more" if len(other) > 1 else ""
        unusable(
            "AS806", f"`{path}`: the ids of the table `{other[0]}`{more} mean other values than in this run",
            help="`archspec train SPEC --from RUN` and `archspec.migrate(RUN, SPEC)` move the rows by value",
        )  # fmt: skip
