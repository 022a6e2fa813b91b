"""The claims about the synthetic tasks (Ma et al., KDD 2018, section 4.2), as inequalities of paired runs.

Each claim is a number that is positive if the claim is right (zero if it claims that two models are alike), with its
standard error over the seeds. `judge` decides about all of them together, as `synthetic_protocol.md` says.
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt
from statistics import NormalDist, mean, stdev
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Losses = dict[tuple[str, float, int], float]
    Statistic = Callable[[Losses, Sequence[int]], float]

LEVEL = 0.05
"""The probability, at most, that any claim is decided wrongly by chance."""
ALIKE = 0.2
"""Models are alike if their losses differ by less than this share of their loss."""


class Claim(NamedTuple):
    """A sentence about some models, and its number for some seeds.

    `reference`: the claim says that the number is zero, compared with this one.
    """

    words: str
    models: tuple[str, ...]
    statistic: Statistic
    reference: Statistic | None = None


class Found(NamedTuple):
    """A claim's number, its standard error, and the half width of the interval in which it counts as zero."""

    value: float
    error: float
    margin: float | None = None

    @property
    def probability(self) -> float:
        """The two-sided probability of a number so far from zero if the true one is zero (normal approximation)."""
        if not self.error:
            return float(not self.value)
        return 2 * NormalDist().cdf(-abs(self.value / self.error))

    def half(self, level: float = LEVEL) -> float:
        """Half the width of the confidence interval of 1 - level."""
        return NormalDist().inv_cdf(1 - level / 2) * self.error


def claims(models: Sequence[str], correlations: Sequence[float]) -> Iterator[Claim]:
    """The papers' claims about these models: Ma et al., and, of PLE, Tang et al. (RecSys 2020)."""
    ordered = (*_is_worst(models, correlations), *_is_worse_than_ple(correlations))
    for claim in (*_falls(models, correlations), *_loses_less(correlations), *ordered):
        if set(claim.models) <= set(models):
            yield claim


def check(claim: Claim, losses: Losses, seeds: Sequence[int], *, logarithms: bool = False) -> Found:
    """The claim's number over all seeds, with the jackknife standard error; for means, that of paired differences.

    With `logarithms`, losses are logarithms of losses: a share of the loss is then a difference.
    """
    value, runs = claim.statistic(losses, seeds), len(seeds)
    without = [claim.statistic(losses, [seed for seed in seeds if seed != left]) for left in seeds]
    error = sqrt((runs - 1) / runs * sum((one - mean(without)) ** 2 for one in without))
    if claim.reference is None:
        return Found(value, error)
    return Found(value, error, ALIKE if logarithms else ALIKE * claim.reference(losses, seeds))


def judge(found: Sequence[Found]) -> list[str]:
    """A verdict on each claim, corrected for their number (Holm, 1979): the opposite is a verdict, too.

    Models are alike if two one-sided tests find the difference within the margin (Schuirmann, 1987).
    """
    order = sorted(range(len(found)), key=lambda place: found[place].probability)
    differ: set[int] = set()
    for rank, place in enumerate(order):
        if found[place].probability > LEVEL / (len(found) - rank):
            break
        differ.add(place)
    return [_verdict(one, place in differ) for place, one in enumerate(found)]


def _verdict(found: Found, differs: bool) -> str:  # noqa: FBT001 - private
    if found.margin is not None:
        near = abs(found.value) + found.half(2 * LEVEL) < found.margin
        return "holds" if near else "the opposite holds" if differs else "undecided"
    if not differs:
        return "undecided"
    return "holds" if found.value > 0 else "the opposite holds"


def _falls(models: Sequence[str], correlations: Sequence[float]) -> Iterator[Claim]:
    for model in models:
        for p, q in combinations(sorted(correlations), 2):
            words = f"{model}: the loss at p = {q} is below that at p = {p}"
            yield Claim(words, (model,), _difference(_average(model, p), _average(model, q)))


def _loses_less(correlations: Sequence[float]) -> Iterator[Claim]:
    low, high = min(correlations), max(correlations)

    def lost(model: str) -> Statistic:
        return _difference(_average(model, low), _average(model, high))

    for other in ("one-gate MoE", "Shared-Bottom"):
        words = f"from p = {high} to {low}, MMoE loses less than {other}"
        yield Claim(words, ("MMoE", other), _difference(lost(other), lost("MMoE")))
    alike = _difference(_average("one-gate MoE", high), _average("MMoE", high))
    words, models = f"at p = {high}, MMoE and one-gate MoE are alike", ("MMoE", "one-gate MoE")
    yield Claim(words, models, alike, reference=_average("MMoE", high))


def _is_worst(models: Sequence[str], correlations: Sequence[float]) -> Iterator[Claim]:
    worst = "Shared-Bottom"
    for words, statistic in (("worse on average", _average), ("spread wider over runs", _width)):
        for other in (model for model in models if model != worst):
            number = _difference(statistic(worst, *correlations), statistic(other, *correlations))
            yield Claim(f"{worst} is {words} than {other}", (worst, other), number)


def _is_worse_than_ple(correlations: Sequence[float]) -> Iterator[Claim]:
    number = _difference(_average("MMoE", *correlations), _average("PLE", *correlations))
    yield Claim("MMoE is worse on average than PLE", ("MMoE", "PLE"), number)


def _average(model: str, *correlations: float) -> Statistic:
    return lambda losses, seeds: mean(losses[model, p, seed] for p in correlations for seed in seeds)


def _width(model: str, *correlations: float) -> Statistic:
    """Standard deviation over runs, averaged over p."""
    return lambda losses, seeds: mean(stdev(losses[model, p, seed] for seed in seeds) for p in correlations)


def _difference(one: Statistic, other: Statistic) -> Statistic:
    return lambda losses, seeds: one(losses, seeds) - other(losses, seeds)
