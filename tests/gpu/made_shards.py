"""Shards of made text in the real format, for checks on a GPU: documents of web-like lengths, a Zipfian vocabulary."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MEDIAN, SIGMA = 500, 1.0  # tokens of a document, log-normal: a mean of about 820


def make_shards(folder, *, sequences, seq_len, vocab=32_000, held_out=4, seed=0):
    """One train file and one domain of validation, each with a last sequence that is half padding."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    share = np.cumsum(1 / (np.arange(1, vocab) + 2.7))  # Zipf's law as Mandelbrot bent it; 0 is EOS
    share /= share[-1]

    def put(name, count):
        length = seq_len + 1
        size = count * length - length // 2
        ends = np.cumsum(np.maximum(generator.lognormal(np.log(MEDIAN), SIGMA, size // 200 + 9), 2).astype(np.int64))
        tokens = np.zeros(count * length, "<u2")
        tokens[:size] = 1 + np.searchsorted(share, generator.random(size))
        tokens[ends[ends < size]] = 0
        bounds = np.union1d(ends[ends < size] + 1, np.arange(0, size, length))
        runs = np.diff(np.append(bounds, size))
        sequence, start = np.divmod(bounds, length)
        tokens.tofile(folder / f"{name}.bin")
        columns = {
            "sequence": pa.array(sequence, pa.int64()),
            "start": pa.array(start, pa.int32()),
            "length": pa.array(runs, pa.int32()),
            "domain": pa.array(["web"] * len(runs)),
            "doc": pa.array(np.arange(len(runs)), pa.uint64()),
            "doc_start": pa.array(np.zeros(len(runs)), pa.int64()),
        }
        pq.write_table(pa.table(columns), folder / f"{name}.docs.parquet")
        entry = {"file": f"{name}.bin", "sidecar": f"{name}.docs.parquet", "sequences": count}
        return entry | {"tokens": size, "bytes": 4 * size}

    index = {"format": 1, "dtype": "uint16", "seq_len": seq_len, "eos": 0, "pad": 0, "vocab_size": vocab}
    index |= {"tokenizer": "ab" * 32, "domains": ["web"], "weights": {}, "fingerprint": f"{seed:064x}"}
    index |= {"train": [put("train-00000", sequences)], "validation": {"web": put("validation-web", held_out)}}
    (folder / "index.json").write_text(json.dumps(index))
    return folder
