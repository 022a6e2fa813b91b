"""Scope: the object with which a kind adds its operations; it prefixes weights and values with the block's name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal

from archspec.program.program import (
    Attr,
    Dim,
    Dtype,
    Init,
    Module,
    Op,
    Role,
    Value,
    Weight,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.contract import Reference
    from archspec.program.builder import Builder
    from archspec.program.nodes import NodeName

Norm = Literal["none", "batch", "layer"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Adds operations for one block. Methods return the new value; `name`s are relative to the block.

    `B` is the batch size; streams are rows `[B, width]` or tokens `[B, T, width]`.
    """

    builder: Builder
    name: NodeName
    like: NodeName | None = None
    """The block whose weights this one uses; None: its own."""

    @property
    def owner(self) -> NodeName:
        """The canonical name of the block that owns the weights: this one, or the one that it is `like`."""
        return self.like or self.name

    def child(self, name: str) -> Scope:
        """A scope for a part of this block."""
        return Scope(self.builder, self.name.child(name), self.like and self.like.child(name))

    def path(self, name: str) -> str:
        """The canonical name of a part of this block."""
        return self.name.child(name)

    def sibling(self, name: str) -> Scope:
        """The scope of another block of the same section."""
        return Scope(self.builder, self.name.sibling(name))

    def op(  # noqa: PLR0913 - an operation has this many parts
        self,
        kind: str,
        inputs: Sequence[Value],
        shape: Sequence[Dim],
        *,
        weights: Sequence[str] = (),
        name: str | None = None,
        dtype: Dtype = "float",
        **attrs: Attr,
    ) -> Value:
        """Adds any operation of the program; the methods below add the usual ones."""
        label = self.builder.unique(self.path(name or kind) if name != "" else self.name)
        output = Value(label, tuple(shape), dtype)
        self.builder.ops.append(Op(kind, tuple(inputs), output, tuple(weights), tuple(attrs.items()), self.name))
        return output

    # -- what a block reads ------------------------------------------------------------------------------------------

    def read(self, reference: Reference) -> Value:
        """The stream that a reference in the settings names, `[B, width]`."""
        return self.builder.read(reference, self)

    def mask(self, tokens: Value) -> Value | None:
        """The mask `[B, T]` of the tokens `[B, T, W]` of a stream: False for padding; None: no row has padding."""
        return self.builder.masks.get(tokens.name)

    def masked(self, tokens: Value, mask: Value | None) -> Value:
        """The same tokens `[B, T, W]` with the mask `[B, T]`: False for padding (None: no padding).

        Only for tokens that a kind returns from `lower`. Without this call, they have the mask of the tokens read.
        """
        self.builder.masks[tokens.name] = mask
        return tokens

    def column(self, input_name: str) -> Value:
        """The batch's column of an input, unchanged: ids `[B]` or `[B, L]`, numbers `[B, dim]`."""
        return self.builder.column(input_name)

    def setting_column(self, setting: str) -> Value:
        """A further column of an input that is being lowered: the one that this setting names (see `columns`)."""
        assert self.builder.setting_column is not None
        return self.builder.setting_column(self.name.name, setting)

    def domain(self, input_name: str) -> tuple[str, ...]:
        """The values of a domain input, which the ids of its column index."""
        return self.builder.domain(input_name)

    # -- weights -----------------------------------------------------------------------------------------------------

    def weight(  # noqa: PLR0913 - a weight is declared with these
        self,
        name: str,
        shape: Sequence[int],
        init: Init,
        *,
        trainable: bool = True,
        sparse: bool = False,
        role: Role = "parameter",
        frozen: bool = False,
    ) -> str:
        """Declares a weight of this block, and returns its canonical name; the same name twice is the same weight.

        A weight that is not `trainable` is a statistic, a buffer; a `frozen` one is a parameter without a gradient.
        """
        full = self.owner.child(name)
        weight = Weight(
            str(full), tuple(shape), init, trainable, sparse, full.node, tuple(full.part.split(".")), role, frozen
        )
        return self.builder.weights.setdefault(full, weight).name

    def parameter(self, name: str, shape: Sequence[int], init: Init, *, trainable: bool = True) -> Value:
        """A weight as a value, with its own shape (no batch axis)."""
        return self.op(
            "parameter", (), shape, weights=(self.weight(name, shape, init, trainable=trainable),), name=name
        )

    def weights_of(self, block: str) -> dict[str, Value]:
        """The weights that another block, lowered before, reads, by canonical name, in the order of use.

        These are the block's actual weights: gradients train them, and the block's layers can still be fused. The
        weights of a module that a kind builds are not among them.
        """
        read = [op for op in self.builder.ops if op.node.is_in(block)]
        names = dict.fromkeys(name for op in read for name in op.weights)
        shapes = {name: self.builder.weights[name].shape for name in names}
        return {name: self.op("weight", (), shape, name="weight", weight=name) for name, shape in shapes.items()}

    def constant(self, rows: Sequence[Sequence[float]], dtype: Literal["float", "bool"] = "float") -> Value:
        """A fixed table, `[rows, columns]`; it is not a weight, and not in checkpoints."""
        data = tuple(tuple(row) for row in rows)
        return self.op("constant", (), (len(data), len(data[0])), data=data, dtype=dtype)

    # -- operations --------------------------------------------------------------------------------------------------

    def linear(self, x: Value, width: int, name: str, *, bias: bool = True) -> Value:
        """`x W^T + b`: `[B, D] -> [B, width]`, initialised like `nn.Linear`. A block's last is named `head`."""
        weights = self._layer(name, width, x.width, bias=bias, role="head" if name == "head" else "layer")
        return self.op("linear", (x,), (*x.shape[:-1], width), weights=weights, name=name)

    def _layer(self, name: str, width: int, read: int, *, bias: bool, role: Role) -> list[str]:
        """Declares the weights of a linear layer, `[width, read]` and maybe `[width]`, initialised like `nn.Linear`."""
        init = Init("uniform", 1 / sqrt(read))
        weights = [self.weight(f"{name}.weight", (width, read), init, role=role)]
        return [*weights, self.weight(f"{name}.bias", (width,), init, role=role)] if bias else weights

    def embed(self, ids: Value, table: str, dim: int, *, name: str = "embed") -> Value:
        """Rows of a table: `[B] -> [B, dim]`."""
        return self.op("embed", (ids,), (*ids.shape, dim), weights=(table,), name=name, sparse=self._looked_up(table))

    def embed_list(
        self, ids: Value, table: str, dim: int, *, weights: Value | None = None, name: str = "embed"
    ) -> Value:
        """Rows of a table for lists of ids: `[B, L] -> [B, L, dim]`, zeros for ids of -1, which the mask excludes.

        Each row is multiplied by its weight, if there are `weights` `[B, L]`.
        """
        operands = (ids,) if weights is None else (ids, weights)
        sparse = self._looked_up(table)
        tokens = self.op("embed_list", operands, (*ids.shape, dim), weights=(table,), name=name, sparse=sparse)
        return self.masked(tokens, self.op("present", (ids,), ids.shape, name="present", dtype="bool"))

    def pool(  # noqa: PLR0913 - one pool has this many parts
        self, ids: Value, table: str, dim: int, how: str, *, weights: Value | None = None, name: str = "pool"
    ) -> Value:
        """Rows of a table pooled over a sequence, `[B, L] -> [B, dim]`, without ids of -1; zeros for an empty row.

        `how` is `mean`, `sum`, `max` or `last`. `weights` `[B, L]` are the weights of a `mean` or `sum`.
        """
        operands = (ids,) if weights is None else (ids, weights)
        sparse = self._looked_up(table)
        return self.op("pool", operands, ("B", dim), weights=(table,), name=name, how=how, sparse=sparse)

    def linear_pair(self, query: Value, tokens: Value, width: int, name: str, *, bias: bool = True) -> Value:
        """A linear layer of [q, e, q - e, q * e] for each token e: `[B, D], [B, T, D] -> [B, T, width]`.

        The four parts are never concatenated. Initialised like `nn.Linear`.
        """
        weights = self._layer(name, width, 4 * tokens.width, bias=bias, role="layer")
        return self.op("linear_pair", (query, tokens), (*tokens.shape[:-1], width), weights=weights, name=name)

    def attend(self, scores: Value, tokens: Value, *, softmax: bool) -> Value:
        """The sum of tokens times scores, `[B, T], [B, T, W] -> [B, W]`; `softmax` turns the scores into weights.

        Padding does not count; zeros for a row without tokens.
        """
        mask = self.mask(tokens)
        operands = (scores, tokens) if mask is None else (scores, tokens, mask)
        return self.op("attend", operands, ("B", tokens.width), softmax=softmax)

    def attention(  # noqa: PLR0913 - attention has these parts
        self, query: Value, key: Value, value: Value, heads: int, *, mask: Value | None = None, scaled: bool = True
    ) -> Value:
        """Each token's sum of the values of all tokens, weighted by a softmax per head: three `[B, T, W] -> [B, T, W]`.

        The logits are products of queries and keys, divided by sqrt(W / heads) if `scaled`. Tokens that a mask `[B, T]`
        leaves out have no weight; in a row without any, all tokens have one.
        """
        operands = (query, key, value) if mask is None else (query, key, value, mask)
        return self.op("attention", operands, query.shape, heads=heads, scaled=scaled)

    def positions(self, tokens: Value, name: str = "positions") -> Value:
        """Tokens plus a learned row for each place, `[B, T, W]`."""
        weight = self.weight(f"{name}.weight", (int(tokens.shape[1]), tokens.width), Init("normal", 0.02))
        return self.op("positions", (tokens,), tokens.shape, weights=(weight,), name=name)

    def as_tokens(self, *fields: Value) -> Value:
        """Fields of equal width as tokens: T times `[B, W]` to `[B, T, W]`."""
        shape = ("B", len(fields), fields[0].width)
        return self.op("unflatten", (self.concat(*fields),), shape, name="tokens", count=len(fields))

    def as_rows(self, tokens: Value) -> Value:
        """Concatenated tokens: `[B, T, W] -> [B, T W]`."""
        return self.op("flatten", (tokens,), ("B", int(tokens.shape[1]) * tokens.width), name="rows")

    def pool_tokens(self, tokens: Value, how: str) -> Value:
        """Tokens to rows, `[B, T, W] -> [B, W]`: `mean`, `sum`, `max` or `last`, without padding; zeros if none."""
        mask = self.mask(tokens)
        operands = (tokens,) if mask is None else (tokens, mask)
        return self.op("pool_tokens", operands, ("B", tokens.width), name="pool", how=how)

    def _looked_up(self, table: str) -> bool:
        """Records that a weight is a table; returns whether its gradients are sparse."""
        weight = self.builder.weights[table] = replace(self.builder.weights[table], role="table")
        return weight.sparse

    def activation(
        self, x: Value, fn: str, *, slope: float = 0.01, name: str = "activation", momentum: float = 0.1
    ) -> Value:
        """An elementwise function by name, such as `relu`; `slope` is the slope of `leaky_relu` below zero.

        `prelu` and `dice` have weights, which are named after `name`; `momentum` is that of the statistics of `dice`.
        """
        if fn == "prelu":
            weights = [self.weight(f"{name}.weight", (x.width,), Init("constant", 0.25))]
            return self.op("prelu", (x,), x.shape, weights=weights, name=name)
        if fn == "dice":
            return self._dice(x, name, momentum)
        own: dict[str, Any] = {"slope": float(slope)} if fn == "leaky_relu" and slope != 0.01 else {}  # noqa: PLR2004 - torch's own
        return x if fn == "none" else self.op("activation", (x,), x.shape, name=fn, fn=fn, **own)

    def _dice(self, x: Value, name: str, momentum: float) -> Value:
        zero, one = Init("constant", 0.0), Init("constant", 1.0)
        weights = [self.weight(f"{name}.weight", (x.width,), zero)]
        weights += [
            self.weight(f"{name}.{part}", (x.width,), init, trainable=False)
            for part, init in (("running_mean", zero), ("running_var", one))
        ]
        own: dict[str, Any] = {"momentum": float(momentum)} if momentum != 0.1 else {}  # noqa: PLR2004 - torch's own
        return self.op("dice", (x,), x.shape, weights=weights, name=name, **own)

    def norm(self, x: Value, kind: Norm, name: str, *, eps: float = 1e-5, momentum: float = 0.1) -> Value:
        """Batch or layer normalisation with a learned scale and shift; `none` returns x itself.

        `eps` is added to the variance; `momentum` is the share of the batch in new running statistics (`batch`).
        """
        if kind == "none":
            return x
        one, zero = Init("constant", 1.0), Init("constant", 0.0)
        parts = [("weight", one), ("bias", zero)]
        weights = [self.weight(f"{name}.{part}", (x.width,), init, role="norm") for part, init in parts]
        if kind == "batch":
            parts = [("running_mean", zero), ("running_var", one)]
            weights += [
                self.weight(f"{name}.{part}", (x.width,), init, trainable=False, role="norm") for part, init in parts
            ]
        own: dict[str, Any] = {"eps": float(eps)} if eps != 1e-5 else {}  # noqa: PLR2004 - torch's own, as the next one
        own |= {"momentum": float(momentum)} if kind == "batch" and momentum != 0.1 else {}  # noqa: PLR2004
        return self.op(f"{kind}_norm", (x,), x.shape, weights=weights, name=name, **own)

    def dropout(self, x: Value, p: float) -> Value:
        """Zeroes elements with probability p in training, scaling the others by 1/(1-p)."""
        return self.op("dropout", (x,), x.shape, p=p) if p else x

    def softmax(self, x: Value) -> Value:
        """Softmax over the last axis."""
        return self.op("softmax", (x,), x.shape)

    def scale(self, x: Value, factor: float) -> Value:
        """A number times x."""
        return x if factor == 1 else self.op("scale", (x,), x.shape, factor=float(factor))

    def product(self, *values: Value) -> Value:
        """Elementwise product; `[B, 1]` and `[width]` broadcast over the widest."""
        return values[0] if len(values) == 1 else self.op("product", values, _widest(values))

    def sum(self, *values: Value) -> Value:
        """Elementwise sum, broadcasting like `product`."""
        return values[0] if len(values) == 1 else self.op("sum", values, _widest(values))

    def concat(self, *values: Value) -> Value:
        """Concatenation along the last axis."""
        if len(values) == 1:
            return values[0]
        return self.op("concat", values, (*values[0].shape[:-1], sum(value.width for value in values)))

    def slice(self, x: Value, start: int, stop: int) -> Value:
        """Features start (inclusive) to stop (exclusive)."""
        if (start, stop) == (0, x.width):
            return x
        return self.op("slice", (x,), (*x.shape[:-1], stop - start), start=start, stop=stop)

    def detach(self, x: Value) -> Value:
        """x without a gradient."""
        return self.op("detach", (x,), x.shape, dtype=x.dtype)

    def lookup(self, ids: Value, table: Value) -> Value:
        """Rows of a constant: `[B], [V, E] -> [B, E]`."""
        return self.op("lookup", (ids, table), ("B", table.width), dtype=table.dtype)

    def mix(self, weights: Value, experts: Sequence[Value], *, chosen: int | None = None) -> Value:
        """Weighted sum of experts: weights `[B, E]` or `[E]`, experts E times `[B, H]` (or `[B, T, H]`) -> one of them.

        `chosen`: the largest number of nonzero weights in a row, if a weight of zero has no gradient.
        """
        if chosen is None:
            return self.op("mix", (weights, *experts), experts[0].shape)
        return self.op("mix", (weights, *experts), experts[0].shape, chosen=chosen)

    def select(self, ids: Value, cases: Sequence[Value]) -> Value:
        """Selects each row from its own case: ids `[B]`, cases V times `[B, H]` -> `[B, H]`."""
        return self.op("select", (ids, *cases), ("B", cases[0].width))

    def squeeze(self, x: Value) -> Value:
        """`[B, 1] -> [B]`."""
        return self.op("squeeze", (x,), x.shape[:-1])

    def apply(self, function: str, *values: Value, shape: Sequence[Dim] | None = None, **arguments: Attr) -> Value:
        """Calls a torch function by name: one of `archspec.nn.functional`, or `module:function` of a plugin.

        The call is `function(*values, **arguments)`; an argument `training=True` is replaced by the module's mode.
        """
        return self.op(
            "apply", values, values[0].shape if shape is None else shape,
            name=function.rpartition(":")[2], function=function, arguments=tuple(arguments.items()),
        )  # fmt: skip

    def call(self, module: Module, values: Sequence[Value], shape: Sequence[Dim]) -> Value:
        """Calls an opaque module of a plugin."""
        self.builder.modules[module.name] = module
        return self.op("call", values, shape, name="", module=module.name)

    def auxiliary_loss(self, value: Value) -> None:
        """Adds a scalar `[]` to the loss in training; it is named after this block."""
        self.builder.output("losses", self.name, value)


def _widest(values: Sequence[Value]) -> tuple[Dim, ...]:
    return max(
        (value.shape for value in values),
        key=lambda shape: (len(shape), shape[-1] if isinstance(shape[-1], int) else 0),
    )
