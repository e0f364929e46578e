"""Byte-pair merges of counted words (Sennrich et al. 2016), in the order in which `tokenizers` finds them.

The most frequent pair is merged first, of equals the one of the smaller numbers. A pair waits in a heap with the count
and the words that it had when it came there, and comes back with its count of now if that has changed: so it is in the
library, and so which words an entry merges must be as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.kernels.intrinsics import prefetch

Array = npt.NDArray[Any]

MULTIPLIER = 0x9E3779B97F4A7C15

AHEAD = 16
"""Rows that memory is asked for before they are used."""


@njit(cache=True, nogil=True)
def _grown(values: Array, least: int) -> Array:
    wider = np.empty(max(least, 2 * len(values)), values.dtype)
    wider[: len(values)] = values
    return wider


@njit(cache=True, nogil=True)
def _grown_rows(rows: Array) -> Array:
    wider = np.empty((2 * len(rows), rows.shape[1]), rows.dtype)
    wider[: len(rows)] = rows
    return wider


@njit(cache=True, nogil=True)
def _home(slots: Array, key: Any) -> Any:
    place = (np.uint64(key) * np.uint64(MULTIPLIER)) >> np.uint64(20)
    return np.int64(place & np.uint64(len(slots) - 1))


@njit(cache=True, nogil=True)
def _slot(slots: Array, key: Any) -> Any:
    """Where a pair is, or will be, in an open table of (pair, its number)."""
    at = _home(slots, key)
    while slots[at, 0] != -1 and slots[at, 0] != key:
        at = (at + 1) & (len(slots) - 1)
    return at


@njit(cache=True, nogil=True)
def _before(heap: Array, at: Any, count: Any, key: Any) -> Any:
    """Whether the entry at a place of the heap goes before one of this count and pair."""
    return heap[at, 0] > count or (heap[at, 0] == count and heap[at, 1] < key)


@njit(cache=True, nogil=True)
def _push(heap: Array, size: int, count: Any, key: Any, entry: Any) -> None:
    at = size
    while at and not _before(heap, (at - 1) >> 1, count, key):
        above = (at - 1) >> 1
        if heap[above, 0] == count and heap[above, 1] == key:
            break
        heap[at, 0], heap[at, 1], heap[at, 2] = heap[above, 0], heap[above, 1], heap[above, 2]
        at = above
    heap[at, 0], heap[at, 1], heap[at, 2] = count, key, entry


@njit(cache=True, nogil=True)
def _pop(heap: Array, size: int) -> Any:
    """Take the first entry of a heap of `size`: (its count, its number). The heap is one shorter then."""
    first, top = heap[0, 0], heap[0, 2]
    size -= 1
    count, key, entry = heap[size, 0], heap[size, 1], heap[size, 2]
    at = 0
    while True:
        below = 2 * at + 1
        if below + 1 < size and _before(heap, below + 1, heap[below, 0], heap[below, 1]):
            below += 1
        if below >= size or not _before(heap, below, count, key):
            break
        heap[at, 0], heap[at, 1], heap[at, 2] = heap[below, 0], heap[below, 1], heap[below, 2]
        at = below
    heap[at, 0], heap[at, 1], heap[at, 2] = count, key, entry
    return first, top


@njit(cache=True, nogil=True)
def _content_slot(table: Array, content: Array, starts: Array, sizes: Array, text: Array) -> Any:
    """Where a token of these bytes is, or will be, in the open table of tokens by their bytes."""
    found = np.uint64(len(text))
    for byte in text:
        found = (found ^ np.uint64(byte)) * np.uint64(MULTIPLIER)
        found ^= found >> np.uint64(29)
    at = np.int64(found & np.uint64(len(table) - 1))
    while table[at] != -1:
        token = table[at]
        if sizes[token] == len(text):
            same = True
            for i in range(len(text)):
                if content[starts[token] + i] != text[i]:
                    same = False
                    break
            if same:
                break
        at = (at + 1) & (len(table) - 1)
    return at


@njit(cache=True, nogil=True)
def _merged(symbols: Array, words: Array, w: Any, a: Any, b: Any, new: Any, changed: Array, changes: Any) -> Any:
    """Put `new` for each `a`, `b` of a word and write down what that changes; returns how many changes there are."""
    begin, weight = words[w, 0], words[w, 2]
    end = begin + words[w, 1]
    # what was before is at [begin, to), what is still to be looked at from `at` on
    at = to = begin
    while at < end:
        if at + 1 < end and symbols[at] == a and symbols[at + 1] == b:
            if to > begin:
                before = np.int64(symbols[to - 1]) << 32
                for key, by in ((before | np.int64(a), -weight), (before | np.int64(new), weight)):
                    changed[changes, 0], changed[changes, 1], changed[changes, 2] = key, by, w
                    changes += 1
            if at + 2 < end:
                after = np.int64(symbols[at + 2])
                for key, by in ((np.int64(b) << 32 | after, -weight), (np.int64(new) << 32 | after, weight)):
                    changed[changes, 0], changed[changes, 1], changed[changes, 2] = key, by, w
                    changes += 1
            symbols[to] = new
            at += 2
        else:
            symbols[to] = symbols[at]
            at += 1
        to += 1
    words[w, 1] = to - begin
    return changes


@njit(cache=True, nogil=True)
def merges(
    symbols: Array,
    ends: Array,
    weights: Array,
    content: Array,
    starts: Array,
    sizes: Array,
    vocab_size: int,
    least: int,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Find merges until there are `vocab_size` tokens, or no pair occurs `least` times.

    Args:
        symbols: int32[s], token numbers of the words one after the other; they are changed.
        ends: int64[w], where each word ends. weights: int64[w], how often it occurs.
        content: uint8[], bytes of the tokens there are; starts, sizes: int64[t], of each.

    Returns:
        (left, right, made: int32[m] each, in the order of the merges; and of all tokens, content, starts, sizes).
    """
    # all of this is larger than caches: what is used together stands in one row, and is asked for some rows ahead
    words = np.empty((len(ends), 3), np.int64)  # where it begins, its length, how often it occurs
    for w in range(len(ends)):
        begin = ends[w - 1] if w else 0
        words[w, 0], words[w, 1], words[w, 2] = begin, ends[w] - begin, weights[w]
    near = np.empty(AHEAD, np.int64)
    slots = np.full((1 << 16, 2), -1, np.int64)  # open table: pair, its number
    pair_of, pairs = np.empty((1 << 15, 4), np.int64), 0  # pair, count, first node, word of that
    node_of, nodes = np.empty((1 << 16, 2), np.int64), 0  # word, next node
    entry_of, entries = np.empty((1 << 15, 2), np.int64), 0  # number of the pair, first node
    heap, heaped = np.empty((1 << 15, 3), np.int64), 0  # count, pair, number of the entry
    touched, many = np.empty(1 << 12, np.int64), 0
    changed = np.empty((len(symbols), 3), np.int64)  # pair, by how much, word
    table = np.full(1 << 10, -1, np.int64)
    while len(table) < 4 * max(vocab_size, len(starts)):
        table = np.full(2 * len(table), -1, np.int64)
    tokens = len(starts)
    for token in range(tokens):
        text = content[starts[token] : starts[token] + sizes[token]]
        table[_content_slot(table, content, starts, sizes, text)] = token
    used: Any = len(content)
    left, right, made = np.empty(vocab_size, np.int32), np.empty(vocab_size, np.int32), np.empty(vocab_size, np.int32)
    found = 0
    first = True
    while True:
        changes = 0
        if first:  # all pairs of all words are new
            for w in range(len(words)):
                for i in range(words[w, 0], words[w, 0] + words[w, 1] - 1):
                    key = (np.int64(symbols[i]) << 32) | np.int64(symbols[i + 1])
                    changed[changes, 0], changed[changes, 1], changed[changes, 2] = key, words[w, 2], w
                    changes += 1
            first = False
        else:
            if tokens >= vocab_size or not heaped:
                break
            count, entry = _pop(heap, heaped)
            heaped -= 1
            key, now = pair_of[entry_of[entry, 0], 0], pair_of[entry_of[entry, 0], 1]
            if count != now:
                _push(heap, heaped, now, key, entry)
                heaped += 1
                continue
            if now < 1 or now < least:
                break
            a, b = np.int32(key >> 32), np.int32(key & 0xFFFFFFFF)
            size = sizes[a] + sizes[b]
            text = np.empty(size, np.uint8)
            text[: sizes[a]] = content[starts[a] : starts[a] + sizes[a]]
            text[sizes[a] :] = content[starts[b] : starts[b] + sizes[b]]
            place = _content_slot(table, content, starts, sizes, text)
            if table[place] == -1:
                if tokens == len(starts):
                    starts, sizes = _grown(starts, vocab_size + 1), _grown(sizes, vocab_size + 1)
                if used + size > len(content):
                    content = _grown(content, used + size)
                content[used : used + size] = text
                starts[tokens], sizes[tokens] = used, size
                used += int(size)
                table[place] = tokens
                tokens += 1
            new = np.int32(table[place])
            if found == len(left):
                left, right, made = _grown(left, 0), _grown(right, 0), _grown(made, 0)
            left[found], right[found], made[found] = a, b, new
            found += 1
            node = entry_of[entry, 1]
            while node != -1:
                ahead = 0
                while node != -1 and ahead < AHEAD:
                    near[ahead], node = node_of[node, 0], node_of[node, 1]
                    prefetch(words, 3 * near[ahead])
                    ahead += 1
                for w in near[:ahead]:
                    prefetch(symbols, words[w, 0])
                for w in near[:ahead]:
                    while changes + 4 * words[w, 1] > len(changed):
                        changed = _grown_rows(changed)
                    changes = _merged(symbols, words, w, a, b, new, changed, changes)
        many = 0
        for c in range(changes):
            if c + AHEAD < changes:
                prefetch(slots, 2 * _home(slots, changed[c + AHEAD, 0]))
                prefetch(pair_of, 4 * slots[_home(slots, changed[c + AHEAD // 2, 0]), 1])
            key, by, w = changed[c, 0], changed[c, 1], changed[c, 2]
            at = _slot(slots, key)
            if slots[at, 0] == -1:
                if pairs == len(pair_of):
                    pair_of = _grown_rows(pair_of)
                    slots = np.full((4 * len(pair_of), 2), -1, np.int64)
                    for p in range(pairs):
                        again = _slot(slots, pair_of[p, 0])
                        slots[again, 0], slots[again, 1] = pair_of[p, 0], p
                    at = _slot(slots, key)
                slots[at, 0], slots[at, 1] = key, pairs
                pair_of[pairs, 0], pair_of[pairs, 1], pair_of[pairs, 2], pair_of[pairs, 3] = key, 0, -1, -1
                pairs += 1
            pair = pair_of[slots[at, 1]]
            pair[1] += by
            if by > 0:
                if pair[2] == -1:
                    if many == len(touched):
                        touched = _grown(touched, 0)
                    touched[many] = slots[at, 1]
                    many += 1
                elif pair[3] == w:
                    continue
                if nodes == len(node_of):
                    node_of = _grown_rows(node_of)
                node_of[nodes, 0], node_of[nodes, 1] = w, pair[2]
                pair[2], pair[3] = nodes, w
                nodes += 1
        for t in range(many):
            pair = pair_of[touched[t]]
            if pair[1] > 0:
                if entries == len(entry_of):
                    entry_of, heap = _grown_rows(entry_of), _grown_rows(heap)
                entry_of[entries, 0], entry_of[entries, 1] = touched[t], pair[2]
                _push(heap, heaped, pair[1], pair[0], entries)
                heaped += 1
                entries += 1
            pair[2] = -1
    return left[:found], right[:found], made[:found], content[:used], starts[:tokens], sizes[:tokens]
