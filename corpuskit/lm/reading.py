"""Reads ARPA files of the form that lmplz and `corpuskit.lm` write, in blocks, so that kernels enter their lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from corpuskit.core.batch import KERNEL_PADDING

BLOCK_BYTES = 1 << 24
"""Bytes of a file that are read at a time."""

LONGEST = 64
"""Bytes of a line of the head, at most."""

Enter = Callable[[npt.NDArray[np.uint8], int, int, int], Any]
"""Enters lines of order n, `count` at most: (data, end, n, count) -> (where it ends, or -1; lines)."""


def read_sizes(stream: BinaryIO) -> list[int] | None:
    """How many n-grams there are of each order, by the head of an ARPA file; None if it has another form."""
    if stream.readline(LONGEST) != b"\\data\\\n":
        return None
    sizes: list[int] = []
    while (line := stream.readline(LONGEST)) != b"\n":
        found = re.fullmatch(rb"ngram (\d+)=(\d+)\n", line)
        if found is None or int(found[1]) != len(sizes) + 1:
            return None
        sizes.append(int(found[2]))
    return sizes


def read_sections(stream: BinaryIO, sizes: Sequence[int], enter: Enter) -> bool:
    """Enter the n-grams behind the head; whether the file has the form to its end."""
    sections = (_read_section(stream, n, size, enter) for n, size in enumerate(sizes, start=1))
    return all(sections) and stream.readline(LONGEST) == b"\\end\\\n" and not stream.read(1)


def _read_section(stream: BinaryIO, n: int, size: int, enter: Enter) -> bool:
    if stream.readline(LONGEST) != f"\\{n}-grams:\n".encode():
        return False
    while size:
        start = stream.tell()
        block = stream.read(BLOCK_BYTES)
        end = block.rfind(b"\n") + 1
        used, entered = enter(np.frombuffer(block[:end] + bytes(KERNEL_PADDING), np.uint8), end, n, size)
        if entered == 0 or used < 0:
            return False
        size -= entered
        stream.seek(start + used)
    return stream.readline(LONGEST) == b"\n"
