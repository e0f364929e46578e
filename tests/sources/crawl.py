"""A crawl in small: pages in some languages as WARC files, the columnar index of them, and a store that counts."""

import contextlib
import gzip
import io
import random
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from test_sources_warc import http, page, record

SENTENCES = {
    "isl": "Þetta er síða númer {} um veðrið við ströndina. ",
    "deu": "Dies ist Seite Nummer {} über das Wetter an der Küste. ",
    "eng": "This is page number {} about the weather at the coast. ",
}
TLDS = {"isl": "is", "deu": "de", "eng": "com"}
SCHEMA = pa.schema(
    [
        ("url_surtkey", pa.string()), ("url", pa.string()), ("url_host_name", pa.string()),
        ("url_host_tld", pa.string()), ("url_host_registered_domain", pa.string()),
        ("fetch_time", pa.timestamp("ms", "UTC")), ("fetch_status", pa.int16()), ("content_digest", pa.string()),
        ("content_mime_type", pa.string()), ("content_mime_detected", pa.string()), ("content_charset", pa.string()),
        ("content_languages", pa.string()), ("content_truncated", pa.string()), ("warc_filename", pa.string()),
        ("warc_record_offset", pa.int32()), ("warc_record_length", pa.int32()), ("warc_segment", pa.string()),
    ]
)  # fmt: skip
"""As Common Crawl has it: `crawl` and `subset` stand in the names of folders alone."""


def crawl(folder, *, files=2, pages=12, padding=0):
    """Write WARC files below `folder` and give the rows of their index, sorted by URL as the real one is.

    A page is followed by `padding` random bytes that the index does not name.
    """
    chance, rows = random.Random(0), []
    for number in range(files):
        name = f"crawl-data/CC-TEST/segments/1/warc/{number:05}.warc.gz"
        warc = io.BytesIO()
        warc.write(gzip.compress(record("warcinfo", b"software: test\r\n"), mtime=0))
        for serial in range(pages):
            language = list(SENTENCES)[serial % 3]
            url = f"https://www.host{serial}.{TLDS[language]}/{number}"
            text = (SENTENCES[language].format(serial) + f"{chance.random()} ") * 8
            data = gzip.compress(record("response", http(page(text).encode()), url), mtime=0)
            rows.append(row(url, language, name, warc.tell(), len(data)))
            warc.write(data)
            if padding:
                warc.write(gzip.compress(record("metadata", chance.randbytes(padding), url), mtime=0))
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(warc.getvalue())
    return sorted(rows, key=lambda one: one["url"])


def row(url, languages, name, offset, length, **more):
    host = urlsplit(url).netloc
    return {
        "url": url, "url_host_name": host, "url_host_tld": host.rpartition(".")[2],
        "url_host_registered_domain": host.removeprefix("www."), "fetch_status": 200, "content_mime_type": "text/html",
        "content_mime_detected": "text/html", "content_languages": languages, "warc_filename": name,
        "warc_record_offset": offset, "warc_record_length": length, **more,
    }  # fmt: skip


def index(path, rows, schema=SCHEMA, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, **options)
    return path


class Counted(LocalFileSystem):
    """Local files at `counted:///folder/x`: what was asked for, and connections that fail."""

    protocol = "counted"
    cachable = False
    asked: list = []  # noqa: RUF012 - of all instances: (file's name, start, end)
    failures: list = []  # noqa: RUF012 - raised by the next requests

    @classmethod
    @contextlib.contextmanager
    def watched(cls, *failures):
        cls.asked.clear()
        cls.failures[:] = failures
        yield cls.asked
        cls.failures.clear()

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(path.removeprefix("counted://"))

    def cat_file(self, path, start=None, end=None, **kwargs):
        self.asked.append((path.rpartition("/")[2], start, end))
        if self.failures:
            raise self.failures.pop()
        return super().cat_file(path, start, end, **kwargs)
