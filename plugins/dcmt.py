"""DCMT (Zhu et al., ICDE 2023, arXiv 2302.06141): a conversion rate and its counterfactual, over all impressions.

With o = 1 for a clicked row, r its conversion, p = sg(pCTR) between `clip` and 1 - `clip`, y the rate and y* that of
the tower `counterfactual`, the loss is
    sum(o l(y, r) / p) / sum(o / p)  +  sum((1 - o) l(y*, 1 - r) / (1 - p)) / sum((1 - o) / (1 - p))
    + prior mean(|1 - (y + y*)|),
l the logistic loss: self-normalised inverse propensities (SNIPS) of the clicked rows, the same for the counterfactual
in the space without clicks, where r = 0 and so 1 - r = 1, and the soft constraint that both rates add up to 1. A sum
over no rows counts 0. Both towers stand on one trunk. The loss is a mean over all rows: do not give its task a
`when`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from archspec import ColumnName, LossKind, OutputName, loss
from archspec.contract.settings import NotNegative

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    Columns = Mapping[str, Tensor]


@loss("dcmt")
class Dcmt(LossKind):
    """The self-normalised losses of a conversion rate and of its counterfactual, and what keeps them opposite."""

    paper: ClassVar[str] = "Zhu et al., ICDE 2023, arXiv 2302.06141"
    formula: ClassVar[str] = "SNIPS(o, l(y, r), p) + SNIPS(1 - o, l(y*, 1 - r), 1 - p) + prior mean |1 - (y + y*)|"
    tasks: ClassVar[tuple[str, ...]] = ("binary",)
    stopped: ClassVar[tuple[str, ...]] = ("propensity",)
    propensity: OutputName
    """The output that predicts the probability of a click."""
    counterfactual: OutputName
    """The tower of the counterfactual conversion rate."""
    observed: ColumnName
    """The label column that marks the rows with a click."""
    clip: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Smallest probability that a weight divides by."""
    prior: NotNegative = 0.001
    """Weight of the constraint that both rates add up to 1."""

    def joint(self, logits: Tensor, labels: Tensor, outputs: Columns, batch: Columns) -> Tensor:
        """Logits `[B]`, labels `[B]`, all outputs and columns -> `[B]`, whose mean is the loss."""
        from torch.nn.functional import binary_cross_entropy_with_logits as logistic

        seen = (batch[self.observed] == 1).to(logits.dtype)
        counterfactual = outputs[self.counterfactual]
        p = outputs[self.propensity].detach().sigmoid().clamp(self.clip, 1 - self.clip)
        labels = labels.to(logits.dtype).masked_fill(seen == 0, 0.0)  # without a click, nobody converts
        of_seen = normalised(seen / p, logistic(logits, labels, reduction="none"))
        of_rest = normalised((1 - seen) / (1 - p), logistic(counterfactual, 1 - labels, reduction="none"))
        opposite = (1 - (logits.sigmoid() + counterfactual.sigmoid())).abs()
        return of_seen + of_rest + self.prior * opposite


def normalised(weights: Tensor, losses: Tensor) -> Tensor:
    """Losses `[B]` whose mean is sum(w l) / sum(w), or 0 if all weights are 0."""
    total = weights.sum()
    return weights * losses * (len(weights) / total.where(total > 0, total.new_ones(())))
