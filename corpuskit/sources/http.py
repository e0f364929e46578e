"""HTTP responses as crawlers stored them: the body is decoded as far as it can be.

What a header says of the body is a claim. Some crawls kept the headers and stored the body decoded already, some cut it
off: what is not packed as its header says is taken as it is, and of what breaks off the beginning is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from corpuskit.sources.decompress import salvage, zlib

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
PIECE_BYTES = 1 << 16
INFLATED_BYTES = 1 << 14
"""Given to zlib at a time, which copies what it leaves of it."""
FED_BYTES = 1 << 10
"""Given to another decoder at a time: an error takes a call's output with it."""
_PLAIN = re.compile(rb"(?:\xef\xbb\xbf)?[\t\r\n -~]{24}")
"""How a body begins that is not packed: no packing gives so many printable characters."""


@dataclass
class Response:
    """A response.

    Attributes:
        headers: names in lower case; of several fields of a name the first.
        body: at most one byte more than the limit.
        cut: why the body is only a beginning, or None.
    """

    status: int | None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: str | None = None

    @property
    def mime(self) -> str:
        """The media type, in lower case, or an empty string."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The encoding that the header says the body has."""
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip("\"'") or None
        return None


def parse(message: bytes, limit: int) -> Response | None:
    """Read a response; None if it does not begin like one."""
    head, body = _split(message)
    first, *lines = head.decode("utf-8", "replace").split("\n")
    version, _, rest = first.strip().partition(" ")
    if not version.startswith(("HTTP", "ICY")):
        return None
    code = rest.strip()[:3]
    found = Response(int(code) if code.isdecimal() else None, fields(lines))
    if "chunked" in found.headers.get("transfer-encoding", "").lower():
        body, found.cut = _unchunked(body)
    codings = found.headers.get("content-encoding", "").lower().replace(" ", "").split(",")
    for coding in reversed([*codings, found.headers.get("transfer-encoding", "").lower()]):
        body, cut = _unpacked(body, coding, limit)
        found.cut = found.cut or cut
    found.body = body[: limit + 1]
    return found


def _split(message: bytes) -> tuple[bytes, bytes]:
    """Head and body; a message without an empty line is all head."""
    ends = [(place, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (place := message.find(mark)) >= 0]
    place, length = min(ends, default=(len(message), 0))
    return message[:place], message[place + length :]


def fields(lines: list[str]) -> dict[str, str]:
    """Named fields of a header, names in lower case; the first of a name counts; folded lines are joined."""
    found: dict[str, list[str]] = {}
    last: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t") and found:
            last.append(line.strip())
            continue
        name, _, value = line.partition(":")
        last = [value.strip()]
        found.setdefault(name.strip().lower(), last)
    return {name: " ".join(parts) for name, parts in found.items()}


def _unchunked(body: bytes) -> tuple[bytes, str | None]:
    """The chunks of a body joined (RFC 9112, 7.1), and why they break off; the body itself if it has none."""
    pieces: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\n", at, at + 4096)
        size = body[at:end].split(b";")[0].strip() if end >= 0 else b""
        try:
            length = int(size, 16) if len(size) <= 16 and size.isalnum() else -1
        except ValueError:
            length = -1
        after = body[end + 1 + length : end + 3 + length] if length >= 0 else b""
        if length == 0 and pieces:
            return b"".join(pieces), None  # what follows are fields
        if length < 0 or (after and after[:1] not in b"\r\n"):
            # no chunk: the body was stored without them, or the crawler broke off
            return (b"".join(pieces), "chunked body cut") if pieces else (body, None)
        if length == 0:
            return b"".join(pieces), None
        pieces.append(body[end + 1 : end + 1 + length])
        if len(pieces[-1]) < length:
            return b"".join(pieces), "chunked body cut"
        at = end + 1 + length + (2 if after[:2] == b"\r\n" else 1)


def _unpacked(body: bytes, coding: str, limit: int) -> tuple[bytes, str | None]:
    """The body as it was before `coding` (RFC 9110, 8.4.1), and why it breaks off; as it is if it is not so packed."""
    if _PLAIN.match(body):
        return body, None
    if body.startswith(GZIP):
        return _inflated(body, zlib.MAX_WBITS | 16, limit)
    if coding == "deflate":
        for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
            found, cut = _inflated(body, bits, limit)
            if found:
                return found, cut
    elif coding == "br":
        return _brotli(body, limit)
    elif coding == "zstd" and body.startswith(ZSTD):
        return _zstd(body, limit)
    return body, None


def _inflated(body: bytes, bits: int, limit: int) -> tuple[bytes, str | None]:
    """Members one after the other, as far as they can be read; nothing if the first cannot."""
    pieces: list[bytes] = []
    at = size = 0
    while at < len(body) and size <= limit:
        inflater = zlib.decompressobj(bits)
        while not inflater.eof and size <= limit:
            given = inflater.unconsumed_tail or body[at : at + INFLATED_BYTES]
            at += 0 if inflater.unconsumed_tail else len(given)
            before = inflater.copy()
            try:
                piece = inflater.decompress(given, PIECE_BYTES)
            except zlib.error:
                pieces += salvage(before, given)
                return b"".join(pieces), "compressed body damaged"
            if not piece and not given:
                return b"".join(pieces), "compressed body cut"
            pieces.append(piece)
            size += len(piece)
        at -= len(inflater.unused_data)
        if not body.startswith(GZIP, at):
            break
    return b"".join(pieces), None


def _brotli(body: bytes, limit: int) -> tuple[bytes, str | None]:
    import brotli

    pieces: list[bytes] = []
    decoder, at, size = brotli.Decompressor(), 0, 0
    while not decoder.is_finished() and size <= limit:
        given = b""
        if decoder.can_accept_more_data():
            given = body[at : at + FED_BYTES]
            at += len(given)
            if not given:
                return b"".join(pieces), "compressed body cut"
        try:
            pieces.append(decoder.process(given, output_buffer_limit=PIECE_BYTES))
        except brotli.error:
            return _broken(body, pieces)
        size += len(pieces[-1])
    return b"".join(pieces), None


def _zstd(body: bytes, limit: int) -> tuple[bytes, str | None]:
    import zstandard

    pieces: list[bytes] = []
    decoder, size = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(), 0
    for at in range(0, len(body), FED_BYTES):  # which bounds what one call gives to 32 MiB
        if decoder.eof or size > limit:
            break
        try:
            pieces.append(decoder.decompress(body[at : at + FED_BYTES]))
        except zstandard.ZstdError:
            return _broken(body, pieces)
        size += len(pieces[-1])
    return b"".join(pieces), None if decoder.eof or size > limit else "compressed body cut"


def _broken(body: bytes, pieces: list[bytes]) -> tuple[bytes, str | None]:
    """What was unpacked before the damage; the body itself if that was nothing, and it is text."""
    found = b"".join(pieces)
    if not found and len(body[:FED_BYTES].decode("utf-8", "ignore").encode()) > len(body[:FED_BYTES]) - 4:
        return body, None
    return found, "compressed body damaged"
