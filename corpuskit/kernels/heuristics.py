r"""Counts behind the heuristics on text: one pass over the UTF-8 buffer of a batch, no Python per document.

Runs are what `str.split()` gives, words the runs that hold a letter or a number, characters Unicode code points. Lines
stand between line feeds and are not blank, but for `lines`, which counts blank ones too. The text must be valid UTF-8,
as in Arrow.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.kernels.hashing import hash_piece
from corpuskit.kernels.intrinsics import (
    count_ones,
    load64,
)
from corpuskit.kernels.lines import find_feed
from corpuskit.kernels.pages import (
    TERMINAL,
    character_classes,
    last_char,
    phrases,
)
from corpuskit.kernels.repetition import GRAMS, count_grams, count_paragraphs, number_words
from corpuskit.kernels.scan import (
    ALL,
    CHARS,
    FEEDS,
    LETTERLESS,
    PAGE,
    QUALITY,
    REPETITION,
    RUNS,
    SCANNED,
    SENTENCES,
    SPACES,
    SYMBOL_CHARS,
    SYMBOLS,
    scan,
)
from corpuskit.kernels.words import LOW_BYTES, count_chars, place_of, stripped, table_bits

COUNTS = (
    *SCANNED,
    "lines",
    *("text_lines", "duplicate_lines", "duplicate_line_chars", "terminal_lines", "short_lines"),
    *("bullet_lines", "ellipsis_lines"),
    *("words", "word_chars", "alpha_words", "stop_words", "sentences"),
    *("paragraphs", "duplicate_paragraphs", "duplicate_paragraph_chars", "unique_words"),
    *GRAMS,
)
"""Columns of the counts that `count` gives."""

ALL_LINES, LINES, WORDS, PARAGRAPHS, UNIQUE, FIRST_GRAM = (
    COUNTS.index(name) for name in ("lines", "text_lines", "words", "paragraphs", "unique_words", GRAMS[0])
)

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Gopher's eight (Rae et al. 2021, https://arxiv.org/abs/2112.11446, appendix A1.1)."""

FEED, DOT, HYPHEN = 10, 46, 45
SHORT_LINE = 30
"""FineWeb's: lines of at most as many characters are short."""

STOP_FACTOR, STOP_SHIFT = np.uint64(226257), np.uint64(29)
"""Found by trial: the product of a stop word (its bytes, lowest first) and the factor has bits 29 to 31 of its own."""


def stop_table() -> npt.NDArray[np.uint64]:
    """The stop words at their places, uint64[8, 2]: bytes, and how many."""
    table = np.zeros((8, 2), np.uint64)
    for word in STOP_WORDS:
        packed = int.from_bytes(word.encode(), "little")
        table[packed * int(STOP_FACTOR) >> int(STOP_SHIFT) & 7] = packed, len(word)
    return table


@njit(nogil=True, cache=True, inline="always")
def stop_bit(data: Any, start: Any, size: Any, stop: Any, masks: Any) -> Any:
    """uint64 with one bit for the stop word that this word is, or 0; neither lengths nor words could be foreseen.

    Args:
        stop: `stop_table()`. masks: `LOW_BYTES`.
    """
    packed = load64(data, start) & masks[min(size, 8)]
    place = ((packed * STOP_FACTOR) >> STOP_SHIFT) & np.uint64(7)
    return np.uint64((stop[place, 0] == packed) & (stop[place, 1] == np.uint64(size))) << place


@njit(nogil=True, cache=True, inline="always")
def _ends_in_ellipsis(data: Any, start: Any, end: Any) -> Any:
    """Whether a line without white space at its end ends in `...` or in U+2026."""
    if end - start < 3:
        return False
    a, b, c = data[end - 3], data[end - 2], data[end - 1]
    return (a == DOT and b == DOT and c == DOT) or (a == 0xE2 and b == 0x80 and c == 0xA6)


@njit(nogil=True, cache=True)
def _count_lines(data: Any, start: Any, end: Any, wanted: Any, classes: Any, table: Any, keys: Any, row: Any) -> None:
    """Write what lines the text has to `row`."""
    feeds, wide = row[FEEDS], row[CHARS] != end - start
    bits = table_bits(min(feeds, (end - start) >> 1) + 1)
    shift, mask = np.uint64(64 - bits), (1 << bits) - 1
    table[: 1 << bits] = 0
    lines = known = repeated = terminal = short = bullets = ellipses = 0
    at = start
    while at < end:
        stop = find_feed(data, at, end)
        first, last = stripped(data, at, stop, classes)
        if first < last:
            lines += 1
            bullets += data[first] == HYPHEN or (
                data[first] == 0xE2 and data[first + 1] == 0x80 and data[first + 2] == 0xA2
            )
            ellipses += _ends_in_ellipsis(data, first, last)
            chars = count_chars(data, at, stop) if wide else stop - at
            if wanted & PAGE:
                c, _ = last_char(data, stop)
                terminal += (classes[c] & TERMINAL) != 0
                short += chars <= SHORT_LINE
            if wanted & (PAGE | REPETITION):
                key = hash_piece(data, at, stop - at)
                new = place_of(key, key >> shift, mask, table, keys, known) == known
                known += new
                repeated += chars * (not new)
        at = stop + 1
    row[LINES], row[LINES + 1], row[LINES + 2], row[LINES + 3], row[LINES + 4], row[LINES + 5], row[LINES + 6] = (
        lines, lines - known, repeated, terminal, short, bullets, ellipses
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _stop_words(data: Any, bounds: Any, runs: Any, stop: Any, masks: Any) -> Any:
    """How many of the stop words occur."""
    seen = np.uint64(0)
    for run in range(runs):
        begin = bounds[2 * run]
        seen |= stop_bit(data, begin, bounds[2 * run + 1] - begin, stop, masks)
    return count_ones(seen)


@njit(nogil=True, cache=True)
def _count(
    data: Any, offsets: Any, wanted: Any, classes: Any, texts: Any, facts: Any, stop: Any, masks: Any, bounds: Any,
    table: Any, keys: Any, upto: Any, times: Any, ids: Any, places: Any, firsts: Any, out: Any, entropy: Any,
) -> None:  # fmt: skip
    for number in range(len(offsets) - 1):
        start, end, row = offsets[number], offsets[number + 1], out[number]
        scan(data, start, end, wanted, classes, texts, facts, bounds, row)
        runs, feeds = row[RUNS], row[FEEDS]
        row[ALL_LINES] = feeds + (end > start and data[end - 1] != FEED)
        _count_lines(data, start, end, wanted, classes, table, keys, row)
        if wanted & QUALITY:
            row[WORDS], row[WORDS + 1], row[WORDS + 2], row[WORDS + 3] = (
                runs - row[SYMBOLS], row[CHARS] - row[SPACES] - row[SYMBOL_CHARS], runs - row[LETTERLESS],
                _stop_words(data, bounds, runs, stop, masks),
            )  # fmt: skip
        row[WORDS + 4] = row[LINES] + row[SENTENCES]  # the last run of a line ends a sentence, too
        if wanted & REPETITION:
            first, last = stripped(data, start, end, classes)
            row[PARAGRAPHS], row[PARAGRAPHS + 1], row[PARAGRAPHS + 2] = count_paragraphs(
                data, first, last, feeds, table, keys
            )
            wide = row[CHARS] != end - start
            row[UNIQUE], entropy[number] = number_words(data, bounds, runs, wide, masks, table, keys, times, ids, upto)
            count_grams(runs, upto, table, keys, times, ids, places, firsts, bounds, row[FIRST_GRAM:])


KEPT = 1 << 21
"""Scratch for texts of so many bytes at most is kept by a thread: memory that is new to each call costs a twentieth."""

_kept = threading.local()


def _room(most: int) -> tuple[int, Any]:
    """Scratch for texts of so many bytes at most: bounds, table, keys, upto, times, ids, places and firsts."""
    room = most // 2 + 2  # words, lines or paragraphs
    lengths = (2 * room, 1 << table_bits(room), room, room + 1, *[room] * 4)
    kinds = (np.int64, np.int32, np.uint64, np.int64, *[np.int32] * 4)
    return most, [np.empty(length, kind) for length, kind in zip(lengths, kinds, strict=True)]


def count(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], wanted: int = ALL
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count what documents are judged by, in one pass.

    Args:
        data: UTF-8 bytes, uint8[>= offsets[n] + 64].
        offsets: int64[n + 1].
        wanted: what is to be counted; columns that none of it needs may be 0.

    Returns:
        int64[n, 59], a column for each of `COUNTS`; float64[n], the entropy of the frequencies of runs in nats, 0
        without runs. `...` is counted without overlap, and together with U+2026; `stop_words` is how many of Gopher's
        eight occur as runs, in lower case.
    """
    out = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    entropy = np.zeros(len(offsets) - 1, np.float64)
    most = int(np.diff(offsets).max(initial=0))
    if most > KEPT:
        room = _room(most)
    elif (room := getattr(_kept, "room", _room(0)))[0] < most:
        room = _kept.room = _room(most)
    fixed = (character_classes(), *phrases(), stop_table(), LOW_BYTES)
    _count(*(data, offsets, wanted, *fixed, *room[1], out, entropy))
    return out, entropy
