"""Readers beside their peers: MB of text that come out for a CPU-second of one core, decompression included.

    python -m tests.benchmarks.bench_readers ../shared/data

Each line is the fastest of three rounds. JSON Lines are the texts of `c4` ten times over, packed anew as zstd and gzip,
in MB of the lines; for the others it is the text that they give, and for pages also how many. What peers give is
another main text, another cleaning of wikitext.
"""

import argparse
import bz2
import gzip
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import zstandard

from corpuskit.core.registry import builtin
from corpuskit.sources.base import BatchedFile, SourceFile

ROUNDS = 3


def best(read: Callable[[], int]) -> tuple[float, int]:
    """CPU seconds of the fastest of three rounds, and what it gave."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        given = read()
        found.append((time.process_time() - start, given))
    return min(found)


def show(reader: str, who: str, read: Callable[[], int], unit: str = "MB") -> None:
    try:
        seconds, given = best(read)
    except ImportError as error:
        print(f"{reader:16}{who:28}not installed: {error.name}")
        return
    print(f"{reader:16}{who:28}{given / seconds / (1e6 if unit == 'MB' else 1):10.1f} {unit} per CPU-second")


def ours(reader: str, paths: list[Path], count: bool = False, **params: str) -> Callable[[], int]:
    step = builtin(("source",))[reader]
    checked = step.validate(params)

    def read() -> int:
        found = 0
        for path in paths:
            for record in step.function(SourceFile(str(path), path.name), **checked):
                if isinstance(record, dict):
                    found += 1 if count else len(record["text"].encode())
        return found

    return read


def json_lines(folder: Path, scratch: Path) -> None:
    lines = b"".join(
        zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
        for path in sorted(folder.glob("*.jsonl.zst"))
    )
    lines *= 10
    packed = {"zst": scratch / "x.jsonl.zst", "gz": scratch / "x.jsonl.gz"}
    packed["zst"].write_bytes(zstandard.ZstdCompressor(3).compress(lines))
    packed["gz"].write_bytes(gzip.compress(lines, 6))
    step = builtin(("source",))["jsonl"]

    def batches(path: Path) -> int:
        for _ in step.function(BatchedFile(str(path), path.name), **step.validate({})):
            pass
        return len(lines)

    def by_orjson(path: Path) -> int:
        import orjson

        with gzip.open(path) if path.suffix == ".gz" else zstandard.open(path, "rb") as stream:
            for line in io.BufferedReader(stream, 1 << 20):
                orjson.loads(line)
        return len(lines)

    def by_polars(path: Path) -> int:
        import polars as pl

        pl.read_ndjson(path)
        return len(lines)

    def by_datatrove(path: Path) -> int:
        from datatrove.pipeline.readers import JsonlReader

        for _ in JsonlReader(str(path.parent), glob_pattern=path.name)():
            pass
        return len(lines)

    for kind, path in packed.items():
        for who, read in (
            ("corpuskit", batches),
            ("orjson", by_orjson),
            ("polars", by_polars),
            ("datatrove", by_datatrove),
        ):
            show(f"jsonl.{kind}", who, lambda read=read, path=path: read(path))


def pages(folder: Path) -> None:
    paths = [folder / f"{name}-00000.warc.gz" for name in ("cc-licensed-pages", "sqlite-org", "apache-httpd-docs")]
    for extract in ("corpuskit", "resiliparse", "trafilatura"):
        show("warc", extract, ours("warc", paths, count=True, extract=extract), "pages")
        show("warc", extract, ours("warc", paths, extract=extract))


def wikipedia(folder: Path) -> None:
    paths = [path for path in sorted(folder.glob("*wiki*")) if ".xml" in path.name]
    show("wikipedia", "corpuskit", ours("wikipedia", paths))

    def by_mwparserfromhell() -> int:
        import mwparserfromhell
        from lxml import etree

        found = 0
        for path in paths:
            if path.suffix == ".bz2":
                content = bz2.decompress(path.read_bytes())
                for _, page in etree.iterparse(io.BytesIO(content), tag="{*}text", recover=True):
                    found += len(mwparserfromhell.parse(page.text or "").strip_code().encode())
        return found

    bz2_only = [path for path in paths if path.suffix == ".bz2"]
    show("wikipedia.bz2", "corpuskit", ours("wikipedia", bz2_only))
    show("wikipedia.bz2", "mwparserfromhell, lxml", by_mwparserfromhell)


def posts(folder: Path) -> None:
    paths = sorted(folder.glob("*/Posts.xml.gz"))
    show("stackexchange", "corpuskit", ours("stackexchange", paths))

    def by_lxml() -> int:
        from lxml import etree, html

        found = 0
        for path in paths:
            with gzip.open(path) as stream:
                for _, row in etree.iterparse(stream, tag="row"):
                    body = row.get("Body") or ""
                    found += len(html.fromstring(body).text_content().encode()) if body.strip() else 0
        return found

    show("stackexchange", "lxml", by_lxml)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    with tempfile.TemporaryDirectory() as scratch:
        json_lines(data / "c4", Path(scratch))
    pages(data / "commoncrawl")
    wikipedia(data / "wikipedia")
    posts(data / "stackexchange")
    show("arxiv", "corpuskit", ours("arxiv", sorted((data / "arxiv").glob("*.tar"))))
    show("gutenberg", "corpuskit", ours("gutenberg", sorted((data / "books").glob("novels*.tar.zst"))))
    show("code", "corpuskit", ours("code", sorted((data / "github").glob("*.tar.gz"))))


if __name__ == "__main__":
    main()
