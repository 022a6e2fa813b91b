"""Warm start: a run, or weights, of one spec are the start of another, and ids keep their values."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn

from archspec import plugins as plugin_door
from archspec.compiler.compile import build, instantiate
from archspec.compiler.lower import lower
from archspec.data.encodings import Words
from archspec.data.extend import Before, digests, places, table_encodings
from archspec.data.requirements import column_requirements
from archspec.diagnostics import unusable
from archspec.files import is_file
from archspec.graph.load import graph_of, load_graph
from archspec.lightning.checkpoint import spec_of_text
from archspec.nn.checkpoint import SPEC, read_weights
from archspec.nn.wrapped import unwrapped
from archspec.program.axes import axes_of
from archspec.program.nodes import NodeName
from archspec.runs.files import RUN
from archspec.runs.trained import Trained, open_run
from archspec.spec.spec import Spec
from archspec.train.migration import SHARE, migrate_weights
from archspec.train.renames import Renames
from archspec.train.weights import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.contract import Registry
    from archspec.data.encoder import Encoder
    from archspec.data.encodings import Encoding
    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled
    from archspec.spec.spec import Block
    from archspec.train.changes import Migration

_Value = TypeVar("_Value")
Old = str | os.PathLike[str] | Trained | nn.Module
"""A run, by its folder or loaded; a file of `save_weights`; a compiled model."""


def migrate(  # noqa: PLR0913 - the public signature
    old: Old,
    new: Spec | str | os.PathLike[str],
    *,
    moved: Mapping[str, str] | None = None,
    plugins: Iterable[plugin_door.Plugin] = (),
    seed: int | None = None,
    share: float = SHARE,
) -> Migration:
    """A model of a new spec that starts from the weights of an old one.

    Equal canonical names are copied. The rows of a gate's head move by the names of the experts; experts that are added
    to it enter, if its kind and settings allow, with at most `share` of its weight in every row, so that old outputs
    hardly change. Ids keep their meaning of the old run; `archspec train --from` also extends its vocabularies.

    Args:
        old: the folder of a run or a loaded run, a file of `archspec.save_weights`, or a compiled model.
        new: the new spec: a Spec, the path of one, or its text.
        moved: old name -> new name, for what was renamed: a node, `{"level1.experts.shared": "level1.experts.common"}`,
            or a word, `{"ctr": "click"}`, for every node with that name.
        plugins: plugins with further kinds, of both specs.
        seed: for weights without a counterpart, which are drawn from a separate generator.
        share: the largest weight of all experts added to a gate, together.

    Returns:
        The model, and what happened to each weight: kept, moved, grown, new or dropped.

    Raises:
        SpecError: a spec is wrong, the old run or file cannot be read, or a name of `moved` does not exist (AS805).
    """
    registry = plugin_door.load(plugins)
    weights, old_graph, encodings = _read(old, registry)
    graph = graph_of(new) if isinstance(new, Spec) else load_graph(new, None, registry)
    columns = {} if old_graph is None else _columns(old_graph, graph, moved or {})
    known = {**_renamed(encodings, columns), **_words(graph)}
    model = instantiate(build(graph), seed=seed)
    return _migration(weights, (old_graph, graph), (encodings, known), model, moved or {}, share)


def start_of(  # noqa: PLR0913, PLR0917 - two runs and how they correspond
    old: Trained, graph: Graph, encoder: Encoder, moved: Mapping[str, str], seed: int, fill: Callable[[nn.Module], None]
) -> Migration:
    """The model that a run starts from if it continues another run.

    Args:
        old: the other run.
        graph: the graph of the new run's spec.
        encoder: the new run's encoder, whose vocabularies extend those of the other run.
        moved: old name -> new name.
        seed: for weights without a counterpart, as without another run.
        fill: called with the new model, for pretrained vectors of values that the other run did not know.
    """
    model = instantiate(build(graph), seed=seed)
    fill(model)
    weights = dict(old.model.named_weights())
    both = (old.encoder.encodings, encoder.encodings)
    migration = _migration(weights, (old.graph, graph), both, model, moved, SHARE)
    migration.model.vocabularies = digests(graph, encoder.encodings)
    return migration


def before(old: Trained, graph: Graph, moved: Mapping[str, str], *, extend: bool) -> Before:
    """The encodings that a run reuses from another one, by the columns of the new spec."""
    columns = _columns(old.graph, graph, moved)
    encoder = old.encoder
    renamed = replace(
        encoder, encodings=_renamed(encoder.encodings, columns), widths=_renamed(encoder.widths, columns),
        forms=_renamed(encoder.forms, columns), sources=_renamed(encoder.sources, columns),
        none=_renamed(encoder.none, columns),
    )  # fmt: skip
    return Before(renamed, str(old.folder), extend)


def _renamed(values: Mapping[str, _Value], columns: Mapping[str, str]) -> dict[str, _Value]:
    """What an old run knows of its columns, by those of a new spec."""
    return {new: values[column] for new, column in columns.items() if column in values}


def _columns(old: Graph, new: Graph, moved: Mapping[str, str]) -> dict[str, str]:
    """Column of the new spec -> the column of the old one: of the same name, or of the input that was renamed."""
    renames = Renames(moved)
    known = column_requirements(old)
    found = {name: name for name in column_requirements(new)}
    inputs: dict[str, Block] = {NodeName("inputs", name): block for name, block in old.spec.inputs.items()}
    for name, block in new.spec.inputs.items():
        column = block.common.column or name
        before_ = inputs.get(renames.old(NodeName("inputs", name)))
        if before_ is not None and column not in known:
            found[column] = before_.common.column or before_.name
    return found


def _migration(  # noqa: PLR0913, PLR0917 - two models and how they correspond
    weights: Mapping[str, Tensor],
    graphs: tuple[Graph | None, Graph],
    encodings: tuple[Mapping[str, Encoding], Mapping[str, Encoding]],
    model: Compiled,
    moved: Mapping[str, str],
    share: float,
) -> Migration:
    old, graph = graphs
    before_ = {} if old is None else table_encodings(old, encodings[0])
    now = {} if old is None else table_encodings(graph, encodings[1])
    renames = Renames(moved)
    tables: dict[str, NDArray[np.int64]] = {}
    for name, value in model.named_weights():
        source = renames.old(name)
        is_table = name in now or (name.startswith("inputs.") and name.endswith(".weight"))
        if is_table and value.dim() and source in weights:
            # Without encodings, ids mean the same in both, and the further rows of a longer table are new.
            was = before_.get(source) if name in now else None
            tables[name] = places(was, now.get(name), (len(weights[source]), len(value)))
    axes = None if old is None else (axes_of(lower(old).forward), axes_of(lower(graph).forward))
    return migrate_weights(weights, old, model, graph, moved=moved, tables=tables, axes=axes, share=share)


def _read(old: Old, registry: Registry) -> tuple[dict[str, Tensor], Graph | None, Mapping[str, Encoding]]:
    """The weights of an old model by name and, if known, its graph and its encodings."""
    if isinstance(old, Trained):
        return dict(old.model.named_weights()), old.graph, old.encoder.encodings
    if isinstance(old, nn.Module):
        inner: Any = unwrapped(old)
        spec = spec_of(old)
        known = None if spec is None else graph_of(spec)
        return dict(inner.named_weights()), known, {} if known is None else _words(known)
    path = Path(old)
    if not is_file(path) or is_file(path.parent / RUN):
        return _read(open_run(path, registry), registry)
    weights, metadata = read_weights(str(path))
    if not isinstance(metadata.get(SPEC), str):
        unusable(
            "AS807", f"`{path}` does not contain the spec of its weights: it was written by an older archspec",
            help="load it into a model of its spec with `archspec.load_weights`, and pass that model to `migrate`",
        )  # fmt: skip
    graph = graph_of(spec_of_text(metadata[SPEC], registry))
    return weights, graph, _words(graph)


def _words(graph: Graph) -> dict[str, Encoding]:
    """The encodings of domains, which the spec alone determines."""
    return {name: Words(words=each.words) for name, each in column_requirements(graph).items() if each.words}
