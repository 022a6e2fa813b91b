"""Latency of one request: a PLE in each form that serves it, on one thread, beside torch-rechub's forms.

`python -m benchmarks.latency` measures and writes `benchmarks/latency.json` and the table of docs/serving.md, both at
the end or not at all. It takes about five minutes and needs `.venv-bench`, which `make bench` creates. `--seconds` sets
how long each cell is measured.

The forms take turns of several requests. The first ones of a turn are not timed: they bring the form's own weights back
into the caches, where a server that serves one model keeps them.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

import archspec
from archspec.files import write_whole
from archspec.serving.scoring import Scoring
from benchmarks.contenders import SIZES, Contender, Size, rechub, spec_text
from benchmarks.report import Beside, processor, versions
from benchmarks.serving import PAGE
from examples.report import write_section

if TYPE_CHECKING:
    from collections.abc import Mapping

TURNS: Final = {1: 20, 16: 20, 64: 10, 256: 5}
"""The timed requests of one turn, by the number of rows of a request."""
UNTIMED: Final = 2
"""The requests before them, in each turn."""
FEWEST: Final = 100
"""The smallest number of timed requests of each form: the p99 of fewer would be their largest."""
KEPT: Final = Path(__file__).with_name("latency.json")
OWN: Final = ("archspec", "without checks", "torch.compile", "AOTInductor", "onnxruntime")
OTHER: Final = ("torch-rechub", "torch-rechub, onnxruntime")
Batch = dict[str, torch.Tensor]
Form = Callable[[Batch], Callable[[], object]]
"""From a batch to a call that computes its predictions; what is converted before a request is not timed."""
Cell = dict[str, dict[str, float]]
"""Form -> `p50` and `p99` in ms of wall time, `cpu`: the median CPU time of the thread in ms."""


def forms(size: Size, folder: Path) -> dict[str, Form]:
    """Every form of the model of one size."""
    text = spec_text(size)
    own, unchecked = (archspec.compile(text, seed=0).eval() for _ in range(2))
    scoring = Scoring(unchecked, tuple(f"t{i}" for i in range(size.tasks)))  # turns the checks off
    compiled = torch.compile(scoring, dynamic=True)
    other = rechub(size)
    archspec.export(text, "onnx", folder, seed=0)
    archspec.export(text, "aoti", folder, seed=0)
    package = archspec.load_export(folder, "aoti")
    found = (
        _called(own.predict), _called(unchecked.predict), _called(compiled), _called(package),
        _session(folder / "model.onnx"), _called(other.model.eval()), _session(_onnx(other, size, folder)),
    )  # fmt: skip
    return dict(zip((*OWN, *OTHER), found, strict=True))


def _called(model: Callable[[Batch], object]) -> Form:
    return lambda batch: lambda: model(dict(batch))


def _session(path: Path) -> Form:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    read = [each.name for each in session.get_inputs()]

    def prepared(batch: Batch) -> Callable[[], object]:
        feed = {name: batch[name].numpy() for name in read}
        return lambda: session.run(None, feed)

    return prepared


def _onnx(contender: Contender, size: Size, folder: Path) -> Path:
    """The model of the other library, written by torch's own exporter for any number of rows."""
    batch, rows = contender.batch(size.draw(3)[0]), torch.export.Dim("rows", min=1)
    model, path = contender.model.eval(), folder / "other.onnx"
    free = ({name: {0: rows} for name in batch},)
    program = torch.export.export(model, (batch,), dynamic_shapes=free)
    made: Any = torch.onnx.export(program, dynamo=True, verbose=False, input_names=list(batch))
    made.save(path)
    return path


def cell(calls: Mapping[str, Callable[[], object]], turn: int, seconds: float) -> Cell:
    """Times all forms in turns, whose order is reversed every round, for at least this many seconds in all."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    names = list(calls)
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        while len(samples[names[0]]) < FEWEST or time.perf_counter() < end:
            for name in names:
                samples[name] += _turn(calls[name], turn)
            names.reverse()
    finally:
        gc.enable()
    return {name: _summary(np.array(found) * 1e3) for name, found in samples.items()}


def _turn(call: Callable[[], object], count: int) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each timed request."""
    found = []
    for _ in range(UNTIMED + count):
        wall, cpu = time.perf_counter(), time.thread_time()
        call()
        found.append((time.perf_counter() - wall, time.thread_time() - cpu))
    return found[UNTIMED:]


def _summary(milliseconds: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    wall, cpu = milliseconds.T
    p50, p99 = np.percentile(wall, (50, 99))
    return {"p50": round(float(p50), 4), "p99": round(float(p99), 4), "cpu": round(float(np.median(cpu)), 4)}


def ratio(found: Cell, key: str = "p50") -> float:
    """How many times faster our best form is than the best form of the other library."""
    return min(found[name][key] for name in OTHER) / min(found[name][key] for name in OWN)


def table(cells: Mapping[str, Cell], about: str) -> str:
    """A line about the machine and the table in Markdown; the quickest form of each library is bold."""
    lines = [about, "", f"| tasks, B | {' | '.join((*OWN, *OTHER))} | ratio, wall / CPU |"]
    lines.append(f"|---|{'---|' * (len(OWN) + len(OTHER) + 1)}")
    for name, found in cells.items():
        best = {min(group, key=lambda each: found[each]["p50"]) for group in (OWN, OTHER)}
        shown = [_shown(found[each], bold=each in best) for each in (*OWN, *OTHER)]
        lines.append(f"| {name} | {' | '.join(shown)} | {ratio(found):.2f} / {ratio(found, 'cpu'):.2f} |")
    return "\n".join(lines) + "\n"


def _shown(found: Mapping[str, float], *, bold: bool) -> str:
    text = f"{found['p50']:.2f} / {found['p99']:.2f}"
    return f"**{text}**" if bold else text


def measured(seconds: float) -> dict[str, Cell]:
    """All cells, by `tasks, rows`."""
    cells = {}
    for size in SIZES[1:]:
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            made = forms(size, Path(folder))
            for rows, turn in TURNS.items():
                batch = {f"f{i}": ids.contiguous() for i, ids in enumerate(size.draw(rows)[0].unbind(1))}
                key = f"{size.tasks}, {rows}"
                cells[key] = cell({name: form(batch) for name, form in made.items()}, turn, seconds)
                sys.stdout.write(f"{key}: {ratio(cells[key]):.2f} times the best form of torch-rechub (p50)\n")
                sys.stdout.flush()
    return cells


def main() -> None:
    """Measures everything, then writes both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    beside = Beside()
    cells = measured(options.seconds)
    packages = versions(("torch", "onnxruntime", "torch-rechub"))
    about = f"{processor()}; {packages}; one thread; warm turns; {beside}; p50 / p99 in ms."
    write_whole(KEPT, json.dumps({"about": about, "cells": cells}, indent=1) + "\n")
    write_section(PAGE, "latency", table(cells, about))


if __name__ == "__main__":
    main()
