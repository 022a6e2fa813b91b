"""Rows, tokens and fields: what kinds take and return, references over tokens, masks, and the section `blocks`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own idiom

import archspec
from archspec.compiler.compile import build
from archspec.compiler.count import count
from archspec.graph.difference import difference
from archspec.graph.load import graph_of
from archspec.graph.statements import statements
from tests.compiler.models import BOTH, HEAD, assert_agree, gradients, model_of, run, total

PLUGIN = Path(__file__).with_name("streams_plugin.py")
TEXT = (
    HEAD
    + """
inputs:
  user: {kind: sparse, vocab: 9, dim: 4}
  clicks: {kind: sequence, vocab: 9, dim: 4, length: 3, pool: none}
  cates: {kind: sequence, vocab: 7, dim: 2, length: 3, pool: none, weights: shares}
  views: {kind: sequence, table: clicks, length: 3, pool: none}
groups: {events: [clicks, cates]}
blocks:
  deep: {kind: deep, from: events, units: 6, plus: mixed}
  short: {kind: average, from: {sum: [deep, {detach: deep}]}}
  viewed: {kind: average, from: views}
  mixed: {kind: weighed, from: [user, viewed, [inputs, user]], units: 6}
  again: {like: mixed, from: [user, {detach: viewed}, user, user]}
  tokens: {kind: as_tokens, from: [user, short], units: 6}
  trunk: {units: [5]}
  unused: {kind: identity}
tasks: {a: {}, b: {}}
levels:
  - experts:
      one: {kind: deep, from: tokens, count: 2, units: 6}
      two: {kind: deep, from: tokens, count: 2, units: 6}
    gates:
      a: {sees: all, selector: inputs}
      b: {sees: [one.0, {detach: two}], selector: trunk, residual: a, transform: linear}
  - experts: {shared: {kind: average, from: [a, b], count: 2}}
    gates: {$task: {sees: all, selector: inputs}}
towers:
  a: {from: [a, again, short]}
  b: {from: [b, trunk, short]}
"""
)


def load(text: str = TEXT) -> archspec.Spec:
    """Loads the text with the plugin's kinds."""
    return archspec.load(text, plugins=[PLUGIN])


def batch_of(rows: int) -> dict[str, Tensor]:
    """Ids for all inputs: the first row of the lists is empty, the second full, the third has one event."""
    generator = torch.Generator().manual_seed(rows)
    lists = {name: torch.randint(-1, 7, (rows, 3), generator=generator) for name in ("clicks", "cates", "views")}
    for name, ids in lists.items():
        ids[:1] = -1
        ids[1:2] = torch.tensor([2, 4, 1])
        ids[2:3] = torch.tensor([5, -1, -1]) if name != "cates" else torch.tensor([-1, 3, -1])
    shares = torch.rand(rows, 3, generator=generator, dtype=torch.float64)
    return {"user": torch.randint(9, (rows,), generator=generator), "shares": shares, **lists}


def by_hand(w: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The whole model, hand-written in torch."""

    def layer(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def mean(x: Tensor, mask: Tensor) -> Tensor:
        there = mask.sum(1, keepdim=True)
        return (x * mask[..., None]).sum(1) / torch.where(there == 0, 1, there)

    def rows(name: str, ids: Tensor) -> Tensor:
        return torch.where((ids >= 0)[..., None], w[f"inputs.{name}.weight"][ids.clamp_min(0)], 0.0)

    clicks, views = rows("clicks", batch["clicks"]), rows("clicks", batch["views"])
    cates = rows("cates", batch["cates"]) * batch["shares"][..., None]
    user = w["inputs.user.weight"][batch["user"]]
    viewed = mean(views, batch["views"] >= 0)

    def mixed(*parts: Tensor) -> Tensor:
        return sum((layer(f"blocks.mixed.parts.{i}", part) for i, part in enumerate(parts)), torch.zeros(()))

    events = torch.cat([clicks, cates], 2)
    there = (batch["clicks"] >= 0) | (batch["cates"] >= 0)
    deep = layer("blocks.deep.layer", events).relu() + mixed(user, viewed, user, user)[:, None]
    short = mean(deep + deep.detach(), there)
    trunk = layer("blocks.trunk.layers.0", user).relu()
    tokens = torch.stack([layer(f"blocks.tokens.parts.{i}", part) for i, part in enumerate([user, short])], 1)
    one, two = (
        [layer(f"level1.experts.{g}.{i}.layer", tokens).relu() for i in range(2)] for g in ("one", "two")
    )  # fmt: skip
    share = layer("level1.gates.a.head", user).softmax(-1)
    a = sum((share[:, i, None, None] * x for i, x in enumerate([*one, *two])), torch.zeros(()))
    share = layer("level1.gates.b.head", trunk).softmax(-1)
    seen = [one[0], two[0].detach(), two[1].detach()]
    b = a + sum(
        (share[:, i, None, None] * layer(f"level1.gates.b.transform.{i}", x) for i, x in enumerate(seen)),
        torch.zeros(()),
    )
    shared = torch.cat([a, b], 2).mean(1)  # two experts of a kind without weights, mixed by a softmax
    again = mixed(user, viewed.detach(), user, user)
    hidden = {"a": torch.cat([shared, again, short], 1), "b": torch.cat([shared, trunk, short], 1)}
    return {task: layer(f"towers.{task}.head", x)[:, 0] for task, x in hidden.items()}


@BOTH
def test_a_whole_model_is_what_its_spec_says(*, optimize: bool) -> None:
    """Outputs and gradients equal those of a hand-written model: masks, fields, shared weights, mixed tokens."""
    model, batch = model_of(load(), optimize=optimize), batch_of(6)
    weights = {name: view.clone().requires_grad_() for name, view in model.named_weights()}
    outputs, right = model(batch), by_hand(weights, batch)
    tolerance = 1e-10 if optimize else 1e-12
    assert_agree(outputs, right, tolerance)
    found = gradients(model, total(outputs))
    torch.autograd.backward(total(right))
    wanted = {name: torch.zeros_like(w) if w.grad is None else w.grad for name, w in weights.items()}
    assert_agree(found, wanted, tolerance)


def test_optimized_equals_plain() -> None:
    """Outputs and gradients of weights and event weights agree; batches with one row and with none run."""
    plain, optimized = (model_of(load(), optimize=optimize) for optimize in (False, True))
    for rows in (6, 1, 0):
        torch.testing.assert_close(run(optimized, batch_of(rows)), run(plain, batch_of(rows)), rtol=0, atol=1e-10)


@BOTH
def test_one_graph_and_any_batch(*, optimize: bool) -> None:
    """`torch.compile(fullgraph=True)` works, and so does another batch size."""
    model = model_of(load(), optimize=optimize)
    compiled = torch.compile(model, fullgraph=True, backend="eager", dynamic=True)
    for rows in (6, 9):
        torch.testing.assert_close(compiled(batch_of(rows)), model(batch_of(rows)), rtol=0, atol=1e-12)


def test_what_is_not_there_changes_nothing() -> None:
    """Padding gives no gradient to row 0 of the table, and the weight next to an id of -1 is ignored."""
    model, batch = model_of(load(), optimize=True), batch_of(6)
    batch["clicks"][batch["clicks"] == 0] = 3
    batch["views"][batch["views"] == 0] = 3
    before = model(batch)
    assert not gradients(model, total(before))["inputs.clicks.weight"][0].any()
    batch["shares"][batch["cates"] < 0] = float("nan")
    torch.testing.assert_close(model(batch), before)


def test_counts_are_torchs() -> None:
    """Parameters equal those of the model; shared weights count once; FLOPs count each token."""
    graph = graph_of(load())
    found = count(graph)
    assert found.total.parameters == sum(p.numel() for p in model_of(load(), optimize=False).parameters())
    assert found.nodes["blocks.again"].parameters == 0
    assert found.nodes["blocks.trunk"].flops == 2 * 4 * 5 + 5
    assert found.nodes["level1.experts.one.0"].flops == 2 * (2 * 6 * 6 + 6)  # two tokens, 6 to 6, ReLU


def test_blocks_are_one_module_each() -> None:
    """A block with several readers is computed once, and equal layers of several blocks are run together."""
    text = (
        HEAD
        + """
inputs: {x: {kind: dense, dim: 4}}
blocks:
  one: {units: [3]}
  two: {units: [3]}
tasks: {y: {}, z: {}}
towers: {$task: {from: [one, two]}}
"""
    )
    ops = build(graph_of(archspec.load(text))).lowered.forward.ops
    assert [op.output.shape for op in ops if op.kind == "linear" and op.node.section == "blocks"] == [("B", 6)]


def test_the_graph_knows_them() -> None:
    """The graph has names, tokens and tasks of blocks; an unused block is removed, with a note."""
    spec = load()
    exported = archspec.build_graph(spec)
    assert {name: exported.nodes[name]["tokens"] for name in ("blocks.deep", "blocks.short", "level1.gates.b")} == {
        "blocks.deep": 3, "blocks.short": None, "level1.gates.b": 2,
    }  # fmt: skip
    assert exported.nodes["blocks.again"]["tasks"] == ("a", "b")  # and `mixed`, whose weights it shares
    assert exported.nodes["blocks.again"]["like"] == "blocks.mixed"
    assert exported.nodes["blocks.trunk"]["detail"] == "MLP, 5"
    assert "blocks.unused" not in exported
    assert "unused" not in spec.data()["blocks"]
    assert [item.code for item in spec.diagnostics] == ["AS307"]


def test_the_canonical_form_reads_back() -> None:
    """`expand` writes blocks with their `from`; reading that gives the same spec and digest."""
    spec = load()
    again = load(spec.text())
    assert (again.text(), again.digest) == (spec.text(), spec.digest)
    assert spec.data()["blocks"]["trunk"]["from"] == "inputs"
    assert spec.data()["blocks"]["again"] == {"like": "mixed", "from": ["user", {"detach": "viewed"}, "user", "user"]}


def test_a_block_that_only_lends_its_weights_stays() -> None:
    """The canonical form keeps `lent`, which nothing reads, since another block is like it; there is no note."""
    text = (
        HEAD
        + """
inputs: {x: {kind: dense, dim: 4}}
blocks:
  lent: {units: [3]}
  again: {like: lent}
tasks: {y: {}}
towers: {y: {from: again}}
"""
    )
    spec = archspec.load(text)
    assert spec.diagnostics == ()
    assert archspec.load(spec.text()).digest == spec.digest
    model = archspec.compile(spec)
    assert "blocks.lent.layers.0.weight" in dict(model.named_weights())
    assert count(graph_of(spec)).total.parameters == sum(p.numel() for p in model.parameters()) == 4 * 3 + 3 + 3 + 1


def test_differences_name_blocks() -> None:
    """`diff` names the block in which a setting changed."""
    other = load(TEXT.replace("trunk: {units: [5]}", "trunk: {units: [7]}"))
    (change,) = statements(difference(graph_of(load()), graph_of(other)))
    assert (change.setting, change.places, change.old, change.new) == ("units", ("blocks.trunk",), [5], [7])


def test_defaults_reach_blocks() -> None:
    """`defaults: {blocks: ...}` sets keys of blocks, not of experts."""
    text = (
        HEAD
        + """
defaults: {blocks: {activation: silu}}
inputs: {x: {kind: dense, dim: 4}}
blocks: {trunk: {units: [3]}}
tasks: {y: {}}
levels: [{experts: {e: {from: trunk, units: [3]}}, gates: {y: {sees: e, selector: none}}}]
towers: {y: {}}
"""
    )
    data = archspec.load(text).data()
    assert data["blocks"]["trunk"]["activation"] == "silu"
    assert data["levels"][0]["experts"]["e"]["activation"] == "relu"


def test_inputs_leaves_tokens_out() -> None:
    """`inputs` means the inputs that are rows."""
    graph = graph_of(load())
    assert [edge.source for edge in graph.into("blocks.trunk")] == ["inputs.user"]


@pytest.mark.parametrize(("kind", "source"), [("average", "events"), ("weighed", "[user, user]")])
def test_modules_get_what_operations_get(kind: str, source: str) -> None:
    """A kind that builds a module gets tokens with their mask, or its fields, and equals the kind with operations."""
    outputs = []
    for name in (kind, f"{kind}_module"):
        text = TEXT.partition("blocks:")[0] + f"blocks: {{made: {{kind: {name}, from: {source}}}}}\n"
        model = model_of(load(text + "tasks: {y: {}}\ntowers: {y: {from: made}}\n"), optimize=True)
        with torch.no_grad():
            for value in model.parameters():
                value.fill_(0.25)
        batch = {key: value for key, value in batch_of(6).items() if kind == "average" or key == "user"}
        outputs.append(model(batch))
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("kind: average, from: views", "kind: average, from: user", "AS243", "takes tokens, but reads `user`"),
        ("short: {kind: average,", "short: {kind: identity,", "AS242", "reads `deep`, a list of 3 tokens"),
        ("plus: mixed", "plus: trunk", "AS210", "`plus` is 5 wide, not 6"),
        ("plus: mixed", "plus: views", "AS242", "reads `views` as its `plus`, a list of 3 tokens"),
        ("from: tokens, count: 2, units: 6}\n    gates", "from: events, count: 2, units: 6}\n    gates", "AS241",
         "gate `a` at level 1 combines lists of different lengths"),
        ("two: {kind: deep, from: tokens,", "two: {kind: mlp, from: user,", "AS109", "units"),
        ("again: {like: mixed, from: [user, {detach: viewed}, user, user]}",
         "again: {like: mixed, from: [[user, viewed], {sum: [user, user]}]}", "AS232", "fields of"),
        ("tokens: {kind: as_tokens, from: [user, short]", "tokens: {kind: as_tokens, from: [user, views]", "AS240",
         "combines rows and tokens"),
    ],
)  # fmt: skip
def test_wrong_matches_are_refused(old: str, new: str, code: str, said: str) -> None:
    """A stream that a kind does not take is an error with a specific code, reported once for each reader."""
    assert old in TEXT
    with pytest.raises(archspec.SpecError) as caught:
        load(TEXT.replace(old, new))
    found = [item for item in caught.value.diagnostics if item.severity == "error"]
    assert {item.code for item in found} == {code}
    assert said in found[0].message
