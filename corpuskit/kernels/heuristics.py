r"""Counts behind the heuristics on text: one pass over the UTF-8 buffer of a batch, no Python per document.

Runs are what `str.split()` gives, words the runs that hold a letter or a number, characters Unicode code points. Lines
stand between line feeds and are not blank, but for `lines`, which counts blank ones too. The text must be valid UTF-8,
as in Arrow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.kernels.hashing import hash_piece
from corpuskit.kernels.intrinsics import (
    count_ones,
    load64,
    mask_anchor,
    mask_brace,
    mask_digit,
    mask_dots,
    mask_hash,
    mask_high,
    mask_lead,
    mask_space,
    mask_upper,
    trailing_zeros,
)
from corpuskit.kernels.lines import find_feed
from corpuskit.kernels.normalize import decode, low_bits
from corpuskit.kernels.pages import (
    CAPITAL,
    CLOSING,
    DIGIT,
    LETTER,
    NUMBER,
    SMALL,
    STEP,
    TERMINAL,
    character_classes,
    last_char,
    phrases,
    phrases_at,
)
from corpuskit.kernels.repetition import GRAMS, count_grams, count_paragraphs, number_words
from corpuskit.kernels.unicode import SPACE
from corpuskit.kernels.words import LOW_BYTES, ONE, count_chars, find_words, place_of, stripped, table_bits

COUNTS = (
    *("chars", "runs", "line_feeds", "lines", "spaces"),
    *("text_lines", "duplicate_lines", "duplicate_line_chars", "terminal_lines", "short_lines"),
    *("bullet_lines", "ellipsis_lines"),
    *("hashes", "ellipses", "digits", "capitals", "curly_braces"),
    *("policy_phrases", "javascript", "lorem_ipsum"),
    *("words", "word_chars", "alpha_words", "stop_words", "capital_words", "sentences"),
    *("paragraphs", "duplicate_paragraphs", "duplicate_paragraph_chars", "unique_words"),
    *GRAMS,
)
"""Columns of the counts that `count` gives."""

SPACES, LINES, BYTES, PHRASES, WORDS, PARAGRAPHS, UNIQUE, FIRST_GRAM = (
    COUNTS.index(name)
    for name in (
        *("spaces", "text_lines", "hashes", "policy_phrases", "words", "paragraphs", "unique_words"),
        GRAMS[0],
    )
)

QUALITY, REPETITION, PAGE, ALL = 1, 2, 4, 7
"""Bits of what is to be counted: what `heuristics`, `repetition` and `page_heuristics` need."""

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


@njit(nogil=True, cache=True)
def _count_bytes(
    data: Any, start: Any, end: Any, wanted: Any, classes: Any, texts: Any, facts: Any, row: Any
) -> None:  # fmt: skip
    """Write what characters and phrases the text has to `row`."""
    spaces = hashes = ellipses = digits = capitals = braces = 0
    counted = start  # the end of the last `...`
    for at in range(start, end, STEP):
        valid = low_bits(min(STEP, end - at))
        spaces += count_ones(mask_space(data, at) & valid)
        if wanted & QUALITY:
            hashes += count_ones(mask_hash(data, at) & valid)
            dots = mask_dots(data, at) & valid
            while dots:
                place = at + trailing_zeros(dots)
                if place >= counted and place + 3 <= end:
                    ellipses += 1
                    counted = place + 3
                dots &= dots - ONE
        if wanted & PAGE:
            digits += count_ones(mask_digit(data, at) & valid)
            capitals += count_ones(mask_upper(data, at) & valid)
            braces += count_ones(mask_brace(data, at) & valid)
            anchors = mask_anchor(data, at) & valid
            while anchors:
                phrases_at(data, start, end, at + trailing_zeros(anchors), texts, facts, row[PHRASES:])
                anchors &= anchors - ONE
        high = mask_high(data, at) & mask_lead(data, at) & valid
        while high:
            c, _ = decode(data, at + trailing_zeros(high))
            kind = classes[c]
            spaces += (kind & SPACE) != 0
            digits += (kind & DIGIT) != 0
            capitals += (kind & CAPITAL) != 0
            ellipses += c == 0x2026
            high &= high - ONE
    row[SPACES] = spaces
    row[BYTES], row[BYTES + 1], row[BYTES + 2], row[BYTES + 3], row[BYTES + 4] = (
        hashes, ellipses, digits, capitals, braces
    )  # fmt: skip


@njit(nogil=True, cache=True, inline="always")
def _ends_in_ellipsis(data: Any, start: Any, end: Any) -> Any:
    """Whether a line without white space at its end ends in `...` or in U+2026."""
    if end - start < 3:
        return False
    a, b, c = data[end - 3], data[end - 2], data[end - 1]
    return (a == DOT and b == DOT and c == DOT) or (a == 0xE2 and b == 0x80 and c == 0xA6)


@njit(nogil=True, cache=True)
def _count_lines(
    data: Any, start: Any, end: Any, feeds: Any, wanted: Any, classes: Any, table: Any, keys: Any, row: Any
) -> None:
    """Write what lines the text has to `row`."""
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
            size = stop - at
            if wanted & PAGE:
                c, _ = last_char(data, stop)
                terminal += (classes[c] & TERMINAL) != 0
                short += size <= SHORT_LINE or (size <= 4 * SHORT_LINE and count_chars(data, at, stop) <= SHORT_LINE)
            if wanted & (PAGE | REPETITION):
                key = hash_piece(data, at, size)
                number = place_of(key, key >> shift, mask, table, keys, known)
                if number == known:
                    known += 1
                else:
                    repeated += count_chars(data, at, stop)
        at = stop + 1
    row[LINES], row[LINES + 1], row[LINES + 2], row[LINES + 3], row[LINES + 4], row[LINES + 5], row[LINES + 6] = (
        lines, lines - known, repeated, terminal, short, bullets, ellipses
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _kinds_in(data: Any, start: Any, end: Any, classes: Any) -> Any:
    """The class bits that the characters of a run have, up to a letter."""
    kinds = np.uint8(0)
    while start < end and not kinds & LETTER:
        c, start = decode(data, start)
        kinds |= classes[c]
    return kinds


@njit(nogil=True, cache=True)
def _in_capitals(data: Any, start: Any, end: Any, classes: Any) -> Any:
    """Whether a run has capital letters and no others that have a case."""
    capital = False
    while start < end:
        c, start = decode(data, start)
        if classes[c] & SMALL:
            return False
        capital |= (classes[c] & CAPITAL) != 0
    return capital


@njit(nogil=True, cache=True)
def _ends_sentence(data: Any, start: Any, end: Any, classes: Any) -> Any:
    """Whether a run ends a sentence, quotation marks and brackets behind it apart."""
    while end > start:
        c, before = last_char(data, end)
        if not classes[c] & CLOSING:
            return (classes[c] & TERMINAL) != 0
        end = before
    return False


@njit(nogil=True, cache=True, inline="always")
def _ends_line(data: Any, at: Any, after: Any) -> Any:
    """Whether a line ends in the white space `data[at:after]`."""
    found = False
    for place in range(at, after):
        found |= data[place] == FEED
    return found


@njit(nogil=True, cache=True)
def _count_words(data: Any, bounds: Any, runs: Any, wanted: Any, classes: Any, stop: Any, masks: Any, row: Any) -> None:
    """Write what the runs of the text are, one by one, to `row`."""
    symbols = symbol_chars = numbers = capitals = 0
    sentences = row[LINES]  # the last run of a line ends one
    seen = np.uint64(0)
    for run in range(runs):
        begin, end = bounds[2 * run], bounds[2 * run + 1]
        first = data[begin]
        if wanted & QUALITY:
            seen |= stop_bit(data, begin, end - begin, stop, masks)
            if not 97 <= (first | 32) <= 122:
                kinds = _kinds_in(data, begin, end, classes)
                if not kinds & LETTER:
                    if kinds & NUMBER:
                        numbers += 1
                    else:
                        symbols += 1
                        symbol_chars += count_chars(data, begin, end)
        if wanted & PAGE:
            second = data[begin + 1]
            plain = (97 <= first <= 122) | ((65 <= first <= 90) & (97 <= second <= 122) & (begin + 1 < end))
            if not plain:
                capitals += _in_capitals(data, begin, end, classes)
            if not 97 <= data[end - 1] <= 122 and _ends_sentence(data, begin, end, classes):
                sentences += run + 1 < runs and not _ends_line(data, end, bounds[2 * run + 2])
    row[WORDS], row[WORDS + 1], row[WORDS + 2], row[WORDS + 3], row[WORDS + 4], row[WORDS + 5] = (
        runs - symbols, row[0] - row[SPACES] - symbol_chars, runs - symbols - numbers, count_ones(seen), capitals,
        sentences,
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _count(
    data: Any, offsets: Any, wanted: Any, classes: Any, texts: Any, facts: Any, stop: Any, masks: Any, bounds: Any,
    table: Any, keys: Any, times: Any, sizes: Any, ids: Any, upto: Any, places: Any, firsts: Any, next_places: Any,
    out: Any, entropy: Any,
) -> None:  # fmt: skip
    for number in range(len(offsets) - 1):
        start, end, row = offsets[number], offsets[number + 1], out[number]
        runs, row[0], feeds = find_words(data, start, end, bounds)
        row[1], row[2] = runs, feeds
        row[3] = feeds + (end > start and data[end - 1] != FEED)
        _count_lines(data, start, end, feeds, wanted, classes, table, keys, row)
        if wanted & (QUALITY | PAGE):
            _count_bytes(data, start, end, wanted, classes, texts, facts, row)
            _count_words(data, bounds, runs, wanted, classes, stop, masks, row)
        if wanted & REPETITION:
            first, last = stripped(data, start, end, classes)
            row[PARAGRAPHS], row[PARAGRAPHS + 1], row[PARAGRAPHS + 2] = count_paragraphs(
                data, first, last, feeds, table, keys
            )
            wide = row[0] != end - start
            row[UNIQUE], entropy[number] = number_words(
                data, bounds, runs, wide, masks, table, keys, times, sizes, ids, upto
            )
            count_grams(runs, upto, table, keys, times, ids, places, firsts, next_places, row[FIRST_GRAM:])


def count(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], wanted: int = ALL
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count what documents are judged by, in one pass.

    Args:
        data: UTF-8 bytes, uint8[>= offsets[n] + 64].
        offsets: int64[n + 1].
        wanted: what is to be counted; columns that none of it needs may be 0.

    Returns:
        int64[n, 54], a column for each of `COUNTS`; float64[n], the entropy of the frequencies of runs in nats, 0
        without runs. `...` is counted without overlap, and together with U+2026; `stop_words` is how many of Gopher's
        eight occur as runs, in lower case.
    """
    most = int(np.diff(offsets).max(initial=0))
    room = most // 2 + 2  # words, lines or paragraphs
    out = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    entropy = np.zeros(len(offsets) - 1, np.float64)
    bounds, table, keys = np.empty(2 * room, np.int64), np.empty(4 * room + 64, np.int32), np.empty(room, np.uint64)
    times, sizes, ids, places, firsts, next_places = (np.empty(room, np.int32) for _ in range(6))
    upto = np.empty(room + 1, np.int64)
    _count(
        data, offsets, wanted, character_classes(), *phrases(), stop_table(), LOW_BYTES, bounds, table, keys, times,
        sizes, ids, upto, places, firsts, next_places, out, entropy,
    )  # fmt: skip
    return out, entropy
