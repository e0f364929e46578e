"""Lines of a byte stream, with their offsets, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from corpuskit.errors import InputError


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


def until(chunks: Iterable[bytes], stop: int, offset: int = 0) -> Iterator[bytes]:
    """The bytes, `offset` that of the first, up to the end of the last line that begins before offset `stop`."""
    for chunk in chunks:
        end = chunk.find(b"\n", max(0, stop - 1 - offset)) + 1
        if end and offset + end >= stop:
            yield chunk[:end]
            return
        yield chunk
        offset += len(chunk)


def blocks(chunks: Iterable[bytes], limit: int, size: int, offset: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    r"""Cut into blocks of whole lines, each line with its ``\n`` but perhaps the last of all.

    Args:
        chunks: the bytes.
        limit: of a line longer than this no more than a chunk beyond it is held.
        size: a block ends with a chunk, when it has this many bytes.
        offset: of the first byte.

    Yields:
        (offset of the first byte, the bytes in pieces); no pieces stand for one line that is too long to be held.

    Raises:
        InputError: what `chunks` raises, after the whole lines before it.
    """
    pieces: list[bytes] = []
    held = tail = 0  # bytes in `pieces`, and those of them behind the last end of a line
    passed: int | None = None  # offset of a line that is too long, while its rest is passed over
    damage: InputError | None = None
    try:
        for chunk in chunks:
            begin = 0
            if passed is not None:
                begin = chunk.find(b"\n") + 1
                offset += begin or len(chunk)
                if not begin:
                    continue
                yield passed, []
                passed = None
            added, end = len(chunk) - begin, chunk.rfind(b"\n", begin) + 1
            tail = len(chunk) - end if end else tail + added
            held += added
            pieces.append(chunk[begin:])
            if held - tail >= size or tail > limit:
                rest = _take_tail(pieces, tail)
                if pieces:
                    yield offset, pieces
                offset += held - tail
                pieces, held = rest, tail
            if tail > limit:
                passed, offset = offset, offset + tail
                pieces, held, tail = [], 0, 0
    except InputError as error:
        damage = error
        _take_tail(pieces, tail)
    if pieces:
        yield offset, pieces
    if damage is not None:
        raise damage
    if passed is not None:
        yield passed, []


def _take_tail(pieces: list[bytes], count: int) -> list[bytes]:
    """Remove the last `count` bytes from `pieces`, and give them back."""
    taken: list[bytes] = []
    while count:
        piece = pieces.pop()
        if len(piece) > count:
            pieces.append(piece[:-count])
            piece = piece[-count:]
        taken.append(piece)
        count -= len(piece)
    return taken[::-1]


def too_large(limit: int) -> str:
    """The reason of a record that is larger than `max_doc_bytes`."""
    return f"larger than max_doc_bytes ({limit:,} bytes)"
