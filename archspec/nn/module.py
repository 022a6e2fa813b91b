"""The methods of every compiled module. They are copied into the class of each emitted file."""

from __future__ import annotations

import contextlib
import difflib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.jit import is_tracing  # type: ignore[attr-defined] # torch documents it, but does not list it

from archspec.nn.checks import COLUMNS, IDS, Batch, check_columns, ids_in_range, other_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

WEIGHTS: tuple[tuple[str, str, tuple[Any, ...], tuple[str, Any]], ...] = ()
"""Set in an emitted file: canonical name, tensor that contains the weight, index into it, initialisation."""
TRANSPOSED: tuple[str, ...] = ()
"""Set in an emitted file: tensors `[D, H]` and `[E, D, H]` of weights `[H, D]`."""
CONSTANTS: dict[str, Any] = {}
"""Set in an emitted file: buffers that are not weights."""
MODULES: dict[str, str] = {}
"""Set in an emitted file: canonical name -> attribute of a plugin's module."""
PARTS = ""
"""Set in an emitted file: inputs, experts, gates and towers with shapes and parameters, one per line."""
TILE = 2**30
"""Set in an emitted file: the most rows that inference on a CPU computes at once."""

LARGEST_KEPT = 2**25 - 2**13
"""Bytes of the largest block from which glibc learns how much freed memory to keep."""
MOST_PROBLEMS = 10
"""How many problems with a set of weights an error lists."""


class Compiled(nn.Module):
    """The methods that an emitted class has in addition to its own `__init__`, `forward` and `predict`."""

    check_inputs: bool
    auxiliary_losses: dict[str, Tensor]
    """Only in models with gates that add to the loss: the terms of the last forward pass in training, by gate."""
    vocabularies: Mapping[str, str]
    """Only in models of a run: table -> a digest of what its ids mean."""

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Probabilities, values and fused scores by name; each emitted class defines its own."""
        raise NotImplementedError

    @staticmethod
    def plugin_modules() -> dict[str, nn.Module]:
        """New modules of plugins, by attribute; a class whose kinds build modules defines its own."""
        return {}

    def forward(self, batch: Batch, gates: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits by name; each emitted class defines its own."""
        raise NotImplementedError

    def is_large(self, batch: Batch) -> bool:
        """Whether to compute a batch in tiles of TILE rows: only in inference on a CPU, and not in traced graphs."""
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling() or is_tracing():  # type: ignore[no-untyped-call] # torch leaves it untyped
            return False
        column = batch.get(COLUMNS[0][1]) if hasattr(batch, "get") else None
        return isinstance(column, Tensor) and column.is_cpu and column.ndim > 0 and len(column) > TILE

    def in_tiles(self, batch: Batch, gates: dict[str, Tensor] | None) -> dict[str, Tensor]:
        """What `forward` returns, computed on a part of the rows at a time: all parts use the same memory."""
        if self.check_inputs:
            self.check(batch)  # here, since its messages give row numbers
        count = -(-len(batch[COLUMNS[0][1]]) // TILE)
        columns = {key: batch[key].tensor_split(count) for _, key, *_ in COLUMNS}
        logits, weights = [], []
        for parts in zip(*columns.values(), strict=True):
            seen: dict[str, Tensor] | None = None if gates is None else {}
            tile = dict(zip(columns, parts, strict=True))
            # not `self.forward`: that of a subclass gets whole batches
            logits.append(__class__.forward(self, tile, seen))  # type: ignore[name-defined] # mypy does not know it
            weights.append(seen or {})
        if gates is not None:
            gates.update(joined(weights))
        return joined(logits)

    def gate_weights(self, batch: Batch) -> dict[str, Tensor]:
        """The weights of each gate for a batch: canonical name -> weights `[B, experts seen]`. No gradient."""
        gates: dict[str, Tensor] = {}
        with torch.no_grad():
            self(batch, gates)
        return {name: weights.detach() for name, weights in gates.items()}

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yields canonical name and value of every weight and statistic; writing to these views writes to the model."""
        for name, holder, index, _ in WEIGHTS:
            view = getattr(self, holder).detach()[index]
            yield name, view.mT if holder in TRANSPOSED else view
        for name, attribute in MODULES.items():
            for inner, value in getattr(self, attribute).state_dict().items():
                yield f"{name}.{inner}", value

    def weight_locations(self) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
        """Yields canonical name of every weight and statistic, the parameter or buffer with it, and its index there."""
        for name, holder, index, _ in WEIGHTS:
            yield name, holder, index
        for name, attribute in MODULES.items():
            for inner in getattr(self, attribute).state_dict():
                yield f"{name}.{inner}", f"{attribute}.{inner}", ()

    def load_weights(self, mapping: Mapping[str, Tensor], strict: bool = True) -> None:  # noqa: FBT001, FBT002 - as load_state_dict
        """Copies weights by canonical name, for example from `dict(other.named_weights())`; all of them or none.

        Raises:
            ValueError: weights are missing or extra (with `strict`) or have another shape (the message lists them); or
                the model is on the meta device, which has no values.
        """
        own = dict(self.named_weights())
        if any(value.is_meta for value in own.values()):
            raise ValueError(f"{type(self).__name__} is on the meta device: call `to_empty(device=...)` first")
        problems = misfits(own, mapping, strict)
        if problems:
            shown = problems[:MOST_PROBLEMS]
            shown += [f"and {len(problems) - len(shown)} more"] if len(problems) > len(shown) else []
            raise ValueError(f"weights do not fit {type(self).__name__}:\n  " + "\n  ".join(shown))
        with torch.no_grad():
            for name, value in own.items():
                if name in mapping:
                    value.copy_(mapping[name])
        self.restore_constants()

    def reset_parameters(self) -> None:
        """Reinitialises every weight in canonical order, as `nn.Linear` and `nn.Embedding` would."""
        views = dict(self.named_weights())
        for name, _, _, (kind, argument) in WEIGHTS:
            start = torch.empty_like(views[name], memory_format=torch.contiguous_format)
            if kind == "uniform":
                nn.init.uniform_(start, -argument, argument)
            elif kind == "normal":
                nn.init.normal_(start, std=argument)
            else:
                start.copy_(torch.tensor(argument, device=start.device))
            views[name].copy_(start)
        for attribute in MODULES.values():
            for module in getattr(self, attribute).modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()
        self.restore_constants()

    def restore_constants(self) -> None:
        """Restores the constants: state dicts do not contain them, and `to_empty` leaves them uninitialised."""
        weight = next(self.parameters(), None)
        for name, rows in CONSTANTS.items():
            constant = getattr(self, name)
            device, dtype = constant.device, constant.dtype
            if constant.is_meta and weight is not None:  # the weights may have been assigned by `load_state_dict`
                device, dtype = weight.device, weight.dtype if constant.is_floating_point() else dtype
            values = torch.tensor(rows, device=device, dtype=dtype)
            if constant.is_meta or constant.is_inference():
                setattr(self, name, values)
            elif type(constant) is Tensor:
                constant.copy_(values)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as in nn.Module
        """Moves the model as torch does; constants keep their values, even in `to_empty`."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # torch leaves it untyped
        self.restore_constants()
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as in nn.Module
        """Loads as torch does; constants get their values, on whatever device the model was created."""
        super()._load_from_state_dict(*args, **kwargs)
        self.restore_constants()

    def __getstate__(self) -> dict[str, object]:
        """The state for copies and pickles: all but the losses of the last forward pass, which belong to its graph."""
        return {name: {} if name == "auxiliary_losses" else value for name, value in self.__dict__.items()}

    def extra_repr(self) -> str:
        """The text for `print`: inputs, experts, gates and towers with shapes and parameters."""
        return PARTS

    def ids(self, batch: Batch) -> Tensor:
        """The columns of IDS as one `[N, B]`, after a check of the batch if `check_inputs` is set."""
        checked = self.check(batch) if self.check_inputs and not torch.compiler.is_compiling() else None
        return torch.stack([batch[key] for key in IDS]) if checked is None else checked

    def check(self, batch: Batch) -> Tensor | None:
        """Checks a batch, with one comparison for all columns of single ids; `check_inputs = False` turns it off.

        Returns those columns as one `[N, B]` if they are int64.

        Raises:
            KeyError: a column is missing; the message names it and the batch's columns.
            TypeError: a column is not a tensor.
            ValueError: a column has another type, shape or device, or an id is out of range; the message names the
                input and the first bad row.
        """
        ids = ids_in_range(batch)
        weight = getattr(self, WEIGHTS[-1][1]) if WEIGHTS else next(self.parameters(), None)
        if ids is not None and weight is not None and ids.device != weight.device:
            ids = None
        check_columns(batch, COLUMNS if ids is None else other_columns(), weight)
        return ids


def misfits(own: Mapping[str, Tensor], mapping: Mapping[str, Tensor], strict: bool) -> list[str]:  # noqa: FBT001 - the caller's own argument
    """Why weights do not fit those of a model: other shapes and, with `strict`, missing and extra names."""
    problems = [
        f"{name}: shape {list(mapping[name].shape)}, the model has {list(value.shape)}"
        for name, value in own.items()
        if name in mapping and mapping[name].shape != value.shape
    ]
    if strict:
        extra = [name for name in mapping if name not in own]
        for name in (name for name in own if name not in mapping):
            near = difflib.get_close_matches(name, extra, n=1, cutoff=0.9) if len(problems) < MOST_PROBLEMS else []
            problems.append(f"{name}: missing" + "".join(f"; is it `{other}`?" for other in near))
        problems += [f"{name}: the model has no such weight" for name in extra]
    return problems


def joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The rows of several dicts of tensors, one after another."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def placed(module: nn.Module, device: torch.device | str | None, dtype: torch.dtype | None) -> nn.Module:
    """Moves a plugin's module to a device.

    Raises:
        ValueError: on `meta` it would lose buffers that are not in its state dict.
    """
    module = module.to(device, dtype)
    for name, part in module.named_modules():
        lost = [buffer for buffer in part._non_persistent_buffers_set if part._buffers[buffer].is_meta]  # noqa: SLF001 - it has no public name
        if lost:
            where = ".".join(filter(None, (name, lost[0])))
            raise ValueError(
                f"{type(module).__name__} cannot be made on the meta device: no state dict holds its buffer `{where}`; "
                "make the model on the device where it runs"
            )
    return module


def keep_freed_memory() -> None:
    """Makes the C library keep freed memory for the next pass, instead of returning it and faulting in new pages.

    glibc keeps twice the size of the largest block that was ever freed, if that is at most 32 MiB. This one is never
    written to, so it uses no memory. Other C libraries ignore it.
    """
    torch.empty(LARGEST_KEPT, dtype=torch.uint8, device="cpu")


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """If a seed is given, draws from a separate generator and leaves the global one unchanged."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
