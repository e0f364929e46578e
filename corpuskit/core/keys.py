"""Keys: hashes of canonical JSON, and what they are made of.

A stage's key is the hash of what its output depends on: step names, versions, parameters, digests of files and of user
code, versions of libraries, and the keys of the stages that it needs. A unit's key adds the identities of its inputs.
Never in a key: the root, the engine, workers, batch size, memory, the order of a listing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic


def _plain_numbers(value: Any) -> Any:
    """4.0 and 4 are one value, whichever way a recipe writes it."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _plain_numbers(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_numbers(item) for item in value]
    return value


def canonical(value: Any) -> str:
    """Canonical JSON: what every key is a hash of."""
    return json.dumps(_plain_numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any, length: int = 16) -> str:
    """SHA-256 of the canonical JSON, the first `length` hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def safe_name(name: str) -> str:
    """A rule's name as part of a folder's name."""
    clean = "".join(c if c.isalnum() or c in "._" else "_" for c in name)[:40]
    return clean if clean == name else f"{clean}-{digest(name, 6)}"


def block_hash(salt: str, source: str, relative: str, block: int) -> int:
    """The 44 leading bits of a document id: uint64 with the 20 bits of the record number zero."""
    text = canonical([salt, source, relative, block])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 20 << 20


def plain(value: Any) -> Any:
    """A validated parameter as JSON that validates to the same again, in another process."""
    if isinstance(value, pydantic.BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
