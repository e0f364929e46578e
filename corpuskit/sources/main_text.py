"""The main text of an HTML page: what a person would copy out of it, without navigation, comments, notices and forms.

Each block of text gets a probability from a small forest of decision trees, which looks at the block, at its neighbours
and at the elements around it, and not at its words: it knows no language. `main_text.json` holds the trees;
`tests/benchmarks/bench_main_text.py` measures them and says how they were made.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuskit.kernels.html import parse
from corpuskit.kernels.html_text import written
from corpuskit.kernels.main_text import complete, measure, opinions
from corpuskit.sources.references import unescape

LIKELY = 0.5
LITTLE, MUCH = 400, 1000
"""A page of MUCH characters of which less than LITTLE seem to be main text is a page of short blocks, such as a list of
links: what is likeliest is its text then."""

_BLANKS = re.compile(r"\n{3,}")
_TRAILING = re.compile(r"(?<![ \t\u00a0])[ \t\u00a0]+$", re.MULTILINE)


@functools.cache
def model() -> tuple[npt.NDArray[Any], ...]:
    """The trees, as `forest` gives them."""
    return forest(json.loads(Path(__file__).with_suffix(".json").read_text()))


def forest(trees: dict[str, list[Any]]) -> tuple[npt.NDArray[Any], ...]:
    """Trees as they are stored, as `corpuskit.kernels.main_text.opinions` takes them."""
    kinds = {"roots": np.int32, "columns": np.int32, "bounds": np.float32, "left": np.int32, "right": np.int32}
    return tuple(np.array(trees[name], kinds.get(name, np.float64)) for name in (*kinds, "values"))


def main_text(page: str) -> str:
    """The main text of a page, with a paragraph, heading or item of a list in a line of its own."""
    data = np.frombuffer(page.encode("utf-8", "replace"), np.uint8)
    nodes, pieces, blocks, _ = parse(data)
    if not len(blocks):
        return ""
    sizes = measure(data, pieces, blocks)
    likely = opinions(nodes, blocks, sizes, *model())
    kept = chosen(likely, sizes[:, 0])
    complete(kept, likely, nodes, blocks, sizes)
    return plain(written(data, nodes, pieces, blocks, kept))


def chosen(likely: npt.NDArray[np.float64], size: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which blocks are kept, bool[b], by their probability and their characters."""
    kept = likely > LIKELY
    if size[kept].sum() < LITTLE <= MUCH <= size.sum():
        order = np.argsort(-likely, kind="stable")
        enough = likely[order[int(np.searchsorted(np.cumsum(size[order]), LITTLE))]]
        # what is about as likely comes with it: the rest of a long list
        kept = likely >= enough / 2
    elif not size[kept].sum():
        kept = likely >= likely.max() / 2
    return kept


def all_text(page: str) -> str:
    """All text of a page or of a part of one, such as a post."""
    data = np.frombuffer(page.encode("utf-8", "replace"), np.uint8)
    nodes, pieces, blocks, _ = parse(data)
    return plain(written(data, nodes, pieces, blocks, np.ones(len(blocks), np.bool_)))


def plain(text: npt.NDArray[np.uint8]) -> str:
    """Resolve character references, and leave no line of nothing but spaces."""
    found = unescape(text.tobytes().decode("utf-8", "replace"))
    if "\u00a0" in found or " \n" in found or "\t\n" in found:
        found = _TRAILING.sub("", found).replace("\u00a0", " ")
    if "\n\n\n" in found:
        found = _BLANKS.sub("\n\n", found)
    return found.strip().encode("utf-8", "replace").decode()
