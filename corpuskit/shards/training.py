"""Trains a byte-level BPE: the tokenizer that `tokenizers` makes of the same texts, from counted words.

The library counts words with a string for each; here they are counted and merged in place, ten times as fast. That the
merges are those of the library is a test; the tokenizer itself is made by the library.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from corpuskit.errors import UsageError
from corpuskit.kernels.bpe import merges
from corpuskit.kernels.bpe_words import LETTER, NUMBER, OTHER, SPACE, Words
from corpuskit.shards.tokenizer import END, LoadedTokenizer, from_json

LEAST = 2
"""Times that a pair occurs at least to be merged."""


def train(texts: Iterable[str], vocab_size: int, special: Sequence[str] = ()) -> LoadedTokenizer:
    """Train a byte-level BPE (Sennrich et al. 2016; bytes and word pattern of GPT-2) with the end token as number 0.

    Other `special` tokens, of printable ASCII, follow it.

    Lossless: any text decodes to itself. Equal texts give an equal tokenizer, in any order. The vocabulary is smaller
    than `vocab_size` where no more pair occurs twice. Memory: the distinct words, about 30 bytes for a byte of them.

    Raises:
        UsageError: `vocab_size` has no room for the 256 bytes and the special tokens.
    """
    names = [END, *special]
    least = 256 + len(names)
    if vocab_size < least:
        and_more = "the end token" if not special else f"{len(names)} special tokens"
        msg = f"vocab_size {vocab_size} is too small: 256 bytes and {and_more} need {least}"
        raise UsageError(msg)
    words = Words(classes())
    for text in texts:
        words.add(text.encode())
    signs = _signs()
    alphabet = sorted(range(256), key=signs.__getitem__)
    content = np.frombuffer("".join(names).encode() + bytes(alphabet), np.uint8).copy()
    sizes = np.array([*map(len, names)] + [1] * 256, np.int64)
    numbers = np.zeros(256, np.int32)
    numbers[alphabet] = np.arange(len(names), least)
    left, right, _, content, starts, sizes = merges(
        numbers[words.arena[: words.used]],
        np.cumsum(words.sizes[: words.words]),
        words.counts[: words.words],
        content,
        np.cumsum(sizes) - sizes,
        sizes,
        min(vocab_size, least + 1 + words.used),
        LEAST,
    )
    spelled = "".join(signs[byte] for byte in content)
    tokens = [spelled[start : start + size] for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)]
    # a pair that was merged twice, for words that came to have it later, counts as the last time
    order = {pair: number for number, pair in enumerate(zip(left.tolist(), right.tolist(), strict=True))}
    pairs = [(tokens[one], tokens[other]) for one, other in sorted(order, key=order.__getitem__)]
    model = models.BPE({token: number for number, token in enumerate(tokens)}, pairs)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names])
    return from_json(tokenizer.to_str(), "the trained tokenizer")


_SAMPLES = {OTHER: "!", LETTER: "a", NUMBER: "1"}


AT_ONCE = 1 << 14
"""Code points that the library cuts into words at a time."""


@functools.cache
def classes() -> npt.NDArray[np.uint8]:
    """The class of every code point, uint8[0x110000], as the library has it: its Unicode may be another than Python's.

    The code points make one text here, which the library cuts where the class changes; a word has the class of the
    sample that its first code point goes on with. A blank would join the word after it, an apostrophe begin another.
    Planes 4 to 13 are unassigned, 15 and 16 private: other than letters, numbers and white space.
    """
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    asked = [*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xF0000)]
    every = np.setdiff1d(asked, [*b" '"]).astype(np.uint32)
    found = np.full(0x110000, OTHER, np.uint8)
    found[ord(" ")] = SPACE
    for first in range(0, len(every), AT_ONCE):  # cut, a text takes a hundred times its size
        codes = every[first : first + AT_ONCE]
        signs = codes.tobytes().decode("utf-32-le")
        for _, (start, end) in cut(signs):
            goes_on = (kind for kind, sample in _SAMPLES.items() if len(cut(sample + signs[start])) == 1)
            found[codes[start:end]] = next(goes_on, SPACE)
    return found


def _signs() -> list[str]:
    """The character that stands for each byte (GPT-2): itself where it is printable, else the next one from U+0100."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]
