"""`pii`: personal data and secrets that have a form of their own, masked or cut, an edit.

A kernel finds where something could begin; here patterns, checksums and what stands around it say what is there.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from corpuskit.core import step
from corpuskit.core.batch import Batch, set_column, utf8
from corpuskit.core.findings import counted

Kind = Literal["email", "ipv4", "ipv6", "phone", "iban", "card", "key"]
KINDS: tuple[Kind, ...] = ("email", "ipv4", "ipv6", "phone", "iban", "card", "key")
"""In the order of the numbers of `corpuskit.kernels.anchors`."""

Span = tuple[int, int] | None
"""Where in the bytes it is, if it is there."""

_EMAIL = re.compile(
    rb"[A-Za-z0-9_][A-Za-z0-9._%+'-]*(?<![.'])@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,18})"
    rb"(?![A-Za-z0-9_@(]|-[A-Za-z0-9])"
)
_NO_MAIL = re.compile(
    rb"(?:.*[.])?example[.](?:com|org|net|edu)|.*[.](?:example|invalid|test|localhost|png|jpe?g|gif|svg|webp|css|js)",
    re.IGNORECASE,
)
"""Domains of RFC 2606, which are nobody's, and names of files such as logo@2x.png."""

_IPV4 = re.compile(rb"\d{1,3}(?:\.\d{1,3}){3}(?![\w.-]*\w\.\w|\.?\w|[-_]\w)")
_VERSION = re.compile(
    rb"(?:\b(?:v|ver|version|versions|rel|release|rev|revision|build|firmware|driver|update|sections?|sec|chapter|"
    rb"fig|figure|table|clause|rule|article|oid|part|step|appendix|paragraph|edition)|\xc2\xa7|#)"
    rb"""[.:]?["']?\s{0,3}[=:]?\s{0,3}["'([]?$""",
    re.IGNORECASE,
)
"""What stands before numbers of versions and sections."""
_LONGER = (b".", b"-", b"~", b"^", b"==", b">=", b"<=", b"\\")
"""What stands before the end of longer numbers or of a name, as does one slash: libfoo-1.2.3.4, Chrome/1.2.3.4."""
_NUMBERING = 40
"""Four numbers up to this are a version or a section rather than an address: one address in 1,700 is like that."""
_PORT = re.compile(rb":\d")

_IPV6 = re.compile(rb"[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:.]*\w)")
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")

_PHONE = re.compile(rb"\+[1-9](?:(?:[ ./-]|\xc2\xa0)?(?:\(\d{1,5}\)(?:[ ./-]|\xc2\xa0)?)?\d){7,18}(?![\w]|[.,/:-]?\d)")
_CALLING_CODE = re.compile(
    rb"1(?=[2-9]\d\d[2-9]\d{6}$)|7(?=\d{10}$)|2(?:[07]|1[1-8]|[2-69]\d)|3(?:[0-469]|[578]\d)|4(?:[013-9]|2\d)|"
    rb"5(?:[1-8]|[09]\d)|6(?:[0-6]|[789]\d)|8(?:[1246]|[0578]\d)|9(?:[0-58]|[67]\d|9[2-68])"
)
"""Codes of ITU-T E.164; North America and Russia have numbers of one length."""

_IBAN = re.compile(rb"[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]){11,30}")
_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_LENGTHS = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}
"""Characters of an IBAN by country, from SWIFT's registry."""

_CARD = re.compile(rb"\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5}|\d{13,19}")
_CARD_GOES_ON = re.compile(rb"\w|[-.]\d|[ ]\d{4}(?!\d)")
_ISSUER = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}|"
    rb"(?:6011|64[4-9]\d|65\d\d|35(?:2[89]|[3-8]\d))\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}"
)
"""Visa, Mastercard, American Express, Discover and JCB, Diners Club, UnionPay."""

_KEY = re.compile(
    rb"(?:AKIA|ASIA)[A-Z2-7]{16}(?!\w)|AIza[\w-]{35}(?![\w-])|gh[pousr]_[A-Za-z0-9]{36,255}(?!\w)|"
    rb"github_pat_[A-Za-z0-9_]{60,255}(?!\w)|xox[abeoprs]-(?=[a-z-]*\d)[A-Za-z0-9-]{10,250}(?!\w)|"
    rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}(?!\w)"
)
_AWS_SECRET = re.compile(
    rb"""aws_?secret_?(?:access_?)?key["']?\s{0,8}(?:=>?|:)\s{0,8}["']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])""",
    re.IGNORECASE,
)
_PRIVATE = re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?)-----")
_LONGEST_KEY, _SHORTEST_KEY = 1 << 15, 64
"""Bytes of a block with a private key."""


def _email(data: memoryview, start: int, end: int, first: int) -> Span:
    del first
    while start < end and data[start] in b".'%+-":
        start += 1
    found = _EMAIL.match(data, start, end)
    if found is None or _NO_MAIL.fullmatch(found[1]):
        return None
    local = found[0][: -len(found[1]) - 1]
    if local in (b"git", b"hg", b"svn") and (found.end() == end or data[found.end()] in b":/ \n"):
        return None  # an address of a repository, as ssh has it
    return found.span()


def _ipv4(data: memoryview, start: int, end: int, first: int) -> Span:
    found = _IPV4.match(data, start, end)
    if found is None:
        return None
    before = bytes(data[max(first, start - 24) : start])
    if before.endswith(_LONGER) or (before.endswith(b"/") and not before.endswith(b"//")):
        return None
    try:
        address = ipaddress.IPv4Address(found[0].decode())
    except ipaddress.AddressValueError:
        return None
    if not address.is_global or address.is_multicast or address.packed[3] == 0 or _VERSION.search(before):
        return None
    if max(address.packed) <= _NUMBERING and before[-3:] != b"://" and not _PORT.match(data, found.end(), end):
        return None
    return found.span()


def _ipv6(data: memoryview, start: int, end: int, first: int) -> Span:
    found = _IPV6.match(data, start, end)
    if found is None or (start > first and data[start - 1] in b":."):
        return None
    written = found[0].decode().removesuffix(":") if not found[0].endswith(b"::") else found[0].decode()
    try:
        address = ipaddress.IPv6Address(written)
    except ipaddress.AddressValueError:
        return None
    groups = sum(bool(group) for group in written.split(":"))
    return (start, start + len(written)) if groups >= 3 and address in _PUBLIC_IPV6 and address.is_global else None


def _phone(data: memoryview, start: int, end: int, first: int) -> Span:
    found = _PHONE.match(data, start, end)
    if found is None or (start > first and data[start - 1] in b")]}$*/=^\"'\\" and found[0][1:].isdigit()):
        return None
    digits = re.sub(rb"\D", b"", found[0].replace(b"(0)", b""))
    code = _CALLING_CODE.match(digits)
    point = re.match(rb"\+(\d+)[.]", found[0])  # of a decimal number, unless a calling code stands before it
    if code is None or (point and point[1] != code[0]) or not 7 <= len(digits) - len(code[0]) <= 15 - len(code[0]):
        return None
    return found.span()


def _iban(data: memoryview, start: int, end: int, first: int) -> Span:
    del first
    found = _IBAN.match(data, start, end)
    length = found and _IBAN_LENGTHS.get(found[0][:2].decode())
    if found is None or not length:
        return None
    at, taken = start, bytearray()
    while len(taken) < length and at < found.end():
        if data[at] != ord(" "):
            taken.append(data[at])
        at += 1
    if len(taken) < length or (at < end and chr(data[at]).isalnum() and data[at] < 128):
        return None
    moved = (taken[4:] + taken[:4]).decode()
    return (start, at) if int("".join(str(int(c, 36)) for c in moved)) % 97 == 1 else None


def _card(data: memoryview, start: int, end: int, first: int) -> Span:
    found = _CARD.match(data, start, end)
    if found is None or (start > first and data[start - 1] in b".-/=&%#+"):
        return None
    if _CARD_GOES_ON.match(data, found.end(), end):
        return None
    digits = re.sub(rb"\D", b"", found[0])
    if not _ISSUER.fullmatch(digits):
        return None
    doubled = [(c - 48) * (1 + place % 2) for place, c in enumerate(reversed(digits))]
    return found.span() if sum(one - 9 * (one > 9) for one in doubled) % 10 == 0 else None


def _key(data: memoryview, start: int, end: int, first: int) -> Span:
    del first
    if data[start] == ord("-"):
        head = _PRIVATE.match(data, start, end)
        if head is None:
            return None
        body = bytes(data[head.end() : min(end, head.end() + _LONGEST_KEY)])
        last = body.find(b"-----END " + head[1] + b"-----")
        return (start, head.end() + last + len(head[1]) + 14) if last >= _SHORTEST_KEY else None
    secret = _AWS_SECRET.match(data, start, end)
    if secret is not None:
        return secret.span(1)
    found = _KEY.match(data, start, end)
    return found.span() if found is not None else None


_FINDERS: tuple[Callable[[memoryview, int, int, int], Span], ...] = (_email, _ipv4, _ipv6, _phone, _iban, _card, _key)


def _every_kind(kinds: Any) -> Any:
    if isinstance(kinds, list | tuple) and (not kinds or len(set(kinds)) < len(kinds)):
        raise ValueError(f"name each kind once: {', '.join(KINDS)}")
    return kinds


@step.edit(version=2)
def pii(
    batch: Batch,
    *,
    kinds: Annotated[list[Kind], pydantic.BeforeValidator(_every_kind)] = list(KINDS),  # noqa: B006 - never changed
    how: Literal["mask", "drop"] = "mask",
    masks: dict[Kind, str] | None = None,
) -> tuple[Batch, pa.RecordBatch]:
    """Mask personal data and secrets that have a form of their own, counted by kind in `stats` and `findings/`.

    - `email`: `name@host.tld` in ASCII. The example domains of RFC 2606, file names such as `logo@2x.png` and
      `git@host` stay; `name [at] host` is not recognised.
    - `ipv4`, `ipv6`: public addresses. Private, loopback, link-local, shared, documentation and multicast ranges stay;
      so do IPv4 addresses that end in 0 (networks), and numbers of versions and sections: behind a word such as
      `version` or `section`, `name/`, `==`, `-` or `.`, or before `.1`, `-rc`; four numbers up to 40 without `://` or
      a port. Of IPv6 2000::/3, with at least three groups written.
    - `phone`: in international form: `+`, a calling code of E.164, 7 to 14 more digits, 15 in all, in groups with
      blanks, `.`, `-`, `/` or brackets. Numbers without `+` are not recognised.
    - `iban`: of SWIFT's registry, by length and checksum (ISO 13616), with or without blanks.
    - `card`: 13 to 19 digits with a prefix of Visa, Mastercard, American Express, Discover, JCB, Diners Club or
      UnionPay and Luhn's checksum, unbroken or as printed on cards, and not within a URL.
    - `key`: ids and secrets of AWS (a secret behind its name), tokens of GitHub and Slack, keys of Google, JSON Web
      Tokens, blocks with a private key.

    Args:
        batch: n documents.
        kinds: what to look for.
        how: `mask` puts a mask in its place, `drop` nothing.
        masks: other masks than `<EMAIL>`, `<IPV4>` and so on, by kind. FineWeb's (Penedo et al. 2024) are
            `{email: email@example.com, ipv4: 22.214.171.124}`.

    Returns:
        The batch, and of each document that something was found in how often, by kind.
    """
    spans = list(_spans(batch.column("text"), [kind in kinds for kind in KINDS]))
    if not spans:
        return batch, _findings([], batch.num_rows)
    written = {kind: "" if how == "drop" else (masks or {}).get(kind, f"<{kind.upper()}>") for kind in KINDS}
    return set_column(batch, "text", _replaced(batch.column("text"), spans, written)), _findings(spans, batch.num_rows)


Found = tuple[int, int, int, Kind]
"""Row, borders in the bytes of the batch, kind."""


def _spans(text: pa.Array, wanted: list[bool]) -> Iterator[Found]:
    """What is found in the texts, rising, none within another."""
    from corpuskit.kernels.anchors import CLASSES, find_anchors

    data, offsets = utf8(text)
    anchors: npt.NDArray[np.int64] = find_anchors(data, offsets, np.array(wanted), CLASSES)
    view, borders, done = data.data.toreadonly(), offsets.tolist(), 0
    for row, start, kind in anchors[np.lexsort((anchors[:, 2], anchors[:, 1]))].tolist():
        if start >= done and (span := _FINDERS[kind](view, start, borders[row + 1], borders[row])) is not None:
            done = span[1]
            yield row, *span, KINDS[kind]


def _replaced(text: pa.Array, spans: list[Found], written: dict[Kind, str]) -> pa.Array:
    data, offsets = utf8(text)
    pieces: dict[int, list[bytes]] = {}
    ends: dict[int, int] = {}
    for row, start, end, kind in spans:
        before = data[ends.get(row, int(offsets[row])) : start].tobytes()
        pieces.setdefault(row, []).extend((before, written[kind].encode()))
        ends[row] = end
    for row, end in ends.items():
        pieces[row].append(data[end : int(offsets[row + 1])].tobytes())
    changed = np.zeros(len(text), bool)
    changed[list(pieces)] = True
    new = pa.array([b"".join(parts).decode() for parts in pieces.values()], text.type)
    return pc.replace_with_mask(text, pa.array(changed), new)


def _findings(spans: list[Found], rows: int) -> pa.RecordBatch:
    counts: dict[str, npt.NDArray[np.int64]] = {kind: np.zeros(rows, np.int64) for kind in KINDS}
    for row, _, _, kind in spans:
        counts[kind][row] += 1
    return counted(counts)
