"""fastText classifiers: loading them, what they read of a text, and training one.

Training is done by floret, a fork of fastText under a module name of its own, in the mode in which it computes what
fastText 0.9.2 does; the file is then written as fastText writes it, and any fastText reads it.
"""

from __future__ import annotations

import functools
import mmap
import re
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpuskit.errors import UsageError

POSITIVE, NEGATIVE = "__label__positive", "__label__negative"
"""Labels of a model that `train` makes."""

_FASTTEXT = (793712314, 12)
"""Magic number and version of fastText's files: int32 each."""
_BEFORE_MODE, _ADDED = 52, struct.pack("<2i", 1, 1)
"""Where floret's files have two integers that fastText's lack, and which: mode `fasttext`, one hash."""

_SPACE = r" \t\n\v\f\r\0"
_SPECIAL = re.compile(rf"(?<![^{_SPACE}])(?:</s>(?![^{_SPACE}])|__label__[^{_SPACE}]*)")


@functools.lru_cache(maxsize=16)  # what the steps of a recipe may use in turns, on each batch
def load_classifier(path: Path, _digest: str) -> Any:
    """A fastText model, loaded once in a process for each content of a file.

    Raises:
        UsageError: it is none.
    """
    import fasttext

    try:
        check_classifier(path)
        return fasttext.load_model(str(path))
    except (ValueError, RuntimeError, MemoryError, LookupError, struct.error) as error:
        msg = f"{path}: not a fastText model, or a damaged one: {error}"
        raise UsageError(msg, "`model` is a .bin or .ftz file as fastText writes it") from None


def check_classifier(path: Path) -> None:
    """Follow the sizes in a model to its end: fastText believes them, and hangs or crashes where they are wrong.

    Raises:
        ValueError, LookupError, struct.error: they do not lead to the end of the file, or say what no classifier has.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version, dim, *settings = struct.unpack_from("<14i", data)
        word_ngrams, loss, model, bucket, _, longest = settings[4:10]
        if magic != _FASTTEXT[0] or version not in (11, 12) or dim < 1 or loss not in range(1, 5) or model != 3:
            raise ValueError("it begins as no classifier does")
        if bucket < (word_ngrams > 1 or longest > 0) or max(word_ngrams, longest) > 1000:
            raise ValueError("it hashes n-grams as no classifier does")
        entries, words, labels = struct.unpack_from("<3i", data, 64)
        (pruned,) = struct.unpack_from("<q", data, 84)
        at, kinds = 92, [0, 0]
        for _ in range(entries):
            if (at := data.find(b"\0", at) + 10) < 92:
                raise ValueError("it ends amid its words")
            kinds[data[at - 1]] += 1
        if kinds != [words, labels] or not labels:
            raise ValueError("its words and labels are not as many as it says")
        rows = words + (bucket if pruned < 0 else pruned)
        end = _after_matrix(data, at + 8 * max(pruned, 0), rows, dim)
        if _after_matrix(data, end, labels, dim) != len(data):
            raise ValueError("it does not end where it says")


def _after_matrix(data: mmap.mmap, at: int, rows: int, columns: int) -> int:
    """Where a matrix ends: whether it is quantized, then its size and values, or codes and their centroids."""
    quantized = data[at]
    normed, at = (data[at + 1], at + 2) if quantized else (0, at + 1)
    if struct.unpack_from("<2q", data, at) != (rows, columns):
        raise ValueError(f"a matrix is not {rows:,} x {columns:,} as its words, labels and n-grams ask")
    at += 16
    if not quantized:
        return at + 4 * rows * columns
    codes: int = struct.unpack_from("<i", data, at)[0]
    at = _after_quantizer(data, at + 4 + codes, columns)
    return _after_quantizer(data, at + rows, 1) if normed else at


def _after_quantizer(data: mmap.mmap, at: int, columns: int) -> int:
    dim: int
    dim, parts, width, last = struct.unpack_from("<4i", data, at)
    if dim != columns or width < 1 or parts != -(-dim // width) or last != (dim % width or width):
        raise ValueError("its codes are of vectors of another size")
    return at + 16 + 4 * 256 * dim


def as_line(text: str) -> str:
    """A text as the one line that fastText takes.

    Words that are marks to fastText are left out: after `</s>` it would stop reading, and `__label__...` is a label.
    """
    if "</s>" in text or "__label__" in text:
        text = _SPECIAL.sub(" ", text)
    return text.replace("\n", " ")


def train(
    path: Path,
    examples: Iterable[tuple[str | None, pa.Array]],
    *,
    epochs: int,
    lr: float,
    word_ngrams: int,
    dimensions: int,
    buckets: int,
    seed: int,
) -> dict[str, int]:
    """Train a classifier of two labels and write it; the same bytes for the same arguments.

    Args:
        path: where to write the model; the folder also holds all texts twice while it is trained.
        examples: labels, `POSITIVE` or `NEGATIVE`, each with texts, a string array of any length; None: not to train
            on. In any order: they are shuffled, since what a model sees last it knows best.
        epochs, lr, word_ngrams, dimensions, buckets, seed: as fastText's.

    Returns:
        How many texts were `positive`, `negative`, `blank` (left out) and `unused` (without a label).

    Raises:
        UsageError: a label has no text, or training diverges.
    """
    lines, shuffled, trained = (path.with_name(f"{path.name}.{part}") for part in ("texts", "shuffled", "floret"))
    counts, starts = _write(lines, examples)
    for label in ("positive", "negative"):
        if not counts[label]:
            raise UsageError(f"there is no {label} text to train a classifier on")
    _shuffle(lines, shuffled, starts, seed)
    _floret(shuffled, trained, epochs, lr, word_ngrams, dimensions, buckets, seed)
    _as_fasttext(trained, path)
    for file in (lines, shuffled, trained):
        file.unlink()
    return counts


def _write(path: Path, examples: Iterable[tuple[str | None, pa.Array]]) -> tuple[dict[str, int], list[int]]:
    """Write an example a line; counts, and where each line starts with the end of the last."""
    counts = {"positive": 0, "negative": 0, "blank": 0, "unused": 0}
    starts = [0]
    with path.open("wb") as file:
        for label, texts in examples:
            for text in texts.to_pylist():
                line = as_line(text or "")
                if label is None or not line.strip():
                    counts["unused" if label is None else "blank"] += 1
                    continue
                counts[label.removeprefix("__label__")] += 1
                starts.append(starts[-1] + file.write(f"{label} {line}\n".encode()))
    return counts, starts


def _shuffle(source: Path, target: Path, starts: list[int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(starts) - 1).tolist()
    with (
        source.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines,
        target.open("wb") as shuffled,
    ):
        for number in order:
            shuffled.write(lines[starts[number] : starts[number + 1]])


def _floret(
    lines: Path, target: Path, epochs: int, lr: float, word_ngrams: int, dimensions: int, buckets: int, seed: int
) -> None:
    import floret

    try:
        model = floret.train_supervised(
            input=str(lines),
            epoch=epochs,
            lr=lr,
            wordNgrams=word_ngrams,
            dim=dimensions,
            bucket=buckets,
            seed=seed,
            mode="fasttext",
            thread=1,  # with more, threads write the same weights, and no two runs give the same
            verbose=0,
        )
    except RuntimeError as error:
        raise UsageError(f"training a classifier at `lr: {lr:g}` fails: {error}", "lower `lr`") from None
    model.save_model(str(target))


def _as_fasttext(source: Path, target: Path) -> None:
    """Copy floret's file without what fastText's format lacks."""
    with source.open("rb") as file, target.open("wb") as model:
        head = file.read(_BEFORE_MODE)
        added = file.read(len(_ADDED))
        assert struct.unpack_from("<2i", head) == _FASTTEXT, "floret has another format"
        assert added == _ADDED, "floret trained in another mode"
        model.write(head)
        shutil.copyfileobj(file, model, 1 << 20)
