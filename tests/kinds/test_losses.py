"""Losses: each against its formula in float64, gradients too; sample spaces, groups and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from torch.distributions import LogNormal
from torch.nn.functional import logsigmoid, softplus

import archspec
from archspec.diagnostics import SpecError
from archspec.plugins import built_in
from archspec.testing import check_kind
from tests.kinds.test_tasks import KINDS, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROWS = 12
NAN = float("nan")
GROUPS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 4])


def labels_of(kind: str) -> Tensor:
    """Legal labels, some of them 0."""
    generator = torch.Generator().manual_seed(3)
    classes = {"binary": 2, "multiclass": 3, "ordinal": 4}.get(kind)
    if classes is not None:
        made = torch.randint(classes, (ROWS,), generator=generator)
        return made.double() if kind == "binary" else made
    amounts = torch.rand(ROWS, generator=generator, dtype=torch.float64) * 5
    if kind in {"regression", "quantile"}:
        return amounts - 2
    amounts = amounts * (torch.arange(ROWS) % 3 > 0)
    return amounts.round() if kind == "poisson" else amounts


def loss_of(task: str, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """The task's loss by MultiTaskLoss, `[]`."""
    criterion = archspec.MultiTaskLoss(text_of(task).replace(", click: {}", "").replace(", click: {from: x}", ""))
    parts: dict[str, Tensor] = criterion({"y": outputs}, batch)[1]
    return parts["y"]


def assert_equal_losses(found: Tensor, expected: Tensor, outputs: Tensor) -> None:
    """Asserts that both losses have the same value, and the same finite gradient in the outputs."""
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(value, outputs)[0] for value in (found, expected)]
    assert torch.isfinite(gradients[0]).all()
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def outputs_of(kind: str) -> Tensor:
    """Random outputs that require gradients."""
    spec = archspec.load(text_of(KINDS[kind]))
    count = spec.tasks["y"].settings.outputs()
    made = torch.randn(ROWS, count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (made if count > 1 else made.squeeze(1)).requires_grad_()


def logistic(o: Tensor, y: Tensor, weight: float = 1.0) -> Tensor:
    """Cross entropy of a probability given by its logit."""
    return -(weight * y * logsigmoid(o) + (1 - y) * logsigmoid(-o))


def focal(o: Tensor, y: Tensor) -> Tensor:
    """Lin et al., eq. 5, from probabilities."""
    p = o.sigmoid()
    return -0.3 * y * (1 - p) ** 1.5 * p.log() - 0.7 * (1 - y) * p**1.5 * (1 - p).log()


def lognormal(o: Tensor, y: Tensor) -> Tensor:
    """Negative log likelihood of a zero-inflated lognormal by torch's distributions."""
    some: Tensor = y > 0
    distribution: Any = LogNormal(o[:, 1], softplus(o[:, 2]))
    density: Tensor = distribution.log_prob(torch.where(some, y, 1.0))
    return torch.where(some, -logsigmoid(o[:, 0]) - density, -logsigmoid(-o[:, 0]))


def corn(o: Tensor, y: Tensor) -> Tensor:
    """CORN row by row: the conditional logistic loss of each step that the row reaches."""
    rows = []
    for row, label in zip(o, y.tolist(), strict=True):
        terms = [-logsigmoid(row[k]) if label > k else -logsigmoid(-row[k]) for k in range(3) if label >= k]
        rows.append(torch.stack(terms).sum())
    return torch.stack(rows)


def huber(o: Tensor, y: Tensor) -> Tensor:
    """Huber (1964), with delta 0.5."""
    error = (o - y).abs()
    return torch.where(error <= 0.5, error**2 / 2, 0.5 * (error - 0.25))


FORMULAS: dict[tuple[str, str], Callable[[Tensor, Tensor], Tensor]] = {
    ("binary", "logistic, pos_weight: 3"): lambda o, y: logistic(o, y, 3),
    ("binary", "logistic, smoothing: 0.2"): lambda o, y: logistic(o, y * 0.8 + 0.1),
    ("binary", "focal, gamma: 1.5, alpha: 0.3"): focal,
    ("quantile", "pinball, q: 0.9"): lambda o, y: torch.where(y > o, 0.9 * (y - o), 0.1 * (o - y)),
    ("poisson", "poisson"): lambda o, y: o.exp() - y * o,
    ("tweedie", "tweedie, power: 1.2"): lambda o, y: o.exp() ** 0.8 / 0.8 + y * o.exp() ** (-0.2) / 0.2,
    ("weighted_logistic", "weighted_logistic, negatives: zeros"): lambda o, y: (
        -y * logsigmoid(o) - (y == 0).double() * logsigmoid(-o)
    ),
    ("weighted_logistic", "weighted_logistic, negatives: all"): lambda o, y: -y * logsigmoid(o) - logsigmoid(-o),
    ("ziln", "ziln"): lognormal,
    ("ordinal", "corn"): corn,
    ("multiclass", "cross_entropy"): lambda o, y: (
        -(o.exp() / o.exp().sum(1, keepdim=True)).log()[torch.arange(ROWS), y]
    ),
    ("regression", "mse"): lambda o, y: (o - y) ** 2,
    ("binary", "mse"): lambda o, y: (1 / (1 + (-o).exp()) - y) ** 2,
    ("regression", "mae"): lambda o, y: (o - y).abs(),
    ("regression", "huber, delta: 0.5"): huber,
}
"""(kind of task, loss) -> the rows' losses from outputs and labels, as the papers write them."""


@pytest.mark.parametrize(("kind", "loss"), FORMULAS)
def test_losses_are_their_formulas(kind: str, loss: str) -> None:
    """Each loss is the mean of the paper's formula; row weights make it a weighted mean over the sample space."""
    outputs, labels = outputs_of(kind), labels_of(kind)
    task = f"{KINDS[kind]}, loss: {{kind: {loss}}}"
    formula = FORMULAS[kind, loss]
    assert_equal_losses(loss_of(task, outputs, {"y": labels}), formula(outputs, labels).mean(), outputs)
    space, weight = (torch.arange(ROWS) % 2).double(), torch.linspace(0, 2, ROWS, dtype=torch.float64)
    dirty = torch.where(space == 1, labels, NAN if labels.is_floating_point() else -7)
    found = loss_of(f"{task}, when: s, weight_column: w", outputs, {"y": dirty, "s": space, "w": weight})
    rows = formula(outputs, labels) * space * weight
    assert_equal_losses(found, rows.sum() / (space * weight).sum(), outputs)


TASKS = [
    *((settings.split(",")[0], kind, f"{KINDS[kind]}, loss: {{kind: {settings}}}") for kind, settings in FORMULAS),
    ("pairwise", "binary", "binary, loss: {kind: pairwise, group: request}"),
    ("listwise", "binary", "binary, loss: {kind: listwise, group: request}"),
    ("jrc", "two classes", "multiclass, classes: 2, loss: {kind: jrc, group: request}"),
    ("distill", "binary", "binary, loss: [logistic, {kind: distill, column: t}]"),
]
"""Each loss, the kind of its outputs and labels, and a task with it."""


def test_every_loss_is_among_those_tested_here() -> None:
    """A new loss needs its formula here, or a test of its own and a line in TASKS."""
    assert {loss for loss, _, _ in TASKS} == set(built_in().names("loss"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("kind", "task"), [(kind, task) for _, kind, task in TASKS])
def test_losses_stay_finite(kind: str, task: str, dtype: torch.dtype) -> None:
    """Neither outputs of 1e4 nor an empty batch, one row or one class give NaN or infinity, in value or gradient."""
    if kind == "two classes":
        labels, random = labels_of("binary").long(), torch.randn(ROWS, 2, dtype=dtype)
    else:
        labels, random = labels_of(kind), outputs_of(kind).detach().to(dtype)
    labels = labels.to(dtype) if labels.is_floating_point() else labels
    first = torch.zeros_like(labels)
    cases = {
        "empty": (random[:0], labels[:0]), "one row": (random[:1], labels[:1]), "one class": (random, first),
        "1e4": (torch.full_like(random, 1e4), labels), "-1e4": (torch.full_like(random, -1e4), labels),
        "mixed": (random.sign() * 1e4, labels),
    }  # fmt: skip
    for name, (outputs, y) in cases.items():
        found = outputs.clone().requires_grad_()
        batch = {"y": y, "request": GROUPS[: len(y)], "t": torch.full((len(y),), 0.3, dtype=dtype)}
        value = loss_of(task, found, batch)
        assert torch.isfinite(value), name
        assert torch.isfinite(torch.autograd.grad(value, found)[0]).all(), name


@pytest.mark.parametrize("kind", ["poisson", "tweedie", "weighted_logistic"])
def test_losses_have_their_optimum_at_the_mean(kind: str) -> None:
    """The best constant prediction of amounts is the mean label: the gradient is 0 there."""
    labels = labels_of(kind)
    loss = ", loss: {kind: weighted_logistic, negatives: all}" if kind == "weighted_logistic" else ""
    constant = torch.tensor(labels.mean().log().item(), dtype=torch.float64, requires_grad=True)
    loss_of(KINDS[kind] + loss, constant.expand(ROWS), {"y": labels}).backward()  # type: ignore[no-untyped-call] # torch's own
    assert constant.grad is not None
    assert constant.grad.item() == pytest.approx(0, abs=1e-12)


def relative(weight: Tensor | None, inside: Tensor) -> Tensor:
    """Weights divided by their mean over the rows of the sample space; 1 without weights."""
    return torch.ones(ROWS, dtype=torch.float64) if weight is None else weight / weight[inside].mean()


def pairs_by_hand(o: Tensor, y: Tensor, inside: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """The mean over pairs, pair by pair, each times the weight of its higher row relative to the mean weight."""
    weight = relative(weight, inside)
    terms = [
        weight[i] * softplus(-(o[i] - o[j]) / temperature)
        for i in range(ROWS)
        for j in range(ROWS)
        if GROUPS[i] == GROUPS[j] and y[i] > y[j] and inside[i] and inside[j]
    ]
    return torch.stack(terms).mean() if terms else o.sum() * 0


def lists_by_hand(o: Tensor, y: Tensor, inside: Tensor, temperature: float, weight: Tensor | None = None) -> Tensor:
    """The mean over groups, group by group, each row's term times its weight relative to the mean weight."""
    weight, terms = relative(weight, inside), []
    for group in range(5):
        rows = [i for i in range(ROWS) if GROUPS[i] == group and inside[i]]
        if rows and y[rows].sum() > 0:
            share = (o[rows] / temperature).log_softmax(0)
            terms.append(-(weight[rows] * y[rows] / y[rows].sum() * share).sum())
    return torch.stack(terms).mean() if terms else o.sum() * 0


@pytest.mark.parametrize("inside", ["all", "half", "none"])
@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_losses_within_groups(loss: str, inside: str) -> None:
    """Pairs and lists are those of a group in the sample space; no group, or groups of one row, give a loss of 0."""
    outputs, labels = outputs_of("binary"), labels_of("binary")
    space = {"all": torch.ones(ROWS), "half": (torch.arange(ROWS) % 2).float(), "none": torch.zeros(ROWS)}[inside]
    by_hand = pairs_by_hand if loss == "pairwise" else lists_by_hand
    batch = {"y": torch.where(space == 1, labels, NAN), "s": space, "request": GROUPS}
    found = loss_of(f"binary, when: s, loss: {{kind: {loss}, group: request, temperature: 0.7}}", outputs, batch)
    assert_equal_losses(found, by_hand(outputs, labels, space == 1, 0.7), outputs)


@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_weights_of_losses_within_groups(loss: str) -> None:
    """A weight scales its own row's term and nobody else's; a row of weight 0 is left out, whatever its label."""
    outputs, labels = outputs_of("binary"), labels_of("binary")
    weight = torch.linspace(0, 2, ROWS, dtype=torch.float64)
    weight[7] = 0
    by_hand = pairs_by_hand if loss == "pairwise" else lists_by_hand
    dirty = torch.where(weight > 0, labels, NAN)
    task = f"binary, weight_column: w, loss: {{kind: {loss}, group: request, temperature: 0.7}}"
    found = loss_of(task, outputs, {"y": dirty, "w": weight, "request": GROUPS})
    assert_equal_losses(found, by_hand(outputs, labels, weight > 0, 0.7, weight), outputs)


@pytest.mark.parametrize("loss", ["pairwise", "listwise", "jrc"])
def test_a_row_of_little_weight_remains_a_partner(loss: str) -> None:
    """The other rows are compared with a row of weight 1e-9 as with any other; only weight 0 takes it out of its group.

    So weights never change who is compared, and batches can be padded with rows of weight 0.
    """
    binary = loss != "jrc"
    outputs = torch.randn(3, dtype=torch.float64) if binary else torch.randn(3, 2, dtype=torch.float64)
    labels = torch.tensor([1, 0, 0]).double() if binary else torch.tensor([1, 0, 0])
    kind = "binary" if binary else "multiclass, classes: 2"
    task = f"{kind}, weight_column: w, loss: {{kind: {loss}, group: g}}"

    def value(last: float, rows: int = 3) -> float:
        weight = torch.tensor([1.0, 1.0, last], dtype=torch.float64)
        batch = {"y": labels, "w": weight, "g": torch.zeros(3, dtype=torch.int64)}
        return loss_of(task, outputs[:rows], {name: column[:rows] for name, column in batch.items()}).item()

    assert value(0.0) == pytest.approx(value(1.0, rows=2), abs=1e-12)
    assert value(1e-9) != pytest.approx(value(0.0), abs=1e-3)
    assert value(1e-9) == pytest.approx(value(1e-12), abs=1e-6)


@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_groups_of_one_class_teach_no_order(loss: str, label: float) -> None:
    """Without two different labels a pairwise loss is 0, without positive rows a listwise one is; none is NaN."""
    outputs = outputs_of("binary")
    batch = {"y": torch.full((ROWS,), label), "request": GROUPS}
    found = loss_of(f"binary, loss: {{kind: {loss}, group: request}}", outputs, batch)
    assert torch.isfinite(torch.autograd.grad(found, outputs)[0]).all()
    assert found.item() == 0 or (loss == "listwise" and label == 1)


def test_jrc_is_the_algorithm_of_the_paper() -> None:
    """JRC equals the paper's pseudocode: matrices of a context mask, softmax over rows, mean over the context."""
    outputs = torch.randn(ROWS, 2, dtype=torch.float64).requires_grad_()
    labels = labels_of("binary").long()
    mask = (GROUPS[:, None] == GROUPS[None, :]).double()
    onehot = torch.nn.functional.one_hot(labels, 2).double()
    y = onehot[:, None, :] * mask[:, :, None]
    logits = outputs[:, None, :] + (1 - mask[:, :, None]) * -1e9
    terms = [-(y[..., k] * logits[..., k].log_softmax(0)).sum(0) for k in range(2)]
    ranked = (sum(terms) / mask.sum(0)).mean()
    expected = 0.3 * torch.nn.functional.cross_entropy(outputs, labels) + 0.7 * ranked
    task = "multiclass, classes: 2, loss: {kind: jrc, group: request, alpha: 0.3}"
    assert_equal_losses(loss_of(task, outputs, {"y": labels, "request": GROUPS}), expected, outputs)


def jrc_by_hand(o: Tensor, y: Tensor, inside: Tensor) -> Tensor:
    """JRC of each row in the sample space, row by row, with alpha 0.3; 0 outside."""
    rows = [o[i].sum() * 0 for i in range(ROWS)]
    for i in range(ROWS):
        if inside[i]:
            k, context = int(y[i]), inside & (GROUPS[i] == GROUPS)
            ranked = o[context, k].exp().sum().log() - o[i, k]
            rows[i] = 0.3 * (o[i].exp().sum().log() - o[i, k]) + 0.7 * ranked
    return torch.stack(rows)


@pytest.mark.parametrize("inside", ["all", "half", "none"])
@pytest.mark.parametrize("loss", ["jrc", "distill"])
def test_masks_and_weights_of_losses_that_read_the_batch(loss: str, inside: str) -> None:
    """JRC compares only rows of the sample space whose weight is not 0; both are weighted means, 0 without rows."""
    outputs, labels = torch.randn(ROWS, 2, dtype=torch.float64).requires_grad_(), labels_of("binary").long()
    task = "multiclass, classes: 2, loss: {kind: jrc, group: request, alpha: 0.3}"
    if loss == "distill":
        outputs, task = outputs_of("binary"), "binary, loss: [logistic, {kind: distill, column: t}]"
    taught = torch.linspace(0, 1, ROWS, dtype=torch.float64)
    space = {"all": torch.ones(ROWS), "half": (torch.arange(ROWS) % 2).float(), "none": torch.zeros(ROWS)}[inside]
    weight = space * torch.linspace(0, 2, ROWS, dtype=torch.float64)
    dirty = torch.where(space == 1, labels, -7)
    batch = {"y": dirty, "s": space, "w": torch.linspace(0, 2, ROWS, dtype=torch.float64), "request": GROUPS}
    found = loss_of(f"{task}, when: s, weight_column: w", outputs, {**batch, "t": taught})
    if loss == "jrc":
        rows = jrc_by_hand(outputs, labels, weight > 0)
    else:
        rows = logistic(outputs, labels.double()) + logistic(outputs, taught)
    assert_equal_losses(found, (rows * weight).sum() / weight.sum().clamp_min(1e-9), outputs)


@pytest.mark.parametrize(("source", "temperature"), [("probability", 1.0), ("probability", 2.0), ("logit", 2.0)])
def test_distillation(source: str, temperature: float) -> None:
    """The cross entropy with the teacher's softened predictions is added to the task's own loss, times its weight."""
    outputs, labels = outputs_of("binary"), labels_of("binary")
    taught = torch.randn(ROWS, dtype=torch.float64)
    soft = (taught / temperature).sigmoid()
    distilled = -(soft * logsigmoid(outputs / temperature) + (1 - soft) * logsigmoid(-outputs / temperature))
    own = -(labels * logsigmoid(outputs) + (1 - labels) * logsigmoid(-outputs))
    column = taught if source == "logit" else taught.sigmoid()
    loss = f"{{kind: distill, column: t, from: {source}, temperature: {temperature}, weight: 0.3}}"
    task = f"binary, loss: [logistic, {loss}]"
    assert_equal_losses(
        loss_of(task, outputs, {"y": labels, "t": column}),
        (own + 0.3 * temperature**2 * distilled).mean(), outputs,
    )  # fmt: skip


def test_a_loss_beside_a_distillation_still_checks_labels() -> None:
    """A missing label is an error even though `distill` itself needs none."""
    task = "binary, loss: [logistic, {kind: distill, column: t}]"
    batch = {"y": torch.full((ROWS,), NAN), "t": torch.full((ROWS,), 0.5)}
    with pytest.raises(ValueError, match="column `y` is outside"):
        loss_of(task, outputs_of("binary"), batch)


def test_rows_without_a_group_take_no_part() -> None:
    """Keys that `archspec train` marks as without a group are skipped; the loss needs one integer per row."""
    from archspec.program.columns import NO_GROUP, as_written

    outputs, labels = outputs_of("binary"), labels_of("binary")
    groups = torch.where(torch.arange(ROWS) < 6, GROUPS, NO_GROUP)
    task = "binary, loss: {kind: pairwise, group: request}"
    expected = pairs_by_hand(outputs, labels, torch.arange(ROWS) < 6, 1.0)
    assert_equal_losses(loss_of(task, outputs, {"y": labels, as_written("request"): groups}), expected, outputs)
    with pytest.raises(ValueError, match=r"column `request`, which groups rows .* not one integer per row"):
        loss_of(task, outputs, {"y": labels, "request": labels})


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("binary, loss: corn", "for ordinal tasks"),
        ("multiclass, classes: 3, loss: {kind: jrc, group: g}", "2 outputs; `y` has 3"),
        ("ordinal, classes: 3, loss: {kind: pairwise, group: g}", "`y` is ordinal"),
        ("binary, loss: {kind: pairwise}", "group"),
        ("binary, loss: {kind: focal, alpha: 1}", "alpha"),
        ("binary, loss: {kind: logistic, weight: -1}", "weight"),
    ],
)
def test_losses_that_do_not_fit_their_task(task: str, words: str) -> None:
    """Each mismatch is refused with the name of the task and what the loss is meant for."""
    with pytest.raises(SpecError) as caught:
        archspec.load(text_of(task))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        ("focal", {}), ("pairwise", {"group": "scene"}), ("listwise", {"group": "scene"}), ("jrc", {"group": "scene"}),
        ("distill", {"column": "two"}), ("logistic", {"pos_weight": 2.0, "smoothing": 0.1}),
        ("pinball", {"q": 0.3}), ("corn", {}),
        ("poisson", {}), ("tweedie", {}), ("ziln", {}), ("weighted_logistic", {}),
    ],
)  # fmt: skip
def test_losses_keep_the_contract(loss: str, settings: dict[str, Any]) -> None:
    """One finite number per row, correct gradients, and one graph in torch.compile."""
    check_kind(loss, "loss", settings=settings)
