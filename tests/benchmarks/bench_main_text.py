"""The main text of pages against what people marked in them, beside other extractors; and the trees that it goes by.

    python -m tests.benchmarks.bench_main_text trafilatura/tests article-extraction-benchmark ../shared/data/commoncrawl
    python -m tests.benchmarks.bench_main_text SETS... --train corpuskit/sources/main_text.json

Sets of pages are read where they stand: a folder with `evaldata.json` (https://github.com/adbar/trafilatura, `tests`),
one with `ground-truth.json` (https://github.com/scrapinghub/article-extraction-benchmark), or one with
`cc_licensed_pages_gold_segments.jsonl.zst`. Segments that are found are right (`with`) or wrong (`without`); articles
are compared by four words in a row. Without `--train`, trees are made anew from one half of the pages and measured on
the other, and the other way round, since those of the package know these pages. `--package` measures the package's own.
"""

import argparse
import gzip
import io
import json
import re
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import lightgbm
import numpy as np
import zstandard

from corpuskit.kernels.html import parse
from corpuskit.kernels.html_text import written
from corpuskit.kernels.main_text import complete, measure, opinions, surroundings
from corpuskit.sources.decoding import decode_page
from corpuskit.sources.main_text import chosen, forest, main_text, model, plain

ROUNDS = 200
SETTINGS = {
    "objective": "binary", "num_leaves": 8, "learning_rate": 0.07, "min_data_in_leaf": 15, "feature_fraction": 0.5,
    "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 2, "max_bin": 63, "seed": 0, "num_threads": 1,
    "deterministic": True, "verbose": -1,
}  # fmt: skip
WORD = re.compile(r"\w+")


@dataclass
class Page:
    """A page, and what people marked: segments, or the article."""

    name: str
    html: str
    wanted: list[str] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)
    article: str | None = None

    @property
    def half(self) -> int:
        return zlib.crc32(self.name.encode()) % 2


def load(folder: Path) -> list[Page]:
    """The pages of one of the sets."""
    found = []
    if (folder / "evaldata.json").exists():
        for entry in json.loads((folder / "evaldata.json").read_text()).values():
            path = next(
                path for path in (folder / "eval" / entry["file"], folder / "cache" / entry["file"]) if path.exists()
            )
            found.append(Page(entry["file"], decode_page(path.read_bytes()), entry["with"], entry["without"]))
    elif (folder / "ground-truth.json").exists():
        for name, entry in json.loads((folder / "ground-truth.json").read_text()).items():
            content = gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes())
            found.append(Page(name, decode_page(content), article=entry["articleBody"]))
    else:
        with zstandard.open(folder / "cc_licensed_pages_gold_segments.jsonl.zst") as lines:
            for line in io.TextIOWrapper(lines, "utf-8"):
                entry = json.loads(line)
                content = (folder / "cc_licensed_pages" / entry["file"]).read_bytes()
                found.append(
                    Page(entry["file"], decode_page(content), entry["must_contain"], entry["must_not_contain"])
                )
    return found


def spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def fours(text: str) -> Counter:
    words = WORD.findall(text)
    return Counter(tuple(words[i : i + 4]) for i in range(max(1, len(words) - 3))) if words else Counter()


# -- trees ---------------------------------------------------------------------------------------------------------


@dataclass
class Blocks:
    data: np.ndarray
    nodes: np.ndarray
    pieces: np.ndarray
    blocks: np.ndarray
    sizes: np.ndarray
    known: np.ndarray
    labels: np.ndarray  # float: 1 main text, 0 not, NaN nobody said
    weights: np.ndarray


def cut(page: Page) -> Blocks:
    """The blocks of a page, with what the marks say of them."""
    data = np.frombuffer(page.html.encode("utf-8", "replace"), np.uint8)
    nodes, pieces, blocks, _ = parse(data)
    sizes = measure(data, pieces, blocks)
    texts = [pieces_of(data, pieces, b) for b in range(len(blocks))]
    labels = marked(page, texts)
    weights = np.isfinite(labels).astype(float)
    if page.article is not None:  # all of its blocks are marked: as much as three segments of each kind
        for kind in (0, 1):
            weights[labels == kind] = 3 / max(1, (labels == kind).sum())
    return Blocks(data, nodes, pieces, blocks, sizes, surroundings(nodes, blocks, sizes), labels, weights)


def pieces_of(data: np.ndarray, pieces: np.ndarray, b: int) -> str:
    low, high = np.searchsorted(pieces[:, 2], [b, b + 1])
    return spaced(plain(np.concatenate([data[start:end] for start, end in pieces[low:high, :2]])))


def marked(page: Page, texts: list[str]) -> np.ndarray:
    labels = np.full(len(texts), np.nan)
    if page.article is not None:
        article, whole = fours(page.article), spaced(page.article)
        lines = set(map(spaced, page.article.split("\n")))
        for b, text in enumerate(texts):
            words = len(WORD.findall(text))
            if words >= 6:
                some = fours(text)
                share = sum((some & article).values()) / sum(some.values())
                labels[b] = 1 if share > 0.6 else 0 if share < 0.3 else np.nan
            elif words:
                labels[b] = 1 if text in lines else 0 if text not in whole else np.nan
    for kind, segments in ((0, page.unwanted), (1, page.wanted)):
        for segment in map(spaced, segments):
            hits = [b for b, text in enumerate(texts) if segment in text]
            hits = hits or [b for b, text in enumerate(texts) if len(text) >= 12 and text in segment]
            if kind == 0 or len(hits) == 1 or len(segment) >= 25:
                labels[hits] = kind
    return labels


def grow(pages: list[Blocks]) -> dict[str, list]:
    """Trees from what is marked in some pages."""
    told = [page.weights > 0 for page in pages]
    columns, labels, weights = (
        np.concatenate([getattr(page, name)[some] for page, some in zip(pages, told, strict=True)])
        for name in ("known", "labels", "weights")
    )
    forest = lightgbm.train(SETTINGS, lightgbm.Dataset(columns, labels, weight=weights), ROUNDS)
    found: dict[str, list] = {name: [] for name in ("roots", "columns", "bounds", "left", "right", "values")}

    def add(node: dict) -> int:
        if "leaf_value" in node:
            found["values"].append(round(node["leaf_value"], 6))
            return -len(found["values"])  # ~leaf
        at = len(found["columns"])
        found["columns"].append(node["split_feature"])
        found["bounds"].append(float(np.float32(node["threshold"])))
        for side in ("left", "right"):
            found[side].append(0)
        found["left"][at] = add(node["left_child"])
        found["right"][at] = add(node["right_child"])
        return at

    for tree in forest.dump_model()["tree_info"]:
        found["roots"].append(add(tree["tree_structure"]))
    return found


def text_by(page: Blocks, trees: tuple[np.ndarray, ...]) -> str:
    likely = opinions(page.nodes, page.blocks, page.sizes, *trees)
    if not len(likely):
        return ""
    kept = chosen(likely, page.sizes[:, 0])
    complete(kept, likely, page.nodes, page.blocks, page.sizes)
    return plain(written(page.data, page.nodes, page.pieces, page.blocks, kept))


# -- measures ------------------------------------------------------------------------------------------------------


def figures(pages: list[Page], texts: list[str]) -> str:
    right = wrong = missed = empty = 0
    precision, recall = [], []
    for page, text in zip(pages, texts, strict=True):
        if page.article is not None:
            some, article = fours(text), fours(page.article)
            both = sum((some & article).values())
            precision.append(both / max(1, sum(some.values())))
            recall.append(both / max(1, sum(article.values())))
        else:
            flat = spaced(text.replace(" | ", " ").replace("\n- ", "\n"))
            found = sum(spaced(segment) in flat or spaced(segment) in spaced(text) for segment in page.wanted)
            right, missed = right + found, missed + len(page.wanted) - found
            wrong += sum(spaced(segment) in flat for segment in page.unwanted)
        empty += not text.strip() and bool(page.wanted or page.article)
    said = []
    if right:
        said.append(line("segments", right / (right + wrong), right / (right + missed)))
    if precision:
        said.append(line("articles", sum(precision) / len(precision), sum(recall) / len(recall)))
    return "  ".join([*said, f"empty {empty}"])


def line(what: str, precision: float, recall: float) -> str:
    return f"{what}: P {precision:.3f} R {recall:.3f} F {2 * precision * recall / (precision + recall):.3f}"


def timed(extract: Callable[[str], str | None], pages: list[Page]) -> tuple[list[str], float]:
    start = time.process_time()
    texts = [extract(page.html) or "" for page in pages]
    return texts, len(pages) / (time.process_time() - start)


def peers() -> dict[str, Callable[[str], str | None]]:
    found: dict[str, Callable[[str], str | None]] = {}
    try:
        from resiliparse.extract.html2text import extract_plain_text

        found["resiliparse"] = lambda page: extract_plain_text(page, main_content=True, alt_texts=False, comments=False)
    except ImportError:
        print("resiliparse is not installed")
    try:
        import trafilatura

        found["trafilatura (fast)"] = lambda page: trafilatura.extract(page, include_comments=False, fast=True)
    except ImportError:
        print("trafilatura is not installed: pip install trafilatura lxml_html_clean")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--train", type=Path, help="write the trees of all pages to this file")
    parser.add_argument("--package", action="store_true", help="measure the trees of the package")
    options = parser.parse_args()
    sets = {folder: load(folder) for folder in options.sets}
    if options.train is not None:
        pages = [cut(page) for folder in sets for page in sets[folder]]
        options.train.write_text(json.dumps(grow(pages), separators=(",", ":")) + "\n")
        print(f"{len(pages)} pages, {sum(int((page.weights > 0).sum()) for page in pages)} marked blocks")
        return
    main_text("<p>first</p>")  # compiles
    model()
    if not options.package:
        every = [(page, cut(page)) for pages in sets.values() for page in pages]
        trees = [forest(grow([blocks for page, blocks in every if page.half != half])) for half in (0, 1)]
    for folder, pages in sets.items():
        print(f"{folder}: {len(pages)} pages, {sum(len(page.html) for page in pages) / 1e6:.0f}M characters")
        texts, speed = timed(main_text, pages)
        if not options.package:
            texts = [text_by(blocks, trees[page.half]) for page in pages for other, blocks in every if other is page]
        print(f"  {'corpuskit':20}{speed:8.0f} pages per CPU-second  {figures(pages, texts)}")
        for name, extract in peers().items():
            texts, speed = timed(extract, pages)
            print(f"  {name:20}{speed:8.0f} pages per CPU-second  {figures(pages, texts)}")


if __name__ == "__main__":
    main()
