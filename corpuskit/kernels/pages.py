"""Phrases that give web pages away, and what characters are to the kernels of heuristics."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from corpuskit.kernels.normalize import decode
from corpuskit.kernels.unicode import CODE_POINTS, SPACE

PHRASES = (
    (b"terms of use", b"privacy policy", b"cookie policy", b"uses cookies", b"use of cookies", b"use cookies"),
    (b"javascript",),
    (b"lorem ipsum",),
)
"""C4's phrases (in the code of its release), by the count that they are for; letters in either case."""

ANCHORS = (b"vac", b"kie", b"jav", b"ms o", b"m ip")
"""What `mask_anchor` finds; each phrase has exactly one of them in it, once."""

STEP = 61
"""Bytes that are looked at in a step: an anchor that begins in them is seen whole."""

CAPITAL, DIGIT, TERMINAL, CLOSING, SMALL, LETTER, NUMBER = 2, 4, 8, 16, 32, 64, 128
"""Bits of `character_classes`, beside SPACE."""

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
    """Class bits of every code point, uint8[0x110000].

    Letters (Unicode's categories L*) and numbers (N*) are by the tables of pyarrow, so that its version fixes them, the
    others by the running Python's `isspace`, `isupper` and so on.
    """
    classes = np.zeros(CODE_POINTS, np.uint8)
    for first, last in ((0, 0xD800), (0xE000, CODE_POINTS)):
        characters = np.arange(first, last, dtype="<u4").view("<U1")
        capital, title = np.char.isupper(characters), np.char.istitle(characters)
        small = np.char.islower(characters) | (title & ~capital)  # what keeps a word from being in capitals
        letter, either = (test(pa.array(characters)).to_numpy(False) for test in (pc.utf8_is_alpha, pc.utf8_is_alnum))
        tests = (
            (np.char.isspace(characters), SPACE),
            (capital, CAPITAL),
            (np.char.isdigit(characters), DIGIT),
            (small, SMALL),
            (letter, LETTER),
            (either & ~letter, NUMBER),
        )
        for found, bit in tests:
            classes[first:last] |= found.astype(np.uint8) * np.uint8(bit)
    for first, last in TERMINALS:
        classes[first : last + 1] |= TERMINAL
    classes[[ord(c) for c in CLOSERS]] |= CLOSING
    return classes


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


@njit(nogil=True, cache=True, inline="always")
def last_char(data: Any, end: Any) -> Any:
    """(the code point that ends at `end`, where it begins)."""
    at = end - 1
    while data[at] & 0xC0 == 0x80:
        at -= 1
    c, _ = decode(data, at)
    return c, at
