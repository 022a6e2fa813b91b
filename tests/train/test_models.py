"""The criterion together with compiled models: auxiliary losses, products in log space, plain and fused weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archspec
from archspec.compiler.compile import build
from archspec.graph.load import graph_of
from archspec.nn.wrapped import unwrapped
from archspec.train.criterion import MultiTaskLoss
from archspec.train.groups import parameter_groups
from archspec.train.weights import spec_of, weight_locations

MMOE = """
archspec: 1
name: small_mmoe
inputs:
  x: {kind: dense, dim: 4}
  user: {kind: sparse, vocab: 10, dim: 3, sparse_grad: true}
  item: {kind: sparse, vocab: 7, dim: 2}
tasks:
  a: {kind: binary}
  b: {kind: regression}
levels:
  - experts:
      shared: {count: 3, units: [6, 5]}
    gates:
      a: {sees: shared, kind: topk, k: 2, balance: 0.5}
      b: {sees: shared}
towers:
  $task: {units: [4]}
"""

ESMM = """
archspec: 1
name: small_esmm
inputs:
  x: {kind: dense, dim: 1}
tasks:
  ctr: {kind: binary}
  ctcvr: {kind: binary}
towers:
  ctr: {units: []}
  cvr: {units: []}
fusion:
  ctcvr: {kind: product, of: [ctr, cvr]}
"""


def batch_of(rows: int = 6) -> dict[str, Tensor]:
    """A batch for the small MMoE."""
    draw = torch.Generator().manual_seed(0)
    return {
        "x": torch.randn(rows, 4, generator=draw),
        "user": torch.randint(10, (rows,), generator=draw),
        "item": torch.randint(7, (rows,), generator=draw),
        "a": torch.randint(2, (rows,), generator=draw),
        "b": torch.randn(rows, generator=draw),
    }


def test_auxiliary_losses_join_the_total_in_training() -> None:
    """The top-k gate's loss is added unweighted under its node's name; in evaluation it is omitted."""
    model = archspec.compile(MMOE, seed=0)
    criterion = MultiTaskLoss(archspec.load(MMOE), model=model)
    total, parts = criterion(model(batch_of()), batch_of())
    assert list(parts) == ["a", "b", "level1.gates.a"]
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()), rel=1e-6)
    model.eval()
    assert list(criterion(model(batch_of()), batch_of())[1]) == ["a", "b"]


def test_auxiliary_losses_can_be_given() -> None:
    """A criterion without a model takes them as an argument."""
    total, parts = MultiTaskLoss(archspec.load(ESMM))(
        {"ctr": torch.zeros(1), "ctcvr": torch.zeros(1)},
        {"ctr": torch.zeros(1), "ctcvr": torch.zeros(1)},
        {"penalty": torch.tensor(3.0)},
    )
    assert parts["penalty"].item() == 3
    assert total.item() == pytest.approx(3 + 2 * torch.log(torch.tensor(2.0)).item())


@pytest.mark.parametrize("cvr", [-80.0, 80.0])
@pytest.mark.parametrize("ctr", [-80.0, 80.0])
@pytest.mark.parametrize("bought", [0.0, 1.0])
def test_the_product_of_extreme_probabilities_has_finite_gradients(ctr: float, cvr: float, bought: float) -> None:
    """With logits of +-80 in both towers, loss and gradients are finite and equal float64 formulas."""
    model = archspec.compile(ESMM, seed=0)
    biases = {"towers.ctr.head.bias": ctr, "towers.cvr.head.bias": cvr}
    model.load_weights({name: torch.full_like(w, biases.get(name, 0.0)) for name, w in model.named_weights()})
    criterion = MultiTaskLoss(archspec.load(ESMM), model=model)
    batch = {"x": torch.zeros(1, 1), "ctr": torch.tensor([1.0]), "ctcvr": torch.tensor([bought])}
    total, parts = criterion(model(batch), batch)
    total.backward()
    a, b = torch.tensor([ctr, cvr], dtype=torch.float64)
    log_p = torch.nn.functional.logsigmoid(a) + torch.nn.functional.logsigmoid(b)
    expected = -log_p if bought else -torch.log(-torch.expm1(log_p))
    assert parts["ctcvr"].item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


def test_a_built_file_needs_its_spec_named() -> None:
    """A class without a spec is refused, and the message shows the call that works."""
    names: dict[str, Any] = {}
    exec(build(graph_of(archspec.load(ESMM))).source, names)  # noqa: S102 - what `archspec build` writes
    with pytest.raises(TypeError, match=r"SmallEsmm comes from a built file.*MultiTaskLoss\(spec, model=model\)"):
        MultiTaskLoss(names["SmallEsmm"]())


def test_a_module_that_archspec_did_not_make_is_refused() -> None:
    """Any other module is refused, and the error names it."""
    with pytest.raises(TypeError, match=r"Linear is not a compiled model"):
        MultiTaskLoss(nn.Linear(1, 1))


def test_the_model_is_no_part_of_the_criterion() -> None:
    """`criterion.parameters()` and `state_dict()` contain nothing of the model."""
    model = archspec.compile(ESMM)
    criterion = MultiTaskLoss(archspec.load(ESMM), model=model)
    assert list(criterion.parameters()) == []
    assert set(criterion.state_dict()) == {"steps", "epochs"}


def test_a_compiled_model_knows_its_spec() -> None:
    """MultiTaskLoss(model) suffices, also for a copy of a model."""
    model = copy.deepcopy(archspec.compile(ESMM))
    known = spec_of(model)
    assert known is not None
    assert known.digest == archspec.load(ESMM).digest
    assert list(MultiTaskLoss(model).tasks) == ["ctr", "ctcvr"]


def test_wrappers_are_looked_through() -> None:
    """A model wrapped by `torch.compile` is found."""
    model = archspec.compile(ESMM)
    assert unwrapped(torch.compile(model, backend="eager")) is model  # type: ignore[arg-type] # a module at run time


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("by", ["category", "task"])
def test_every_parameter_is_in_one_group(by: str, optimize: bool) -> None:  # noqa: FBT001 - a test's parameter
    """Plain or fused, each parameter of the model is in exactly one group."""
    spec = archspec.load(MMOE)
    model = archspec.compile(spec, optimize=optimize)
    groups = parameter_groups(model, spec, by=by)  # type: ignore[arg-type] # one of the two words
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(map(id, model.parameters()))
    weights = {name for group in groups for name in group["weights"]}
    assert weights == {name for name, _ in model.named_weights()}


def test_groups_split_sparse_from_dense_tables() -> None:
    """A table with `sparse_grad` is in a separate sparse group; optimizers accept the groups unchanged."""
    spec = archspec.load(MMOE)
    model = archspec.compile(spec, seed=0)
    groups = parameter_groups(model, spec)
    assert [group["weights"] for group in groups if group["sparse"]] == [["inputs.user.weight"]]
    sparse = torch.optim.SparseAdam([dict(group) for group in groups if group["sparse"]])
    dense = torch.optim.Adam([dict(group) for group in groups if not group["sparse"]])
    criterion = MultiTaskLoss(spec, model=model)
    before = {name: value.clone() for name, value in model.named_weights()}
    criterion(model(batch_of()), batch_of())[0].backward()
    sparse.step()  # type: ignore[no-untyped-call] # torch's own
    dense.step()
    moved = {name for name, value in model.named_weights() if not torch.equal(value, before[name])}
    assert {"inputs.user.weight", "inputs.item.weight", "towers.a.head.weight"} <= moved


def test_groups_by_task_hold_what_only_that_task_trains() -> None:
    """Each task's tower is a group with the task's name; shared experts belong to both tasks."""
    spec = archspec.load(MMOE)
    groups = parameter_groups(archspec.compile(spec, optimize=False), spec, by="task")
    found = {(group["name"], group["tasks"]) for group in groups}
    assert {("towers", ("a",)), ("towers", ("b",)), ("experts", ("a", "b")), ("gates", ("a",))} <= found


def test_weights_of_another_spec_are_refused() -> None:
    """A model and the graph of another spec are refused, and the error names the weight."""
    graph = archspec.graph.load.graph_of(archspec.load(ESMM))
    with pytest.raises(ValueError, match="the spec `small_esmm` does not have: is this another spec"):
        weight_locations(archspec.compile(MMOE), graph)
