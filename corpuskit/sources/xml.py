"""XML as expat accepts it: what a dump of gigabytes holds that is no XML must not cost the pages behind it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_DECLARED = re.compile(rb"""^(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*["']([\w.\-]+)["']""")
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\r"))
_ILLEGAL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_REFERENCE = re.compile(
    rb"&#(?:0*(?:[0-8]|1[124-9]|2[0-9]|3[01]|6553[45]|5(?:529[6-9]|5[3-9]\d\d|6\d{3}|7[0-2]\d\d|73[0-3]\d|734[0-3]))"
    rb"|x0*(?:[0-8bcefBCEF]|1[0-9a-fA-F]|[fF]{3}[eEfF]|[dD][89a-fA-F][0-9a-fA-F]{2}));"
)
LONGEST_REFERENCE = 16


def clean_xml(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces of a UTF-8 file with U+FFFD for what XML does not allow; those of other encodings as they are.

    Not allowed are bytes that are no UTF-8, control characters, U+FFFE and U+FFFF, and references to such characters
    (`&#x1F;`). Positions that expat reports count each replacement as three bytes.
    """
    first = next(chunks, b"")
    found = _DECLARED.match(first[:200])
    if first.startswith(_UTF16_BOMS) or (
        found is not None and found[1].lower() not in (b"utf-8", b"utf8", b"us-ascii")
    ):
        yield first
        yield from chunks
        return
    rest = b""
    for chunk in itertools.chain((first,), chunks):
        data = rest + chunk if rest else chunk
        end = _whole(data)
        rest = data[end:]
        yield _clean(data[:end] if rest else data)
    yield _clean(rest)


def _whole(data: bytes) -> int:
    """Where to cut such that neither a character nor a reference is cut in two."""
    end = data.rfind(b"&", max(0, len(data) - LONGEST_REFERENCE))
    if end >= 0 and b";" not in data[end:]:
        return end
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:
            return len(data) - back if back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else len(data)
        if byte < 0x80:
            break
    return len(data)


def _clean(data: bytes) -> bytes:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        damaged = True
    else:
        damaged = "\ufffe" in text or "\uffff" in text or len(data.translate(None, _CONTROLS)) != len(data)
    if damaged:
        data = _ILLEGAL.sub("\ufffd", text).encode()
    return _REFERENCE.sub(b"\xef\xbf\xbd", data) if b"&#" in data else data
