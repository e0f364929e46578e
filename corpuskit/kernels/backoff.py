"""Scores of texts under a backoff n-gram model of an ARPA file, as kenlm would give them.

All n-grams are in one hash table, by a key that begins with the last word's hash and takes in the words before it, so
that the longest n-gram known is found by lengthening. An entry is two uint64: the key, and the log10 probability and
backoff as float32. A backoff of -0.0 says that no longer n-gram begins so: it is no context (as in kenlm).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from corpuskit.kernels.hashing import hash_piece
from corpuskit.kernels.intrinsics import fold_multiply, prefetch
from corpuskit.kernels.lines import find_feed

HIGHEST = 6
"""Words of the longest n-grams."""

AHEAD = 16
"""Words whose n-grams are asked for at a time."""

FREE = np.uint64(0)
"""The key of an entry that is free: no n-gram has it, for all practical purposes."""

_PRIME, _OTHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1342543DE82EF95)
_NO_CONTEXT = np.uint32(0x80000000)
_FOLD = np.uint64(32)
_TAB, _FEED, _RETURN, _BLANK, _MINUS, _DOT = 9, 10, 13, 32, 45, 46


@njit(nogil=True, cache=True, inline="always")
def _longer(key: Any, before: Any) -> Any:
    """The key of an n-gram with one more word before it."""
    return fold_multiply(key ^ _PRIME, before ^ _OTHER)


@njit(nogil=True, cache=True, inline="always")
def _home(places: Any, key: Any) -> Any:
    return np.int64(((key >> _FOLD) * np.uint64(places)) >> _FOLD)


@njit(nogil=True, cache=True, inline="always")
def _slot(entries: Any, key: Any) -> Any:
    """Where a key is, or the free place that it belongs to; entries: uint64[2 * places]."""
    places = len(entries) >> 1
    at: Any = _home(places, key)
    while entries[2 * at] != key and entries[2 * at] != FREE:
        at += 1
        if at == places:
            at = 0
    return at


@njit(nogil=True, cache=True, inline="always")
def _is_space(byte: Any) -> Any:
    return byte == _BLANK or _TAB <= byte <= _RETURN or byte == 0


@njit(nogil=True, cache=True)
def arpa_number(data: Any, at: Any) -> Any:
    """A decimal number of up to 18 digits, without an exponent, and where it ends; of another form: where it begins."""
    start = at
    negative = data[at] == _MINUS
    at += 1 if negative else 0
    first = at
    value, scale = 0, 0
    while 48 <= data[at] <= 57 or (data[at] == _DOT and scale == 0):
        if data[at] == _DOT:
            scale = 1
        else:
            value = value * 10 + (data[at] - 48)
            scale *= 10
        at += 1
    if not 0 < at - first - (scale > 0) <= 18:  # more would not fit into 64 bits
        return 0.0, start
    found = value / max(scale, 1)
    return (-found if negative else found), at


@njit(nogil=True, cache=True, inline="always")
def word_end(data: Any, at: Any) -> Any:
    """Where a word of an ARPA file ends."""
    while not (data[at] == _BLANK or data[at] == _TAB or data[at] == _FEED or data[at] == _RETURN or data[at] == 0):
        at += 1
    return at


@njit(nogil=True, cache=True)
def enter(data: Any, end: Any, n: Any, count: Any, order: Any, entries: Any) -> Any:
    """Enter n-grams of an ARPA file, orders from 1 on; the lines are as lmplz writes them.

    Args:
        data: uint8, lines up to `end`, and 64 bytes more, the first of which is 0.
        n: words of an n-gram. count: lines at most. order: of the model.
        entries: uint64[2 * places], written.

    Returns:
        (where it ends, lines), or (-1, lines) at a line of another form, at an n-gram that stands twice, and at one
        without its first or its last word that the model does not have.
    """
    floats, bits = entries.view(np.float32), entries.view(np.uint32)
    words = np.zeros(n, np.uint64)
    at = 0
    for done in range(count):
        if at == end:
            return at, done
        start = at
        chance, at = arpa_number(data, at)
        if at == start or chance > 0 or data[at] != _TAB:
            return -1, done
        for k in range(n):
            start = at + 1
            at = word_end(data, start)
            if at == start or (k < n - 1 and data[at] != _BLANK):
                return -1, done
            words[k] = hash_piece(data, start, at - start)
        backoff = 0.0
        if data[at] == _TAB and n < order:
            start = at + 1
            backoff, at = arpa_number(data, start)
            if at == start:
                return -1, done
        if data[at] != _FEED:
            return -1, done
        at += 1
        key, context, shorter = words[n - 1], words[max(n - 2, 0)], words[n - 1]
        for k in range(n - 2, -1, -1):
            shorter = key
            key = _longer(key, words[k])
            if k < n - 2:
                context = _longer(context, words[k])
        slot = _slot(entries, key)
        if entries[2 * slot] != FREE or (n > 1 and entries[2 * _slot(entries, shorter)] == FREE):
            return -1, done
        entries[2 * slot] = key
        floats[4 * slot + 2] = chance
        floats[4 * slot + 3] = backoff
        if backoff == 0:
            bits[4 * slot + 3] = _NO_CONTEXT
        if n > 1:
            slot = _slot(entries, context)
            if entries[2 * slot] == FREE:
                return -1, done
            if bits[4 * slot + 3] == _NO_CONTEXT:
                bits[4 * slot + 3] = 0
    return at, count


@njit(nogil=True, cache=True)
def knows(entries: Any, word: Any) -> Any:
    """Whether a word, by its hash, is in the model."""
    return entries[2 * _slot(entries, word)] != FREE


@njit(nogil=True, cache=True, inline="always")
def _score(
    entries: Any, floats: Any, bits: Any, word: Any, unknown: Any, context: Any, backoffs: Any, size: Any
) -> Any:
    """The log10 probability of a word, and the new length of its context.

    Args:
        word, unknown: hashes of the word and of `<unk>`.
        context: uint64, hashes of the words before, the last first; written. backoffs: float64, of the contexts of 1, 2
            and more words; written. size: how many of these there are.
    """
    slot = _slot(entries, word)
    if entries[2 * slot] == FREE:
        word = unknown
        slot = _slot(entries, word)
    chance = np.float64(floats[4 * slot + 2])
    key, matched = word, 1
    left = 0 if bits[4 * slot + 3] == _NO_CONTEXT else 1
    here = np.float64(floats[4 * slot + 3])
    while matched <= size:
        key = _longer(key, context[matched - 1])
        slot = _slot(entries, key)
        if entries[2 * slot] == FREE:
            break
        chance = np.float64(floats[4 * slot + 2])
        # what is left of the contexts before is read below: they are at `matched - 1` and behind
        backoffs[matched - 1], here = here, np.float64(floats[4 * slot + 3])
        matched += 1
        if bits[4 * slot + 3] != _NO_CONTEXT:
            left = matched
    for k in range(matched - 1, size):
        chance += backoffs[k]
    backoffs[matched - 1] = here
    for k in range(min(left, len(context)) - 1, 0, -1):
        context[k] = context[k - 1]
    context[0] = word
    return chance, min(left, len(context))


@njit(nogil=True, cache=True, inline="always")
def _look_ahead(data: Any, at: Any, end: Any, entries: Any, line: Any, before: Any) -> Any:
    """Hash the next words of a line and ask memory for their n-grams, so that `_score` need not wait for one by one.

    Args:
        line: uint64[before + AHEAD], hashes: `before` words, and those that are read; 0 where there is none before.

    Returns:
        (how many words were read, where the last one ends).
    """
    places = len(entries) >> 1
    found = 0
    while found < AHEAD:
        while at < end and data[at] != _FEED and _is_space(data[at]):
            at += 1
        if at >= end or data[at] == _FEED:
            break
        start = at
        while at < end and not _is_space(data[at]):
            at += 1
        line[before + found] = hash_piece(data, start, at - start)
        key = line[before + found]
        prefetch(entries, 2 * _home(places, key))
        for k in range(before + found - 1, found - 1, -1):
            if line[k] == 0:
                break
            key = _longer(key, line[k])
            prefetch(entries, 2 * _home(places, key))
        found += 1
    return found, at


@njit(nogil=True, cache=True)
def score(
    data: Any, offsets: Any, entries: Any, order: Any, specials: Any, window: Any, totals: Any, tokens: Any, runs: Any,
    ends: Any,
) -> None:  # fmt: skip
    """Score documents: each line with a word is a sentence from `<s>` to `</s>`, in words between ASCII white space.

    Args:
        data, offsets: UTF-8, uint8 with 64 bytes more, and int64[n + 1].
        entries: of `enter`. order: of the model. specials: uint64[3], hashes of `<unk>`, `<s>` and `</s>`.
        window: words of a run, or 0.
        totals, tokens: float64[n] and int64[n], written: sums of log10 probabilities, words and ends of lines.
        runs: float64[r, 2], written: sum and tokens of each run. ends: int64[n + 1], written: where a document's runs
            begin and end; the end of a line belongs to its last word.
    """
    floats, bits = entries.view(np.float32), entries.view(np.uint32)
    before = max(order - 1, 1)
    context, backoffs, line = np.zeros(before, np.uint64), np.zeros(HIGHEST + 1), np.zeros(before + AHEAD, np.uint64)
    run = 0
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        total, count = 0.0, 0
        run_total, run_count, run_words = 0.0, 0, 0
        while at < end:
            words, size = 0, 0
            waiting = False  # a run is full, but for the end of the line that its last word may have
            line[: before - 1], line[before - 1] = 0, specials[1]
            while True:
                found, at = _look_ahead(data, at, end, entries, line, before)
                if found == 0:
                    break
                if words == 0:
                    slot = _slot(entries, specials[1])
                    context[0], backoffs[0] = specials[1], np.float64(floats[4 * slot + 3])
                    size = 0 if bits[4 * slot + 3] == _NO_CONTEXT else 1
                for word in line[before : before + found]:
                    if waiting:
                        runs[run, 0], runs[run, 1] = run_total, run_count
                        run, run_total, run_count, run_words, waiting = run + 1, 0.0, 0, 0, False
                    chance, size = _score(entries, floats, bits, word, specials[0], context, backoffs, size)
                    words += 1
                    total, count = total + chance, count + 1
                    run_total, run_count, run_words = run_total + chance, run_count + 1, run_words + 1
                    waiting = run_words == window
                line[:before] = line[found : found + before]
            at += 1
            if words:
                chance, _ = _score(entries, floats, bits, specials[2], specials[0], context, backoffs, size)
                total, count = total + chance, count + 1
                run_total, run_count = run_total + chance, run_count + 1
            if waiting:
                runs[run, 0], runs[run, 1] = run_total, run_count
                run, run_total, run_count, run_words = run + 1, 0.0, 0, 0
        if window and run_words:
            runs[run, 0], runs[run, 1] = run_total, run_count
            run += 1
        totals[row], tokens[row] = total, count
        ends[row + 1] = run


@njit(nogil=True, cache=True)
def count_tokens(data: Any, offsets: Any, tokens: Any) -> None:
    """Count what `score` scores: words, and ends of lines with a word; int64[n], written."""
    for row in range(len(offsets) - 1):
        at, end, count = offsets[row], offsets[row + 1], 0
        while at < end:
            stop = find_feed(data, at, end)
            words, before = 0, True
            for i in range(at, stop):
                space = (data[i] == _BLANK) | ((data[i] >= _TAB) & (data[i] <= _RETURN)) | (data[i] == 0)
                words += before & ~space
                before = space
            count += words + (words > 0)
            at = stop + 1
        tokens[row] = count
