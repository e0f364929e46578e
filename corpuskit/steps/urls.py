"""`urls`: documents whose address is on a block list, a filter."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from corpuskit.core import step
from corpuskit.core.batch import Batch
from corpuskit.core.identity import File, file_digest
from corpuskit.errors import UsageError
from corpuskit.steps.importance import text_lines

GENERAL = frozenset({"domains", "urls", "expressions", "usage"})
"""Names of files in a list of the University of Toulouse, whose folder names it."""

LONGEST = 2000
"""Characters of an address that are compared."""

_URL = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:)?(?://)?(?:[^/?#@]*@)?(\[[^\]/?#]*\]|[^:/?#]*)(?::\d*)?([/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_BORDER = re.compile(r"[/?#&=;]")
_WORD = re.compile(r"[^\W_]+")


class ListFile(File):
    """A file with an entry a line; its name, by which it is counted, enters the key beside its content."""

    __slots__ = ()

    @property
    def label(self) -> str:
        """`adult` for `adult/domains` and `adult.txt.gz`."""
        path = Path(self)
        stem = path.name.split(".")[0] or path.name
        return path.parent.name if stem in GENERAL and path.parent.name else stem

    def fingerprint(self) -> dict[str, Any]:
        """Content and name."""
        return {**super().fingerprint(), "label": self.label}


Lists = Annotated[list[ListFile], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]
"""A parameter of lists: a file, a pattern, or a list of them."""


def host_and_rest(url: str) -> tuple[str, str]:
    """The host of an address, lower-cased, in ASCII (IDNA), without port, and what follows from `/`, `?` or `#` on."""
    found = _URL.fullmatch(url.strip()[:LONGEST])
    host, rest = (found[1].lower().rstrip("."), found[2] or "") if found else ("", "")
    if not host.isascii():
        with contextlib.suppress(UnicodeError):
            host = host.encode("idna").decode()
    return host, rest


def _domains(url: str) -> Iterator[str]:
    """The host and the domains that it belongs to; of an IP address itself alone."""
    host, _ = host_and_rest(url)
    while host:
        yield host
        host = "" if host[-1].isdigit() or host[0] == "[" else host.partition(".")[2]


def _prefix(url: str) -> str:
    host, rest = host_and_rest(url)
    return (host.removeprefix("www.") + rest).rstrip("/")


def _prefixes(url: str) -> Iterator[str]:
    """What an address begins with, up to each mark that ends a part of it, and all of it."""
    whole = _prefix(url)
    for border in _BORDER.finditer(whole):
        yield whole[: border.start()]
        yield whole[: border.end()]
    yield whole


def _words(url: str) -> Iterator[str]:
    yield from _WORD.findall(unquote(url[:LONGEST]).lower())


@dataclass(frozen=True, eq=False)
class _Entries:
    """Entries of lists by their hashes, uint64[m] sorted, and the label of the first list of each, int64[m]."""

    hashes: npt.NDArray[np.uint64]
    owners: npt.NDArray[np.int64]
    labels: list[str]


def _hash(entry: str) -> int:
    return int.from_bytes(hashlib.blake2b(entry.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


@functools.lru_cache(maxsize=8)
def _load(files: tuple[tuple[ListFile, str], ...], normal: Callable[[str], str]) -> _Entries:
    hashes: list[int] = []
    owners: list[int] = []
    for number, (file, _) in enumerate(files):
        for _, line in text_lines(Path(file), "`urls` reads all of its lists"):
            if (entry := line.strip()) and not entry.startswith("#"):
                hashes.append(_hash(normal(entry)))
                owners.append(number)
    values, first = np.unique(np.array(hashes, np.uint64), return_index=True)
    return _Entries(values, np.array(owners, np.int64)[first], [file.label for file, _ in files])


def _domain(entry: str) -> str:
    return host_and_rest(entry)[0].removeprefix("*.").removeprefix(".")


_KINDS: dict[str, tuple[Callable[[str], str], Callable[[str], Iterator[str]]]] = {
    "domains": (_domain, _domains),
    "prefixes": (_prefix, _prefixes),
    "words": (str.lower, _words),
}
"""By parameter: what becomes of an entry, and which entries would block an address."""


def _some(words: list[ListFile], info: ValidationInfo) -> list[ListFile]:
    if {"domains", "prefixes"} <= set(info.data) and not (words or info.data["domains"] or info.data["prefixes"]):
        raise ValueError("name files in `domains`, `prefixes` or `words`")
    return words


@step.filter
def urls(
    batch: Batch,
    *,
    domains: Lists = [],  # noqa: B006 - never changed
    prefixes: Lists = [],  # noqa: B006
    words: Annotated[Lists, AfterValidator(_some), Field(validate_default=True)] = [],  # noqa: B006
    column: str = "url",
) -> tuple[pa.Array, pa.Array, pa.RecordBatch]:
    """Drop documents whose address is on a block list, counted by list in `stats` and `findings/`.

    Lists are files of yours with an entry a line, plain or compressed; blank lines and lines that begin with `#` are
    passed over. Those of the University of Toulouse (UT1, as RefinedWeb and FineWeb use them) are read as they are:
    `domains: blacklists/*/domains`, `prefixes: blacklists/*/urls`. A list is named as its file, or as the folder of a
    file `domains` or `urls`; an entry of several lists counts for the first. Schemes, user names and ports are not
    compared, and of an address 2,000 characters are. A document without an address is kept.

    Args:
        batch: n documents with the column.
        domains: hosts and domains, whose subdomains are blocked with them; names in any script, compared as IDNA has
            them. An IP address stands for itself.
        prefixes: beginnings of addresses, `host/path`, which end where a part of the address does: `a.org/x` blocks
            `http://www.a.org/x/y` and `a.org/x?y`, not `a.org/xy`. `www.` is not compared.
        words: words anywhere in the address, between characters that are neither letters nor digits, in any case.
        column: of the addresses.

    Returns:
        Masks, bool[n], reasons, string[n] (`LIST: entry`), and findings.

    Raises:
        UsageError: there is no such column of text.
        InputError: a line of a list cannot be read.
    """
    if column not in batch.schema.names or not pa.types.is_string(batch.column(column).type):
        columns = ", ".join(batch.schema.names)
        raise UsageError(f"`urls` finds no column `{column}` of text", f"name one in `column`: {columns}")
    given = {"domains": domains, "prefixes": prefixes, "words": words}
    lists = [(_load(_with_digests(files), _KINDS[kind][0]), _KINDS[kind][1]) for kind, files in given.items() if files]
    blocked: list[tuple[str, str] | None] = [None] * batch.num_rows
    addresses = batch.column(column).to_pylist()
    for entries, candidates in lists:
        for row, label, entry in _blocked(addresses, entries, candidates):
            blocked[row] = blocked[row] or (label, entry)
    rows = [row for row, found in enumerate(blocked) if found]
    found = [one for one in blocked if one]
    findings = pa.record_batch(
        {
            "row": pa.array(rows, pa.int64()),
            "what": pa.array([label for label, _ in found], pa.string()),
            "times": pa.array([1] * len(rows), pa.int64()),
            "item": pa.array([entry for _, entry in found], pa.string()),
        }
    )
    reasons = pa.array([": ".join(one) if one else None for one in blocked], pa.string())
    return pa.array([one is None for one in blocked], pa.bool_()), reasons, findings


def _with_digests(files: list[ListFile]) -> tuple[tuple[ListFile, str], ...]:
    return tuple((file, file_digest(Path(file))) for file in files)


def _blocked(
    addresses: list[str | None], entries: _Entries, candidates: Callable[[str], Iterator[str]]
) -> Iterator[tuple[int, str, str]]:
    """(row, list, entry) of what is on a list, rising by row; several a row, the longest domain first."""
    pairs = [(row, entry) for row, url in enumerate(addresses) if url for entry in candidates(url)]
    hashes = np.array([_hash(entry) for _, entry in pairs], np.uint64)
    place = np.searchsorted(entries.hashes, hashes)
    padded = np.append(entries.hashes, np.uint64(0))
    for number in np.flatnonzero((padded[place] == hashes) & (place < len(entries.hashes))).tolist():
        row, entry = pairs[number]
        yield row, entries.labels[entries.owners[place[number]]], entry
