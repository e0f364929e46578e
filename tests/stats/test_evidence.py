"""What `stats` and the report say of dedup is what was done, for each way to do it, and what `duplicates/` holds."""

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpuskit.explore import evidence, report, stats, stats_text, views
from corpuskit.explore.report import duplicates as duplicates_section
from corpuskit.explore.report.page import quote
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run.scheduler import run
from corpuskit.store.root import Root
from tests.core.builder import recipe
from tests.core.builder import text as some_text

NEAR = "  - minhash: {shingle: {unit: word, n: 3}, threshold: 0.7, keep: [books, web]%s}\n"
EXACT = "  - exact: {keep: [books, web]}\n"
WAYS = {
    "neither": "",
    "exact": EXACT,
    "minhash": NEAR % "",
    "both": EXACT + NEAR % "",
    "sketch": NEAR % ", verify: sketch",
    "none": NEAR % ", verify: none",
    "component": NEAR % ", choose: component",
    "loose component": NEAR % ", verify: none, choose: component",
}


def written(folder: Path, raw: Path, steps: str) -> Path:
    """The small recipe with these steps in place of its `minhash`."""
    path = recipe(folder, raw)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(steps if "minhash" in line else line for line in lines if "holdout" not in line))
    return path


def build(folder: Path, raw: Path, steps: str, domain: str = "web") -> Root:
    """A run of the small recipe with these steps in place of its `minhash`; `domain` is that of the source `web`."""
    path = written(folder, raw, steps)
    path.write_text(path.read_text().replace("web:   {read", f"web:   {{domain: {domain}, read", 1))
    loaded, root = load(path, []), Root(folder / "root")
    plan = make(loaded)
    outcome = run(plan, root, root.new_run(path.read_text(), "", plan), engine="inline")
    assert not outcome.failures, outcome.failures[0][1].traceback
    return root


@pytest.fixture(scope="module")
def built(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Root]:
    return {way: build(tmp_path_factory.mktemp("built"), raw, steps) for way, steps in WAYS.items()}


def duplicates(root: Root) -> list[dict[str, object]]:
    return pq.read_table(root.path / "duplicates").to_pylist() if [*root.path.glob("duplicates/*.parquet")] else []


@pytest.mark.parametrize("way", WAYS)
def test_figures_of_all_choices_together_are_those_of_the_evidence(built: dict[str, Root], way: str) -> None:
    root = built[way]
    plan, rows = root.require_plan(), duplicates(root)
    assert (len(rows) > 0) == (way != "neither")
    found = evidence.choices(root, plan)
    assert [choice.step for choice in found] == {"neither": [], "exact": ["exact"], "both": ["exact", "minhash"]}.get(
        way, ["minhash"]
    )
    counts = Counter((row["domain"], row["kept_domain"], row["kind"]) for row in rows)
    said = {
        (entry["domain"], entry["kept_domain"], kind): entry[kind]
        for entry in evidence.by_domain(found)
        for kind in ("exact", "near")
    }
    assert +Counter(said) == counts
    # with both steps, copies are what `exact` removed, and the others what `minhash` did
    kept = Counter((row["kept_doc"], row["kind"] if way == "both" else "") for row in rows)
    sizes = Counter(count + 1 for count in kept.values())
    assert evidence.clusters(found) == [{"size": size, "clusters": count} for size, count in sorted(sizes.items())]


@pytest.mark.parametrize("way", WAYS)
def test_dedup_saw_what_reached_its_first_step(built: dict[str, Root], way: str) -> None:
    root = built[way]
    for row in stats.domain_table(root, root.require_plan()):
        seen = row.read - row.rules["too_short"]
        assert row.compared == (0 if way == "neither" else seen)
        assert row.duplicate_rate == (None if way == "neither" else (row.exact + row.near) / seen)
        assert row.kept + row.exact + row.near == seen


PROMISES = {
    "exact": ["a kept witness of equal normalized text"],
    "minhash": ["a kept witness of Jaccard similarity >= 0.7"],
    "both": ["a kept witness of equal normalized text", "a kept witness of Jaccard similarity >= 0.7"],
    "sketch": [">= 0.7 by the estimate of their signatures; the true one may be lower"],
    "none": ["shares a band with it; that the two are similar is unverified"],
    "component": ["chains of pairs of Jaccard similarity >= 0.7, one is kept: a removed document may be unlike the"],
    "loose component": [
        "chains of pairs that share a band (unverified), one is kept: a removed document may be unlike"
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_text_and_report_promise_what_the_way_can_hold(built: dict[str, Root], way: str) -> None:
    root = built[way]
    plan = root.require_plan()
    text = " ".join(stats_text.render(root, plan).split())
    page = Path(report.write(root, plan, root.latest_run())).read_text().replace("&gt;", ">")
    for promise in PROMISES.get(way, []):
        assert promise in text
        assert promise in page
    if way not in ("minhash", "both"):
        assert "a kept witness of Jaccard similarity >= 0.7;" not in text
        assert not text.endswith("a kept witness of Jaccard similarity >= 0.7")
    verified = way in ("minhash", "both", "component")
    for said in (text, page):
        assert ("precision of candidates" in said) == verified
        assert ("compared by their shingles" in said) == verified
        assert ("copies of equal normalized text" in said) == (way in ("exact", "both"))
    assert ("pairs caught" in page) == (way not in ("exact", "neither"))
    assert ("The largest clusters" in page) == (way != "neither")


@pytest.mark.parametrize("way", WAYS)
def test_views_know_every_document_once_whichever_step_removed_it(built: dict[str, Root], way: str) -> None:
    root = built[way]
    views.rebuild(root, root.require_plan())
    found = views.query(root, "SELECT count(*) AS n, count(DISTINCT doc) AS docs FROM lineage").to_pylist()
    assert found == [{"n": 240, "docs": 240}]
    shown = views.query(root, "SELECT * FROM duplicates ORDER BY doc").to_pylist()
    assert shown == duplicates(root)


@pytest.mark.parametrize("way", ["minhash", "both"])
def test_what_is_promised_holds(built: dict[str, Root], way: str) -> None:
    assert all(row["jaccard"] >= 0.7 for row in duplicates(built[way]))


def test_one_of_two_choices_is_told_without_the_evidence_that_is_not_published(built: dict[str, Root]) -> None:
    root = built["both"]
    plan = root.require_plan()
    stage = plan.stages["choose"]
    receipt = root.path / "stages" / stage.folder / "receipts" / f"{stage.units[0].key}.json"
    hidden = receipt.rename(receipt.with_suffix(".hidden"))
    try:
        stopped = Root(root.path)
        assert [choice.step for choice in evidence.choices(stopped, plan)] == ["exact"]
        page = Path(report.write(stopped, plan, root.latest_run())).read_text()
        assert "copies of equal normalized text" in page
        assert "The largest clusters" not in page
    finally:
        hidden.rename(receipt)


def test_a_witness_that_minhash_removed_says_so(built: dict[str, Root]) -> None:
    root = built["both"]
    gone = {row["kept_doc"] for row in duplicates(root) if row["kept_dropped_by"] == "minhash"}
    assert gone, "no witness of `exact` is a near duplicate: the corpus does not test this"
    removed = {row["doc"] for row in duplicates(root)}
    assert gone <= removed


def corpus(folder: Path, texts: list[str]) -> Path:
    for domain in ("web", "books"):
        (folder / domain).mkdir(parents=True)
    rows = [json.dumps({"text": text, "url": "https://a", "score": 1.0}) for text in texts]
    (folder / "web" / "00.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode(), mtime=0))
    (folder / "books" / "00.jsonl").write_text(json.dumps({"text": "A book of one short row.", "url": "", "score": 0}))
    return folder


def test_a_kept_document_of_a_finished_corpus_is_never_shown_as_one_of_ours(tmp_path: Path) -> None:
    """Both corpora give their first document the same id: source, path and record are the same."""
    rng = random.Random(5)
    theirs, ours, other = (some_text(rng) for _ in range(3))
    against = build(
        tmp_path / "first", corpus(tmp_path / "raw-1", [theirs, other]), "  - exact: {}\n", "elsewhere"
    ).path
    copies = [theirs.replace(word, "edited", 1) for word in sorted(set(theirs.split()))[:3]]
    longest = ours + " And still more."
    raw = corpus(tmp_path / "raw-2", [longest, *copies, ours + " More.", ours])
    root = build(tmp_path / "second", raw, NEAR % f", against: [{against}]")
    plan, rows = root.require_plan(), duplicates(root)
    assert Counter(row["kept_root"] for row in rows) == {str(against): 3, None: 2}
    (doc,) = {row["kept_doc"] for row in rows}
    assert evidence.choices(root, plan)[0].against == [str(against)]
    assert [row.domain for row in stats.domain_table(root, plan)] == ["books", "web"]
    page = Path(report.write(root, plan, root.latest_run())).read_text()
    assert f">3 removed for document {doc} of elsewhere in {against}</p>" in page
    assert f">2 removed for document {doc} of web</p>{quote(longest[: duplicates_section.BEGINNING])}" in page
    (section,) = [part for part in page.split("<section") if "removed for document" in part]
    assert section.count("<blockquote>") == 1
    assert "come before all others and are never removed" in stats_text.render(root, plan)


def test_lines_that_were_cut_are_counted(raw: Path, tmp_path: Path) -> None:
    notice = "Accept all the cookies of this site to read the rest of this page."
    texts = [f"Page {number} says something of its own about {number * 7}.\n{notice}\nThe end." for number in range(6)]
    steps = "  - lines: {}\n" + EXACT
    root = build(tmp_path, corpus(tmp_path / "raw", texts), steps)
    plan = root.require_plan()
    (said,) = evidence.cut_texts(root, plan)
    size = 5 * len(notice.encode() + b"\n")
    assert said == f"lines: 5 repeated lines cut from 5 documents, {size} B of text"
    assert said in stats_text.render(root, plan)
    assert said in Path(report.write(root, plan, root.latest_run())).read_text()
