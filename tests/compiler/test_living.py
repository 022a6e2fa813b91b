"""Classes of compiled models: copied, pickled, sent to other processes, subclassed, printed, and garbage-collected."""

from __future__ import annotations

import copy
import gc
import inspect
import io
import linecache
import pickle
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import archspec
from archspec.compiler import living
from archspec.graph.load import graph_of
from archspec.nn.wrapped import unwrapped
from archspec.train.weights import spec_of, weight_locations
from tests.compiler.models import BOTH, HEAD, assert_agree, batch_of, spec_file
from tests.compiler.models import spec_of as spec_named
from tests.compiler.test_opaque import TEXT as OPAQUE
from tests.published import PLUGINS

if TYPE_CHECKING:
    from archspec.nn.module import Compiled
    from archspec.program import Scope, Value

TINY = HEAD + "inputs: {x: {kind: dense, dim: 2}}\ntasks: {y: {kind: binary}}\ntowers: {y: {units: [2]}}\n"


def living_names() -> set[str]:
    """The emitted modules that are loaded in Python."""
    gc.collect()
    return {name for name in sys.modules if name.startswith("archspec_built.")}


def test_models_leave_nothing_behind() -> None:
    """A deleted model leaves neither its module nor its source behind, so that memory does not grow."""
    before, lines = living_names(), set(linecache.cache)
    models = [archspec.compile(TINY, seed=seed, optimize=seed % 2 == 0) for seed in range(20)]
    assert len(living_names() - before) == 20
    assert len({type(model).__module__ for model in models}) == 20
    pickle.loads(pickle.dumps(models[0]))(batch_of(TINY, 3, dtype=torch.float32))  # noqa: S301 - its own
    copy.deepcopy(models[1])
    del models
    assert living_names() == before
    assert set(linecache.cache) <= lines | {name for name in linecache.cache if "archspec_built" not in name}


def test_a_compiled_graph_does_not_keep_a_model() -> None:
    """A model that was compiled by torch.compile is freed too, once torch resets its graphs."""
    before = living_names()
    model = archspec.compile(TINY, seed=0)
    whole = torch.compile(model, fullgraph=True, backend="eager")
    batch = batch_of(TINY, 3, dtype=torch.float32)
    assert_agree(whole(batch), model(batch), 0.0)
    del model, whole
    torch.compiler.reset()
    assert living_names() == before


@BOTH
def test_tracebacks_and_sources_are_found(*, optimize: bool) -> None:
    """While a model exists, tracebacks show its lines and `inspect` its source, even after `linecache.checkcache`."""
    model = archspec.compile(TINY, seed=0, optimize=optimize)
    linecache.checkcache()
    model.check_inputs = False
    with pytest.raises(AttributeError) as error:
        model({"x": None})
    shown = [frame for frame in traceback.extract_tb(error.tb) if "archspec_built" in frame.filename]
    assert shown
    assert all(frame.line for frame in shown)
    assert inspect.getsource(type(model)).startswith("class Tiny(nn.Module):")
    assert "def forward" in inspect.getsource(type(model).forward)


def test_two_models_of_one_spec_are_classes_of_their_own() -> None:
    """Unpickling returns the class of the pickled model, not that of another model of the same spec."""
    one, two = archspec.compile(TINY, seed=0), archspec.compile(TINY, seed=0)
    assert type(one) is not type(two)
    for model in (one, two):
        assert type(pickle.loads(pickle.dumps(model))) is type(model)  # noqa: S301 - its own
        assert type(copy.deepcopy(model)) is type(model)


@BOTH
@pytest.mark.parametrize("name", ["ple", "star", "deepseek_moe", "hinet", "escm2"])
def test_models_survive_pickle_and_torch_save(*, name: str, optimize: bool) -> None:
    """Outputs, modes and the Spec used by losses survive, with plugins and after training."""
    spec = spec_named(name)
    model = archspec.compile(spec, optimize=optimize, seed=0)
    batch = batch_of(spec, 5, dtype=torch.float32)
    torch.stack([value.sum() for value in model(batch).values()]).sum().backward()  # type: ignore[no-untyped-call]
    model.eval()
    model.check_inputs = False
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for made in (pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)):  # noqa: S301 - its own
        assert_agree(made(batch), model(batch), 0.0)
        assert not made.training
        assert not made.check_inputs
        assert spec_of(made) == spec_of(model)


class Models(Dataset[Any]):
    """A data set that holds models and runs one per item, as in a worker of a DataLoader."""

    def __init__(self, models: list[Any], batches: list[dict[str, torch.Tensor]]) -> None:
        self.models, self.batches = models, batches

    def __len__(self) -> int:
        """The number of models."""
        return len(self.models)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """The model's outputs."""
        with torch.no_grad():
            found: dict[str, torch.Tensor] = self.models[index](self.batches[index])
        return found


def test_a_worker_of_a_data_loader_receives_models() -> None:
    """A spawned process rebuilds the models from source and state, with plugins from files and their own modules."""
    opaque = archspec.load(OPAQUE, plugins=[Path(__file__).with_name("opaque_kinds.py")])
    specs = [archspec.load(spec_file("ple")), archspec.load(spec_file("star"), plugins=[PLUGINS / "star.py"]), opaque]
    models = [archspec.compile(spec, seed=0).eval() for spec in specs]
    batches = [batch_of(spec, 4, dtype=torch.float32) for spec in specs]
    loader = DataLoader(Models(models, batches), batch_size=None, num_workers=1, multiprocessing_context="spawn")
    found = list(loader)
    assert len(found) == 3
    for outputs, model, batch in zip(found, models, batches, strict=True):
        assert_agree(outputs, {name: value.detach() for name, value in model(batch).items()}, 1e-6)


def test_a_plugin_that_is_missing_where_a_pickle_is_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a plugin is missing when a pickle is loaded, one sentence names the kind and its file."""
    data = pickle.dumps(archspec.compile(spec_named("star"), seed=0))
    monkeypatch.setattr(living, "_LIVING", {})
    monkeypatch.delitem(sys.modules, "star")
    monkeypatch.setattr("archspec.plugins.load", lambda _: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(pickle.UnpicklingError, match=r"the kind star\.\w+ of .*star\.py, which cannot be"):
        pickle.loads(data)  # noqa: S301 - its own


def test_a_kind_inside_a_function_is_not_pickled() -> None:
    """Pickling a model whose kind is defined in a function fails with a sentence that says where to define it."""

    @archspec.expert("inside")
    class Inside(archspec.ExpertKind):
        """Returns its input."""

        def width(self, input: archspec.Width) -> archspec.Width:
            return input

        def lower(self, at: Scope, x: Value) -> Value:
            return x

    levels = "levels: [{experts: {e: {kind: inside}}, gates: {y: {sees: all}}}]\n"
    text = TINY.replace("towers: {y: {units: [2]}}", f"{levels}towers: {{y: {{}}}}")
    model = archspec.compile(text, plugins=[Inside], seed=0)
    assert_agree(copy.deepcopy(model)({"x": torch.ones(2, 2)}), model({"x": torch.ones(2, 2)}), 0.0)
    with pytest.raises(pickle.PicklingError, match=r"Tiny uses the kind .*Inside, a class inside a function"):
        pickle.dumps(model)


def subclass_of(model: Compiled) -> type[Compiled]:
    """A class that overrides `forward`, as users write it."""
    cls: type[nn.Module] = type(model)

    class Clamped(cls):  # type: ignore[valid-type, misc] # made at run time
        def forward(self, *arguments: object) -> dict[str, torch.Tensor]:
            return {name: value.clamp(-1, 1) for name, value in super().forward(*arguments).items()}

    made: Any = Clamped
    subclass: type[Compiled] = made
    return subclass


@BOTH
def test_a_subclass_is_a_compiled_model(*, optimize: bool) -> None:
    """Losses, parameter groups and weights work with a class that overrides `forward`."""
    spec = spec_named("ple")
    model = archspec.compile(spec, optimize=optimize, seed=0)
    made = subclass_of(model)(seed=0)
    assert unwrapped(torch.nn.DataParallel(made)) is made
    assert spec_of(made) == spec
    assert weight_locations(made, graph_of(spec)) == weight_locations(model, graph_of(spec))
    batch = batch_of(spec, 4, dtype=torch.float32)
    labels = {task.task.label: torch.tensor([0.0, 1.0, 1.0, 0.0]) for task in spec.tasks.values()}
    loss, _ = archspec.MultiTaskLoss(made)(made(batch), {**batch, **labels})
    assert loss.isfinite()
    assert archspec.parameter_groups(made)
    assert_agree(copy.deepcopy(made)(batch), made(batch), 0.0)
    assert type(copy.deepcopy(made)) is type(made)


def test_printing_a_model_shows_its_parts() -> None:
    """Printing shows levels, groups of experts, gates, towers, cases and fusions, with kinds, shapes and parameters."""
    text = str(archspec.compile(spec_file("meituan_search"), seed=0))
    model = archspec.compile(spec_file("ple"), seed=0)
    counted = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) parameters$", str(model), re.MULTILINE)]
    assert sum(counted) == sum(parameter.numel() for parameter in model.parameters())
    assert "level 1" in text
    assert "level 2" in text
    for line in ("experts ", "gate ", "towers\n", "inputs\n", " -> [B, "):
        assert line in text
