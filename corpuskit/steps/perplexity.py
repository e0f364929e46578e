"""`perplexity`: how surprising a document is to an n-gram language model, by kenlm."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BeforeValidator, Field

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import File, file_digest
from corpuskit.errors import UsageError


def _given(model: Any) -> Any:
    if isinstance(model, dict):
        raise ValueError(  # noqa: TRY004  (pydantic reports a ValueError with its line)
            "estimating a model in the recipe is not possible yet: give the path of an ARPA or kenlm binary file"
        )
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
    model: Annotated[File, BeforeValidator(_given)],
    as_: str = "perplexity",
    lowercase: bool = True,
    windows: Annotated[int, Field(ge=1)] | None = None,
) -> dict[str, pa.Array]:
    """Perplexity of each document under a kenlm model (Heafield 2011), by CCNet's formula.

    A document's lines are sentences: each is scored from `<s>` to `</s>`, in words between ASCII white space, as by
    kenlm's `query`; lines without a word are passed over. With the log10 probabilities s of L lines of N words in all,
    the perplexity is 10 ** (-sum(s) / (N + L)), the `</s>` of a line counting as a word (Wenzek et al. 2019,
    https://arxiv.org/abs/1911.00359, and their `perplexity.py`). Words unknown to the model count with `<unk>`.

    Args:
        batch: n documents.
        model: an ARPA file or a kenlm binary.
        as_: the column's name (`as` in a recipe).
        lowercase: score the lower-cased text, for models estimated on such.
        windows: also the perplexities of each run of so many words, each word in the context of its line, so that one
            bad passage shows: `list_max(perplexity_windows) < 5000`. The last run is shorter. After Škorić 2023, Text
            vectorization via transformer-based language models and n-gram perplexities.

    Returns:
        One column, float64[n]; null for a text without words. With `windows` also AS_windows, list<float64>[n].

    Raises:
        UsageError: the model cannot be read.
    """
    path = Path(model)
    scorer = _load(path, file_digest(path))
    texts = batch.column("text").to_pylist()
    values = [None if text is None else _perplexity(scorer, text, lowercase) for text in texts]
    columns = {as_: pa.array(values, pa.float64())}
    if windows is not None:
        runs = [None if text is None else _windows(scorer, text, lowercase, windows) for text in texts]
        columns[f"{as_}_windows"] = pa.array(runs, pa.list_(pa.float64()))
    return columns
