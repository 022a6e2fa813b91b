"""What every compiled module can do. The methods below are copied into the class of each emitted file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Batch = Mapping[str, Tensor]

WEIGHTS: tuple[tuple[str, str, tuple[Any, ...], bool, tuple[str, Any]], ...] = ()
"""Of an emitted file: canonical name, tensor that holds it, index into that, transposed, how it starts."""
COLUMNS: tuple[tuple[str, str, str, tuple[int | str, ...], int, int | None], ...] = ()
"""Of an emitted file: input, batch key, dtype, shape, lowest id, first id too high (None: no bound)."""
CONSTANTS: dict[str, Any] = {}
"""Of an emitted file: buffers that are no weights."""
MODULES: dict[str, str] = {}
"""Of an emitted file: canonical name -> attribute of a plugin's module."""


class Compiled(nn.Module):
    """The methods that an emitted class gets besides its own `__init__`, `forward` and `predict`."""

    check_inputs: bool

    def gate_weights(self, batch: Batch) -> dict[str, Tensor]:
        """What each gate makes of a batch: canonical name -> weights `[B, experts seen]`. No gradient."""
        gates: dict[str, Tensor] = {}
        with torch.no_grad():
            self(batch, gates)
        return gates

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Canonical name and value of every weight and statistic: views, so writing to them writes to the model."""
        for name, holder, index, transposed, _ in WEIGHTS:
            view = getattr(self, holder).detach()[index]
            yield name, view.mT if transposed else view
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
        for name, _, _, _, (kind, argument) in WEIGHTS:
            if kind == "uniform":
                nn.init.uniform_(views[name], -argument, argument)
            elif kind == "normal":
                nn.init.normal_(views[name], std=argument)
            else:
                views[name].copy_(torch.tensor(argument).expand_as(views[name]))
        for name, rows in CONSTANTS.items():
            getattr(self, name).copy_(torch.tensor(rows))
        for attribute in MODULES.values():
            for module in getattr(self, attribute).modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()

    def check(self, batch: Batch) -> None:
        """Checks what a batch holds: a look at the tensors' kinds, and one comparison for all columns of ids.

        Raises:
            KeyError: a column is missing; names it and what the batch holds.
            ValueError: a column of another type or shape, or an id out of range; names the input and the first bad row.
        """
        for name, key, dtype, shape, _, _ in COLUMNS:
            if key not in batch:
                raise KeyError(f"input `{name}` needs the column `{key}`; the batch holds {', '.join(map(str, batch))}")
            found = tuple(batch[key].shape)
            fits = len(found) == len(shape) and all(isinstance(want, str) or want == is_ for want, is_ in zip(shape, found))
            if not fits and not (shape == ("B", 1) and len(found) == 1):
                raise ValueError(f"input `{name}`: column `{key}` has shape {list(found)}, not [{', '.join(map(str, shape))}]")
            if batch[key].is_floating_point() != (dtype == "float"):
                raise ValueError(f"input `{name}`: column `{key}` holds {batch[key].dtype}, not {dtype}s")
        for name, key, dtype, _, low, high in COLUMNS:
            bad = (batch[key] < low) if dtype == "int" else None
            if bad is None:
                continue
            if high is not None:
                bad |= batch[key] >= high
            if bad.any():
                row = int(bad.flatten(1).any(1).nonzero()[0] if bad.dim() > 1 else bad.nonzero()[0])
                found = batch[key][row].tolist()
                raise ValueError(f"input `{name}`: id {found} in row {row} of column `{key}` is outside {low}..{(high or 0) - 1}")


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draws from a generator of its own where a seed is given, and leaves the global one as it was."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
