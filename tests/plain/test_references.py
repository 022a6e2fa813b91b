"""The reference models: they run, use canonical names, and satisfy the identities of their papers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from . import MODERN
from . import REFERENCES as CLASSIC
from .batches import batch_for
from .blocks import FieldGate, product_logit
from .cgc import Cgc
from .mmoe import Mmoe
from .ple import Ple
from .shared_bottom import SharedBottom

if TYPE_CHECKING:
    from collections.abc import Callable

    from .blocks import Reference

REFERENCES = {**CLASSIC, **MODERN}

OUTPUTS: dict[str, dict[str, tuple[int, ...]]] = {
    "shared_bottom": {"click": (), "like": (), "stay": ()},
    "asymmetric_sharing": {"click": (), "buy": ()},
    "customized_sharing": {"click": (), "finish": (), "rating": (5,)},
    "cross_stitch": {"detection": (21,), "attribute": ()},
    "moe": {"first": (), "second": ()},
    "mmoe": {"engagement": (), "satisfaction": ()},
    "mmoe_mixed": {"engagement": (), "satisfaction": ()},
    "ml_mmoe": {"vtr": (), "vcr": ()},
    "cgc": {"vtr": (), "vcr": ()},
    "ple": {"vtr": (), "vcr": ()},
    "ple_video": {"like": (), "click": ()},
    "esmm": {"ctr": (), "cvr": (), "ctcvr": ()},
    "dbmtl": {"click": (), "watch": (), "buy": ()},
    "meituan_search": {"ctr": (), "cvr": (), "ctcvr": ()},
    "adatt": {"watch": (), "like": (), "share": ()},
    "pepnet": {"like": (), "follow": (), "watch": ()},
    "home": {"finish": (), "long_view": (), "like": (), "comment": ()},
    "stem": {"click": (), "like": ()},
    "snr_trans": {"engagement": (), "satisfaction": ()},
    "snr_aver": {"engagement": (), "satisfaction": ()},
    "hinet": {"click": (), "buy": ()},
    "m3oe": {"click": (), "buy": ()},
    "poso": {"finish": (), "like": ()},
    "mtan": {"segment": (13,), "depth": ()},
    "dselect_k": {"engagement": (), "satisfaction": ()},
    "aitm": {"click": (), "request": (), "approve": ()},
    "deepseek_moe": {"click": (), "like": ()},
    "star": {"main": (), "auxiliary": (), "click": ()},
    "sluice": {"entity": (9,), "chunk": (5,)},
    "escm2": {"ctr": (), "cvr": (), "ctcvr": ()},
    "esm2": {"ctr": (), "action": (), "buy_after_action": (), "buy_without": (), "ctavr": (), "ctcvr": ()},
    "hmoe": {"buy": ()},
    "sarnet": {"click": ()},
    "mlora": {"click": ()},
    "apg": {"click": (), "buy": ()},
    "hamur": {"click": ()},
    "m2m": {"click": (), "buy": ()},
    "smes": {"click": (), "like": ()},
    "din_ple": {"click": (), "buy": ()},
    "rankmixer": {"finish": (), "like": ()},
    "wukong": {"click": (), "buy": ()},
    "dcmt": {"ctr": (), "cvr": (), "cvr_without": (), "ctcvr": ()},
}

LAYER = (
    r"((modulate\.\d+\.)?(layers\.\d+|head|down)\.(weight|bias)"
    r"|(norms\.\d+|input_norm)\.(weight|bias|running_mean|running_var))"
)
CANONICAL = re.compile(
    r"inputs\.\w+\.weight"
    rf"|level\d+\.experts\.\w+\.\d+\.({LAYER}|cross\.\d+\.(down|up)\.(weight|bias)|norm\.(weight|bias)"
    r"|(downs|ups|kernels|shifts)\.\d+\.(weight|bias)|blocks\.\d+\.(aggregate|hidden|norm|project)\.(weight|bias))"
    rf"|level\d+\.gates\.\w+\.({LAYER}|bias|weight|transform\.\d+\.weight|(key|query|value|z|w)\.weight|[zw]\.bias"
    r"|task|v|meta\.(matrix|shift)\.(weight|bias))"
    rf"|feature_gates\.\w+\.{LAYER}"
    rf"|inputs\.\w+\.linear\.(weight|bias)|blocks\.\w+\.({LAYER}|tokens\.\d+\.(weight|bias)"
    r"|layers\.\d+\.((up|down|residual|norms\.\d+|mlp\.\d+)\.(weight|bias)|y|compress))"
    rf"|towers\.\w+(\.cases\.\w+)?\.({LAYER}|(layers\.\d+|head|norm)\.domains\.(weight|bias)|norm\.\w+"
    r"|domains\.\d+\.(down|up)\.(weight|bias)|meta\.\d+\.(matrix|shift)\.(weight|bias)"
    r"|hyper\.(layers\.\d+|head)\.(weight|bias)"
    r"|adapters\.\d+\.((down|up)\.[uv]\.(weight|bias)|norm\.\w+))"
)


@pytest.fixture(params=REFERENCES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each spec that has a reference model."""
    value: str = request.param
    return value


def model_of(build: Callable[[], Reference], seed: int = 0) -> Reference:
    """A reference model in float64, seeded, in evaluation, whose static weights differ from their special start."""
    torch.manual_seed(seed)
    model = build().double().eval()
    for key, parameter in model.named_parameters():
        if re.search(r"\.gates\.\w+\.weight$", key):
            nn.init.normal_(parameter)
    return model


def outputs_of(model: Reference, rows: int, seed: int = 0) -> dict[str, Tensor]:
    """The outputs of a model for a random batch of its own inputs."""
    outputs: dict[str, Tensor] = model(batch_for(model.INPUTS, rows, seed, torch.float64))
    return outputs


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_outputs_are_finite_and_have_one_row_per_row(name: str, rows: int) -> None:
    """Every reference has outputs of the documented shapes, for batches of any size."""
    outputs = outputs_of(model_of(REFERENCES[name]), rows)
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {
        key: (rows, *rest) for key, rest in OUTPUTS[name].items()
    }
    assert all(value.isfinite().all() for value in outputs.values())


def test_a_row_does_not_depend_on_its_neighbours(name: str) -> None:
    """A row gives the same outputs alone as within a batch, also with empty sequences."""
    model = model_of(REFERENCES[name])
    batch = batch_for(model.INPUTS, 7, 0, torch.float64)
    together = model(batch)
    for row in range(7):
        alone = model({column: values[row : row + 1] for column, values in batch.items()})
        for key, values in together.items():
            torch.testing.assert_close(alone[key], values[row : row + 1], rtol=1e-12, atol=1e-12)


def test_weights_have_canonical_names(name: str) -> None:
    """State dicts contain only canonical names, so weights can be exchanged with a compiled spec by name."""
    strange = [key for key in model_of(REFERENCES[name]).state_dict() if not CANONICAL.fullmatch(key)]
    assert strange == []


def test_every_weight_takes_part(name: str) -> None:
    """Every weight gets a gradient from the outputs: a reference has no weight that its spec would prune."""
    model = model_of(REFERENCES[name])
    squares = [value.square().sum() for value in outputs_of(model, 64).values()]
    torch.autograd.backward(squares)
    idle = [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []


def test_one_ple_level_is_cgc() -> None:
    """PLE with one level and the weights of a CGC gives the CGC's outputs (identity of the PLE paper)."""
    cgc, ple = model_of(Cgc), model_of(lambda: Ple(levels=1), seed=1)
    ple.load_state_dict(cgc.state_dict())
    torch.testing.assert_close(outputs_of(ple, 9), outputs_of(cgc, 9), rtol=1e-12, atol=1e-12)


def test_cgc_without_task_experts_is_mmoe() -> None:
    """CGC whose tasks own no experts equals MMoE with the shared ones."""
    cgc = model_of(lambda: Cgc(own=0, shared=4))
    mmoe = model_of(lambda: Mmoe(Cgc.INPUTS, {"vtr": 1, "vcr": 1}, experts=4, tower=(32, 16)), seed=1)
    mmoe.load_state_dict(cgc.state_dict())
    batch = batch_for(Cgc.INPUTS, 9, 0, torch.float64)
    torch.testing.assert_close(mmoe(batch), cgc(batch), rtol=1e-12, atol=1e-12)


def test_mmoe_with_one_expert_is_shared_bottom() -> None:
    """A softmax over one expert is 1, so MMoE with one expert is Shared-Bottom."""
    bottom = model_of(SharedBottom)
    mmoe = model_of(lambda: Mmoe(SharedBottom.INPUTS, {"click": 1, "like": 1, "stay": 1}, experts=1), seed=1)
    weights = {key.replace("experts.bottom", "experts.shared"): value for key, value in bottom.state_dict().items()}
    missing, unexpected = mmoe.load_state_dict(weights, strict=False)
    assert sorted(missing) == [f"level1.gates.{task}.head.weight" for task in ("click", "like", "stay")]
    assert unexpected == []
    batch = batch_for(SharedBottom.INPUTS, 9, 0, torch.float64)
    torch.testing.assert_close(mmoe(batch), bottom(batch), rtol=1e-12, atol=1e-12)


def test_cross_stitch_starts_as_single_task_models() -> None:
    """With the initial identity, no task's output reaches another task's network."""
    torch.manual_seed(0)
    model = REFERENCES["cross_stitch"]().double()
    torch.autograd.backward(outputs_of(model, 9)["attribute"].sum())
    experts = {key: weight for key, weight in model.named_parameters() if ".experts." in key}
    trained = {key for key, weight in experts.items() if weight.grad is not None and weight.grad.any()}
    assert trained == {key for key in experts if ".experts.attribute." in key}


def test_equal_field_weights_change_nothing() -> None:
    """With zero logits the field gate gives every field the factor 1."""
    gate = FieldGate(24, 5).double()
    nn.init.zeros_(gate.head.weight)
    fields = [torch.randn(4, width, dtype=torch.float64) for width in (16, 16, 16, 16, 8)]
    scaled = gate(torch.randn(4, 24, dtype=torch.float64), fields)
    torch.testing.assert_close(scaled, torch.cat(fields, dim=1), rtol=1e-12, atol=1e-12)


def test_product_logit_is_the_logit_of_the_product() -> None:
    """The stable form equals log(p / (1 - p)) for moderate logits and stays finite, with its gradient, at +-80."""
    a = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64)
    b = torch.tensor([1.0, -0.25, 2.0], dtype=torch.float64)
    torch.testing.assert_close(product_logit(a, b), torch.logit(a.sigmoid() * b.sigmoid()), rtol=1e-12, atol=1e-12)
    far_a = torch.tensor([-80.0, -80.0, 80.0, 80.0], requires_grad=True)
    far_b = torch.tensor([-80.0, 80.0, -80.0, 80.0], requires_grad=True)
    logits = product_logit(far_a, far_b)
    gradients = torch.autograd.grad(logits.sum(), [far_a, far_b])
    torch.testing.assert_close(logits.detach(), torch.tensor([-160.0, -80.0, -80.0, 80.0]), rtol=0.02, atol=0.0)
    assert all(gradient.isfinite().all() for gradient in gradients)
