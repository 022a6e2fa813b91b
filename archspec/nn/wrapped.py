"""Compiled models inside the wrappers of torch."""

from __future__ import annotations

from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """The compiled model inside wrappers such as DistributedDataParallel and those of `torch.compile`.

    Raises:
        TypeError: there is none.
    """
    inner = model
    while not hasattr(type(inner), "weight_locations"):
        wrapped = getattr(inner, "_orig_mod", None) or getattr(inner, "module", None)
        if not isinstance(wrapped, nn.Module):
            raise TypeError(
                f"{type(model).__name__} is not a compiled model: create one with archspec.compile or archspec build"
            )
        inner = wrapped
    return inner
