"""Streaming decompression with bounded memory: gzip, zstd, bz2, xz or plain, told apart by the first bytes.

Every member, stream and frame of a file is read. Damage (a cut, a wrong checksum, bytes that belong to no member) is an
error at its place, after the good bytes before it: the standard library's file classes lose those, and some zstd
readers take a cut frame for the end.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from zlib_ng import zlib_ng

from corpuskit.sources.raw import READ_BYTES, RawStream

zlib: Any = zlib_ng
"""As Python's own, and twice as fast; its stubs lack what it has."""

OUT_BYTES = 1 << 20
"""Most bytes that one call of a decompressor may give."""

PIECE_BYTES = 1 << 10
"""Compressed bytes given to zstd, bz2 and xz at a time: zstd has no bound on output, and one of its 4-byte blocks may
hold 128 KiB, so that this bounds a piece to 32 MiB; after an error bz2 and xz give back nothing of the piece."""

XZ_MEMORY = 1 << 30
ZSTD_WINDOW = 1 << 31
REMEMBERED_BYTES = 64 << 20
"""Raw bytes of a damaged gzip member that are searched again for the next member."""

COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
"""Endings of compressed files; a reader trusts the first bytes."""

GZIP_MAGIC = b"\x1f\x8b\x08"


def codec_of(head: bytes) -> str:
    """Name the compression of a file by its first 10 bytes: gzip, zstd, bz2, xz, 7z or plain."""
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "zstd"
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return "bz2"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "7z"
    return "plain"


def ending(path: str) -> str:
    """The ending of a file's name in lower case, such as `.txt`: the one before it, where it is in `COMPRESSED`."""
    name = PurePath(path)
    return (name.with_suffix("") if name.suffix.lower() in COMPRESSED else name).suffix.lower()


def decompressed(raw: RawStream) -> Iterator[bytes]:
    """The content of a file; see `SourceFile.chunks`."""
    head = raw.take(10)
    raw.unread(head)
    codec = codec_of(head)
    if codec == "gzip":
        for event in gzip_members(raw):
            if isinstance(event, Damage):
                raise raw.damaged("gzip", event.reason, event.offset)
            yield event.data
    elif codec == "plain":
        while data := raw.read(READ_BYTES):
            yield data
    elif codec == "7z":
        error = raw.damaged("7z", "7z archives cannot be read as a stream")
        error.hint = f"repack it once: 7z x -so {raw.path} | zstd > {raw.path.removesuffix('.7z')}.zst"
        raise error
    else:
        yield from _frames(raw, codec)


def _frames(raw: RawStream, codec: str) -> Iterator[bytes]:
    """All frames (zstd) or streams (bz2, xz) of a file."""
    make, errors = _decoder(codec)
    while data := _next_frame(raw, codec):
        decoder = make()
        while True:
            try:
                out = decoder.decompress(data) if codec == "zstd" else decoder.decompress(data, OUT_BYTES)
            except errors as error:
                raise raw.damaged(codec, str(error), raw.offset - len(data)) from None
            if out:
                yield out
            if decoder.eof:
                raw.unread(decoder.unused_data)
                break
            data = b""
            if codec == "zstd" or decoder.needs_input:
                data = raw.read(PIECE_BYTES)
                if not data:
                    raise raw.damaged(codec, "the file is cut: its last frame does not end")


def _decoder(codec: str) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    if codec == "bz2":
        return bz2.BZ2Decompressor, (OSError, ValueError)
    if codec == "xz":
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY), (lzma.LZMAError,)
    import zstandard

    context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
    return context.decompressobj, (zstandard.ZstdError,)


def _next_frame(raw: RawStream, codec: str) -> bytes:
    """The first piece of the next frame, without the zero padding that may stand before it; empty at the end."""
    skip_zeros(raw)
    offset = raw.offset
    head = raw.take(10)
    raw.unread(head)
    if head and codec_of(head) != codec:
        raise raw.damaged(codec, "the bytes after the last frame are none", offset)
    return raw.read(PIECE_BYTES)


def skip_zeros(raw: RawStream) -> None:
    """Pass over zero bytes: padding to a block size is legal between members and at the end."""
    while data := raw.read(READ_BYTES):
        rest = data.lstrip(b"\0")
        if rest:
            raw.unread(rest)
            return


@dataclass(frozen=True)
class Member:
    """Some decompressed bytes, and the raw offset at which their gzip member starts."""

    offset: int
    data: bytes


@dataclass(frozen=True)
class Damage:
    """A gzip member cannot be read (further)."""

    offset: int
    reason: str


class _BadMember(Exception):
    """Carries a reason out of the generator of one member."""


def gzip_members(raw: RawStream, resume_at: bytes | None = None) -> Iterator[Member | Damage]:
    """The content of every gzip member.

    Args:
        raw: the compressed bytes.
        resume_at: after damage, go on with the next member whose content starts with these bytes; None ends there.
            With it the last piece of a member is given only if the member's checksum is right.
    """
    while True:
        skip_zeros(raw)
        start = raw.offset
        head = raw.take(10)
        if not head:
            return
        remembered = bytearray(head) if resume_at is not None else None
        try:
            if not head.startswith(GZIP_MAGIC):
                raise _BadMember("the bytes after the last gzip member are none")  # noqa: TRY301
            yield from _member(raw, start, head, remembered)
        except _BadMember as bad:
            yield Damage(raw.offset if remembered is None else start, str(bad))
            if resume_at is None or remembered is None:
                return
            raw.unread(bytes(remembered[1:]))
            if not _find_member(raw, resume_at):
                return


def _member(raw: RawStream, start: int, head: bytes, remembered: bytearray | None) -> Iterator[Member]:
    """One gzip member (RFC 1952): header, deflate data, checksum."""

    def take(count: int) -> bytes:
        data = raw.take(count)
        if remembered is not None:
            remembered.extend(data)
        if len(data) < count:
            raise _BadMember("the file is cut inside a gzip member")
        return data

    if len(head) < 10:
        raise _BadMember("the file is cut inside a gzip header")
    _skip_header(head[3], take)
    inflater, crc, size, held = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0, b""
    while not inflater.eof:
        data = inflater.unconsumed_tail
        if not data:
            data = raw.read(PIECE_BYTES * 32)
            if remembered is not None:
                del remembered[: max(0, len(remembered) + len(data) - REMEMBERED_BYTES)]
                remembered.extend(data)
        if held:
            yield Member(start, held)
        held = b""
        if not data:
            raise _BadMember("the file is cut inside a gzip member")
        before = inflater.copy()
        try:
            held = inflater.decompress(data, OUT_BYTES)
        except zlib.error as error:
            yield from (Member(start, out) for out in salvage(before, data))
            raise _BadMember(str(error)) from None
        crc, size = zlib.crc32(held, crc), size + len(held)
    rest = inflater.unused_data
    if rest:
        raw.unread(rest)
        if remembered is not None:
            del remembered[-len(rest) :]
    trailer = raw.take(8)
    if remembered is not None:
        remembered.extend(trailer)
    right = trailer == crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
    if held and (right or remembered is None):
        yield Member(start, held)
    if not right:
        cut = len(trailer) < 8
        raise _BadMember("the file is cut inside a gzip checksum" if cut else "the checksum of a gzip member is wrong")


def _skip_header(flags: int, take: Callable[[int], bytes]) -> None:
    if flags & 4:
        take(int.from_bytes(take(2), "little"))
    for flag in (8, 16):  # file name, comment: zero-terminated
        if flags & flag:
            while take(1) != b"\0":
                pass
    if flags & 2:
        take(2)


def salvage(inflater: Any, data: bytes) -> Iterator[bytes]:
    """What `data` still gives before it breaks: byte by byte, because an error takes a call's output with it."""
    for position in range(len(data)):
        try:
            out = inflater.decompress(data[position : position + 1])
        except zlib.error:
            return
        if out:
            yield out


def _find_member(raw: RawStream, wanted: bytes) -> bool:
    """Go to the next place where a gzip member starts whose content begins with `wanted`."""
    window = 1 << 12  # enough of a member to see its first bytes
    data = b""
    while True:
        more = raw.read(READ_BYTES)
        data += more
        position = data.find(GZIP_MAGIC)
        while position >= 0 and (position + window <= len(data) or not more):
            try:
                content = zlib.decompressobj(31).decompress(data[position : position + window], len(wanted))
            except zlib.error:
                content = b""
            if content == wanted:
                raw.unread(data[position:])
                return True
            position = data.find(GZIP_MAGIC, position + 1)
        if not more:
            return False
        data = data[position:] if position >= 0 else data[-2:]
