"""Warm start: weights of one spec in a model of another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import archspec
from archspec.diagnostics import SpecError
from archspec.graph.load import graph_of
from archspec.train.migration import SHARE, migrate_weights

if TYPE_CHECKING:
    from archspec.nn.module import Compiled
    from archspec.train.changes import Migration

SPEC = """
archspec: 1
name: warm
inputs: {user: {kind: sparse, vocab: 9, dim: 4}, x: {kind: dense, dim: 3}}
tasks: {click: {}, like: {}}
levels:
  - experts: {$task: {units: [4]}, shared: {count: 2, units: [4]}}
    gates:
      $task: {sees: [$task, shared], BIAS}
      shared: {sees: all, BIAS}
  - experts: {$task: {units: [4]}, shared: {count: 2, units: [4]}}
    gates: {$task: {sees: [$task, shared], BIAS}}
towers: {$task: {units: [4]}}
"""
BATCH = {
    "user": torch.arange(9).repeat(30),
    "x": torch.randn(270, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 5,
}


def spec(gate: str = "bias: true", text: str = SPEC) -> archspec.Spec:
    """The spec; its gates have some settings."""
    return archspec.load(text.replace("BIAS", gate))


def trained(of: archspec.Spec, *, optimize: bool = True) -> Compiled:
    """A model whose weights differ much from those of a new one."""
    model = archspec.compile(of, optimize, seed=1).double().eval()
    with torch.no_grad():
        for _, value in model.named_weights():
            value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel())))
    return model


def migrated(old: Compiled, new: archspec.Spec, *, optimize: bool = True, **options: Any) -> Migration:  # noqa: ANN401 - of migrate_weights
    """The new model with the old one's weights."""
    model = archspec.compile(new, optimize, seed=2).double().eval()
    old_spec: Any = type(old)
    return migrate_weights(dict(old.named_weights()), graph_of(old_spec.spec), model, graph_of(new), **options)


@torch.no_grad()
def difference(old: Compiled, new: Compiled) -> float:
    """The largest difference between logits that both models have, relative to the largest logit."""
    before, after = old(BATCH), new(BATCH)
    both = before.keys() & after.keys()
    return max(float((before[name] - after[name]).abs().max() / before[name].abs().max()) for name in both)


def test_the_same_spec_keeps_everything() -> None:
    """Every weight is kept, and outputs are equal."""
    old = trained(spec())
    found = migrated(old, spec())
    assert found.counts() == {"kept": len([*old.named_weights()]), "moved": 0, "grown": 0, "new": 0, "dropped": 0}
    assert difference(old, found.model) == 0


def test_a_new_task_changes_no_old_output() -> None:
    """If no gate of the old tasks sees the new parts, their outputs are exactly equal."""
    first, _, towers = SPEC.rpartition("  - experts: {$task: {units: [4]}, shared: {count: 2, units: [4]}}\n")
    text = first.replace("      shared: {sees: all, BIAS}\n", "") + towers[towers.index("towers:") :]
    old = trained(spec(text=text), optimize=False)  # optimized, a product of another size may be rounded differently
    found = migrated(old, spec(text=text.replace("like: {}", "like: {}, buy: {}")), optimize=False)
    assert difference(old, found.model) == 0
    counts = found.counts()
    assert (counts["grown"], counts["moved"], counts["dropped"]) == (0, 0, 0)
    assert all("buy" in change.weight for change in found.changes if change.how == "new")


@pytest.mark.parametrize(
    ("gate", "bound"),
    [
        ("bias: true", SHARE),
        ("bias: true, temperature: 3.0", SHARE),
        ("bias: true, units: [5]", SHARE),
        ("selector: none", SHARE),
        ("selector: none, temperature: 0.5, init: random", SHARE),
        ("kind: sigmoid, bias: true", SHARE),
        ("kind: sigmoid, selector: none", SHARE),
        ("kind: topk, k: 2, bias: true", SHARE),
        ("kind: linear", 0.0),
        ("kind: linear, selector: none", 0.0),
        ("kind: hard_concrete", 0.0),
        ("", 1 / 3),
    ],
)
def test_an_added_expert_enters_with_little_weight(gate: str, bound: float) -> None:
    """In every row, added experts have at most the stated weight; the others keep their proportions.

    Without a bias, a softmax gives an added expert at most the weight of an average one.
    """
    old = trained(spec(gate))
    found = migrated(old, spec(gate, SPEC.replace("shared: {count: 2", "shared: {count: 3")))
    graph = graph_of(spec(gate, SPEC.replace("shared: {count: 2", "shared: {count: 3")))
    before, after = old.gate_weights(BATCH), found.model.gate_weights(BATCH)
    for name, seen in graph.seen.items():
        added = [place for place, expert in enumerate(seen) if expert.node.endswith("shared.2")]
        known = [place for place in range(len(seen)) if place not in added]
        assert float(after[name][:, added].abs().sum(1).max()) <= bound + 1e-12
        if name.startswith("level1") and "topk" not in gate:
            kept = after[name][:, known]
            scale = kept.sum(1, keepdim=True) / before[name].sum(1, keepdim=True) if gate[:5] != "kind:" else 1.0
            torch.testing.assert_close(kept, before[name] * scale, rtol=1e-10, atol=1e-12)
    if bound == 0:
        assert difference(old, found.model) == pytest.approx(0, abs=1e-12)
    elif bound == SHARE:
        assert difference(old, found.model) < 0.5
    grown = [change for change in found.changes if change.how == "grown"]
    assert all((change.kept, change.rows) in {(3, 4), (4, 5)} for change in grown)
    assert any("without `bias: true`" in change.why for change in grown) == (gate == "")


def test_a_smaller_share_changes_less() -> None:
    """The outputs converge to the old ones as the share of added experts goes to zero."""
    old, new = trained(spec()), spec(text=SPEC.replace("shared: {count: 2", "shared: {count: 3"))
    changes = [difference(old, migrated(old, new, share=share).model) for share in (1e-1, 1e-3, 1e-5)]
    assert changes[0] > changes[1] > changes[2]
    assert changes[2] < changes[0] / 1000


def test_a_bias_that_the_gate_did_not_have_keeps_the_old_outputs() -> None:
    """A gate that gets `bias: true` with the new expert has zero biases for the old experts."""
    old = trained(spec(""))
    found = migrated(old, spec("bias: true"))
    assert difference(old, found.model) == 0
    grown = migrated(old, spec("bias: true", SPEC.replace("shared: {count: 2", "shared: {count: 3")))
    assert difference(old, grown.model) < 0.5
    assert not [change for change in grown.changes if "without `bias: true`" in change.why]


def test_experts_in_another_order_take_their_rows_along() -> None:
    """Rows of a head belong to experts: with `sees` reversed, outputs are equal up to rounding."""
    old = trained(spec())
    found = migrated(old, spec(text=SPEC.replace("sees: [$task, shared]", "sees: [shared, $task]")))
    assert difference(old, found.model) == pytest.approx(0, abs=1e-12)
    assert found.counts()["new"] == 0


def test_a_removed_expert_leaves_the_others_their_rows() -> None:
    """Its weights and its row are dropped; each remaining row still belongs to its expert."""
    old = trained(spec(text=SPEC.replace("shared: {count: 2", "shared: {count: 3")))
    found = migrated(old, spec())
    before, after = dict(old.named_weights()), dict(found.model.named_weights())
    torch.testing.assert_close(after["level1.gates.click.head.weight"], before["level1.gates.click.head.weight"][:3])
    assert {"level1.experts.shared.2.layers.0.weight"} <= {c.weight for c in found.changes if c.how == "dropped"}


def test_renamed_nodes_are_moved() -> None:
    """A plain name renames every node of that name, a canonical name one group; gates find the renamed experts."""
    old = trained(spec())
    new = (
        SPEC.replace("click", "tap")
        .replace("shared: {count", "common: {count")
        .replace("[$task, shared]", "[$task, common]")
        .replace("shared: {sees", "common: {sees")
    )
    found = migrated(old, spec(text=new), moved={"click": "tap", "shared": "common"})
    assert found.counts()["new"] == found.counts()["dropped"] == found.counts()["grown"] == 0
    with torch.no_grad():
        assert torch.equal(old(BATCH)["click"], found.model(BATCH)["tap"])
    one = migrated(old, spec(text=new), moved={"click": "tap", "level1.experts.shared": "level1.experts.common"})
    assert {c.source for c in one.changes if c.how == "moved"} >= {"level1.experts.shared.0.layers.0.weight"}
    with pytest.raises(SpecError, match="AS805") as raised:
        migrated(old, spec(text=new), moved={"clik": "tap", "click": "tapp"})
    helps = [item.help for item in raised.value.diagnostics]
    assert helps == ["did you mean `click`?", "did you mean `tap`?"]


def test_rows_of_a_table_go_where_they_are_sent() -> None:
    """Rows without a source keep their random initial values; a longer table grows."""
    old = trained(spec())
    new = spec(text=SPEC.replace("vocab: 9", "vocab: 11"))
    places = np.asarray([0, 3, 2, -1, 1, *range(5, 9), -1, -1])
    found = migrated(old, new, tables={"inputs.user.weight": places})
    before, after = (
        dict(old.named_weights())["inputs.user.weight"],
        dict(found.model.named_weights())["inputs.user.weight"],
    )
    drawn = dict(archspec.compile(new, seed=2).double().named_weights())["inputs.user.weight"]
    assert torch.equal(after, torch.where(torch.tensor(places >= 0)[:, None], before[places], drawn))
    (change,) = [change for change in found.changes if change.weight == "inputs.user.weight"]
    assert (change.how, change.kept, change.rows) == ("grown", 8, 11)


def test_other_shapes_are_drawn_anew_and_said() -> None:
    """A weight of another shape cannot be copied and stays random; the text mentions its old shape."""
    found = migrated(
        trained(spec()), spec(text=SPEC.replace("towers: {$task: {units: [4]}}", "towers: {$task: {units: [5]}}"))
    )
    assert "new     towers.click.layers.0.weight: was [4, 4], is [5, 4]" in found.text()
    assert found.text().startswith("weights: ")


def test_a_transform_belongs_to_its_expert() -> None:
    """With `transform: linear`, each expert keeps its matrix if another expert is inserted before it."""
    gate = "bias: true, transform: linear"
    old = trained(spec(gate))
    found = migrated(old, spec(gate, SPEC.replace("[$task, shared]", "[shared, $task]")))
    before, after = dict(old.named_weights()), dict(found.model.named_weights())
    assert torch.equal(after["level2.gates.click.transform.2.weight"], before["level2.gates.click.transform.0.weight"])
    assert difference(old, found.model) == pytest.approx(0, abs=1e-12)


def test_without_the_old_graph_weights_of_equal_shapes_are_copied() -> None:
    """A plain dict of weights has no names of experts: a head of another height keeps its random values."""
    old = trained(spec())
    new = spec(text=SPEC.replace("shared: {count: 2", "shared: {count: 3"))
    found = migrate_weights(dict(old.named_weights()), None, archspec.compile(new, seed=2), graph_of(new))
    how = {change.weight: change.how for change in found.changes}
    assert how["level1.gates.click.head.weight"] == "new"
    assert how["level1.experts.shared.1.layers.0.weight"] == "kept"
    assert math.isclose(sum(found.counts().values()), len(how))


def test_the_report_has_one_line_for_the_weights_of_a_node() -> None:
    """New, dropped and moved weights of a node are counted, unless there is more to say about one of them."""
    new = SPEC.replace("like: {}", "like: {}, buy: {}")
    assert "new     towers.buy: 4 weights" in migrated(trained(spec()), spec(text=new)).text().splitlines()[-1]
    renamed = migrated(trained(spec()), spec(text=SPEC.replace("like", "love")), moved={"like": "love"}).text()
    assert "  moved   towers.love, was towers.like: 4 weights" in renamed.splitlines()


def test_what_looks_renamed_is_said() -> None:
    """A block that is gone and one with the same settings: the report has the options that keep its weights."""
    new = spec(text=SPEC.replace("like", "love"))
    found = migrated(trained(spec()), new)
    assert found.renamed == {"like": "love"}
    assert found.text().splitlines()[-1] == "  renamed? `like` to `love`: --moved like=love keeps the weights"
    assert not migrated(trained(spec()), new, moved={"like": "love"}).renamed


def test_another_kind_is_said() -> None:
    """A gate of another kind keeps its rows, but its weights mean something else: the report names both kinds."""
    found = migrated(trained(spec()), spec("bias: true, kind: sigmoid"))
    assert found.counts()["new"] == 0
    assert "kept    level1.gates.click.head.weight: its kind was `softmax`, is `sigmoid`" in found.text()
