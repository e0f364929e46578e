"""Readers of raw dumps, each a `@step.source`: files and their readers by name; a file is imported when needed."""

FILES: dict[str, tuple[str, ...]] = {
    "arxiv": ("arxiv",),
    "commoncrawl_index": ("commoncrawl_index",),
    "delimited": ("csv",),
    "gutenberg": ("gutenberg",),
    "jsonl": ("jsonl",),
    "parquet": ("parquet",),
    "repositories": ("code",),
    "stackexchange": ("stackexchange",),
    "text": ("text",),
    "warc": ("warc",),
    "wikipedia": ("wikipedia",),
}
