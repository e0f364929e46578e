"""Training a byte-level BPE: ours and the library's on the same texts, CPU-seconds, and whether the merges are equal.

`python tests/benchmarks/bench_bpe.py TEXT... [--vocab 32000]`; TEXT are files of text or `.jsonl.zst` with `text`. Each
one trains in a process of its own time; kernels are compiled before.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_tokens import texts_of
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from corpuskit.shards.tokenizer import END
from corpuskit.shards.training import train


def library(texts: list[str], vocab: int) -> str:
    """The tokenizer of the library, as JSON."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, min_frequency=2, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """CPU-seconds of all threads, and what came of it."""
    start = time.process_time()
    made = act()
    return time.process_time() - start, made


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--vocab", type=int, default=32_000)
    options = parser.parse_args()
    train(["warm up the kernels, warm up"], 300)
    texts = [text for path in options.texts for text in texts_of(path)]
    ours = min(timed(lambda: train(texts, options.vocab))[0] for _ in range(3))
    mine = json.loads(train(texts, options.vocab).tokenizer.to_str())["model"]
    theirs, made = timed(lambda: library(texts, options.vocab))
    other = json.loads(made)["model"]
    size = sum(len(text.encode()) for text in texts) / 1e6
    same = mine["merges"] == other["merges"] and mine["vocab"] == other["vocab"]
    print(
        f"{size:.1f} MB, vocabulary of {len(mine['vocab']):,}: ours {ours:.2f}, tokenizers {theirs:.2f} CPU-seconds;",
        end=" ",
    )
    print(f"merges and numbers {'equal' if same else 'DIFFER'}")


if __name__ == "__main__":
    main()
