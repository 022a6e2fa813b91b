"""The Lightning adapter: a spec as a LightningModule with its losses, metrics, optimizers and checkpoints.

Lives here: all that knows lightning and torchmetrics, which the extra `train` installs. May not know the command line.
"""

from __future__ import annotations

try:
    from archspec.lightning.grouped_auc import AUC, GroupedAUC
    from archspec.lightning.metrics import LogLoss, NormalizedEntropy
    from archspec.lightning.module import MultiTaskModule
    from archspec.lightning.optimizers import OptimizerHook, Optimizers
    from archspec.lightning.trained import load_run
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
    "GroupedAUC",
    "LogLoss",
    "MultiTaskModule",
    "NormalizedEntropy",
    "OptimizerHook",
    "Optimizers",
    "load_run",
]
