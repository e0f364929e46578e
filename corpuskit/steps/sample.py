"""`sample`: selection of documents by a score, with thresholds that are measured on the documents themselves.

First all documents that reach the step are summarized as a histogram of their scores; a selector of
`corpuskit.mix.selectors` is fitted to it, and then decides document by document. `random` is the baseline to beat.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from corpuskit.core import step
from corpuskit.core.batch import Batch, text_bytes
from corpuskit.core.step import NO_VALUE
from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.mix.histogram import Histogram
from corpuskit.mix.selectors import Gaussian, GumbelTopK, QuantileBand, Selector, Stepwise, Threshold, Uniform

Floats = npt.NDArray[np.float64]
Method = Literal["top", "bottom", "low", "medium", "high", "stepwise", "gaussian", "gumbel", "random"]
Weight = Literal["documents", "characters", "bytes"]

BY_CHANCE = frozenset({"stepwise", "gaussian", "gumbel", "random"})
"""Methods that draw a number for each document, from its id and the seed."""

_FITS: dict[str, Callable[..., Selector]] = {
    "top": functools.partial(Threshold.fit, above=True),
    "bottom": functools.partial(Threshold.fit, above=False),
    "low": functools.partial(QuantileBand.fit, band="low"),
    "medium": functools.partial(QuantileBand.fit, band="medium"),
    "high": functools.partial(QuantileBand.fit, band="high"),
    "stepwise": Stepwise.fit,
    "gaussian": Gaussian.fit,
    "gumbel": GumbelTopK.fit,
}


@step.filter
def sample(
    batch: Batch,
    *,
    method: Method,
    by: str | None = None,
    keep: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None,
    at: Annotated[float, pydantic.Field(allow_inf_nan=False)] | None = None,
    boundaries: tuple[float, float, float] | None = None,
    factor: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)] | None = None,
    weight: Weight = "documents",
    seed: Annotated[int, pydantic.Field(ge=0)] = 0,
    state: Histogram | None = None,
) -> tuple[pa.Array, pa.Array]:
    """Keep a share of the documents by their scores, over all domains that the step applies to together.

    `top` and `bottom`: the highest or the lowest scores; equal ones stay together, so that the share is met as nearly
    as they allow. `low`, `medium`, `high`: a band of the distribution of perplexities (Ankner et al. 2024, Perplexed by
    Perplexity). `stepwise`, `gaussian`: BERTIN's curves around the median perplexity (de la Rosa et al. 2022).
    `gumbel`: sampling by exp(score) without replacement, for log ratios (Xie et al. 2023, DSIR). `random`: any.
    These four draw by the documents' ids: of n documents they keep `keep` * n in expectation, give or take sqrt(n) / 2.

    Scores enter the measure, and are compared, exactly up to 262,144 distinct ones, else by so many leading bits. A
    document without a finite score is dropped, counted as "NAME: no value", and no part of what `keep` is a share of.

    Args:
        batch: n documents with the column `by`.
        method: as above.
        by: a column of numbers: of a signal above, or of the reader. `random` needs none; with one, it draws from the
            documents that have a score, as the methods do that it is compared with.
        keep: the share to keep.
        at: with `top` or `bottom`, the last score to keep, in place of `keep`.
        boundaries: with `stepwise` or `gaussian`, quartiles of perplexity to use in place of measured ones, rising.
        factor: beside `boundaries`: in units of perplexity for `stepwise`, without for `gaussian` (BERTIN: 0.78).
        weight: what `keep` is a share of, and quartiles are taken over: documents, or their characters or UTF-8 bytes.
        seed: of the draws; another one for each step that draws on the same documents.
        state: of the documents that reach the step.

    Returns:
        Masks, bool[n], and reasons, string[n]: "no value", or null.

    Raises:
        UsageError: parameters that do not go together, or a column that holds no numbers.
        Infeasible: no selector of this kind keeps such a share of these scores.
    """
    choice = Choice(method, by, keep, at, boundaries, factor, weight)
    choice.check()
    selector = choice.fixed
    docs = batch.column("doc").to_numpy()
    scores = np.zeros(batch.num_rows) if by is None else scores_of(batch, by)
    known = np.isfinite(scores)
    mask = np.zeros(batch.num_rows, bool)
    if known.any():
        used = scores[known]
        if selector is None:
            assert state is not None, "the plan summarizes all documents before the first is decided"
            selector = fitted(choice, state)
            used = state.binned(used)
        mask[known] = selector.select(used, docs[known], seed=seed)
    reasons = pc.if_else(pa.array(known), pa.scalar(None, pa.string()), pa.scalar(NO_VALUE))
    return pa.array(mask), reasons


@sample.summarize(when=lambda params: _choice(params).fixed is None)
def _summarize(batch: Batch, *, by: str, weight: Weight) -> Histogram:
    scores = scores_of(batch, by)
    known = np.isfinite(scores)
    return Histogram.of(scores[known], weights_of(batch, weight)[known])


@sample.merge
def _merge(one: Histogram, other: Histogram) -> Histogram:
    return one.merge(other)


@dataclass(frozen=True)
class Choice:
    """The parameters of the step that say what is kept; `sample` says what each is."""

    method: Method
    by: str | None
    keep: float | None
    at: float | None
    boundaries: tuple[float, float, float] | None
    factor: float | None
    weight: Weight

    def check(self) -> None:
        """Refuse parameters that do not go together.

        Raises:
            UsageError: what is missing, or too much.
        """
        method, curve = self.method, self.boundaries is not None or self.factor is not None
        if self.by is None and method != "random":
            raise UsageError(f"`{method}` needs `by`, the column of its scores", "`method: random` needs none")
        if self.at is not None and method not in ("top", "bottom"):
            raise UsageError(f"`at` goes with `top` or `bottom`, not with `{method}`", "give `keep`")
        if curve and method not in ("stepwise", "gaussian"):
            raise UsageError(f"`boundaries` and `factor` go with `stepwise` or `gaussian`, not with `{method}`")
        if (self.boundaries is None) != (self.factor is None):
            raise UsageError("`boundaries` and `factor` are given together", "give both, or `keep` to measure them")
        if self.boundaries is not None and not 0 < self.boundaries[0] < self.boundaries[1] < self.boundaries[2]:
            shown = list(self.boundaries)
            raise UsageError(f"`boundaries` {shown} must rise, from above 0: they are quartiles of perplexity")
        fixed = "`at`" if self.at is not None else "`boundaries` and `factor`" if curve else None
        if self.keep is not None and fixed:
            raise UsageError(f"`keep` and {fixed} both say how much is kept", "give one of them")
        if self.weight != "documents" and fixed:
            raise UsageError(f"`weight` says what `keep` is a share of; with {fixed} nothing is measured")
        if self.keep is None and not fixed:
            raise UsageError(f"`{method}` needs `keep`, the share to keep{_INSTEAD.get(method, '')}")

    @property
    def fixed(self) -> Selector | None:
        """The selector that the parameters give by themselves; None: `fitted` measures it on the scores."""
        if self.method == "random" and self.keep is not None:
            return Uniform(self.keep)
        if self.at is not None:
            return Threshold(self.at, above=self.method == "top")
        if self.boundaries is None or self.factor is None:
            return None
        if self.method == "stepwise":
            return Stepwise(self.boundaries, self.factor)
        return Gaussian(self.boundaries[1], self.factor)


def _choice(params: Mapping[str, Any]) -> Choice:
    return Choice(**{field.name: params[field.name] for field in dataclasses.fields(Choice)})


_INSTEAD = {
    "top": ", or `at`",
    "bottom": ", or `at`",
    "stepwise": ", or `boundaries` and `factor`",
    "gaussian": ", or `boundaries` and `factor`",
}


@functools.lru_cache(maxsize=16)
def fitted(choice: Choice, state: Histogram) -> Selector:
    """The selector that is fitted to a state, once and not for each batch.

    Raises:
        UsageError: the scores cannot be those of this method.
        Infeasible: no selector of this kind keeps such a share of them.
    """
    try:
        return _FITS[choice.method](state.scores, keep=choice.keep, weights=state.weights)
    except CorpuskitError as error:
        what = f"`{choice.method}` by `{choice.by}`, keep {choice.keep:g} of the {choice.weight}"
        raise type(error)(f"{what}: {error.message}", error.hint) from None


def scores_of(batch: Batch, by: str) -> Floats:
    """The column as float64 (n,), NaN for null.

    Raises:
        UsageError: it is not there, or holds no numbers.
    """
    if by not in batch.schema.names:
        raise UsageError(f"`by: {by}` is no column here", f"columns: {', '.join(batch.schema.names)}")
    column = batch.column(by)
    if not numeric(column.type):
        raise UsageError(f"`by: {by}` is {column.type}, not a number", "convert it in the reader's `columns`")
    return np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(), np.float64)


def numeric(kind: pa.DataType) -> bool:
    """Whether scores may have this type."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def weights_of(batch: Batch, weight: Weight) -> npt.NDArray[np.int64]:
    """What each document counts, int64 (n,)."""
    if weight == "documents":
        return np.ones(batch.num_rows, np.int64)
    text = batch.column("text")
    if weight == "bytes":
        return text_bytes(text)
    return np.asarray(pc.utf8_length(text).fill_null(0).to_numpy(), np.int64)
