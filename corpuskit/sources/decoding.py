"""From the bytes of a page, book or source file to its text, on evidence: what a file says of itself may be wrong.

In this order: a byte-order mark; UTF-8, if all of it is, or nearly all of what is not ASCII (the rest becomes U+FFFD);
what it looks like, if there are words enough to tell; what the file says; windows-1252 if it may be that and there are
too few accents to tell; what it looks like. Of these, one that makes far worse words than another is passed over.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import unicodedata
from collections.abc import Iterable, Iterator

LOOKED_AT, JUDGED = 1 << 14, 1 << 12
"""Bytes beside what is not ASCII that an encoding is detected by, and those that encodings are compared by."""

ENOUGH = 40
"""Bytes that are not ASCII from which on an encoding is told by them."""

FEW = 12
"""Bytes that are not ASCII up to which nobody tells windows-1252 from its Latin neighbours: it is far more common."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_META = re.compile(
    rb"<meta[^>]{1,300}?charset\s*=\s*[\"']?\s*([\w:.-]{2,40})|<\?xml[^>]{1,100}?encoding\s*=\s*[\"']([\w.-]+)",
    re.IGNORECASE,
)
_JAPANESE = re.compile(rb"\x1b\$[@B](?:[!-~]{2})+\x1b\([BJ]")
_AROUND = re.compile(rb"[\x80-\xff]+[\x00-\x7f]{0,8}")
_SUPERSETS = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "johab": "cp949",
    "big5": "big5hkscs", "koi8-r": "koi8-u", "iso2022_jp": "iso2022_jp_ext",
}  # fmt: skip
"""Encodings that files use under the name of the smaller one (https://encoding.spec.whatwg.org/#names-and-labels)."""

_OTHERS = {"cp437", "cp850", "cp852", "cp855", "cp858", "cp865", "mac-cyrillic", "mac-latin2", "iso-8859-16"}
"""Encodings that no browser reads and old files are declared to have."""

BINARY_CHARACTERS = 8192
MOST_CONTROL = 0.02
"""The share of control characters, and of bytes that decode to nothing, beyond which a file is binary."""

_CONTROL = re.compile(r"[^\t\n\r\f\b\x1b\x20-\x7e\u00a0-\ufffc\U00010000-\U0010ffff]")

_ODD = 0.05
"""The share of odd characters by which another encoding must be better than what the file says."""


def decode(content: bytes, *declared: str | None) -> str:
    """The text of a file.

    Args:
        declared: names of encodings that the file is said to have, the most trusted first.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _replaced(content, declared) or content.decode(_encoding(content, declared), "replace")
    if "\x1b$" in text and _JAPANESE.search(content):
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode("iso2022_jp_ext")
    if "\0" in text and (wide := _wide(content)) is not None:
        return content.decode(wide, "replace")
    return text


def decode_page(content: bytes, charset: str | None = None) -> str:
    """The text of an HTML or XML page; `charset` is what the HTTP header says."""
    found = _META.search(content, 0, 4096)
    said = (found[1] or found[2]).decode("ascii", "replace") if found else None
    return decode(content, charset, said)


def is_binary(text: str) -> bool:
    """Whether what was decoded is no text, by the characters at its beginning."""
    return len(_CONTROL.findall(text, 0, BINARY_CHARACTERS)) > min(len(text), BINARY_CHARACTERS) * MOST_CONTROL


def _replaced(content: bytes, declared: Iterable[str | None]) -> str | None:
    """The text as UTF-8 with replacements, if it is UTF-8 but for few bytes."""
    text = content.decode("utf-8", "replace")
    bad = text.count("\ufffd") - content.count("\ufffd".encode())  # those that a tool before put there are letters
    good = len(text) - bad - len(text.encode("ascii", "ignore"))
    other = any(_codec(name) not in (None, "utf-8") for name in declared)
    return text if good >= bad * (3 if other else 1) and good else None


def _wide(content: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of what is mostly ASCII is zero."""
    odd, even = content[1:2000:2].count(0), content[:2000:2].count(0)
    least = len(content[:2000]) // 5
    return "utf-16-le" if odd > least > even else "utf-16-be" if even > least > odd else None


def _encoding(content: bytes, declared: Iterable[str | None]) -> str:
    """The encoding of what is not UTF-8."""
    # what is ASCII says nothing, and detectors look at a limited part
    pieces, size, end = [], 0, 0
    for found in _AROUND.finditer(content):
        pieces.append(content[max(end, found.start() - 8) : found.end()])
        size, end = size + len(pieces[-1]), found.end()
        if size > LOOKED_AT:
            break
    sample = b" ".join(pieces)[:LOOKED_AT]
    guess = _detected(sample)
    said = [name for name in map(_codec, declared) if name is not None and name != "utf-8"]
    if guess is not None and guess in said[:1]:
        return guess
    # words tell more than a declaration does, if there are enough of them
    telling = sum(byte >= 0x80 for byte in sample[:JUDGED])
    names = [guess, *said] if telling >= ENOUGH else [*said, guess]
    if telling <= FEW and guess is not None and _latin(sample.decode(guess, "replace")):
        names.insert(len(said), "cp1252")
    odd = {name: _odd(sample[:JUDGED], name) for name in [*names, "cp1252"] if name is not None and name != "utf-8"}
    return next(name for name, one in odd.items() if one <= min(odd.values()) + _ODD)


def _detected(sample: bytes) -> str | None:
    from resiliparse.parse.encoding import detect_encoding

    found = detect_encoding(sample, max_len=len(sample), html5_compatible=False, from_html_meta=False)
    with contextlib.suppress(LookupError):
        return _python(found or "ascii")
    return None


def _codec(name: str | None) -> str | None:
    """Python's name of an encoding as browsers read it; None for a name that neither they nor _OTHERS know."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    if name in _OTHERS:
        return name
    mapped = map_encoding_to_html5(name) if name else None
    if mapped is None or (mapped == "utf-8" and "8" not in str(name)):  # so are names without a meaning
        return None
    return _python(mapped)


def _python(name: str) -> str:
    python = codecs.lookup(name).name
    return _SUPERSETS.get(python, python)


def _odd(sample: bytes, encoding: str) -> float:
    """The share of what is not ASCII that text does not have.

    That is: bytes that decode to nothing, a sign within a word, an upper-case letter after a lower-case one, letters of
    two scripts in a word, three accented letters in a row.
    """
    text = sample.decode(encoding, "replace")
    found = total = 0
    for before, one, after in _threes(text):
        if one < "\x80":
            continue
        total += 1
        kind = unicodedata.category(one)
        if one == "\ufffd" or kind in ("Cc", "Cn", "Co"):
            found += 2
        elif kind[0] == "L":
            script = _script(one)
            near = [_script(other) for other in (before, after) if other.isalpha()]
            mixed = any(other != script and {other, script} & _APART for other in near)
            rising = kind == "Lu" and before.islower()
            accents = script == "latin" and before >= "\x80" <= after and before.isalpha() and after.isalpha()
            found += mixed or rising or accents
        elif kind[0] in "SN" or one in "¡¿":
            found += before.isalpha() and after.isalpha() and _script(before) != "han"
    return found / max(1, total)


def _threes(text: str) -> Iterator[tuple[str, str, str]]:
    padded = f" {text} "
    return zip(padded, padded[1:], padded[2:], strict=False)


_APART = {"latin", "greek", "cyrillic", "hebrew", "arabic", "thai"}
_BLOCKS = (
    (0x250, "latin"), (0x370, "other"), (0x400, "greek"), (0x530, "cyrillic"), (0x590, "other"), (0x600, "hebrew"),
    (0x780, "arabic"), (0xE00, "other"), (0xE80, "thai"), (0x1E00, "other"), (0x1F00, "latin"), (0x2000, "greek"),
)  # fmt: skip


def _latin(text: str) -> bool:
    """Whether no letter is of another script."""
    return all(_script(letter) == "latin" for letter in text if letter.isalpha())


def _script(letter: str) -> str:
    point = ord(letter)
    return next((name for end, name in _BLOCKS if point < end), "han")
