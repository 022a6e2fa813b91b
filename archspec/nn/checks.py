"""What a batch must hold: the checks of a compiled module, which name the input, the column and the first bad row."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

Batch = Mapping[str, Tensor]
Columns = tuple[tuple[str, str, str, tuple[int | str, ...], int, int | None], ...]

COLUMNS: Columns = ()
"""Of an emitted file: input, batch key, dtype, shape, lowest id, first id too high (None: no bound)."""
IDS: tuple[str, ...] = ()
"""Of an emitted file: batch keys of the columns of single ids, in the order in which they are looked up."""


def ids_in_range(batch: Batch) -> Tensor | None:
    """The columns of IDS as one `[N, B]`; None where one is not of int64 or is out of range: it gives no reason."""
    try:
        columns = [batch[key] for key in IDS]
        ids = torch.stack(columns)
    except (KeyError, IndexError, RuntimeError, TypeError):
        return None
    if ids.dim() != 2 or {column.dtype for column in columns} != {torch.int64}:  # noqa: PLR2004 - [N, B]
        return None
    return ids if torch.equal(ids.clamp(*id_range(ids.device)), ids) else None


@functools.cache
def id_range(device: torch.device) -> tuple[Tensor, Tensor]:
    """Lowest and highest id of each column of IDS, `[N, 1]`, made once per device."""
    endless = torch.iinfo(torch.int64).max
    bounds = [[high for _, key, *_, high in COLUMNS if key == name and high is not None] for name in IDS]
    highest = torch.tensor([min(high, default=endless) for high in bounds], device=device).unsqueeze(1) - 1
    return torch.zeros_like(highest), highest


@functools.cache
def other_columns() -> Columns:
    """The columns that are not among IDS, and before them one of those, which tells the number of rows."""
    others = [column for column in COLUMNS if column[1] not in IDS]
    first = [column for column in COLUMNS if column[1] in IDS][:1]
    return (*first, *others) if others else ()


def check_columns(batch: Batch, columns: Columns, weight: Tensor | None) -> None:
    """Raises for the first column that is wrong; `weight` is any of the model's, for its type and device."""
    for name, key, dtype, shape, _, _ in columns:
        check_column(column_of(batch, name, key), name, key, dtype, shape)
    rows = {key: len(batch[key]) for _, key, *_ in columns}
    if len(set(rows.values())) > 1:
        raise ValueError(
            f"columns differ in length: {', '.join(f'`{key}` has {count} rows' for key, count in rows.items())}"
        )
    for name, key, dtype, _, low, high in columns:
        column = batch[key]
        if weight is not None and column.device != weight.device:
            raise ValueError(
                f"input `{name}`: column `{key}` is on {column.device}, the model on {weight.device}; "
                f"`.to({str(weight.device)!r})` moves it"
            )
        if dtype == "int":
            check_range(column, name, key, low, high)
        elif weight is not None and column.dtype != weight.dtype:
            check_numbers(column, name, key, weight)


def check_range(ids: Tensor, name: str, key: str, low: int, high: int | None) -> None:
    """Raises ValueError for the first row with an id out of range; `high` is the first one too high."""
    bad = ids < low
    if high is not None:
        bad |= ids >= high
    if bad.any():
        row = int(bad.flatten(1).any(1).nonzero()[0]) if bad.dim() > 1 else int(bad.nonzero()[0])
        range_ = f"{low}..{high - 1}" if high is not None else f"{low} and up"
        raise ValueError(f"input `{name}`: id {ids[row].tolist()} in row {row} of column `{key}` is outside {range_}")


def check_numbers(column: Tensor, name: str, key: str, weight: Tensor) -> None:
    """Raises ValueError for numbers of another type than the model's that autocast does not convert."""
    if column.dtype == torch.float64 or not torch.is_autocast_enabled(column.device.type):
        raise ValueError(
            f"input `{name}`: column `{key}` holds {column.dtype}, the model computes in {weight.dtype}; "
            f"`.to({weight.dtype})` converts it"
        )


def column_of(batch: Batch, name: str, key: str) -> Tensor:
    """A column of the batch. Raises KeyError where it is missing, TypeError for a batch of another form."""
    try:
        return batch[key]
    except (KeyError, IndexError, RuntimeError, TypeError) as error:
        if not hasattr(batch, "keys"):
            raise TypeError(f"a batch is a dict of tensors by column, not a {type(batch).__name__}") from error
        held = ", ".join(map(str, batch)) or "nothing"
        raise KeyError(f"input `{name}` needs the column `{key}`; the batch holds {held}") from None


def check_column(column: object, name: str, key: str, dtype: str, shape: tuple[int | str, ...]) -> None:
    """Raises TypeError for a column that is no tensor, ValueError for one of another shape or type."""
    if not isinstance(column, Tensor):
        made = f"{type(column).__module__}.{type(column).__name__}".removeprefix("builtins.")
        raise TypeError(
            f"input `{name}`: column `{key}` is a {made}, not a torch.Tensor; torch.as_tensor(...) makes one"
        )
    fits = column.dim() == len(shape) and (len(shape) == 1 or isinstance(shape[1], str) or column.shape[1] == shape[1])
    if not fits and not (shape == ("B", 1) and column.dim() == 1):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"input `{name}`: column `{key}` has shape {list(column.shape)}, not [{wanted}]")
    fits = column.is_floating_point() if dtype == "float" else column.dtype in {torch.int64, torch.int32}
    if not fits:
        wanted = "floating-point numbers" if dtype == "float" else "torch.int64 or torch.int32"
        raise ValueError(f"input `{name}`: column `{key}` holds {column.dtype}; it needs {wanted}")
