"""What keys hold of parameters, files and users' code: literals and digests only."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pydantic

from corpuskit.errors import UsageError


class File(str):
    """A parameter that names a file: resolved against the recipe's folder, its content digest enters the key."""

    __slots__ = ()

    def fingerprint(self) -> dict[str, Any]:
        """What of the file enters a key; a kind of file that is read by more than its content adds to it."""
        return {"file": file_digest(Path(self))}

    @property
    def bytes(self) -> int:
        """Its size."""
        return Path(self).stat().st_size

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())


class Folder(str):
    """A parameter that names a folder or a URL: a folder is resolved against the recipe's.

    The address enters the key, nothing of what lies there does; a kind of folder that is read changes that.
    """

    __slots__ = ()

    def fingerprint(self) -> Any:
        """What of the folder enters a key."""
        return str(self)

    @classmethod
    def at(cls, path: Path) -> Self:
        """The parameter by its absolute path.

        Raises:
            UsageError: it cannot be used.
        """
        if not path.is_dir():
            raise UsageError(f"there is no folder {path}")
        return cls(os.path.normpath(path))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(min_length=1))


def fingerprint_value(value: Any) -> Any:
    """Turn a parameter into JSON; a file becomes its digest; what cannot be hashed is an error."""
    if isinstance(value, File | Folder):
        return value.fingerprint()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, pydantic.BaseModel):
        return {name: fingerprint_value(getattr(value, name)) for name in sorted(type(value).model_fields)}
    if isinstance(value, Mapping):
        return {str(key): fingerprint_value(item) for key, item in sorted(value.items(), key=lambda kv: str(kv[0]))}
    if isinstance(value, list | tuple):
        return [fingerprint_value(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((fingerprint_value(item) for item in value), key=repr)
    msg = f"a parameter of type {type(value).__name__} has no identity that a key could hold: {value!r}"
    raise UsageError(msg, "use numbers, strings, lists, tables or step.File")


_digests: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, remembered by (path, size, mtime) within the process."""
    try:
        status = path.stat()
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise UsageError(msg) from None
    key = (str(path), status.st_size, status.st_mtime_ns)
    if key not in _digests:
        with path.open("rb") as stream:
            _digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _digests[key]


def source_digest(path: Path) -> str:
    """Digest of a user's Python file and the local modules it imports: their syntax trees, without docstrings."""
    digest = hashlib.sha256()
    for current, tree in local_modules_of(path):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        name = current.relative_to(path.parent) if current.is_relative_to(path.parent) else current.name
        digest.update(f"{name}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def local_modules_of(path: Path) -> Iterator[tuple[Path, ast.Module]]:
    """A Python file and, once each, the files beside it that it imports, with what those import."""
    waiting, seen = [path], set()
    while waiting:
        current = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        tree = ast.parse(current.read_text(encoding="utf-8"), str(current))
        yield current, tree
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                waiting += _local_modules([path.parent], [alias.name for alias in node.names])
            elif isinstance(node, ast.ImportFrom):
                base = [current.parents[node.level - 1]] if node.level else [path.parent]
                names = [alias.name for alias in node.names]
                package = [node.module] if node.module else []
                waiting += _local_modules(base, package + [".".join([*package, name]) for name in names])


def _local_modules(folders: Iterable[Path], names: Iterable[str]) -> list[Path]:
    """Files of modules that lie below one of the folders, with the `__init__.py` of every package on the way."""
    found = []
    for folder in folders:
        for name in names:
            parts = name.split(".")
            ways = [folder.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
            found += [way / "__init__.py" for way in ways]
            found.append(ways[-1].with_suffix(".py"))
    return [path for path in found if path.is_file()]
