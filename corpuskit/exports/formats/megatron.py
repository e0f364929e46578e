"""Megatron: `.bin` and `.idx`, a pair a token file, and the mixture as `--per-split-data-args-path` takes it."""

from __future__ import annotations

import json
from collections import Counter

from corpuskit.exports.content import open_tokens, read_plan
from corpuskit.exports.target import Target
from corpuskit.store.root import Root

HOLDS = "tokens"


def export(root: Root, into: Target) -> None:
    """Link token files and their indexes.

    `data_args.json` gives each file of `train` the weight of its domain in the recipe's mixture, shared out by tokens,
    and each of `valid` its tokens; paths in it are absolute, as Megatron wants them.
    """
    tokens = open_tokens(root)
    weights = {name: domain["weight"] for name, domain in read_plan(root)["domains"].items()}
    sizes: Counter[str] = Counter()
    for file in tokens.files:
        into.link(file.bin, f"{file.place}.bin")
        into.link(file.idx, f"{file.place}.idx")
        into.count(file.split, file.domain, **file.counts)
        if file.split == "train":
            sizes[file.domain] += file.counts["tokens"]
    blend: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for file in tokens.files:
        share = file.counts["tokens"]
        if file.split == "train":
            weight, split = weights[file.domain] * share / sizes[file.domain], "train"
        else:
            weight, split = float(share), "valid"
        if weight > 0:
            blend[split] += [repr(weight), str(into.final.resolve() / file.place)]
    into.write("data_args.json", json.dumps(blend, indent=1))
    tokens.link_about(into)
