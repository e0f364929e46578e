"""Writes a model as a kenlm binary, which kenlm maps into memory at once, and whose pages processes share.

The format is KenLM's version 5 with hash tables (`build_binary probing`): a head that only machines of the same byte
order read, the table of words, words' values, a table for each longer order, and the words themselves.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError
from corpuskit.kernels.backoff import HIGHEST
from corpuskit.kernels.probing import LONGEST, MIDDLE, UNKNOWN, VALUE, WORD, enter_binary, murmur
from corpuskit.lm.reading import read_sections, read_sizes

MAGIC = b"mmap lm http://kheafield.com/code format version 5\n\0\0"
MULTIPLIER = np.float32(1.5)
"""Buckets for each entry."""


def _aligned(size: int) -> int:
    return -(-size // 8) * 8


def _head(sizes: list[int]) -> bytes:
    """Values that show a machine of another kind, order, multiplier, `probing`, with words, version, n-grams."""
    test = struct.pack("<3f3IQ", 0.0, 1.0, -0.5, 1, 0xFFFFFFFF, 0, 1)
    fixed = struct.pack("<B3xfIB3xI", len(sizes), MULTIPLIER, 0, 1, 0)
    head = MAGIC.ljust(_aligned(len(MAGIC)), b"\0") + test + fixed + struct.pack(f"<{len(sizes)}Q", *sizes)
    return head.ljust(_aligned(len(head)), b"\0")


def _buckets(entries: int) -> int:
    return max(entries + 1, int(MULTIPLIER * np.float32(entries)))


def _tables(sizes: list[int], start: int) -> tuple[npt.NDArray[np.int64], int]:
    """(where it starts, buckets, uint32 of an entry) of words and of each order, int64[order + 1, 3]; where all end."""
    found = [(start, _buckets(sizes[0]), WORD)]
    start += found[0][1] * WORD
    found.append((start, sizes[0] + 1, VALUE))  # by the words' numbers
    start += found[1][1] * VALUE
    for size in sizes[1:]:
        width = LONGEST if len(found) == len(sizes) else MIDDLE
        found.append((start, _buckets(size), width))
        start += found[-1][1] * width
    return np.array(found), start


def write_binary(arpa: Path, path: Path) -> None:
    """Write a model of order 2 to 6 that `corpuskit.lm` wrote as ARPA.

    Raises:
        UsageError: it is not such a file.
    """
    assert sys.byteorder == "little", "kenlm reads what has the byte order of its machine"
    wrong = UsageError(f"{arpa}: not an ARPA file of order 2 to {HIGHEST} as `corpuskit lm train` writes it")
    with arpa.open("rb") as stream:
        sizes = read_sizes(stream)
        if sizes is None or not 2 <= len(sizes) <= HIGHEST:
            raise wrong
        head = _head(sizes)
        tables, end = _tables(sizes, len(head) // 4 + 2)  # behind the version of the words' table, and how many
        file = np.memmap(path, np.uint32, "w+", shape=(end,))
        known, words = np.ones(1, np.int64), [UNKNOWN + b"\0"]  # of each block together: there are millions of words
        unknown = murmur(np.frombuffer(UNKNOWN + bytes(8), np.uint8), 0, len(UNKNOWN))

        def enter(data: npt.NDArray[np.uint8], end: int, n: int, count: int) -> Any:
            used, entered = enter_binary(data, end, n, count, file, tables, unknown, known)
            if n == 1:
                found = (line.split(b"\t")[1] for line in data[:used].tobytes().split(b"\n")[:-1])
                words.append(b"".join(word + b"\0" for word in found if word != UNKNOWN))
            return used, entered

        if not read_sections(stream, sizes, enter):
            raise wrong
    file[: len(head) // 4] = np.frombuffer(head, np.uint32)
    file[len(head) // 4 + 1] = known[0]
    file.flush()
    with path.open("ab") as binary:
        binary.writelines(words)
