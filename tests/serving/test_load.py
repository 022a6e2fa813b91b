"""Exported models as functions: every format takes the same batches and refuses the same mistakes."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

import archspec
from archspec.serving import load
from archspec.serving.formats import FILES, INPUTS, OUTPUTS

if TYPE_CHECKING:
    from archspec.serving.formats import Format
    from archspec.serving.load import Served

    ByPlace = tuple[Served, list[list[torch.Tensor]]]
    """A function of a file, and what it was given."""

SPEC = """
archspec: 1
name: served
inputs: {user: {kind: sparse, vocab: 9, dim: 2}, tags: {kind: sequence, table: user}, x: {kind: dense, dim: 3}}
tasks: {click: {}, buy: {}}
levels: [{experts: {shared: {count: 2, units: [4]}}, gates: {$task: {sees: all}}}]
towers: {$task: {}}
"""


def batch(rows: int, length: int = 4) -> dict[str, torch.Tensor]:
    """A batch of the spec."""
    generator = torch.Generator().manual_seed(rows)
    return {
        "user": torch.randint(9, (rows,), generator=generator),
        "tags": torch.randint(-1, 9, (rows, length), generator=generator),
        "x": torch.randn(rows, 3, generator=generator),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The spec with its gates, as ONNX and as an exported program, in one folder."""
    folder = tmp_path_factory.mktemp("exported")
    for to in ("onnx", "torch-export"):
        archspec.export(SPEC, to, folder, gates=True, seed=0)
    return folder


@pytest.mark.parametrize("to", ["onnx", "torch-export"])
def test_a_loaded_export_gives_the_models_outputs(folder: Path, to: Format) -> None:
    """Columns in another order, with other strides and beside other ones give the outputs of the model, by name."""
    served, model = archspec.load_export(folder, to), archspec.compile(SPEC, seed=0).eval()
    assert served.metadata["archspec.digest"] == archspec.load(SPEC).digest
    for rows, length in ((1, 1), (5, 4)):
        own = batch(rows, length)
        strided = {name: own[name].mT.contiguous().mT for name in ("x", "tags")} | {"user": own["user"]}
        found = served({"label": torch.zeros(rows), **strided})
        expected = model.predict(own) | model.gate_weights(own)
        assert found.keys() == set(served.outputs) == expected.keys()
        for name, values in expected.items():
            torch.testing.assert_close(found[name], values, rtol=0, atol=1e-6)
            assert not found[name].requires_grad


@pytest.fixture
def by_place() -> ByPlace:
    """A function of a file that takes columns by place and checks nothing, as AOTInductor's, and what it was given."""
    given: list[list[torch.Tensor]] = []

    def run(columns: list[torch.Tensor]) -> list[torch.Tensor]:
        given.append(columns)
        return [columns[0].double()]

    columns: dict[str, Any] = {
        "user": (torch.int64, ("B",)), "tags": (torch.int64, ("B", "L")), "x": (torch.float32, ("B", 3))
    }  # fmt: skip
    return load.Served(columns, ("click",), {}, run), given


def test_columns_reach_the_file_by_place_and_contiguous(by_place: ByPlace) -> None:
    """Whatever the order and the strides of a batch, the file gets its own order and contiguous columns."""
    served, given = by_place
    own = batch(6)
    own["user"] = torch.arange(12).view(6, 2)[:, 1]
    served(dict(reversed(own.items())))
    for name, column in zip(("user", "tags", "x"), given[0], strict=True):
        assert torch.equal(column, own[name])
    assert all(column.is_contiguous() for column in given[0])


@pytest.mark.parametrize(
    ("name", "column", "error", "message"),
    [
        ("user", torch.zeros(5, dtype=torch.int32), TypeError, r"`user` is torch.int32, .* takes torch.int64"),
        ("user", torch.tensor(1), ValueError, r"`user` has shape \[\], .* takes \[B\]"),
        ("tags", torch.zeros(5, dtype=torch.int64), ValueError, r"`tags` has shape \[5\], .* takes \[5, L\]"),
        ("x", torch.zeros(5, 2), ValueError, r"`x` has shape \[5, 2\], .* takes \[5, 3\]"),
        ("x", torch.zeros(4, 3), ValueError, r"`x` has shape \[4, 3\], .* takes \[5, 3\]"),
    ],
)
def test_a_column_that_the_file_would_misread_is_refused(
    by_place: ByPlace,
    name: str,
    column: torch.Tensor,
    error: type[Exception],
    message: str,
) -> None:
    """A wrong type, a wrong width and another number of rows are errors that name the column; nothing is computed."""
    served, given = by_place
    with pytest.raises(error, match=message):
        served({**batch(5), name: column})
    with pytest.raises(KeyError, match=name):
        served({key: value for key, value in batch(5).items() if key != name})
    assert given == []


def test_a_folder_says_which_formats_it_has(folder: Path, tmp_path: Path) -> None:
    """Several formats need a choice; a folder without one, and a file without archspec's metadata, are errors."""
    with pytest.raises(ValueError, match="`to` must be one of onnx, torch-export"):
        archspec.load_export(folder)
    with pytest.raises(FileNotFoundError, match=r"no exported model: model_aoti\.pt2$"):
        archspec.load_export(folder, "aoti")
    with pytest.raises(FileNotFoundError, match=", ".join(FILES.values())):
        archspec.load_export(tmp_path)
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(ValueError, match="written by another version"):
        archspec.load_export(tmp_path)


def test_threads_take_turns_in_a_package_of_aot_inductor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads are never inside torch's function at once, where each could wait for what the other one holds."""
    inside: list[int] = []
    seen: list[int] = []

    def boxed_run(columns: list[torch.Tensor]) -> list[torch.Tensor]:
        inside.append(0)
        time.sleep(0.01)
        seen.append(len(inside))
        inside.pop()
        return columns

    columns = {INPUTS: json.dumps({"x": ["float32", ["B"]]}), OUTPUTS: "click"}
    package = SimpleNamespace(loader=SimpleNamespace(boxed_run=boxed_run, get_metadata=lambda: columns))
    monkeypatch.setattr(load, "inductor", lambda: SimpleNamespace(aoti_load_package=lambda _: package))
    served = load.loaded("aoti", Path("model_aoti.pt2"))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda rows: served({"x": torch.ones(rows)})["click"].sum().item(), range(1, 9)))
    assert found == list(range(1, 9))
    assert seen == [1] * 8
