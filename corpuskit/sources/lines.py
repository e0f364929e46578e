"""Lines of a byte stream, with their offsets, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def lines(chunks: Iterable[bytes], limit: int, offset: int = 0) -> Iterator[tuple[int, bytes | None]]:
    r"""Cut at ``\n`` only (U+2028 and the like are text).

    Args:
        chunks: the bytes.
        limit: a longer line is passed over without being held.
        offset: of the first byte.

    Yields:
        (offset of the line's first byte, line without its end; None if it is longer than `limit`).
    """
    pieces: list[bytes] = []
    held = 0
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        held += len(first)
        if held <= limit:
            pieces.append(first)
        else:
            pieces.clear()
        if not others:
            continue
        yield offset, b"".join(pieces) if held <= limit else None
        offset += held + 1
        for line in others[:-1]:
            yield offset, line if len(line) <= limit else None
            offset += len(line) + 1
        held = len(others[-1])
        pieces = [others[-1]] if held <= limit else []
    if held:
        yield offset, b"".join(pieces) if held <= limit else None


def too_large(limit: int) -> str:
    """The reason of a record that is larger than `max_doc_bytes`."""
    return f"larger than max_doc_bytes ({limit:,} bytes)"
