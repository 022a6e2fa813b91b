"""ESCM2 (Wang et al., SIGIR 2022, arXiv 2204.05125): the conversion loss over all impressions, without selection bias.

With o = 1 where the row was observed (clicked), e the logistic loss of the row's cvr, and p = sg(max(pCTR, clip)):
`escm2_ipw`: the mean over all rows of o e / p.
`escm2_dr`: the mean over all rows of d + o (e - d) / p + o (e - d)^2 / p, where d is the error that the
tower `imputation` predicts; the last term trains it. As in PaddleRec's code, d is a probability, the sigmoid of the
tower's logit. The paper does not specify this, and a probability cannot predict an error above 1: `imputed: value` uses
the tower's number as it is (`output: regression`).
Chosen here: the clip of p (PaddleRec: 1e-6 for `escm2_dr`, whose p has a gradient there; 1/p at most 15 and p times the
clicks of the batch squared for `escm2_ipw`), and weight 1 for the imputation's own term.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from archspec import ColumnName, LossKind, OutputName, loss

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    Columns = Mapping[str, Tensor]


@loss("escm2_ipw")
class InversePropensity(LossKind):
    """The logistic loss of observed rows, divided by the probability that they are observed."""

    paper: ClassVar[str] = "Wang et al., SIGIR 2022, arXiv 2204.05125: inverse propensity"
    formula: ClassVar[str] = "o e / sg(max(p, clip))"
    tasks: ClassVar[tuple[str, ...]] = ("binary",)
    stopped: ClassVar[tuple[str, ...]] = ("propensity",)
    propensity: OutputName
    """The output that predicts the probability of being observed."""
    observed: ColumnName
    """The label column that marks the rows that were observed."""
    clip: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Lower bound of the probability."""

    def joint(self, logits: Tensor, labels: Tensor, outputs: Columns, batch: Columns) -> Tensor:
        """Logits `[B]`, labels `[B]`, all outputs and columns -> `[B]`."""
        error, weight = self.parts(logits, labels, outputs, batch)
        return weight * error

    def parts(self, logits: Tensor, labels: Tensor, outputs: Columns, batch: Columns) -> tuple[Tensor, Tensor]:
        """The logistic loss e, 0 where not observed, and o / p: `[B]` each."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        seen = batch[self.observed] == 1
        labels = labels.to(logits.dtype).masked_fill(~seen, 0.0)  # without a click, a label may be anything
        error = binary_cross_entropy_with_logits(logits, labels, reduction="none")
        probability = outputs[self.propensity].detach().sigmoid().clamp_min(self.clip)
        return error, seen.to(logits.dtype) / probability


@loss("escm2_dr")
class DoublyRobust(InversePropensity):
    """The predicted error, corrected on observed rows: unbiased if the propensity or the prediction is correct."""

    paper: ClassVar[str] = "Wang et al., SIGIR 2022, arXiv 2204.05125: doubly robust"
    formula: ClassVar[str] = "d + o (e - d) / p + o (e - d)^2 / p"
    imputation: OutputName
    """The tower that predicts the error."""
    imputed: Literal["probability", "value"] = "probability"
    """Whether the error is the sigmoid of the tower's output, or the output itself (`output: regression`)."""

    def joint(self, logits: Tensor, labels: Tensor, outputs: Columns, batch: Columns) -> Tensor:
        """Logits `[B]`, labels `[B]`, all outputs and columns -> `[B]`."""
        error, weight = self.parts(logits, labels, outputs, batch)
        predicted = outputs[self.imputation]
        predicted = predicted.sigmoid() if self.imputed == "probability" else predicted
        return predicted + weight * ((error - predicted) + (error - predicted).square())
