"""Source code: archives and folders of repositories, one document a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.sources.archives import archive_kind, entries
from corpuskit.sources.base import SourceFile
from corpuskit.sources.decoding import decode, is_binary
from corpuskit.sources.generated import is_generated
from corpuskit.sources.languages import language_of
from corpuskit.sources.licenses import classify_license, is_license_file, spdx_tag
from corpuskit.sources.lines import too_large

# RedPajama's rules for GitHub (data_prep/github of RedPajama-Data, 2023)
LONGEST_LINE = 1000
MEAN_LINE = 100
ALPHANUMERIC = 0.25

LICENSE_BYTES = 1 << 20
_COLUMNS = {"path": "string", "repository": "string", "programming_language": "string", "license": "string"}
_HIDDEN = re.compile(r"(?:^|/)\.(?:git|hg|svn|bzr)/")
_VENDORED = re.compile(
    r"(?:^|/)(?:node_modules|bower_components|vendor|vendored|_vendor|third[-_]?party|site-packages|Godeps|Pods|"
    r"\.yarn|\.venv|venv)/",
    re.IGNORECASE,
)
_GENERATED_NAME = re.compile(
    r"[.-]min\.(?:js|css|mjs)$|\.(?:map|lock|pb\.go|pb\.cc|pb\.h|designer\.cs|g\.dart)$|_pb2(?:_grpc)?\.pyi?$"
    r"|(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|go\.sum|PKG-INFO|SOURCES\.txt|RECORD|pnpm-lock\.yaml)$",
    re.IGNORECASE,
)
_ARCHIVE_SUFFIX = re.compile(r"(?:\.(?:tar|tgz|tbz2?|txz|zip|gz|bz2|xz|zst))+$", re.IGNORECASE)


@step.source(version=3, columns=_COLUMNS)
def code(file: SourceFile) -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read tar (any compression) and zip archives of a repository, or single files of a folder.

    Per file: path in the archive, repository (the archive's name; in a folder the first folder's name), language by
    name and shebang, license by the file's SPDX tag, else by the licence text of the nearest folder above it in the
    archive, else by the only licence in the archive. In a folder only the tag counts: a file's result depends on that
    file alone.

    Counted and left out: binary, generated and vendored files, and by RedPajama's rules files whose longest line has
    1000 characters or more, whose lines have 100 or more on average, or of which at most a quarter is alphanumeric.

    Raises:
        InputError: damaged or cut, after every whole member before.
    """
    kind = archive_kind(file)
    if kind is None:
        yield from _single(file)
        return
    repository = _ARCHIVE_SUFFIX.sub("", file.relative.rpartition("/")[2])
    licenses = _licenses(file, kind)
    for entry in entries(file, kind):
        if entry.link:
            yield Skip("link")
        elif (reason := _unwanted_path(entry.name)) is not None:
            yield Skip(reason)
        else:
            content = entry.content()
            if isinstance(content, Bad):
                yield Bad(content.reason, entry.name)
            else:
                file.raw_record = content
                yield _document(content, entry.name, repository, _nearest(licenses, entry.name))


def _single(file: SourceFile) -> Iterator[dict[str, Any] | Bad | Skip]:
    first, _, _ = file.relative.partition("/")
    reason = _unwanted_path(file.relative)
    if reason is not None:
        yield Skip(reason)
        return
    with file.raw() as raw:
        content = raw.take(file.max_doc_bytes + 1)
    if len(content) > file.max_doc_bytes:
        yield Bad(too_large(file.max_doc_bytes))
    elif content:
        file.raw_record = content
        yield _document(content, file.relative, first if "/" in file.relative else None, None)


def _licenses(file: SourceFile, kind: str) -> dict[str, str]:
    """Licence by folder, from a first pass over the archive: a licence file may stand behind what it covers."""
    found: dict[str, list[str]] = {}
    members = entries(file, kind)
    while True:
        try:
            entry = next(members, None)
        except Exception:  # noqa: BLE001 - the second pass meets the same damage and reports it
            break
        if entry is None:
            break
        if entry.link or entry.size > LICENSE_BYTES or not is_license_file(entry.name):
            continue
        content = entry.content()
        name = classify_license(content.decode("utf-8", "replace")) if isinstance(content, bytes) else None
        if name:
            found.setdefault(entry.name.rpartition("/")[0], []).append(name)
    # two licence files side by side are a choice: LICENSE-MIT, LICENSE-APACHE
    return {folder: " OR ".join(sorted(set(names))) for folder, names in found.items()}


def _nearest(licenses: dict[str, str], path: str) -> str | None:
    folder = path
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        if folder in licenses:
            return licenses[folder]
    if "" in licenses:
        return licenses[""]
    # one licence in all of the archive is its licence wherever the text lies (Debian: usr/share/doc/NAME/copyright)
    return next(iter(licenses.values())) if len(set(licenses.values())) == 1 else None


def _unwanted_path(path: str) -> str | None:
    if _HIDDEN.search(path):
        return "version control data"
    if _VENDORED.search(path):
        return "vendored"
    return "generated" if _GENERATED_NAME.search(path) else None


def _document(content: bytes, path: str, repository: str | None, license_: str | None) -> dict[str, Any] | Skip:
    if b"\0" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Skip("binary")
    text = decode(content)
    if is_binary(text):
        return Skip("binary")
    reason = "generated" if is_generated(text) else redpajama_rule(text)
    if reason is not None:
        return Skip(reason)
    return {
        "text": text,
        "path": path,
        "repository": repository,
        "programming_language": language_of(path, text),
        "license": spdx_tag(text) or license_,
    }


def redpajama_rule(text: str) -> str | None:
    """The first of RedPajama's rules that a file breaks; lines are counted in characters."""
    if not text.strip():
        return None
    # one number per character, so that a file of any size is judged at the speed of memory
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    ends = np.flatnonzero(points == ord("\n"))
    lengths = np.diff(ends, prepend=-1, append=len(points)) - 1
    if points[-1] == ord("\n"):
        lengths = lengths[:-1]
    if lengths.max() >= LONGEST_LINE:
        return "longest line"
    if lengths.mean() >= MEAN_LINE:
        return "mean line"
    if _alphanumeric(points) <= ALPHANUMERIC * len(points):
        return "alphanumeric share"
    return None


def _alphanumeric(points: np.ndarray) -> int:
    ascii_points = points[points < 128]
    low = ascii_points | 0x20
    count = np.count_nonzero((low >= ord("a")) & (low <= ord("z"))) + np.count_nonzero(
        (ascii_points >= ord("0")) & (ascii_points <= ord("9"))
    )
    others = points[points >= 128]
    if len(others):
        values, counts = np.unique(others, return_counts=True)
        count += sum(int(n) for value, n in zip(values.tolist(), counts.tolist(), strict=True) if chr(value).isalnum())
    return int(count)
