"""JSON Lines: one object a line, one field of it the text; strict about JSON and UTF-8.

There are two ways through a file that give the same. Every line can go to a full parser; and where the caller takes
record batches, a kernel reads whole blocks, and only the lines that it finds unusual go to the parser.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from corpuskit.core import step
from corpuskit.core.step import Bad, Skip
from corpuskit.sources.base import BatchedFile, SourceFile
from corpuskit.sources.companions import companion
from corpuskit.sources.fields import Column, Fields, declared, keyed
from corpuskit.sources.lines import blocks, lines, too_large, until
from corpuskit.sources.raw import READ_BYTES
from corpuskit.sources.schemas import SchemaName

UTF8_BOM = b"\xef\xbb\xbf"
UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")

OWN_COLUMNS = ("doc", "text", "domain", "meta")
BLOCK_BYTES = 4 << 20
BLOCK_LINES = 1 << 16
MANY = 32
"""Where more than one in this many lines is unusual, a block goes to the parser as a whole: cut into slices it would
cost more."""

LARGEST_SCANNED = 1 << 30
"""Beyond this `max_doc_bytes` the offsets of a block might not fit 32 bits."""


@step.source(columns=declared, keyed=keyed, splittable=True)
def jsonl(
    file: SourceFile,
    *,
    schema_: SchemaName | None = None,
    text: str | None = None,
    columns: dict[str, Column] = {},  # noqa: B006 - never changed
) -> Iterator[dict[str, Any] | pa.RecordBatch | Bad | Skip]:
    """Read JSON Lines, plain or compressed.

    A line that is no UTF-8, no strict JSON, no object, or has no string at `text`, is `Bad`, with line and byte offset.
    Blank lines are no records. A byte-order mark at the start of the file and CRLF are accepted. Of a key given twice
    the last counts. A file that stands beside the data of a data set is passed over and counted, see `companion`.

    Args:
        file: what to read; a range of a plain file gives the lines that begin in it.
        schema_: whose records they are, which says where the text is and what becomes a column, see below; what
            `text` and `columns` say goes before it.
        text: field that holds the text, default `text`; `a.b` is field b of the object a.
        columns: fields to keep as typed columns: string, int64, float64 or bool, of the field that is named as the
            column, or of another: `{url: string from metadata.url}`; null or absent is null. All other fields go
            to `meta`.

    Raises:
        InputError: UTF-16, or damaged compression.
    """
    beside = companion(file, tables=False)
    if beside is not None:
        yield beside
        return
    parser = _Parser(file, Fields(text, columns, schema_))
    if isinstance(file, BatchedFile) and parser.simple:
        yield from _Scan(file, parser).records()
        return
    for number, (offset, line) in enumerate(_lines(file), start=1):
        record = parser.record(number, offset, line)
        if record is not None:
            yield record


class _Parser:
    """Makes records of single lines, whatever they hold."""

    def __init__(self, file: SourceFile, fields: Fields) -> None:
        self.file, self.fields = file, fields
        own = set(fields.columns) & set(OWN_COLUMNS)
        self.simple = "." not in fields.text and not own and file.max_doc_bytes <= LARGEST_SCANNED
        """Whether what `_Scan` does is enough for these parameters."""

    def record(self, number: int, offset: int, line: bytes | None) -> dict[str, Any] | Bad | None:
        """The record of line `number` of what is read, from 1; None for a blank line, `line` None for one too long."""
        where = f"line at byte {offset}" if self.file.start else f"line {number} (byte {offset})"
        if line is None or len(line) > self.file.max_doc_bytes:
            return Bad(too_large(self.file.max_doc_bytes), where)
        if offset == 0:
            line = self._without_mark(line)
        if not line.strip():
            return None
        self.file.raw_record = line
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            return Bad(_reason(line, error), where)
        return self.fields.document(record, where)

    def _without_mark(self, line: bytes) -> bytes:
        """The first line of the file without its byte-order mark."""
        if line.startswith(UTF16_BOMS):
            raise self.file.damaged(
                "the text is UTF-16, not UTF-8 (line 1, byte 0)",
                f"convert it once: iconv -f UTF-16 -t UTF-8 {self.file.path} > utf8.jsonl",
            )
        return line.removeprefix(UTF8_BOM)


class _Scan:
    """Reads a file block by block into record batches, and gives the lines that are unusual to the parser."""

    def __init__(self, file: SourceFile, parser: _Parser) -> None:
        from corpuskit.kernels import json_lines

        self.file, self.parser, self.kernel = file, parser, json_lines
        self.key = json_lines.name_bytes(parser.fields.text)
        self.names = sorted(parser.fields.columns)
        self.types = [pa.type_for_alias(parser.fields.columns[name]) for name in self.names]
        self.starts = np.empty(BLOCK_LINES + 1, np.int64)
        self.kinds, self.forms = np.empty(BLOCK_LINES, np.uint8), np.empty(BLOCK_LINES, np.uint8)
        self.fields = np.empty((json_lines.MOST_PLAIN_FIELDS, 2), np.int64)
        self.rests = np.empty(0, np.uint8)
        self.number = 0  # of lines before the block

    def records(self) -> Iterator[dict[str, Any] | pa.RecordBatch | Bad]:
        """What `jsonl` yields."""
        start = self.file.start or 0
        begun = not start  # else the first line is one that began before the range, or the end of the one before it
        chunks = _ranged_chunks(self.file) if start else self.file.chunks()
        if self.file.end is not None:
            chunks = until(chunks, self.file.end, max(0, start - 1))
        for offset, pieces in blocks(chunks, self.file.max_doc_bytes, BLOCK_BYTES, max(0, start - 1)):
            if pieces:
                block = b"".join([*pieces, bytes(self.kernel.PADDING)])
                pieces.clear()  # or a large line would be held twice
                yield from self._block(block, offset, 0 if begun else _behind_first_line(block))
            elif begun:
                self.number += 1
                record = self.parser.record(self.number, offset, None)
                assert record is not None
                yield record
            begun = True

    def _block(self, block: bytes, offset: int, at: int) -> Iterator[dict[str, Any] | pa.RecordBatch | Bad]:
        """The records of `block[at:]`, padded; `offset` is that of its first byte in the file."""
        data, end = np.frombuffer(block, np.uint8), len(block) - self.kernel.PADDING
        if len(self.rests) < len(data):
            self.rests = np.empty(len(data), np.uint8)
        while at < end:
            texts, ends = np.empty(len(data) - at, np.uint8), np.empty((2, BLOCK_LINES + 1), np.int32)
            count, rows, at = self.kernel.scan(
                data, at, end, self.file.max_doc_bytes, self.key, texts, ends[0], self.rests, ends[1],
                self.forms, self.kinds, self.starts, self.fields,
            )  # fmt: skip
            ordinary = self.kinds[:count] == self.kernel.ORDINARY
            chosen: npt.NDArray[np.int64] = np.flatnonzero(self.kinds[:count] == self.kernel.UNUSUAL)
            if len(chosen) * MANY <= count:
                batch, refused = self._batch(texts, ends[:, : rows + 1])
                chosen = np.union1d(chosen, np.flatnonzero(ordinary)[refused])
            if len(chosen) * MANY <= count:
                yield from self._mixed(block, offset, batch, ordinary, chosen)
            else:
                yield from self._parsed(block, offset, range(count))
            self.number += count

    def _mixed(
        self,
        block: bytes,
        offset: int,
        batch: pa.RecordBatch,
        ordinary: npt.NDArray[np.bool_],
        chosen: npt.NDArray[np.int64],
    ) -> Iterator[dict[str, Any] | pa.RecordBatch | Bad]:
        """The rows of the ordinary lines, cut where one of the chosen lines goes to the parser, in the order of lines.

        `ordinary` is bool[lines]; `chosen` int64[any], sorted.
        """
        rows_before: npt.NDArray[np.int64] = np.cumsum(ordinary) - ordinary
        done = 0
        for line in chosen.tolist():
            row = int(rows_before[line])
            if row > done:
                yield batch.slice(done, row - done)
            done = row + int(ordinary[line])
            yield from self._parsed(block, offset, range(line, line + 1))
        if done < batch.num_rows:
            yield batch.slice(done)

    def _parsed(self, block: bytes, offset: int, chosen: range) -> Iterator[dict[str, Any] | Bad]:
        """The records of these of the lines that were just scanned, from the parser."""
        for line in chosen:
            start, end = int(self.starts[line]), int(self.starts[line + 1]) - 1
            record = self.parser.record(self.number + line + 1, offset + start, block[start:end])
            if record is not None:
                yield record

    def _batch(self, texts: npt.NDArray[np.uint8], ends: npt.NDArray[np.int32]) -> tuple[pa.RecordBatch, list[int]]:
        """The ordinary lines as (text, columns, meta), and the rows whose other fields only the parser can judge."""
        rows = ends.shape[1] - 1
        arrays = [pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(ends[0]), pa.py_buffer(texts)])]
        refused: list[int] = []
        if self.names or (self.forms[:rows] == self.kernel.RAW).any():
            values, refused = self._other_fields(ends[1])
            types = [*self.types, pa.string()]
            arrays += [pa.array(column, kind) for column, kind in zip(values, types, strict=True)]
        else:
            arrays.append(_objects(self.rests, ends[1]))
        return pa.RecordBatch.from_arrays(arrays, names=["text", *self.names, "meta"]), refused

    def _other_fields(self, ends: npt.NDArray[np.int32]) -> tuple[list[list[Any]], list[int]]:
        """The values of each column and of `meta`, and the rows that have a field of a wrong type."""
        columns: list[list[Any]] = [[] for _ in range(len(self.names) + 1)]
        refused = []
        rests, borders = self.rests[: ends[-1]].tobytes(), ends.tolist()
        for row in range(len(borders) - 1):
            rest = rests[borders[row] : borders[row + 1]]
            try:
                record = orjson.loads(rest) if rest else {}
                found = self.parser.fields.take(record)
            except orjson.JSONDecodeError:
                found = ""
            if isinstance(found, str):
                refused.append(row)
                found = record = {}
            for name, column in zip(self.names, columns, strict=False):
                column.append(found.get(name))
            columns[-1].append(orjson.dumps(record) if record else None)
        return columns, refused


def _objects(data: npt.NDArray[np.uint8], ends: npt.NDArray[np.int32]) -> pa.Array:
    """JSON objects that stand one behind the other, as strings; null where there is none."""
    given = np.packbits(np.diff(ends) > 0, bitorder="little")
    buffers = [pa.py_buffer(given), pa.py_buffer(ends), pa.py_buffer(data[: ends[-1]].copy())]
    return pa.Array.from_buffers(pa.string(), len(ends) - 1, buffers)


def _behind_first_line(block: bytes) -> int:
    return block.find(b"\n") + 1 or len(block)


def _lines(file: SourceFile) -> Iterator[tuple[int, bytes | None]]:
    """The lines that begin in the file's range."""
    first = True
    start = file.start or 0
    for offset, line in lines(_ranged_chunks(file) if start else file.chunks(), file.max_doc_bytes, max(0, start - 1)):
        if start and first:  # the line that began before the range, or the end of the one before it
            first = False
            continue
        if file.end is not None and offset >= file.end:
            return
        yield offset, line


def _ranged_chunks(file: SourceFile) -> Iterator[bytes]:
    """Plain bytes from the one before the range on."""
    with file.seekable() as handle:
        handle.seek((file.start or 0) - 1)
        while chunk := handle.read(READ_BYTES):
            yield chunk


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        line.decode()
    except UnicodeDecodeError as fault:
        return f"invalid UTF-8 at byte {fault.start} of the line"
    if line.startswith(UTF8_BOM):
        return "not JSON: a byte-order mark inside the file"
    if b"\r" in line.strip(b"\r"):
        return f"not JSON: {error}; lines end with a carriage return alone: convert with tr '\\r' '\\n'"
    return f"not JSON: {error}"
