"""Pretrained vectors for the embedding tables of a compiled model."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from archspec.nn.wrapped import unwrapped

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import nn


def load_table(model: nn.Module, name: str, ids: Tensor | ArrayLike, vectors: Tensor | ArrayLike) -> None:
    """Copies pretrained vectors into the embedding table of an input; rows of other ids stay as they are.

    With `trainable: false` in the spec, training does not change the table.

    Args:
        model: a compiled model, or one inside DistributedDataParallel or `torch.compile`.
        name: the input that owns the table.
        ids: whole numbers `[N]` as in a batch, each at most once.
        vectors: numbers `[N, dim]`, one row for each id; converted to the table's type.

    Raises:
        TypeError: the model is not a compiled model, or the ids are not whole numbers.
        ValueError: no input with this name owns a table; shapes do not fit the table or each other; an id is out of
            range or repeated; a vector has a value that is not a finite number. Nothing is copied then.
    """
    table = _table(unwrapped(model), name)
    places, rows = torch.as_tensor(ids), torch.as_tensor(vectors)
    if places.dtype.is_floating_point or places.dtype in {torch.bool, torch.complex64, torch.complex128}:
        raise TypeError(f"table `{name}`: ids are {places.dtype}, not whole numbers")
    if places.ndim != 1 or tuple(rows.shape) != (len(places), table.shape[1]):
        shapes = f"ids of shape {list(places.shape)} with vectors of shape {list(rows.shape)}"
        raise ValueError(f"table `{name}` takes ids [N] with vectors [N, {table.shape[1]}], not {shapes}")
    outside = (places < 0) | (places >= len(table))
    if outside.any():
        raise ValueError(f"table `{name}`: id {int(places[outside][0])} is outside 0..{len(table) - 1}")
    ordered = places.sort().values
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise ValueError(f"table `{name}`: id {int(twice[0])} occurs twice")
    broken = ~rows.isfinite().all(1)
    if broken.any():
        raise ValueError(f"table `{name}`: the vector of id {int(places[broken][0])} has a NaN or an infinity")
    with torch.no_grad():
        table[places.to(table.device)] = rows.to(table)


def _table(model: Any, name: str) -> Tensor:  # noqa: ANN401 - a compiled model
    """The table of an input, as a view of the model's weight."""
    tables: dict[str, Tensor] = {
        weight.removeprefix("inputs.").removesuffix(".weight"): value
        for weight, value in model.named_weights()
        if weight.startswith("inputs.") and weight.endswith(".weight") and value.ndim == 2  # noqa: PLR2004 - rows, dim
    }
    if name not in tables:
        near = difflib.get_close_matches(name, tables, n=1)
        hint = f"is it `{near[0]}`?" if near else f"inputs with one: {', '.join(tables) or 'none'}"
        raise ValueError(f"{type(model).__name__} has no input `{name}` that owns a table; {hint}")
    if tables[name].is_meta:
        raise ValueError(f"{type(model).__name__} is on the meta device: call `to_empty(device=...)` first")
    return tables[name]
