"""The Lightning adapter: a spec as a LightningModule with its losses, metrics, optimizers and checkpoints.

This package contains the code that uses lightning and torchmetrics, which the extra `train` installs. It must not know
runs and their folders (`archspec.runs`), or the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from archspec.lightning.combined import CombinedOptimizer
    from archspec.lightning.grouped_auc import AUC, GroupedAUC
    from archspec.lightning.metrics import LogLoss, NormalizedEntropy
    from archspec.lightning.module import MultiTaskModule
    from archspec.lightning.optimizers import OptimizerHook, Optimizers
    from archspec.train.choices import TableOptimizer
    from archspec.train.rowwise import RowWiseAdagrad
    from archspec.train.table_adamw import TableAdamW
except ModuleNotFoundError as error:
    if error.name not in {"lightning", "torchmetrics"}:
        raise
    raise ModuleNotFoundError(
        f"archspec.lightning needs {error.name}: pip install 'archspec-mtl[train]' "
        "(from a checkout: pip install -e '.[train]')",
        name=error.name,
    ) from error

__all__ = [
    "AUC",
    "CombinedOptimizer",
    "GroupedAUC",
    "LogLoss",
    "MultiTaskModule",
    "NormalizedEntropy",
    "OptimizerHook",
    "Optimizers",
    "RowWiseAdagrad",
    "TableAdamW",
    "TableOptimizer",
    "load_run",
]

if TYPE_CHECKING:
    from archspec.runs.trained import load_run
else:

    def __getattr__(name: str) -> object:
        """Imports the public `load_run` from `archspec.runs` at its first use, since that module imports this one."""
        if name != "load_run":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from archspec.runs.trained import load_run

        return load_run

    def __dir__() -> list[str]:
        """All names, including public ones that are not imported yet."""
        return sorted({*globals(), *__all__})
