"""Checks of a batch in a compiled module; their errors name the input, the column and the first bad row."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor

Batch = Mapping[str, Tensor]
Columns = tuple[tuple[str, str, str, tuple[int | str, ...], int, int | None], ...]

COLUMNS: Columns = ()
"""Set in an emitted file: input, batch key, dtype, shape, lowest id, first id that is too high (None: no bound)."""
IDS: tuple[str, ...] = ()
"""Set in an emitted file: batch keys of the columns of single ids, in the order in which they are looked up."""


def ids_in_range(batch: Batch) -> Tensor | None:
    """The columns of IDS as one `[N, B]`; None, without a reason, if one is not int64 or has an id out of range."""
    try:
        columns = [batch[key] for key in IDS]
        ids = torch.stack(columns)
    except (KeyError, IndexError, RuntimeError, TypeError):
        return None
    if ids.ndim != 2 or {column.dtype for column in columns} != {torch.int64}:  # noqa: PLR2004 - [N, B]
        return None
    return ids if torch.equal(ids.clamp(*id_range(ids.device)), ids) else None


@functools.cache
def id_range(device: torch.device) -> tuple[Tensor, Tensor]:
    """Lowest and highest id of each column of IDS, `[N, 1]`, computed once per device."""
    endless = torch.iinfo(torch.int64).max
    bounds = [[high for _, key, *_, high in COLUMNS if key == name and high is not None] for name in IDS]
    highest = torch.tensor([min(high, default=endless) for high in bounds], device=device).unsqueeze(1) - 1
    return torch.zeros_like(highest), highest


@functools.cache
def other_columns() -> Columns:
    """The columns that are not in IDS, after one that is, which determines the number of rows."""
    others = [column for column in COLUMNS if column[1] not in IDS]
    first = [column for column in COLUMNS if column[1] in IDS][:1]
    return (*first, *others) if others else ()


def check_columns(batch: Batch, columns: Columns, weight: Tensor | None) -> None:
    """Raises an error for the first wrong column; `weight` is any weight of the model, for its type and device."""
    found = []
    for name, key, dtype, shape, _, _ in columns:
        try:
            column = batch[key]
        except (KeyError, IndexError, RuntimeError, TypeError) as error:
            raise missing(batch, name, key) from error
        if not fits(column, dtype, shape):
            raise misfit(column, name, key, dtype, shape)
        found.append(column)
    if len({column.shape[0] for column in found}) > 1:
        rows = ", ".join(f"`{key}` has {len(batch[key])} rows" for _, key, *_ in columns)
        raise ValueError(f"columns differ in length: {rows}")
    for column, (name, key, dtype, _, low, high) in zip(found, columns, strict=True):
        if weight is not None and column.device != weight.device:
            raise ValueError(
                f"input `{name}`: column `{key}` is on {column.device}, the model on {weight.device}; "
                f"`.to({str(weight.device)!r})` moves it"
            )
        if dtype == "int":
            check_range(column, name, key, low, high)
        elif weight is not None and column.dtype != weight.dtype:
            check_numbers(column, name, key, weight)


def fits(column: object, dtype: str, shape: tuple[int | str, ...]) -> bool:
    """Whether a column is a tensor of this type and shape; for numbers `[B, 1]`, `[B]` is accepted too."""
    if not isinstance(column, Tensor):
        return False
    if dtype == "float":
        typed = column.dtype.is_floating_point
    else:
        typed = column.dtype is torch.int64 or column.dtype is torch.int32
    if column.ndim == 1:
        return typed and shape in {("B",), ("B", 1)}
    return typed and column.ndim == len(shape) and (isinstance(shape[1], str) or column.shape[1] == shape[1])


def check_range(ids: Tensor, name: str, key: str, low: int, high: int | None) -> None:
    """Raises ValueError for the first row with an id out of range; `high` is the first id that is too high."""
    bad = ids < low
    if high is not None:
        bad |= ids >= high
    if bad.any():
        row = int(bad.flatten(1).any(1).nonzero()[0]) if bad.dim() > 1 else int(bad.nonzero()[0])
        range_ = f"{low}..{high - 1}" if high is not None else f"{low} and up"
        raise ValueError(f"input `{name}`: id {ids[row].tolist()} in row {row} of column `{key}` is outside {range_}")


def check_numbers(column: Tensor, name: str, key: str, weight: Tensor) -> None:
    """Raises ValueError for numbers whose type differs from the model's and that autocast does not convert."""
    if column.dtype == torch.float64 or not torch.is_autocast_enabled(column.device.type):
        raise ValueError(
            f"input `{name}`: column `{key}` holds {column.dtype}, the model computes in {weight.dtype}; "
            f"`.to({weight.dtype})` converts it"
        )


def check_beside(batch: Batch, name: str, ids: str, weights: str) -> None:
    """Raises ValueError if an input's weights are not one finite number for each id; those beside -1 do not count.

    Columns that are missing, or of another type or rank, are left to the other checks.
    """
    try:
        listed, numbers = batch[ids], batch[weights]
        comparable = listed.ndim == numbers.ndim == 2 and len(listed) == len(numbers)  # noqa: PLR2004 - [B, L]
    except (KeyError, IndexError, RuntimeError, TypeError, AttributeError):
        return
    if not comparable or listed.device != numbers.device:
        return
    if listed.shape != numbers.shape:
        raise ValueError(
            f"input `{name}`: column `{weights}` has {numbers.shape[1]} weights a row, column `{ids}` "
            f"{listed.shape[1]} ids; there is one weight for each id"
        )
    broken = (listed >= 0) & ~numbers.isfinite()
    if broken.any():
        row = int(broken.any(1).nonzero()[0])
        raise ValueError(f"input `{name}`: column `{weights}` holds NaN or an infinity beside an id, in row {row}")


def missing(batch: Batch, name: str, key: str) -> Exception:
    """The exception for a missing column, or for a batch that is not a mapping."""
    if not hasattr(batch, "keys"):
        return TypeError(f"a batch is a dict of tensors by column, not a {type(batch).__name__}")
    held = ", ".join(map(str, batch)) or "nothing"
    return KeyError(f"input `{name}` needs the column `{key}`; the batch holds {held}")


def misfit(column: object, name: str, key: str, dtype: str, shape: tuple[int | str, ...]) -> Exception:
    """The exception for a column that is not a tensor, or has another shape or type."""
    what = f"input `{name}`: column `{key}`"
    if not isinstance(column, Tensor):
        made = f"{type(column).__module__}.{type(column).__name__}".removeprefix("builtins.")
        return TypeError(f"{what} is a {made}, not a torch.Tensor; torch.as_tensor(...) makes one")
    if not fits(column.to(torch.float32 if dtype == "float" else torch.int64), dtype, shape):
        return ValueError(f"{what} has shape {list(column.shape)}, not [{', '.join(map(str, shape))}]")
    wanted = "floating-point numbers" if dtype == "float" else "torch.int64 or torch.int32"
    return ValueError(f"{what} holds {column.dtype}; it needs {wanted}")
