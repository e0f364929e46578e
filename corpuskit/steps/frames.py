"""Steps on a table in memory, as in a notebook: `corpuskit.steps.gopher_quality()(table)`.

The same code runs as in a recipe, so what is kept here is kept there.

>>> import corpuskit as ck
>>> import pyarrow as pa
>>> table = pa.table({"text": ["Short.", "The cat and the dog sat on the mat. " * 20]})
>>> gopher = ck.steps.gopher_quality(max_mean_word_length=12)
>>> gopher(table)["words"].to_pylist()
[180]
>>> gopher.dropped(table).select(["text", "rule"]).to_pylist()
[{'text': 'Short.', 'rule': 'gopher_few_words'}]
>>> ck.steps.where(expr="length(text) < 10")(table).num_rows
1
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic

from corpuskit.core import registry
from corpuskit.core.batch import Batch, set_column
from corpuskit.core.keys import plain
from corpuskit.core.step import Kind, Step
from corpuskit.documents.applied import AppliedStep
from corpuskit.documents.kinds import StepCall
from corpuskit.errors import UsageError

KINDS: tuple[Kind, ...] = ("signal", "filter", "edit", "preset")


class Named:
    """A built-in step by its name: called with the step's parameters, it gives what is called with a table."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.__doc__ = step.__doc__
        self.__name__ = step.name
        self.__signature__ = inspect.Signature(list(step.parameters.values()))

    def __call__(self, **params: Any) -> OnFrames:
        """The step at these parameters, named as in a recipe.

        Raises:
            UsageError: a parameter is unknown or impossible.
        """
        return OnFrames(self._step, params)

    def __repr__(self) -> str:
        return f"corpuskit.steps.{self.__name__}{self.__signature__}"


class OnFrames:
    """A step with its parameters, to be called with a table that has a column `text`."""

    def __init__(self, step: Step, params: Mapping[str, Any]) -> None:
        self.name, self._params = step.name, dict(params)
        self._calls = list(_expanded(step, params, None))

    def __call__(self, frame: Any) -> Any:
        """The rows that the step keeps, with the columns that it adds and the texts as it leaves them.

        Args:
            frame: n documents: a `pyarrow.Table`, or whatever gives Arrow data, as frames of polars and pandas do.

        Returns:
            A frame of polars for one, else a `pyarrow.Table`.

        Raises:
            UsageError: there is no column `text` of strings, or the step needs a model that a run trains.
        """
        return self.split(frame)[0]

    def dropped(self, frame: Any) -> Any:
        """The rows that the step drops, with `rule` and `reason`; as for a call."""
        return self.split(frame)[1]

    def in_datatrove(self) -> Any:
        """The step as a block of a pipeline of datatrove, which gets documents one after the other.

        Raises:
            UsageError: the step chooses by all documents, of which a block sees some.
        """
        from corpuskit.steps.pipelines import CorpuskitStep

        for step, params, _ in self._calls:
            if step.summarizes(params):
                raise UsageError(f"`{step.name}` chooses by all documents", "put it into a recipe")
        return CorpuskitStep(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.name, self._params)

    def split(self, frame: Any) -> tuple[Any, Any]:
        """The rows that the step keeps, and those that it drops."""
        table = pa.table(frame)
        batch = _documents(table)
        columns = [name for name in ("doc", "domain") if name not in table.column_names]
        gone: list[pa.Table] = []
        for step, params, name in self._calls:
            batch = _applied(step, params, name, batch, gone)
        kept = pa.Table.from_batches([batch])
        given = pa.table({"rule": pa.array([], pa.string()), "reason": pa.array([], pa.string())})
        lost = pa.concat_tables([kept.slice(0, 0), given, *gone], promote_options="default")
        return tuple(_like(frame, one.drop_columns(columns)) for one in (kept, lost))


def _again(name: str, params: dict[str, Any]) -> OnFrames:
    """The step in another process."""
    return OnFrames(registry.builtin(KINDS)[name], params)


def _expanded(step: Step, params: Mapping[str, Any], name: str | None) -> Iterator[tuple[Step, dict[str, Any], str]]:
    """A step, or those that a preset stands for, with their parameters and the names of their rules."""
    try:
        values = step.validate(params)
    except pydantic.ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UsageError(f"`{step.name}`: {faults}", f"parameters: {', '.join(step.parameters) or 'none'}") from None
    if step.kind != "preset":
        if step.trains(values):
            raise UsageError(f"`{step.name}` needs a model that a run trains", "give it one, or put it into a recipe")
        yield step, values, name or values.get("expr") or step.name
        return
    for item in step.function(**values):
        reference = next(key for key in item if key not in ("name", "only"))
        given = {"expr": item[reference]} if reference == "where" else item[reference]
        yield from _expanded(registry.resolve(reference, KINDS, Path()), given, item.get("name"))


def _documents(table: pa.Table) -> Batch:
    """The table as one batch of documents: with `doc`, the number of the row, and an empty `domain` if it has none."""
    if "text" not in table.column_names:
        raise UsageError("the table has no column `text`", f"it has {', '.join(table.column_names) or 'none'}")
    try:
        text = table["text"].cast(pa.string()).fill_null("")
    except pa.ArrowInvalid as error:
        raise UsageError(f"the column `text` is no text: {error}") from None
    given = {"doc": pa.array(np.arange(len(text), dtype=np.uint64)), "text": text}
    given["domain"] = pa.array([""] * len(text), pa.string())
    # polars gives its strings as views, which few functions of Arrow take
    plain_types = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    columns = {
        name: table[name].cast(plain_types.get(table[name].type, table[name].type)) for name in table.column_names
    }
    columns["text"] = text
    together = pa.table(given | columns).combine_chunks()
    arrays = [column.combine_chunks() for column in together.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=together.schema)


def _applied(step: Step, params: dict[str, Any], name: str, batch: Batch, gone: list[pa.Table]) -> Batch:
    """What a step leaves of a batch; what it drops is added to `gone`."""
    one = AppliedStep(StepCall(step.name, plain(params), name, step.fingerprint(params)), Path())
    if step.summarizes(params):
        assert step.summarize_function is not None
        one.arguments["state"] = step.summarize_function(batch, **step.summarized(params))
    if step.kind == "signal":
        for column, values in one.columns(batch).items():
            batch = set_column(batch, column, values)
        return batch
    if step.kind == "edit":
        return one.edited(batch)[0]
    kept, reasons, _ = one.mask(batch)
    lost = pa.Table.from_batches([batch.filter(pa.array(~kept))])
    why = pa.nulls(batch.num_rows, pa.string()) if reasons is None else reasons.cast(pa.string())
    lost = lost.append_column("rule", pa.array([name] * lost.num_rows, pa.string()))
    gone.append(lost.append_column("reason", why.filter(pa.array(~kept))))
    return batch.filter(pa.array(kept))


def _like(frame: Any, table: pa.Table) -> Any:
    """A table as a frame of polars, if that is what was given."""
    if type(frame).__module__.partition(".")[0] != "polars":
        return table
    import polars as pl

    return pl.from_arrow(table)
