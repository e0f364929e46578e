"""How far a mixing law may be trusted: it predicts runs that it was not fitted to.

Mixtures are chosen by comparing predictions, so that the rank correlation (Spearman) is what counts; a law must also
be nearer to the losses than their mean is, or it has learned nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from corpuskit.errors import UsageError
from corpuskit.mix.laws import Floats, MixingLaw, enough_runs, needs
from corpuskit.mix.runs import Runs

Law = TypeVar("Law", bound=MixingLaw)

FOLDS = 5


def least_runs(domains: int) -> int:
    """The fewest proxy runs of which four fifths are more than there are domains: fewer cannot be fitted and tested."""
    return next(runs for runs in range(2, 2 * domains + 8) if runs - -(-runs // FOLDS) > domains)


@dataclass(frozen=True)
class HeldOut(Generic[Law]):
    """One law on one metric.

    Attributes:
        metric: the column of metrics.csv.
        law: fitted to all runs.
        spearman: rank correlation of held-out predictions with the losses, -1 to 1; 0 where predictions are all equal.
        error: root mean squared error of held-out predictions, in units of the loss.
        mean_error: that of predicting the mean of the other runs.
    """

    metric: str
    law: Law
    spearman: float
    error: float
    mean_error: float

    @property
    def worse_than_mean(self) -> bool:
        """Whether the mean of the losses predicts as well as the law."""
        # trees without a split are the mean but for rounding
        return self.error >= self.mean_error * (1 - 1e-6)


def fit_laws(law: Law, runs: Runs, *, seed: int = 0) -> list[HeldOut[Law]]:
    """Fit a law to each metric, and measure it on runs held out in 5 folds.

    Raises:
        UsageError: too few runs for the domains or the folds.
    """
    count, domains = runs.ratios.values.shape
    if count < least_runs(domains):
        msg = f"{count} proxy runs are too few to fit a law of {domains} domains and to test it on a fifth of them"
        raise UsageError(msg, f"train at least {least_runs(domains)}; {enough_runs(domains)} are advised")
    columns = zip(runs.metrics, runs.losses.T, strict=True)
    return [held_out(law, runs.ratios.values, losses, metric, seed) for metric, losses in columns]


def held_out(law: Law, ratios: Floats, losses: Floats, metric: str, seed: int) -> HeldOut[Law]:
    """Fit a law to ratios [runs, domains] and losses [runs]; each run is predicted by a fit to other folds."""
    order = np.random.default_rng(seed).permutation(len(losses))
    predicted, means = np.empty(len(losses)), np.empty(len(losses))
    for part in np.array_split(order, min(FOLDS, len(losses))):
        others = np.setdiff1d(order, part)
        predicted[part] = law.fit(ratios[others], losses[others]).predict(ratios[part])
        means[part] = losses[others].mean()
    error, mean_error = (float(np.sqrt(np.mean((guess - losses) ** 2))) for guess in (predicted, means))
    return HeldOut(metric, law.fit(ratios, losses), rank_correlation(predicted, losses), error, mean_error)


def rank_correlation(predicted: Floats, losses: Floats) -> float:
    """Spearman's correlation of two arrays [runs], ties at their mean rank; 0 where one of them is constant."""
    rankdata = needs("scipy.stats").rankdata
    if not (np.ptp(predicted) and np.ptp(losses)):
        return 0.0
    return float(np.corrcoef(rankdata(predicted), rankdata(losses))[0, 1])


def report(fits: Sequence[HeldOut[Law]], runs: int, domains: int) -> str:
    """A table for people: a metric a line, and below it what speaks against using the laws."""
    width = max([len("metric"), *(len(fit.metric) for fit in fits)])
    lines = [f"{'metric':<{width}}  held-out rank correlation  rms error  error of the mean"]
    lines += [f"{fit.metric:<{width}}  {fit.spearman:25.4f}  {fit.error:9.5f}  {fit.mean_error:17.5f}" for fit in fits]
    lines += [f"warning: {complaint(fit)}" for fit in fits if fit.worse_than_mean]
    if runs < enough_runs(domains):
        lines.append(f"warning: {runs} runs for {domains} domains; {enough_runs(domains)} or more are advised (OLMix)")
    return "\n".join(lines) + "\n"


def require_better_than_mean(fits: Sequence[HeldOut[Law]]) -> None:
    """Refuse to choose a mixture by a law that knows less than the mean of the losses.

    Raises:
        UsageError: with every metric at fault.
    """
    faults = [complaint(fit) for fit in fits if fit.worse_than_mean]
    if faults:
        hint = "train more proxy runs, longer ones, or fit another law"
        raise UsageError("; ".join(faults), hint)


def complaint(fit: HeldOut[Law]) -> str:
    """What is wrong with a law that is worse than the mean."""
    return (
        f"the law of `{fit.metric}` fits worse than the mean: held-out error {fit.error:.4g},"
        f" the mean's {fit.mean_error:.4g}, rank correlation {fit.spearman:.2f}"
    )
