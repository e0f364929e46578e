r"""Counts behind the rules on repetition: paragraphs and n-grams of words that a document has more than once.

Words are what `str.split()` gives, paragraphs the pieces of `re.split("\n{2,}", text.strip())`. Everything is exact but
for the 64-bit hashes that stand for words and paragraphs. Words become numbers in a table of the document; an n-gram is
the number of the (n-1)-gram that it begins with and its last word, and only a place whose (n-1)-gram occurs again can
have an n-gram that does, so that each level looks at fewer places than the one before.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from corpuskit.kernels.hashing import K1, hash_piece
from corpuskit.kernels.lines import find_feed
from corpuskit.kernels.words import count_chars, hash_word, place_of, table_bits

TOP = (2, 3, 4)
"""Lengths of n-grams of which the most frequent one counts."""

DUPLICATE = (5, 6, 7, 8, 9, 10)
"""Lengths of n-grams of which every repetition counts."""

GRAMS = (
    *(f"top_{n}gram_chars" for n in TOP),
    *(f"duplicate_{n}gram_chars" for n in DUPLICATE),
    *(f"top_{n}gram_times" for n in TOP),
    *(f"recurring_{n}gram_chars" for n in DUPLICATE),
    *(f"{n}gram_chars" for n in DUPLICATE),
)
"""What `count_grams` counts.

Characters of a top n-gram count the blanks in it, those of other ones do not. Duplicate n-grams stand further up
already, each word once; recurring ones occur more than once, all of them; the last are of all n-grams.
"""

TIMES, RECURRING, EVERY = (GRAMS.index(name) for name in ("top_2gram_times", "recurring_5gram_chars", "5gram_chars"))
FIRST_TOP, LAST_TOP, LAST = TOP[0], TOP[-1], DUPLICATE[-1]
FEED = 10

LOGS = np.array([n * math.log(n or 1) for n in range(256)])
"""n ln n: the logarithm of a small number is looked up."""


@njit(nogil=True, cache=True)
def count_paragraphs(data: Any, start: Any, end: Any, feeds: Any, table: Any, keys: Any) -> Any:
    """(paragraphs, those that stand above already, characters of these) of a text without white space at its ends."""
    bits = table_bits(min(feeds, (end - start) >> 1) + 1)
    shift, mask = np.uint64(64 - bits), (1 << bits) - 1
    table[: 1 << bits] = 0
    paragraphs = known = chars = 0
    at = begin = start
    while begin < end:
        at = find_feed(data, at, end)
        if at < end and data[at + 1] != FEED:
            at += 1
            continue
        paragraphs += 1
        key = hash_piece(data, begin, at - begin)
        number = place_of(key, key >> shift, mask, table, keys, known)
        if number == known:
            known += 1
        else:
            chars += count_chars(data, begin, at)
        while at < end and data[at] == FEED:
            at += 1
        begin = at
    return paragraphs, paragraphs - known, chars


@njit(nogil=True, cache=True)
def number_words(
    data: Any, bounds: Any, words: Any, wide: Any, masks: Any, table: Any, keys: Any, times: Any, ids: Any,
    upto: Any,
) -> Any:  # fmt: skip
    """Number the words in the order in which they first occur: (how many differ, entropy of their frequencies in nats).

    Args:
        masks: `LOW_BYTES`.
        times: gets how often each occurs. ids: gets the number of each word of the text.
        upto: gets the characters of all words before each.
    """
    bits = table_bits(words)
    shift, mask = np.uint64(64 - bits), (1 << bits) - 1
    table[: 1 << bits] = 0
    known = 0
    chars = 0
    for word in range(words):
        begin, end = bounds[2 * word], bounds[2 * word + 1]
        key = hash_word(data, begin, end - begin, masks)
        times[known] = 0
        number = place_of(key, key >> shift, mask, table, keys, known)
        known += number == known
        times[number] += 1
        ids[word] = number
        upto[word] = chars
        chars += count_chars(data, begin, end) if wide else end - begin
    upto[words] = chars
    total = 0.0
    for number in range(known):
        often = times[number]
        total += LOGS[often] if often < len(LOGS) else often * math.log(often)
    return known, math.log(words) - total / words if words else 0.0


@njit(nogil=True, cache=True)
def _all_gram_chars(words: Any, n: Any, upto: Any) -> Any:
    """Characters of the words in all n-grams: sums of `upto[place + n] - upto[place]`, in which most terms cancel."""
    chars = 0
    if words >= n:
        for k in range(n):
            chars += upto[words - k] - upto[k]
    return chars


@njit(nogil=True, cache=True, inline="always")
def _pair_up(count: Any, ids: Any, times: Any, places: Any, pairs: Any) -> Any:
    """Write the pairs of neighbours that both occur again, and their places; how many there are.

    Neither can be foreseen, so that nothing branches on them.
    """
    found = 0
    for at in range(count):
        place, first, second = places[at], ids[at], ids[at + 1]
        pairs[found] = (np.int64(first) << 32) | np.int64(second)
        both = (times[first] != 1) & (times[second] != 1) & (places[at + 1] == place + 1)
        places[found] = place
        found += both
    return found


@njit(nogil=True, cache=True, inline="always")
def _duplicate_chars(n: Any, count: Any, upto: Any, times: Any, ids: Any, places: Any) -> Any:
    """Characters of duplicate n-grams and of recurring ones; `times` of what was met becomes negative."""
    after = chars = recurring = 0
    for at in range(count):
        often = times[ids[at]]
        if often == 1:
            continue
        place = places[at]
        recurring += upto[place + n] - upto[place]
        if place >= after:
            if often < 0:
                after = place + n
                chars += upto[after] - upto[place]
            else:
                times[ids[at]] = -often
    return chars, recurring


@njit(nogil=True, cache=True)
def count_grams(
    words: Any, upto: Any, table: Any, keys: Any, times: Any, ids: Any, places: Any, firsts: Any, pairs: Any, row: Any
) -> None:
    """Write the counts of `GRAMS` to `row`.

    Args:
        ids, times: the number of each word, and how often each number occurs; overwritten.
        places, firsts, pairs: room for as many numbers as there are words.
    """
    for word in range(words):
        places[word] = word
    count = words
    for n in range(FIRST_TOP, LAST + 1):
        places[count], ids[count] = -1, 0  # behind the last
        count = _pair_up(count, ids, times, places, pairs)
        bits = table_bits(count)
        shift, mask = np.uint64(64 - bits), (1 << bits) - 1
        table[: 1 << bits] = 0
        known = 0
        for at in range(count):
            key = np.uint64(pairs[at])
            times[known] = 0
            firsts[known] = places[at]
            number = place_of(key, (key * K1) >> shift, mask, table, keys, known)
            known += number == known
            times[number] += 1
            ids[at] = number
        if n > LAST_TOP:
            chars, recurring = _duplicate_chars(n, count, upto, times, ids, places)
            row[n - FIRST_TOP] = chars
            row[RECURRING + n - LAST_TOP - 1] = recurring
            row[EVERY + n - LAST_TOP - 1] = _all_gram_chars(words, n, upto)
        elif words >= n:
            most, begin = 1, 0  # of several that are as frequent, the first
            for number in range(known):
                if times[number] > most:
                    most, begin = times[number], firsts[number]
            row[n - FIRST_TOP] = (upto[begin + n] - upto[begin] + n - 1) * most
            row[TIMES + n - FIRST_TOP] = most
