"""Small shards for the trainer's tests, by a writer of their own: the format's contract, not another module's word."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write_shards(folder, *, files=(20, 13), validation=None, seq_len=32, vocab=97, dtype="uint16", seed=0, phases=None):
    """Shards of random documents over a skewed alphabet; the last train sequence is half padding.

    `phases`: [(files, seq_len), ...] in place of `files`; the index is then of format 2.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    validation = {"books": 5, "web": 3} if validation is None else validation

    def put(name, sequences, pad_last, seq_len=seq_len):
        tokens = np.zeros((sequences, seq_len + 1), "<u2" if dtype == "uint16" else "<i4")
        rows = []
        for sequence in range(sequences):
            end = (seq_len + 1) // 2 if pad_last and sequence == sequences - 1 else seq_len + 1
            at = 0
            while at < end:
                length = min(int(generator.integers(3, seq_len)), end - at)
                tokens[sequence, at : at + length] = np.minimum(generator.geometric(0.15, length), vocab - 1)
                tokens[sequence, at + length - 1] = 0
                rows.append((sequence, at, length, "books", len(rows), 0))
                at += length
        tokens.tofile(folder / f"{name}.bin")
        columns = list(zip(*rows, strict=True)) if rows else [[]] * 6
        types = [pa.int64(), pa.int32(), pa.int32(), pa.string(), pa.uint64(), pa.int64()]
        names = ["sequence", "start", "length", "domain", "doc", "doc_start"]
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
        pq.write_table(pa.table(dict(zip(names, arrays, strict=True))), folder / f"{name}.docs.parquet")
        held = sum(row[2] for row in rows)
        entry = {"file": f"{name}.bin", "sidecar": f"{name}.docs.parquet", "sequences": sequences}
        return entry | {"tokens": held, "bytes": 4 * held}

    train = [put(f"train-{i:05d}", count, i == len(files) - 1) for i, count in enumerate(files)]
    held_out = {name: put(f"validation-{name}", count, True) for name, count in validation.items()}
    index = {"format": 1, "dtype": dtype, "seq_len": seq_len, "eos": 0, "pad": 0, "vocab_size": vocab}
    index |= {"tokenizer": "ab" * 32, "domains": sorted(validation), "weights": {}, "fingerprint": f"{seed:064x}"}
    index |= {"train": train, "validation": held_out}
    if phases is not None:
        index |= {"format": 2, "train": [], "phases": []}
        for phase, (files, length) in enumerate(phases):
            for count in files:
                entry = put(f"train-{len(index['train']):05d}", count, False, length)
                index["train"].append(entry | {"phase": phase, "seq_len": length})
            index["phases"].append({"seq_len": length, "sequences": sum(files), "weights": {"books": 1.0}})
    (folder / "index.json").write_text(json.dumps(index))
    return folder
