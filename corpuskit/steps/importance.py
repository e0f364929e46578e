"""`importance`: how much more a document is like the texts of a target than like the corpus itself, by DSIR's features.

First the words and pairs of words of all documents that reach the step are counted, and those of the target once; then
each document gets the log ratio of its probabilities. `sample` with `method: gumbel` draws by it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import File, file_digest
from corpuskit.errors import InputError, UsageError
from corpuskit.sources.decompress import COMPRESSED, ending

Counts = npt.NDArray[np.int64]
Hash = Literal["fast", "reference"]

LEAST = 1e-8
"""Added to the share of each bucket, as in the reference implementation: what only one side has stays finite."""

JSON_LINES, PLAIN_LINES = (".jsonl", ".json", ".ndjson"), (".txt",)
LONGEST_LINE = 64 << 20
BATCH_BYTES = 4 << 20


def text_files(target: Any) -> Any:
    """A file or a list of them as a list; their endings must be of files with texts. For a parameter's validator."""
    files = [target] if isinstance(target, str) else target
    if isinstance(files, list | tuple):
        if not files:
            raise ValueError("name at least one file")
        for file in files:
            if isinstance(file, str) and ending(file) not in JSON_LINES + PLAIN_LINES:
                raise ValueError(
                    f"`{file}` is neither .jsonl, .json, .ndjson nor .txt, plain or {', '.join(COMPRESSED)}"
                )
    return files


class TextFile(File):
    """A file of texts: how they are written, which its ending says, enters the key beside its content."""

    __slots__ = ()

    @property
    def is_json(self) -> bool:
        """Whether it is read as JSON Lines or as a text a line."""
        return ending(self) in JSON_LINES

    def fingerprint(self) -> dict[str, Any]:
        """Content, and how it is read."""
        return {**super().fingerprint(), "lines": "json" if self.is_json else "plain"}


Texts = Annotated[list[TextFile], pydantic.BeforeValidator(text_files)]
"""A parameter of texts: a file, a pattern, or a list of them."""


@dataclass(frozen=True, eq=False)
class GramCounts:
    """Counts of hashed words and pairs, int64 (10000,) each; equal by identity, so that ratios can be remembered.

    Attributes:
        raw: of the documents. target: of the target's texts.
    """

    raw: Counts
    target: Counts


def _columns(as_: str, **_: Any) -> dict[str, str]:
    return {as_: "float64"}


@step.signal(columns=_columns)
def importance(
    batch: Batch,
    *,
    target: Texts,  # noqa: ARG001 - counted in the state
    hash_: Hash = "fast",
    as_: str = "importance",
    state: GramCounts | None = None,
) -> dict[str, pa.Array]:
    """Log importance ratio of each document (Xie et al. 2023, DSIR, arXiv:2302.03169).

    Words are runs of letters, digits and `_`, or of other characters that are not white space, of the lower-cased text
    (all of Unicode, as Python's `str.lower`). Words and pairs of neighbours are hashed into 10,000 buckets. With the
    shares p of each bucket in the target and q in all documents that reach the step, of all domains that it applies to
    together, the score of a document is the sum of log(p + 1e-8) - log(q + 1e-8) over its words and pairs: longer texts
    have larger scores, of either sign, as in the paper.

    Args:
        batch: n documents.
        target: a file, a pattern such as `good/*.jsonl`, or a list: JSON Lines with the field `text`, or `.txt` of
            which each line is a text; plain or compressed.
        hash_: of words and pairs: `fast`, or `reference`, the SHA-256 of the authors' package `data-selection`, whose
            buckets and scores it gives, at a small part of the speed.
        as_: the column's name (`as` in a recipe).
        state: counts of all documents and of the target.

    Returns:
        One column, float64[n]; null for a text without words.

    Raises:
        UsageError: there is no word in the target, or in any document that reaches the step.
        InputError: a line of the target cannot be read.
    """
    assert state is not None, "the plan summarizes all documents before the first is scored"
    scores = _grams(hash_).gram_sums(batch.column("text"), _log_ratios(state))
    return {as_: pa.array(scores, pa.float64(), from_pandas=True)}  # NaN, of a text without words, becomes null


@importance.summarize
def _summarize(batch: Batch, *, target: list[TextFile], hash_: Hash) -> GramCounts:
    wanted = _target_counts(tuple((Path(file), file_digest(Path(file))) for file in target), hash_)
    return GramCounts(_grams(hash_).gram_counts(batch.column("text")), wanted)


@importance.merge
def _merge(one: GramCounts, other: GramCounts) -> GramCounts:
    return GramCounts(one.raw + other.raw, one.target)


def _grams(hash_: Hash) -> ModuleType:
    """What counts words and pairs, and sums over them, in the buckets of a hash."""
    if hash_ == "reference":
        from corpuskit.steps import dsir_buckets

        return dsir_buckets
    from corpuskit.kernels import ngrams

    return ngrams


@functools.lru_cache(maxsize=16)
def _target_counts(files: tuple[tuple[Path, str], ...], hash_: Hash) -> Counts:
    """Counts of files by path and digest, made once in a process and not for each batch."""
    count = _grams(hash_).gram_counts
    counts = sum((count(texts) for path, _ in files for texts in read_texts(path)), np.zeros(1, np.int64))
    if not counts.sum():
        names = ", ".join(str(path) for path, _ in files)
        raise UsageError(f"the target of `importance` holds no word: {names}", "name files with texts that are wanted")
    return np.asarray(counts, np.int64)


@functools.lru_cache(maxsize=16)
def _log_ratios(state: GramCounts) -> npt.NDArray[np.float64]:
    if not state.raw.sum():
        raise UsageError(
            "no document that reaches `importance` holds a word", "look at the steps above: corpuskit peek"
        )
    return log_ratios(state.raw, state.target)


def log_ratios(raw: Counts, target: Counts) -> npt.NDArray[np.float64]:
    """Logarithm of the share of each bucket in the target, less that of its share in the corpus.

    Args:
        raw, target: counts, int64 (buckets,); neither all 0.
    """
    ratios: npt.NDArray[np.float64] = np.log(target / target.sum() + LEAST) - np.log(raw / raw.sum() + LEAST)
    return ratios


def read_texts(path: Path) -> Iterator[pa.Array]:
    """The texts of a file, as string arrays of some MiB: JSON Lines with the field `text`, or a text a line.

    Raises:
        InputError: a line cannot be read, or compression is damaged.
    """
    return _json_texts(path) if ending(path.name) in JSON_LINES else _plain_texts(path)


def _json_texts(path: Path) -> Iterator[pa.Array]:
    from corpuskit.sources.base import BatchedFile
    from corpuskit.sources.jsonl import jsonl

    for record in jsonl.function(BatchedFile(str(path), path.name), text="text"):
        if isinstance(record, step.Bad):
            raise _unreadable(path, record.where, record.reason, "`importance` counts all of its target")
        yield record.column("text") if isinstance(record, pa.RecordBatch) else pa.array([record["text"]], pa.string())


def _plain_texts(path: Path) -> Iterator[pa.Array]:
    held: list[str] = []
    size = 0
    for _, line in text_lines(path, "`importance` counts all of its target"):
        held.append(line)
        size += len(line)
        if size >= BATCH_BYTES:
            yield pa.array(held, pa.large_string())
            held, size = [], 0
    yield pa.array(held, pa.large_string())


def text_lines(path: Path, because: str) -> Iterator[tuple[int, str]]:
    """The lines of a file, plain or compressed, each with its number from 1.

    Args:
        because: why every line must be readable, for the error.

    Raises:
        InputError: a line is not UTF-8 or too long, or compression is damaged.
    """
    from corpuskit.sources.base import SourceFile
    from corpuskit.sources.lines import lines

    for number, (_, line) in enumerate(lines(SourceFile(str(path), path.name).chunks(), LONGEST_LINE), start=1):
        if line is None:
            raise _unreadable(path, f"line {number}", f"longer than {LONGEST_LINE:,} bytes", because)
        try:
            yield number, line.decode()
        except UnicodeDecodeError as error:
            reason = f"invalid UTF-8 at byte {error.start} of the line"
            raise _unreadable(path, f"line {number}", reason, because) from None


def _unreadable(path: Path, where: str, reason: str, because: str) -> InputError:
    return InputError(f"{path}: {where}: {reason}", f"fix or remove it: {because}")
