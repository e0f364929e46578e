"""Windows of a fixed number of bytes, anchors by which equal windows are found, and documents without some windows.

The anchor of a window is the leftmost of its shorter pieces (of half its bytes) that have the least hash: winnowing
(Schleimer et al. 2003). It is a matter of the window's bytes alone, so that two documents that have a window in common
have its anchor in common as well; and a few bytes on the anchor is mostly the same one, so that there are few of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from corpuskit.core.batch import utf8
from corpuskit.kernels.hashing import K1, hash_text
from corpuskit.kernels.intrinsics import fold_multiply
from corpuskit.kernels.lines import Lines
from corpuskit.kernels.normalize import hash_seeds

U64 = npt.NDArray[np.uint64]

BLOCK = 1 << 14
"""Windows of a document that are looked at at a time."""

MOST = 1 << 18
"""Anchors or windows that are handed over at a time, at most."""

BASE = np.uint64(0x9E3779B97F4A7C15)
ROW = np.uint64(32)


def anchor_size(length: int) -> int:
    """Bytes of an anchor of windows of `length` bytes."""
    return length // 2


@njit(nogil=True, cache=True)
def _roll(data: Any, start: Any, count: Any, size: Any, hashes: Any) -> Any:
    """Hashes of the `count` pieces of `size` bytes from `start` on, to choose anchors by: others may have the same."""
    top = np.uint64(1)
    state = np.uint64(0)
    for i in range(size):
        state = state * BASE + np.uint64(data[start + i])
        top *= BASE
    for i in range(count):
        hashes[i] = fold_multiply(state ^ K1, state + BASE)
        # the last one may not look beyond the text
        if i + 1 < count:
            state = state * BASE + np.uint64(data[start + i + size]) - top * np.uint64(data[start + i])


@njit(nogil=True, cache=True, inline="always")
def _least(hashes: Any, first: Any, end: Any) -> Any:
    """Index of the leftmost least hash of hashes[first:end]."""
    best = first
    for i in range(first + 1, end):
        if hashes[i] < hashes[best]:
            best = i
    return best


@njit(nogil=True, cache=True)
def _search(
    data: Any, offsets: Any, length: Any, size: Any, wanted: Any, state: Any, hashes: Any, seeds: Any,
    high: Any, low: Any, place: Any,
) -> Any:  # fmt: skip
    """Go on from `state` = [row, byte, last anchor, next of `wanted`] until the arrays are full or all is done.

    Without `wanted` every anchor is found, once; with it every window whose anchor stands there.
    """
    across = length - size + 1
    by_window = len(wanted) > 0
    row, at, last, waiting = state
    found = 0
    while row < len(offsets) - 1:
        start = offsets[row]
        windows = offsets[row + 1] - start - length + 1
        mark = np.uint64(row) << ROW
        if by_window and at == 0:
            while waiting < len(wanted) and wanted[waiting] < mark:
                waiting += 1
            if waiting == len(wanted) or wanted[waiting] >> ROW != np.uint64(row):
                row += 1
                continue
        while at < windows and found + BLOCK <= len(high):
            count = min(BLOCK, windows - at)
            _roll(data, start + at, count + across - 1, size, hashes)
            best = -1
            for i in range(count):
                if best < i:
                    best = _least(hashes, i, i + across)
                elif hashes[i + across - 1] < hashes[best]:
                    best = i + across - 1
                anchor = at + best
                if by_window:
                    here = mark | np.uint64(anchor)
                    while waiting < len(wanted) and wanted[waiting] < here:
                        waiting += 1
                    if waiting == len(wanted) or wanted[waiting] != here:
                        continue
                    begin, bytes_, number = start + at + i, length, at + i
                elif anchor != last:
                    begin, bytes_, number = start + anchor, size, anchor
                    last = anchor
                else:
                    continue
                high[found], low[found] = hash_text(data, begin, bytes_, seeds[0], seeds[1])
                place[found] = mark | np.uint64(number)
                found += 1
            at += count
        if at < windows:
            break
        row, at, last = row + 1, 0, -1
    state[0], state[1], state[2], state[3] = row, at, last, waiting
    return found


def hash_anchors(column: pa.Array, length: int) -> Iterator[Lines]:
    """The anchors of all windows of `length` bytes of each row, each once, some at a time, in the order of the text.

    Gives:
        Their hashes, and as `place` the row in the upper 32 bits, the byte in the document in the lower.
    """
    return _found(column, length, np.zeros(0, np.uint64))


def hash_windows(column: pa.Array, length: int, anchors: U64) -> Iterator[Lines]:
    """The windows of `length` bytes whose anchor is one of some, a few at a time, in the order of the text.

    Args:
        column: n rows. length: bytes. anchors: uint64[m], sorted: places as `hash_anchors` has them.

    Gives:
        As `hash_anchors`.
    """
    return _found(column, length, anchors) if len(anchors) else iter(())


def _found(column: pa.Array, length: int, anchors: U64) -> Iterator[Lines]:
    data, offsets = utf8(column)
    size = anchor_size(length)
    state = np.array([0, 0, -1, 0], np.int64)
    hashes = np.empty(BLOCK + length, np.uint64)
    while state[0] < len(column):
        # a small batch needs no large arrays, and what is kept of them no more than what was found
        room = min(MOST, int(offsets[-1]) + BLOCK)
        high, low, place = (np.empty(room, np.uint64) for _ in range(3))
        found = _search(
            data, offsets, length, size, anchors, state, hashes, hash_seeds(0), high, low, place
        )  # fmt: skip
        yield Lines(high[:found].copy(), low[:found].copy(), place[:found].copy())


@njit(nogil=True, cache=True, inline="always")
def _is_inside(data: Any, at: Any) -> Any:
    """Whether a byte is one of a character's after its first."""
    return data[at] & 0xC0 == 0x80


@njit(nogil=True, cache=True)
def _cut(data: Any, offsets: Any, length: Any, windows: Any, first: Any, out: Any, ends: Any) -> Any:
    size, spans, waiting = 0, 0, 0
    for row in range(len(offsets) - 1):
        at = offsets[row]
        end = offsets[row + 1]
        number = np.uint64(first + row)
        while waiting < len(windows) and windows[waiting] >> ROW == number:
            begin = offsets[row] + np.int64(windows[waiting] & np.uint64(0xFFFFFFFF))
            stop = begin
            while (
                waiting < len(windows)
                and windows[waiting] >> ROW == number
                and offsets[row] + np.int64(windows[waiting] & np.uint64(0xFFFFFFFF)) <= stop
            ):
                stop = offsets[row] + np.int64(windows[waiting] & np.uint64(0xFFFFFFFF)) + length
                waiting += 1
            # characters of which it has a half stay
            while begin < stop and _is_inside(data, begin):
                begin += 1
            while stop > begin and stop < end and _is_inside(data, stop):
                stop -= 1
            out[size : size + begin - at] = data[at:begin]
            size += begin - at
            at = stop
            spans += 1
        out[size : size + end - at] = data[at:end]
        size += end - at
        ends[row + 1] = size
    return spans


def cut_windows(column: pa.Array, length: int, windows: U64, first: int) -> tuple[pa.Array, int]:
    """The rows of a string column without some windows of `length` bytes, but with whole characters.

    Args:
        column: n rows, the first of which has the number `first`.
        windows: uint64[m], sorted: places as `hash_windows` has them, in these rows.

    Returns:
        The rows, and how many spans were cut: windows that overlap or touch are one.
    """
    data, offsets = utf8(column)
    out, ends = np.empty(int(offsets[-1]), np.uint8), np.zeros(len(offsets), np.int64)
    spans = _cut(data, offsets, length, windows, first, out, ends)
    kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
    buffers = [None, pa.py_buffer(ends.astype(kind)), pa.py_buffer(out[: int(ends[-1])])]
    return pa.Array.from_buffers(column.type, len(column), buffers), int(spans)
