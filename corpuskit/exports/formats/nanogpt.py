"""nanoGPT: the mixture as `train.bin` and `val.bin`, headerless uint16 tokens, and `meta.pkl` with the vocabulary."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

from corpuskit.errors import UsageError
from corpuskit.exports.content import ShardFile, open_shards, root_index
from corpuskit.exports.target import Target
from corpuskit.store.root import Root

HOLDS = "shards"


def export(root: Root, into: Target) -> None:
    """Put all shards behind one another, in the order of training; one alone is linked.

    Padding at the end of a sequence stays, as end tokens: nanoGPT takes windows anywhere and knows no documents.

    Raises:
        UsageError: the vocabulary is too large for 16 bits.
    """
    index = root_index(root)
    if index["dtype"] != "uint16":
        raise UsageError(
            f"nanoGPT reads tokens of 16 bits; the vocabulary of {root.url} has {index['vocab_size']:,}",
            f"corpuskit export {root.url} --format megatron --to DIR, say",
        )
    files = list(open_shards(root))
    for split, name in (("train", "train.bin"), ("validation", "val.bin")):
        _put([file for file in files if file.split == split], into, name)
    into.write("meta.pkl", pickle.dumps({"vocab_size": index["vocab_size"]}, protocol=4))
    into.link(root.store.local("tokens/tokenizer.json"), "tokenizer.json")


def _put(files: list[ShardFile], into: Target, name: str) -> None:
    for file in files:
        for domain, found in file.counts().items():
            into.count(file.split, domain, **found)
    if not files:  # nothing was held out; numpy maps no empty file
        return
    if len(files) == 1:
        into.link(files[0].path, name)
        return
    _join([file.path for file in files], into.new(name))


def _join(paths: list[Path], target: Path) -> None:
    with target.open("wb") as stream:
        for path in paths:
            with path.open("rb") as part:
                shutil.copyfileobj(part, stream, 1 << 20)
