"""Grouped AUC of a run uses the users as they are in the data, whichever of them the model knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from archspec import plugins
from archspec.data.prepare import Source
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph
from archspec.lightning.grouped_auc import mean_auc
from archspec.runs.recipe import Recipe
from archspec.runs.trained import load_run
from archspec.runs.training import train

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
archspec: 1
name: grouped
inputs: {user: {kind: sparse, vocab: 6, dim: 2}, x: {kind: dense, dim: 1}}
tasks: {a: {kind: binary, when: seen}}
towers: {a: {from: inputs}}
"""
COLUMNS: dict[str, list[Any]] = {
    "x": [0.0, 1.0, 10.0, 11.0, 5.0, 6.0, 7.0, 8.0],
    "a": [0, 1, 1, 0, 1, 0, 1, 0],
    "seen": [1, 1, 1, 1, 1, 1, 1, 0],
}


def grouped(folder: Path, train_users: list[Any], users: list[Any], **options: Any) -> tuple[float, float, list[int]]:  # noqa: ANN401 - of Source
    """The grouped AUC of a run for users not seen in training; the same by hand; and each row's id in the model."""
    count = len(train_users)
    rows = {"user": train_users, "x": [0.1 * row for row in range(count)], "a": [row % 2 for row in range(count)],
            "seen": [1] * count, "who": train_users}  # fmt: skip
    parquet.write_table(pa.table(rows), folder / "train.parquet")
    parquet.write_table(pa.table({"user": users, "who": users, **COLUMNS}), folder / "validation.parquet")
    source = Source((str(folder / "train.parquet"),), (str(folder / "validation.parquet"),), **options)
    graph = load_graph(TEXT, None, plugins.load([]))
    results = train(graph, source, Recipe(epochs=1, batch=8), folder / "run")
    trained = load_run(folder / "run")
    (batch,) = trained.validation()
    names = list(dict.fromkeys(users))
    inside = [row for row, user in enumerate(users) if user is not None and COLUMNS["seen"][row]]
    area = mean_auc(
        trained.model(batch)["a"].detach()[inside], batch["a"][inside] == 1,
        batch["a"].new_tensor([names.index(users[row]) for row in inside]).long(),
    )  # fmt: skip
    return results.best["validation/a/grouped_auc"], float(area), batch["user"].tolist()  # type: ignore[arg-type] # a tensor


KNOWN = [f"k{row % 3}" for row in range(40)]
UNKNOWN = ["p", "p", "q", "q", "k0", "k0", "p", "q"]


@pytest.mark.parametrize("column", ["user", "who"])
def test_users_that_training_did_not_hold_are_groups_of_their_own(column: str, tmp_path: Path) -> None:
    """The model sees all of them as id 0; the metric distinguishes them, whether the model reads the column or not."""
    found, by_hand, ids = grouped(tmp_path, KNOWN, UNKNOWN, grouped_by=column)
    assert found == pytest.approx(by_hand, abs=1e-6)
    assert ids[:4] == [0, 0, 0, 0]


def test_users_in_buckets_are_groups_of_their_own(tmp_path: Path) -> None:
    """Users that share a bucket, because they were not seen in training, are still separate groups."""
    users = [900, 900, 901, 901, 902, 902, 900, 901]
    found, by_hand, ids = grouped(tmp_path, list(range(40)), users, grouped_by="user", choices={"user": "buckets"})
    assert found == pytest.approx(by_hand, abs=1e-6)
    assert len(set(ids)) == 1


def test_rows_without_a_user_are_in_no_group(tmp_path: Path) -> None:
    """Rows without a value have no user; only this metric skips them."""
    users = ["p", "p", None, None, "q", "q", "p", None]
    found, by_hand, _ = grouped(tmp_path, KNOWN, users, grouped_by="user")
    assert found == pytest.approx(by_hand, abs=1e-6)


def test_a_column_of_fractions_names_no_groups(tmp_path: Path) -> None:
    """A column of fractions is refused with file, column and row before training."""
    with pytest.raises(SpecError, match=r"column `who`, row 1: `0.5` is neither a whole number nor a text"):
        grouped(tmp_path, [0.5, 1.5] * 20, [0.5] * 8, grouped_by="who", choices={"user": "buckets"})
    assert not (tmp_path / "run" / "last.ckpt").exists()
    with pytest.raises(SpecError, match=r"column `user`, row 1: `0.5` is neither a whole number nor a text"):
        grouped(tmp_path, [0.5, 1.5] * 20, [0.5] * 8, grouped_by="user", choices={"user": "buckets"})
