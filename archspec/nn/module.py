"""What every compiled module can do. The methods below are copied into the class of each emitted file."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Batch = Mapping[str, Tensor]

WEIGHTS: tuple[tuple[str, str, tuple[Any, ...], tuple[str, Any]], ...] = ()
"""Of an emitted file: canonical name, tensor that holds it, index into that, how it starts."""
STACKS: tuple[str, ...] = ()
"""Of an emitted file: tensors `[E, D, H]` whose members are weights `[H, D]` lying transposed."""
Columns = tuple[tuple[str, str, str, tuple[int | str, ...], int, int | None], ...]

COLUMNS: Columns = ()
"""Of an emitted file: input, batch key, dtype, shape, lowest id, first id too high (None: no bound)."""
IDS: tuple[str, ...] = ()
"""Of an emitted file: batch keys of the columns of single ids, in the order in which they are looked up."""
CONSTANTS: dict[str, Any] = {}
"""Of an emitted file: buffers that are no weights."""
MODULES: dict[str, str] = {}
"""Of an emitted file: canonical name -> attribute of a plugin's module."""


class Compiled(nn.Module):
    """The methods that an emitted class gets besides its own `__init__`, `forward` and `predict`."""

    check_inputs: bool
    auxiliary_losses: dict[str, Tensor]
    """Where a gate adds to the loss: what the last forward pass in training added, by gate."""

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Probabilities, values and fused scores by name; each emitted class writes its own."""
        raise NotImplementedError

    def gate_weights(self, batch: Batch) -> dict[str, Tensor]:
        """What each gate makes of a batch: canonical name -> weights `[B, experts seen]`. No gradient."""
        gates: dict[str, Tensor] = {}
        with torch.no_grad():
            self(batch, gates)
        return {name: weights.detach() for name, weights in gates.items()}

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Canonical name and value of every weight and statistic: views, so writing to them writes to the model."""
        for name, holder, index, _ in WEIGHTS:
            view = getattr(self, holder).detach()[index]
            yield name, view.mT if holder in STACKS else view
        for name, attribute in MODULES.items():
            for inner, value in getattr(self, attribute).state_dict().items():
                yield f"{name}.{inner}", value

    def load_weights(self, mapping: Mapping[str, Tensor], strict: bool = True) -> None:  # noqa: FBT001, FBT002 - as load_state_dict
        """Copies weights by canonical name, such as `dict(other.named_weights())`; all of them or none.

        Raises:
            ValueError: lists the weights that are missing or extra (with `strict`) and those of another shape.
        """
        own = dict(self.named_weights())
        problems = [
            f"{name}: shape {list(mapping[name].shape)}, the model has {list(value.shape)}"
            for name, value in own.items()
            if name in mapping and mapping[name].shape != value.shape
        ]
        if strict:
            problems += [f"{name}: missing" for name in own if name not in mapping]
            problems += [f"{name}: the model has no such weight" for name in mapping if name not in own]
        if problems:
            raise ValueError(f"weights do not fit {type(self).__name__}:\n  " + "\n  ".join(problems))
        with torch.no_grad():
            for name, value in own.items():
                if name in mapping:
                    value.copy_(mapping[name])

    def reset_parameters(self) -> None:
        """Starts every weight anew, like `nn.Linear` and `nn.Embedding` would, in canonical order."""
        views = dict(self.named_weights())
        for name, _, _, (kind, argument) in WEIGHTS:
            start = torch.empty_like(views[name], memory_format=torch.contiguous_format)
            if kind == "uniform":
                nn.init.uniform_(start, -argument, argument)
            elif kind == "normal":
                nn.init.normal_(start, std=argument)
            else:
                start.copy_(torch.tensor(argument))
            views[name].copy_(start)
        for name, rows in CONSTANTS.items():
            getattr(self, name).copy_(torch.tensor(rows))
        for attribute in MODULES.values():
            for module in getattr(self, attribute).modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()

    def __getstate__(self) -> dict[str, object]:
        """What copies and pickles hold: all but the losses of the last forward pass, which belong to its graph."""
        return {name: {} if name == "auxiliary_losses" else value for name, value in self.__dict__.items()}

    def ids(self, batch: Batch) -> Tensor:
        """The columns of IDS as one `[N, B]`, after the check of the batch where `check_inputs` asks for it."""
        checked = self.check(batch) if self.check_inputs and not torch.compiler.is_compiling() else None
        return torch.stack([batch[key] for key in IDS]) if checked is None else checked

    def check(self, batch: Batch) -> Tensor | None:
        """Checks what a batch holds, with one comparison for all columns of single ids; `check_inputs` turns it off.

        Gives back those columns as one `[N, B]`, where they are of int64.

        Raises:
            KeyError: a column is missing; names it and what the batch holds.
            ValueError: a column of another type or shape, or an id out of range; names the input and the first bad row.
        """
        ids = ids_in_range(batch)
        check_columns(batch, COLUMNS if ids is None else other_columns())
        return ids


def ids_in_range(batch: Batch) -> Tensor | None:
    """The columns of IDS as one `[N, B]`; None where one is not of int64 or is out of range: it gives no reason."""
    try:
        columns = [batch[key] for key in IDS]
        ids = torch.stack(columns)
    except (KeyError, RuntimeError, TypeError):
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


def check_columns(batch: Batch, columns: Columns) -> None:
    """Looks at one column after the other. Raises KeyError or ValueError for the first that is wrong."""
    for column in columns:
        check_column(batch, *column[:4])
    rows = {key: len(batch[key]) for _, key, *_ in columns}
    if len(set(rows.values())) > 1:
        raise ValueError(
            f"columns differ in length: {', '.join(f'`{key}` has {count} rows' for key, count in rows.items())}"
        )
    for name, key, _, _, low, high in (column for column in columns if column[2] == "int"):
        bad = batch[key] < low
        if high is not None:
            bad |= batch[key] >= high
        if bad.any():
            row = int(bad.flatten(1).any(1).nonzero()[0]) if bad.dim() > 1 else int(bad.nonzero()[0])
            range_ = f"{low}..{high - 1}" if high is not None else f"{low} and up"
            found = batch[key][row].tolist()
            raise ValueError(f"input `{name}`: id {found} in row {row} of column `{key}` is outside {range_}")


def check_column(batch: Batch, name: str, key: str, dtype: str, shape: tuple[int | str, ...]) -> None:
    """Raises KeyError for a missing column, ValueError for one of another shape or type."""
    if key not in batch:
        raise KeyError(
            f"input `{name}` needs the column `{key}`; the batch holds {', '.join(map(str, batch)) or 'nothing'}"
        )
    column = batch[key]
    fits = column.dim() == len(shape) and (len(shape) == 1 or isinstance(shape[1], str) or column.shape[1] == shape[1])
    if not fits and not (shape == ("B", 1) and column.dim() == 1):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"input `{name}`: column `{key}` has shape {list(column.shape)}, not [{wanted}]")
    fits = column.is_floating_point() if dtype == "float" else column.dtype in {torch.int64, torch.int32}
    if not fits:
        raise ValueError(f"input `{name}`: column `{key}` holds {column.dtype}; it needs {dtype}s")


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draws from a generator of its own where a seed is given, and leaves the global one as it was."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
