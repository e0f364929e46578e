"""Sources of the quickstart: the text that came with the Python environment corpuskit runs in.

Each reads one `*.dist-info/RECORD`, the list of the files of an installed distribution, in which every file (or
docstring) is a record. `max_bytes` bounds what one distribution may give; which files those are follows from the hash
of their paths alone, so that the same environment always gives the same corpus.
"""

import ast
import csv
import email
import hashlib
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

from corpuskit import step


def _files(record: Path, max_bytes: int) -> Iterator[tuple[str, Path]]:
    """(path in RECORD, file) of a distribution, in the order of the hash of the path, up to `max_bytes` in all."""
    with record.open(newline="", encoding="utf-8") as rows:
        listed = [row[0] for row in csv.reader(rows) if row]
    budget = max_bytes
    for name in sorted(listed, key=lambda name: hashlib.sha256(name.encode()).digest()):
        path = record.parent.parent / name
        if name.endswith(".py") and path.is_file() and path.stat().st_size <= budget:
            budget -= path.stat().st_size
            yield name, path


def _text(path: Path) -> str | step.Bad:
    try:
        with tokenize.open(path) as lines:  # in the encoding that the file declares, else UTF-8
            return lines.read()
    except (UnicodeDecodeError, SyntaxError) as error:
        return step.Bad(f"not Python source: {error}", str(path))


@step.source(columns={"package": "string", "path": "string"})
def code(file, *, max_bytes: int = 4_000_000):
    """Python files of the distribution."""
    record = Path(file)
    for name, path in _files(record, max_bytes):
        text = _text(path)
        yield text if isinstance(text, step.Bad) else {"text": text, "package": _package(record), "path": name}


@step.source(columns={"package": "string", "path": "string", "name": "string"})
def docstrings(file, *, max_bytes: int = 4_000_000):
    """Docstrings of the distribution's modules, classes and functions, one a record."""
    record = Path(file)
    for name, path in _files(record, max_bytes):
        text = _text(path)
        if isinstance(text, step.Bad):
            yield text
            continue
        try:
            with warnings.catch_warnings(action="ignore"):  # other people's invalid escapes
                tree = ast.parse(text)
        except (SyntaxError, ValueError):
            yield step.Skip("file of another Python version")
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found = ast.get_docstring(node)
                if found:
                    label = getattr(node, "name", Path(name).stem)
                    yield {"text": found, "package": _package(record), "path": name, "name": label}


@step.source(columns={"package": "string"})
def descriptions(file):
    """The long description in the distribution's METADATA."""
    record = Path(file)
    metadata = record.with_name("METADATA")
    if not metadata.is_file():
        yield step.Skip("no METADATA")
        return
    message = email.message_from_bytes(metadata.read_bytes())
    body = message.get_payload(decode=True) or b""
    yield {"text": body.decode("utf-8", "replace"), "package": _package(record)}


@step.source(columns={"package": "string", "path": "string"})
def licenses(file):
    """Licence, notice and author files beside the METADATA."""
    record = Path(file)
    wanted = ("licen", "copying", "notice", "authors")
    for path in sorted(record.parent.rglob("*")):
        if path.is_file() and path.name.lower().startswith(wanted):
            name = path.relative_to(record.parent).as_posix()
            yield {"text": path.read_bytes().decode("utf-8", "replace"), "package": _package(record), "path": name}


def _package(record: Path) -> str:
    return record.parent.name.removesuffix(".dist-info")
