"""Croissant metadata (MLCommons, version 1.0): what files a data set has, and what is in their columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


_TYPES = (
    (pa.types.is_boolean, "sc:Boolean"),
    (pa.types.is_integer, "sc:Integer"),
    (pa.types.is_floating, "sc:Float"),
    (pa.types.is_date, "sc:Date"),
    (pa.types.is_timestamp, "sc:DateTime"),
    (lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind), "sc:Text"),
)


@dataclass(frozen=True)
class Table:
    """Parquet files of one schema: `name`, the glob pattern of their paths, and their columns."""

    name: str
    pattern: str
    schema: pa.Schema


def croissant(
    name: str, description: str, licenses: list[str], date: str, files: dict[str, tuple[str, int]], tables: list[Table]
) -> dict[str, Any]:
    """The content of `croissant.json`.

    Args:
        name: of the data set. description: a sentence or two. licenses: their identifiers.
        date: when it was made, `YYYY-MM-DD`.
        files: SHA-256 and bytes of each Parquet file, by path.
        tables: what is in them.
    """
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": description,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": licenses,
        "datePublished": date,
        "version": "1.0.0",
        "distribution": [_file(path, *about) for path, about in files.items()] + [_set(table) for table in tables],
        "recordSet": [_records(table) for table in tables],
    }


def _file(path: str, sha256: str, size: int) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "contentSize": f"{size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": sha256,
    }


def _set(table: Table) -> dict[str, Any]:
    kind = {"@type": "cr:FileSet", "@id": f"files-of-{table.name}", "name": f"files-of-{table.name}"}
    return kind | {"encodingFormat": "application/x-parquet", "includes": table.pattern}


def _records(table: Table) -> dict[str, Any]:
    fields = [field for column in table.schema if (field := _field(table, column)) is not None]
    return {"@type": "cr:RecordSet", "@id": table.name, "name": table.name, "field": fields}


def _field(table: Table, column: pa.Field) -> dict[str, Any] | None:
    """A field of a record set; None for a column whose type Croissant has no name for."""
    kind, repeated = column.type, {}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind, repeated = kind.value_type, {"repeated": True}
    name = next((name for fits, name in _TYPES if fits(kind)), None)
    if name is None:
        return None
    place = {"@type": "cr:Field", "@id": f"{table.name}/{column.name}", "name": column.name, "dataType": name}
    source = {"fileSet": {"@id": f"files-of-{table.name}"}, "extract": {"column": column.name}}
    return place | {"source": source} | repeated
