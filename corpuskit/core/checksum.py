"""Checksums: a part is checked block by block when it is read, a JSON record when it is parsed.

CRC-32 finds every change that lies within 32 bits, and misses one in 2^32 of all others; it costs less than the copy of
what it checks. A SHA-256 digest stands beside it for whoever wants to know that two files are the same.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
from zlib_ng import zlib_ng

BLOCK = 1 << 20
"""Bytes of a block."""

DIGITS = 8
"""Hexadecimal digits of a block's sum."""

SUM = "crc32"
"""The key of a JSON record's own checksum."""


class Damaged(ValueError):
    """Bytes that are not those that were written; the message says which."""


def digests(path: Path) -> tuple[str, str]:
    """A file's SHA-256, 64 hex digits, and the CRC-32 of each of its blocks, 8 hex digits a block; it is read once."""
    sha, sums = hashlib.sha256(), []
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            sha.update(block)
            sums.append(_sum(block))
    return sha.hexdigest(), "".join(sums)


def _sum(block: Any) -> str:
    return f"{zlib_ng.crc32(block):0{DIGITS}x}"


def check_file(path: Path, sums: str, digest: str) -> None:
    """Check a whole file, once in this process as long as nobody writes to it.

    Args:
        sums: of its blocks, as `digests` gives them; "" of a part of before there were any, whose `digest` is checked.

    Raises:
        Damaged: it is not what was written.
    """
    found = path.stat()
    damage = _damage(str(path), found.st_ino, found.st_mtime_ns, found.st_size, sums, digest)
    if damage is not None:
        raise Damaged(damage)


@functools.lru_cache(1 << 16)
def _damage(path: str, _inode: int, _changed: int, size: int, sums: str, digest: str) -> str | None:
    """What is wrong with a file; the arguments are what must be the same for the answer to hold."""
    if not sums and size:
        return None if digests(Path(path))[0] == digest else "its SHA-256 is not that of its receipt"
    if size > BLOCK * (len(sums) // DIGITS):
        return f"it has {size:,} bytes, more than its receipt says"
    with Path(path).open("rb", buffering=0) as stream:
        return _wrong(stream, range(len(sums) // DIGITS), sums)


def check_bytes(path: Path, first: int, end: int, sums: str, digest: str) -> None:
    """Check the blocks of a file that hold the bytes from first to end, each once in this process, as `check_file`.

    Raises:
        Damaged: they are not what was written.
    """
    if not sums:
        check_file(path, sums, digest)
        return
    found = path.stat()
    known = _known(str(path), found.st_ino, found.st_mtime_ns, found.st_size, sums)
    last = min(-(-end // BLOCK), len(known))
    unknown = [block for block in range(first // BLOCK, last) if not known[block]]
    if unknown:
        with path.open("rb", buffering=0) as stream:
            damage = _wrong(stream, unknown, sums)
        if damage is not None:
            raise Damaged(damage)
        for block in unknown:
            known[block] = True


@functools.lru_cache(1 << 12)
def _known(_path: str, _inode: int, _changed: int, _size: int, sums: str) -> bytearray:
    """A byte for each block of a file: whether it was checked; the arguments are as those of `_damage`."""
    return bytearray(len(sums) // DIGITS)


def _wrong(stream: BinaryIO, blocks: Iterable[int], sums: str) -> str | None:
    """Which of some blocks, that rise, is the first that is not what was written."""
    for block in blocks:
        stream.seek(block * BLOCK)
        if _sum(stream.read(BLOCK)) != sums[block * DIGITS : (block + 1) * DIGITS]:
            return _where(block)
    return None


def file_sum(path: Path) -> str:
    """The CRC-32 of a whole file, 8 hex digits; taken once in this process as long as nobody writes to it."""
    found = path.stat()
    return _file_sum(str(path), found.st_ino, found.st_mtime_ns, found.st_size)


@functools.lru_cache(1 << 16)
def _file_sum(path: str, _inode: int, _changed: int, _size: int) -> str:
    found = 0
    with Path(path).open("rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            found = zlib_ng.crc32(block, found)
    return f"{found:0{DIGITS}x}"


def named_sum(name: str) -> str | None:
    """The CRC-32 that a file's name tells, as in `values.0a1b2c3d.arrow`; None where it tells none."""
    parts = name.rpartition("/")[2].split(".")
    return parts[-2] if len(parts) > 2 and len(parts[-2]) == DIGITS else None


def _where(block: int) -> str:
    return f"a byte between {block * BLOCK:,} and {(block + 1) * BLOCK:,} is not what was written"


def first_damaged(source: pa.NativeFile, sums: str) -> str:
    """Where a content differs from what its sums say; "" if it does not, or there are none."""
    for start in range(0, len(sums), DIGITS):
        if _sum(source.read(BLOCK)) != sums[start : start + DIGITS]:
            return _where(start // DIGITS)
    return ""


class CheckedFile:
    """A file opened for reading whose blocks are checked as they are read; `pa.PythonFile` takes it.

    Args:
        source: what is read. size: its bytes. sums: of its blocks.
        damaged: makes the error to raise from what is wrong.
    """

    def __init__(self, source: pa.NativeFile, size: int, sums: str, damaged: Any) -> None:
        self._source, self._size, self._sums, self._damaged = source, size, sums, damaged
        self._at, self._number, self._held = 0, -1, memoryview(b"")
        self.closed = False

    def read(self, count: int = -1) -> memoryview | bytes:
        """The next bytes; fewer at the end."""
        end = self._size if count < 0 else min(self._size, self._at + count)
        pieces = []
        for number in range(self._at // BLOCK, -(-end // BLOCK)):
            start = number * BLOCK
            pieces.append(self._block(number)[max(0, self._at - start) : end - start])
        self._at = max(self._at, end)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _block(self, number: int) -> memoryview:
        if number != self._number:
            self._source.seek(number * BLOCK)
            held = memoryview(self._source.read_buffer(BLOCK))
            if _sum(held) != self._sums[number * DIGITS : (number + 1) * DIGITS]:
                raise self._damaged(_where(number))
            self._number, self._held = number, held
        return self._held

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to an offset."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """The offset of what is read next."""
        return self._at

    def close(self) -> None:
        """Close what is read."""
        self._source.close()
        self.closed = True


def with_sum(record: dict[str, Any]) -> bytes:
    """A JSON record with its own checksum."""
    return orjson.dumps({**record, SUM: _record_sum(record)}, option=orjson.OPT_INDENT_2)


def parse_record(content: bytes) -> dict[str, Any]:
    """What `with_sum` wrote; a record of before there were sums is taken as it is.

    Raises:
        Damaged: it is not what was written.
    """
    try:
        record: dict[str, Any] = orjson.loads(content)
        said = record.pop(SUM, None)
    except (orjson.JSONDecodeError, AttributeError) as error:
        raise Damaged(f"it is not JSON: {error}") from None
    if said is not None and said != _record_sum(record):
        raise Damaged("it is not what was written")
    return record


def _record_sum(record: dict[str, Any]) -> str:
    return _sum(orjson.dumps(record, option=orjson.OPT_SORT_KEYS))
