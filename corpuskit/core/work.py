"""What the body of a unit sees: its parameters, the parts of the stages it needs, and where to put its own.

A body is a function `(work: Work[ItsSpec]) -> None`. It must write the same bytes for the same key: no time, no random
number without a seed, no path of the root, no dependence on `memory` or `batch_bytes` in what it writes.
"""

from __future__ import annotations

import functools
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa

from corpuskit.core.checksum import CheckedFile, Damaged, check_bytes, check_file, file_sum, named_sum
from corpuskit.core.spec import Spec
from corpuskit.core.storage import Store
from corpuskit.errors import DamagedFile

HISTORY = ("scored",)
"""Facts about how a unit was made and not about what it gave: they depend on what was stored before."""


def made_with(packages: Iterable[str]) -> dict[str, str]:
    """Versions of what passes into the parts of all stages, and of `packages`, which pass into some, by package.

    Where another version may change what a document or a value is, it is in the key as well. Here are also those that
    should change no more than the bytes of a file, such as pyarrow's writer of Parquet.
    """
    named = ("duckdb", "numba", "numpy", "pyarrow", *packages)
    there = {package: _version(package) for package in named}
    return {"python": platform.python_version()} | {name: found for name, found in there.items() if found is not None}


@functools.cache
def _version(package: str) -> str | None:
    """The version of an installed package; None where it is not there: what can do without it did."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Part:
    """A file that a unit committed.

    Attributes:
        store, key: where it is.
        digest: its SHA-256. sums: the CRC-32 of each of its blocks, which are checked when they are read; "" of a part
            of before there were any, whose digest then is.
        publish: the path under the root where `seal` links it (`corpus/domain=web/<Work.key>.parquet`), or None.
        maker: what to call the unit that committed it.
    """

    name: str
    store: Store = field(repr=False)
    key: str
    rows: int
    bytes: int
    digest: str
    publish: str | None = None
    sums: str = field(default="", repr=False)
    maker: str = field(default="", compare=False)

    def local(self) -> Path:
        """A file of this machine with the whole content, checked, to read until the unit ends.

        Raises:
            DamagedFile: it is not what was committed.
        """
        path = self.store.local(self.key)
        try:
            check_file(path, self.sums, self.digest)
        except Damaged as error:
            raise self._damaged(str(error)) from None
        return path

    def ranges(self) -> tuple[Path, Callable[[int, int], None]]:
        """As `local`, but not checked; and what checks bytes, from the first number to before the second.

        Of a large part of which each worker reads a little, not every worker then reads all to check it.

        Raises:
            DamagedFile: it has not the bytes that were committed; what checks raises it, too.
        """
        path = self.store.local(self.key)
        if (size := path.stat().st_size) != self.bytes:
            raise self._damaged(f"it has {size:,} bytes, not {self.bytes:,}")

        def check(first: int, end: int) -> None:
            try:
                check_bytes(path, first, end, self.sums, self.digest)
            except Damaged as error:
                raise self._damaged(str(error)) from None

        return path, check

    def open(self) -> pa.NativeFile:
        """The content opened for reading at any offset, of which about as much is fetched and checked as is read.

        Raises:
            DamagedFile: what is read is not what was committed; also later, when it is read.
        """
        if self.bytes and not self.sums:
            self.local()
            return self.store.open(self.key)
        return pa.PythonFile(CheckedFile(self.store.open(self.key), self.bytes, self.sums, self._damaged), "r")

    def _damaged(self, how: str) -> DamagedFile:
        return DamagedFile(self.store.url, self.key, how, self.maker)


@dataclass(frozen=True)
class Memo:
    """Values that are kept from run to run and stand in no receipt.

    What is in a file must follow from its name and its folder's alone: then it is right whoever wrote it and whenever,
    and a unit gives the same whether it finds none, some or all of the files. So one that is damaged is left out.
    """

    store: Store
    folder: str

    def files(self) -> list[Path]:
        """Files of this machine with what is there, by name, whose sums are those in their names."""
        named = ((self.store.local(key), named_sum(key)) for key in self.store.list(self.folder))
        return [path for path, sum_ in named if sum_ is not None and file_sum(path) == sum_]

    def put(self, name: str, file: Path) -> None:
        """Keep a file of the unit's scratch folder; its sum goes into its name."""
        stem, dot, suffix = name.rpartition(".")
        self.store.put_files({f"{self.folder}/{stem}.{file_sum(file)}{dot}{suffix}": file})


@dataclass(frozen=True)
class Receipt:
    """The record that a unit is complete; see ARCHITECTURE: the one invariant.

    Attributes:
        content: the unit's content key, if its stage has such keys (see `corpuskit.run.reuse`).
        reused: key of the earlier unit whose parts these are, if this one did not run.
        versions: of Python and of the packages that passed into the parts, see `made_with`.
    """

    stage: str
    unit: int
    key: str
    label: str
    parts: dict[str, Part]
    books: dict[str, dict[str, int]]
    facts: dict[str, Any]
    inputs: list[dict[str, Any]]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    content: str | None = None
    reused: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the unit's published parts are named by: `Work.key` when it ran."""
        return self.content or self.key


T_co = TypeVar("T_co", bound=Spec, covariant=True)


@dataclass
class Work(Generic[T_co]):
    """One unit at work.

    Attributes:
        store: what keeps the run; bodies read it through receipts and parts, and write with `put` and `memo`.
        spec: what the stage is told.
        unit: this unit's number in its stage, from 0; `units`: how many the stage has.
        key: hex digits of what this unit's parts depend on: its content key, or without one the unit's key. Name
            published parts by it. origin: identity of the raw input it descends from.
        inputs: the unit's own raw inputs (file paths with ranges), for reading stages; else [].
        memory: budget of this worker in bytes. batch_bytes: text bytes of a batch to work on.
        scratch: a folder of this unit, removed afterwards.
        books: counts by domain and category, for conservation: books[domain][category] += rows.
        facts: what else the receipt shall say (JSON).
    """

    store: Store
    stage: str
    spec: T_co
    unit: int
    units: int
    key: str
    inputs: list[dict[str, Any]]
    memory: int
    batch_bytes: int
    scratch: Path
    receipts_of: Callable[[str], Sequence[Receipt]]
    receipt_of: Callable[[str, int], Receipt | None] | None = None
    origin: str = ""
    needs: dict[str, str] = field(default_factory=dict)
    books: dict[str, Counter[str]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    read: list[dict[str, Any]] = field(default_factory=list)
    pending: dict[str, tuple[Path, str | None, int]] = field(default_factory=dict)

    def count(self, domain: str, category: str, rows: int) -> None:
        """Add to the books.

        Categories: read, unreadable, empty, `rule: NAME`, exact, near, contaminated, held_out, kept.
        """
        if rows:
            self.books.setdefault(domain, Counter())[category] += int(rows)

    def put(self, name: str, suffix: str = "", *, publish: str | None = None, rows: int = 0) -> Path:
        """A path to write part `name` to; it is committed when the body returns."""
        path = self.scratch / f"{name}{suffix}"
        self.pending[name] = (path, publish, rows)
        return path

    def memo(self, folder: str) -> Memo:
        """Values that outlive this unit and its stage."""
        return Memo(self.store, folder)

    def rows(self, name: str, rows: int) -> None:
        """Say how many rows a part holds, once that is known."""
        path, publish, _ = self.pending[name]
        self.pending[name] = (path, publish, rows)

    def receipts(self, stage: str) -> Sequence[Receipt]:
        """Receipts of all units of a stage that this one needs (label as in `needs`), in unit order.

        Each is read when it is asked for: keep of it what is needed, and memory does not grow with the units.
        """
        return self.receipts_of(self.needs[stage])

    def receipt(self, stage: str) -> Receipt:
        """The receipt of the unit with this unit's number in a stage that this one needs one to one."""
        if self.receipt_of is None:
            return self.receipts_of(self.needs[stage])[self.unit]
        found = self.receipt_of(self.needs[stage], self.unit)
        assert found is not None, f"unit {self.unit} of {stage} ran before what it needs"
        return found
