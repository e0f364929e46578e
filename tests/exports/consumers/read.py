"""Reads an export with the tool that it is for, in that tool's environment, and prints what it found as JSON.

    python read.py FORMAT FOLDER SEQ_LEN

Nothing of corpuskit is imported. For each split and domain: documents or sequences, tokens, and a digest (SHA-256) of
all tokens in order, or of all texts in order of their document numbers.
"""

import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path


def megatron(folder, _):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    blend = json.loads((folder / "data_args.json").read_text())
    for split, named in (("train", blend["train"]), ("validation", blend["valid"])):
        assert abs(sum(map(float, named[::2])) - 1) < 1e-9 or split == "validation"
        for prefix in named[1::2]:
            data = IndexedDataset(prefix)
            assert len(data.document_indices) == len(data) + 1
            yield split, Path(prefix).parent.name, len(data), (data[k] for k in range(len(data)))


def datatrove(folder, seq_len):
    from datatrove.utils.dataset import DatatroveFileDataset, DatatroveFolderDataset

    for path in sorted(folder.rglob("*.ds")):
        name, count, _ = Path(f"{path}.metadata").read_text().split("\n")
        size = int(name.rpartition("|")[2])
        data = DatatroveFileDataset(str(path), seq_len, token_size=size, return_positions=True)
        items = [data[k] for k in range(len(data))]
        begun = sum(int((item["positions"] == 0).sum()) for item in items)
        # the reader gives whole windows; the rest of the file is read as it reads them, in windows of one token
        rest = DatatroveFileDataset(str(path), 0, token_size=size)
        left = [rest[k]["input_ids"].numpy() for k in range(len(data) * (seq_len + 1), len(rest))]
        assert len(rest) == int(count)
        assert begun >= len(items)
        # nanotron is given one such folder a domain
        files = len(list(path.parent.glob("*.ds")))
        domain = DatatroveFolderDataset(str(path.parent), seq_len, token_size=size)
        assert len(domain.files) == files
        yield path.parent.parent.name, path.parent.name, None, [item["input_ids"].numpy() for item in items] + left


def olmo(folder, seq_len):
    import numpy as np
    from olmo_core.data import NumpyFSLDataset
    from olmo_core.data.utils import get_document_indices, load_array_slice

    about = json.loads((folder / "manifest.json").read_text())
    kind = np.uint16 if about["dtype"] == "uint16" else np.uint32
    told = {
        "pad_token_id": about["eos"],
        "eos_token_id": about["eos"],
        "vocab_size": about["vocab_size"],
        "dtype": kind,
    }
    for path in sorted(folder.rglob("*.npy")):
        spans = get_document_indices(path)
        tokens = load_array_slice(path, 0, spans[-1][1], kind)
        windows = NumpyFSLDataset(path, sequence_length=seq_len, **told)
        assert len(windows) == len(tokens) // seq_len
        for k in range(len(windows)):
            assert (windows[k]["input_ids"].numpy() == tokens[k * seq_len : (k + 1) * seq_len]).all()
        assert path.stat().st_size == len(tokens) * kind().itemsize
        assert spans[0][0] == 0
        assert all(end == start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
        yield path.parent.parent.name, path.parent.name, len(spans), [tokens[start:end] for start, end in spans]


def nanogpt(folder, _):
    """As nanoGPT's train.py reads: `np.memmap(..., dtype=np.uint16)`, and `meta.pkl`."""
    import pickle

    import numpy as np

    assert set(pickle.loads((folder / "meta.pkl").read_bytes())) == {"vocab_size"}
    for split, name in (("train", "train.bin"), ("validation", "val.bin")):
        yield split, "", None, [np.memmap(folder / name, dtype=np.uint16, mode="r")]


def mds(folder, _):
    import torch

    # torchvision, which streaming imports for pictures, is built for CUDA; beside torch for CPUs it lacks operators
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from streaming import StreamingDataset

    for split in ("train", "validation"):
        data = StreamingDataset(local=str(folder), split=split, shuffle=False, batch_size=1)
        items = [data[k] for k in range(len(data))]
        assert all(0 <= item["cu_seqlens"][-1] <= len(item["tokens"]) for item in items)
        for domain in sorted({item["domain"] for item in items}):
            mine = [item["tokens"] for item in items if item["domain"] == domain]
            yield split, domain, len(mine), mine


def hf(folder, _):
    import datasets
    import mlcroissant

    described = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    tables = {records.uuid for records in described.metadata.record_sets}
    for domain in datasets.get_dataset_config_names(str(folder)):
        loaded = datasets.load_dataset(str(folder), domain)  # checks the splits that the card announces
        for split, data in loaded.items():
            rows = list(described.records(f"{domain}-{split}"))
            assert len(rows) == len(data)
            texts = dict(zip(data["doc"], data["text"], strict=True))
            assert {int(row[f"{domain}-{split}/doc"]): row[f"{domain}-{split}/text"].decode() for row in rows} == texts
            tables.remove(f"{domain}-{split}")
            yield split, domain, len(data), [texts[doc].encode() for doc in sorted(texts)]
    assert not tables
    card = __import__("huggingface_hub").DatasetCard.load(folder / "README.md")
    assert card.data.license


def webdataset(folder, _):
    import webdataset as wds

    for split in ("train", "validation"):
        for domain in sorted({path.name.rpartition("-")[0] for path in (folder / split).glob("*.tar")}):
            urls = sorted(str(path) for path in (folder / split).glob(f"{domain}-[0-9]*.tar"))
            texts = {}
            for sample in wds.WebDataset(urls, shardshuffle=False, empty_check=False).decode():
                assert (sample["json"]["domain"], sample["json"]["doc"]) == (domain, int(sample["__key__"]))
                texts[sample["json"]["doc"]] = sample["txt"].encode()
            yield split, domain, len(texts), [texts[doc] for doc in sorted(texts)]


PACKAGES = {
    "megatron": ["megatron-core", "torch"],
    "datatrove": ["datatrove", "torch"],
    "olmo": ["ai2-olmo-core", "torch"],
    "nanogpt": ["numpy"],
    "mds": ["mosaicml-streaming", "torch"],
    "hf": ["datasets", "huggingface-hub", "mlcroissant"],
    "webdataset": ["webdataset"],
}


def main(form, folder, seq_len):
    import numpy as np

    found = {}
    for split, domain, count, pieces in globals()[form](Path(folder), int(seq_len)):
        row = found.setdefault(f"{split}/{domain}", {"count": 0, "tokens": 0, "digest": hashlib.sha256()})
        row["count"] = None if count is None else row["count"] + count
        for piece in pieces:
            if isinstance(piece, bytes):
                row["digest"].update(piece + b"\0")
            else:
                row["tokens"] += len(piece)
                row["digest"].update(np.asarray(piece).astype("<i8").tobytes())
    versions = {name: importlib.metadata.version(name) for name in PACKAGES[form]}
    rows = {name: row | {"digest": row["digest"].hexdigest()} for name, row in found.items()}
    print(json.dumps({"versions": versions, "found": rows}))


if __name__ == "__main__":
    main(*sys.argv[1:])
