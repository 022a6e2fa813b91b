"""Expert groups that share weights (`like`): one set of weights on several streams, named, counted and trained once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import archspec
from archspec import ExpertKind, expert
from archspec.compiler.count import count
from archspec.graph.load import load_graph
from archspec.plugins import load as load_plugins
from archspec.program.program import Init
from archspec.train.groups import parameter_groups
from archspec.train.weights import last_shared, weight_locations
from tests.compiler.models import BOTH, HEAD, assert_agree, batch_of, model_of, run, statistics

if TYPE_CHECKING:
    from archspec.nn.module import Compiled
    from archspec.program import Scope, Value

INPUTS = "inputs: {x: {kind: dense, dim: 5}, z: {kind: dense, dim: 5}, w: {kind: dense, dim: 3}}\n"
TASKS = "tasks: {a: {kind: regression}, b: {kind: regression}}\n"
TOWERS = "towers: {a: {from: level1.experts.f}, b: {from: level1.experts.g}}\n"


def text(settings: str, second: str = "{from: z, like: f}") -> str:
    """Two tasks, each with an expert on its own input: `f` with settings, `g` like it or with the same settings."""
    levels = f"levels: [{{experts: {{f: {{from: x, {settings}}}, g: {second}}}}}]\n"
    return HEAD + INPUTS + TASKS + levels + TOWERS


def pair(settings: str, *, optimize: bool) -> tuple[Compiled, Compiled, str, str]:
    """A model that shares weights, a model with equal weights in two experts, and their texts."""
    one, two = text(settings), text(settings, f"{{from: z, {settings}}}")
    shared, alone = model_of(one, optimize=optimize), model_of(two, optimize=False)
    weights = dict(shared.named_weights())
    alone.load_weights(
        weights | {key.replace(".f.", ".g."): value for key, value in weights.items() if ".experts.f." in key}
    )
    return shared, alone, one, two


SETTINGS = {
    "layers": "units: [4, 3]",
    "layer norm": "units: [4], norm: layer, activation: silu",
    "modulated": "units: [4, 3], modulate: {selector: w}",
    "modulated by itself": "units: [4, 3], modulate: {at: layer_inputs, rank: 2}",
    "several": "units: [4], count: 3",
    "identity": "kind: identity, modulate: {units: [3]}",
}


@BOTH
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_shared_weights_do_what_two_equal_sets_do(*, settings: str, optimize: bool) -> None:
    """Outputs equal those of two experts with equal weights; the gradient of shared weights is the sum of both."""
    shared, alone, one, _ = pair(settings, optimize=optimize)
    batch = batch_of(one, 7)
    outputs, weights, numbers = run(shared, batch)
    expected = run(alone, batch)
    assert_agree(outputs, expected[0], 1e-12)
    assert_agree(numbers, expected[2], 1e-12)
    summed = {
        key: value + expected[1][key.replace(".f.", ".g.")] if ".experts.f." in key else value
        for key, value in expected[1].items()
        if ".experts.g." not in key
    }
    assert_agree(weights, summed, 1e-12)


@BOTH
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_shared_weights_are_named_and_counted_once(*, settings: str, optimize: bool) -> None:
    """Shared weights are named after the group with the settings; parameters count once, FLOPs for each application."""
    shared, alone, one, two = pair(settings, optimize=optimize)
    names = [name for name, _ in shared.named_weights()]
    assert names == list(dict.fromkeys(names))
    assert names == [name for name, _ in alone.named_weights() if ".experts.g." not in name]
    counted, separate = count(load_graph(one, None, load_plugins())), count(load_graph(two, None, load_plugins()))
    assert sum(weight.numel() for weight in shared.parameters()) == counted.total.parameters
    assert counted.nodes["level1.experts.g.0"].parameters == 0
    assert counted.nodes["level1.experts.f.0"] == separate.nodes["level1.experts.f.0"]
    assert counted.total.flops == separate.total.flops


@BOTH
def test_they_start_as_without_sharing(*, optimize: bool) -> None:
    """A group that shares weights draws no initial ones, so the initial weights of all other blocks are unchanged."""
    one = archspec.compile(text("units: [4]"), optimize=optimize, seed=3)
    rest = text("units: [4]").replace(", g: {from: z, like: f}", "").replace("from: level1.experts.g", "from: [x]")
    other = dict(archspec.compile(rest, optimize=optimize, seed=3).named_weights())
    mine = dict(one.named_weights())
    assert all(torch.equal(mine[key], other[key]) for key in other if key.startswith(("level1.", "towers.a")))


@BOTH
@pytest.mark.parametrize("later", [False, True])
def test_batch_norm_is_torchs_own_called_twice(*, later: bool, optimize: bool) -> None:
    """Each application is normalised by its own rows and updates the running statistics, in the order of the graph.

    If the first application is farther from the inputs than the second, both modules still use the same order.
    """
    source = "level1.experts.deep" if later else "x"
    experts = (
        f"deep: {{from: x, units: [5, 5, 5]}}, f: {{from: {source}, units: [4], norm: batch}}, g: {{from: z, like: f}}"
    )
    spec = archspec.load(HEAD + INPUTS + TASKS + f"levels: [{{experts: {{{experts}}}}}]\n" + TOWERS)
    model, batch = model_of(spec, optimize=optimize).train(), batch_of(spec, 9)
    weights = {name: value.clone() for name, value in model.named_weights()}
    norm = nn.BatchNorm1d(4, dtype=torch.float64)
    at = "level1.experts.f.0"
    names = ("weight", "bias", "running_mean", "running_var")
    norm.load_state_dict({key: weights[f"{at}.norms.0.{key}"] for key in names}, strict=False)
    order = [node for node in load_graph(spec.text(), None, load_plugins()).order if node.endswith((".f.0", ".g.0"))]
    deep = batch["x"]
    for index in range(3):
        name = f"level1.experts.deep.0.layers.{index}"
        if later:
            deep = torch.relu(deep @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
    read: dict[str, torch.Tensor] = {"level1.experts.f.0": deep, "level1.experts.g.0": batch["z"]}
    layer = (weights[f"{at}.layers.0.weight"], weights[f"{at}.layers.0.bias"])
    hidden: dict[str, torch.Tensor] = {
        node: torch.relu(norm(nn.functional.linear(read[node], *layer))) for node in order
    }
    outputs = model(batch)
    for task, node in (("a", "level1.experts.f.0"), ("b", "level1.experts.g.0")):
        head = (weights[f"towers.{task}.head.weight"], weights[f"towers.{task}.head.bias"])
        assert_agree({task: outputs[task]}, {task: nn.functional.linear(hidden[node], *head).squeeze(1)}, 1e-12)
    now = {name.rpartition(".")[2]: view for name, view in model.named_weights() if name in statistics(model)}
    assert_agree(now, {key: norm.state_dict()[key] for key in now}, 1e-12)


@BOTH
def test_two_norms_on_one_stream_move_statistics_twice(*, optimize: bool) -> None:
    """If both applications read one stream, which causes a warning, the statistics are updated twice all the same."""
    model = model_of(text("units: [4], norm: batch", "{from: x, like: f}"), optimize=optimize).train()
    before = {name: view.clone() for name, view in model.named_weights() if name in statistics(model)}
    batch = batch_of(text("units: [4]"), 9)
    once = model_of(text("units: [4], norm: batch", "{from: z, units: [4]}"), optimize=False).train()
    once.load_weights(
        dict(model.named_weights()) | {name: view for name, view in once.named_weights() if ".g." in name}
    )
    model(batch)
    once(batch)
    once(batch)
    now, twice = dict(model.named_weights()), dict(once.named_weights())
    assert_agree({key: now[key] for key in before}, {key: twice[key] for key in before}, 1e-12)


@BOTH
def test_dropout_draws_for_each_application(*, optimize: bool) -> None:
    """With shared weights on equal streams, the two applications drop different features."""
    source = text("units: [64], dropout: 0.5", "{from: z, like: f}")
    source = source.replace("{from: level1.experts.f}", "{from: level1.experts.f, units: []}")
    model, batch = model_of(source, optimize=optimize), batch_of(source, 32)
    weights = dict(model.named_weights())
    weights["towers.b.head.weight"].copy_(weights["towers.a.head.weight"])
    weights["towers.b.head.bias"].copy_(weights["towers.a.head.bias"])
    batch = {**batch, "z": batch["x"]}
    outputs = model.eval()(batch)
    assert_agree({"a": outputs["a"]}, {"a": outputs["b"]}, 1e-12)
    outputs = model.train()(batch)
    assert (outputs["a"] != outputs["b"]).all()


DEEP = """
levels:
  - experts: {low: {from: x, like: level2.experts.high}, other: {from: x, units: [4]}}
    gates: {m: {sees: other, selector: none, kind: linear}}
  - experts: {high: {from: z, units: [4]}, again: {from: z, like: level2.experts.high}}
towers:
  a: {from: level1.experts.low}
  b: {from: [level1.gates.m, level2.experts.again]}
"""


@BOTH
def test_an_owner_above_or_unread_still_names_the_weights(*, optimize: bool) -> None:
    """The group with the settings may be in a later level or unread; even if it is removed, it names the weights."""
    source = HEAD + INPUTS + TASKS + DEEP
    graph = load_graph(source, None, load_plugins())
    assert "level2.experts.high.0" not in graph.nodes
    assert not [item for item in graph.spec.diagnostics if "high" in item.message]
    model, batch = model_of(source, optimize=optimize), batch_of(source, 6)
    weights = dict(model.named_weights())
    layer = (weights["level2.experts.high.0.layers.0.weight"], weights["level2.experts.high.0.layers.0.bias"])
    head = (weights["towers.a.head.weight"], weights["towers.a.head.bias"])
    expected = nn.functional.linear(torch.relu(nn.functional.linear(batch["x"], *layer)), *head).squeeze(1)
    assert_agree({"a": model(batch)["a"]}, {"a": expected}, 1e-12)
    assert [name for name in weights if ".low." in name or ".again." in name] == []
    again = archspec.load(graph.spec.text())
    assert again.digest == graph.spec.digest
    assert archspec.load(again.text()).text() == again.text()
    owned = {location.node for location in weight_locations(model, graph) if ".high." in location.weight}
    assert owned == {"level1.experts.low.0"}
    (experts,) = [
        group
        for group in parameter_groups(model, graph.spec, by="task")
        if group["name"] == "experts" and any(".high." in weight for weight in group["weights"])
    ]
    assert experts["tasks"] == ("a", "b")
    counted = count(graph)
    assert counted.total.parameters == sum(weight.numel() for weight in model.parameters())
    assert counted.nodes["level1.experts.low.0"].parameters == 5 * 4 + 4


def test_all_tasks_of_all_users_train_them() -> None:
    """Every group that shares has the tasks of all groups, and the weights are among the last that tasks share."""
    graph = load_graph(text("units: [4]"), None, load_plugins())
    assert graph.tasks["level1.experts.f.0"] == graph.tasks["level1.experts.g.0"] == ("a", "b")
    assert graph.tasks["inputs.x"] == ("a",)
    model = archspec.compile(graph.spec)
    assert [location.weight for location in last_shared(weight_locations(model, graph), graph)] == [
        "level1.experts.f.0.layers.0.weight"
    ]


def test_weights_used_again_above_others_are_the_last_shared() -> None:
    """Shared weights that are applied again above another shared expert count as the last shared ones."""
    experts = "f: {from: x, units: [5]}, m: {from: level1.experts.f, units: [5]}, g: {from: level1.experts.m, like: f}"
    source = HEAD + INPUTS + TASKS + f"levels: [{{experts: {{{experts}}}}}]\n"
    source += "towers: {$task: {from: level1.experts.g}}\n"
    graph = load_graph(source, None, load_plugins())
    found = last_shared(weight_locations(archspec.compile(graph.spec), graph), graph)
    assert [location.weight for location in found] == ["level1.experts.f.0.layers.0.weight"]


def test_the_exported_graph_says_whose_weights_they_are() -> None:
    """`like` names the owner, and figures show it in the box."""
    graph = archspec.build_graph(archspec.load(text("units: [4], count: 2")))
    assert [graph.nodes[f"level1.experts.{name}"]["like"] for name in ("f.0", "g.0", "g.1")] == [
        None, "level1.experts.f.0", "level1.experts.f.1",
    ]  # fmt: skip
    assert graph.nodes["level1.experts.g.1"]["detail"] == "4, weights of f"
    assert graph.nodes["level1.experts.f.1"]["detail"] == "4"


def test_print_says_whose_weights_they_are() -> None:
    """`print(model)` has a line for each group, with the parameters on the owner's."""
    shown = str(archspec.compile(text("units: [4], count: 2"), seed=0))
    assert "experts f: 2 mlp [B, 5] -> [B, 4], 48 parameters" in shown
    assert "experts g: 2 mlp [B, 5] -> [B, 4], weights of f" in shown


@BOTH
def test_repeated_levels_share_each_its_own_or_all_one(*, optimize: bool) -> None:
    """A bare name refers to each repeat of its own level; a full name refers to the same group for all levels."""
    head = HEAD + INPUTS + "tasks: {y: {kind: binary}}\n"
    gates = "gates: {y: {sees: all, selector: x}}"
    own = f"levels: [{{repeat: 2, experts: {{f: {{from: x, units: [4]}}, g: {{from: z, like: f}}}}, {gates}}}]\n"
    one = f"levels: [{{experts: {{f: {{from: x, units: [4]}}}}, {gates}}}, "
    one += f"{{repeat: 2, experts: {{f: {{from: z, like: level1.experts.f}}}}, {gates}}}]\n"
    for levels, owners in ((own, {"level2.experts.f"}), (one, {"level1.experts.f"})):
        model = model_of(head + levels + "towers: {y: {}}\n", optimize=optimize)
        names = {name.partition(".0.")[0] for name, _ in model.named_weights() if ".experts." in name}
        assert names == owners


def test_defaults_do_not_reach_groups_that_are_like_others() -> None:
    """`defaults` apply to the owner and through it to the others, and are not written next to `like`."""
    source = text("", "{from: z, like: f}").replace("f: {from: x, }", "f: {from: x}")
    spec = archspec.load(source + "defaults: {experts: {units: [4], activation: silu}}\n")
    assert spec.levels[0].experts["g"].settings == spec.levels[0].experts["f"].settings
    assert spec.levels[0].experts["g"].data() == {"from": "z", "like": "f"}
    assert [item.code for item in spec.diagnostics] == ["AS304"]  # nothing reads `w`


class Recurrent(ExpertKind):
    """A module of torch, opaque to archspec."""

    size: int

    def width(self, input: int) -> int:
        """Its own size."""
        return self.size

    def build(self, input: int) -> nn.Module:
        """A linear layer and a norm that keeps statistics."""
        return nn.Sequential(nn.Linear(input, self.size), nn.BatchNorm1d(self.size))

    def parameters(self, input: int) -> int:
        """Weights and biases."""
        return self.size * (input + 3)

    def flops(self, input: int) -> int:
        """Multiply-adds count as 2."""
        return 2 * self.size * input


@BOTH
def test_a_module_of_a_plugin_is_made_once_and_called_twice(*, optimize: bool) -> None:
    """Opaque experts share their module: one set of weights and statistics, counted once."""
    kind = expert("recurrent")(Recurrent)
    spec = archspec.load(text("kind: recurrent, size: 4"), plugins=[kind])
    model = archspec.compile(spec, optimize=optimize, seed=0).double().train()
    batch = batch_of(spec, 8)
    names = [name for name, _ in model.named_weights() if ".experts." in name]
    assert names[0] == "level1.experts.f.0.0.weight"
    assert not [name for name in names if ".g." in name]
    assert len([module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]) == 1
    model(batch)
    (norm,) = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    assert int(norm.num_batches_tracked) == 2  # type: ignore[arg-type] # there it is
    graph = load_graph(spec.text(), None, spec.registry)
    counted = count(graph)
    assert counted.nodes["level1.experts.f.0"].parameters == 4 * 8
    assert counted.nodes["level1.experts.g.0"].parameters == 0
    assert counted.nodes["level1.experts.g.0"].flops == counted.nodes["level1.experts.f.0"].flops == 40
    torch.autograd.backward(sum(value.sum() for value in model(batch).values()))
    assert all(parameter.grad is not None for parameter in model.parameters())


class Counted(ExpertKind):
    """A linear layer divided by the running mean of its size, which is a state that `apply` updates."""

    size: int

    def width(self, input: int) -> int:
        """Its own size."""
        return self.size

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, D] -> [B, H]`."""
        h = at.linear(x, self.size, "layers.0")
        return at.apply(
            f"{__name__}:followed_by", h, at.parameter("size", (1,), Init("constant", 1.0), trainable=False)
        )


def followed_by(x: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """x divided by the running mean of its size, which every call updates."""
    with torch.no_grad():
        size.mul_(0.5).add_(0.5 * x.abs().mean())
    return x / size.clone()


def test_statistics_of_a_plugin_move_in_the_same_order_when_optimized() -> None:
    """The first use in the plain module is first in the optimized one, even if it is farther from the inputs."""
    kind = expert("counted")(Counted)
    experts = "deep: {from: x, units: [5, 5, 5]}, f: {from: level1.experts.deep, kind: counted, size: 4}"
    levels = f"levels: [{{experts: {{{experts}, g: {{from: z, like: f}}}}}}]\n"
    spec = archspec.load(HEAD + INPUTS + TASKS + levels + TOWERS, plugins=[kind])
    batch = batch_of(spec, 8)
    plain, fast = (archspec.compile(spec, optimize=optimize, seed=0).double() for optimize in (False, True))
    fast.load_weights(dict(plain.named_weights()))
    assert_agree(fast(batch), plain(batch), 1e-12)
    assert_agree(dict(fast.named_weights()), dict(plain.named_weights()), 1e-12)
