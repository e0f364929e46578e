"""What each recipe of the field keeps of the same pages.

    LANGUAGES=languages.yml python tests/benchmarks/recipes_table.py

Writes the table of docs/recipes.md, between its two marks. Every recipe of `recipes/` that is named here is run as it
stands, on the pages of the development data beside the checkout: three WARC files, extracted from the HTML for all of
them. What a recipe reads beside web pages (CCNet's and web's encyclopedia, web's lists) is put in its place.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpuskit import open_run
from corpuskit.cli import main

HERE = Path(__file__).resolve()
RECIPES, PAGE = HERE.parents[2] / "recipes", HERE.parents[2] / "docs" / "recipes.md"
SHARED = HERE.parents[3] / "shared" / "data"
BEGIN, END = "<!-- table: LANGUAGES=languages.yml python tests/benchmarks/recipes_table.py -->", "<!-- end of table -->"

PAGES = f"{{read: warc, path: {SHARED}/commoncrawl/*00000.warc.gz}}"
WIKIPEDIA = f"{{read: wikipedia, path: {SHARED}/wikipedia/enwiki-latest-pages-articles1*.xml.bz2}}"
C4 = f"{{read: jsonl, path: {SHARED}/c4/*.jsonl.zst, columns: {{url: string}}}}"
SOURCES = {
    "ccnet": f"{{web: {PAGES}, wikipedia: {WIKIPEDIA}}}",
    "web": f"{{commoncrawl: {PAGES}, c4: {C4}, wikipedia: {WIKIPEDIA}}}",
}
NAMES = "c4 gopher refinedweb ccnet redpajama_v2 fineweb fineweb2 dclm unifiedcrawl web".split()
RULES_SHOWN = 3


def run(name: str, folder: Path) -> dict[str, Any]:
    """Run a recipe on the pages; the row of their domain in `domain_stats`, and the characters kept."""
    root = folder / name
    words = ["--engine", "inline", "--set", f"sources={SOURCES.get(name, f'{{web: {PAGES}}}')}"]
    if main(["run", str(RECIPES / f"{name}.yaml"), "--root", str(root), *words]):
        raise SystemExit(f"{name}: the run failed")
    domain = "commoncrawl" if name == "web" else "web"
    found = open_run(root)
    (row,) = found.sql(f"SELECT * FROM domain_stats WHERE domain = '{domain}'").to_pylist()
    (size,) = found.sql(f"SELECT sum(length(text)) AS chars FROM corpus WHERE domain = '{domain}'").to_pylist()
    return row | size


def lists(folder: Path) -> Path:
    """The lists of `web.yaml`: a blocked domain that no page has, the word list and the benchmarks of the data."""
    (folder / "blocked" / "none").mkdir(parents=True)
    (folder / "blocked" / "none" / "domains").write_text("blocked.example\n")
    (folder / "words").mkdir()
    (folder / "words" / "en").symlink_to(SHARED / "toxicity_pii" / "LDNOOBW" / "en")
    (folder / "benchmarks").mkdir()
    for path in sorted((SHARED / "benchmarks").glob("*.jsonl.gz")):
        (folder / "benchmarks" / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return folder


def table(folder: Path) -> Iterator[str]:
    """The lines of the table; `fineweb2` is left out where the environment names no table in LANGUAGES."""
    os.environ |= {"RAW": str(SHARED), "LISTS": str(lists(folder / "lists"))}
    os.environ |= {"INDEX": "unused", "CRAWL": "unused", "LANGUAGE": "unused"}  # unifiedcrawl reads the pages instead
    yield "| recipe | pages | kept | share | characters kept | the rules that drop most |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for name in NAMES:
        if name == "fineweb2" and "LANGUAGES" not in os.environ:
            continue
        row = run(name, folder)
        counts = {"exact copies": row["exact"], "near copies": row["near"], "empty": row["empty"]}
        counts |= {f"`{rule}`": count for rule, count in row["rules"] if not rule.startswith("read: ")}
        pages = row["read"] - sum(count for rule, count in row["rules"] if rule.startswith("read: "))
        first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:RULES_SHOWN]
        said = ", ".join(f"{rule} {count}" for rule, count in first if count)
        kept = row["kept"] + row["held_out"]
        yield f"| `{name}` | {pages} | {kept} | {kept / pages:.1%} | {row['chars'] or 0:,} | {said} |"


if __name__ == "__main__":
    before, mark, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    if not mark:
        raise SystemExit(f"{PAGE} lacks the line {BEGIN}")
    with tempfile.TemporaryDirectory() as made:
        lines = list(table(Path(made)))
    PAGE.write_text("\n".join([before + BEGIN, *lines, END + rest.partition(END)[2]]), encoding="utf-8")
    print(f"wrote {PAGE}")
