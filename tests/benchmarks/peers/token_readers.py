"""mosaicml-streaming and megatron-core on the tokens of `bench_shards.py`: million tokens per CPU-second, one thread.

`python token_readers.py FOLDER SEQ_LEN`; FOLDER/tokens holds `web-0.bin` and `.idx`. Each writes what our stage writes
(MDS: samples of a sequence; Megatron: documents, by its builder) and reads sequences in random order, as int64 tensors
ready for a step: Megatron with labels, loss mask and positions that begin anew at each document, MDS with tokens alone.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

MOST = 10_000_000


def spent(work: Callable[[], object]) -> float:
    """CPU seconds."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def row(what: str, tokens: int, seconds: float) -> None:
    """A line of the table."""
    print(f"{what:58} {tokens / seconds / 1e6:8.1f}")


def mds(tokens: np.ndarray, seq_len: int, folder: Path) -> None:
    """Samples of a sequence, written once and read at random."""
    from streaming import LocalDataset, MDSWriter

    sequences = tokens[: len(tokens) // (seq_len + 1) * (seq_len + 1)].reshape(-1, seq_len + 1)

    def write() -> None:
        with MDSWriter(out=str(folder), columns={"tokens": f"ndarray:uint16:{seq_len + 1}"}) as out:
            for sequence in sequences:
                out.write({"tokens": sequence})

    row("mosaicml-streaming: writing", sequences.size, spent(write))
    dataset = LocalDataset(str(folder))
    order = np.random.default_rng(3).permutation(len(dataset))

    def read() -> None:
        for number in order:
            whole = torch.from_numpy(dataset[int(number)]["tokens"].astype(np.int64))
            assert len(whole[:-1]) == len(whole[1:]) == seq_len

    row("mosaicml-streaming: reading at random", sequences.size, min(spent(read) for _ in range(3)))


def megatron(base: Path, tokens: np.ndarray, seq_len: int, folder: Path) -> None:
    """Documents, written by its builder; and GPTDataset."""
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder
    from megatron.core.datasets.utils import Split

    ends = np.flatnonzero(tokens == 0) + 1
    documents = np.split(tokens[: ends[-1]], ends[:-1])

    def write() -> None:
        builder = IndexedDatasetBuilder(str(folder / "x.bin"), dtype=np.uint16)
        for document in documents:
            builder.add_document(torch.from_numpy(document.astype(np.int64)), [len(document)])
        builder.finalize(str(folder / "x.idx"))

    row("megatron-core: writing documents", int(ends[-1]), spent(write))
    whole = IndexedDataset(str(base))
    config = GPTDatasetConfig(
        random_seed=1,
        sequence_length=seq_len,
        blend=([str(base)], None),
        split="1,0,0",
        path_to_cache=str(folder),
        tokenizer=SimpleNamespace(eod=0, pad=0, vocab_size=50_000, unique_identifiers={"x": 1}),
        reset_position_ids=True,
        reset_attention_mask=False,
        eod_mask_loss=True,
        create_attention_mask=False,
    )
    indices = np.arange(len(whole.document_indices) - 1, dtype=np.int32)
    dataset = GPTDataset(whole, str(base), indices, None, Split.train, config)
    some = range(min(len(dataset) - 1, MOST // seq_len))  # shuffled by itself

    def read() -> None:
        for number in some:
            dataset[number]

    row("megatron-core: GPTDataset, in its shuffled order", len(some) * seq_len, min(spent(read) for _ in range(3)))


def main() -> None:
    """Print a line for each."""
    torch.set_num_threads(1)
    base, seq_len = Path(sys.argv[1]) / "tokens" / "web-0", int(sys.argv[2])
    tokens = np.fromfile(f"{base}.bin", np.uint16)[:MOST]
    for work in (lambda folder: mds(tokens, seq_len, folder), lambda folder: megatron(base, tokens, seq_len, folder)):
        with tempfile.TemporaryDirectory() as folder:
            work(Path(folder))


if __name__ == "__main__":
    main()
