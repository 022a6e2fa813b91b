"""Kinds of gates: from a selector `[B, D]` to the weights `[B, E]` of the experts seen (`[E]` for a static gate)."""

from __future__ import annotations

from math import isinf, log, sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from archspec.contract import GateKind, KindError, gate
from archspec.contract.settings import Count, Finite, NotNegative, Positive, Probability, Units
from archspec.kinds.blocks import GateHidden
from archspec.program.given import Rows
from archspec.program.program import Init

if TYPE_CHECKING:
    from archspec.program import GateInputs, Scope, Seen, TrainedGate, Value

NEVER = float("-inf")


class GateNetwork(GateHidden, GateKind):
    """Gate logits from a selector, or static ones (`selector: none`)."""

    excluded: ClassVar[float | None] = NEVER
    """The logit of an expert that `exclude` or `only` leaves out."""

    units: Units = ()
    """Sizes of the hidden layers of the gate network, which have biases; without them it is one linear layer."""
    bias: bool = False
    """Bias of the last linear layer."""
    temperature: Positive = 1.0
    """The logits are divided by this."""
    dropout: Probability = 0.0
    """Dropout of the experts' weights in training (Zhao et al., RecSys 2019, but without renormalising)."""
    init: Literal["identity", "uniform", "random"] | None = None
    """Initial weights of a static gate: equal for all experts (`uniform`, the default), nonzero only for the gate's own
    experts (`identity`), or drawn from +-sqrt(1 / experts seen) (`random`; AdaTT, 2304.04959)."""

    def check(self, seen: Seen) -> None:
        """Raises KindError if a static gate has settings of a gate with a selector, or the reverse."""
        if seen.selector is not None and self.init is not None:
            raise KindError("`init` is for static gates", at=("init",), help="write `selector: none`, or drop `init`")
        if seen.selector is None and (self.units or self.bias):
            raise KindError(
                "a static gate has no network", at=("units",) if self.units else ("bias",),
                help="drop `units` and `bias`, or give the gate a selector",
            )  # fmt: skip
        if isinf(1 / self.temperature):
            raise KindError("`temperature` is too small to divide by", at=("temperature",), help="write 1e-6 or more")
        if self.init == "identity":
            self.check_identity(seen)

    def check_identity(self, seen: Seen) -> None:
        """Raises KindError, since only a linear gate can start as the identity."""
        raise KindError(
            "`init: identity` needs weights without normalisation", at=("init",), help="write `kind: linear`"
        )

    def start(self, seen: Seen) -> Init:
        """The initial value of a static gate's weights."""
        return Init("uniform", sqrt(1 / seen.count)) if self.init == "random" else Init("constant", 0.0)

    def logits(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, E]`, or `[E]` for a static gate."""
        if gate.selector is None:
            logits = at.parameter("weight", (gate.seen.count,), self.start(gate.seen))
        else:
            logits = at.linear(self.hidden(at, gate.selector), gate.seen.count, "head", bias=self.bias)
        logits = at.scale(logits, 1 / self.temperature)
        if gate.allowed is None:
            return logits
        return at.apply("mask_logits", logits, gate.allowed, shape=("B", gate.seen.count), value=self.excluded)

    def by_expert(
        self, seen: Seen, start: Literal["mean", "zero"], shift: float, weight: str = "the weight of an average expert"
    ) -> dict[str, Rows]:
        """The weights with a row for each expert; a shift of the logit is added to the bias, or to the static logit.

        `weight` is what an added expert starts with if there is no bias.
        """
        if seen.selector is None:
            return {"weight": Rows(start, shift * self.temperature)}
        why = "" if self.bias or not shift else f"without `bias: true` in the gate, added experts start with {weight}"
        return {"head.weight": Rows(start, why=why), "head.bias": Rows(start, shift * self.temperature)}

    def detail(self) -> str:
        """Sizes of the hidden layers."""
        return ", ".join(map(str, self.units))


def below_mean(seen: Seen, known: int, share: float) -> float:
    """How far below the mean of the known logits added ones must be for a softmax to give them at most `share`.

    sum_i exp l_i >= known * exp(mean l), so n added logits mean l - c get at most n exp(-c) / known in every row.
    """
    return max(log(max(seen.count - known, 1) / (known * share)), 0.0)


@gate("softmax")
class Softmax(GateNetwork):
    """Weights that add up to one: the gate of MMoE (KDD 2018), CGC and PLE (RecSys 2020, eq. 2-7)."""

    formula: ClassVar[str] = "softmax(W s / temperature)"
    title: ClassVar[str] = "gate"
    adds_up: ClassVar[bool] = True
    """With a single expert the weight is always 1, which is a warning."""

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, E]`."""
        return at.dropout(at.softmax(self.logits(at, gate)), self.dropout)

    def entering(self, seen: Seen, trained: TrainedGate, share: float) -> dict[str, Rows]:
        """The mean of the known logits, less what keeps the added weights below `share`; without a bias, the mean."""
        return self.by_expert(seen, "mean", -below_mean(seen, trained.known, share))


@gate("sigmoid")
class Sigmoid(GateNetwork):
    """Independent weights between 0 and 1."""

    formula: ClassVar[str] = "sigmoid(W s / temperature)"
    title: ClassVar[str] = "gate"

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, E]`."""
        return at.dropout(at.activation(self.logits(at, gate), "sigmoid"), self.dropout)

    def entering(self, seen: Seen, trained: TrainedGate, share: float) -> dict[str, Rows]:
        """The same weight for every row, `share` in total; without a bias, one half each."""
        each = share / max(seen.count - trained.known, 1)
        return self.by_expert(seen, "zero", log(each / (1 - each)), "the weight 1/2")


@gate("linear")
class Linear(GateNetwork):
    """Weights without normalisation: cross-stitch units (Misra et al., CVPR 2016) with `selector: none`."""

    formula: ClassVar[str] = "W s / temperature, or a for a static gate"
    title: ClassVar[str] = "mix"
    excluded: ClassVar[float] = 0.0

    def check_identity(self, seen: Seen) -> None:
        """Raises KindError if the gate sees no expert group with its name."""
        if seen.gate not in seen.groups:
            raise KindError(
                f"`init: identity` needs an expert group named `{seen.gate}` among those the gate sees", at=("init",),
                help="write `init: uniform`",
            )  # fmt: skip

    def start(self, seen: Seen) -> Init:
        """Equal weights for all experts, or for those of the group with the gate's name."""
        if self.init == "identity":
            own = [float(group == seen.gate) for group in seen.groups]
            return Init("values", tuple(value / sum(own) for value in own))
        return super().start(seen) if self.init == "random" else Init("constant", 1 / seen.count)

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, E]`."""
        return at.dropout(self.logits(at, gate), self.dropout)

    def entering(self, seen: Seen, trained: TrainedGate, share: float) -> dict[str, Rows]:
        """Weight 0 for every row."""
        return self.by_expert(seen, "zero", 0.0)


@gate("sum")
class Sum(GateKind):
    """Gives every expert the fixed weight 1: a task's only own expert in AdaTT (2304.04959), or a skip connection."""

    selects: ClassVar[Literal["stream", "domain", "none"]] = "none"
    formula: ClassVar[str] = "1 for every expert"
    title: ClassVar[str] = "+"

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """Ones `[B, E]`; nothing is learned."""
        return at.apply(
            "rows_like", at.constant([[1.0] * gate.seen.count]), gate.experts[0], shape=("B", gate.seen.count)
        )


@gate("topk")
class TopK(GateNetwork):
    """Softmax over the k largest logits, zero elsewhere (Shazeer et al., 1701.06538, section 2.1, without noise).

    The optimized model runs an expert only on the rows that chose it, if all gates of these experts together choose at
    most half of them; on a GPU and in a compiled graph it runs every expert on every row. `balance` adds the
    load-balancing loss of Switch (Fedus et al., 2101.03961, eq. 4-6) in training: balance * E * sum_i f_i P_i, where
    f_i is expert i's share of the choices and P_i its mean probability; an even load gives exactly `balance`.
    """

    formula: ClassVar[str] = "softmax(keep the k largest of W s / temperature)"
    title: ClassVar[str] = "top-k"
    adds_up: ClassVar[bool] = True
    k: Count
    balance: NotNegative = 0.0

    def check(self, seen: Seen) -> None:
        """Raises KindError if k is larger than the number of experts seen."""
        super().check(seen)
        if self.k > seen.count:
            raise KindError(
                f"`k: {self.k}` is more than the {seen.count} experts that it sees",
                at=("k",),
                help=f"write `k: {seen.count}` or less",
            )

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[B, D] -> [B, E]`."""
        logits = self.logits(at, gate)
        if self.balance:
            loss = at.apply("balance_loss", logits, shape=(), k=self.k)
            at.auxiliary_loss(at.scale(loss, self.balance))
        return at.dropout(at.apply("top_k", logits, k=self.k), self.dropout)

    def entering(self, seen: Seen, trained: TrainedGate, share: float) -> dict[str, Rows]:
        """As for `softmax`: an added expert is chosen only in place of one with a smaller weight."""
        return self.by_expert(seen, "mean", -below_mean(seen, trained.known, share))

    def chosen(self, seen: Seen) -> int:
        """k: the optimized model may run each expert only on the rows that chose it."""
        return self.k

    def detail(self) -> str:
        """Only k, since the number of experts is not known here."""
        return f"k = {self.k}"


@gate("domain")
class Domain(GateKind):
    """Each row uses the experts of its own domain: the group with the name of the row's value, with equal weights."""

    selects: ClassVar[Literal["stream", "domain", "none"]] = "domain"
    formula: ClassVar[str] = "one-hot(domain)"
    title: ClassVar[str] = "domain"

    def check(self, seen: Seen) -> None:
        """Raises KindError if the selector is not a domain input, or if a value has no group with its name."""
        if seen.domain is None:
            raise KindError(
                "a `domain` gate needs a domain input as its selector", at=("selector",), help="write the name of one"
            )
        if missing := [value for value in seen.domain if value not in seen.groups]:
            raise KindError(
                f"the gate sees no expert group named `{missing[0]}`, a value of its domain", at=("sees",),
                help=f"give expert groups the names of the domain's values: {', '.join(seen.domain)}",
            )  # fmt: skip

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """Ids `[B] -> [B, E]`."""
        assert gate.seen.domain is not None
        assert gate.selector is not None
        groups = gate.seen.groups
        rows = [[(group == value) / groups.count(value) for group in groups] for value in gate.seen.domain]
        return at.lookup(gate.selector, at.constant(rows))


@gate("hard_concrete")
class HardConcrete(GateKind):
    """Static gates that become exactly 0 or 1, sampled in training (SNR, Ma et al., AAAI 2019; 1712.01312).

    u ~ U(0,1); t = sigmoid((log u - log(1-u) + log a) / beta); z = clamp(t (zeta - gamma) + gamma, 0, 1); in evaluation
    z = clamp(sigmoid(log a) (zeta - gamma) + gamma, 0, 1). All rows share one z. In training, `penalty` times the
    expected number of open gates, sum sigmoid(log a - beta log(-gamma / zeta)), is added to the loss.
    """

    selects: ClassVar[Literal["stream", "domain", "none"]] = "none"
    formula: ClassVar[str] = "clamp(sigmoid((log u - log(1-u) + log a) / beta) (zeta - gamma) + gamma, 0, 1)"
    title: ClassVar[str] = "SNR"
    beta: Positive = 0.9
    gamma: Finite = -0.1
    zeta: Finite = 1.1
    penalty: NotNegative = 0.0

    def check(self, seen: Seen) -> None:
        """Raises KindError unless gamma < 0 and zeta > 1."""
        if not self.gamma < 0:
            raise KindError("`gamma` must be below 0", at=("gamma",), help="the paper uses -0.1")
        if not self.zeta > 1:
            raise KindError("`zeta` must be above 1", at=("zeta",), help="the paper uses 1.1")

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """`[E]`: one sample per forward pass in training."""
        log_a = at.parameter("weight", (gate.seen.count,), Init("constant", 0.0))
        bounds: dict[str, Any] = {"beta": self.beta, "gamma": self.gamma, "zeta": self.zeta}
        if self.penalty:
            loss = at.apply("open_gates", log_a, shape=(), **bounds)
            at.auxiliary_loss(at.scale(loss, self.penalty))
        return at.apply("hard_concrete", log_a, **bounds, training=True)

    def entering(self, seen: Seen, trained: TrainedGate, share: float) -> dict[str, Rows]:
        """Closed: exactly 0 in evaluation, where sigmoid(log a) is at most -gamma / (zeta - gamma)."""
        return {"weight": Rows("zero", log(-self.gamma / self.zeta) - 1)}
