"""The Python for each operation: an entry per kind of operation makes it from the Python of its operands."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from archspec.program.given import Seen
from archspec.program.program import Attr, Module, Op

ACTIVATIONS: Mapping[str, str] = {
    "relu": "F.relu", "silu": "F.silu", "gelu": "F.gelu", "tanh": "torch.tanh", "sigmoid": "torch.sigmoid",
    "leaky_relu": "F.leaky_relu", "elu": "F.elu", "softplus": "F.softplus", "logsigmoid": "F.logsigmoid",
    "log1p": "torch.log1p", "sqrt": "torch.sqrt", "exp": "torch.exp",
    "sin": "torch.sin", "cos": "torch.cos",
}  # fmt: skip

Expression = Callable[[Op, Sequence[str], Sequence[str]], str]
"""(operation, operands, weights) -> Python."""

INLINE = frozenset(
    {
        "activation",
        "linear",
        "dropout",
        "softmax",
        "scale",
        "squeeze",
        "prelu",
        "dice",
        "batch_norm",
        "layer_norm",
        "column",
    }
)
"""Operations that are inlined in the operation that reads them, if it is the only one."""

LARGEST_VECTOR = 16
"""How many float32 numbers the largest vector register of a processor has."""

FUNCTIONS = frozenset({
    "linear_pair", "attend", "attention", "pool_tokens", "mix_chosen", "mix_all", "mix_seen", "select", "prelu", "dice",
    "batch_norm", "lookup_tables",
})  # fmt: skip
"""Operations that call the function of the same name in `archspec.nn.functional`."""


def expression(op: Op, operands: Sequence[str], weights: Sequence[str]) -> str:
    """The Python expression of an operation."""
    return _EXPRESSIONS[op.kind](op, operands, weights)


def built(module: Module) -> str:
    """The Python that builds a plugin's module."""
    settings = ", ".join(f"{key}={_number(value)}" for key, value in module.settings)
    if not all(key.isidentifier() and not keyword.iskeyword(key) for key, _ in module.settings):
        settings = f"**{{{', '.join(f'{key!r}: {_number(value)}' for key, value in module.settings)}}}"
    return f"{module.module}.{module.cls}({settings}).build({', '.join(map(_argument, module.arguments))})"


def _argument(value: Attr | Seen) -> str:
    """The Python of an argument of `build`; for `Seen`, only the fields that are set."""
    if not isinstance(value, Seen):
        return repr(value)
    known = {field.name: getattr(value, field.name) for field in fields(value)}
    return f"Seen({', '.join(f'{name}={found!r}' for name, found in known.items() if found not in {None, ()})})"


def functions_of(op: Op) -> tuple[str, ...]:
    """Names of the functions of `archspec.nn.functional` that an operation calls."""
    if op.kind == "apply":
        return (op.attr("function"),) if ":" not in op.attr("function") else ()
    if op.kind == "linear":
        return (_linear_name(op),)
    if op.kind in {"pool", "embed_list"}:
        return (_pool_name(op) if op.kind == "pool" else _list_name(op),)
    if op.kind == "mix":
        return (_mix_name(op),)
    if op.kind == "softmax":
        return ("softmax",) if _is_short(op) else ()
    return (op.kind,) if op.kind in FUNCTIONS else ()


def _column(op: Op, _: Sequence[str], __: Sequence[str]) -> str:
    source, key = op.attr("source"), op.attr("key")
    read = f'{source}["{key}"]' if key.isidentifier() else f"{source}[{key!r}]"
    are_numbers = source == "batch" and op.output.shape == ("B", 1) and op.output.dtype == "float"
    return f"{read}.view(-1, 1)" if are_numbers else read


def _apply(op: Op, x: Sequence[str], _: Sequence[str]) -> str:
    values = {
        name: "self.training" if name == "training" else _number(value) for name, value in op.attr("arguments", ())
    }
    arguments = [*x, *(f"{name}={value}" for name, value in values.items())]
    module, _, function = op.attr("function").rpartition(":")
    return f"{f'{module}.' if module else ''}{function}({', '.join(arguments)})"


def _number(value: object) -> str:
    return f'float("{value}")' if value in (float("inf"), float("-inf")) else repr(value)


def _sparse(op: Op) -> str:
    return ", sparse=True" if op.attr("sparse") else ""


def _linear(op: Op, x: Sequence[str], w: Sequence[str]) -> str:
    weight, *bias = w
    plan = op.attr("plan", ())
    options = [f"plan={plan!r}"] if plan else ["rounded=True"] if op.attr("rounded") else []
    matrix = f"{weight}.t()" if op.attr("transposed") else weight
    return f"{_linear_name(op)}({', '.join((*x, matrix, *bias, *options))})"


def _linear_name(op: Op) -> str:
    return ("linear_stack" if op.inputs[0].is_stack else "linear") + ("_bf16" if op.attr("precision") == "bf16" else "")


def _is_short(op: Op) -> bool:
    """Whether the last axis may be shorter than a vector register, and there are rows."""
    return op.output.width < LARGEST_VECTOR and "B" in op.output.shape


def _activation(op: Op, x: Sequence[str], _: Sequence[str]) -> str:
    function = ACTIVATIONS[op.attr("fn")]
    slope = "" if op.attr("slope") is None else f", {op.attr('slope')!r}"
    return f"{function}{'_' if op.attr('in_place') else ''}({x[0]}{slope})"


def _with_statistics(op: Op, x: Sequence[str], w: Sequence[str]) -> str:
    own = "".join(f", {key}={value!r}" for key, value in op.attrs)
    return f"{op.kind}({x[0]}, ({', '.join(w)}), self.training{own})"


def _layer_norm(op: Op, x: Sequence[str], w: Sequence[str]) -> str:
    width, own = op.output.width, "".join(f", {key}={value!r}" for key, value in op.attrs)
    if op.inputs[0].is_stack:
        tokens = len(op.inputs[0].features) > 1
        scale, shift = (f"{weight}[:, None, None]" if tokens else f"{weight}.unsqueeze(1)" for weight in w)
        return f"F.layer_norm({x[0]}, ({width},){own}) * {scale} + {shift}"
    return f"F.layer_norm({x[0]}, ({width},), {w[0]}, {w[1]}{own})"


def _lookup_tables(op: Op, x: Sequence[str], w: Sequence[str]) -> str:
    return f"lookup_tables({x[1]}, {w[0]}, {x[0]}{_sparse(op)})"


def _pool(op: Op, x: Sequence[str], w: Sequence[str]) -> str:
    name = _pool_name(op)
    how = "" if name == "pool_last" else f', "{op.attr("how")}"'
    return f"{name}({', '.join((*x, *w))}{how}{_sparse(op)})"


def _pool_name(op: Op) -> str:
    return "pool_weighted" if len(op.inputs) > 1 else "pool_last" if op.attr("how") == "last" else "pool"


def _embed_list(op: Op, x: Sequence[str], w: Sequence[str]) -> str:
    return f"{_list_name(op)}({', '.join((*x, *w))}{_sparse(op)})"


def _list_name(op: Op) -> str:
    return "embed_list" if len(op.inputs) == 1 else "embed_list_weighted"


def _attention(op: Op, x: Sequence[str], _: Sequence[str]) -> str:
    scaled = "" if op.attr("scaled") else ", scaled=False"
    return f"attention({', '.join((*x[:3], *(x[3:] or ['None'])))}, heads={op.attr('heads')}{scaled})"


def _mix_name(op: Op) -> str:
    return "mix_tokens" if op.output.is_tokens else "mix"


def _mix_chosen(op: Op, x: Sequence[str], w: Sequence[str]) -> str:
    """`mix_chosen(...)`, with each layer as (weights, biases or None, activation)."""
    layers, rest = [], list(w)
    for count, function in op.attr("layers"):
        weights, rest = rest[:count], rest[count:]
        biases = weights[1] if count > 1 else "None"
        layers.append(f'({weights[0]}, {biases}, "{function}")')
    rounded = ", bf16=True" if op.attr("precision") == "bf16" else ""
    return f"mix_chosen({x[0]}, [{', '.join(x[1:])}], [{', '.join(layers)}]{rounded})"


def _mix_seen(op: Op, x: Sequence[str], _: Sequence[str]) -> str:
    """`mix_seen(...)`, with experts listed in the order of the weights' columns; a stack of several is spread out."""
    weights, *parts = op.inputs
    gates, experts = int(weights.shape[0]), []
    for part, own, text in zip(parts, op.attr("own"), x[1:], strict=True):
        count = int(part.shape[0]) // (gates if own else 1)
        spread = f"*{text}.unflatten(0, ({gates}, {count})).unbind(1)" if own else f"*{text}.unbind()"
        experts.append(text if count == 1 else spread)
    listed = experts[0][1:] if len(experts) == 1 and experts[0].startswith("*") else f"[{', '.join(experts)}]"
    return f"mix_seen({x[0]}, {listed})"


def _fold(op: Op, x: Sequence[str], _: Sequence[str]) -> str:
    count = op.attr("count")
    source = op.inputs[0]
    parts = f"{x[0]}.unflatten(-1, ({count}, {op.output.width}))"
    if source.is_stack:
        return (
            f"{parts}.movedim(-2, 1).flatten(0, 1)"
            if len(source.features) > 1
            else f"{parts}.transpose(1, 2).flatten(0, 1)"
        )
    if count == 1:
        return f"{x[0]}.unsqueeze(0)"
    return f"{parts}.movedim(-2, 0)" if len(source.features) > 1 else f"{parts}.transpose(0, 1)"


def _unfold(op: Op, x: Sequence[str], _: Sequence[str]) -> str:
    tokens = len(op.inputs[0].features) > 1
    return f"{x[0]}.movedim(0, -2).flatten(-2)" if tokens else f"{x[0]}.transpose(0, 1).flatten(1)"


_EXPRESSIONS: Mapping[str, Expression] = {
    "column": _column,
    "parameter": lambda _, __, w: w[0],
    "weight": lambda _, __, w: w[0],
    "constant": lambda _, __, w: w[0],
    "embed": lambda op, x, w: f"F.embedding({x[0]}, {w[0]}{_sparse(op)})",
    "embed_list": _embed_list,
    "pool": _pool,
    "linear_pair": lambda _, x, w: f"linear_pair({', '.join((*x, *w))})",
    "attend": lambda op, x, _: f"attend({', '.join((*x[:2], *(x[2:] or ['None'])))}, softmax={op.attr('softmax')})",
    "attention": _attention,
    "positions": lambda op, x, w: f"{x[0]} + {f'{w[0]}.unsqueeze(1)' if op.inputs[0].is_stack else w[0]}",
    "unflatten": lambda op, x, _: f"{x[0]}.unflatten(-1, ({op.attr('count')}, {op.output.width}))",
    "flatten": lambda _, x, __: f"{x[0]}.flatten(-2)",
    "pool_tokens": lambda op, x, _: f'pool_tokens({x[0]}, {x[1] if x[1:] else None}, "{op.attr("how")}")',
    "ids": lambda _, __, ___: "self.ids(batch)",
    "lookup_tables": _lookup_tables,
    "linear": _linear,
    "activation": _activation,
    "prelu": lambda _, x, w: f"prelu({x[0]}, {w[0]})",
    "dice": _with_statistics,
    "batch_norm": _with_statistics,
    "layer_norm": _layer_norm,
    "dropout": lambda op, x, _: f"F.dropout({x[0]}, {op.attr('p')!r}, self.training)",
    "softmax": lambda op, x, _: f"softmax({x[0]})" if _is_short(op) else f"F.softmax({x[0]}, dim=-1)",
    "scale": lambda op, x, _: f"{op.attr('factor')!r} * {x[0]}",
    "product": lambda _, x, __: " * ".join(x),
    "sum": lambda _, x, __: " + ".join(x),
    "concat": lambda _, x, __: f"torch.cat([{', '.join(x)}], dim=-1)",
    "slice": lambda op, x, _: f"{x[0]}[..., {op.attr('start')}:{op.attr('stop')}]",
    "present": lambda _, x, __: f"{x[0]} >= 0",
    "either": lambda _, x, __: " | ".join(x),
    "detach": lambda _, x, __: f"{x[0]}.detach()",
    "lookup": lambda _, x, __: f"F.embedding({x[0]}, {x[1]})",
    "mix": lambda op, x, _: f"{_mix_name(op)}({x[0]}, [{', '.join(x[1:])}])",
    "mix_all": lambda _, x, __: f"mix_all({x[0]}, {x[1]})",
    "mix_chosen": _mix_chosen,
    "mix_seen": _mix_seen,
    "stack": lambda _, x, __: f"torch.stack([{', '.join(x)}])" if len(x) > 1 else f"{x[0]}.unsqueeze(0)",
    "join": lambda _, x, __: f"torch.cat([{', '.join(x)}])",
    "members": lambda op, x, _: f"{x[0]}[{op.attr('start')}:{op.attr('stop')}]",
    "member": lambda op, x, _: f"{x[0]}.squeeze(0)" if op.inputs[0].shape[0] == 1 else f"{x[0]}[{op.attr('index')}]",
    "fold": _fold,
    "unfold": _unfold,
    "select": lambda _, x, __: f"select({x[0]}, [{', '.join(x[1:])}])",
    "squeeze": lambda _, x, __: f"{x[0]}.squeeze(-1)",
    "apply": _apply,
    "call": lambda _, x, w: f"{w[0]}({', '.join(x)})",
}
