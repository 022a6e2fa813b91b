"""Models with their tables in TorchRec equal compiled models; `make test-torchrec` runs these tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import archspec
from archspec import torchrec
from tests.plain.batches import batch_for

if TYPE_CHECKING:
    from archspec.nn.module import Compiled

ROOT = Path(__file__).resolve().parents[2]
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
"""TorchRec's bags return float32 even for float64 tables, so these tests cannot be exact."""
SPEC = """
archspec: 1
name: bags
inputs:
  user: {kind: sparse, vocab: 7, dim: 4}
  item: {kind: sparse, column: shown, vocab: 9, dim: 8}
  mean: {kind: sequence, table: item, length: 5}
  total: {kind: sequence, table: item, pool: sum}
  latest: {kind: sequence, table: item, length: 5, pool: last}
  weighted: {kind: sequence, table: item, length: 5, weights: w}
  heavy: {kind: sequence, table: user, length: 5, pool: sum, weights: w2}
  one: {kind: sparse, vocab: 5, dim: 1}
  x: {kind: dense, dim: 2}
tasks: {click: {}, buy: {}}
towers: {click: {units: [8]}, buy: {units: [8]}}
"""
ROWS = """
archspec: 1
name: rows
inputs:
  user: {kind: sparse, vocab: 7, dim: 4}
  item: {kind: sparse, column: shown, vocab: 9, dim: 8}
  events: {kind: sequence, table: item, length: 5, pool: none}
  scaled: {kind: sequence, table: item, length: 5, pool: none, weights: s}
  largest: {kind: sequence, table: item, pool: max}
  mean: {kind: sequence, table: item, length: 5}
  latest: {kind: sequence, table: item, length: 5, pool: last}
  weighted: {kind: sequence, table: item, length: 5, weights: w}
  own: {kind: sequence, vocab: 9, dim: 4, length: 5, pool: max}
  fixed: {kind: sparse, vocab: 9, dim: 8, trainable: false}
  title: {kind: sequence, vocab: 9, dim: 8, length: 5, pool: max, trainable: false}
  words: {kind: sequence, table: title, length: 5, pool: none}
  x: {kind: dense, dim: 2}
blocks:
  din: {kind: target_attention, from: events, query: item, units: [6]}
  bst: {kind: transformer, from: [scaled, words], pool: mean}
  last: {kind: fm, from: [largest, mean, latest, weighted]}
tasks: {click: {}, buy: {}}
towers: {$task: {from: [user, item, own, fixed, title, largest, mean, x, din, bst, last], units: [8]}}
"""

pytestmark = [
    pytest.mark.skipif(find_spec("torchrec") is None, reason="TorchRec is not installed: make test-torchrec"),
    # fbgemm-gpu 1.8 warns on import about optimizers that its CPU build lacks and about modules that it renamed.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def batch_of(rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random rows for both specs; the first has no ids in any list, and weights beside padding are not numbers."""
    generator = torch.Generator().manual_seed(seed)
    batch = {name: torch.randint(high, (rows,), generator=generator)
             for name, high in {"user": 7, "shown": 9, "one": 5, "fixed": 9}.items()}  # fmt: skip
    lists = ("mean", "total", "latest", "weighted", "events", "scaled", "largest", "own", "title", "words")
    for name, high in {**dict.fromkeys(lists, 9), "heavy": 7}.items():
        batch[name] = torch.randint(-1, high, (rows, 5), generator=generator)
        batch[name][0] = -1
    for name, ids in {"w": "weighted", "w2": "heavy", "s": "scaled"}.items():
        weights = torch.rand(rows, 5, generator=generator)
        batch[name] = torch.where(batch[ids] >= 0, weights, torch.nan)
    batch["w"][1] = 0.0  # a mean of weights that are all zero
    return {**batch, "x": torch.randn(rows, 2, generator=generator)}


BOTH = pytest.mark.parametrize("text", [SPEC, ROWS], ids=["bags", "rows"])


def pair(text: str = SPEC) -> tuple[Compiled, torchrec.TorchRecModel]:
    """A compiled model, and one with the same weights and its tables in TorchRec."""
    plain, model = archspec.compile(text, seed=0), torchrec.wrap(text, seed=1)
    torchrec.load_weights(model, dict(plain.named_weights()))
    return plain, model


def test_tables_are_in_the_collection_that_their_readers_need() -> None:
    """Sums in bags; tables of which a maximum or tokens are read by width; frozen ones apart, without a gradient."""
    _, model = pair(ROWS)
    names = {key: [*dict(module.named_parameters())] for key, module in model.tables.items()}
    assert names == {
        "bags": ["embedding_bags.user.weight"],
        "rows8": ["embeddings.item.weight"],
        "rows4": ["embeddings.own.weight"],
        "bags_frozen": ["embedding_bags.fixed.weight"],
        "rows8_frozen": ["embeddings.title.weight"],
    }
    frozen = [name for name, value in model.tables.named_parameters() if not value.requires_grad]
    assert [name.split(".")[0] for name in frozen] == ["bags_frozen", "rows8_frozen"]


@BOTH
def test_outputs_and_gradients_equal_those_of_the_compiled_model(text: str) -> None:
    """All pools, shared and frozen tables, weights, padding, empty lists: equal logits and gradients of tables."""
    plain, model = pair(text)
    batch = batch_of(12)
    expected, found = plain(batch), model(batch)
    torch.testing.assert_close(found, expected, **CLOSE)
    sum(each.square().sum() for each in expected.values()).backward()
    sum(each.square().sum() for each in found.values()).backward()
    own, tables = dict(plain.named_parameters()), dict(model.tables.named_parameters())
    assert tables
    for name, value in tables.items():
        gradient = own[f"{name.split('.')[-2]}_table"].grad
        assert (value.grad is None) == (gradient is None) == ("frozen" in name)
        if gradient is not None:
            torch.testing.assert_close(value.grad, gradient, **CLOSE)
    torch.testing.assert_close(model.predict(batch), plain.predict(batch), **CLOSE)


def test_attention_over_events_can_be_wrapped() -> None:
    """din_ple reads events as tokens: its tables of two widths are in two collections, and its outputs are equal."""
    text = (ROOT / "specs/din_ple.yaml").read_text(encoding="utf-8")
    plain, model = pair(text)
    assert [*model.tables] == ["bags", "rows16", "rows8"]
    batch = batch_for(archspec.load(text).data()["inputs"], 9, 0, torch.float32)
    torch.testing.assert_close(model(batch), plain(batch), **CLOSE)


@BOTH
def test_weights_go_both_ways_under_canonical_names(text: str) -> None:
    """Gathered weights load into the compiled model, and are equal bit for bit; a missing one is named."""
    plain, model = pair(text)
    gathered = torchrec.gather_weights(model)
    assert gathered.keys() == dict(plain.named_weights()).keys()
    other = archspec.compile(text, seed=5)
    other.load_weights(gathered)
    assert all(torch.equal(value, gathered[name]) for name, value in plain.named_weights())
    assert all(torch.equal(value, gathered[name]) for name, value in other.named_weights())
    del gathered["inputs.item.weight"]
    with pytest.raises(ValueError, match=r"inputs\.item\.weight: missing"):
        torchrec.load_weights(model, gathered)


@pytest.mark.parametrize(("text", "column"), [(SPEC, "shown"), (ROWS, "events")], ids=["bags", "rows"])
def test_wrong_ids_are_reported_as_by_the_compiled_model(text: str, column: str) -> None:
    """An id out of range names input, column and row, before TorchRec would read beyond the table."""
    plain, model = pair(text)
    batch = batch_of(4)
    batch[column][2] = 9
    messages = []
    for each in (plain, model):
        with pytest.raises(ValueError, match="outside") as caught:
            each(batch)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def launch(script: str, folder: Path) -> str:
    """Runs a script in two processes, and returns what they print."""
    (folder / "train.py").write_text(script, encoding="utf-8")
    words = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    words += ["--nproc-per-node", "2", "train.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def documented_loop() -> str:
    """The loop of docs/scaling.md, marked `py`, since tests/test_docs.py runs `python` blocks without TorchRec."""
    found = re.search(
        r"^```py\n(.*?)^```", (ROOT / "docs/scaling.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


def test_the_documented_loop_trains_in_two_processes(tmp_path: Path) -> None:
    """The loop of docs/scaling.md lowers the loss, and its file of weights loads into the compiled model."""
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    threads = 'from tests.processes import threads\nprint([name for name in threads() if "gloo" in name])\n'
    printed = launch(documented_loop() + threads, tmp_path)
    assert printed.count("[]") == 2, "threads of a process group that outlive it abort the process now and then"
    first, last = (float(value) for value in re.findall(r"loss ([0-9.]+)", printed))
    assert last < first
    archspec.load_weights(archspec.compile(ROOT / "specs/ple.yaml"), tmp_path / "ple.safetensors")


STEP = """\
    optimizer = torch.optim.SGD(sharded.parameters(), lr=1.0)
    start = torch.load("start.pt")
    tables.load_weights(sharded, start)
    held = tables.gather_weights(sharded)
    assert all(torch.equal(value, start[name]) for name, value in held.items())
    part = {key: value[rank * 4 : rank * 4 + 4] for key, value in torch.load("batch.pt").items()}
    sum(each.square().mean() for each in sharded(part).values()).backward()
    optimizer.step()
    weights = tables.gather_weights(sharded)
    assert (len(weights) > 0) == (rank == 0)
    if rank == 0:
        torch.save(weights, "end.pt")
"""


@BOTH
def test_a_step_of_two_processes_equals_a_step_of_one(text: str, tmp_path: Path) -> None:
    """Tables on different processes, half of the batch on each: one SGD step changes all weights as a plain step.

    Loaded weights come back bit for bit, and frozen tables stay so.
    """
    plain = archspec.compile(text, seed=0)
    batch = batch_of(8)
    (tmp_path / "spec.yaml").write_text(text, encoding="utf-8")
    torch.save({name: value.clone() for name, value in plain.named_weights()}, tmp_path / "start.pt")
    torch.save(batch, tmp_path / "batch.pt")
    setup, loop = documented_loop().replace("specs/ple.yaml", "spec.yaml").split("    criterion =")
    setup = setup.replace('EXACT_ADAGRAD, "learning_rate": 0.05', 'EXACT_SGD, "learning_rate": 1.0')
    launch(setup + STEP + loop[loop.index("\n\ndist.init") :], tmp_path)
    sum(each.square().mean() for each in plain(batch).values()).backward()
    torch.optim.SGD(plain.parameters(), lr=1.0).step()
    end = torch.load(tmp_path / "end.pt")
    torch.testing.assert_close(end, dict(plain.named_weights()), **CLOSE)
    start = torch.load(tmp_path / "start.pt")
    frozen = [name for name in end if name in {"inputs.fixed.weight", "inputs.title.weight"}]
    assert len(frozen) == (2 if text == ROWS else 0)
    assert all(torch.equal(end[name], start[name]) for name in frozen)
