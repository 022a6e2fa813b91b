"""Models made without memory on the meta device, and the ways in which they get memory and weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import archspec
from tests.compiler.models import BOTH, assert_agree, batch_of, spec_of
from tests.nn.test_module import EVERYTHING, everything

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archspec.nn.module import Compiled


@BOTH
def test_a_model_is_made_without_memory_and_filled_later(*, optimize: bool) -> None:
    """On the meta device nothing is allocated; `to_empty` and `reset_parameters` complete the model."""
    cls = type(everything(optimize=optimize))
    model = cls(device="meta")
    assert {value.device.type for value in (*model.parameters(), *model.buffers())} == {"meta"}
    model.to_empty(device="cpu")
    for value in (*model.parameters(), *model.buffers()):
        torch.nn.init.constant_(value.detach(), 99)
    model.reset_parameters()
    assert all(view.abs().max() < 10 for _, view in model.named_weights())
    outputs = model.eval()(batch_of(EVERYTHING, 3, dtype=torch.float32))
    assert all(value.isfinite().all() for value in outputs.values())


def on_meta(model: Compiled) -> Compiled:
    """A model of the same class, whose tensors have shapes but no values."""
    made: Compiled = type(model)(device="meta")
    return made


def emptied(model: Compiled) -> Compiled:
    """The same model with uninitialised memory on the CPU."""
    made = on_meta(model).to_empty(device="cpu")
    for value in (*made.parameters(), *made.buffers()):
        torch.nn.init.constant_(value.detach(), 99)
    return made


def by_state_dict(model: Compiled) -> Compiled:
    """By `load_state_dict`, the usual way in torch."""
    made = emptied(model)
    made.load_state_dict(model.state_dict())
    return made


def by_assignment(model: Compiled) -> Compiled:
    """By assignment, starting on the meta device."""
    made = on_meta(model)
    made.load_state_dict(model.state_dict(), assign=True)
    return made


def by_weights(model: Compiled) -> Compiled:
    """By canonical names."""
    made = emptied(model)
    made.load_weights(dict(model.named_weights()))
    return made


def inside_another(model: Compiled) -> Compiled:
    """As part of a larger module, which calls no method of the part except `_apply`."""
    outer = torch.nn.Sequential(on_meta(model)).to_empty(device="cpu")
    for ours, theirs in zip(outer.parameters(), model.parameters(), strict=True):
        ours.data.copy_(theirs)
    made: Any = outer[0]
    for name, value in model.state_dict().items():
        made.state_dict()[name].copy_(value)
    inner: Compiled = made
    return inner


def under_a_context(model: Compiled) -> Compiled:
    """Created and moved while `torch.device("meta")` is the default."""
    with torch.device("meta"):
        made = archspec.compile(vars(type(model))["spec"])
        made.to_empty(device="cpu")
    made.load_state_dict(model.state_dict())
    return made


def there_and_back(model: Compiled) -> Compiled:
    """Through half precision, with the weights copied from the model again."""
    made = copy.deepcopy(model).half().float()
    made.load_state_dict(model.state_dict())
    return made


@pytest.mark.parametrize(
    "way", [by_state_dict, by_assignment, by_weights, inside_another, under_a_context, there_and_back]
)
@pytest.mark.parametrize("name", ["hinet", "pepnet", "home", "star", "deepseek_moe"])
def test_constants_are_there_after_loading(name: str, way: Callable[[Compiled], Compiled]) -> None:
    """`exclude` tables, domain gates and table offsets are not in a state dict; a loaded model still has them."""
    model = archspec.compile(spec_of(name), seed=0).eval()
    batch = batch_of(spec_of(name), 5, dtype=torch.float32)
    assert_agree(way(model).eval()(batch), model(batch), 0.0)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, about backends and about views among the outputs
@pytest.mark.parametrize("name", ["hinet", "pepnet"])
def test_fsdp2_may_begin_on_the_meta_device(name: str, tmp_path: Path) -> None:
    """Sharded without memory, then given memory and weights, it computes the outputs of the whole model."""
    model = archspec.compile(spec_of(name), seed=0).eval()
    batch = batch_of(spec_of(name), 5, dtype=torch.float32)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        made: Any = on_meta(model)
        fully_shard(made, mesh=init_device_mesh("cpu", (1,)))
        made.to_empty(device="cpu")
        set_model_state_dict(made, model.state_dict(), options=StateDictOptions(full_state_dict=True))
        assert_agree(made.eval()(batch), model(batch), 0.0)
    finally:
        torch.distributed.destroy_process_group()


@BOTH
def test_weights_are_not_loaded_into_nothing(*, optimize: bool) -> None:
    """`load_weights` raises an error for a model on the meta device instead of doing nothing."""
    model = everything(optimize=optimize)
    with pytest.raises(ValueError, match="meta device: call `to_empty"):
        on_meta(model).load_weights(dict(model.named_weights()))
