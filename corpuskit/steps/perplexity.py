"""`perplexity`: how surprising a document is to an n-gram model or to one that corpuskit trained.

ARPA files as lmplz and `corpuskit lm` write them, and models of the recipe, are scored by a kernel of our own, whose
scores are kenlm's within 1e-4; binaries and ARPA files of another form by kenlm; a checkpoint of the trainer by
`corpuskit.steps.trained`.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import File, file_digest
from corpuskit.core.settings import Whole
from corpuskit.errors import UsageError, install
from corpuskit.lm.settings import Settings
from corpuskit.steps.trained import Checkpoint
from corpuskit.train.launch import need_torch

if TYPE_CHECKING:
    from corpuskit.lm.scoring import Model

_BINARY = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}


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


def _torch(model: Any) -> Any:
    if isinstance(model, Checkpoint):
        try:
            need_torch("a checkpoint")
        except UsageError as error:
            raise ValueError(f"{error.message}: {error.hint}") from None
    return model


def _installed(tokenizer: File | None) -> File | None:
    if tokenizer is not None and importlib.util.find_spec("sentencepiece") is None:
        raise ValueError(f"needs sentencepiece, which is not installed: {install('sentencepiece')}")
    return tokenizer


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


def _totals(model: Any, texts: list[bytes]) -> list[float]:
    """Sums of the log10 probabilities of texts."""
    found = []
    for text in texts:
        total = 0.0
        for line in text.split(b"\n"):
            if line.strip():
                total += model.score(line)
        found.append(total)
    return found


def _power(total: float, tokens: int) -> float:
    """Perplexity of tokens by the sum of their log10 probabilities."""
    try:
        return float(10.0 ** (-total / tokens))
    except OverflowError:
        return float("inf")


def _windows(model: Any, text: bytes, size: int) -> list[float]:
    """Perplexities of runs of `size` words; the end of a line belongs to its last word, and is no word itself."""
    found: list[float] = []
    total, tokens, words = 0.0, 0, 0
    for line in text.split(b"\n"):
        *inner, end = [score for score, _, _ in model.full_scores(line)] if line.strip() else [0.0]
        for place, score in enumerate(inner, start=1):
            last = place == len(inner)
            total, tokens, words = total + score + (end if last else 0.0), tokens + 1 + last, words + 1
            if words == size:
                found.append(_power(total, tokens))
                total, tokens, words = 0.0, 0, 0
    return [*found, _power(total, tokens)] if words else found


def _by_kenlm(model: Any, texts: pa.Array, windows: int | None) -> tuple[list[float], list[int], list[list[float]]]:
    """Sums of log10 probabilities, tokens, and perplexities of runs of words."""
    from corpuskit.lm.scoring import count

    # kenlm's own tools take NUL for white space; its Python module would cut the word there.
    found = [text.replace(b"\0", b" ") for text in texts.cast(_BINARY[texts.type]).fill_null(b"").to_pylist()]
    runs = [_windows(model, text, windows) for text in found] if windows is not None else []
    return _totals(model, found), count(texts).tolist(), runs


def _by_kernel(model: Model, texts: pa.Array, windows: int | None) -> tuple[list[float], list[int], list[list[float]]]:
    """As `_by_kenlm`, under a model that the kernel has loaded."""
    scores = model.score(texts, windows or 0)
    each = [_power(total, tokens) for total, tokens in scores.runs.tolist()]
    ends = scores.ends.tolist()
    runs = [each[start:end] for start, end in itertools.pairwise(ends)]
    return scores.totals.tolist(), scores.tokens.tolist(), runs


def _scored(path: Path, digest: str, texts: pa.Array, windows: int | None) -> Any:
    """By the kernel if it reads the model, or else by kenlm."""
    from corpuskit.lm.scoring import load_arpa

    model = load_arpa(path, digest)
    return _by_kernel(model, texts, windows) if model else _by_kenlm(_load(path, digest), texts, windows)


def _as_scored(texts: pa.Array, lowercase: bool, tokenizer: File | None) -> pa.Array:
    """Texts as a model sees them: lines in words with white space between."""
    if tokenizer is not None:
        from corpuskit.lm.pieces import in_pieces, load_tokenizer

        return in_pieces(texts, load_tokenizer(Path(tokenizer), file_digest(Path(tokenizer))))
    if lowercase:
        from corpuskit.lm.words import lower

        return lower(texts)
    return texts


def _by_checkpoint(model: Checkpoint, texts: pa.Array) -> pa.Array:
    """The exponential of the mean negative log likelihood; null where there is no token to predict."""
    values: list[float | None] = []
    for total, tokens in model.score(texts):
        try:
            values.append(math.exp(total / tokens) if tokens else None)
        except OverflowError:
            values.append(float("inf"))
    return pa.array(values, pa.float64())


def _for_ngrams(value: Any, info: pydantic.ValidationInfo) -> Any:
    if value is not None and isinstance(info.data.get("model"), Checkpoint):
        raise ValueError("is for n-gram models alone: a checkpoint has its own tokenizer and windows")
    return value


def _keyed(**params: Any) -> Mapping[str, Any]:
    """Without `lowercase` where a checkpoint scores texts as they are; on CUDA with the version of its batches."""
    model = params["model"]
    hidden = {"lowercase"} if isinstance(model, Checkpoint) else set()
    more = {"batches": 1} if isinstance(model, Checkpoint) and model.device == "cuda" else {}
    return {name: value for name, value in params.items() if name not in hidden} | more


def _libraries(model: Any = None, tokenizer: File | None = None, **_: Any) -> tuple[str, ...]:
    if isinstance(model, Checkpoint):
        return model.libraries
    return ("kenlm", "sentencepiece") if tokenizer is not None else ("kenlm",)


def _columns(as_: str, windows: int | None, **_: Any) -> dict[str, str]:
    return {as_: "float64"} | ({f"{as_}_windows": "list<float64>"} if windows is not None else {})


@step.signal(version=3, columns=_columns, libraries=_libraries, keyed=_keyed)
def perplexity(
    batch: Batch,
    *,
    model: Annotated[File | Estimate | Checkpoint, BeforeValidator(_given), AfterValidator(_torch)],
    as_: str = "perplexity",
    lowercase: bool = True,
    tokenizer: Annotated[File | None, AfterValidator(_installed), AfterValidator(_for_ngrams)] = None,
    windows: Annotated[Annotated[int, Field(ge=1)] | None, AfterValidator(_for_ngrams)] = None,
    state: Path | None = None,
) -> dict[str, pa.Array]:
    """Perplexity of each document under a kenlm model (Heafield 2011), by CCNet's formula, or under a trained one.

    A document's lines are sentences: each is scored from `<s>` to `</s>`, in words between ASCII white space, as by
    kenlm's `query`; lines without a word are passed over. With the log10 probabilities s of L lines of N words in all,
    the perplexity is 10 ** (-sum(s) / (N + L)), the `</s>` of a line counting as a word (Wenzek et al. 2019,
    https://arxiv.org/abs/1911.00359, and their `perplexity.py`). Words unknown to the model count with `<unk>`.

    `model: {train_on: wikipedia, order: 5}` estimates the model: interpolated modified Kneser-Ney (Chen and Goodman
    1998), equal to that of KenLM's lmplz, on the documents of a domain as they stand at this place of the recipe. Their
    lines are sentences, and of lower case, as where they are scored. Each worker loads it: about 23 bytes for each
    n-gram, of which `prune: [0, 0, 1]` leaves out the rare ones.

    With `tokenizer` a document is one sentence, in pieces of a SentencePiece model, after CCNet's normalization: lower
    case, accents taken off, digits to 0, punctuation to ASCII, no control characters, line feeds among them. CCNet's
    models, `en.arpa.bin` with `en.sp.model`, are used so, and those that are estimated with a tokenizer are alike.

    `model: {checkpoint: runs/reference}` takes a model that corpuskit trained (Ankner et al. 2024, arXiv:2405.20541;
    Marion et al. 2023, arXiv:2309.04564): the last checkpoint of that run, or a folder `step-N`. The perplexity is
    exp of the mean negative log likelihood of the document's tokens but the first, which nothing predicts, in windows
    of the length of the model's sequences that follow one another, each of which begins with the last token of the one
    before. A text is scored as it is; one of more than 2^20 characters is encoded in pieces, cut before a space. A
    window is scored by itself and by one thread, with `device: cuda` among others of like length in a batch whose shape
    follows from that length: a document has the same bits whatever stands beside it. Another processor or device may
    change the last ones.

    Args:
        batch: n documents.
        model: an ARPA file or a kenlm binary, what to estimate one on, or a checkpoint of the trainer. All workers of a
            machine share a binary, and each loads an ARPA file for itself.
        as_: the column's name (`as` in a recipe).
        lowercase: score the lower-cased text, for models estimated on such.
        tokenizer: a SentencePiece model (`pip install '.[sentencepiece]'` in the clone); its text is lower-cased.
        windows: also the perplexities of each run of so many words, each word in the context of its line, so that one
            bad passage shows: `list_max(perplexity_windows) < 5000`. The last run is shorter. After Škorić 2023, Text
            vectorization via transformer-based language models and n-gram perplexities.

        state: path of the model that was estimated.

    Returns:
        One column, float64[n]; null for a text without words, under a checkpoint for one of less than two tokens. With
        `windows` also AS_windows, list<float64>[n].

    Raises:
        UsageError: the model or the tokenizer cannot be read.
    """
    if isinstance(model, Checkpoint):
        return {as_: _by_checkpoint(model, batch.column("text"))}
    texts = _as_scored(batch.column("text"), lowercase, tokenizer)
    if isinstance(model, Estimate):
        assert state is not None, "the plan estimates the model before the first document is scored"
        totals, tokens, runs = _scored(state, "", texts, windows)
    else:
        totals, tokens, runs = _scored(Path(model), file_digest(Path(model)), texts, windows)
    values = [_power(total, size) if size else None for total, size in zip(totals, tokens, strict=True)]
    columns = {as_: pa.array(values, pa.float64())}
    if windows is not None:
        missing = texts.is_null().to_numpy(zero_copy_only=False)
        columns[f"{as_}_windows"] = pa.array(
            [None if null else run for run, null in zip(runs, missing.tolist(), strict=True)], pa.list_(pa.float64())
        )
    return columns


@perplexity.train(
    when=lambda params: isinstance(params["model"], Estimate),
    size=lambda _: 0,
    libraries=("numpy",),
    documents=lambda params: params["model"].train_on,
)
def _train(
    path: Path, batches: Iterator[Batch], *, memory: int, model: Estimate, lowercase: bool, tokenizer: File | None
) -> Mapping[str, Any]:
    """Estimate the model and write it as ARPA; what it was made of."""
    from corpuskit.lm.estimate import estimate

    texts = (_as_scored(batch.column("text"), lowercase, tokenizer) for batch in batches)
    try:
        # the other half is for the words and for what every process has
        made = estimate(texts, path, model.settings(), folder=path.with_suffix(".work"), memory=memory // 2)
    except UsageError as error:
        raise UsageError(f"`train_on: {model.train_on}`: {error.message}", error.hint) from None
    return made.facts()
