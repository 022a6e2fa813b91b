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

pytestmark = [
    pytest.mark.skipif(find_spec("torchrec") is None, reason="TorchRec is not installed: make test-torchrec"),
    # fbgemm-gpu 1.8 warns on import about optimizers that its CPU build lacks and about modules that it renamed.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def batch_of(rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random rows; the first has no ids in any list, and weights beside padding are not numbers."""
    generator = torch.Generator().manual_seed(seed)
    batch = {name: torch.randint(high, (rows,), generator=generator)
             for name, high in {"user": 7, "shown": 9, "one": 5}.items()}  # fmt: skip
    for name, high in {"mean": 9, "total": 9, "latest": 9, "weighted": 9, "heavy": 7}.items():
        batch[name] = torch.randint(-1, high, (rows, 5), generator=generator)
        batch[name][0] = -1
    for name, ids in {"w": "weighted", "w2": "heavy"}.items():
        weights = torch.rand(rows, 5, generator=generator)
        batch[name] = torch.where(batch[ids] >= 0, weights, torch.nan)
    batch["w"][1] = 0.0  # a mean of weights that are all zero
    return {**batch, "x": torch.randn(rows, 2, generator=generator)}


def pair() -> tuple[Compiled, torchrec.TorchRecModel]:
    """A compiled model, and one with the same weights and its tables in TorchRec."""
    plain, model = archspec.compile(SPEC, seed=0), torchrec.wrap(SPEC, seed=1)
    torchrec.load_weights(model, dict(plain.named_weights()))
    return plain, model


def test_outputs_and_gradients_equal_those_of_the_compiled_model() -> None:
    """All pools, shared tables, weights, padding and empty lists give equal logits, and equal gradients of tables."""
    plain, model = pair()
    batch = batch_of(12)
    expected, found = plain(batch), model(batch)
    torch.testing.assert_close(found, expected, **CLOSE)
    sum(each.square().sum() for each in expected.values()).backward()
    sum(each.square().sum() for each in found.values()).backward()
    own = dict(plain.named_parameters())
    for name in ("user", "item", "one"):
        gradient = model.tables.embedding_bags[name].weight.grad
        torch.testing.assert_close(gradient, own[f"{name}_table"].grad, **CLOSE)
    torch.testing.assert_close(model.predict(batch), plain.predict(batch), **CLOSE)


def test_weights_go_both_ways_under_canonical_names() -> None:
    """Gathered weights load into the compiled model, and are equal bit for bit; a missing one is named."""
    plain, model = pair()
    gathered = torchrec.gather_weights(model)
    assert gathered.keys() == dict(plain.named_weights()).keys()
    other = archspec.compile(SPEC, seed=5)
    other.load_weights(gathered)
    assert all(torch.equal(value, gathered[name]) for name, value in plain.named_weights())
    assert all(torch.equal(value, gathered[name]) for name, value in other.named_weights())
    del gathered["inputs.item.weight"]
    with pytest.raises(ValueError, match=r"inputs\.item\.weight: missing"):
        torchrec.load_weights(model, gathered)


def test_wrong_ids_are_reported_as_by_the_compiled_model() -> None:
    """An id out of range names input, column and row, before TorchRec would read beyond the table."""
    plain, model = pair()
    batch = batch_of(4)
    batch["shown"][2] = 9
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
    tables.load_weights(sharded, torch.load("start.pt"))
    part = {key: value[rank * 4 : rank * 4 + 4] for key, value in torch.load("batch.pt").items()}
    sum(each.square().mean() for each in sharded(part).values()).backward()
    optimizer.step()
    weights = tables.gather_weights(sharded)
    assert (len(weights) > 0) == (rank == 0)
    if rank == 0:
        torch.save(weights, "end.pt")
"""


def test_a_step_of_two_processes_equals_a_step_of_one(tmp_path: Path) -> None:
    """Tables on different processes, half of the batch on each: one SGD step changes all weights as a plain step."""
    plain = archspec.compile(SPEC, seed=0)
    batch = batch_of(8)
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    torch.save({name: value.clone() for name, value in plain.named_weights()}, tmp_path / "start.pt")
    torch.save(batch, tmp_path / "batch.pt")
    setup, loop = documented_loop().replace("specs/ple.yaml", "spec.yaml").split("    criterion =")
    launch(setup + STEP + loop[loop.index("\n\ndist.init") :], tmp_path)
    sum(each.square().mean() for each in plain(batch).values()).backward()
    torch.optim.SGD(plain.parameters(), lr=1.0).step()
    torch.testing.assert_close(torch.load(tmp_path / "end.pt"), dict(plain.named_weights()), **CLOSE)
