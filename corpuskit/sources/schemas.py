"""The fields of the records that other tools and known corpora write, by name: where the text is, and which columns.

A schema's columns are named as the corpus names them, but for names that corpuskit uses itself: `source` has the
corpus's name before it, and a language that a corpus states is `content_language`, as with the readers of raw dumps,
because `language` and `language_score` are signals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from corpuskit.errors import UsageError, did_you_mean

SchemaName = Literal[
    "c4", "datatrove", "dolma", "fineweb", "pile", "redpajama", "redpajama_v2", "slimpajama", "wikipedia_hf"
]


@dataclass(frozen=True)
class Schema:
    """How a corpus writes its records.

    Attributes:
        about: what writes them.
        text: the field that holds the text.
        columns: by the column's name, its type and the places where the value may be; the first that holds one counts.
        table: the field that holds further metadata: an object, or text that writes one (as JSON, or as Python does).
    """

    about: str
    text: str
    columns: Mapping[str, tuple[str, ...]]
    table: str | None = None


def _strings(*names: str, table: str | None = None) -> dict[str, tuple[str, ...]]:
    """Text columns that are named as their fields, in the table or beside it."""
    return {name: ("string", *([f"{table}.{name}"] if table else []), name) for name in names}


def _crawled(table: str | None = None) -> dict[str, tuple[str, ...]]:
    """What datatrove knows of a page, and FineWeb says of each."""

    def at(name: str) -> tuple[str, ...]:
        return (f"{table}.{name}", name) if table else (name,)

    return {
        **_strings("id"),
        **_strings("dump", "url", "date", "file_path", table=table),
        "content_language": ("string", *at("language")),
        "content_language_score": ("float64", *at("language_score")),
        "token_count": ("int64", *at("token_count")),
    }


SCHEMAS: Mapping[SchemaName, Schema] = {
    "c4": Schema("C4 and mC4", "text", _strings("url", "timestamp")),
    "datatrove": Schema(
        "datatrove's writers, with `expand_metadata` or without", "text", _crawled("metadata"), "metadata"
    ),
    "dolma": Schema(
        "Dolma and its toolkit",
        "text",
        {
            **_strings("id"),
            "dolma_source": ("string", "source"),
            **_strings("version", "added", "created"),
            "url": ("string", "metadata.url"),
        },
        "metadata",
    ),
    "fineweb": Schema("FineWeb, FineWeb-Edu, FineWeb2", "text", _crawled()),
    "pile": Schema("The Pile", "text", {"pile_set_name": ("string", "meta.pile_set_name")}, "meta"),
    "redpajama": Schema(
        "RedPajama-1T",
        "text",
        {
            "url": ("string", "meta.url"),
            "title": ("string", "meta.title"),
            "timestamp": ("string", "meta.timestamp"),
            "content_language": ("string", "meta.language"),
            "redpajama_source": ("string", "meta.source", "source"),
            "redpajama_subset": ("string", "red_pajama_subset"),
        },
        "meta",
    ),
    "redpajama_v2": Schema(
        "RedPajama-V2, its files (CCNet's fields) or what `datasets` makes of them",
        "raw_content",
        {
            "id": ("string", "doc_id"),
            **_strings("url", "source_domain", "digest", table="meta"),
            "date": ("string", "meta.date_download", "date_download"),
            "content_language": ("string", "meta.language", "language"),
            "ccnet_language_score": ("float64", "language_score"),
            "ccnet_perplexity": ("float64", "perplexity"),
            "ccnet_bucket": ("string", "bucket", "meta.partition"),
        },
        "meta",
    ),
    "slimpajama": Schema("SlimPajama", "text", {"redpajama_set_name": ("string", "meta.redpajama_set_name")}, "meta"),
    "wikipedia_hf": Schema("`wikimedia/wikipedia` on the hub", "text", _strings("id", "url", "title")),
}


def schema_named(name: str) -> Schema:
    """The schema of that name.

    Raises:
        UsageError: there is none.
    """
    for known, schema in SCHEMAS.items():
        if known == name:
            return schema
    raise UsageError(f"no schema `{name}`", did_you_mean(name, SCHEMAS) or f"schemas: {', '.join(SCHEMAS)}")
