"""Any filter and any file reader of datatrove as a step: `datatrove:ClassName`, with its constructor's arguments.

A class is used for its decision alone, document by document. Refused are classes that draw random numbers in the order
of documents, take a Python function, or rewrite the text while they filter: their result would depend on the batch,
could not be keyed, or would be lost. A model that a class downloads is identified by its name and datatrove's version.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Literal

import pyarrow as pa

from corpuskit.core.batch import Batch
from corpuskit.core.registry import bridges
from corpuskit.core.step import NO_VALUE, Bad, Step
from corpuskit.errors import CorpuskitError, InputError, UsageError, did_you_mean

if typing.TYPE_CHECKING:  # the package imports all readers
    from corpuskit.sources.base import SourceFile

_REFUSED = {
    "C4QualityFilter": "rewrites the text while it filters, which a filter cannot: use an edit",
    "LambdaFilter": "takes a Python function: write it as `./file.py:function` with @step.filter",
    "SamplerFilter": "draws random numbers in the order of documents: the corpus would depend on the batch size",
}
_HIDDEN: dict[str, set[str]] = {"C4BadWordsFilter": {"keep_fraction", "seed"}}
"""Parameters with which a class would draw random numbers in the order of documents."""

_WORD_SPLITTERS = ("spacy", "stanza", "nltk", "kiwipiepy")
"""Packages that split words for the filters with a `language`; where installed, their versions enter the key."""

_SCALARS = {int, float, str, bool, type(None)}


def bridge(name: str, kinds: Iterable[str]) -> Step:
    """Make a step of a class of datatrove.

    Args:
        name: of a class in `datatrove.pipeline.filters`, or (if `source` is in `kinds`) `datatrove.pipeline.readers`.
        kinds: what the recipe can use at this place.

    Returns:
        A filter or a source. Its parameters are those of the class's constructor, without the ones that only make
        sense in a datatrove pipeline (writers, folders, limits, progress bars). Numbers, strings and booleans are
        checked against its annotations; those of lists and tables are not reliable there, and left to the class.

    Raises:
        UsageError: an unknown class, one of the other kind, one that cannot be used, or one whose packages are missing.
    """
    kind: Literal["source", "filter"] = "source" if "source" in kinds else "filter"
    other: Literal["source", "filter"] = "filter" if kind == "source" else "source"
    classes = _classes(kind)
    if name not in classes:
        if name in _classes(other):
            msg = f"`datatrove:{name}` is a {other}, not a {kind}"
            raise UsageError(msg)
        msg = f"datatrove has no {'reader of files' if kind == 'source' else 'filter'} `{name}`"
        raise UsageError(msg, did_you_mean(name, classes) or f"it has: {', '.join(sorted(classes))}")
    if name in _REFUSED:
        msg = f"`datatrove:{name}` {_REFUSED[name]}"
        raise UsageError(msg)
    found = classes[name]
    with _Guard(name):
        found.__new__(found)  # datatrove looks for the packages of a class here
    function = _reader(found) if kind == "source" else _filter(found)
    splits = "language" in inspect.signature(function).parameters and hasattr(
        inspect.getmodule(found), "split_into_words"
    )
    return Step(function, kind, f"datatrove:{name}", libraries=_splitters(name) if splits else ("datatrove",))


def _splitters(name: str) -> Callable[..., tuple[str, ...]]:
    """The packages of a filter that splits words: datatrove looks for that of the language as it loads its splitter."""

    def libraries(*, language: str, **_: Any) -> tuple[str, ...]:
        from datatrove.utils.word_tokenizers import load_word_tokenizer

        with _Guard(name):
            load_word_tokenizer(language)
        return ("datatrove", *(package for package in _WORD_SPLITTERS if importlib.util.find_spec(package) is not None))

    return libraries


class _Guard:
    """Turns what datatrove raises about missing packages and wrong arguments into errors that a user can fix."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ImportError):
            raise _missing(self.name, error) from None
        if isinstance(error, Exception) and not isinstance(error, CorpuskitError):
            msg = f"`datatrove:{self.name}` refuses its parameters: {error}"
            raise UsageError(msg) from None


def _missing(name: str, error: ImportError) -> UsageError:
    """What datatrove says of missing packages ends in the command that installs them, in brackets."""
    command = re.search(r"\(`(pip install [^`]+)`\)", str(error))
    return UsageError(
        f"`datatrove:{name}` needs a package that is not installed: {error}", command[1] if command else None
    )


def _classes(kind: Literal["source", "filter"]) -> dict[str, Any]:
    """Datatrove's filters, or its readers of single files, by name."""
    with _Guard(f"{kind}s"):
        from datatrove.pipeline import filters, readers
        from datatrove.pipeline.filters.base_filter import BaseFilter
        from datatrove.pipeline.readers.base import BaseDiskReader
    module, base = (filters, BaseFilter) if kind == "filter" else (readers, BaseDiskReader)
    return {
        name: found
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, base) and found is not base
    }


def _signature(found: Any, hidden: AbstractSet[str], first: str) -> inspect.Signature:
    """The constructor's parameters as keyword parameters behind `first`."""
    try:
        hints = typing.get_type_hints(found.__init__)
    except NameError:
        hints = {}
    parameters = [inspect.Parameter(first, inspect.Parameter.POSITIONAL_ONLY)]
    for name, parameter in list(inspect.signature(found.__init__).parameters.items())[1:]:
        if name not in hidden and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            annotation = _annotation(hints.get(name, Any))
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=annotation))
    return inspect.Signature(parameters)


def _annotation(hint: Any) -> Any:
    """A hint that can be trusted, else Any; a whole number is also accepted as a fraction."""
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if typing.get_origin(hint) is Literal:
        return hint
    if not set(members) <= _SCALARS:
        return Any
    return hint | float if int in members else hint


def _present(function: Callable[..., Any], signature: inspect.Signature, found: Any) -> Callable[..., Any]:
    """Let a function show the parameters of a class."""
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {name: one.annotation for name, one in list(signature.parameters.items())[1:]}
    function.__name__ = found.__name__
    function.__doc__ = inspect.getdoc(found)
    return function


def _arguments(found: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Lists of the recipe as tuples where the class wants those (`str.endswith` takes no list)."""
    wanted = inspect.signature(found.__init__).parameters
    return {
        name: _tuples(value) if "tuple" in str(wanted[name].annotation) else value for name, value in params.items()
    }


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


@functools.lru_cache(maxsize=32)
def _instance(found: Any, params: str) -> Any:
    with _Guard(found.__name__):
        return found(**_arguments(found, json.loads(params)))


def _filter(found: Any) -> Callable[..., Any]:
    def decide(batch: Batch, /, **params: Any) -> tuple[pa.Array, pa.Array]:
        instance = _instance(found, json.dumps(params, sort_keys=True))
        keep, reasons = [], []
        texts = batch.column("text").to_pylist()
        for text, metadata in zip(texts, batch.drop_columns(["text"]).to_pylist(), strict=True):
            kept, reason = (False, NO_VALUE) if text is None else _decision(instance, text, metadata)
            keep.append(kept)
            reasons.append(reason)
        return pa.array(keep, pa.bool_()), pa.array(reasons, pa.string())

    return _present(decide, _signature(found, {"exclusion_writer", *_HIDDEN.get(found.__name__, ())}, "batch"), found)


def _decision(instance: Any, text: str, columns: dict[str, Any]) -> tuple[bool, str | None]:
    """Ask the filter about one document, whose metadata are the batch's columns and the fields of `meta`."""
    from datatrove.data import Document

    name = type(instance).__name__
    meta = json.loads(columns.get("meta") or "{}")
    document = Document(text=text, id=str(columns.get("doc", "")), metadata={**meta, **columns})
    try:
        result = instance.filter(document)
    except ImportError as error:
        raise _missing(name, error) from None
    except Exception as error:
        msg = f"`datatrove:{name}` failed on document {document.id}: {type(error).__name__}: {error}"
        raise CorpuskitError(msg) from error
    if document.text != text:
        msg = f"`datatrove:{name}` rewrote the text of document {document.id}, which a filter cannot: use an edit"
        raise UsageError(msg)
    kept, reason = result if isinstance(result, tuple) else (result, None)
    return bool(kept), None if kept else reason


def _reader(found: Any) -> Callable[..., Any]:
    from datatrove.pipeline.readers.base import BaseDiskReader

    pipeline_only = set(inspect.signature(BaseDiskReader.__init__).parameters) - {"text_key"}

    def read(file: SourceFile, /, **params: Any) -> Iterator[dict[str, Any] | Bad]:
        folder, _, name = file.path.rpartition("/")
        records: list[dict[str, Any] | Bad] = []
        with _Guard(found.__name__):
            reader = found(folder or ".", adapter=_adapter(records), **_arguments(found, params))
        with _warnings(records):
            documents = reader.read_file(name)
            # A document without text is passed over by datatrove: what its adapter saw is what counts.
            while _next(documents, file, found.__name__):
                yield from records
                records.clear()
            yield from records

    return _present(read, _signature(found, pipeline_only, "file"), found)


def _next(documents: Iterator[Any], file: SourceFile, name: str) -> bool:
    try:
        return next(documents, None) is not None
    except ImportError as error:
        raise _missing(name, error) from None
    except Exception as error:
        msg = f"{file.path}: datatrove's {name} stopped: {type(error).__name__}: {error}"
        raise InputError(msg) from error


def _adapter(records: list[dict[str, Any] | Bad]) -> Callable[..., dict[str, Any]]:
    """An adapter that collects raw records as they are, `metadata` spread out, and gives datatrove their text."""

    def adapt(reader: Any, data: dict[str, Any], path: str, id_in_file: int | str) -> dict[str, Any]:
        text = data.pop(reader.text_key, None)
        metadata = data.pop("metadata", None)
        if isinstance(metadata, dict):
            data = {**metadata, **data}
        elif metadata is not None:
            data["metadata"] = metadata
        if text is None or isinstance(text, str):
            records.append({**data, "text": text or ""})
        else:
            records.append(Bad(f"`{reader.text_key}` is {type(text).__name__}, not text", f"record {id_in_file}"))
        return {"text": text or "", "id": f"{path}/{id_in_file}", "metadata": {}}

    return adapt


class _warnings:  # noqa: N801  (a context manager, used like a function)
    """Collects what datatrove only warns about: records that it could not read."""

    def __init__(self, records: list[dict[str, Any] | Bad]) -> None:
        self.records = records

    def __enter__(self) -> None:
        from datatrove.utils.logging import logger

        self.handler = logger.add(self._collect, level="WARNING", filter="datatrove", format="{message}")

    def __exit__(self, *_: object) -> None:
        from datatrove.utils.logging import logger

        logger.remove(self.handler)

    def _collect(self, message: str) -> None:
        if not message.startswith("Found document without text"):
            self.records.append(Bad(message.strip()))


bridges["datatrove"] = bridge
