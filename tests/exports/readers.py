"""Small readers of each format, from its published layout: documents, sequences or texts by (split, domain)."""

import csv
import gzip
import json
import struct
import tarfile

import numpy as np
import pyarrow.parquet as pq


def _cut(tokens, ends):
    return [piece.tolist() for piece in np.split(tokens, np.asarray(ends, np.int64))[: len(ends)]]


def _by_domain(folder, pattern, documents):
    found = {}
    for path in sorted(folder.glob(f"*/*/{pattern}")):
        found.setdefault((path.parent.parent.name, path.parent.name), []).extend(documents(path))
    return found


def megatron(folder):
    def documents(path):
        raw = path.with_suffix(".idx").read_bytes()
        magic, version, code, count, entries = struct.unpack_from("<9sQBQQ", raw)
        assert (magic, version, code, entries) == (b"MMIDIDX\0\0", 1, 8, count + 1)
        return _cut(np.fromfile(path, "<u2"), np.cumsum(np.frombuffer(raw, "<i4", count, 34)))

    return _by_domain(folder, "*.bin", documents)


def datatrove(folder):
    def documents(path):
        tokens = np.fromfile(path, "<u2")
        name, count, _ = path.with_name(f"{path.name}.metadata").read_text().split("\n")
        assert (name, int(count)) == ("tokenizer.json|2", len(tokens))
        return _cut(tokens, np.fromfile(path.with_name(f"{path.name}.index"), "<u8"))

    return _by_domain(folder, "*.ds", documents)


def olmo(folder):
    def documents(path):
        with gzip.open(path.with_suffix(".csv.gz"), "rt") as stream:
            rows = list(csv.reader(stream))
        assert [int(row[0]) for row in rows] == [0, *(int(row[1]) for row in rows[:-1])]
        assert {row[3] for row in rows} == {path.parent.name}
        return _cut(np.fromfile(path, "<u2"), [int(row[1]) for row in rows])

    return _by_domain(folder, "*.npy", documents)


def mds(folder):
    """Sequences as (domain, tokens, borders of documents), in order, by split."""
    found = {}
    for split in ("train", "validation"):
        for shard in json.loads((folder / split / "index.json").read_text())["shards"]:
            raw = (folder / split / shard["raw_data"]["basename"]).read_bytes()
            assert len(raw) == shard["raw_data"]["bytes"] <= shard["size_limit"]
            (count,) = struct.unpack_from("<I", raw)
            assert count == shard["samples"]
            assert shard["column_names"] == ["cu_seqlens", "domain", "tokens"]
            offsets = struct.unpack_from(f"<{count + 1}I", raw, 4)
            for begin, end in zip(offsets, offsets[1:], strict=False):
                sizes = struct.unpack_from("<3I", raw, begin)
                assert begin + 12 + sum(sizes) == end
                starts = np.cumsum([begin + 12, *sizes])
                borders, domain, tokens = (raw[low:high] for low, high in zip(starts, starts[1:], strict=False))
                sample = (domain.decode(), _array(tokens, "<u2"), _array(borders, "<i4"))
                found.setdefault(split, []).append(sample)
    return found


def _array(raw, dtype):
    dimensions, power = raw[0] >> 2, raw[0] & 3
    assert dimensions == 1
    values = np.frombuffer(raw[1 + (1 << power) :], dtype)
    assert len(values) == int.from_bytes(raw[1 : 1 + (1 << power)], "little")
    return values.tolist()


def hf(folder):
    """Texts by number of document, by (split, domain)."""
    found = {}
    for path in sorted(folder.glob("data/*/*.parquet")):
        table = pq.ParquetFile(path).read()
        texts = found.setdefault((path.name.partition("-")[0], path.parent.name), {})
        texts |= dict(zip(table["doc"].to_pylist(), table["text"].to_pylist(), strict=True))
    return found


def webdataset(folder):
    """Texts by number of document, by (split, domain)."""
    found = {}
    for path in sorted(folder.glob("*/*.tar")):
        texts = found.setdefault((path.parent.name, path.name.rpartition("-")[0]), {})
        with tarfile.open(path) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar}
        for name, content in files.items():
            key, _, kind = name.partition(".")
            if kind == "json":
                columns = json.loads(content)
                assert columns["doc"] == int(key)
                assert columns["domain"] == path.name.rpartition("-")[0]
                texts[int(key)] = files[f"{key}.txt"].decode()
    return found
