"""The data path of `archspec train`: CPU time of each stage beside the training steps, and memory as rows grow.

`python -m benchmarks.data_path` draws 1 and 2 million rows (`--rows` sets the smaller number) and measures each
stage in a fresh process, in about five minutes. `--write` writes `benchmarks/data_path.json` and the table of
docs/scaling.md. torch-rechub's loader reads the same encoded rows, in memory, if it can be imported.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

import archspec
from archspec.data import survey
from archspec.data.batches import ShuffledBatches
from archspec.data.prepare import TRAIN, Source, prepare
from archspec.data.rows import Rows
from archspec.files import write_whole
from archspec.graph.load import load_graph
from archspec.plugins import load
from benchmarks import fresh
from benchmarks.report import Bar, Section, processor, show, versions
from examples.report import write_section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.data.survey import Learned
    from archspec.graph.graph import Graph

KEPT: Final = Path(__file__).with_name("data_path.json")
PAGE: Final = Path(__file__).parent.parent / "docs" / "scaling.md"
VALUES: Final = (10, 100, 1_000, 10_000, 100_000)
"""Distinct values of the columns of texts, and of those of numbers."""
BATCH: Final = 512
WARM_UP, STEPS = 3, 20
SECONDS: Final = 1200
STAGES: Final = ("reading twice", "survey", "encoding", "loader of an epoch", "steps of an epoch")
_MIB: Final = 2**20
_CHUNK: Final = 2**17
_IN_A_FRESH_PROCESS: Final = """
import json, sys
from benchmarks import data_path
print(json.dumps(getattr(data_path, sys.argv[1])(*sys.argv[2:])))
"""


def spec_text() -> str:
    """PLE over 10 tables, a history and 4 numbers."""
    inputs = [
        f"  {kind}{count}: {{kind: sparse, vocab: {2 * count}, dim: 16}}" for kind in ("text", "id") for count in VALUES
    ]
    inputs += ["  seen: {kind: sequence, vocab: 20000, dim: 16, length: 10, pool: mean}"]
    inputs += [f"  x{number}: {{kind: dense, dim: 1}}" for number in range(4)]
    levels = (
        "levels:\n  - experts: {$task: {count: 2, units: [128, 64]}, shared: {count: 2, units: [128, 64]}}\n"
        "    gates: {$task: {sees: [$task, shared]}}\n"
    )
    tasks = "tasks: {click: {}, buy: {when: click}}\n"
    return (
        "archspec: 1\nname: log\ninputs:\n"
        + "\n".join(inputs)
        + f"\n{tasks}{levels}towers: {{$task: {{units: [32]}}}}\n"
    )


def _drawn(count: int, random: np.random.Generator) -> pa.Table:
    """Rows with skewed ids, lists of up to 10 items, normal numbers and two labels."""
    columns: dict[str, Any] = {}
    for many in VALUES:
        columns[f"id{many}"] = (many * random.random(count) ** 2).astype(np.int64)
        columns[f"text{many}"] = [f"value {item}" for item in (many * random.random(count) ** 2).astype(np.int64)]
    starts = np.concatenate([[0], np.cumsum(random.integers(0, 11, count))]).astype(np.int32)
    items = (10_000 * random.random(starts[-1]) ** 2).astype(np.int64)
    columns["seen"] = pa.ListArray.from_arrays(pa.array(starts), pa.array(items))
    columns |= {f"x{number}": random.normal(size=count) for number in range(4)}
    columns["click"] = (random.random(count) < 0.3).astype(np.int64)  # noqa: PLR2004 - a rate
    columns["buy"] = columns["click"] * (random.random(count) < 0.2)  # noqa: PLR2004 - a rate
    return pa.table(columns)


def write_rows(path: Path, count: int) -> None:
    """A Parquet file of drawn rows."""
    random = np.random.default_rng(0)
    with parquet.ParquetWriter(path, _drawn(1, random).schema) as writer:
        for start in range(0, count, _CHUNK):
            writer.write_table(_drawn(min(_CHUNK, count - start), random))


def _graph() -> Graph:
    return load_graph(spec_text(), None, load([]))


def prepared(data: str, folder: str) -> dict[str, float]:
    """CPU seconds of survey and encoding, both with their reading, and MiB by which the memory of the process grew."""
    graph, before, ends = _graph(), _memory("VmRSS"), list[float]()

    def learned(*words: Any) -> Learned:  # noqa: ANN401 - as the survey takes them
        found = survey.learned(*words)
        ends.append(time.process_time())
        return found

    start = time.process_time()
    with patch("archspec.data.prepare.learned", learned):
        prepare(graph, Source((data,)), Path(folder))
    stop, (surveyed,) = time.process_time(), ends
    return {"survey": surveyed - start, "encoding": stop - surveyed, "memory": _memory("VmHWM") - before}


def reading(data: str) -> float:
    """CPU seconds of reading all columns of a file once."""
    from archspec.data.requirements import column_requirements
    from archspec.data.tables import open_tables

    wanted = column_requirements(_graph(), None)
    start = time.process_time()
    for table in open_tables([data]):
        for _ in table.chunks(wanted):
            pass
    return time.process_time() - start


def loaded(folder: str) -> dict[str, float]:
    """CPU seconds of drawing all batches of an epoch, and MiB by which the memory of the process grew."""
    rows, before = Rows(Path(folder) / TRAIN), _memory("VmRSS")
    start = time.process_time()
    for _ in ShuffledBatches(rows, BATCH, 0):
        pass
    return {"seconds": time.process_time() - start, "memory": _memory("VmHWM") - before}


def stepped(folder: str) -> float:
    """CPU seconds of the steps of an epoch: forward, loss, backward, AdamW; by the mean of some of them."""
    rows = Rows(Path(folder) / TRAIN)
    model = archspec.compile(spec_text(), seed=0)
    criterion = archspec.MultiTaskLoss(model)
    model.check_inputs = criterion.check_labels = False  # type: ignore[assignment] # as `archspec train`
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    start = 0.0
    for number, batch in enumerate(list(islice(ShuffledBatches(rows, BATCH, 0), WARM_UP + STEPS))):
        if number == WARM_UP:
            start = time.process_time()
        loss, _ = criterion(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.process_time() - start) / STEPS * (len(rows) // BATCH)


def rechub(folder: str) -> dict[str, float] | None:
    """torch-rechub's loader over the same encoded rows, held in memory: CPU seconds of an epoch, and MiB.

    The seconds are those of some batches, times the batches of an epoch. None if torch-rechub cannot be imported.
    """
    try:
        generator = importlib.import_module("torch_rechub.utils.data").DataGenerator
    except ImportError:
        return None
    rows, before = Rows(Path(folder) / TRAIN), _memory("VmRSS")
    columns = {name: np.array(values) for name, values in rows.read(range(len(rows.blocks))).items()}
    labels = np.stack([columns.pop(name) for name in ("click", "buy")], axis=1)
    loader, *_ = generator(columns, labels).generate_dataloader(
        x_val=columns, y_val=labels, x_test=columns, y_test=labels, batch_size=BATCH
    )
    start = time.process_time()
    for _ in islice(loader, STEPS):
        pass
    seconds = (time.process_time() - start) / STEPS * (len(rows) // BATCH)
    return {"seconds": seconds, "memory": _memory("VmHWM") - before}


def _memory(which: str) -> float:
    """MiB of resident memory of this process, now (`VmRSS`) or at most so far (`VmHWM`), from /proc."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(which))) * 1024 / _MIB


def _fresh(name: str, *words: str) -> Any:  # noqa: ANN401 - whatever the function returns
    return fresh.run(_IN_A_FRESH_PROCESS, name, *words, timeout=SECONDS)


def measured(rows: int) -> dict[str, Any]:
    """Everything for `rows` rows, and the memory of preparing twice as many."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, two = folder / "one.parquet", folder / "two.parquet"
        write_rows(one, rows)
        write_rows(two, 2 * rows)
        first, second = (_fresh("prepared", str(path), str(folder / path.stem)) for path in (one, two))
        once = _fresh("reading", str(one))
        drawn, more = (_fresh("loaded", str(folder / path.stem)) for path in (one, two))
        seconds = (
            2 * once, first["survey"] - once, first["encoding"] - once, drawn["seconds"],
            _fresh("stepped", str(folder / one.stem)),
        )  # fmt: skip
        return {
            "rows": rows, "seconds": dict(zip(STAGES, seconds, strict=True)),
            "memory": {"preparing": (first["memory"], second["memory"]), "loader": (drawn["memory"], more["memory"])},
            "rechub": [_fresh("rechub", str(folder / path.stem)) for path in (one, two)],
            "processor": processor(),
            "versions": versions(("torch", "pyarrow", *(("torch-rechub",) if find_spec("torch_rechub") else ()))),
        }  # fmt: skip


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    seconds, (one, two) = found["seconds"], found["rechub"]
    epoch = seconds[STAGES[-1]]
    memory = {STAGES[2]: found["memory"]["preparing"], STAGES[3]: found["memory"]["loader"]}
    for stage in STAGES:
        mib = [f"{value:.0f}" for value in memory[stage]] if stage in memory else ["", ""]
        yield stage, f"{seconds[stage]:.1f}", f"{seconds[stage] / epoch:.1%}", *mib
    if one is not None:
        mib = [f"{each['memory']:.0f}" for each in (one, two)]
        yield "torch-rechub's loader, rows in memory", f"{one['seconds']:.1f}", f"{one['seconds'] / epoch:.1%}", *mib


def section(found: dict[str, Any]) -> Section:
    """The table, and the bar: what is done to each row beside the steps."""
    rows, seconds = found["rows"], found["seconds"]
    about = (
        f"CPU seconds for {rows:,} rows in batches of {BATCH}; the share of the steps of one epoch (forward, loss,\n"
        f"backward, AdamW); MiB by which the memory of the process grows, for {rows:,} and {2 * rows:,} rows,\n"
        f"including pages of the memory-mapped file. {found['processor']}; one thread; {found['versions']}."
    )
    share = (seconds[STAGES[2]] + seconds[STAGES[3]]) / seconds[STAGES[-1]]
    header = ("stage", "seconds", "share of steps", "MiB", "MiB, twice the rows")
    bars = (Bar("encoding and loader, share of the steps of an epoch", 0.15, share, least=False),)
    return Section("The data path", about, header, tuple(_lines(found)), bars)


def main() -> None:
    """Measures, prints and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--write", action="store_true", help="write data_path.json and the table of docs/scaling.md")
    arguments = parser.parse_args()
    found = measured(arguments.rows)
    show(section(found))
    if arguments.write:
        write_whole(KEPT, json.dumps(found, indent=1) + "\n")
        write_section(PAGE, "data_path", section(found).markdown().partition("\n\n")[2])


if __name__ == "__main__":
    main()
