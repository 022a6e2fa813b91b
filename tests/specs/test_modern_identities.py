"""Modern architectures without their new part equal simpler ones: the identities of their papers hold exactly."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import archspec
from tests.compiler.models import assert_equal
from tests.plain.batches import batch_for
from tests.published import SPECS, plugins_of

Edits = tuple[tuple[str, str], ...]
WITHOUT: dict[str, tuple[str, str, Edits, Edits]] = {
    "adatt: static weights 0, own experts only = CGC without shared ones": (
        "adatt",
        r"gates\.own_\w+\.weight",
        (("sees: all", "sees: $task"),),
        (
            ("sees: all, residual: own_$task", "sees: $task"),
            ("      own_$task: {sees: $task, selector: none, kind: linear, init: random}\n", ""),
        ),
    ),
    "pepnet: EPNet with logits 0 = no gate": (
        "pepnet",
        r"feature_gates\..*head",
        (),
        (("from: personal", "from: fields"), ("detach: personal", "detach: fields")),
    ),
    "pepnet: PPNet with logits 0 = plain towers": ("pepnet", r"modulate\..*head", (), ((r"    modulate: .*\n", ""),)),
    "poso: logits 0 = MMoE": ("poso", r"modulate\..*head", (), ((r", modulate: \*personal", ""),)),
    "home: feature gates with logits 0 = no feature gates": (
        "home",
        r"modulate\..*head",
        (),
        ((r", modulate: {at: input, rank: 4, scale: 2}", ""),),
    ),
    "mmoe_mixed: crosses with weights 0 = MLP experts": (
        "mmoe_mixed",
        r"\.cross\.",
        (),
        (("kind: cross, count: 3, layers: 2, rank: 16, ", "count: 3, "),),
    ),
    "star: W_p = 1 and b_p = 0, the start, = the shared network": (
        "star",
        "no weight",
        (("domain: scene", "domain: scene, norm: none"),),
        (("kind: star, domain: scene, ", ""),),
    ),
    "mlora: B = 0 and c = 0, the start, = the shared network": (
        "mlora",
        r"domains\.\d\.up",
        (),
        (("kind: mlora, domain: scene, units: [64, 32], rank: 4", "units: [64, 32]"),),
    ),
    "hamur: g = e = 0 = a tower per domain": (
        "hamur",
        r"adapters\.0\.norm\.(weight|bias)",
        (),
        ((r"click: \{kind: hamur.*\}", "click: {switch: scene, cases: {$domain: {from: inputs, units: [64, 32]}}}"),),
    ),
    "meituan_search: equal weights of the fields change nothing": (
        "meituan_search",
        r"feature_gates\..*head",
        (),
        (("from: for_$domain", "from: common"),),
    ),
}  # fmt: skip
"""Identity -> spec, weights that are set to 0, edits on its text, and edits that take the part out."""


def text_of(name: str, edits: Edits = ()) -> str:
    """The text of a spec after some edits, each of which must have an effect."""
    text = (SPECS / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in edits:
        pattern = old if "\\" in old else re.escape(old)
        text, count = re.subn(pattern, new.replace("\\", r"\\"), text)
        assert count, old
    return text


def loaded(name: str, edits: Edits = ()) -> archspec.Spec:
    """An edited spec with its plugin."""
    text = text_of(name, edits)
    return archspec.load(text, None, plugins_of(text))


def compiled(name: str, edits: Edits = ()) -> Any:  # noqa: ANN401 - an emitted class
    """The module of an edited spec, float64, in evaluation."""
    return archspec.compile(loaded(name, edits), seed=0).double().eval()


def batch_of(name: str, rows: int = 17, seed: int = 0) -> dict[str, Tensor]:
    """A random batch for a spec."""
    return batch_for(loaded(name).data()["inputs"], rows, seed, torch.float64)


def views(model: Any, pattern: str) -> list[Tensor]:  # noqa: ANN401 - an emitted class
    """The weights whose canonical name contains a pattern."""
    return [value for key, value in model.named_weights() if re.search(pattern, key)]


@pytest.mark.parametrize("identity", WITHOUT)
def test_without_its_new_part(identity: str) -> None:
    """With its new part neutralised, a spec has the outputs of the spec without it, for the same weights."""
    name, pattern, edits, taken_out = WITHOUT[identity]
    model, plain = compiled(name, edits), compiled(name, taken_out)
    for value in views(model, pattern):
        value.zero_()
    mine = dict(model.named_weights())
    theirs = [key for key, _ in plain.named_weights()]
    assert set(theirs) < set(mine)
    plain.load_weights({key: mine[key] for key in theirs})
    batch = batch_of(name)
    assert_equal(model(batch), plain(batch))


def test_adatt_with_one_expert_per_task_adds_it() -> None:
    """`kind: sum` equals `kind: linear` with every v = 1, and has no weights to learn."""
    one = (("count: 2, ", ""),)
    learned = compiled("adatt", one)
    fixed = compiled("adatt", (*one, ("selector: none, kind: linear, init: random", "kind: sum")))
    for value in views(learned, r"own_\w+\.weight"):
        assert 0 < abs(float(value)) <= 1
        value.fill_(1)
    mine = dict(learned.named_weights())
    assert set(mine) - {key for key, _ in fixed.named_weights()} == {
        f"level{level}.gates.own_{task}.weight" for level in (1, 2) for task in ("watch", "like", "share")
    }
    fixed.load_weights({key: mine[key] for key, _ in fixed.named_weights()})
    batch = batch_of("adatt")
    assert_equal(fixed(batch), learned(batch))
    assert_equal(fixed.gate_weights(batch), learned.gate_weights(batch))


def test_snr_with_all_connections_open_is_a_sum() -> None:
    """With log a so large that every z is 1, SNR-Aver adds all sub-networks."""
    edits = ((r"defaults:\n.*\n", "defaults:\n  gates: {kind: linear, selector: none}\n"),)
    model, plain = compiled("snr_trans", ((", transform: linear", ""),)), compiled("snr_trans", edits)
    plain.load_weights(dict(model.named_weights()))
    for value in views(model, r"gates\.\w+\.weight"):
        value.fill_(50)
    for value in views(plain, r"gates\.\w+\.weight"):
        value.fill_(1)
    batch = batch_of("snr_trans")
    assert_equal(model(batch), plain(batch))


def test_snr_closes_connections_exactly() -> None:
    """With log a far below 0, z is 0: in evaluation the connection is exactly closed, not just small."""
    model = compiled("snr_trans", ((", transform: linear", ""),))
    for value in views(model, r"gates\.\w+\.weight"):
        value[1:] = -50
        value[0] = 50
    gates = model.gate_weights(batch_of("snr_trans"))
    for weights in gates.values():
        assert weights.tolist() == [[1.0, 0.0, 0.0, 0.0]] * 17


def test_hinet_attends_over_other_scenes_only() -> None:
    """The own scene has weight 0, the others that of a softmax over all; `own` uses only the row's own scene."""
    model, batch = compiled("hinet"), batch_of("hinet", 64)
    everybody = compiled("hinet", ((", exclude: {domain: scene, after: softmax}", ""),))
    everybody.load_weights(dict(model.named_weights()))
    gates = model.gate_weights(batch)
    own = torch.nn.functional.one_hot(batch["scene"], 3).double()
    assert torch.equal(gates["level2.gates.own"], own)
    others = gates["level2.gates.others"]
    attention = everybody.gate_weights(batch)["level2.gates.others"]
    assert_equal(others, attention * (1 - own))
    assert (others.sum(1) < 0.95).all()


def test_hinet_scores_a_row_by_its_own_scene() -> None:
    """Experts, gates and towers of other scenes and tasks change no logit; the scene only steers the attention."""
    model, batch = compiled("hinet"), batch_of("hinet", 64)
    before = model(batch)["click"]
    for value in views(model, r"(search_|_buy|cases\.search)"):
        value.normal_()
    changed = (model(batch)["click"] != before).detach()
    assert torch.equal(changed, batch["scene"] == 1)
    model = compiled("hinet", ((r"\n      others: .*", "\n      others: {sees: all, selector: features}"),))
    assert not views(model, r"inputs\.scene")  # without the attention, its embedding is unread


def test_sluice_starts_as_single_task_models() -> None:
    """With alpha the identity, no task's output reaches another task's layers."""
    model = compiled("sluice")
    outputs = model(batch_of("sluice"))
    before = {key: value.clone() for key, value in model.named_weights()}
    for key, value in model.named_weights():
        if ".experts.chunk_" in key or "towers.chunk" in key:
            value.normal_()
    assert_equal(model(batch_of("sluice"))["entity"], outputs["entity"])
    assert not torch.equal(model(batch_of("sluice"))["chunk"], outputs["chunk"])
    assert before


def test_mtan_masks_of_one_leave_the_trunk() -> None:
    """If all masks are 1, every task reads the trunk itself."""
    edits = ((r"        modulate: .*\n", ""),)
    model, plain = compiled("mtan"), compiled("mtan", edits)
    for value in views(model, r"modulate\.\d+\.head\.weight"):
        value.zero_()
    for value in views(model, r"modulate\.\d+\.head\.bias"):
        value.fill_(800)  # sigmoid(800) is exactly 1 in float64
    mine = dict(model.named_weights())
    plain.load_weights({key: mine[key] for key, _ in plain.named_weights()})
    batch = batch_of("mtan")
    assert_equal(model(batch), plain(batch))


def test_mtan_with_equal_encoders_is_mtan_with_one() -> None:
    """Separate encoders with equal weights are equivalent to the shared encoder."""
    own = ((r"f_segment: .*\n      f_\$task: .*", "f_$task: {from: level1.experts.$task, units: [64]}"),)
    model, several = compiled("mtan"), compiled("mtan", own)
    mine = dict(model.named_weights())
    several.load_weights({key: mine[key.replace("f_depth", "f_segment")] for key, _ in several.named_weights()})
    batch = batch_of("mtan")
    assert_equal(model(batch), several(batch))
