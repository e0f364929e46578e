"""What the tests of readers share: reading a file whole, as a unit of work would."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corpuskit.core.registry import builtin
from corpuskit.core.step import Bad, Skip
from corpuskit.errors import InputError
from corpuskit.sources.base import SourceFile


@dataclass
class Found:
    """Everything a reader gave for a file, in its kinds and in order."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    error: InputError | None = None
    file: SourceFile | None = None

    @property
    def texts(self) -> list[str]:
        return [document["text"] for document in self.documents]


def read(
    reader: str, path: Path | str, relative: str | None = None, *, file: SourceFile | None = None, **params: Any
) -> Found:
    """Read a file with a built-in reader; an InputError is part of what was found."""
    found = Found(file=file or SourceFile(str(path), relative or Path(path).name))
    step = builtin(("source",))[reader]
    columns = step.output_columns(step.validate(params))
    try:
        for record in step.function(found.file, **step.validate(params)):
            if isinstance(record, dict):
                record["text"].encode()  # a lone surrogate would fail here
                unknown = set(record) - set(columns) - {"text", "meta"}
                assert not unknown, f"undeclared columns {unknown}"
                found.documents.append(record)
            elif isinstance(record, Bad):
                found.bad.append(record)
            else:
                assert isinstance(record, Skip)
                found.skipped.append(record.reason)
    except InputError as error:
        found.error = error
    return found
