"""Models for inference in low precision, made from trained ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from archspec.compiler.compile import build, instantiate
from archspec.compiler.names import Attributes
from archspec.graph.load import graph_of
from archspec.nn.inference import ForInference
from archspec.nn.inference import for_inference as stored
from archspec.nn.wrapped import unwrapped
from archspec.spec.spec import Spec

if TYPE_CHECKING:
    from torch import nn

    from archspec.compiler.compile import Built
    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled
    from archspec.program import Op


def for_inference(model: nn.Module, precision: Literal["bf16"] = "bf16") -> Compiled:
    """A copy of a model that only computes outputs, with the weights of products stored in bfloat16, rounded once.

    `compile(..., precision="bf16")` rounds the same weights in every call, because training changes them. Like there,
    tables, norms, sums, the heads of towers, and what goes in and out are in float32. The copy has the same methods and
    canonical names. It is in evaluation mode and computes no gradients; `load_weights` and `load_state_dict` round what
    they load. On a CPU with instructions for bfloat16, the weights of the largest products are stored in a layout that
    only oneDNN reads; `unpacked()` returns an ordinary module, for `torch.compile` and `torch.export`.

    Args:
        model: a model of `archspec.compile` or `load_run`, or one inside DistributedDataParallel or `torch.compile`.
        precision: `bf16`.

    Raises:
        TypeError: it is not a compiled model, does not know its spec, or is of a subclass, which may compute otherwise.
        ValueError: another precision; or the model is on the meta device.
    """
    inner: Any = unwrapped(model)
    if precision != "bf16":
        raise ValueError(f"precision={precision!r}: models for inference are made in 'bf16'")
    spec = getattr(type(inner), "spec", None)
    if not isinstance(spec, Spec):
        raise TypeError(
            f"{type(inner).__name__} comes from a built file: load its weights into a model of archspec.compile"
        )
    if "origin" not in vars(inner.compiled if isinstance(inner, ForInference) else type(inner)):
        raise TypeError(f"{type(inner).__name__} is a subclass of a compiled model, and may compute something else")
    return rounded_copy(graph_of(spec), inner)


def rounded_copy(graph: Graph, model: Compiled) -> Compiled:
    """As `for_inference`, for the model of a graph."""
    built = build(graph, precision="bf16")
    source: Any = model
    device = next((weight.device for weight in (*source.parameters(), *source.buffers())), "cpu")
    if built.lowered.forward.modules:  # a module of a plugin may have values that are not in its state dict
        made = instantiate(built).to(device)
    else:
        made = instantiate(built, device="meta").to_empty(device=device)
    made.load_weights(dict(source.named_weights()))
    made.check_inputs = model.check_inputs
    if hasattr(model, "vocabularies"):
        made.vocabularies = model.vocabularies
    return stored(made, rounded_parameters(built))


def rounded_parameters(built: Built) -> frozenset[str]:
    """The attributes of the parameters that only products in bfloat16 read.

    Without the one with the last weight, whose type is that of the numbers in a batch.
    """
    program = built.lowered.forward
    attributes, slots = Attributes([program, built.lowered.predict]), program.slots()
    others = {slots[op.attr("weight")][0].name for op in program.ops if op.kind == "weight"}
    others |= {slots[name][0].name for name in list(program.weights)[-1:]}
    rounded: set[str] = set()
    for op in program.ops:
        factors = _factors(op) if op.attr("precision") == "bf16" else ()
        rounded |= set(factors)
        others |= set(op.weights) - set(factors)
    return frozenset(attributes.name(name) for name in rounded - others if program.storages[name].trainable)


def _factors(op: Op) -> tuple[str, ...]:
    """The storages that a product multiplies by; its others are biases."""
    if op.kind == "linear":
        return op.weights[:1]
    found, rest = [], list(op.weights)
    for count, _ in op.attr("layers"):
        found.append(rest[0])
        rest = rest[count:]
    return tuple(found)
