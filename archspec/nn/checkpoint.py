"""Weights on disk: safetensors files whose keys are canonical names, so they outlive fusion and edits of a spec."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from archspec.diagnostics import unusable
from archspec.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


class _Model(Protocol):
    def named_weights(self) -> Iterator[tuple[str, Tensor]]: ...

    def load_weights(self, mapping: dict[str, Tensor], strict: bool = True) -> None: ...  # noqa: FBT001, FBT002 - the model's own signature


def save_weights(model: _Model, path: str | os.PathLike[str]) -> None:
    """Writes every weight and statistic of a compiled model; the file appears whole or not at all.

    Raises:
        SpecError: the file cannot be written.
    """
    from safetensors.torch import save

    weights = {name: value.detach().cpu().contiguous().clone() for name, value in model.named_weights()}
    write_whole(path, save(weights, metadata={"format": "pt"}))


def load_weights(model: _Model, path: str | os.PathLike[str], strict: bool = True) -> None:  # noqa: FBT001, FBT002 - as load_state_dict
    """Copies the weights of a file into a compiled model, by canonical name.

    Raises:
        SpecError: the file is missing or no safetensors file.
        ValueError: weights are missing, extra (with `strict`) or misshapen; nothing is copied then.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        unusable(
            "AS005", f"cannot read weights from `{os.fspath(path)}`: {error}", help="give a file of `save_weights`"
        )
    model.load_weights(weights, strict)
