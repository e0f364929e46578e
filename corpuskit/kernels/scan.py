r"""One walk over the bytes of a text: where its runs are, what characters it has, and what its runs are made of.

A run (a word of `str.split()`) is not looked at by itself: 61 bytes a step become masks of a bit for each byte, and one
addition says of all runs in them whether they have a byte of some kind. A 1 at the first byte of each run, added to a
mask of the bytes without that kind, is carried through them: it comes out at the first byte behind the run if no byte
was of the kind, and stays at the first of the kind otherwise. What leaves a step enters the next at its first bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from corpuskit.kernels.intrinsics import (
    count_ones,
    mask_anchor,
    mask_brace,
    mask_closing,
    mask_digit,
    mask_dots,
    mask_feed,
    mask_hash,
    mask_high,
    mask_lead,
    mask_letter,
    mask_terminal,
    mask_upper,
    trailing_zeros,
)
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
    phrases_at,
)
from corpuskit.kernels.words import ONE, count_chars, white_space

ZERO = np.uint64(0)
ELLIPSIS = 0x2026

SCANNED = (
    *("chars", "runs", "line_feeds", "spaces"),
    *("hashes", "ellipses", "digits", "capitals", "curly_braces"),
    *("policy_phrases", "javascript", "lorem_ipsum"),
    *("symbols", "symbol_chars", "letterless", "capital_words", "inner_sentences"),
)
"""What `scan` counts: symbols are runs without a letter or a number, inner sentences end before a line's last run."""

CHARS, RUNS, FEEDS, SPACES, HASHES, ELLIPSES, DIGITS, CAPITALS, BRACES, PHRASES = range(10)
SYMBOLS, SYMBOL_CHARS, LETTERLESS, CAPITAL_WORDS, SENTENCES = range(12, 17)

QUALITY, REPETITION, PAGE, ALL = 1, 2, 4, 7
"""Bits of what is to be counted: what `heuristics`, `repetition` and `page_heuristics` need."""


@njit(nogil=True, cache=True)
def _phrases(data: Any, start: Any, end: Any, at: Any, anchors: Any, texts: Any, facts: Any, row: Any) -> None:
    """Count the phrases of which an anchor is in a step."""
    while anchors:
        phrases_at(data, start, end, at + trailing_zeros(anchors), texts, facts, row[PHRASES:])
        anchors &= anchors - ONE


@njit(nogil=True, cache=True, inline="always")
def _ellipses(data: Any, at: Any, end: Any, valid: Any, counted: Any, row: Any) -> Any:
    """Count `...` from `counted` on; the end of the last."""
    dots = mask_dots(data, at) & valid
    while dots:
        place = at + trailing_zeros(dots)
        if place >= counted and place + 3 <= end:
            row[ELLIPSES] += 1
            counted = place + 3
        dots &= dots - ONE
    return counted


@njit(nogil=True, cache=True, inline="always")
def _carry(seeds: Any, through: Any, carried: Any, length: Any) -> Any:
    """(where seeds come out that are carried through neighbouring bytes, 1 if one leaves the step)."""
    total = seeds + through + carried
    return total, (total >> np.uint64(length)) & ONE


@njit(nogil=True, cache=True)
def scan(
    data: Any, start: Any, end: Any, wanted: Any, classes: Any, texts: Any, facts: Any, bounds: Any, row: Any
) -> None:
    """Write where runs of `data[start:end]` begin and end, in turn, to `bounds`, and add to the counts in `row`.

    Args:
        wanted: what is to be counted; the rest may be 0. classes, texts, facts: of `kernels.pages`.
        bounds: int64, room for twice the runs and one more. row: int64, a place for each of `SCANNED`, which are 0.
    """
    counted = start  # the end of the last `...`
    before = carried = np.uint64(0)  # 1 where the byte before is in a run; bytes in white space that began before
    letters = numbers = smalls = capitals = closed = gaps = np.uint64(0)  # what was carried out of the last step
    found = 0
    for at in range(start, end, STEP):
        length = min(STEP, end - at)
        valid = low_bits(length)
        high = mask_high(data, at) & valid
        white, carried = white_space(data, at, length, carried)
        feeds = mask_feed(data, at) & valid
        letter, digit, upper = mask_letter(data, at), mask_digit(data, at), mask_upper(data, at)
        lower = letter & ~upper
        terminal, closing = mask_terminal(data, at), mask_closing(data, at)
        number, lead = digit, valid
        if high:
            lead = mask_lead(data, at) & valid
            closing |= ~lead  # goes with the character whose byte it is
            high &= lead
            ellipses = 0
            while high and wanted != REPETITION:
                place = trailing_zeros(high)
                c, _ = decode(data, at + place)
                kind, bit = classes[c], np.uint64(place)
                letter |= np.uint64((kind & LETTER) != 0) << bit
                number |= np.uint64((kind & NUMBER) != 0) << bit
                digit |= np.uint64((kind & DIGIT) != 0) << bit
                lower |= np.uint64((kind & SMALL) != 0) << bit
                upper |= np.uint64((kind & CAPITAL) != 0) << bit
                terminal |= np.uint64((kind & TERMINAL) != 0) << bit
                closing |= np.uint64((kind & CLOSING) != 0) << bit
                ellipses += c == ELLIPSIS
                high &= high - ONE
            row[ELLIPSES] += ellipses
        row[CHARS] += count_ones(lead)
        row[FEEDS] += count_ones(feeds)
        row[SPACES] += count_ones(white & lead)
        if wanted & QUALITY:
            row[HASHES] += count_ones(mask_hash(data, at) & valid)
            counted = _ellipses(data, at, end, valid, counted, row)
        if wanted & PAGE:
            row[DIGITS] += count_ones(digit & valid)
            row[CAPITALS] += count_ones(upper & valid)
            row[BRACES] += count_ones(mask_brace(data, at) & valid)
            anchors = mask_anchor(data, at) & valid
            if anchors:
                _phrases(data, start, end, at, anchors, texts, facts, row)

        inside = ~white & valid
        reached = valid if at + STEP < end else low_bits(length + 1)  # the end of the text is one of a run, too
        borders = (inside ^ ((inside << ONE) | before)) & reached
        starts, ends = borders & inside, borders & ~inside
        before = (inside >> np.uint64(length - 1)) & ONE
        first, left = found, borders
        while left:
            bounds[found] = at + trailing_zeros(left)
            found += 1
            left &= left - ONE
        if wanted & QUALITY:
            through, letters = _carry(starts, inside & ~letter, letters, length)
            row[LETTERLESS] += count_ones(through & ends)
            through, numbers = _carry(starts, inside & ~(letter | number), numbers, length)
            symbols = through & ends
            row[SYMBOLS] += count_ones(symbols)
            while symbols:
                border = first + count_ones(borders & ((symbols & (ZERO - symbols)) - ONE))
                row[SYMBOL_CHARS] += count_chars(data, bounds[border - 1], bounds[border])
                symbols &= symbols - ONE
        if wanted & PAGE:
            through, smalls = _carry(starts, inside & ~lower, smalls, length)
            row[CAPITAL_WORDS] += count_ones(through & ends)
            through, capitals = _carry(starts, inside & ~(lower | upper), capitals, length)
            row[CAPITAL_WORDS] -= count_ones(through & ends)
            # from a mark through what closes to the end of the run, and on to the next one before a line feed
            through, closed = _carry((terminal & inside) << ONE, closing & inside, closed, length)
            through, gaps = _carry(through & ends, white & ~feeds & valid, gaps, length)
            row[SENTENCES] += count_ones(through & starts)
    row[RUNS] = found >> 1
