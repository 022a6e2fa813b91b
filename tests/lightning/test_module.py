"""MultiTaskModule under a Trainer: training, clocks, logging and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.optim import SGD, Optimizer
from torchmetrics.functional.classification import binary_auroc

import archspec
from archspec.lightning import MultiTaskModule
from tests.lightning.loops import TEXT, Batch, Loader, fitted, loader_of, logged, quiet_trainer, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

BALANCES = ["sum", "uncertainty", "dwa", "gradnorm", "upgrad", "mgda", "pcgrad", "imtl_g", "aligned_mtl"]


def sgd(groups: list[Any]) -> Optimizer:
    """One stateless optimizer."""
    return SGD([{**group} for group in groups], lr=0.1)


def joined(batches: Loader) -> Batch:
    """All rows as one batch."""
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches.batches[0]}


@pytest.mark.parametrize(
    ("balance", "optimize"), [*((name, True) for name in BALANCES), *((name, False) for name in ("gradnorm", "upgrad"))]
)
def test_every_balance_trains(balance: str, optimize: bool) -> None:  # noqa: FBT001 - a parameter
    """Two epochs with each balance change all weights and lower the loss on the same rows."""
    text = TEXT.replace("balance: uncertainty", f"balance: {balance}")
    module = MultiTaskModule(text, seed=0, learning_rate=0.03, optimize=optimize)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    rows = Loader([rows_of(16)] * 6)
    first = logged(validated(module, rows))
    last = logged(fitted(module, rows, rows, max_epochs=2))
    assert not any(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
    tasks = [f"validation/{task}/loss" for task in "abc"]
    assert sum(last[name] for name in tasks) < sum(first[name] for name in tasks)
    assert [int(module.criterion.steps), int(module.criterion.epochs)] == [12, 2]


def validated(module: MultiTaskModule, rows: Any) -> Any:  # noqa: ANN401 - a Trainer
    """Validation results before any training."""
    trainer = quiet_trainer()
    trainer.validate(module, rows, verbose=False)
    return trainer


def test_a_step_is_that_of_a_loop_by_hand() -> None:
    """After two steps the weights equal those of a hand-written loop with MultiTaskLoss and the same optimizer."""
    module = MultiTaskModule(TEXT, seed=0, optimizer=sgd)
    batches = loader_of(2)
    fitted(module, batches)
    model = archspec.compile(TEXT, seed=0)
    criterion = archspec.MultiTaskLoss(model)
    optimizer = SGD([*model.parameters(), *criterion.parameters()], lr=0.1)
    for batch in batches:
        loss, _ = criterion(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for found, expected in zip(module.parameters(), [*model.parameters(), *criterion.parameters()], strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_validation_logs_losses_and_metrics_of_all_rows() -> None:
    """Uneven batches and sample spaces give the values of one batch with all rows, not means over batches."""
    batches = Loader([rows_of(8, seed=1), rows_of(3, seed=2), rows_of(5, seed=3)])
    module = MultiTaskModule(TEXT, seed=0, grouped_by="user")
    found = logged(validated(module, batches))
    rows = joined(batches)
    module.eval()
    logits = module(rows)
    loss, parts = module.criterion(logits, rows)
    assert found["validation/loss"] == pytest.approx(loss.item(), abs=1e-6)
    for task in "abc":
        assert found[f"validation/{task}/loss"] == pytest.approx(parts[task].item(), abs=1e-6)
    auc = binary_auroc(logits["a"].sigmoid(), rows["a"].int())
    assert found["validation/a/auc"] == pytest.approx(float(auc), abs=1e-6)
    inside = rows["has_b"] == 1
    mae = (logits["b"] - rows["b"])[inside].abs().mean()
    assert found["validation/b/mae"] == pytest.approx(mae.item(), abs=1e-6)
    assert set(found) == {
        "validation/loss",
        "validation/task_losses",
        *(f"validation/a/{name}" for name in ("loss", "auc", "log_loss", "normalized_entropy", "pcoc", "ece")),
        *(f"validation/a/{name}" for name in ("grouped_auc", "ndcg@10", "recall@10")),
        *(f"validation/b/{name}" for name in ("loss", "rmse", "mae", "r2", "rank_correlation")),
        *(f"validation/c/{name}" for name in ("loss", "log_loss", "accuracy")),
    }


def test_half_precision_measures_in_single() -> None:
    """A bfloat16 model is measured with float32 sums: in bfloat16 a sum over rows would stop growing at 256."""
    module = MultiTaskModule(TEXT, seed=0).to(torch.bfloat16)
    rows = rows_of(600)
    logits = {"a": torch.full((600,), 2.0), "b": torch.zeros(600), "c": torch.zeros(600, 3)}
    module.measures.add(logits, {**rows, "a": torch.ones(600)}, {}, module.criterion)
    assert float(module.measures.found(module.criterion)["a/log_loss"]) == pytest.approx(0.126928, abs=1e-5)
    assert next(module.model.parameters()).dtype is torch.bfloat16


def test_the_test_rows_have_names_of_their_own() -> None:
    """`test/...` has the values of a validation on these rows; nothing is carried over from an earlier pass."""
    module = MultiTaskModule(TEXT, seed=0)
    rows = loader_of(2)
    validation = logged(validated(module, rows))
    (test,) = quiet_trainer().test(module, rows, verbose=False)
    assert test == {name.replace("validation", "test"): value for name, value in validation.items()}


def test_training_logs_the_losses_of_a_step() -> None:
    """The total and the loss of every task in the last step are logged."""
    module = MultiTaskModule(TEXT, seed=0, optimizer=sgd)
    batches = loader_of(1)
    found = logged(fitted(module, batches))
    fresh = MultiTaskModule(TEXT, seed=0)
    loss, parts = fresh.criterion(fresh(batches.batches[0]), batches.batches[0])
    assert found == pytest.approx(
        {"train/loss": loss.item(), **{f"train/{task}/loss": parts[task].item() for task in "abc"}}, abs=1e-6
    )


def test_an_empty_sample_space_logs_nothing() -> None:
    """If no row of task `b` is validated, it has neither metric nor loss, and the total is finite."""
    batches = loader_of(2)
    for batch in batches:
        batch["has_b"] = torch.zeros(8)
    found = logged(validated(MultiTaskModule(TEXT, seed=0), batches))
    assert not any(name.startswith("validation/b/") for name in found)
    assert torch.tensor(found["validation/loss"]).isfinite()


class Iterated:
    """Batches whose number is not known in advance."""

    def __init__(self, batches: list[Batch]) -> None:
        """Keeps the batches."""
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches once."""
        return iter(self.batches)


@pytest.mark.parametrize("batches", [[], [rows_of(0)], [rows_of(0)] * 2])
def test_a_validation_without_rows_logs_nothing(batches: list[Batch]) -> None:
    """With no batch, or only empty ones, no value is logged, not even of gate weights, without a warning or error."""
    module = MultiTaskModule(TEXT, seed=0, grouped_by="user", log_gates=True)
    assert logged(validated(module, Iterated(batches))) == {}
    assert len(logged(validated(module, Iterated([*batches, rows_of(8)])))) > 5


@pytest.mark.parametrize("name", ["loss", "auc", "gates", "task_losses", "validation", "train", "log_loss", "rows"])
def test_tasks_may_be_named_like_metrics(name: str) -> None:
    """Whatever a task is called, there are as many logged names as usual, with the same values."""
    found = []
    for task in ("a", name):
        text = TEXT.replace("a: {kind", f"{task}: {{label: a, kind")
        module = MultiTaskModule(text, seed=0, grouped_by="user", log_gates=True)
        found.append(logged(validated(module, Loader([rows_of(8)]))))
    renamed = {key.replace("/a/", f"/{name}/", 1).replace("gates.a", f"gates.{name}"): v for key, v in found[0].items()}
    assert found[1] == pytest.approx(renamed, abs=1e-6)


def test_a_fusion_that_is_a_task_is_measured_like_a_tower() -> None:
    """ESMM's product has an AUC; its factor `cvr`, which is not a task, does not."""
    text = """
archspec: 1
name: chain
inputs: {x: {kind: dense, dim: 3}}
tasks: {ctr: {kind: binary}, ctcvr: {kind: binary, label: buy}}
towers: {ctr: {}, cvr: {}}
fusion: {ctcvr: {kind: product, of: [ctr, cvr]}}
"""
    draw = torch.Generator().manual_seed(0)
    click = torch.tensor([1, 1, 1, 0, 0, 0])
    rows: Batch = {"x": torch.randn(6, 3, generator=draw), "ctr": click, "buy": torch.tensor([1, 0, 0, 0, 0, 0])}
    module = MultiTaskModule(text, seed=0)
    found = logged(validated(module, Loader([rows])))
    scores = module.predict_step(rows)
    assert found["validation/ctcvr/auc"] == pytest.approx(float(binary_auroc(scores["ctcvr"], rows["buy"])), abs=1e-6)
    assert not any("/cvr/" in name for name in found)


def test_gate_weights_are_those_of_gate_statistics() -> None:
    """The mean weight of every expert over all validation rows is logged under its canonical name."""
    module = MultiTaskModule(TEXT, seed=0, log_gates=True)
    batches = Loader([rows_of(8, seed=1), rows_of(3, seed=2)])
    found = {name: value for name, value in logged(validated(module, batches)).items() if "/gates/" in name}
    expected = {
        f"validation/gates/{gate.gate}/{expert}": mean
        for gate in archspec.gate_statistics(module.model, batches)
        for expert, mean in zip(gate.experts, gate.means, strict=True)
    }
    assert found == pytest.approx(expected, abs=1e-6)
    assert "validation/gates/level1.gates.a/level1.experts.shared.0" in found


def test_prediction_gives_scores_without_labels() -> None:
    """`Trainer.predict` returns the result of `model.predict` for each batch, from inputs alone."""
    module = MultiTaskModule(TEXT, seed=0)
    inputs = [{name: batch[name] for name in ("x", "user")} for batch in loader_of(2)]
    found = quiet_trainer().predict(module, Loader(inputs))
    assert found is not None
    expected = archspec.compile(TEXT, seed=0).predict(inputs[1])
    assert torch.equal(found[1]["a"], expected["a"])  # type: ignore[call-overload] # one loader: dicts in a list
    assert 0 < float(expected["a"].detach()[0]) < 1


@pytest.mark.parametrize(("batches", "gathered", "steps"), [(4, 1, 4), (4, 2, 2), (5, 2, 3)])
def test_the_clock_counts_steps_of_the_optimizer(batches: int, gathered: int, steps: int) -> None:
    """With accumulated gradients the clock ticks once per optimizer step, even if the last one has fewer batches."""
    module = MultiTaskModule(TEXT, seed=0)
    fitted(module, loader_of(batches), accumulate_grad_batches=gathered)
    assert int(module.criterion.steps) == steps


def test_gathered_gradients_share_one_weight() -> None:
    """Two accumulated half batches train like the whole batch: a decayed weight does not change between them."""
    text = TEXT.replace("when: has_b", "decay: 0.5").replace("uncertainty", "sum")
    whole, halves = loader_of(2), [part for batch in loader_of(2) for part in split(batch)]
    weights = []
    for loader, gathered in ((whole, 1), (Loader(halves), 2)):
        module = MultiTaskModule(text, seed=0, optimizer=sgd)
        fitted(module, loader, accumulate_grad_batches=gathered)
        weights.append([parameter.detach().clone() for parameter in module.parameters()])
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def split(batch: Batch) -> list[Batch]:
    """The two halves of a batch."""
    return [{name: column[part] for name, column in batch.items()} for part in (slice(0, 4), slice(4, 8))]


def test_validation_and_sanity_checks_move_no_clock() -> None:
    """Only training steps advance the clock, and validated rows never reach the balance."""
    module = MultiTaskModule(TEXT.replace("uncertainty", "dwa"), seed=0)
    fitted(module, loader_of(3), loader_of(4), num_sanity_val_steps=2, val_check_interval=1)
    assert [int(module.criterion.steps), int(module.criterion.epochs)] == [3, 1]


def test_a_compiled_model_trains_the_same() -> None:
    """With `module.model.compile()` losses, metrics and names of weights are the same."""
    rows = loader_of(2)
    found = []
    for compiled in (False, True):
        module = MultiTaskModule(TEXT, seed=0)
        if compiled:
            module.model.compile(backend="eager", fullgraph=True)
        found.append((logged(fitted(module, rows, rows)), list(module.state_dict())))
    assert found[1][0] == pytest.approx(found[0][0], abs=1e-5)
    assert found[1][1] == found[0][1]


def test_a_missing_label_is_named() -> None:
    """The error names the task, the column and the columns of the batch."""
    batches = loader_of(1)
    del batches.batches[0]["c"]
    with pytest.raises(KeyError, match="task `c` needs the label column `c`, but the batch has `x`, `user`, `a`, `b`"):
        fitted(MultiTaskModule(TEXT), batches)


def test_an_unknown_column_to_group_by_is_named() -> None:
    """The error is raised by Lightning's sanity check, before the first training step."""
    module = MultiTaskModule(TEXT, grouped_by="person")
    with pytest.raises(KeyError, match="grouped_by: there is no column `person`; the batch has `x`, `user`"):
        fitted(module, loader_of(1), loader_of(1))


def test_grouping_without_a_task_to_rank_is_refused() -> None:
    """The request is refused because there is nothing to measure within groups."""
    text = TEXT.replace("{kind: binary, decay: 0.9}", "{kind: regression}")
    with pytest.raises(ValueError, match="grouped_by='user': no task of `mixed` has one prediction"):
        MultiTaskModule(text, grouped_by="user")


def test_a_wrong_spec_says_what_is_wrong() -> None:
    """The usual SpecError is raised, with all diagnostics."""
    with pytest.raises(archspec.SpecError, match="unknown expert group `sharde`"):
        MultiTaskModule(TEXT.replace("sees: shared", "sees: sharde"))
