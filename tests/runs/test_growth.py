"""Warm start of specs that grow: wider parts and new inputs keep old outputs, and columns move by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from archspec.runs.migration import migrate
from tests.plain.batches import batch_for
from tests.published import PLUGINS, SPECS

if TYPE_CHECKING:
    from archspec.train.changes import Migration

SPEC = """
archspec: 1
name: grow
inputs:
  user: {kind: sparse, vocab: 30, dim: 8}
  item: {kind: sparse, vocab: 20, dim: 4}
  seen: {kind: sequence, table: item, length: 6, pool: POOL}
  tab: {kind: domain, values: [home, search], dim: 3}
  age: {kind: numeric, EMBEDDING, dim: 4}
  x: {kind: dense, dim: 3}
tasks: {click: {}, like: {}}
levels:
  - experts:
      shared: {count: 2, UNITS, EXPERT}
      crossed: {kind: cross, layers: 2, CROSS, units: [16]}
    gates: {$task: {sees: all, units: [6], bias: true, GATE}}
towers: {$task: {units: [12, 8], activation: prelu, norm: batch}}
"""
USUAL = {
    "POOL": "mean", "EMBEDDING": "embedding: linear", "UNITS": "units: [24, 16]", "EXPERT": "norm: batch",
    "CROSS": "gated: true", "GATE": "selector: inputs",
}  # fmt: skip


def text_of(*edits: tuple[str, str]) -> str:
    """The text after edits, each of which must change it; the first ones may set a word in capitals."""
    text = SPEC
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    for word, usual in USUAL.items():
        text = text.replace(word, usual)
    return text


def migrated(before: str, now: str, **options: dict[str, str]) -> tuple[float, Migration]:
    """The largest change of a logit that both have (float64, in evaluation), and the migration."""
    old = archspec.compile(archspec.load(before), seed=1)
    with torch.no_grad():
        for name, value in old.named_weights():
            shift = torch.rand(value.shape, generator=torch.Generator().manual_seed(value.numel()))
            value.add_(shift if "running_var" in name else shift - 0.5)
    found = migrate(old, now, seed=2, moved=options.get("moved"))
    batch = batch_for(archspec.load(before).data()["inputs"], 17, 0, torch.float64)
    fresh = batch_for(archspec.load(now).data()["inputs"], 17, 1, torch.float64)
    renamed = {new: batch[name] for name, new in options.get("moved", {}).items() if name in batch}
    with torch.no_grad():
        logits, others = old.double().eval()(batch), found.model.double().eval()({**fresh, **batch, **renamed})
    return max(float((logits[name] - others[name]).abs().max()) for name in logits.keys() & others.keys()), found


def hows(found: Migration, *parts: str) -> set[str]:
    """What happened to the weights whose names contain one of some texts."""
    return {change.how for change in found.changes if any(part in change.weight for part in parts)}


GROWTHS = {
    "an embedding": ("user: {kind: sparse, vocab: 30, dim: 8}", "user: {kind: sparse, vocab: 30, dim: 16}"),
    "a shared table": ("vocab: 20, dim: 4", "vocab: 20, dim: 8"),
    "a domain": ("search], dim: 3", "search], dim: 5"),
    "a numeric embedding": ("EMBEDDING, dim: 4", "EMBEDDING, dim: 6"),
    "experts": ("units: [16]}", "units: [32]}"),
    "hidden layers of experts": ("UNITS", "units: [40, 16]"),
    "the gate's network": ("units: [6]", "units: [9]"),
    "towers": ("units: [12, 8]", "units: [20, 12]"),
    "an added input in front": ("inputs:\n", "inputs:\n  city: {kind: sparse, vocab: 9, dim: 5}\n"),
    "an added input between": ("  tab:", "  city: {kind: sparse, vocab: 9, dim: 5}\n  tab:"),
    "an added list": ("  tab:", "  liked: {kind: sequence, table: item, length: 3}\n  tab:"),
    "an added number": ("  x:", "  price: {kind: numeric, embedding: linear, dim: 4}\n  x:"),
}


@pytest.mark.parametrize("what", GROWTHS)
def test_growth_changes_no_output(what: str) -> None:
    """New columns are zero, so that old outputs are equal up to rounding; nothing that could be kept is drawn anew."""
    edits = [GROWTHS[what], *([("UNITS", "units: [24, 32]")] if what == "experts" else [])]
    change, found = migrated(text_of(), text_of(*edits))
    assert change < 1e-12
    assert found.counts()["grown"] > 0
    assert found.counts()["dropped"] == 0
    added = ("city", "price", "gates.liked")
    assert all(any(name in each.weight for name in added) for each in found.changes if each.how == "new")


@pytest.mark.parametrize(
    "edits",
    [
        (("EMBEDDING", "embedding: autodis"), ("autodis, dim: 4", "autodis, dim: 6")),
        (("EMBEDDING", "embedding: autodis, metas: 5"), ("metas: 5, dim: 4", "metas: 5, dim: 6")),
        (("EMBEDDING", "embedding: periodic, frequencies: 3"), ("cies: 3, dim: 4", "cies: 3, dim: 6")),
        (("EMBEDDING", "embedding: buckets, boundaries: [0.0, 1.0]"), ("1.0], dim: 4", "1.0], dim: 7")),
        (("POOL", "max"), ("vocab: 20, dim: 4", "vocab: 20, dim: 6")),
        (("CROSS", "rank: 3"), ("vocab: 30, dim: 8", "vocab: 30, dim: 9")),
        (("EXPERT", "activation: dice"), ("UNITS", "units: [30, 16]")),
        (("GATE", "selector: [user, x]"), ("vocab: 30, dim: 8", "vocab: 30, dim: 9")),
    ],
)  # fmt: skip
def test_every_kind_of_part_can_grow(edits: tuple[tuple[str, str], tuple[str, str]]) -> None:
    """Numeric embeddings, pools, low-rank crosses, activations with weights: old outputs are equal up to rounding."""
    change, found = migrated(text_of(edits[0]), text_of(*edits))
    assert change < 1e-12
    assert hows(found) == set()
    assert {each.how for each in found.changes} == {"kept", "grown"}


def test_columns_belong_to_inputs_by_name() -> None:
    """A replaced input of the same width: its columns are zero, those of the others keep their numbers and move."""
    before = text_of()
    now = text_of(
        ("  user: {kind: sparse, vocab: 30, dim: 8}\n", ""), ("  x:", "  city: {kind: sparse, vocab: 9, dim: 8}\n  x:")
    )
    _, found = migrated(before, now)
    weights = dict(found.model.named_weights())
    layer = "level1.experts.shared.0.layers.0.weight"
    old = archspec.compile(archspec.load(before), seed=1)
    with torch.no_grad():
        for value in (dict(old.named_weights())[layer],):
            value.add_(torch.rand(value.shape, generator=torch.Generator().manual_seed(value.numel())) - 0.5)
    trained = dict(old.named_weights())[layer].double()
    assert torch.equal(weights[layer][:, :15], trained[:, 8:23])
    assert not weights[layer][:, 15:23].any()
    assert torch.equal(weights[layer][:, 23:], trained[:, 23:])
    assert (
        f"grown   {layer}, 24 of 24 rows, 18 of 26 columns: new columns start at zero: inputs.city; "
        "without columns of inputs.user"
    ) in found.text()


def test_inputs_in_another_order_change_nothing() -> None:
    """The columns of every layer follow their inputs; nothing grows."""
    user = "  user: {kind: sparse, vocab: 30, dim: 8}\n"
    change, found = migrated(text_of(), text_of((user, ""), ("  x:", f"{user}  x:")))
    assert change < 1e-12
    counts = found.counts()
    assert (counts["new"], counts["grown"], counts["dropped"]) == (0, 0, 0)
    assert counts["moved"] > 0


def test_a_renamed_input_that_grows_keeps_its_columns() -> None:
    """`moved` renames the columns of the layers that read an input, too."""
    old = "user: {kind: sparse, vocab: 30, dim: 8}"
    now = text_of((old, "member: {kind: sparse, vocab: 30, dim: 10}"))
    change, found = migrated(text_of(), now, moved={"user": "member"})
    assert change < 1e-12
    assert (found.counts()["new"], found.counts()["dropped"]) == (0, 0)


def test_a_new_expert_and_a_wider_gate_in_one_change() -> None:
    """Rows of the gate's head move by expert, its columns by what it reads; outputs change by the gate's bound."""
    now = text_of(("count: 2", "count: 3"), ("units: [6]", "units: [9]"), ("dim: 8", "dim: 9"))
    change, found = migrated(text_of(), now)
    assert 0 < change < 0.1
    heads = [each for each in found.changes if each.weight.endswith("gates.click.head.weight")]
    assert [(each.how, each.kept, each.rows) for each in heads] == [("grown", 3, 4)]


FIELDS = """
archspec: 1
name: fields
inputs:
  a: {kind: sparse, vocab: 9, dim: 4}
  b: {kind: sparse, vocab: 9, dim: 4}
  c: {kind: sequence, table: a, length: 5}
feature_gates: {scaled: {from: [a, b, c], selector: b, KIND}}
tasks: {click: {}}
levels:
  - experts: {one: {from: scaled, FIELDS}, two: {from: scaled, units: [8]}}
    gates: {click: {sees: all, bias: true}}
towers: {click: {units: [6]}}
"""


@pytest.mark.parametrize("kind", ["kind: sigmoid", "kind: sigmoid, per: element", "kind: sigmoid, squeeze: mean"])
@pytest.mark.parametrize("expert", ["kind: cross, units: [8]", "units: [8]"])
def test_an_added_field_keeps_the_others(kind: str, expert: str) -> None:
    """The gate's rows and the columns behind it belong to fields by name, wherever the new one is."""
    text = FIELDS.replace("KIND", kind).replace("FIELDS", expert)
    new = text.replace("  b: {kind", "  d: {kind: sparse, vocab: 9, dim: 4}\n  b: {kind").replace(
        "[a, b, c]", "[a, d, b, c]"
    )
    change, found = migrated(text, new)
    assert change < 1e-12
    assert {each.weight for each in found.changes if each.how == "new"} == {"inputs.d.weight"}


TOKENS = """
archspec: 1
name: tokens
inputs:
  a: {kind: sparse, vocab: 9, dim: 4}
  c: {kind: sequence, table: a, length: 5, pool: none}
  x: {kind: dense, dim: 2}
blocks:
  din: {kind: target_attention, from: c, query: a}
  bst: {kind: transformer, from: c, pool: mean}
  auto: {kind: fields_attention, from: [a, din], dim: 8}
  norm: {from: [a, x], units: [6], norm: layer}
tasks: {click: {}}
towers: {click: {from: [din, auto, x, norm], units: [6]}}
"""


def test_lists_and_fields_grow_by_name() -> None:
    """DIN's comparisons keep their columns in a wider table; heads of another width are drawn anew, and it is said."""
    _, found = migrated(TOKENS, TOKENS.replace("dim: 4", "dim: 6").replace("x, norm]", "x, norm, bst]"))
    by_name = {each.weight: each for each in found.changes}
    assert hows(found, "blocks.din.layers.0.weight") == {"grown"}
    assert by_name["blocks.din.layers.0.weight"].kept_columns == 16
    _, wider = migrated(
        TOKENS.replace("din, auto", "din, bst, auto"),
        TOKENS.replace("din, auto", "din, bst, auto").replace("dim: 4", "dim: 6"),
    )
    query = next(each for each in wider.changes if each.weight == "blocks.bst.layers.0.query.weight")
    assert (query.how, query.why) == ("new", "was [4, 4], is [6, 6]")
    assert hows(wider, "bst.positions", "auto.layers.0.query") == {"grown"}


def test_an_added_field_of_attention_keeps_the_layers() -> None:
    """AutoInt's layers are the same for all fields; what reads its result finds the columns of each field by name."""
    now = TOKENS.replace("  c: {kind", "  b: {kind: sparse, vocab: 9, dim: 4}\n  c: {kind").replace(
        "[a, din]", "[b, a, din]"
    )
    change, found = migrated(TOKENS, now)
    assert change > 0
    assert hows(found, "blocks.auto") == {"kept"}
    tower = next(each for each in found.changes if each.weight == "towers.click.layers.0.weight")
    assert (tower.kept_columns, tower.columns) == (28, 36)


def test_a_norm_over_more_elements_is_said() -> None:
    """Layer norm over a wider vector changes all its elements, which no zero prevents: the report says so."""
    change, found = migrated(TOKENS, TOKENS.replace("units: [6], norm: layer", "units: [9], norm: layer"))
    assert change > 1e-6
    whys = {each.why for each in found.changes if each.weight.startswith("blocks.norm.") and each.why}
    assert whys == {"it is normalised together with new elements, so old outputs change: blocks.norm.layers.0"}


def test_weights_of_an_unknown_function_are_copied_and_said() -> None:
    """Only a plugin's function knows its columns: of equal shape they stay where they were, with a remark."""
    before = (SPECS / "mlora.yaml").read_text(encoding="utf-8")
    now = before.replace("  user: {kind: sparse", "  member: {kind: sparse")
    assert now != before
    old, new = (archspec.load(text, plugins=[PLUGINS / "mlora.py"]) for text in (before, now))
    found = migrate(archspec.compile(old, seed=1), new, seed=2)
    whys = {each.why for each in found.changes if ".down.weight" in each.weight and each.how == "kept"}
    assert "copied whole, but what its kind reads has changed" in whys


def test_a_layer_of_another_kind_is_not_taken_for_a_smaller_one() -> None:
    """An MLP's first layer and the last one of a cross network have one name: of another shape, it is drawn anew."""
    now = text_of(("shared: {count: 2, UNITS, EXPERT}", "shared: {count: 2, kind: cross, layers: 1, units: [16]}"))
    _, found = migrated(text_of(), now)
    (change,) = [each for each in found.changes if each.weight == "level1.experts.shared.0.layers.0.weight"]
    assert (change.how, change.why) == ("new", "was [24, 26], is [16, 26]")


def test_a_smaller_layer_keeps_what_is_left() -> None:
    """Rows and columns that are gone are counted or named."""
    _, found = migrated(text_of(), text_of(("UNITS", "units: [20, 16]")))
    text = found.text()
    assert "moved   level1.experts.shared.0.layers.0.weight, 26 of 26 columns: without 4 of its 24 rows" in text
    assert (
        "level1.experts.shared.0.layers.1.weight, 20 of 20 columns: without columns of level1.experts.shared.0.layers.0"
        in text
    )


def test_a_softmax_over_more_fields_is_said() -> None:
    """A field that is added to a softmax takes weight from the others, which no zero prevents: the report says so."""
    text = FIELDS.replace("KIND", "kind: softmax").replace("FIELDS", "units: [8]")
    now = text.replace("  b: {kind", "  d: {kind: sparse, vocab: 9, dim: 4}\n  b: {kind").replace(
        "[a, b, c]", "[a, d, b, c]"
    )
    change, found = migrated(text, now)
    assert change > 1e-6
    (head,) = [each for each in found.changes if each.weight == "feature_gates.scaled.head.weight"]
    assert (head.how, head.kept, head.rows) == ("grown", 3, 4)
    assert head.why == "it is normalised together with new elements, so old outputs change: inputs.d"


def grown(units: re.Match[str]) -> str:
    """Sizes of layers, each 8 more."""
    return ", ".join(str(int(size) + 8) for size in units[0].split(","))


def wider(name: str) -> tuple[float, Migration]:
    """A published spec whose layers all become wider: the largest change of a logit, and the migration."""
    before = (SPECS / f"{name}.yaml").read_text(encoding="utf-8")
    now = re.sub(r"(?<=units: \[)[0-9, ]+", grown, before)
    old, new = (archspec.load(text, plugins=[PLUGINS / f"{name}.py"]) for text in (before, now))
    model = archspec.compile(old, seed=1)
    found = migrate(model, new, seed=2)
    batch = batch_for(old.data()["inputs"], 9, 0, torch.float64)
    with torch.no_grad():
        logits, others = model.double().eval()(batch), found.model.double().eval()(batch)
    return max(float((logits[each] - others[each]).abs().max()) for each in logits), found


def test_a_mix_of_concatenated_parts_keeps_the_parts() -> None:
    """In sluice networks a gate mixes experts that are two streams side by side: the second one moves as a whole."""
    change, found = wider("sluice")
    assert change < 1e-10
    assert (found.counts()["new"], found.counts()["moved"]) == (0, 0)


def test_a_matrix_that_a_layer_makes_is_drawn_anew() -> None:
    """APG's layers return matrices for each row: with another width no number of them is where it was."""
    _, found = wider("apg")
    made = {each.weight: each.why for each in found.changes if each.how == "new"}
    assert made
    assert all(why.startswith("was [") for why in made.values())
