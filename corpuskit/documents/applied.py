"""A step of the recipe at work: made again from its reference in the process that runs it, and held to what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpuskit.core import registry
from corpuskit.core.batch import Batch, set_column
from corpuskit.core.keys import canonical
from corpuskit.core.spec import Spec
from corpuskit.core.state import load_state
from corpuskit.core.step import Kind, Step
from corpuskit.core.work import Part, Work
from corpuskit.documents.columns import ColumnStore
from corpuskit.documents.findings import checked
from corpuskit.documents.kinds import StepCall
from corpuskit.errors import CorpuskitError, InputError, UsageError, raised_at

STEP_KINDS: tuple[Kind, ...] = ("signal", "filter", "edit")


class AppliedStep:
    """A step of the recipe, made again from its reference in the process that runs it."""

    def __init__(self, call: StepCall, base: Path, work: Work[Spec] | None = None) -> None:
        self.step: Step = registry.resolve(call.reference, STEP_KINDS, base)
        self.params = self.step.validate(call.params)
        self.name = call.name
        self.identity = call.identity
        self.hidden = frozenset(call.hidden)
        self.check_identity()
        self.store: ColumnStore | None = None
        if work is not None and call.signal is not None:
            self.store = ColumnStore(work, self.step.name, call.signal)
        self.companions: list[AppliedStep] = []
        self._ready: Batch | None = None  # what was computed of this signal with another one
        self.arguments = dict(self.params)
        if work is not None and call.state is not None:
            self.arguments["state"] = self._state(work.receipts(call.state)[0].parts)

    def _state(self, parts: dict[str, Part]) -> Any:
        if "model" in parts:
            return parts["model"].local()
        return load_state(parts["state"].local(), self.step.state_kind, pickled=self.step.pickled)

    def columns(self, batch: Batch) -> dict[str, pa.Array]:
        """Compute a signal's columns on a batch.

        Raises:
            UsageError: the step gave another number of rows, or no Arrow array.
        """
        if self._ready is not None:
            place = pc.index_in(batch.column("doc"), self._ready.column("doc"))
            if not place.null_count:
                found = self._ready.take(place)
                return {name: found.column(name) for name in found.schema.names if name != "doc"}
        if not self.companions:
            return self._checked(batch, self._call(self.step.function, self._seen(batch), **self.arguments))
        names = {self.step.name, *(one.step.name for one in self.companions)}
        results = self._call(self.step.together, self._seen(batch), sorted(names))
        for one in self.companions:
            one.expect(batch, results[one.step.name])
        return self._checked(batch, results[self.step.name])

    def expect(self, batch: Batch, result: Any) -> None:
        """Keep the columns that were computed with another signal's until they are asked for."""
        columns = self._checked(batch, result)
        self._ready = pa.RecordBatch.from_arrays([batch.column("doc"), *columns.values()], ["doc", *columns])

    def _checked(self, batch: Batch, result: Any) -> dict[str, pa.Array]:
        """What a signal gave, by column and in the declared types."""
        declared = self.step.output_columns(self.params)
        first = next(iter(declared)) if declared else self.step.name
        columns = result if isinstance(result, dict) else {first: result}
        if set(columns) != set(declared or [first]):
            wanted, given = ", ".join(declared or [first]), ", ".join(columns)
            raise UsageError(f"`{self.name}` gave the columns {given}, not {wanted}", "declare them: columns={...}")
        return {name: self._typed(name, values, batch.num_rows, declared) for name, values in columns.items()}

    def _typed(self, name: str, values: Any, rows: int, declared: dict[str, str]) -> pa.Array:
        """A column in its declared type; without one it must have the same type whatever is in the batch."""
        if name in declared:
            return _array(values, rows, f"`{self.name}`").cast(_declared(declared[name]))
        if not isinstance(values, pa.Array | pa.ChunkedArray | np.ndarray) or pa.types.is_null(_type(values)):
            raise UsageError(
                f"`{self.name}` gave values whose type depends on what is in the batch",
                f'declare it: @step.signal(columns={{"{name}": "float64"}}), or return an Arrow array',
            )
        return _array(values, rows, f"`{self.name}`")

    def _call(self, function: Any, batch: Batch, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the step; a fault of it names the step, the line of its code and the documents."""
        try:
            return function(batch, *args, **kwargs)
        except CorpuskitError:
            raise
        except Exception as error:
            docs = batch.column("doc")
            one = f"document {docs[0]}"
            where = one if len(docs) == 1 else f"one of the {len(docs)} documents {docs[0]} to {docs[-1]}"
            raise CorpuskitError(
                f"`{self.name}` raised {type(error).__name__}: {error} ({raised_at(error)}), at {where}"
            ) from error

    def _seen(self, batch: Batch) -> Batch:
        """The batch without the signals that the step did not say it reads: they are not in its key."""
        return batch.select([name for name in batch.schema.names if name not in self.hidden])

    def check_identity(self) -> None:
        """Refuse to file output under a key that was made of other code or other files.

        Raises:
            InputError: the step's code or one of its files changed since the plan was made.
        """
        now = self.step.fingerprint(self.params)
        if canonical(now) != canonical(self.identity):
            raise InputError(f"the code or a file of `{self.name}` changed since the plan was made", "run again")

    def mask(self, batch: Batch) -> tuple[npt.NDArray[np.bool_], pa.Array | None, pa.RecordBatch | None]:
        """Which rows a filter keeps, bool[n], its reasons for the others and its findings, if it gives any."""
        result = self._call(self.step.function, batch, **self.arguments)
        mask, reasons, *found = result if isinstance(result, tuple) else (result, None)
        mask = _array(mask, batch.num_rows, f"`{self.name}`")
        if not pa.types.is_boolean(mask.type):
            raise UsageError(f"the filter `{self.name}` gave {mask.type}, not a mask of true and false")
        kept = pc.fill_null(mask, False).to_numpy(zero_copy_only=False).astype(bool)
        return kept, reasons, self._findings(found, batch)

    def _findings(self, found: list[Any], batch: Batch) -> pa.RecordBatch | None:
        return checked(found[0], batch.num_rows, f"`{self.name}`") if found else None

    def edited(self, batch: Batch) -> tuple[Batch, pa.RecordBatch | None]:
        """The batch as an edit leaves it, and its findings, if it gives any.

        Raises:
            UsageError: the edit changed the number of rows or the ids.
        """
        result = self._call(self.step.function, self._seen(batch), **self.arguments)
        result, *found = result if isinstance(result, tuple) else (result,)
        if result.num_rows != batch.num_rows or not result.column("doc").equals(batch.column("doc")):
            raise UsageError(
                f"the edit `{self.name}` must give the same documents in the same order; use a filter to drop"
            )
        for name in result.schema.names:
            batch = set_column(batch, name, result.column(name))
        edited = set_column(batch, "text", pc.fill_null(result.column("text").cast(pa.string()), ""))
        return edited, self._findings(found, batch)


def join_signals(steps: Sequence[AppliedStep]) -> None:
    """Let each signal that can be computed together with others take those along that come after it, up to an edit."""
    for place, one in enumerate(steps):
        for other in steps[place + 1 :]:
            if one.step.together is None or other.step.kind == "edit":
                break
            if other.step.together is one.step.together:
                one.companions.append(other)


def _declared(name: str) -> pa.DataType:
    """A type by the name that steps declare: `float64`, `list<float64>`."""
    if name.startswith("list<") and name.endswith(">"):
        return pa.list_(_declared(name.removeprefix("list<").removesuffix(">")))
    return pa.type_for_alias(name)


def _type(values: Any) -> pa.DataType:
    return pa.from_numpy_dtype(values.dtype) if isinstance(values, np.ndarray) else values.type


def _array(values: Any, rows: int, what: str) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array):
        if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
            raise UsageError(f"{what} gave {type(values).__name__}, not an array of {rows} values")
        values = pa.array(values)
    if len(values) != rows:
        raise UsageError(f"{what} gave {len(values)} values for a batch of {rows} documents")
    return values
