"""The recipe's models: what keys there are, of what types, with what defaults; and the validated recipe itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import to_jsonable_python

from corpuskit.core.calls import Source, StepCall
from corpuskit.core.numbers import Bytes, Seconds
from corpuskit.core.settings import Keys, Name
from corpuskit.index.settings import Index
from corpuskit.loops.settings import Train
from corpuskit.shards.settings import Mix


class SourceKeys(Keys):
    """Where documents of a domain come from; all other keys are parameters of the reader."""

    read: str
    """The reader: a built-in name, `./file.py:function`, or `datatrove:Class`."""
    path: str | Annotated[list[str], Field(min_length=1)]
    """A file, folder, pattern or URL, or a list of such; relative to the recipe's folder."""
    domain: Name | None = None
    """The domain of its documents; default: the source's name."""
    on_error: Literal["fail", "drop"] = "fail"
    """What an unreadable record means: `fail` after all good units were committed, or `drop` it, counted."""


class Settings(Keys):
    """The recipe: what to read, what to do with it, how to mix it, and what to train."""

    name: Name | None = None
    """Name of the run's folder; default: the file's name."""
    memory: Annotated[Bytes, Field(ge=512 << 20)] = 2 << 30
    """What a worker may use, such as `4GiB`; at least `512MiB`."""
    batch_bytes: Annotated[Bytes, Field(ge=1)] = 8 << 20
    """Text of a batch to work on; changes no output."""
    timeout: Seconds | dict[str, Seconds] | None = None
    """What a unit may take, such as `2h`; or a table of such by stage, named as for `--until`. Default: any time."""
    max_doc_bytes: Annotated[Bytes, Field(ge=1)] = 64 << 20
    """A larger record is unreadable, and counted so."""
    keep_dropped: bool = False
    """Keep the texts of all dropped documents and duplicates, not of a sample of the first."""
    salt: str = ""
    """Any text; another one gives all documents other ids."""
    sources: Annotated[dict[Name, Any], Field(min_length=1)]
    """Sources by name."""
    steps: list[Any] = []
    """What is done to the documents, in order."""
    index: Index = Index()
    """What is kept beside the corpus to search it by."""
    mix: Mix | None = None
    """Without it the run ends at the corpus."""
    train: Train | None = None
    """Without it the run ends at the shards."""
    expect: list[str] = []
    """What must hold at the end, such as `docs('books') > 10`."""


@dataclass(frozen=True)
class Recipe:
    """A validated recipe; presets are expanded, defaults filled in. Keys as in `Settings`.

    `path` is the recipe's file and `base` its folder, from which relative paths start. `memory`, `batch_bytes` and
    `max_doc_bytes` are bytes. `written_steps` counts those that the file has. `warnings` are what is allowed but
    seldom meant.
    """

    name: str
    path: Path
    base: Path
    memory: int
    batch_bytes: int
    timeout: int | dict[str, int] | None
    max_doc_bytes: int
    keep_dropped: bool
    salt: str
    sources: dict[str, Source]
    steps: list[StepCall]
    written_steps: int
    index: Index
    mix: Mix | None
    train: Train | None
    expect: list[str]
    warnings: list[str]

    def resolved(self) -> dict[str, Any]:
        """The recipe as plain data, everything filled in and paths absolute: it loads to the same recipe anywhere."""
        plain = {
            key: getattr(self, key)
            for key in ("name", "memory", "batch_bytes", "max_doc_bytes", "keep_dropped", "salt")
        }
        if self.timeout is not None:
            plain["timeout"] = self.timeout
        plain["sources"] = {name: self._source(source) for name, source in self.sources.items()}
        plain["steps"] = [self._step(call) for call in self.steps]
        if self.index != Index():
            plain["index"] = to_jsonable_python(self.index)
        if self.mix is not None:
            if not any(call.step.name == "holdout" for call in self.steps):
                plain["steps"].append({"holdout": "none"})
            plain["mix"] = to_jsonable_python(self.mix, exclude={"phases", "write", "weights"})
            if self.mix.phases is None:
                plain["mix"]["weights"] = _weights(self.mix.weights)
            else:
                plain["mix"]["phases"] = [
                    {"until": phase.until, "weights": _weights(phase.weights), "seq_len": phase.seq_len}
                    for phase in self.mix.phases
                ]
        if self.train is not None:
            plain["train"] = to_jsonable_python(self.train)
        return {**plain, "expect": list(self.expect)}

    def _source(self, source: Source) -> dict[str, Any]:
        return {
            "read": absolute_reference(source.read, self.base),
            "path": [absolute(path, self.base) for path in source.path],
            "domain": source.domain,
            "on_error": source.on_error,
            **_params(source.params),
        }

    def _step(self, call: StepCall) -> dict[str, Any]:
        plain = {absolute_reference(call.reference, self.base): _params(call.params), "name": call.name}
        return plain if call.only is None else {**plain, "only": call.only}


def _params(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name.rstrip("_"): to_jsonable_python(value, by_alias=True) for name, value in params.items()}


def _weights(weights: str | Mapping[str, Any]) -> Any:
    return weights if isinstance(weights, str) else _params(weights)


def absolute(path: str, base: Path) -> str:
    """A path or pattern against a folder; URLs stay as they are."""
    return path if "://" in path else str(base / path)


def absolute_reference(reference: str, base: Path) -> str:
    """A step's reference with its file, if it has one, against a folder."""
    file, colon, name = reference.rpartition(":")
    return f"{base / file}:{name}" if colon and file.endswith(".py") else reference
