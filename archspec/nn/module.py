"""What every compiled module can do. The methods below are copied into the class of each emitted file."""

from __future__ import annotations

import contextlib
import difflib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archspec.nn.checks import COLUMNS, IDS, Batch, check_columns, ids_in_range, other_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

WEIGHTS: tuple[tuple[str, str, tuple[Any, ...], tuple[str, Any]], ...] = ()
"""Of an emitted file: canonical name, tensor that holds it, index into that, how it starts."""
STACKS: tuple[str, ...] = ()
"""Of an emitted file: tensors `[E, D, H]` whose members are weights `[H, D]` lying transposed."""
CONSTANTS: dict[str, Any] = {}
"""Of an emitted file: buffers that are no weights."""
MODULES: dict[str, str] = {}
"""Of an emitted file: canonical name -> attribute of a plugin's module."""
PARTS = ""
"""Of an emitted file: inputs, experts, gates and towers with shapes and parameters, one per line."""

MOST_PROBLEMS = 10
"""Problems of a set of weights that an error lists."""


class Compiled(nn.Module):
    """The methods that an emitted class gets besides its own `__init__`, `forward` and `predict`."""

    check_inputs: bool
    auxiliary_losses: dict[str, Tensor]
    """Where a gate adds to the loss: what the last forward pass in training added, by gate."""

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Probabilities, values and fused scores by name; each emitted class writes its own."""
        raise NotImplementedError

    @staticmethod
    def plugin_modules() -> dict[str, nn.Module]:
        """New modules of plugins, by attribute; classes whose kinds build modules write their own."""
        return {}

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

    def weight_locations(self) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
        """Canonical name of every weight and statistic, the parameter or buffer that holds it, its index in that."""
        for name, holder, index, _ in WEIGHTS:
            yield name, holder, index
        for name, attribute in MODULES.items():
            for inner in getattr(self, attribute).state_dict():
                yield f"{name}.{inner}", f"{attribute}.{inner}", ()

    def load_weights(self, mapping: Mapping[str, Tensor], strict: bool = True) -> None:  # noqa: FBT001, FBT002 - as load_state_dict
        """Copies weights by canonical name, such as `dict(other.named_weights())`; all of them or none.

        Raises:
            ValueError: lists the weights that are missing or extra (with `strict`) and those of another shape; or the
                model is on the meta device, which holds no values.
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
        """Starts every weight anew, like `nn.Linear` and `nn.Embedding` would, in canonical order."""
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
        """Writes the constants again: no state dict holds them, and `to_empty` leaves them without values."""
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
        """Moves the model as torch does; constants keep their values, also in `to_empty`."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call] # torch leaves it untyped
        self.restore_constants()
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as in nn.Module
        """Loads as torch does; constants get their values, wherever the model was made."""
        super()._load_from_state_dict(*args, **kwargs)
        self.restore_constants()

    def __getstate__(self) -> dict[str, object]:
        """What copies and pickles hold: all but the losses of the last forward pass, which belong to its graph."""
        return {name: {} if name == "auxiliary_losses" else value for name, value in self.__dict__.items()}

    def extra_repr(self) -> str:
        """What `print` shows: inputs, experts, gates and towers with shapes and parameters."""
        return PARTS

    def ids(self, batch: Batch) -> Tensor:
        """The columns of IDS as one `[N, B]`, after the check of the batch where `check_inputs` asks for it."""
        checked = self.check(batch) if self.check_inputs and not torch.compiler.is_compiling() else None
        return torch.stack([batch[key] for key in IDS]) if checked is None else checked

    def check(self, batch: Batch) -> Tensor | None:
        """Checks what a batch holds, with one comparison for all columns of single ids; `check_inputs` turns it off.

        Gives back those columns as one `[N, B]`, where they are of int64.

        Raises:
            KeyError: a column is missing; names it and what the batch holds.
            TypeError: a column is not a tensor.
            ValueError: a column of another type, shape or device, or an id out of range; names the input and the first
                bad row.
        """
        ids = ids_in_range(batch)
        weight = getattr(self, WEIGHTS[-1][1]) if WEIGHTS else next(self.parameters(), None)
        if ids is not None and weight is not None and ids.device != weight.device:
            ids = None
        check_columns(batch, COLUMNS if ids is None else other_columns(), weight)
        return ids


def misfits(own: Mapping[str, Tensor], mapping: Mapping[str, Tensor], strict: bool) -> list[str]:  # noqa: FBT001 - the caller's own argument
    """Why weights do not fit a model's own: other shapes, and with `strict` missing and extra names."""
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


def placed(module: nn.Module, device: torch.device | str | None, dtype: torch.dtype | None) -> nn.Module:
    """A plugin's module on a device.

    Raises:
        ValueError: on `meta` it would lose buffers that no state dict holds.
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


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draws from a generator of its own where a seed is given, and leaves the global one as it was."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
