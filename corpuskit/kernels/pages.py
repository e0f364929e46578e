r"""Counts behind the rules on web pages: how their lines end, what characters they are of, phrases that give them away.

Words are what `str.split()` gives, lines what stands between line feeds and is not blank, characters code points.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.kernels.hashing import hash_piece
from corpuskit.kernels.intrinsics import (
    count_ones,
    mask_anchor,
    mask_brace,
    mask_digit,
    mask_high,
    mask_lead,
    mask_space,
    mask_upper,
    trailing_zeros,
)
from corpuskit.kernels.lines import find_feed, is_blank
from corpuskit.kernels.normalize import decode, low_bits
from corpuskit.kernels.repetition import count_chars, find_words, place_of, table_bits
from corpuskit.kernels.unicode import CODE_POINTS

COUNTS = (
    "chars",
    "words",
    "line_feeds",
    "lines",
    "duplicate_line_chars",
    "terminal_lines",
    "short_lines",
    "digits",
    "capitals",
    "spaces",
    "capital_words",
    "sentences",
    "curly_braces",
    "policy_phrases",
    "javascript",
    "lorem_ipsum",
)
"""Columns of the result of `page_counts`."""

PHRASES = (
    (b"terms of use", b"privacy policy", b"cookie policy", b"uses cookies", b"use of cookies", b"use cookies"),
    (b"javascript",),
    (b"lorem ipsum",),
)
"""C4's phrases (in the code of its release), by the count that they are for; letters in either case."""

ANCHORS = (b"vac", b"kie", b"jav", b"ms o", b"m ip")
"""What `mask_anchor` finds; each phrase has exactly one of them in it, once."""

FEED = 10
SHORT_LINE = 30
"""FineWeb's: lines of at most as many characters are short."""

STEP = 61
"""Bytes that are looked at in a step: an anchor that begins in them is seen whole."""

SPACE, CAPITAL, DIGIT, TERMINAL, CLOSING, SMALL = 1, 2, 4, 8, 16, 32
"""Bits of `character_classes`."""

CLOSERS = "\"'\u201d\u2019\u00bb\u203a)]}*_"
"""What may stand between the end of a sentence and the white space behind it."""

# fmt: off
TERMINALS = (
    (0x0021, 0x0021), (0x002E, 0x002E), (0x003F, 0x003F), (0x0589, 0x0589), (0x061D, 0x061F), (0x06D4, 0x06D4),
    (0x0700, 0x0702), (0x07F9, 0x07F9), (0x0837, 0x0837), (0x0839, 0x0839), (0x083D, 0x083E), (0x0964, 0x0965),
    (0x104A, 0x104B), (0x1362, 0x1362), (0x1367, 0x1368), (0x166E, 0x166E), (0x1735, 0x1736), (0x17D4, 0x17D6),
    (0x17D9, 0x17DA), (0x1803, 0x1803), (0x1809, 0x1809), (0x1944, 0x1945), (0x1AA8, 0x1AAB), (0x1B5A, 0x1B5B),
    (0x1B5E, 0x1B5F), (0x1B7D, 0x1B7E), (0x1C3B, 0x1C3C), (0x1C7E, 0x1C7F), (0x203C, 0x203D), (0x2047, 0x2049),
    (0x2E2E, 0x2E2E), (0x2E3C, 0x2E3C), (0x2E53, 0x2E54), (0x3002, 0x3002), (0xA4FF, 0xA4FF), (0xA60E, 0xA60F),
    (0xA6F3, 0xA6F3), (0xA6F7, 0xA6F7), (0xA876, 0xA877), (0xA8CE, 0xA8CF), (0xA92F, 0xA92F), (0xA9C8, 0xA9C9),
    (0xAA5D, 0xAA5F), (0xAAF0, 0xAAF1), (0xABEB, 0xABEB), (0xFE52, 0xFE52), (0xFE56, 0xFE57), (0xFF01, 0xFF01),
    (0xFF0E, 0xFF0E), (0xFF1F, 0xFF1F), (0xFF61, 0xFF61), (0x10A56, 0x10A57), (0x10F55, 0x10F59),
    (0x10F86, 0x10F89), (0x11047, 0x11048), (0x110BE, 0x110C1), (0x11141, 0x11143), (0x111C5, 0x111C6),
    (0x111CD, 0x111CD), (0x111DE, 0x111DF), (0x11238, 0x11239), (0x1123B, 0x1123C), (0x112A9, 0x112A9),
    (0x1144B, 0x1144C), (0x115C2, 0x115C3), (0x115C9, 0x115D7), (0x11641, 0x11642), (0x1173C, 0x1173E),
    (0x11944, 0x11944), (0x11946, 0x11946), (0x11A42, 0x11A43), (0x11A9B, 0x11A9C), (0x11C41, 0x11C42),
    (0x11EF7, 0x11EF8), (0x11F43, 0x11F44), (0x16A6E, 0x16A6F), (0x16AF5, 0x16AF5), (0x16B37, 0x16B38),
    (0x16B44, 0x16B44), (0x16E98, 0x16E98), (0x1BC9F, 0x1BC9F), (0x1DA88, 0x1DA88),
)
"""Code points that end a sentence: Unicode's Sentence_Terminal as of version 15, and the Khmer signs."""
# fmt: on


@functools.cache
def character_classes() -> npt.NDArray[np.uint8]:
    """Class bits of every code point, uint8[0x110000], by the running Python's `isspace`, `isupper` and so on."""
    tests = ((str.isspace, SPACE), (str.isupper, CAPITAL), (str.isdigit, DIGIT), (_is_small, SMALL))
    classes = np.zeros(CODE_POINTS, np.uint8)
    for c in range(CODE_POINTS):
        character = chr(c)
        if character.isprintable() or c < 0x3001:  # nothing else has a class
            classes[c] = sum(bit for test, bit in tests if test(character))
    for first, last in TERMINALS:
        classes[first : last + 1] |= TERMINAL
    classes[[ord(c) for c in CLOSERS]] |= CLOSING
    return classes


def _is_small(character: str) -> bool:
    """Whether a character keeps a word from being in capitals: it is cased, and not a capital."""
    return character.islower() or (character.istitle() and not character.isupper())


@functools.cache
def phrases() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Phrases as rows of uint8[p, 16], and (length, where its anchor stands, which count it is for), int64[p, 3]."""
    rows, facts = [], []
    for number, group in enumerate(PHRASES):
        for phrase in group:
            (anchor,) = (phrase.index(anchor) for anchor in ANCHORS if anchor in phrase)
            rows.append(np.frombuffer(phrase.ljust(16, b"\0"), np.uint8))
            facts.append((len(phrase), anchor, number))
    return np.stack(rows), np.array(facts, np.int64)


@njit(nogil=True, cache=True)
def phrases_at(data: Any, start: Any, end: Any, anchor: Any, texts: Any, facts: Any, found: Any) -> None:
    """Add the phrases whose anchor is at `anchor` to their counts."""
    for number in range(len(facts)):
        size = facts[number, 0]
        begin = anchor - facts[number, 1]
        if begin < start or begin + size > end:
            continue
        same = True
        for k in range(size):
            byte = data[begin + k]
            if 65 <= byte <= 90:
                byte |= 32
            if byte != texts[number, k]:
                same = False
                break
        if same:
            found[facts[number, 2]] += 1


@njit(nogil=True, cache=True)
def _count_bytes(data: Any, start: Any, end: Any, classes: Any, texts: Any, facts: Any, found: Any) -> Any:
    """(digits, capitals, white space, curly braces); phrases are added to `found`."""
    digits = capitals = spaces = braces = 0
    for at in range(start, end, STEP):
        valid = low_bits(min(STEP, end - at))
        digits += count_ones(mask_digit(data, at) & valid)
        capitals += count_ones(mask_upper(data, at) & valid)
        spaces += count_ones(mask_space(data, at) & valid)
        braces += count_ones(mask_brace(data, at) & valid)
        anchors = mask_anchor(data, at) & valid
        while anchors:
            phrases_at(data, start, end, at + trailing_zeros(anchors), texts, facts, found)
            anchors &= anchors - np.uint64(1)
        high = mask_high(data, at) & mask_lead(data, at) & valid
        while high:
            c, _ = decode(data, at + trailing_zeros(high))
            kind = classes[c]
            digits += (kind & DIGIT) != 0
            capitals += (kind & CAPITAL) != 0
            spaces += (kind & SPACE) != 0
            high &= high - np.uint64(1)
    return digits, capitals, spaces, braces


@njit(nogil=True, cache=True, inline="always")
def last_char(data: Any, end: Any) -> Any:
    """(the code point that ends at `end`, where it begins)."""
    at = end - 1
    while data[at] & 0xC0 == 0x80:
        at -= 1
    c, _ = decode(data, at)
    return c, at


@njit(nogil=True, cache=True)
def _count_lines(data: Any, start: Any, end: Any, feeds: Any, classes: Any, table: Any, keys: Any) -> Any:
    """(lines, characters of those that stand above already, lines that end a sentence, short lines)."""
    bits = table_bits(min(feeds, (end - start) >> 1) + 1)
    shift = np.uint64(64 - bits)
    table[: 1 << bits] = 0
    lines = known = repeated = terminal = short = 0
    at = start
    while at < end:
        stop = find_feed(data, at, end)
        if not is_blank(data, at, stop, classes):
            lines += 1
            c, _ = last_char(data, stop)
            terminal += (classes[c] & TERMINAL) != 0
            size = stop - at
            short += size <= SHORT_LINE or (size <= 4 * SHORT_LINE and count_chars(data, at, stop) <= SHORT_LINE)
            number = place_of(hash_piece(data, at, size), shift, table, keys, known)
            if number == known:
                known += 1
            else:
                repeated += count_chars(data, at, stop)
        at = stop + 1
    return lines, repeated, terminal, short


@njit(nogil=True, cache=True)
def _in_capitals(data: Any, start: Any, end: Any, classes: Any) -> Any:
    """Whether a word has capital letters and no others that have a case."""
    capital = False
    while start < end:
        c, start = decode(data, start)
        if classes[c] & SMALL:
            return False
        capital |= (classes[c] & CAPITAL) != 0
    return capital


@njit(nogil=True, cache=True)
def _ends_sentence(data: Any, start: Any, end: Any, classes: Any) -> Any:
    """Whether a word ends a sentence, quotation marks and brackets behind it apart."""
    while end > start:
        c, before = last_char(data, end)
        if not classes[c] & CLOSING:
            return (classes[c] & TERMINAL) != 0
        end = before
    return False


@njit(nogil=True, cache=True)
def _ends_line(data: Any, at: Any, after: Any) -> Any:
    """Whether a line ends in the white space `data[at:after]`."""
    found = False
    for place in range(at, after):
        found |= data[place] == FEED
    return found


@njit(nogil=True, cache=True)
def _count_words(data: Any, bounds: Any, words: Any, classes: Any) -> Any:
    """(words in capitals, words that are the last of a sentence or of a line)."""
    capitals = sentences = 0
    for word in range(words):
        begin, end = bounds[2 * word], bounds[2 * word + 1]
        if not 97 <= data[begin] <= 122:
            capitals += _in_capitals(data, begin, end, classes)
        last = word + 1 == words or _ends_line(data, end, bounds[2 * word + 2])
        sentences += last or (not (97 <= data[end - 1] <= 122) and _ends_sentence(data, begin, end, classes))
    return capitals, sentences


@njit(nogil=True, cache=True)
def _page_counts(
    data: Any, offsets: Any, classes: Any, texts: Any, facts: Any, bounds: Any, table: Any, keys: Any, out: Any
) -> None:
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        counts = out[row]
        words, counts[0], feeds = find_words(data, start, end, bounds)
        counts[1], counts[2] = words, feeds
        counts[3], counts[4], counts[5], counts[6] = _count_lines(data, start, end, feeds, classes, table, keys)
        counts[7], counts[8], counts[9], counts[12] = _count_bytes(data, start, end, classes, texts, facts, counts[13:])
        counts[10], counts[11] = _count_words(data, bounds, words, classes)


def page_counts(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Count what web pages are judged by.

    Args:
        data: UTF-8 bytes, uint8[>= offsets[n] + 64].
        offsets: int64[n + 1].

    Returns:
        int64[n, 16], a column for each of `COUNTS`.
    """
    most = int(np.diff(offsets).max(initial=0))
    room = most // 2 + 2  # words or lines
    out = np.zeros((len(offsets) - 1, len(COUNTS)), np.int64)
    bounds, table, keys = np.empty(2 * room, np.int64), np.empty(4 * room + 64, np.int32), np.empty(room, np.uint64)
    _page_counts(data, offsets, character_classes(), *phrases(), bounds, table, keys, out)
    return out
