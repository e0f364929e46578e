"""recipes/web.yaml, which has every step for web pages, on small domains of our own."""

import bz2
import gzip
import json
from pathlib import Path

import pytest

from corpuskit import open_run
from corpuskit.recipe import load
from tests.steps.step_runs import build
from tests.steps.test_field_recipes import COUNTED, GERMAN, GOOD, LOREM, MENU, NO_MARKS, REPEATED, page

RECIPE = Path(__file__).parents[2] / "recipes" / "web.yaml"
ITEM = "Which of the thirteen ferries that cross the northern strait carries neither cars nor goats in winter?"
MASKED = page(80) + "\nWrite to anna.meier@ferries-of-the-north.org about the old bridge."
LEAKED = page(81) + "\n" + ITEM
RUDE = page(82) + "\nThe drat of all drats is a drat, said the old sailor to the whole town."


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """Pages of Common Crawl and C4, an encyclopedia, and the lists that the recipe reads."""
    for name in ("raw/cc", "raw/c4", "lists/blocked/ads", "lists/words", "lists/benchmarks"):
        (tmp_path / name).mkdir(parents=True)
    texts = {f"https://good.org/{n}": page(n) for n in range(100, 124)}
    texts |= {
        "https://shop.ads.example/1": page(200),
        "https://good.org/german": GERMAN,
        "https://good.org/menu": MENU,
        "https://good.org/repeated": REPEATED,
        "https://good.org/lorem": LOREM,
        "https://good.org/marks": NO_MARKS,
        "https://good.org/rude": RUDE,
        "https://good.org/leaked": LEAKED,
        "https://good.org/masked": MASKED,
        "https://good.org/copy": GOOD[0],
    }
    records = []
    for url, text in texts.items():
        html = "".join(f"<p>{line}</p>" for line in text.split("\n"))
        answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        data = f"{answer}<html><body><main>{html}</main></body></html>".encode()
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Length: {len(data)}\r\n"
        head += "Content-Type: application/http; msgtype=response\r\nWARC-Record-ID: <urn:uuid:1>\r\n"
        records.append(gzip.compress(head.encode() + b"\r\n" + data + b"\r\n\r\n"))
    (tmp_path / "raw/cc/a.warc.gz").write_bytes(b"".join(records))
    rows = [{"text": text, "url": f"https://c4.org/{n}"} for n, text in enumerate([*GOOD, COUNTED])]
    (tmp_path / "raw/c4/a.json.gz").write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    pages = "".join(
        f"<page><title>T{n}</title><ns>0</ns><id>{n}</id><revision><id>1</id><text>{page(1000 + n)}</text></revision>"
        "</page>"
        for n in range(1, 40)
    )
    dump = f'<mediawiki xml:lang="en"><siteinfo><dbname>enwiki</dbname></siteinfo>{pages}</mediawiki>'
    (tmp_path / "raw/enwiki-1-pages-articles.xml.bz2").write_bytes(bz2.compress(dump.encode()))
    (tmp_path / "lists/blocked/ads/domains").write_text("ads.example\n")
    (tmp_path / "lists/words/en").write_text("drat\ndrats\n")
    (tmp_path / "lists/benchmarks/ferries.jsonl").write_text(json.dumps({"question": ITEM}) + "\n")
    monkeypatch.setenv("RAW", str(tmp_path / "raw"))
    monkeypatch.setenv("LISTS", str(tmp_path / "lists"))
    return tmp_path


def test_everything_on_web_pages(raw):
    few = ("--set", "steps.perplexity.model.discount_fallback=true", "--set", "keep_dropped=true")
    assert build(RECIPE, "--engine", "inline", *few, root=raw / "root") == 0
    run = open_run(raw / "root")
    dropped = {row["url"]: row["rule"] for row in run.sql("SELECT url, rule FROM dropped").to_pylist()}
    expected = {
        "https://shop.ads.example/1": "urls",
        "https://good.org/german": "english",
        "https://good.org/rude": "listed_words",
        "https://good.org/lorem": "c4_lorem_ipsum",
        "https://good.org/marks": "fineweb_terminal_lines",
        "https://good.org/leaked": "decontaminate",
    }
    assert {url: dropped.get(url, "").split(": ")[0] for url in expected} == expected
    assert {"https://good.org/menu", "https://good.org/repeated"} <= dropped.keys()
    copies = run.sql("SELECT domain, kept_domain FROM duplicates").to_pylist()
    assert {"domain": "commoncrawl", "kept_domain": "c4"} in copies
    texts = run.sql("SELECT domain, url, text, ppl FROM corpus UNION ALL BY NAME SELECT domain, url, text FROM holdout")
    found = texts.to_pylist()
    assert {row["domain"] for row in found} == {"commoncrawl", "c4", "wikipedia"}
    assert not any("anna.meier@" in row["text"] for row in found)
    assert any(row["text"].startswith("url: https://") for row in found)
    assert any(not row["text"].startswith("url: ") for row in found if row["domain"] != "wikipedia")


def test_it_loads_again_from_what_it_resolves_to(raw):
    found = load(RECIPE, [], {"RAW": str(raw / "raw"), "LISTS": str(raw / "lists")})
    assert found.name == "web"
