"""The stage that encodes: MB of text per CPU-second, from the corpus in Parquet to token files, everything included.

`python tests/benchmarks/bench_tokens.py TEXT... [--vocab 32000] [--fim]`; TEXT are files of text or `.jsonl.zst` with
`text`; code is the Python files of this environment. A BPE is trained on a part of each kind. `load` is what a worker
does once, in CPU-seconds; `cold` the stage on text of which the encoder has seen no word, reading and writing included;
`again` the same text once more; `encoder` encodes alone; `tokenizers` takes a tenth. It says where gigatoken is not
used.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import zstandard

sys.path.insert(0, str(Path(__file__).parents[1] / "shards"))

from shards_harness import Corpus

from corpuskit.shards import stages
from corpuskit.shards.encoder import Encoder, ready
from corpuskit.shards.kinds import Tokenizer, Tokens
from corpuskit.shards.tokenizer import from_json
from corpuskit.shards.training import train

LIMIT = 20_000_000


def texts_of(path: Path) -> list[str]:
    """Documents of a file."""
    if path.name.endswith(".jsonl.zst"):
        with path.open("rb") as stream, zstandard.ZstdDecompressor().stream_reader(stream) as plain:
            return [json.loads(line)["text"] for line in io.TextIOWrapper(plain, encoding="utf-8")]
    return [path.read_text(encoding="utf-8", errors="replace")]


def code() -> list[str]:
    """Python files, up to a limit."""
    found, size = [], 0
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        found.append(path.read_text(encoding="utf-8", errors="replace"))
        size += len(found[-1])
        if size > LIMIT:
            break
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", type=Path, nargs="*")
    parser.add_argument("--vocab", type=int, default=32_000)
    parser.add_argument("--fim", action="store_true")
    options = parser.parse_args()
    kinds = {"code": code()}
    if options.texts:
        kinds["text"] = [text for path in options.texts for text in texts_of(path)]
    sample = [text for texts in kinds.values() for text in texts[:: max(1, sum(map(len, texts)) // 4_000_000)]]
    special = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>") if options.fim else ()
    loaded = train(sample, options.vocab, special)
    print("MB per CPU-second; " + (Encoder(loaded, 1 << 30).why_slow or "by gigatoken"))
    print(
        f"{'':8}{'MB':>8}{'documents':>12}{'tokens':>12}{'load':>8}{'cold':>8}{'again':>8}{'encoder':>9}{'tokenizers':>12}"
    )
    for kind, texts in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            content = {kind: (kind, [{"corpus": texts}])}
            corpus = Corpus(Path(folder) / "run", content, batch_bytes=16 << 20, group_rows=1 << 17)
            path = Path(folder) / "tokenizer.json"
            path.write_bytes(loaded.content)
            told = Tokenizer(sources=corpus.sources, tokenizers="", tokenizer="", wanted=str(path), fim=options.fim)
            corpus.run("tokenizer", stages.tokenizer, told, {f"corpus:{kind}": f"corpus-{kind}"})
            size = sum(len(text.encode()) for text in texts)
            fim = {"rate": 0.5, "spm_rate": 0.5, "seed": 1} if options.fim else None
            needs = {"corpus": f"corpus-{kind}", "tokenizer": "tokenizer"}
            work = corpus._work(f"tokens-{kind}", 0, 1, Tokens(kind, fim), needs)
            ready.cache_clear()
            begin = time.process_time()
            ready(loaded.content.decode(), work.memory)
            load = time.process_time() - begin
            whole = []
            for _ in range(2):
                begin = time.process_time()
                stages.tokens(work)
                whole.append(time.process_time() - begin)
            encoder = Encoder(from_json(loaded.content.decode(), "x"), 1 << 30)
            column = pa.array(texts, pa.large_string())
            begin = time.process_time()
            encoder.encode(np.arange(len(texts), dtype=np.uint64), column)
            alone = time.process_time() - begin
            few = texts[::10]
            begin = time.process_time()
            loaded.tokenizer.encode_batch_fast(few, add_special_tokens=False)
            slow = time.process_time() - begin
            tokens = work.facts["train"]["tokens"]
            part = sum(len(text.encode()) for text in few)
            rates = f"{load:8.2f}{size / whole[0] / 1e6:8.0f}{size / whole[1] / 1e6:8.0f}"
            rates += f"{size / alone / 1e6:9.0f}{part / slow / 1e6:12.1f}"
            print(f"{kind:8}{size / 1e6:8.1f}{len(texts):12,}{tokens:12,}{rates}")


if __name__ == "__main__":
    main()
