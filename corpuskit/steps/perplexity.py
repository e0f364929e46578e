"""`perplexity`: how surprising a document is to an n-gram language model, by kenlm."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pydantic
from pydantic import BeforeValidator, Field

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import File, file_digest
from corpuskit.core.settings import Whole
from corpuskit.errors import UsageError
from corpuskit.lm.settings import Settings


class Estimate(pydantic.BaseModel):
    """A model to estimate on the documents of a domain.

    Attributes:
        train_on: the domain; its documents as they stand at this place of the recipe.
        order: words of the longest n-grams. prune: for each order from 1 on, the count up to which n-grams are left
            out; the last holds for the orders that are not named.
        discount_fallback: discounts of 0.5, 1 and 1.5 in orders for which there is too little text.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    train_on: str
    order: Annotated[Whole, Field(ge=2, le=6)] = 5
    prune: list[Annotated[Whole, Field(ge=0)]] = []
    discount_fallback: bool = False

    @pydantic.model_validator(mode="after")
    def _can_be(self) -> Estimate:
        try:
            self.settings()
        except UsageError as error:
            raise ValueError(error.message) from None
        return self

    def settings(self) -> Settings:
        """For `corpuskit.lm`."""
        return Settings(self.order, tuple(self.prune), discount_fallback=self.discount_fallback)


def _given(model: Any) -> Any:
    if isinstance(model, str) and "://" in model:
        raise ValueError("a model on a hub is not fetched yet: give the path of an ARPA or kenlm binary file")
    return model


@functools.lru_cache(maxsize=16)
def _load(path: Path, _digest: str) -> Any:
    import kenlm

    config = kenlm.Config()
    config.show_progress = False
    config.arpa_complain = kenlm.ARPALoadComplain.NONE
    config.load_method = kenlm.LoadMethod.LAZY  # a binary file is mapped: its pages are shared by the workers
    try:
        return kenlm.Model(str(path), config)
    except (OSError, RuntimeError) as error:
        reason = str(error).partition("threw ")[2].rstrip(")") or str(error)
        msg = f"{path}: not a language model that kenlm can read: {reason}"
        raise UsageError(msg, "`model` is an ARPA file or a kenlm binary, not compressed") from None


def _perplexity(model: Any, text: str, lowercase: bool) -> float | None:
    if lowercase:
        text = text.lower()
    total, tokens = 0.0, 0
    # kenlm's own tools take NUL for white space; its Python module would cut the word there.
    for line in text.replace("\0", " ").split("\n"):
        words = len(line.encode().split())
        if words:
            total += model.score(line)
            tokens += words + 1
    return _power(total, tokens) if tokens else None


def _power(total: float, tokens: int) -> float:
    """Perplexity of tokens by the sum of their log10 probabilities."""
    try:
        return float(10.0 ** (-total / tokens))
    except OverflowError:
        return float("inf")


def _windows(model: Any, text: str, lowercase: bool, size: int) -> list[float]:
    """Perplexities of runs of `size` words; the end of a line belongs to its last word, and is no word itself."""
    found: list[float] = []
    total, tokens, words = 0.0, 0, 0
    for line in (text.lower() if lowercase else text).replace("\0", " ").split("\n"):
        *inner, end = [score for score, _, _ in model.full_scores(line)] if line.encode().split() else [0.0]
        for place, score in enumerate(inner, start=1):
            last = place == len(inner)
            total, tokens, words = total + score + (end if last else 0.0), tokens + 1 + last, words + 1
            if words == size:
                found.append(_power(total, tokens))
                total, tokens, words = 0.0, 0, 0
    return [*found, _power(total, tokens)] if words else found


def _columns(as_: str, windows: int | None, **_: Any) -> dict[str, str]:
    return {as_: "float64"} | ({f"{as_}_windows": "list<float64>"} if windows is not None else {})


@step.signal(columns=_columns, libraries=("kenlm",))
def perplexity(
    batch: Batch,
    *,
    model: Annotated[File | Estimate, BeforeValidator(_given)],
    as_: str = "perplexity",
    lowercase: bool = True,
    windows: Annotated[int, Field(ge=1)] | None = None,
    state: Path | None = None,
) -> dict[str, pa.Array]:
    """Perplexity of each document under a kenlm model (Heafield 2011), by CCNet's formula.

    A document's lines are sentences: each is scored from `<s>` to `</s>`, in words between ASCII white space, as by
    kenlm's `query`; lines without a word are passed over. With the log10 probabilities s of L lines of N words in all,
    the perplexity is 10 ** (-sum(s) / (N + L)), the `</s>` of a line counting as a word (Wenzek et al. 2019,
    https://arxiv.org/abs/1911.00359, and their `perplexity.py`). Words unknown to the model count with `<unk>`.

    `model: {train_on: wikipedia, order: 5}` estimates the model: interpolated modified Kneser-Ney (Chen and Goodman
    1998), equal to that of KenLM's lmplz, on the documents of a domain as they stand at this place of the recipe. Their
    lines are sentences, and of lower case, as where they are scored. Each worker loads it: about 22 bytes for each
    n-gram, of which `prune: [0, 0, 1]` leaves out the rare ones.

    Args:
        batch: n documents.
        model: an ARPA file or a kenlm binary, or what to estimate one on.
        as_: the column's name (`as` in a recipe).
        lowercase: score the lower-cased text, for models estimated on such.
        windows: also the perplexities of each run of so many words, each word in the context of its line, so that one
            bad passage shows: `list_max(perplexity_windows) < 5000`. The last run is shorter. After Škorić 2023, Text
            vectorization via transformer-based language models and n-gram perplexities.

        state: path of the model that was estimated.

    Returns:
        One column, float64[n]; null for a text without words. With `windows` also AS_windows, list<float64>[n].

    Raises:
        UsageError: the model cannot be read.
    """
    if isinstance(model, Estimate):
        assert state is not None, "the plan estimates the model before the first document is scored"
        scorer = _load(state, "")  # the path holds the key of what it was made of
    else:
        scorer = _load(Path(model), file_digest(Path(model)))
    texts = batch.column("text").to_pylist()
    values = [None if text is None else _perplexity(scorer, text, lowercase) for text in texts]
    columns = {as_: pa.array(values, pa.float64())}
    if windows is not None:
        runs = [None if text is None else _windows(scorer, text, lowercase, windows) for text in texts]
        columns[f"{as_}_windows"] = pa.array(runs, pa.list_(pa.float64()))
    return columns


@perplexity.train(
    when=lambda params: isinstance(params["model"], Estimate),
    size=lambda _: 0,
    libraries=("numpy",),
    documents=lambda params: params["model"].train_on,
)
def _train(path: Path, batches: Iterator[Batch], *, memory: int, model: Estimate, lowercase: bool) -> Mapping[str, Any]:
    """Estimate the model and write it as ARPA; what it was made of."""
    from corpuskit.lm.estimate import estimate
    from corpuskit.lm.words import lower

    texts = (batch.column("text") for batch in batches)
    texts = (lower(text) for text in texts) if lowercase else texts
    try:
        # the other half is for the words and for what every process has
        made = estimate(texts, path, model.settings(), folder=path.with_suffix(".work"), memory=memory // 2)
    except UsageError as error:
        raise UsageError(f"`train_on: {model.train_on}`: {error.message}", error.hint) from None
    return made.facts()
