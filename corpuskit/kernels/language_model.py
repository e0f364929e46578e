"""N-gram language models: words to numbers, keys of n-grams, counts of equal ones, sums of contexts, lines of ARPA.

`corpuskit.lm` says what is estimated and how; the plain Python twin of all of it is `tests/lm/plain_model.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

UNKNOWN, START, END, FIRST_WORD = 0, 1, 2, 3
"""Numbers of `<unk>`, `<s>` and `</s>`; words follow."""

NONE = 0xFFFFFFFF
"""The rank of no n-gram."""

PRIME, BASIS = np.uint64(0x100000001B3), np.uint64(0xCBF29CE484222325)
FOLD = np.uint64(32)

SENTENCES, WORDS, SPECIAL, BLANK = 0, 1, 2, 3
"""What `number_words` counts: sentences, their words, `<s>`, `</s>` and `<unk>` in the text, lines without a word."""


@njit(nogil=True, cache=True, inline="always")
def _is_space(byte: Any) -> Any:
    return byte == 32 or 9 <= byte <= 13 or byte == 0


@njit(nogil=True, cache=True)
def _slot(hashes: Any, numbers: Any, value: Any, data: Any, start: Any, end: Any, blob: Any, offsets: Any) -> Any:
    """Where a word is in the hash table, or the free place that it belongs to."""
    mask = len(hashes) - 1
    at = np.int64((value ^ (value >> FOLD)) & np.uint64(mask))
    while numbers[at] != NONE:
        if hashes[at] == value:
            known = offsets[numbers[at]]
            if offsets[numbers[at] + 1] - known == end - start:
                same = True
                for i in range(end - start):
                    if blob[known + i] != data[start + i]:
                        same = False
                        break
                if same:
                    return at
        at = (at + 1) & mask
    return at


@njit(nogil=True, cache=True)
def number_words(
    data: Any, texts: Any, hashes: Any, numbers: Any, blob: Any, offsets: Any, known: Any, tokens: Any, counted: Any
) -> Any:
    """Numbers of the words of texts, each line a sentence from `<s>` to `</s>`; words not seen before are entered.

    Args:
        data, texts: UTF-8 and int64[n + 1], where each text begins.
        hashes, numbers: the hash table; blob, offsets: the words; known: how many there are. There must be room.
        tokens: uint32, room for 3 * bytes.
        counted: int64[4], added to.

    Returns:
        (known, how many tokens).
    """
    count = 0
    for text in range(len(texts) - 1):
        at, end = texts[text], texts[text + 1]
        if at == end:
            counted[BLANK] += 1
        while at < end:
            words = 0
            while at < end and data[at] != 10:
                if _is_space(data[at]):
                    at += 1
                    continue
                start, value = at, BASIS
                while at < end and not _is_space(data[at]):
                    value = (value ^ np.uint64(data[at])) * PRIME
                    at += 1
                slot = _slot(hashes, numbers, value, data, start, at, blob, offsets)
                if numbers[slot] == NONE:
                    first = offsets[known]
                    for i in range(at - start):
                        blob[first + i] = data[start + i]
                    hashes[slot], numbers[slot] = value, known
                    known += 1
                    offsets[known] = first + at - start
                if numbers[slot] < FIRST_WORD:
                    counted[SPECIAL] += 1
                    continue
                if words == 0:
                    tokens[count] = START
                    count += 1
                tokens[count] = numbers[slot]
                count += 1
                words += 1
            at += 1
            if words:
                tokens[count] = END
                count += 1
                counted[SENTENCES] += 1
                counted[WORDS] += words
            else:
                counted[BLANK] += 1
    return known, count


@njit(nogil=True, cache=True)
def rehash(hashes: Any, numbers: Any, new_hashes: Any, new_numbers: Any) -> None:
    """Enter all words of a hash table in a larger one, whose numbers are all NONE."""
    mask = len(new_hashes) - 1
    for i in range(len(hashes)):
        if numbers[i] != NONE:
            value = hashes[i]
            at = np.int64((value ^ (value >> FOLD)) & np.uint64(mask))
            while new_numbers[at] != NONE:
                at = (at + 1) & mask
            new_hashes[at], new_numbers[at] = value, numbers[i]


@njit(nogil=True, cache=True)
def keys_of(tokens: Any, ranks: Any, back: Any, first: Any, bits: Any, keys: Any, payload: Any) -> Any:
    """Keys of the n-grams of order k that end in a block of tokens: the rank of their last k - 1 words, and the first.

    Args:
        tokens: uint32, the block and what is before it, `back` tokens.
        ranks: uint32, of the (k - 1)-grams that end at the block's tokens, and at the one before.
        back: k - 1. first: position of the block's first token. bits: of a word's number.
        keys, payload: uint64[block], written; the payload is the position and the rank of the first k - 1 words.

    Returns:
        How many there are.
    """
    count = 0
    for i in range(len(tokens) - back):
        rank = ranks[i + 1]
        # what begins with <s> is no longer: there is nothing before it
        if rank == NONE or tokens[i + 1] == START:
            continue
        keys[count] = (np.uint64(rank) << np.uint64(bits)) | np.uint64(tokens[i])
        payload[count] = (np.uint64(first + i) << np.uint64(32)) | np.uint64(ranks[i])
        count += 1
    return count


@njit(nogil=True, cache=True)
def group(keys: Any, payload: Any, rank: Any, key: Any, found: Any, contexts: Any, counts: Any, placed: Any) -> Any:
    """Count equal neighbours among sorted keys.

    Args:
        keys, payload: of `keys_of`, sorted.
        rank, key: of the n-gram that the block before ended in, -1 if there is none; its context and count so far are
            the first of `contexts` and `counts`.
        found, contexts, counts: uint64, uint32 and uint32 [n + 1], written: one for each distinct key.
        placed: uint64[n], written: position and rank.

    Returns:
        How many distinct keys there are, with the one of the block before.
    """
    at = -1
    if rank >= 0:
        at = 0
        found[0] = key
    base = max(rank, 0)
    for i in range(len(keys)):
        if at < 0 or keys[i] != found[at]:
            at += 1
            found[at] = keys[i]
            contexts[at] = np.uint32(payload[i] & np.uint64(0xFFFFFFFF))
            counts[at] = 0
        counts[at] += 1
        placed[i] = (payload[i] & np.uint64(0xFFFFFFFF00000000)) | np.uint64(base + at)
    return at + 1


@njit(nogil=True, cache=True)
def place(placed: Any, first: Any, ranks: Any) -> None:
    """Write ranks to their positions, of which `ranks` holds those from `first` on."""
    for i in range(len(placed)):
        ranks[np.int64(placed[i] >> np.uint64(32)) - first] = np.uint32(placed[i] & np.uint64(0xFFFFFFFF))


@njit(nogil=True, cache=True)
def add_contexts(
    contexts: Any, adjusted: Any, counts: Any, most: Any, discounts: Any, first: Any, totals: Any, left: Any
) -> None:
    """Add to each context the counts of what follows it, and the mass that discounts and pruning leave.

    Args:
        contexts, adjusted, counts: uint32[n]: rank of the context, adjusted count, count.
        most: an n-gram of this count or less is pruned. discounts: float64[4], of counts 0, 1, 2 and 3 or more.
        first: the rank of the first context of totals, left: float64, added to; other contexts are passed over.
    """
    for i in range(len(contexts)):
        at = np.int64(contexts[i]) - first
        if 0 <= at < len(totals):
            totals[at] += adjusted[i]
            left[at] += adjusted[i] if counts[i] <= most else discounts[min(adjusted[i], 3)]


@njit(nogil=True, cache=True)
def interpolate(
    contexts: Any, adjusted: Any, discounts: Any, first: Any, totals: Any, left: Any, lower: Any, chances: Any
) -> None:
    """Probabilities of n-grams: discounted, and the mass that this leaves times that without the first word.

    Args:
        contexts, adjusted, discounts, first, totals: as `add_contexts` has them. left: the share that is left.
        lower: float64[n], probability of the last words. chances: float64[n], written for contexts that are here.
    """
    for i in range(len(contexts)):
        at = np.int64(contexts[i]) - first
        if 0 <= at < len(totals):
            chances[i] = (adjusted[i] - discounts[min(adjusted[i], 3)]) / totals[at] + left[at] * lower[i]


@njit(nogil=True, cache=True, inline="always")
def _number(out: Any, at: Any, value: Any) -> Any:
    """Write a number with seven decimals at most; where it ends."""
    scaled = np.int64(np.rint(np.abs(value) * 1e7))
    if value < 0 and scaled:
        out[at] = 45
        at += 1
    whole, part = scaled // 10_000_000, scaled % 10_000_000
    size, rest = 1, whole
    while rest >= 10:
        rest //= 10
        size += 1
    for i in range(size):
        out[at + size - 1 - i] = 48 + whole % 10
        whole //= 10
    at += size
    if part:
        out[at] = 46
        digits = 7
        while part % 10 == 0:
            part //= 10
            digits -= 1
        for i in range(digits):
            out[at + digits - i] = 48 + part % 10
            part //= 10
        at += digits + 1
    return at


@njit(nogil=True, cache=True)
def arpa_lines(kept: Any, chances: Any, backoffs: Any, words: Any, blob: Any, offsets: Any, out: Any) -> Any:
    """Write the lines of n-grams; how many bytes they are.

    Args:
        kept: bool[n]. chances: log10, float64[n]. backoffs: log10, float64[n], or [0] in the highest order.
        words: uint32[k, n]. blob, offsets: the words' bytes. out: uint8, with room.
    """
    at = 0
    for i in range(len(kept)):
        if not kept[i]:
            continue
        at = _number(out, at, chances[i])
        for k in range(len(words)):
            out[at] = 32 if k else 9
            at += 1
            for j in range(offsets[words[k, i]], offsets[words[k, i] + 1]):
                out[at] = blob[j]
                at += 1
        if len(backoffs):
            out[at] = 9
            at = _number(out, at + 1, backoffs[i])
        out[at] = 10
        at += 1
    return at
