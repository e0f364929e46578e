"""`quantile`: where a document's score lies among those of all documents, so that rules can speak of shares."""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.mix.histogram import Histogram
from corpuskit.steps.sample import Floats, Weight, scores_of, weights_of


def _columns(as_: str, **_: object) -> dict[str, str]:
    return {as_: "float64"}


@step.signal(columns=_columns, reads=True)
def quantile(
    batch: Batch,
    *,
    by: str,
    weight: Weight = "documents",
    as_: str = "quantile",
    state: Histogram | None = None,
) -> dict[str, pa.Array]:
    """The share of all documents whose score is at most that of this one: above 0, and 1 for the highest.

    With perplexities by a model of good text it gives CCNet's buckets (Wenzek et al. 2019, arXiv:1911.00359), thirds of
    the documents: `where: ppl_quantile <= 1/3` is the head, `<= 2/3` head and middle. Another threshold measures
    nothing anew. The documents are those that reach the step, of all domains that it applies to together; `only:` gives
    each domain, a language say, a measure of its own.

    Scores are told apart exactly up to 262,144 distinct ones, else by so many leading bits. A document without a finite
    score is no part of the measure.

    Args:
        batch: n documents with the column `by`.
        by: a column of numbers: of a signal above, or of the reader.
        weight: what is shared: documents, or their characters or UTF-8 bytes.
        as_: the column's name (`as` in a recipe).
        state: of the documents that reach the step.

    Returns:
        One column, float64[n]; null without a finite score.

    Raises:
        UsageError: there is no such column, or it holds no numbers.
    """
    assert state is not None, "the plan summarizes all documents before the first is looked up"
    del weight  # counted in the state
    scores = scores_of(batch, by)
    known = np.isfinite(scores)
    found = np.full(len(scores), np.nan)
    found[known] = _reached(state)[np.searchsorted(state.scores, state.binned(scores[known]))]
    return {as_: pa.array(found, pa.float64(), from_pandas=True)}


@quantile.summarize
def _summarize(batch: Batch, *, by: str, weight: Weight) -> Histogram:
    scores = scores_of(batch, by)
    known = np.isfinite(scores)
    return Histogram.of(scores[known], weights_of(batch, weight)[known])


@quantile.merge
def _merge(one: Histogram, other: Histogram) -> Histogram:
    return one.merge(other)


@functools.lru_cache(maxsize=16)
def _reached(state: Histogram) -> Floats:
    """Shares of all weight up to each score, float64 (bins,); text without a byte weighs nothing."""
    return np.asarray(np.cumsum(state.weights) / max(1, int(state.weights.sum())), np.float64)
