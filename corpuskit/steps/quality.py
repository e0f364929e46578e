"""`quality`: the probability of a label by a fastText classifier, given or trained in the recipe.

The texts to train on are named as such, or found by what models lose on them: Perplexity Correlations and PreSelect.
Training is a stage of its own, once and before any document; `sample` with `method: top` then selects by the score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import File, file_digest
from corpuskit.errors import InputError, UsageError, did_you_mean
from corpuskit.mix.correlations import included, least_predictive, perplexity_correlations, predictive
from corpuskit.mix.model_tables import read_model_losses
from corpuskit.steps.classifiers import NEGATIVE, POSITIVE, as_line, load_classifier
from corpuskit.steps.classifiers import train as train_classifier
from corpuskit.steps.importance import Texts, read_texts
from corpuskit.steps.language import spread
from corpuskit.steps.pages import FIX, page_sizes, read_pages

Method = Literal["perplexity_correlations", "preselect"]

_NAMED, _MEASURED = ("positive", "negative"), ("pages", "losses", "errors", "benchmark", "method")


class Training(pydantic.BaseModel):
    """What a classifier is trained on, and how.

    Attributes:
        positive, negative: texts that are wanted, and texts to tell them from.
        pages: JSON Lines with `id` and `text`, to be sorted by `losses` and `errors` instead.
        losses: a CSV file: a line an id, a column a model: its loss, or bits per byte.
        errors: a CSV file: a line a benchmark, a column a model: 1 - accuracy, say.
        benchmark: the line of `errors` to take.
        method: how pages are sorted.
        keep: with `perplexity_correlations`, the share of the text of all pages that is wanted.
        epochs, lr, word_ngrams, dimensions, buckets: as in fastText, whose file is of
            4 * dimensions * (words + buckets) bytes. seed: of the order of the texts, and of the first weights.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    positive: Texts | None = None
    negative: Texts | None = None
    pages: Texts | None = None
    losses: File | None = None
    errors: File | None = None
    benchmark: str | None = None
    method: Method | None = None
    keep: Annotated[float, pydantic.Field(gt=0, lt=1)] | None = None
    epochs: Annotated[int, pydantic.Field(ge=1)] = 3
    lr: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)] = 0.1
    word_ngrams: Annotated[int, pydantic.Field(ge=1, le=5)] = 2
    dimensions: Annotated[int, pydantic.Field(ge=1)] = 100
    buckets: Annotated[int, pydantic.Field(ge=1, lt=2**31)] = 2_000_000
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**31)] = 0

    @pydantic.model_validator(mode="after")
    def _of_one_kind(self) -> Training:
        given = [name for name in (*_NAMED, *_MEASURED) if getattr(self, name) is not None]
        kinds = [kind for kind in (_NAMED, _MEASURED) if set(kind) & set(given)]
        if len(kinds) != 1 or set(kinds[0]) != set(given):
            one, other = (", ".join(f"`{name}`" for name in kind) for kind in (_NAMED, _MEASURED))
            raise ValueError(f"needs {one}; or {other}")
        if (self.keep is not None) != (self.method == "perplexity_correlations"):
            raise ValueError("`keep`, the share of wanted text, goes with `perplexity_correlations`, which needs it")
        return self


def _one_model(train: Training | None, info: pydantic.ValidationInfo) -> Training | None:
    model, label = info.data.get("model"), info.data.get("label")
    if {"model", "label"} <= set(info.data):
        if (model is None) == (train is None):
            raise ValueError("give `model`, a fastText classifier, or `train`, to make one; not both")
        if (model is None) != (label is None):
            raise ValueError("`label`, the one whose probability is wanted, goes with `model`, which needs it")
    return train


def _columns(as_: str, **_: Any) -> dict[str, str]:
    return {as_: "float32"}


@step.signal(columns=_columns, libraries=("fasttext-predict", "pyarrow"))
def quality(
    batch: Batch,
    *,
    model: File | None = None,
    label: str | None = None,
    train: Annotated[
        Training | None, pydantic.AfterValidator(_one_model), pydantic.Field(validate_default=True)
    ] = None,
    as_: str = "quality",
    state: Path | None = None,
) -> dict[str, pa.Array]:
    """Probability of a label by a fastText classifier (Joulin et al. 2016, arXiv:1607.01759), of the whole text.

    `train` makes the classifier. Its texts are `positive` and `negative` ones; or `pages` that are sorted by the
    `losses` of models that exist on them, and the `errors` of these models on a `benchmark`. `perplexity_correlations`
    (Thrush et al. 2024, arXiv:2409.05816): pages by how their losses correlate with the errors, the best until `keep`
    of the text (as UTF-8 bytes) is taken, read once; against the others. `preselect` (Shum et al. 2025,
    arXiv:2503.00808): pages on which every better model has the lower loss, in all pairs of models, against as many of
    those with the fewest such pairs. Texts with the same `id`, such as those of one domain, are one page.

    Args:
        batch: n documents.
        model: a fastText classifier, .bin or .ftz.
        label: with `model`: the label that is wanted, such as `__label__hq`.
        train: in place of `model`: texts, as JSON Lines with the field `text` or `.txt` with one a line, plain or
            compressed, and the settings of fastText; the defaults are PreSelect's. A run has one model in the memory
            of each worker: with the defaults 0.8 GB.
        as_: the column's name (`as` in a recipe).
        state: path of the model that `train` made.

    Returns:
        One column, float32[n], from 0 to 1; null for a text that is null or only white space.

    Raises:
        UsageError: the model cannot be read, or does not know the label.
    """
    if train is not None:
        assert state is not None, "the plan trains the model before the first document is scored"
        classifier, wanted = load_classifier(state, ""), POSITIVE  # the path holds the key of what it was made of
    else:
        assert model is not None
        assert label is not None
        classifier, wanted = load_classifier(Path(model), file_digest(Path(model))), label
    labels = classifier.predict("", k=-1)[0]
    if wanted not in labels:
        hint = did_you_mean(wanted, labels) or f"its labels: {', '.join(sorted(labels)[:10])}"
        raise UsageError(f"{model}: the model has no label `{wanted}`", hint)
    text = batch.column("text")
    asked = pc.fill_null(pc.greater(pc.binary_length(pc.utf8_trim_whitespace(text)), 0), False)
    scores = [_chance(classifier, as_line(one), wanted) for one in text.filter(asked).to_pylist()]
    return {as_: spread(pa.array(scores, pa.float32()), asked)}


def _chance(classifier: Any, line: str, wanted: str) -> float:
    found, chances = classifier.predict(line, k=-1)
    # fastText adds 1e-5 before the logarithm, so that a certain label comes out above 1
    return min(float(chances[found.index(wanted)]), 1.0) if wanted in found else 0.0


# -- training ----------------------------------------------------------------------------------------------------------


def _least_bytes(params: Mapping[str, Any]) -> int:
    train: Training = params["train"]
    return 4 * train.dimensions * (train.buckets if train.word_ngrams > 1 else 1)


@quality.train(when=lambda params: params["train"] is not None, size=_least_bytes, libraries=("floret", "numpy"))
def _train(path: Path, *, train: Training) -> dict[str, int]:
    """Train the classifier and write it to `path`; numbers of texts that it was trained on."""
    settings = train.model_dump(include={"epochs", "lr", "word_ngrams", "dimensions", "buckets", "seed"})
    return train_classifier(path, _named(train) if train.pages is None else _measured(train), **settings)


def _named(train: Training) -> Iterator[tuple[str, pa.Array]]:
    for label, files in ((POSITIVE, train.positive), (NEGATIVE, train.negative)):
        for file in files or []:
            try:
                yield from ((label, texts) for texts in read_texts(Path(file)))
            except InputError as error:
                raise InputError(error.message, FIX) from None


def _measured(train: Training) -> Iterator[tuple[str | None, pa.Array]]:
    """The texts of pages with their labels, None for those of no use."""
    assert train.pages is not None
    assert train.losses is not None
    assert train.errors is not None
    assert train.benchmark is not None
    table = read_model_losses(Path(train.losses), Path(train.errors), train.benchmark)
    pages = [Path(file) for file in train.pages]
    sizes = page_sizes(pages, table.rows, train.losses)
    if train.keep is None:
        good, bad = predictive(table.losses, table.errors), least_predictive(table.losses, table.errors)
    else:
        estimates = perplexity_correlations(table.losses, table.errors)
        good = included(estimates, [sizes[row] for row in table.rows], train.keep)
        bad = ~good
    for which, wanted in ((good, "positive"), (bad, "negative")):
        if not which.any():
            raise UsageError(
                f"{train.losses}: no page is {wanted} by `{train.method}`", _HINTS[wanted, train.keep is None]
            )
    labels = {row: POSITIVE if g else NEGATIVE if b else None for row, g, b in zip(table.rows, good, bad, strict=True)}
    for path in pages:
        for page, text in read_pages(path):
            yield labels[page], pa.array([text], pa.string())


_HINTS = {
    ("positive", True): "fewer models order pages as a benchmark does more often; the paper has 6",
    ("negative", True): "every page orders the models as the benchmark does: add models",
    ("negative", False): "lower `keep`",
    ("positive", False): "raise `keep`",
}
