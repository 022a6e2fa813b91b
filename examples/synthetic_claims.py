"""The MMoE paper's claims about its synthetic tasks (Ma et al., KDD 2018, section 4.2), as inequalities of paired runs.

Each claim is a number that is positive if the claim is right (zero if it claims that two models are alike), with its
standard error over the seeds.
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt
from statistics import mean, stdev
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Losses = dict[tuple[str, float, int], float]
    Statistic = Callable[[Losses, Sequence[int]], float]

ERRORS = 2.0
"""A number further from zero than this many standard errors is not noise."""


class Claim(NamedTuple):
    """A sentence about some models, and its number for some seeds; `alike`: it claims that the number is zero."""

    words: str
    models: tuple[str, ...]
    statistic: Statistic
    alike: bool = False


class Found(NamedTuple):
    """A claim's number and standard error, and the verdict."""

    value: float
    error: float
    verdict: str


def claims(models: Sequence[str], correlations: Sequence[float]) -> Iterator[Claim]:
    """The paper's claims about these models."""
    for claim in (*_falls(models, correlations), *_loses_less(correlations), *_is_worst(models, correlations)):
        if set(claim.models) <= set(models):
            yield claim


def check(claim: Claim, losses: Losses, seeds: Sequence[int]) -> Found:
    """The claim's number over all seeds, with the jackknife standard error; for means, that of paired differences."""
    value, runs = claim.statistic(losses, seeds), len(seeds)
    without = [claim.statistic(losses, [seed for seed in seeds if seed != left]) for left in seeds]
    error = sqrt((runs - 1) / runs * sum((one - mean(without)) ** 2 for one in without))
    if abs(value) <= ERRORS * error:
        return Found(value, error, "no difference seen" if claim.alike else "within noise")
    return Found(value, error, "holds" if value > 0 and not claim.alike else "does not hold")


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
    yield Claim(f"at p = {high}, MMoE and one-gate MoE are alike", ("MMoE", "one-gate MoE"), alike, alike=True)


def _is_worst(models: Sequence[str], correlations: Sequence[float]) -> Iterator[Claim]:
    worst = "Shared-Bottom"
    for words, statistic in (("worse on average", _average), ("spread wider over runs", _width)):
        for other in (model for model in models if model != worst):
            number = _difference(statistic(worst, *correlations), statistic(other, *correlations))
            yield Claim(f"{worst} is {words} than {other}", (worst, other), number)


def _average(model: str, *correlations: float) -> Statistic:
    return lambda losses, seeds: mean(losses[model, p, seed] for p in correlations for seed in seeds)


def _width(model: str, *correlations: float) -> Statistic:
    """Standard deviation over runs, averaged over p."""
    return lambda losses, seeds: mean(stdev(losses[model, p, seed] for seed in seeds) for p in correlations)


def _difference(one: Statistic, other: Statistic) -> Statistic:
    return lambda losses, seeds: one(losses, seeds) - other(losses, seeds)
