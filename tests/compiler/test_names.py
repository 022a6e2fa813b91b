"""Any legal name can be used, even one that the emitted file itself uses."""

from __future__ import annotations

import builtins
import functools
import json
import keyword
import re
import symtable
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import archspec
from archspec.compiler.compile import build
from archspec.compiler.names import class_name
from archspec.compiler.runtime import reserved
from archspec.graph.load import graph_of
from tests.compiler.models import BOTH, NAMES, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LEGAL = re.compile(r"[a-z][a-z0-9_]*")
REFUSED = {"all", "inputs", "none", "shared", *keyword.kwlist}


def tables_of(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """A scope and all scopes inside it."""
    yield table
    for child in table.get_children():
        yield from tables_of(child)


@functools.cache
def used_names() -> tuple[str, ...]:
    """Names in some emitted files, Python's builtins and soft keywords, and attributes of torch modules."""
    found = {*dir(builtins), *keyword.softkwlist, *dir(nn.Module()), *vars(nn.Module())}
    for name in ("ple", "hinet", "star"):
        for optimize in (False, True):
            source = build(graph_of(spec_of(name)), optimize=optimize).source
            for table in tables_of(symtable.symtable(source, name, "exec")):
                found |= set(table.get_identifiers())
    return tuple(sorted(found))


def words() -> list[str]:
    """Used names that are legal in a spec, and the snake-case forms of those in capitals."""
    found = set()
    for name in used_names():
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        found |= {word for word in (name, name.lower(), snake) if LEGAL.fullmatch(word)}
    return sorted(found - REFUSED)


ROLES = ("inputs", "experts", "tasks")


def spec_text(role: str, names: Sequence[str], spec_name: str = "tiny") -> str:
    """A spec whose inputs, groups of experts, or tasks (with gates, towers, domain values) have the given names."""
    inputs, experts, tasks = (names if role == each else (f"a_{each}", f"another_{each}") for each in ROLES)
    return json.dumps({
        "archspec": 1,
        "name": spec_name,
        "inputs": {
            **{name: {"kind": "sparse", "vocab": 5, "dim": 2} for name in inputs},
            "a_scene": {"kind": "domain", "values": list(tasks), "dim": 2},
            "a_number": {"kind": "dense", "dim": 1},
        },
        "tasks": {name: {"kind": "binary"} for name in tasks},
        "levels": [{
            "experts": {name: {"units": [2], "from": "inputs"} for name in experts},
            "gates": {name: {"sees": "all", "selector": "inputs"} for name in tasks},
        }],
        "towers": {name: {"units": [2]} for name in tasks},
        "fusion": {f"{tasks[0]}_fused": {"kind": "product", "of": list(tasks[:2])}},
    })  # fmt: skip


def run_once(text: str, *, optimize: bool) -> None:
    """Builds the spec and calls forward, predict and gate_weights."""
    spec = archspec.load(text)
    model = archspec.compile(spec, optimize=optimize, seed=0)
    values = len(spec.inputs["a_scene"].settings.values)
    batch = {name: torch.arange(3) for name, block in spec.inputs.items() if block.kind == "sparse"}
    batch |= {"a_scene": torch.arange(3) % values, "a_number": torch.rand(3)}
    gates = model.gate_weights(batch)
    assert set(model(batch)) == set(spec.tasks)
    assert set(model.predict(batch)) >= set(spec.tasks)
    assert len(gates) == len(spec.tasks)
    assert all(value.isfinite().all() for value in model(batch).values())


@BOTH
@pytest.mark.parametrize("role", ROLES)
def test_every_name_that_an_emitted_file_uses_is_a_good_name(*, role: str, optimize: bool) -> None:
    """Inputs, experts, gates, tasks, towers, fusions and domain values may have any name that the emitted file uses."""
    names = words()
    assert {"f", "torch", "nn", "self", "batch", "gates", "logits", "linear", "float", "key", "forward"} <= set(names)
    for start in range(0, len(names), 80):
        run_once(spec_text(role, names[start : start + 80]), optimize=optimize)


def test_a_spec_may_be_named_like_anything_in_its_file() -> None:
    """The class is named after the spec as usual: `f` is F, `value_error` is ValueError; `true` is TrueModel."""
    clashing = [word for word in words() if class_name(word) in reserved() or class_name(word).endswith("Model")]
    wanted = {"f", "tensor", "columns", "value_error", "key_error", "type_error", "runtime_error", "one_dnn_linear"}
    assert wanted | {"true", "false"} <= set(clashing)
    batch = {"a_inputs": torch.arange(3), "another_inputs": torch.arange(3), "a_scene": torch.arange(3) % 2,
             "a_number": torch.rand(3)}  # fmt: skip
    for word in clashing:
        model = archspec.compile(spec_text("tasks", ("a", "b"), word), seed=0)
        assert set(model.predict(batch)) >= {"a", "b"}
        assert type(model).__name__ == {"true": "TrueModel", "false": "FalseModel"}.get(word, class_name(word))
        with pytest.raises(KeyError, match="needs the column `a_"):
            model({})
        with pytest.raises(ValueError, match="a_number"):
            model({**batch, "a_number": torch.rand(3).double()})
        with pytest.raises(TypeError, match="a_number"):
            model({**batch, "a_number": 3})


@BOTH
def test_weights_hide_nothing_of_a_module(*, optimize: bool) -> None:
    """No attribute of an emitted class hides one of torch's modules or a method of the class."""
    plain = set(dir(nn.Module())) | set(vars(nn.Module()))
    for name in NAMES:
        model = archspec.compile(spec_of(name), optimize=optimize, seed=0)
        own = {*model._parameters, *model._buffers, *model._modules}
        assert not own & (plain | set(dir(type(model)))), name
