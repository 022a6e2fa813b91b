"""Exports a run or a spec to a folder that other programs serve."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final

import torch

from archspec import __version__
from archspec import plugins as plugin_door
from archspec.compiler.compile import build, instantiate
from archspec.data.requirements import column_requirements
from archspec.diagnostics import unusable
from archspec.files import is_file, is_folder, reported
from archspec.graph.load import graph_of, load_graph
from archspec.graph.only import only
from archspec.nn.measure import random_batch
from archspec.runs.files import RUN
from archspec.runs.trained import Trained, open_run
from archspec.serving.encoding import encoding_text
from archspec.serving.formats import FILES, INPUTS, OUTPUTS, Format, check_libraries, traced, write
from archspec.serving.load import loaded
from archspec.serving.scoring import Scoring
from archspec.spec.spec import Spec

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

    from archspec.contract import Registry
    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled
    from archspec.serving.load import Served

ENCODING, SCORER = "encoding.json", "score.py"
"""The encoding of a run, and a program that scores rows with it and `model.onnx`."""
TOLERANCE: Final = 1e-5
"""The largest difference between the outputs of file and model, relative to outputs beyond 1."""
_ROWS: Final = (1, 7, 70)
"""The numbers of rows that are compared; the traced example has 3."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The files of an exported model, and the largest difference between its outputs and the model's."""

    files: tuple[Path, ...]
    difference: float


def export(  # noqa: PLR0913 - the public signature
    source: Spec | Trained | str | os.PathLike[str],
    to: Format,
    output: str | os.PathLike[str],
    *,
    gates: bool = False,
    tasks: Sequence[str] = (),
    plugins: Iterable[plugin_door.Plugin] = (),
    seed: int | None = None,
) -> Exported:
    """Writes a model into a folder: its predictions by name, from inputs by name, for any number of rows.

    The folder gets the model (`model.onnx`, `model.pt2` or `model_aoti.pt2`), whose metadata have the spec and its
    digest; of a run also `encoding.json`, and for ONNX `score.py`, which scores rows with both. The written file is
    loaded again and compared with the model on random batches.

    Args:
        source: the folder of a run or a loaded run; or a spec, its path or its text, whose weights are drawn.
        to: `onnx`, `torch-export` (an ExportedProgram) or `aoti` (AOTInductor: compiled for this machine).
        output: the folder; created if it is missing.
        gates: whether the weights of every gate are outputs, too.
        tasks: the outputs to keep (tasks, towers, fusions), with all that they need; empty: everything.
        plugins: plugins with further kinds.
        seed: draws the weights of a spec.

    Raises:
        SpecError: the run or spec cannot be read; AS808: torch.export cannot trace the model; AS809: the format lacks
            one of its operations; AS810: the file computes something else; AS811: there is no C++ compiler; AS709: a
            library is missing.
    """
    check_libraries(to)
    graph, model, run = _opened(source, plugin_door.load(plugins), seed, tasks)
    lowered = build(graph).lowered
    names = tuple(out.name for out in lowered.predict.outputs)
    columns = [(key, dtype, _shape(shape), low, high) for key, dtype, shape, low, high in lowered.of_batch()]
    lists = {key: len(shape) > 1 and isinstance(shape[1], str) for key, _, shape, _, _ in columns}
    batch = random_batch(columns, 3)
    module = Scoring(model, names, gates=gates)
    program = traced(module, batch, lists)
    inputs = {key: (str(batch[key].dtype).removeprefix("torch."), shape) for key, _, shape, _, _ in columns}
    metadata = {**_metadata(graph), INPUTS: json.dumps(inputs), OUTPUTS: ",".join(module(batch))}
    with staged(Path(output)) as folder:
        write(to, program, module, folder, metadata)
        if run is not None:
            (folder / ENCODING).write_text(encoding_text(run.encoder, graph.spec), encoding="utf-8")
            if to == "onnx":
                own = Path(__file__).with_name("score.py")
                (folder / SCORER).write_text(own.read_text(encoding="utf-8"), encoding="utf-8")
        function = loaded(to, folder / FILES[to])
        difference = max(_difference(module, function, random_batch(columns, rows, rows)) for rows in _ROWS)
        if not difference <= TOLERANCE:
            unusable(
                "AS810", f"`{FILES[to]}` does not compute the same as the model: outputs differ by {difference:.1e}",
                help="report it, with the spec",
            )  # fmt: skip
        written = sorted(path.name for path in folder.iterdir())
    return Exported(tuple(Path(output, name) for name in written), difference)


def _shape(shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The shape of a column as the encoder makes it: a single number per row is `[B]`, which the model also accepts."""
    return shape[:1] if shape[1:] == (1,) else shape


def _opened(
    source: Spec | Trained | str | os.PathLike[str], registry: Registry, seed: int | None, tasks: Sequence[str]
) -> tuple[Graph, Compiled, Trained | None]:
    """Graph and model of a run or a spec, reduced to what some tasks need, and the run."""
    if not isinstance(source, Spec | Trained) and (is_folder(source) or is_file(Path(source).parent / RUN)):
        source = open_run(source, registry)
    if isinstance(source, Trained):
        graph = only(source.graph, tasks) if tasks else source.graph
        model = instantiate(build(graph))  # a copy: its checks are turned off
        model.load_weights(dict(source.model.named_weights()), strict=not tasks)
        requirements = {name: source.encoder.requirements[name] for name in column_requirements(graph)}
        return graph, model, replace(source, encoder=replace(source.encoder, requirements=requirements))
    graph = graph_of(source) if isinstance(source, Spec) else load_graph(source, None, registry)
    graph = only(graph, tasks) if tasks else graph
    return graph, instantiate(build(graph), seed=seed), None


def _metadata(graph: Graph) -> dict[str, str]:
    spec = graph.spec
    return {
        "archspec.version": __version__, "archspec.digest": spec.digest, "archspec.spec": spec.text(),
        **{f"archspec.experts.{gate}": ",".join(e.node for e in seen) for gate, seen in graph.seen.items()},
    }  # fmt: skip


@torch.no_grad()
def _difference(module: Scoring, function: Served, batch: Mapping[str, Tensor]) -> float:
    """The largest difference of an output, relative to outputs beyond 1; infinite if one is NaN."""
    expected, found = module(batch), function(batch)
    differences = [
        ((found[name].float() - value).abs() / value.abs().clamp_min(1)).nan_to_num(torch.inf).max()
        for name, value in expected.items()
    ]
    return float(torch.stack(differences).max())


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A temporary folder next to a folder; its files are moved there when the block ends, or removed if it fails.

    Raises:
        SpecError: nothing can be written there.
    """
    with reported(output):
        made = [path for path in (output, *output.parents) if not path.exists()]
        output.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=".", suffix=".tmp", dir=output))
    try:
        yield folder
        with reported(output):
            for path in sorted(folder.iterdir()):
                path.replace(output / path.name)
            made = []
    finally:
        rmtree(folder, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
