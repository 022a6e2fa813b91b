"""Attention over events and over fields: DIN, encoder layers as in BST, AutoInt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from archspec.contract import ExpertKind, KindError, Reference, Width, expert
from archspec.contract.limits import MOST_LAYERS
from archspec.contract.settings import Count, Probability, Units
from archspec.kinds.blocks import Activation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.program import Scope, Value

Takes = Literal["rows", "fields", "tokens"]
Gives = Literal["rows", "tokens"]
Layers = Annotated[int, Field(ge=1, le=MOST_LAYERS)]


@expert("target_attention")
class TargetAttention(ExpertKind):
    """DIN: events weighted by a small network that compares each with the query, such as the candidate item.

    Statistics of `activation: dice` include padding, as in other implementations.
    """

    title: ClassVar[str] = "target attention"
    paper: ClassVar[str] = "DIN (Zhou et al., KDD 2018, 1706.06978)"
    formula: ClassVar[str] = "sum_t a_t e_t, a_t = MLP([q, e_t, q - e_t, q * e_t]), or their softmax"
    takes: ClassVar[Takes] = "tokens"

    query: Reference
    """The stream that the events are compared with: rows of the width of a token."""
    units: Units = (64, 16)
    """Sizes of the hidden layers of the network; a linear layer with one output follows."""
    activation: Activation = "sigmoid"
    """After every one of `units`."""
    normalize: Literal["none", "softmax"] = "none"
    """`none`: the network's outputs are the weights, as in the paper, so many similar events count more."""

    def width(self, input: Width) -> Width:
        """The width of a token."""
        return input

    def check_streams(self, input: Width, widths: Mapping[str, Width]) -> None:
        """The query must be as wide as a token."""
        if widths["query"] != input:
            raise KindError(
                f"its `query` has width {widths['query']}, but each token it reads has width {input}", at=("query",),
                help="use inputs with the same `dim` for both: `from: [clicks, cates]` and `query: [item, cate]`",
            )  # fmt: skip

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, T, D] -> [B, D]`."""
        h, query = x, at.read(self.query)
        for index, size in enumerate((*self.units, 1)):
            name = f"layers.{index}" if index < len(self.units) else "head"
            h = at.linear(h, size, name) if index else at.linear_pair(query, x, size, name)
            h = at.activation(h, self.activation, name=f"activations.{index}") if index < len(self.units) else h
        return at.attend(at.squeeze(h), x, softmax=self.normalize == "softmax")

    def detail(self) -> str:
        """The sizes, and the softmax: `64, 16, softmax`."""
        return ", ".join([*map(str, self.units), *(["softmax"] if self.normalize == "softmax" else [])])


@expert("transformer")
class Transformer(ExpertKind):
    """Encoder layers over tokens: attention and a feed-forward network, each added to its input and then normed."""

    title: ClassVar[str] = "transformer"
    paper: ClassVar[str] = "Vaswani et al. (1706.03762), over events as in BST (Chen et al., 2019, 1905.06874)"
    formula: ClassVar[str] = "s = LN(x + attention(x)), x' = LN(s + W2 activation(W1 s)); the first x: + position"
    takes: ClassVar[Takes] = "tokens"
    gives: ClassVar[Gives] = "tokens"

    layers: Layers = 1
    """The number of encoder layers."""
    heads: Count = 2
    """Heads of the attention; they must divide the width of a token."""
    hidden: Count | None = None
    """Width of W1; None: four times the width of a token."""
    activation: Activation = "relu"
    """Activation between W1 and W2."""
    dropout: Probability = 0.0
    """Dropout of the outputs of attention and network before they are added, in training."""
    positions: bool = True
    """Whether a learned vector for each place is added to the tokens."""
    pool: Literal["none", "mean", "sum", "max", "last"] = "none"
    """`none`: the output is tokens; otherwise rows, pooled over the tokens that are not padding."""

    def width(self, input: Width) -> Width:
        """The width of a token."""
        if input % self.heads:
            raise KindError(
                f"a token has width {input}, which is not a multiple of `heads: {self.heads}`", at=("heads",),
                help="change `heads`, or the `dim` of the inputs",
            )  # fmt: skip
        return input

    def tokens(self, count: int) -> int | None:
        """The number of tokens read, unless they are pooled."""
        return count if self.pool == "none" else None

    def lower(self, at: Scope, x: Value) -> Value:
        """`[B, T, D] -> [B, T, D]`, or `[B, D]`."""
        mask = at.mask(x)
        h = at.positions(x) if self.positions else x
        for index in range(self.layers):
            h = self._layer(at.child(f"layers.{index}"), h, mask)
        return h if self.pool == "none" else at.pool_tokens(at.masked(h, mask), self.pool)

    def _layer(self, at: Scope, x: Value, mask: Value | None) -> Value:
        """One encoder layer, `[B, T, D]`."""
        query, key, value = (at.linear(x, x.width, name) for name in ("query", "key", "value"))
        seen = at.linear(at.attention(query, key, value, self.heads, mask=mask), x.width, "out")
        h = at.norm(at.sum(x, at.dropout(seen, self.dropout)), "layer", "norms.0")
        inner = at.activation(at.linear(h, self.hidden or 4 * x.width, "up"), self.activation, name="activation")
        return at.norm(at.sum(h, at.dropout(at.linear(inner, x.width, "down"), self.dropout)), "layer", "norms.1")

    def detail(self) -> str:
        """Layers, heads and pool: `2 layers, 4 heads, mean`."""
        return _counted(self.layers, self.heads) + (f", {self.pool}" if self.pool != "none" else "")


@expert("fields_attention")
class FieldsAttention(ExpertKind):
    """AutoInt: fields attend to each other, so each becomes a combination of others; they are concatenated last."""

    title: ClassVar[str] = "AutoInt"
    paper: ClassVar[str] = "AutoInt (Song et al., CIKM 2019, 1810.11921)"
    formula: ClassVar[str] = "x' = relu(attention(W_Q x, W_K x, W_V x) + W_R x), per layer; fields of one width"
    takes: ClassVar[Takes] = "fields"

    layers: Layers = 2
    """The number of attention layers."""
    heads: Count = 2
    """Heads of the attention; they must divide `dim`."""
    dim: Count = 32
    """Width of each field after a layer: `heads` times the paper's d'."""
    scaled: bool = False
    """Whether the logits are divided by the square root of the width of a head; the paper does not divide."""

    def width(self, input: tuple[Width, ...]) -> Width:
        """`dim` for each field."""
        one_width(input)
        if self.dim % self.heads:
            raise KindError(
                f"`dim` is {self.dim}, which is not a multiple of `heads: {self.heads}`", at=("dim",),
                help=f"write `dim: {self.heads * -(-self.dim // self.heads)}`, for example",
            )  # fmt: skip
        return len(input) * self.dim

    def lower(self, at: Scope, x: tuple[Value, ...]) -> Value:
        """Fields `[B, W]`, F of them, to `[B, F dim]`."""
        h = at.as_tokens(*x)
        for index in range(self.layers):
            inner = at.child(f"layers.{index}")
            query, key, value, kept = (
                inner.linear(h, self.dim, name, bias=False) for name in ("query", "key", "value", "residual")
            )
            mixed = inner.attention(query, key, value, self.heads, scaled=self.scaled)
            h = inner.activation(inner.sum(mixed, kept), "relu")
        return at.as_rows(h)

    def detail(self) -> str:
        """Layers, heads and width: `2 layers, 2 heads, 32`."""
        return f"{_counted(self.layers, self.heads)}, {self.dim}"


@expert("fm")
class Fm(ExpertKind):
    """Factorization machine: the sum of the products of all pairs of fields, elementwise, in linear time."""

    title: ClassVar[str] = "FM"
    paper: ClassVar[str] = "Rendle, ICDM 2010; as a vector in NFM (He & Chua, SIGIR 2017, 1708.05027)"
    formula: ClassVar[str] = "sum_(i<j) v_i * v_j = ((sum v)^2 - sum v^2) / 2; fields of one width"
    takes: ClassVar[Takes] = "fields"

    def width(self, input: tuple[Width, ...]) -> Width:
        """The width of a field."""
        one_width(input)
        return input[0]

    def lower(self, at: Scope, x: tuple[Value, ...]) -> Value:
        """Fields `[B, W]` to `[B, W]`."""
        fields = at.as_tokens(*x)
        total = at.pool_tokens(fields, "sum")
        squares = at.pool_tokens(at.product(fields, fields), "sum")
        return at.scale(at.sum(at.product(total, total), at.scale(squares, -1.0)), 0.5)


def _counted(layers: int, heads: int) -> str:
    """`1 layer, 2 heads`."""
    return f"{layers} layer{'s' * (layers > 1)}, {heads} head{'s' * (heads > 1)}"


def one_width(widths: tuple[Width, ...]) -> None:
    """Raises KindError if fields have different widths."""
    if len(set(widths)) > 1:
        raise KindError(
            f"its fields must have the same width, but have {', '.join(map(str, dict.fromkeys(widths)))}", at=("from",),
            help="write the same `dim` for all inputs, or remove the others from `from`",
        )  # fmt: skip
