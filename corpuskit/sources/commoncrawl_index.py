"""Pages of Common Crawl by its columnar index: only the records that are asked for are read from the WARC files.

After UnifiedCrawl (Tessema et al. 2024, arXiv:2411.14343): DuckDB picks rows of the index, whose files are Parquet,
and each row is a byte range of a WARC file. A language thus costs what it weighs, not what the crawl does.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

import pyarrow as pa
import pydantic

from corpuskit.core import step
from corpuskit.core.identity import Folder
from corpuskit.core.sql import check_types, columns_of, reason_of
from corpuskit.core.step import Bad, Skip
from corpuskit.errors import CorpuskitError, InputError, UsageError
from corpuskit.sources.base import SourceFile
from corpuskit.sources.extractors import EXTRACTORS, Extractor, libraries
from corpuskit.sources.lines import too_large
from corpuskit.sources.ranges import Range, RangedFiles, read_in_order
from corpuskit.sources.raw import RawStream
from corpuskit.sources.warc import COLUMNS, document, records

ROWS = 1024
_PLACED = ("url", "warc_filename", "warc_record_offset", "warc_record_length")


def _language(code: str) -> str:
    if not re.fullmatch("[a-z]{3}", code):
        raise ValueError("should be an ISO 639-3 code in three small letters, as `isl`")
    return code


def _expression(where: str) -> str:
    try:
        columns_of(where)
    except UsageError as error:
        raise ValueError(error.message) from None
    return where


Language = Annotated[str, pydantic.AfterValidator(_language)]
Expression = Annotated[str, pydantic.AfterValidator(_expression)]


@step.source(
    columns={**COLUMNS, "warc_filename": "string", "warc_record_offset": "int64"},
    extract=True,
    libraries=lambda **params: ("duckdb", *libraries(**params)),
)
def commoncrawl_index(
    file: SourceFile,
    *,
    base: Folder,
    languages: list[Language] = [],  # noqa: B006 - never changed
    tlds: list[str] = [],  # noqa: B006
    registered_domains: list[str] = [],  # noqa: B006
    mime_types: list[str] = [],  # noqa: B006
    where: Expression | None = None,
    extract: Extractor = "corpuskit",
) -> Iterator[dict[str, Any] | Bad | Skip]:
    """Read the records that a Parquet file of Common Crawl's columnar index names, as `warc` reads them.

    Only the byte ranges of the rows that all conditions hold for are read, in the order of `warc_filename` and offset.
    Each row is a document, or counted as what it is: a file that is not there, a range that is cut or damaged, and a
    record of another URL than the row's are `Bad`. A connection that fails is tried again before it is an error.

    Args:
        file: a file of the index.
        base: what `warc_filename` starts from: a folder, `s3://commoncrawl/` or `https://data.commoncrawl.org/`.
        languages: the language that most of the page is in, the first of `content_languages`, in ISO 639-3 (`isl`).
        tlds: top-level domains (`is`).
        registered_domains: as `example.is`, with all hosts below it.
        mime_types: of `content_mime_detected`. Of pages `warc` keeps HTML: `[text/html, application/xhtml+xml]` saves
            the reading of all others.
        where: a DuckDB expression over the columns of the index, such as `fetch_status = 200`; `crawl` and
            `subset` are taken from the folders of the file, as `crawl=CC-MAIN-2024-10`, where it lacks them.
        extract: what finds the main text of a page, as of `warc`.

    Raises:
        UsageError: the index lacks a column that is asked for, or `where` does not fit its columns.
        InputError: the index is damaged, or no Parquet.
        CorpuskitError: a store refuses access or does not answer.
    """
    values = {
        "split_part(content_languages, ',', 1)": languages,
        "url_host_tld": [tld.lower().removeprefix(".") for tld in tlds],
        "url_host_registered_domain": [domain.lower() for domain in registered_domains],
        "content_mime_detected": mime_types,
    }
    conditions = [f"{what} IN ({', '.join(map(_quoted, allowed))})" for what, allowed in values.items() if allowed]
    rows = _rows(file, base, conditions, where)
    for row, data in read_in_order(RangedFiles(base), rows):
        yield _document(row, data, file, EXTRACTORS[extract])


@dataclass(frozen=True)
class _Row(Range):
    """A row of the index; `fault` says why its range is not read."""

    url: str | None
    name: str
    fault: str | None = None


def _document(
    row: _Row, data: bytes | None, file: SourceFile, extracted: Callable[[str], str]
) -> dict[str, Any] | Bad | Skip:
    """The document in the range of a row."""
    where = f"{row.name} at byte {row.start}"
    if row.fault is not None:
        return Bad(row.fault, where)
    if data is None:
        return Bad(f"there is no file {row.address}", where)
    if len(data) < row.length:
        return Bad(f"the file is cut: it has {len(data):,} of the {row.length:,} bytes of the record", where)
    part = SourceFile(row.address, row.name, max_doc_bytes=file.max_doc_bytes)
    found = records(part, RawStream(row.address, io.BytesIO(data), row.start))
    try:
        record, more = next(found, None), next(found, None)
    except InputError as error:
        return Bad(error.message, where)
    if record is None:
        return Bad("no WARC record", where)
    if isinstance(record, Bad):
        return Bad(record.reason, where)
    if more is not None:
        return Bad(more.reason if isinstance(more, Bad) else "more than one WARC record in the range", where)
    if row.url and record.url and unquote(record.url) != unquote(row.url):
        return Bad(f"the record is of {record.url}, the index says {row.url}", where)
    made = document(record, part, extracted)
    file.raw_record = part.raw_record
    if isinstance(made, Bad):
        return Bad(made.reason, where)
    if isinstance(made, dict):
        made |= {"warc_filename": row.name, "warc_record_offset": row.start}
    return made


def _rows(file: SourceFile, base: str, conditions: list[str], where: str | None) -> Iterator[_Row]:
    """The rows of the index that are asked for, sorted."""
    for batch in _batches(file, conditions, where):
        for url, name, start, length in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if name is None or start is None or length is None or start < 0 or length <= 0:
                yield _Row("", start or 0, 0, url, name or file.relative, f"the index gives no byte range of {url}")
                continue
            fault = too_large(file.max_doc_bytes) if length > file.max_doc_bytes else None
            yield _Row(f"{base.rstrip('/')}/{name}", start, 0 if fault else length, url, name, fault)


def _batches(file: SourceFile, conditions: list[str], where: str | None) -> Iterator[pa.RecordBatch]:
    """`_PLACED` of the rows that are asked for; of the file only the columns and row groups that matter are read."""
    import duckdb

    from corpuskit.sources.queried import FILE, TABLE, queried

    try:
        with queried(file.path) as connection:
            schema = connection.sql(f"SELECT * FROM {TABLE} LIMIT 0").to_arrow_table().schema
            folders = {name: value for name, value in _folders(file).items() if name not in schema.names}
            _check(file, pa.schema([*schema, *((name, pa.string()) for name in folders)]), conditions, where)
            added = "".join(f", {_quoted(value)} AS {name}" for name, value in folders.items())
            chosen = " AND ".join([*conditions, *([f"({where}\n)"] if where else [])]) or "true"
            url, name, *numbers = _PLACED
            placed = ", ".join([url, name, *(f"TRY_CAST({number} AS BIGINT) AS {number}" for number in numbers)])
            query = f"SELECT {placed} FROM (SELECT *{added} FROM {TABLE}) WHERE {chosen} ORDER BY 2, 3, 4, 1"
            yield from connection.sql(query).to_arrow_reader(ROWS)
    except duckdb.ConversionException as error:
        msg = f"{file.path}: `{where}`: {reason_of(error)}"
        raise UsageError(msg, "TRY_CAST gives null where a value cannot be converted") from None
    except duckdb.OutOfMemoryException as error:
        msg = f"{file.path}: DuckDB needs more memory than the reader gives it: {reason_of(error)}"
        raise CorpuskitError(msg, "ask for fewer rows at a time, or write the index with smaller row groups") from None
    except duckdb.Error as error:
        raise file.damaged(f"cannot be read as Parquet: {reason_of(error).replace(FILE, file.relative)}") from None


def _check(file: SourceFile, schema: pa.Schema, conditions: list[str], where: str | None) -> None:
    needed = [*_PLACED, *(name for condition in conditions for name in columns_of(condition))]
    for name in needed:
        if name not in schema.names:
            msg = f"{file.path}: the index has no column `{name}`"
            raise UsageError(msg, f"columns: {', '.join(schema.names)}")
    if where:
        try:
            check_types(where, schema)
        except UsageError as error:
            msg = f"{file.path}: {error.message}"
            raise UsageError(msg, error.hint) from None


def _folders(file: SourceFile) -> dict[str, str]:
    """The columns that stand in the path alone, as in `crawl=CC-MAIN-2024-10/subset=warc/`."""
    parts = (part.partition("=") for part in file.path.split("/")[:-1])
    return {name: value for name, _, value in parts if name in ("crawl", "subset") and value}


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
