"""Readers of raw dumps, each a `@step.source`; importing this registers them by name."""

import corpuskit.sources.arxiv
import corpuskit.sources.commoncrawl_index
import corpuskit.sources.delimited
import corpuskit.sources.gutenberg
import corpuskit.sources.jsonl
import corpuskit.sources.parquet
import corpuskit.sources.repositories
import corpuskit.sources.stackexchange
import corpuskit.sources.warc
import corpuskit.sources.wikipedia  # noqa: F401
