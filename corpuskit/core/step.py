"""Steps: functions on a batch, known by name. Users import `corpuskit.step`, which says how to write one."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import pydantic

from corpuskit.core.identity import fingerprint_value, source_digest
from corpuskit.errors import UsageError

NO_VALUE = "no value"
"""The reason of a row that a filter drops because what it decides by is missing: counted apart from what it refuses."""

Kind = Literal["source", "signal", "filter", "edit", "preset", "barrier", "method"]


@dataclass(frozen=True)
class Bad:
    """A raw record that could not be read: counted as unreadable, with its reason and place.

    `where` is what a person needs to find it: `line 17`, `record at byte 4096`, a member's path.
    """

    reason: str
    where: str = ""


@dataclass(frozen=True)
class Skip:
    """A raw record that is no document by nature (a redirect, a WARC request): counted as the rule `read: REASON`."""

    reason: str


@dataclass(eq=False)
class Step:
    """A function with a name, a kind and a version; made by the decorators of this module."""

    function: Callable[..., Any]
    kind: Kind
    name: str
    version: int = 1
    columns: Mapping[str, str] | Callable[..., Mapping[str, str]] = field(default_factory=dict)
    libraries: tuple[str, ...] | Callable[..., tuple[str, ...]] = ()
    reads: bool = False
    extract: bool = False
    splittable: bool = False
    keyed: Callable[..., Mapping[str, Any]] | None = None
    together: Callable[[Any, Collection[str]], Mapping[str, Mapping[str, Any]]] | None = None
    origin: Path | None = None
    summarize_function: Callable[..., Any] | None = None
    summarize_when: Callable[[Mapping[str, Any]], bool] | None = None
    merge_function: Callable[[Any, Any], Any] | None = None
    pickled: bool = False
    train_function: Callable[..., Mapping[str, Any]] | None = None
    train_when: Callable[[Mapping[str, Any]], bool] | None = None
    train_size: Callable[[Mapping[str, Any]], int] | None = None
    train_libraries: tuple[str, ...] = ()
    train_documents: Callable[[Mapping[str, Any]], str] | None = None
    _model: type[pydantic.BaseModel] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    @overload
    def summarize(self, function: Callable[..., Any]) -> Callable[..., Any]: ...
    @overload
    def summarize(
        self, *, when: Callable[[Mapping[str, Any]], bool]
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
    def summarize(
        self, function: Callable[..., Any] | None = None, *, when: Callable[[Mapping[str, Any]], bool] | None = None
    ) -> Any:
        """Register `summarize(batch, **params) -> state`; makes the step a barrier for the domains it applies to.

        Args:
            function: gets those parameters of the step that it names; others can change without a new summary.
            when: of the parameters, whether a state is needed at all; default: always.
        """

        def wrap(target: Callable[..., Any]) -> Callable[..., Any]:
            self.summarize_function, self.summarize_when = target, when
            return target

        return wrap if function is None else wrap(function)

    def summarizes(self, params: Mapping[str, Any]) -> bool:
        """Whether the step, at these parameters, needs to have seen all documents."""
        return self.summarize_function is not None and (self.summarize_when is None or self.summarize_when(params))

    def summarized(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that `summarize` reads."""
        assert self.summarize_function is not None
        return _named_by(self.summarize_function, params)

    @overload
    def merge(self, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]: ...
    @overload
    def merge(self, *, pickled: bool) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]: ...
    def merge(self, function: Callable[[Any, Any], Any] | None = None, *, pickled: bool = False) -> Any:
        """Register `merge(a, b) -> state`, exact and order-free.

        Args:
            function: where states are a dataclass, it says so: `-> ThatClass`.
            pickled: write states by pickle, for what `corpuskit.core.state` cannot write. Reading a pickle runs what
                it says: whoever can write into the root can then run code in the next run of the recipe.
        """

        def wrap(target: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
            self.merge_function, self.pickled = target, pickled
            return target

        return wrap if function is None else wrap(function)

    @property
    def state_kind(self) -> type | None:
        """The class that `merge` says it returns, if it says so."""
        assert self.merge_function is not None
        found = inspect.get_annotations(self.merge_function, eval_str=True).get("return")
        return found if isinstance(found, type) else None

    def train(
        self,
        *,
        when: Callable[[Mapping[str, Any]], bool],
        size: Callable[[Mapping[str, Any]], int],
        libraries: tuple[str, ...] = (),
        documents: Callable[[Mapping[str, Any]], str] | None = None,
    ) -> Callable[[Callable[..., Mapping[str, Any]]], Callable[..., Mapping[str, Any]]]:
        """Register `train(path, **params) -> facts`, which writes a model; it runs once, before any document is read.

        With `documents` it is made of the documents of a domain, as they stand at this place of the recipe: it is
        `train(path, batches, *, memory, **params)` then, with an iterator of batches and the bytes that it may use, on
        neither of whose cuts and order, nor on the memory, what it writes may depend.

        The function gets those parameters of the step that it names, and may put other files beside `path`; it must
        write the same bytes for the same parameters and contents of files. Facts (JSON) go to the receipt.

        Args:
            when: of the parameters, whether a model is to be made.
            size: of the parameters, the least bytes of the model; each worker must have room for it.
            libraries: packages that it alone needs; their versions enter its key.
            documents: of the parameters, the domain.
        """

        def wrap(target: Callable[..., Mapping[str, Any]]) -> Callable[..., Mapping[str, Any]]:
            self.train_function, self.train_when, self.train_size = target, when, size
            self.train_libraries, self.train_documents = libraries, documents
            return target

        return wrap

    def trains(self, params: Mapping[str, Any]) -> bool:
        """Whether the step, at these parameters, makes a model first."""
        return self.train_when is not None and self.train_when(params)

    def trained_on(self, params: Mapping[str, Any]) -> str | None:
        """The domain that the model of a step is made of at these parameters; None: of files, or there is none."""
        return self.train_documents(params) if self.train_documents is not None and self.trains(params) else None

    def trained(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters that `train` reads, and the identity of what it makes."""
        assert self.train_function is not None
        chosen = _named_by(self.train_function, params)
        versions = {name: self._version_of(name) for name in self.train_libraries}
        return chosen, {**self.fingerprint(chosen), "train": versions}

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The keyword parameters that a recipe may set, by name."""
        return {
            name: parameter
            for name, parameter in inspect.signature(self.function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "state"
        }

    @property
    def model(self) -> type[pydantic.BaseModel]:
        """A pydantic model of the parameters, made from the function's annotations."""
        if self._model is None:
            hints = inspect.get_annotations(self.function, eval_str=True)
            fields: dict[str, Any] = {}
            for name, parameter in self.parameters.items():
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                alias = name.rstrip("_")
                fields[name] = (hints.get(name, Any), pydantic.Field(default, alias=alias))
            config = pydantic.ConfigDict(extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)
            self._model = pydantic.create_model(self.name, __config__=config, **fields)
        return self._model

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Check and complete `params`; raises `pydantic.ValidationError` with one entry per fault."""
        checked = self.model(**params)
        return {name: getattr(checked, name) for name in self.parameters}

    def output_columns(self, params: Mapping[str, Any]) -> dict[str, str]:
        """Columns that this step adds, with their Arrow type names, at these parameters."""
        columns = self.columns(**params) if callable(self.columns) else self.columns
        return dict(columns)

    def fingerprint(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What identity of this step at these parameters consists of: literals, digests and versions only."""
        held = self.keyed(**params) if self.keyed is not None else params
        described: dict[str, Any] = {
            "step": self.name,
            "kind": self.kind,
            "version": self.version,
            "unicode": unicodedata.unidata_version,  # what is a letter or white space comes from the running Python
            "params": {name: fingerprint_value(value) for name, value in sorted(held.items())},
        }
        if versions := self.versions(params):
            described["libraries"] = versions
        if self.origin is not None:
            described["code"] = source_digest(self.origin)
        return described

    def versions(self, params: Mapping[str, Any]) -> dict[str, str]:
        """Versions, by name, of the packages that this step at these parameters works with.

        Raises:
            UsageError: one is not installed.
        """
        libraries = self.libraries(**params) if callable(self.libraries) else self.libraries
        return {name: self._version_of(name) for name in sorted(libraries)}

    def _version_of(self, library: str) -> str:
        try:
            return importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            raise UsageError(
                f"`{self.name}` needs {library}, which is not installed", f"pip install {library}"
            ) from None


def _named_by(function: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a function names, or all if it takes any."""
    named = inspect.signature(function).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in named):
        return dict(params)
    return {parameter.name: params[parameter.name] for parameter in named if parameter.name in params}


registered: dict[str, Step] = {}
"""Built-in steps by name."""


def _decorator(kind: Kind, function: Callable[..., Any] | None, options: dict[str, Any]) -> Any:
    def wrap(target: Callable[..., Any]) -> Step:
        made = Step(target, kind, options.pop("name", None) or target.__name__, **options)
        made.__doc__ = target.__doc__
        if target.__module__.startswith("corpuskit."):
            registered[made.name] = made
        return made

    return wrap if function is None else wrap(function)


@overload
def source(function: Callable[..., Any]) -> Step: ...
@overload
def source(**options: Any) -> Callable[[Callable[..., Any]], Step]: ...
def source(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make a function (file, **params) -> records a reader.

    Options: name, version, libraries; `columns`: {name: Arrow type} of the metadata it keeps (other keys of a record go
    to the JSON column `meta`), or a function of the parameters; `extract=True` where reading is so costly that the
    text is stored in a stage of its own; `splittable=True` where `file.start` and `file.end` are honoured; `keyed`: a
    function of the parameters that gives those that the key holds, where several say the same.

    Where `file` is a `corpuskit.sources.base.BatchedFile`, as it is in a run, records that follow one another may
    also be yielded as one RecordBatch, among dicts, Bad and Skip: `text` (valid UTF-8, no nulls), any of the declared
    columns, and `meta` (a JSON object as a string, or null). They are numbered, and count, as that many dicts would;
    batches of 1 MiB of text and more are passed on uncopied. `corpuskit peek` asks for single records.
    """
    return _decorator("source", function, options)


@overload
def signal(function: Callable[..., Any]) -> Step: ...
@overload
def signal(**options: Any) -> Callable[[Callable[..., Any]], Step]: ...
def signal(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make a function (batch, **params) -> column(s) a signal.

    Options: name, version, libraries; `columns`: {name: Arrow type}, default one column named as the step and of the
    type that it returns; `reads=True` if it reads columns of other signals (they then enter its key); `together`: a
    function (batch, names) -> {name: columns} that computes signals without parameters which share it, at less cost.
    """
    return _decorator("signal", function, options)


@overload
def filter(function: Callable[..., Any]) -> Step: ...
@overload
def filter(**options: Any) -> Callable[[Callable[..., Any]], Step]: ...
def filter(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make a function (batch, **params) -> mask a filter. Options: name, version, libraries.

    It may give (mask, reasons), or (mask, reasons, findings): see `corpuskit.step`.
    """
    return _decorator("filter", function, options)


@overload
def edit(function: Callable[..., Any]) -> Step: ...
@overload
def edit(**options: Any) -> Callable[[Callable[..., Any]], Step]: ...
def edit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make a function (batch, **params) -> batch an edit. Options: name, version, libraries, reads.

    It may give (batch, findings): see `corpuskit.step`.
    """
    return _decorator("edit", function, options)


def preset(function: Callable[..., Any]) -> Step:
    """Make a function (**params) -> list of recipe steps a preset: a name for expressions that a user can read."""
    return _decorator("preset", function, {})  # type: ignore[no-any-return]


def barrier(**options: Any) -> Callable[[Callable[..., Any]], Step]:
    """Make a function (**params) -> params a step that the plan runs as stages of its own (`minhash`, `holdout`).

    Raises:
        UsageError: the function is not corpuskit's; nothing would know how to plan it.
    """

    def wrap(target: Callable[..., Any]) -> Step:
        if not target.__module__.startswith("corpuskit."):
            msg = f"`{target.__name__}` cannot be a barrier: the plan knows how to run corpuskit's own, and no others"
            raise UsageError(
                msg,
                "make it a @step.filter, signal or edit; one that needs to have seen everything adds "
                f"@{target.__name__}.summarize and @{target.__name__}.merge (help(corpuskit.step))",
            )
        return _decorator("barrier", target, options)  # type: ignore[no-any-return]

    return wrap
