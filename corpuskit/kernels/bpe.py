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

Array = npt.NDArray[Any]

MULTIPLIER = 0x9E3779B97F4A7C15


@njit(cache=True, nogil=True)
def _grown(values: Array, least: int) -> Array:
    wider = np.empty(max(least, 2 * len(values)), values.dtype)
    wider[: len(values)] = values
    return wider


@njit(cache=True, nogil=True)
def _slot(keys: Array, key: Any) -> Any:
    """Where a pair is, or will be, in an open table."""
    place = (np.uint64(key) * np.uint64(MULTIPLIER)) >> np.uint64(20)
    at = np.int64(place & np.uint64(len(keys) - 1))
    while keys[at] != -1 and keys[at] != key:
        at = (at + 1) & (len(keys) - 1)
    return at


@njit(cache=True, nogil=True)
def _before(count: Array, pair: Array, one: Any, other: Any) -> Any:
    """Whether entry `one` goes before entry `other`."""
    return count[one] > count[other] or (count[one] == count[other] and pair[one] < pair[other])


@njit(cache=True, nogil=True)
def _push(heap: Array, size: int, count: Array, pair: Array, entry: Any) -> None:
    at = size
    heap[at] = entry
    while at and _before(count, pair, heap[at], heap[(at - 1) >> 1]):
        above = (at - 1) >> 1
        heap[at], heap[above] = heap[above], heap[at]
        at = above


@njit(cache=True, nogil=True)
def _pop(heap: Array, size: int, count: Array, pair: Array) -> Any:
    """Take the first entry of a heap of `size`; the heap is one shorter then."""
    top = heap[0]
    size -= 1
    heap[0] = heap[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            return top
        if below + 1 < size and _before(count, pair, heap[below + 1], heap[below]):
            below += 1
        if not _before(count, pair, heap[below], heap[at]):
            return top
        heap[at], heap[below] = heap[below], heap[at]
        at = below


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
    words = len(ends)
    lengths = np.empty(words, np.int64)
    begins = np.empty(words, np.int64)
    for w in range(words):
        begins[w] = ends[w - 1] if w else 0
        lengths[w] = ends[w] - begins[w]
    keys = np.full(1 << 16, -1, np.int64)
    values = np.empty(1 << 16, np.int64)
    key_of, total = np.empty(1 << 15, np.int64), np.empty(1 << 15, np.int64)
    head, last = np.empty(1 << 15, np.int64), np.empty(1 << 15, np.int64)
    pairs = 0
    node_word, node_next = np.empty(1 << 16, np.int32), np.empty(1 << 16, np.int64)
    nodes = 0
    entry_count, entry_key = np.empty(1 << 15, np.int64), np.empty(1 << 15, np.int64)
    entry_pair, entry_head = np.empty(1 << 15, np.int64), np.empty(1 << 15, np.int64)
    entries = 0
    heap, heaped = np.empty(1 << 15, np.int64), 0
    touched, many = np.empty(1 << 12, np.int64), 0
    changed_key, changed_by = np.empty(len(symbols), np.int64), np.empty(len(symbols), np.int64)
    changed_word = np.empty(len(symbols), np.int64)
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
            for w in range(words):
                for i in range(begins[w], begins[w] + lengths[w] - 1):
                    changed_key[changes] = (np.int64(symbols[i]) << 32) | np.int64(symbols[i + 1])
                    changed_by[changes], changed_word[changes] = weights[w], w
                    changes += 1
            first = False
        else:
            if tokens >= vocab_size or not heaped:
                break
            entry = _pop(heap, heaped, entry_count, entry_key)
            heaped -= 1
            now = total[entry_pair[entry]]
            if entry_count[entry] != now:
                entry_count[entry] = now
                _push(heap, heaped, entry_count, entry_key, entry)
                heaped += 1
                continue
            if now < 1 or now < least:
                break
            a, b = np.int32(entry_key[entry] >> 32), np.int32(entry_key[entry] & 0xFFFFFFFF)
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
            node = entry_head[entry]
            while node != -1:
                w = int(node_word[node])
                node = node_next[node]
                begin, length = begins[w], lengths[w]
                if changes + 4 * length > len(changed_key):
                    room = changes + 4 * length
                    changed_key, changed_by = _grown(changed_key, room), _grown(changed_by, room)
                    changed_word = _grown(changed_word, room)
                # what was before is at [0, to), what is still to be looked at from `at` on
                at = begin
                to = begin
                end = begin + length
                while at < end:
                    if at + 1 < end and symbols[at] == a and symbols[at + 1] == b:
                        if to > begin:
                            before = np.int64(symbols[to - 1]) << 32
                            changed_key[changes], changed_by[changes] = before | np.int64(a), -weights[w]
                            changed_key[changes + 1], changed_by[changes + 1] = before | np.int64(new), weights[w]
                            changed_word[changes] = changed_word[changes + 1] = w
                            changes += 2
                        if at + 2 < end:
                            after = np.int64(symbols[at + 2])
                            changed_key[changes], changed_by[changes] = (np.int64(b) << 32) | after, -weights[w]
                            following = (np.int64(new) << 32) | after
                            changed_key[changes + 1], changed_by[changes + 1] = following, weights[w]
                            changed_word[changes] = changed_word[changes + 1] = w
                            changes += 2
                        symbols[to] = new
                        at += 2
                    else:
                        symbols[to] = symbols[at]
                        at += 1
                    to += 1
                lengths[w] = to - begin
        many = 0
        for c in range(changes):
            key = changed_key[c]
            at = _slot(keys, key)
            if keys[at] == -1:
                if pairs == len(key_of):
                    key_of, total, head, last = _grown(key_of, 0), _grown(total, 0), _grown(head, 0), _grown(last, 0)
                    keys, values = np.full(4 * len(key_of), -1, np.int64), np.empty(4 * len(key_of), np.int64)
                    for p in range(pairs):
                        again = _slot(keys, key_of[p])
                        keys[again], values[again] = key_of[p], p
                    at = _slot(keys, key)
                keys[at], values[at] = key, pairs
                key_of[pairs], total[pairs], head[pairs], last[pairs] = key, 0, -1, -1
                pairs += 1
            pair = values[at]
            total[pair] += changed_by[c]
            if changed_by[c] > 0:
                if head[pair] == -1:
                    if many == len(touched):
                        touched = _grown(touched, 0)
                    touched[many] = pair
                    many += 1
                elif last[pair] == changed_word[c]:
                    continue
                if nodes == len(node_word):
                    node_word, node_next = _grown(node_word, 0), _grown(node_next, 0)
                node_word[nodes], node_next[nodes] = changed_word[c], head[pair]
                head[pair], last[pair] = nodes, changed_word[c]
                nodes += 1
        for t in range(many):
            pair = touched[t]
            if total[pair] > 0:
                if entries == len(entry_count):
                    entry_count, entry_key = _grown(entry_count, 0), _grown(entry_key, 0)
                    entry_pair, entry_head = _grown(entry_pair, 0), _grown(entry_head, 0)
                    heap = _grown(heap, 0)
                entry_count[entries], entry_key[entries] = total[pair], key_of[pair]
                entry_pair[entries], entry_head[entries] = pair, head[pair]
                _push(heap, heaped, entry_count, entry_key, entries)
                heaped += 1
                entries += 1
            head[pair] = -1
    return left[:found], right[:found], made[:found], content[:used], starts[:tokens], sizes[:tokens]
