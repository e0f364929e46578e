r"""Token files as Megatron reads them: `.bin` is headerless little-endian tokens, `.idx` says where documents lie.

Layout of `.idx` (Megatron-LM, core/datasets/indexed_dataset.py): `MMIDIDX\0\0`, u64 version 1, u8 dtype code, u64
sequences, u64 entries of the document index, i32 lengths, i64 byte offsets, i64 document index. Here a sequence is a
document with its end token.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpuskit.errors import InputError

_MAGIC = b"MMIDIDX\0\0"
_HEADER = struct.Struct("<9sQBQQ")
_CODES = {4: "int32", 8: "uint16"}
_SMALL_VOCABULARY = 65_500
_PIECE = 1 << 16


def token_dtype(vocab_size: int) -> str:
    """The type of token files for a vocabulary: `uint16` below 65,500 (as Megatron chooses), else `int32`."""
    return "uint16" if vocab_size < _SMALL_VOCABULARY else "int32"


def write_index(path: Path, lengths: npt.NDArray[np.int32], dtype: str) -> None:
    """Write the `.idx` of a `.bin` whose documents have these lengths in tokens, int32[n], in order."""
    size = np.dtype(dtype).itemsize
    code = next(code for code, name in _CODES.items() if name == dtype)
    pieces = [slice(at, at + _PIECE) for at in range(0, len(lengths), _PIECE)]
    end = 0
    with path.open("wb") as stream:
        stream.write(_HEADER.pack(_MAGIC, 1, code, len(lengths), len(lengths) + 1))
        stream.write(lengths.astype("<i4", copy=False).data)
        for piece in pieces:
            ends = end + np.cumsum(lengths[piece], dtype="<i8") * size
            stream.write((ends - lengths[piece] * np.int64(size)).data)
            end = ends[-1]
        for piece in pieces:
            stream.write(np.arange(piece.start, min(piece.stop, len(lengths)), dtype="<i8").data)
        stream.write(np.int64(len(lengths)).astype("<i8").tobytes())


@dataclass(frozen=True)
class Index:
    """A read `.idx`: token type, lengths int32[n] and byte offsets int64[n] of its documents (memory-mapped)."""

    dtype: str
    lengths: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]


def read_index(path: Path) -> Index:
    """Map an `.idx`.

    Raises:
        InputError: not a version 1 index of one of our token types, or not as long as its header says.
    """
    with path.open("rb") as stream:
        header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size or header[:9] != _MAGIC:
        msg = f"{path}: not a Megatron index (it does not start with MMIDIDX)"
        raise InputError(msg)
    _, version, code, count, entries = _HEADER.unpack(header)
    if version != 1 or code not in _CODES:
        msg = f"{path}: a Megatron index of version {version} and token type {code}; read are version 1, types 4 and 8"
        raise InputError(msg)
    expected = _HEADER.size + 12 * count + 8 * entries
    if path.stat().st_size != expected:
        msg = f"{path}: {path.stat().st_size:,} bytes, but its header announces {expected:,}: truncated or overwritten"
        raise InputError(msg)
    if not count:
        return Index(_CODES[code], np.zeros(0, np.int32), np.zeros(0, np.int64))
    lengths = np.memmap(path, "<i4", "r", _HEADER.size, (count,))
    offsets = np.memmap(path, "<i8", "r", _HEADER.size + 4 * count, (count,))
    return Index(_CODES[code], lengths, offsets)
