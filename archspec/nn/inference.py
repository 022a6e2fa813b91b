"""Compiled models that only compute outputs: the weights of products are stored in bfloat16, once.

On a CPU, the matrices of rows are stored in the layout that oneDNN multiplies by, and nowhere else: no second copy can
differ from what is computed.
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.jit import is_tracing  # type: ignore[attr-defined] # torch documents it, but does not list it

from archspec.nn.products import HAS_ONEDNN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from archspec.nn.checks import Batch
    from archspec.nn.module import Compiled

    Base = Compiled
else:
    Base = nn.Module

ROWS_WHEN_PACKED = 64
"""oneDNN asks for a number of rows to choose a layout; it was the same layout for 1 to 256 rows."""


def for_inference(model: Compiled, rounded: Iterable[str]) -> Compiled:
    """Takes over a compiled model with products in bfloat16, and stores the named parameters in bfloat16."""
    model.eval().requires_grad_(False)  # noqa: FBT003 - torch's signature
    cls = _class_of(type(model))
    made: Any = cls.__new__(cls)
    made.__dict__.update(model.__dict__, _parameters={}, _buffers={})
    made._order, made._rounded = tuple(model._parameters), frozenset(rounded)  # noqa: SLF001 - torch's own names
    made._adopt(model)  # noqa: SLF001 - its class is below
    model_for_inference: Compiled = made
    return model_for_inference


class ForInference(Base):
    """The methods that a compiled model for inference has before those of its class.

    A packed weight is no parameter but an opaque tensor, which is read and written as a whole. Each method that needs
    parameters runs on `unpacked()`; what it changed is packed again.
    """

    compiled: type[Compiled]
    """The compiled class."""
    _order: tuple[str, ...]
    """The names of all parameters, in the order of a state dict."""
    _rounded: frozenset[str]
    """The names of the parameters in bfloat16."""

    def forward(self, batch: Batch, gates: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Logits by name, without a gradient."""
        if (torch.compiler.is_compiling() or is_tracing()) and self._packed():  # type: ignore[no-untyped-call] # torch leaves it untyped
            raise RuntimeError(
                f"{type(self).__name__} holds weights that only oneDNN can read, so it cannot be traced: give "
                "torch.compile or torch.export `model.unpacked()`"
            )
        with torch.no_grad():
            return _untraced(self.compiled)(self, batch, gates)

    def train(self, mode: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as in nn.Module
        """Returns itself for `train(False)`, as `eval()` does.

        Raises:
            RuntimeError: training was asked for.
        """
        if mode:
            raise RuntimeError(
                f"{type(self).__name__} is for inference: train the model that it was made from, "
                "and call archspec.for_inference again"
            )
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as in nn.Module
        """Raises RuntimeError for True: nothing here is trained."""
        return self.train(requires_grad)

    def unpacked(self) -> Compiled:
        """The same model as an ordinary module, for `torch.compile` and `torch.export`.

        All weights are parameters without a gradient, those of products in bfloat16. It shares the memory of all that
        are not packed.
        """
        module: Any = self.compiled.__new__(self.compiled)
        packed = self._packed()
        left_out = {"_order", "_rounded", *packed}
        module.__dict__.update({name: value for name, value in self.__dict__.items() if name not in left_out})
        module.__dict__["_parameters"] = {
            name: nn.Parameter(packed[name].to_dense(), requires_grad=False)
            if name in packed
            else self._parameters[name]
            for name in self._order
        }
        module.__dict__["_buffers"] = dict(self._buffers)
        compiled: Compiled = module
        return compiled

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yields canonical name and value of every weight and statistic.

        Values of packed weights are copies, and writing to one raises RuntimeError: use `load_weights`. (A write
        through `.data`, which torch does not check, changes only the copy.)
        """
        with torch.inference_mode():  # tensors made here refuse to be written to
            module = self.unpacked()
        yield from module.named_weights()

    def load_weights(self, mapping: Mapping[str, Tensor], strict: bool = True) -> None:  # noqa: FBT001, FBT002 - as load_state_dict
        """Copies weights by canonical name; those of products are rounded to bfloat16.

        Raises:
            ValueError: as for every compiled model; nothing is copied then.
        """
        self._adopt(self._changed(lambda module: module.load_weights(mapping, strict)))

    def reset_parameters(self) -> None:
        """Reinitialises every weight."""
        self._adopt(self._changed(lambda module: module.reset_parameters()))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as in nn.Module
        """Moves the model; weights of products stay in bfloat16, and are packed if they are on a CPU."""
        self._adopt(self._changed(lambda module: module._apply(fn, recurse)))  # noqa: SLF001 - torch's own name
        return self

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as in nn.Module
        """Saves as torch does, under the names of a model with `precision="bf16"`, whose state dict this is."""
        self.unpacked()._save_to_state_dict(*args, **kwargs)  # noqa: SLF001 - torch's own name

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as in nn.Module
        """Loads as torch does, and rounds the weights of products."""
        self._adopt(self._changed(lambda module: module._load_from_state_dict(*args, **kwargs)))  # noqa: SLF001 - torch's own name

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        """A model that shares nothing with this one."""
        return for_inference(copy.deepcopy(self.unpacked(), memo), self._rounded)

    def __reduce_ex__(self, _: Any) -> tuple[Any, ...]:  # noqa: ANN401 - as in object
        """Pickles the unpacked model."""
        return for_inference, (self.unpacked(), self._rounded)

    def _packed(self) -> dict[str, Tensor]:
        """The packed weights by name, in the order of the parameters."""
        return {name: self.__dict__[name] for name in self._order if name in self.__dict__}

    def _changed(self, change: Callable[[Compiled], object]) -> Compiled:
        module = self.unpacked()
        change(module)
        return module

    def _adopt(self, module: Compiled) -> None:
        """Takes the contents of a module over, rounds the weights of products and packs those that can be.

        Another thread that computes meanwhile finds each weight in one form or the other.
        """
        parameters, buffers = dict(module.named_parameters(recurse=False)), dict(module.named_buffers(recurse=False))
        self._buffers.update(buffers)
        for name in self._order:
            weight = parameters[name]
            if name in self._rounded and weight.dtype is not torch.bfloat16:
                weight = nn.Parameter(weight.detach().bfloat16(), requires_grad=False)
            if name in self._rounded and can_be_packed(weight):
                self.__dict__[name] = pack(weight.detach())
                self._parameters.pop(name, None)
            else:
                self._parameters[name] = weight
                self.__dict__.pop(name, None)


def can_be_packed(weight: Tensor) -> bool:
    """Whether oneDNN can store this weight in its own layout: a matrix in bfloat16, on a CPU that computes with it."""
    return HAS_ONEDNN and weight.dim() == 2 and weight.is_cpu and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: PLR2004, SLF001 - [H, D]; it has no public name


def pack(weight: Tensor) -> Tensor:
    """A matrix `[H, D]` in oneDNN's own layout."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS_WHEN_PACKED)  # noqa: SLF001 - it has no public name
    return packed


def _untraced(cls: type[Compiled]) -> Callable[..., dict[str, Tensor]]:
    """The `forward` of a compiled class, which torch.compile, if it is in use, leaves alone.

    Where it meets an error, torch.compile without `fullgraph` goes on to trace the functions that are called next.
    """
    if "torch._dynamo" not in sys.modules:
        return cls.forward
    if "_untraced" not in vars(cls):
        cls._untraced = torch.compiler.disable(cls.forward)  # type: ignore[attr-defined, no-untyped-call] # made once: it takes 80 us
    found: Callable[..., dict[str, Tensor]] = vars(cls)["_untraced"]
    return found


def _class_of(cls: type[Compiled]) -> type[Compiled]:
    """The class for inference of a compiled class; it has the same name, so its source is found."""
    found: type[Compiled] | None = vars(cls).get("_for_inference")
    if found is None:
        same = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
        found = type(cls.__name__, (ForInference, cls), {**same, "compiled": cls})
        cls._for_inference = found  # type: ignore[attr-defined] # kept with the class, so that both go together
    return found
