"""The body of the document stages: read, apply steps and what barriers decided, write the corpus.

Signals are columns and are stored apart from what filters decide: a unit that runs again with other thresholds loads
the stored values and scores only documents that have none. Every row that leaves a stage is counted in its books.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from corpuskit import step as steps_module
from corpuskit.arrow import Batch, ParquetPart, PartReader, PartWriter, set_column, split_batches
from corpuskit.columns import ColumnStore
from corpuskit.documents import read_documents
from corpuskit.dropped import DroppedWriter
from corpuskit.errors import CorpuskitError, InputError, UsageError
from corpuskit.graph import canonical
from corpuskit.states import load_state
from corpuskit.step import Kind, Step
from corpuskit.steps.where import NO_VALUE
from corpuskit.unit import Work

STEP_KINDS: tuple[Kind, ...] = ("signal", "filter", "edit")

SAMPLE_OF_DROPPED = 64
"""One in this many dropped documents, by hash of its id, keeps its text in `dropped/` (all with `keep_dropped`)."""


class AppliedStep:
    """A step of the recipe, made again from its reference in the process that runs it."""

    def __init__(self, described: dict[str, Any], base: Path, work: Work | None = None) -> None:
        self.step: Step = steps_module.resolve(described["reference"], STEP_KINDS, base)
        self.params = self.step.validate(described["params"])
        self.name: str = described["name"]
        self.identity: dict[str, Any] = described["identity"]
        self.hidden = frozenset(described["hidden"])
        self.check_identity()
        self.store: ColumnStore | None = None
        if work is not None and described["signal"] is not None:
            self.store = ColumnStore(work.root, self.step.name, described["signal"], work.origin)
        self.arguments = dict(self.params)
        if work is not None and described["state"] is not None:
            parts = work.receipts(described["state"])[0].parts
            self.arguments["state"] = parts["model"].path if "model" in parts else load_state(parts["state"].path)

    def columns(self, batch: Batch) -> dict[str, pa.Array]:
        """Compute a signal's columns on a batch.

        Raises:
            UsageError: the step gave another number of rows, or no Arrow array.
        """
        result = self._call(self._seen(batch))
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

    def _call(self, batch: Batch) -> Any:
        """Call the step's function; a fault of it names the step, the line of its code and the documents."""
        try:
            return self.step.function(batch, **self.arguments)
        except CorpuskitError:
            raise
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            docs = batch.column("doc")
            raise CorpuskitError(
                f"`{self.name}` raised {type(error).__name__}: {error} ({frame.filename}:{frame.lineno}), "
                f"at one of the {len(docs)} documents {docs[0]} to {docs[-1]}",
                "the traceback stands in runs/*/log.jsonl; corpuskit peek shows one document through the steps",
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

    def mask(self, batch: Batch) -> tuple[npt.NDArray[np.bool_], pa.Array | None]:
        """Which rows a filter keeps, bool[n], and its reasons for the others, if it gives any."""
        result = self._call(batch)
        mask, reasons = result if isinstance(result, tuple) else (result, None)
        mask = _array(mask, batch.num_rows, f"`{self.name}`")
        if not pa.types.is_boolean(mask.type):
            raise UsageError(f"the filter `{self.name}` gave {mask.type}, not a mask of true and false")
        return pc.fill_null(mask, False).to_numpy(zero_copy_only=False).astype(bool), reasons

    def edited(self, batch: Batch) -> Batch:
        """The batch as an edit leaves it.

        Raises:
            UsageError: the edit changed the number of rows or the ids.
        """
        result = self._call(self._seen(batch))
        if result.num_rows != batch.num_rows or not result.column("doc").equals(batch.column("doc")):
            raise UsageError(
                f"the edit `{self.name}` must give the same documents in the same order; use a filter to drop"
            )
        for name in result.schema.names:
            batch = set_column(batch, name, result.column(name))
        return set_column(batch, "text", pc.fill_null(result.column("text").cast(pa.string()), ""))


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


def segment(work: Work) -> None:
    """Body: documents of one unit through a stretch of steps; the last stretch writes the corpus."""
    base = Path(work.run["base"])
    applied = [AppliedStep(described, base, work) for described in work.run["steps"]]
    with DroppedWriter(work, every=1 if work.spec["keep_dropped"] else SAMPLE_OF_DROPPED) as dropped:
        decide = Decisions(work, dropped)
        with Output(work) as write:
            for whole in _documents(work, base, dropped):
                for batch in split_batches(whole, work.batch_bytes):
                    left = decide(batch, write.held_out)
                    for place, one in enumerate(applied, start=2):
                        if left.num_rows:
                            left = _apply(one, left, dropped, place)
                    if left.num_rows:
                        write.kept(left)
    for one in applied:
        one.check_identity()
    for one in applied:
        if one.store is not None:
            scored = one.store.save(work.scratch)
            work.facts.setdefault("scored", {})[one.name] = scored


def _documents(work: Work, base: Path, dropped: DroppedWriter) -> Iterator[Batch]:
    if "reader" in work.spec:
        yield from read_documents(work, base, dropped)
    else:
        yield from PartReader(work.receipt("docs").parts["docs"].path)


def _apply(one: AppliedStep, batch: Batch, dropped: DroppedWriter, place: int) -> Batch:
    if one.step.kind == "signal":
        columns = one.store.columns(batch, one.columns) if one.store is not None else one.columns(batch)
        for name, values in columns.items():
            batch = set_column(batch, name, values)
        return batch
    if one.step.kind == "edit":
        batch = one.edited(batch)
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(batch.column("text"))), 0).to_numpy(
            zero_copy_only=False
        )
        if blank.any():
            dropped.write(place, batch, blank, np.full(batch.num_rows, "empty", object))
            batch = batch.filter(pa.array(~blank))
        return batch
    mask, reasons = one.mask(batch)
    if not mask.all():
        rules = np.full(batch.num_rows, f"rule: {one.name}", object)
        if one.step.origin is None and reasons is not None:
            rules[_unknown(reasons)] = f"rule: {one.name}: {NO_VALUE}"
        dropped.write(place, batch, ~mask, rules, reasons)
        batch = batch.filter(pa.array(mask))
    return batch


def _unknown(reasons: pa.Array) -> npt.NDArray[np.bool_]:
    """Rows that a filter drops because what it decides by is missing, bool[n]."""
    found = pc.fill_null(pc.equal(reasons, NO_VALUE), False)
    return np.asarray(found.to_numpy(zero_copy_only=False), bool)


class Decisions:
    """Applies what barriers decided to each batch: removed, cut (`lines`), held out or contaminated."""

    def __init__(self, work: Work, dropped: DroppedWriter | None) -> None:
        self.work = work
        self.dropped = dropped
        self.domain: str = work.spec["domain"]
        self.steps: list[Callable[[Batch, Callable[[Batch], None]], Batch]] = []
        for decision in work.spec["apply"]:
            if decision["barrier"] in ("exact", "minhash"):
                parts = work.receipt(f"decide:{decision['barrier']}").parts
                exact = mapped(parts["removed_exact"].path, "u1")
                self.steps.append(functools.partial(self._deduplicated, Lookup(parts["removed_docs"].path), exact))
            elif decision["barrier"] == "lines":
                from corpuskit.dedup.lines import Cut

                assert dropped is not None, "what `lines` leaves of the documents is written before others read them"
                self.steps.append(Cut(work, decision, dropped))
            else:
                parts = work.receipt("decide:holdout").parts
                self._chosen, self._contaminated = Lookup(parts["chosen"].path), Lookup(parts["contaminated"].path)
                self.steps.append(self._holdout)

    def __call__(self, batch: Batch, held_out: Callable[[Batch], None]) -> Batch:
        """The documents that stay; held-out ones go to `held_out`."""
        for decide in self.steps:
            if batch.num_rows:
                batch = decide(batch, held_out)
        return batch

    def _deduplicated(
        self, removed: Lookup, kind: npt.NDArray[np.uint8], batch: Batch, _held_out: Callable[[Batch], None]
    ) -> Batch:
        found, places = removed(batch.column("doc"))
        if self.dropped is not None:
            exact = int(kind[places].sum())
            self.work.count(self.domain, "exact", exact)
            self.work.count(self.domain, "near", len(places) - exact)
        return batch.filter(pa.array(~found))

    def _holdout(self, batch: Batch, held_out: Callable[[Batch], None]) -> Batch:
        found, _ = self._chosen(batch.column("doc"))
        if found.any():
            self.work.count(self.domain, "held_out", int(found.sum()))
            held_out(batch.filter(pa.array(found)))
            batch = batch.filter(pa.array(~found))
        bad, _ = self._contaminated(batch.column("doc"))
        if bad.any() and self.dropped is not None:
            self.dropped.write(1, batch, bad, np.full(batch.num_rows, "contaminated", object))
            batch = batch.filter(pa.array(~bad))
        return batch


class Lookup:
    """Documents of a sorted file of uint64 ids, found by binary search in a memory map: nothing is loaded."""

    def __init__(self, docs: Path) -> None:
        self.docs = mapped(docs, "<u8")

    def __call__(self, wanted: pa.Array) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """For uint64[n] ids: which are there, bool[n], and the places of those, int64[m]."""
        values = wanted.to_numpy()
        if not len(self.docs):
            return np.zeros(len(values), bool), np.zeros(0, np.int64)
        place = np.searchsorted(self.docs, values)
        place[place == len(self.docs)] = 0
        found = np.asarray(self.docs[place] == values)
        return found, place[found]


def mapped(path: Path, kind: str) -> npt.NDArray[Any]:
    """A raw file of numbers as a read-only memory map (an empty file cannot be mapped)."""
    return np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)


class Output:
    """Where the documents of a segment go: one Arrow part, or, in the last segment, Parquet for the corpus."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.final = bool(work.spec.get("final"))
        self.writers: dict[str, PartWriter | ParquetPart] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.final and not self.writers:
            self._writer("docs", pa.schema([("doc", pa.uint64()), ("text", pa.string())]))
        for name, writer in self.writers.items():
            writer.__exit__(kind, value, trace)
            self.work.facts[name] = {"rows": writer.rows, "bytes": writer.bytes}
            self.work.rows(name, writer.rows)

    def kept(self, batch: Batch) -> None:
        """Write documents that are alive at the end of the segment."""
        if not self.final:
            self._writer("docs", batch.schema).write(batch)
        else:
            self.work.count(self.work.spec["domain"], "kept", batch.num_rows)
            self._publish("corpus", batch)

    def held_out(self, batch: Batch) -> None:
        """Write documents that are held out for validation."""
        self._publish("holdout", batch)

    def _publish(self, name: str, batch: Batch) -> None:
        # the domain is the folder's name, as Hive partitioning has it; a column of that name would clash with it
        if batch.num_rows:
            batch = batch.drop_columns(["domain"])
            batch = set_column(batch, "source", pa.array([self.work.spec["source"]] * batch.num_rows))
            self._writer(name, batch.schema).write(batch)

    def _writer(self, name: str, schema: pa.Schema) -> PartWriter | ParquetPart:
        if name not in self.writers:
            if name == "docs":
                self.writers[name] = PartWriter(self.work.put("docs", ".arrow"), schema)
            else:
                publish = f"{name}/domain={self.work.spec['domain']}/{self.work.key}.parquet"
                self.writers[name] = ParquetPart(self.work.put(name, ".parquet", publish=publish), schema)
        return self.writers[name]
