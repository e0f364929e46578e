"""Which texts tell good models from bad ones: Perplexity Correlations and PreSelect.

Both look at how the losses of existing models on a text go with how good these models are elsewhere, and train nothing.
A fastText model then carries the finding to all documents; its probability is a column that a `Selector` reads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError
from corpuskit.mix.problem import Constraints, Mixture
from corpuskit.mix.solve import solve

Floats = npt.NDArray[np.float64]

ROUNDING = 1e-9
"""The part of a text below which it is not thought to be included."""


def perplexity_correlations(bits: npt.ArrayLike, errors: npt.ArrayLike) -> Floats:
    """Spearman correlation of each text's bits per byte with a benchmark's error, over models.

    Equal values share the mean of their ranks. A text on which all models are equal has the estimate 0. Thrush et al.
    2024, Improving Pretraining Data Using Perplexity Correlations (arXiv:2409.05816), section 3.

    Args:
        bits: float (texts, models), bits per byte.
        errors: float (models,), 1 - accuracy; models in the same order.

    Returns:
        float64 (texts,) in [-1, 1]: high where low bits per byte go with low error.

    Raises:
        UsageError: shapes do not match, fewer than 3 models, a value is not finite, or all errors are equal.
    """
    table, target = _checked(bits, errors)
    ranks, order = _ranks(table), _ranks(target[np.newaxis, :])[0]
    ranks, order = ranks - ranks.mean(axis=1, keepdims=True), order - order.mean()
    spread = np.sqrt((ranks**2).sum(axis=1) * (order**2).sum())
    estimates: Floats = np.divide(ranks @ order, spread, out=np.zeros(len(table)), where=spread > 0)
    return estimates


def greedy_fill(estimates: dict[str, float], caps: dict[str, float]) -> Mixture:
    """The mixture of the largest <estimate, w> below caps: the best are filled, the last of them gets the remainder.

    Pages with a weight are the positive examples of the paper's fastText model, pages without one the negative.

    Args:
        estimates: by page or domain.
        caps: largest weights, above 0; the paper's are those at which nothing is read twice.

    Raises:
        Infeasible: the caps sum to less than 1.
        UsageError: names differ.
    """
    if set(estimates) != set(caps):
        odd = sorted(set(estimates) ^ set(caps))
        raise UsageError(f"`{odd[0]}` has an estimate or a cap, and not both")
    upper = {name: min(cap, 1.0) for name, cap in caps.items()}
    even = Mixture({name: 1 / len(upper) for name in upper})
    gains = {name: -value for name, value in estimates.items()}
    return solve(gains, even, kl=0, constraints=Constraints(upper=upper))


def included(estimates: npt.ArrayLike, sizes: npt.ArrayLike, keep: float) -> npt.NDArray[np.bool_]:
    """Which texts have a weight in a mixture of `keep` of all text that reads nothing twice, filled greedily.

    The positive examples of the paper's fastText model. Texts of equal estimates at the boundary share what is left, so
    that all of them are in.

    Args:
        estimates: float (texts,). sizes: int (texts,), above 0, in tokens or bytes. keep: above 0, below 1.
    """
    values, lengths = np.asarray(estimates, np.float64), np.asarray(sizes, np.float64)
    names = [str(number) for number in range(len(values))]
    caps = lengths / (lengths.sum() * keep)
    filled = greedy_fill(dict(zip(names, values.tolist(), strict=True)), dict(zip(names, caps.tolist(), strict=True)))
    weights = np.array([filled.weights[name] for name in names])
    return np.asarray(weights > ROUNDING * caps)  # sums of floats leave remainders that are no part of a text


def concordant_pairs(losses: npt.ArrayLike, errors: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Pairs of models that a text orders as a benchmark does: the better model has the lower loss on it.

    The score of PreSelect (Shum et al. 2025, Predictive Data Selection, arXiv:2503.00808): with the paper's 6 models,
    texts with all 15 pairs are its positive examples. Pairs that are equal in either count as not concordant.

    Args:
        losses: float (texts, models). errors: float (models,), lower is better.

    Returns:
        int64 (texts,), from 0 to n (n - 1) / 2.

    Raises:
        UsageError: as `perplexity_correlations`.
    """
    table, target = _checked(losses, errors)
    first, second = np.triu_indices(len(target), 1)
    sign = np.sign(target[first] - target[second])
    count = np.zeros(len(table), np.int64)
    for a, b, expected in zip(first, second, sign, strict=True):  # by pair: a matrix of all would be texts * pairs
        count += (np.sign(table[:, a] - table[:, b]) == expected) & (expected != 0)
    return count


def predictive(losses: npt.ArrayLike, errors: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """PreSelect's positive examples: texts that order all pairs of models as the benchmark does."""
    models = len(np.asarray(errors))
    return np.asarray(concordant_pairs(losses, errors) == models * (models - 1) // 2)


def least_predictive(losses: npt.ArrayLike, errors: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """PreSelect's negative examples: texts with the fewest concordant pairs, as many as there are positive ones.

    Of texts with equally many, the first. Fewer where the positive ones are more than half.
    """
    good, pairs = predictive(losses, errors), concordant_pairs(losses, errors)
    worst = np.argsort(pairs, kind="stable")[: min(good.sum(), len(good) - good.sum())]
    bad = np.zeros(len(good), np.bool_)
    bad[worst] = True
    return bad


def _checked(values: npt.ArrayLike, errors: npt.ArrayLike) -> tuple[Floats, Floats]:
    table, target = np.asarray(values, np.float64), np.asarray(errors, np.float64)
    if table.ndim != 2 or target.shape != table.shape[1:]:
        raise UsageError(f"a table of (texts, models) {table.shape} and errors of {target.shape} do not match")
    if len(target) < 3:
        raise UsageError(f"{len(target)} models order nothing; at least 3 are needed")
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong) or not np.isfinite(target).all():
        where = f"text {wrong[0][0]}, model {wrong[0][1]}" if len(wrong) else "the errors"
        raise UsageError(f"a value is not finite at {where}", "leave out the model or the text")
    if np.ptp(target) == 0:
        raise UsageError("all models have the same error, so that nothing can correlate with it")
    return table, target


def _ranks(table: Floats) -> Floats:
    """Ranks within each row, from 1; equal values get the mean of theirs."""
    ranks = np.empty_like(table)
    for row, values in enumerate(table):
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks[row] = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks
