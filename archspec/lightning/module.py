"""A spec as a LightningModule."""

from __future__ import annotations

from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, Self, cast

from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.distributed.fsdp import FSDPModule, fully_shard

from archspec import plugins as plugin_door
from archspec.compiler.compile import compile as compile_spec
from archspec.graph.load import load
from archspec.lightning.average import AveragedModule, MovingAverage
from archspec.lightning.checkpoint import (
    KEY,
    check_same,
    described,
    read_checkpoint,
    spec_in,
    unwrapped_names,
    wrapped_names,
)
from archspec.lightning.clipping import clip
from archspec.lightning.combined import joined_states
from archspec.lightning.measures import Measures
from archspec.lightning.metrics import NO_GAINS, has_gains
from archspec.lightning.optimizers import (
    OptimizerHook,
    OptimizerSettings,
    check_trainer,
    learning_groups,
    single,
)
from archspec.spec.spec import Spec
from archspec.train.criterion import MultiTaskLoss
from archspec.train.freezing import freeze as freeze_blocks

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import torch
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from archspec.train.choices import Schedule, TableOptimizer
    from archspec.train.rows import Columns


class MultiTaskModule(AveragedModule):
    """The model, losses, metrics and optimizers of a spec, for `lightning.Trainer`.

        module = MultiTaskModule("specs/ple.yaml", learning_rate=1e-3)
        lightning.Trainer(max_epochs=3).fit(module, train_loader, validation_loader)

    Batches are dicts of tensors, keyed by column: the columns of the model and of the losses. In training, the module
    logs `train/loss` at each step, and `train/<task>/loss` at every `log_every_n_steps`-th and the last step of an
    epoch. In validation (and as `test/...` in a test), it logs over the rows of all processes: `validation/loss` (the
    quantity that is trained, with the current weights), `validation/task_losses` (the sum of the tasks' losses, each
    times its `weight`, without decay and balance: monitor this one), `validation/<task>/loss` and
    `validation/<task>/<metric>`, for the metrics of the task's kind: those of binary tasks are `auc, log_loss,
    normalized_entropy, pcoc, ece` (and `grouped_auc`). Metrics use the rows of the task's sample space (`when`); each
    row counts once, whatever its `weight_column`. A metric without rows, or an AUC of one class, is not logged.

    A spec with sparse tables (`sparse_grad`) can be trained in one process only. Its two optimizers are one for the
    Trainer: see `archspec.lightning.CombinedOptimizer`.

    Args:
        spec: a Spec, the path of one, or its text.
        plugins: plugins with further kinds; see `archspec.load`.
        learning_rate: learning rate of the default optimizers.
        weight_decay: weight decay of AdamW; tables with another optimizer and the balance's parameters do not decay.
        table_learning_rate: learning rate of the tables of inputs; None: `learning_rate`.
        table_optimizer: `adam` and `rowwise_adagrad` (see `archspec.lightning.TableAdamW` and `RowWiseAdagrad`) take
            dense and sparse gradients; `sparse_adam` requires sparse ones of all tables. None: AdamW for tables with
            dense gradients and SparseAdam for sparse ones.
        optimizer: a function that makes the optimizers from all trainable groups; see `OptimizerHook`. Checkpoints do
            not contain it.
        schedule: how the learning rates of the default optimizer fall over the run: constant, cosine or linear.
        warmup: optimizer steps in which these learning rates rise linearly.
        ema: decay per step of an exponential moving average of the weights, such as 0.999; None: no average. Validation
            measures the average, checkpoints load it, and the model has it after `fit`; see `MovingAverage`.
        freeze: blocks that are not trained, by canonical name; see `archspec.freeze`.
        seed: seed of the initial weights.
        optimize: False uses the plain module; see `archspec.compile`.
        grouped_by: an integer column of the batch, such as the user's id: binary tasks get `grouped_auc`; these and all
            other tasks with labels of at least 0 get `ndcg@k` and `recall@k`.
        top: k of these.
        log_gates: log `validation/gates/<gate>/<expert>`, each expert's mean weight in each gate, by canonical names.

    Raises:
        SpecError: the spec is wrong.
        ValueError: `grouped_by` without a task to measure; a `table_optimizer` that cannot train the spec's tables, or
            settings of tables next to an `optimizer` that ignores them; `freeze` has a name without weights, or leaves
            no shared weights to a balance that reads their gradients.
    """

    def __init__(  # noqa: PLR0913 - the public signature
        self,
        spec: Spec | str | os.PathLike[str],
        *,
        plugins: Iterable[plugin_door.Plugin] = (),
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        table_learning_rate: float | None = None,
        table_optimizer: TableOptimizer | None = None,
        optimizer: OptimizerHook | None = None,
        seed: int | None = None,
        optimize: bool = True,
        grouped_by: str | None = None,
        top: int = 10,
        log_gates: bool = False,
        schedule: Schedule = "constant",
        warmup: int = 0,
        ema: float | None = None,
        freeze: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.save_hyperparameters(
            "learning_rate", "weight_decay", "table_learning_rate", "table_optimizer", "seed", "optimize", "grouped_by",
            "log_gates", "schedule", "warmup", "ema", "freeze", "top",
        )  # fmt: skip
        self.spec = spec if isinstance(spec, Spec) else load(spec, plugins=plugins)
        if grouped_by is not None and not any(has_gains(block.settings) for block in self.spec.tasks.values()):
            raise ValueError(f"grouped_by={grouped_by!r}: no task of `{self.spec.name}` {NO_GAINS}")
        self.log_gates = log_gates
        self.settings = OptimizerSettings(
            learning_rate, weight_decay, table_learning_rate, table_optimizer, schedule, warmup
        )
        self.settings.check(self.spec, optimizer)
        self.average = None if ema is None else MovingAverage(ema)
        self.model: nn.Module = compile_spec(self.spec, optimize=optimize, seed=seed, separate=freeze)
        freeze_blocks(self.model, freeze)
        # The step clock is advanced in optimizer_step, since gradients may come from several batches.
        self.criterion = MultiTaskLoss(self.model, count_steps=False)
        self._epoch_has_steps = False
        self.optimizer = optimizer
        self.measures = Measures(self.spec, grouped_by, top)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the default optimizer; Lightning's `Tuner.lr_find` sets it."""
        return self.settings.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        self.settings = replace(self.settings, learning_rate=rate)

    def forward(self, batch: Columns) -> dict[str, Tensor]:
        """Logits by name, as the compiled model returns them."""
        logits: dict[str, Tensor] = self.model(batch)
        return logits

    def configure_model(self) -> None:
        """Shards the model's parameters over processes (FSDP2) if the strategy is ModelParallelStrategy.

        Raises:
            MisconfigurationException: `ema` is set, and the parameters would be sharded.
        """
        if self.device_mesh is not None and self.average is not None:
            raise MisconfigurationException("the moving average of sharded weights is not supported: omit `ema`")
        if self.device_mesh is not None and not isinstance(self.model, FSDPModule):
            fully_shard(self.model, mesh=self.device_mesh["data_parallel"])

    # -- steps ---------------------------------------------------------------------------------------------------------

    def training_step(self, batch: Columns, batch_idx: int) -> dict[str, Any]:
        """Returns the `loss` of a batch, `[]`, and in `parts` each task's own; callbacks receive both as `outputs`."""
        loss, parts = self.criterion(self.model(batch), batch)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=_rows(batch))
        own = {name: parts[name].detach() for name in self.spec.tasks}
        if self._logs_now():
            self.log_dict({f"train/{name}/loss": part for name, part in own.items()}, batch_size=_rows(batch))
        return {"loss": loss, "parts": own}

    def validation_step(self, batch: Columns, batch_idx: int) -> None:
        """Adds a batch to losses, metrics and gate weights."""
        self._measure(batch)

    def test_step(self, batch: Columns, batch_idx: int) -> None:
        """Adds a batch to losses, metrics and gate weights."""
        self._measure(batch)

    def predict_step(self, batch: Columns) -> dict[str, Tensor]:
        """Scores by name, as `model.predict` returns them; needs no labels."""
        scores: dict[str, Tensor] = cast("Any", self.model).predict(batch)
        return scores

    def _logs_now(self) -> bool:
        """Whether Lightning passes this step to loggers, or the epoch ends; otherwise logging each task is wasted."""
        trainer: Any = self.trainer  # its type lacks the public log_every_n_steps
        return bool((trainer.global_step + 1) % trainer.log_every_n_steps == 0 or trainer.is_last_batch)

    def _measure(self, batch: Columns) -> None:
        gates: dict[str, Tensor] = {}
        logits = self.model(batch, gates) if self.log_gates else self.model(batch)
        self.measures.add(logits, batch, gates, self.criterion)

    # -- epochs and clocks ---------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Forgets the rows of the last pass."""
        self.measures.reset()

    def on_test_epoch_start(self) -> None:
        """Forgets the rows of the last pass."""
        self.measures.reset()

    def on_validation_epoch_end(self) -> None:
        """Logs the results of validation."""
        self._report("validation")

    def on_test_epoch_end(self) -> None:
        """Logs the results of the test."""
        self._report("test")

    def on_train_batch_start(self, batch: Columns, batch_idx: int) -> None:
        """Ends an epoch that Lightning did not: it resumes a checkpoint of an epoch's last step with the next epoch."""
        if batch_idx == 0:
            self._end_epoch()

    def on_train_epoch_end(self) -> None:
        """Advances the losses' epoch clock."""
        self._end_epoch()

    def _end_epoch(self) -> None:
        if self._epoch_has_steps:
            self.criterion.next_epoch()
        self._epoch_has_steps = False

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,  # noqa: ANN401 - an Optimizer, or Lightning's wrapper of one
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Makes one step, then advances the losses' step clock: once per step, not per batch."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self.criterion.next_step()
        if self.average is not None:
            self.average.update(self.model)
        self._epoch_has_steps = True

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips as the Trainer is told to, also sparse gradients, which Lightning does not take."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if gradient_clip_val and any(p.grad is not None and p.grad.is_sparse for p in parameters):
            clip(parameters, gradient_clip_val, by_value=gradient_clip_algorithm == "value")
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _report(self, phase: str) -> None:
        values = {f"{phase}/{name}": value for name, value in self.measures.found(self.criterion).items()}
        # All processes have the same values, so the mean that Lightning computes does not change them.
        self.log_dict(values, batch_size=1, sync_dist=True)

    # -- optimizers ----------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - what Lightning takes
        """The default optimizer, or the hook's; several are combined into one.

        Raises:
            MisconfigurationException: the Trainer cannot do what the spec or the optimizer requires.
        """
        groups = learning_groups(self.model, self.criterion, self.spec)
        made = self.settings.made(groups, self.trainer) if self.optimizer is None else single(self.optimizer(groups))
        check_trainer(self.trainer, self.spec, made)
        return made

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the canonical spec, its digest, archspec's version, and whether an epoch has begun."""
        checkpoint[KEY] = {**described(self.spec), "epoch_has_steps": self._epoch_has_steps}
        checkpoint["state_dict"] = unwrapped_names(checkpoint["state_dict"])
        if self.average is not None:
            self.average.save(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises ValueError if the checkpoint was made with another spec."""
        check_same(checkpoint, self.spec)
        joined_states(checkpoint)
        self._epoch_has_steps = bool(checkpoint[KEY].get("epoch_has_steps"))
        if self.average is not None and self.fits():
            self.average.resume(checkpoint, self.model)
        if hasattr(self.model, "_orig_mod"):
            checkpoint["state_dict"] = wrapped_names(checkpoint["state_dict"])

    @classmethod
    def load_from_checkpoint(  # noqa: PLR0913 - Lightning's signature
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: torch.device | str | int | Callable[..., Any] | dict[Any, Any] | None = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,  # noqa: FBT001 - Lightning's signature
        weights_only: bool | None = True,  # noqa: FBT001, FBT002 - Lightning's signature
        *,
        plugins: Iterable[plugin_door.Plugin] = (),
        **kwargs: Any,  # noqa: ANN401 - Lightning's signature
    ) -> Self:
        """Loads a module from just a checkpoint file: its spec, its settings, its weights.

        Args:
            checkpoint_path: a file of `Trainer.save_checkpoint` or `ModelCheckpoint`.
            map_location: as in `torch.load`.
            hparams_file: as in Lightning.
            strict: whether all weights must be present; default True.
            weights_only: True reads only plain data and tensors, so that an untrusted checkpoint cannot run code.
            plugins: the plugins that the spec needs; a checkpoint names them, but never enables any.
            kwargs: settings that override the checkpoint's, such as `optimizer`.

        Raises:
            SpecError: the file is not a checkpoint of a MultiTaskModule, or its spec needs a plugin that is not
                enabled.
            RuntimeError: the weights do not fit.
        """
        spec = spec_in(read_checkpoint(checkpoint_path), plugin_door.load(plugins))
        # Everything that can refer to code or files is passed here, so none of it is read from the checkpoint.
        given = {"optimizer": None, **kwargs, "spec": spec, "plugins": ()}
        return super().load_from_checkpoint(checkpoint_path, map_location, hparams_file, strict, weights_only, **given)


def _rows(batch: Columns) -> int:
    return len(next(iter(batch.values())))
