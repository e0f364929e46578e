"""Lines and paragraphs of documents: a 128-bit hash of each by its normalized text, and documents without some of them.

A line ends at a line feed. A paragraph is a run of lines between blank ones (white space alone), and takes the blank
lines behind it along. Both are numbered from 0 within their document; these numbers say which to cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.core.batch import utf8
from corpuskit.kernels.hashing import hash_text
from corpuskit.kernels.intrinsics import mask_feed, trailing_zeros
from corpuskit.kernels.normalize import decode, hash_seeds, normalize_document, scratch, steps
from corpuskit.kernels.unicode import SPACE, tables

Unit = Literal["line", "paragraph"]

U64 = npt.NDArray[np.uint64]

LINE_FEED = 10


@dataclass(frozen=True)
class Lines:
    """The m lines (or paragraphs) of a batch that are long enough, in the order of the text.

    Attributes:
        high, low: the halves of their hashes, uint64[m] each; equal where the normalized texts are equal.
        place: uint64[m], the row of the document in the upper 32 bits, the line's number in the document in the lower.
    """

    high: U64
    low: U64
    place: U64


@njit(nogil=True, cache=True, inline="always")
def find_feed(data: Any, at: Any, end: Any) -> Any:
    """Index of the first line feed in `data[at:end]`, or `end`; 64 bytes a step."""
    while at < end:
        feeds = mask_feed(data, at)
        if feeds:
            return min(end, at + trailing_zeros(feeds))
        at += 64
    return end


@njit(nogil=True, cache=True, inline="always")
def is_blank(data: Any, start: Any, end: Any, classes: Any) -> Any:
    """Whether `data[start:end]` is nothing but white space, as `str.isspace` has it."""
    at = start
    while at < end:
        c, at = decode(data, at)
        if not classes[c] & SPACE:
            return False
    return True


@njit(nogil=True, cache=True)
def next_unit(data: Any, at: Any, end: Any, by_paragraph: Any, classes: Any) -> Any:
    """The next line or paragraph of a document that ends at `end`, looking from the beginning of a line on.

    Returns:
        (start, stop, after): its text is `data[start:stop]`, what goes with it ends at `after`, where the next begins.
        The end of a document counts as a line feed, so `after` can be end + 1; start is end + 1 where there is none.
    """
    if not by_paragraph:
        stop = find_feed(data, at, end)
        return at, stop, stop + 1
    start = skip_blank(data, at, end, classes)
    stop, after = start, start
    while after <= end:
        feed = find_feed(data, after, end)
        if is_blank(data, after, feed, classes):
            break
        stop, after = feed, feed + 1
    return start, stop, skip_blank(data, after, end, classes)


@njit(nogil=True, cache=True)
def skip_blank(data: Any, at: Any, end: Any, classes: Any) -> Any:
    """Where the first line begins that is not blank, from the line at `at` on; end + 1 if there is none."""
    while at <= end:
        feed = find_feed(data, at, end)
        if not is_blank(data, at, feed, classes):
            return at
        at = feed + 1
    return end + 1


@njit(nogil=True, cache=True)
def _hash(
    data: Any, offsets: Any, by_paragraph: Any, least: Any, lower: Any, classes: Any, steps: Any, out: Any,
    positions: Any, seeds: Any, high: Any, low: Any, place: Any,
) -> Any:  # fmt: skip
    found = 0
    for row in range(len(offsets) - 1):
        at = offsets[row]
        end = offsets[row + 1]
        number = 0
        while at <= end:
            start, stop, at = next_unit(data, at, end, by_paragraph, classes)
            if stop - start >= least:  # normalized text has no more characters than the text has bytes
                size, chars = normalize_document(data, start, stop, lower, classes, steps, out, positions)
                if chars >= least:
                    high[found], low[found] = hash_text(out, 0, size, seeds[0], seeds[1])
                    place[found] = (np.uint64(row) << np.uint64(32)) | np.uint64(number)
                    found += 1
            number += 1
    return found


def hash_lines(column: pa.Array, unit: Unit, least: int, seed: int = 0) -> Lines:
    """Hash the lines or paragraphs of each row of a string column that have at least `least` normalized characters.

    Args:
        column: n rows. unit: `line` or `paragraph`. least: 1 or more. seed: sets the hashes of domains apart.
    """
    data, offsets = utf8(column)
    total = int(offsets[-1])
    # one more for each row that does not end in a line feed; each takes `least` bytes and its line feed
    most = int(np.count_nonzero(data[:total] == LINE_FEED)) + len(offsets) - 1
    most = min(most, (total + len(offsets)) // (least + 1) + 1)
    high, low, place = (np.empty(most, np.uint64) for _ in range(3))
    room = (*tables(), steps(), *scratch(int(np.diff(offsets).max(initial=0))))
    found = _hash(data, offsets, unit == "paragraph", least, *room, hash_seeds(seed), high, low, place)
    return Lines(high[:found], low[:found], place[:found])


@njit(nogil=True, cache=True, inline="always")
def _copy(data: Any, start: Any, after: Any, end: Any, out: Any, size: Any) -> Any:
    """Append `data[start:after]` to `out[size]`, the end of the document as a line feed; the new size."""
    stop = min(after, end)
    for at in range(start, stop):
        out[size + at - start] = data[at]
    size += stop - start
    if after > end:
        out[size] = LINE_FEED
        size += 1
    return size


@njit(nogil=True, cache=True)
def _cut(
    data: Any, offsets: Any, by_paragraph: Any, classes: Any, removed: Any, first: Any, out: Any, ends: Any
) -> Any:
    size = 0
    waiting = 0  # the first of `removed` that is not cut yet
    for row in range(len(offsets) - 1):
        at = offsets[row]
        end = offsets[row + 1]
        place = np.uint64(first + row) << np.uint64(32)
        if waiting == len(removed) or removed[waiting] >> np.uint64(32) != place >> np.uint64(32):
            out[size : size + end - at] = data[at:end]
            size += end - at
            ends[row + 1] = size
            continue
        begin = size
        while at <= end:
            start, _, after = next_unit(data, at, end, by_paragraph, classes)
            if waiting < len(removed) and removed[waiting] == place:
                waiting += 1
                after_kept = start  # blank lines before the first paragraph belong to none
            else:
                after_kept = after
            if after_kept > at:
                size = _copy(data, at, after_kept, end, out, size)
            place += np.uint64(1)
            at = after
        if size > begin:
            size -= 1  # lines are joined by line feeds: none behind the last
        ends[row + 1] = size
    return waiting


def cut_lines(column: pa.Array, unit: Unit, removed: U64, first: int) -> pa.Array:
    """The rows of a string column without some of their lines or paragraphs; what stays is joined by line feeds.

    Args:
        column: n rows, the first of which has the number `first`.
        unit: `line` or `paragraph`.
        removed: uint64[m], sorted: what to cut, as `Lines.place` has it, counted from row 0.

    Raises:
        ValueError: a row has no line of such a number.
    """
    data, offsets = utf8(column)
    out, ends = np.empty(int(offsets[-1]) + len(offsets), np.uint8), np.zeros(len(offsets), np.int64)
    _, classes = tables()
    if _cut(data, offsets, unit == "paragraph", classes, removed, first, out, ends) != len(removed):
        msg = f"{len(removed)} {unit}s to cut that are not all in rows {first} to {first + len(offsets) - 2}"
        raise ValueError(msg)
    kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
    buffers = [None, pa.py_buffer(ends.astype(kind)), pa.py_buffer(out[: int(ends[-1])])]
    return pa.Array.from_buffers(column.type, len(column), buffers)
