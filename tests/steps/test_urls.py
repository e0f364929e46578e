"""Addresses on block lists are dropped, those that only look like one are not, and each is counted by its list."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.errors import InputError, UsageError
from corpuskit.explore import evidence
from corpuskit.steps.urls import urls
from corpuskit.store.root import Root
from tests.steps.step_runs import build


def reasons(addresses, **lists):
    """Of each address why it is dropped, or None; asserts that masks and findings say the same."""
    batch = pa.record_batch({"doc": pa.array(range(len(addresses)), pa.uint64()), "url": pa.array(addresses, "string")})
    mask, why, found = urls(batch, **urls.validate(lists))
    assert mask.to_pylist() == [one is None for one in why.to_pylist()]
    said = [f"{one['what']}: {one['item']}" for one in found.to_pylist()]
    assert said == [one for one in why.to_pylist() if one]
    return why.to_pylist()


@pytest.fixture
def lists(tmp_path):
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "domains").write_text(
        "bad.example\n# a comment\n\n93.184.216.34\nBücher.example\n.dot.example\n"
    )
    (tmp_path / "adult" / "urls").write_text("mixed.example/~bad\nwww.other.example/a?b=1\nwhole.example/x/\n")
    (tmp_path / "soft.txt.gz").write_bytes(gzip.compress(b"casino\nXXX\n"))
    return tmp_path


@pytest.mark.parametrize(
    ("address", "entry"),
    [
        ("http://bad.example/x", "bad.example"),
        ("https://user:pw@WWW.Bad.Example.:8080", "bad.example"),
        ("bad.example", "bad.example"),
        ("//a.b.bad.example?q", "bad.example"),
        ("http://93.184.216.34:80/", "93.184.216.34"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://shop.xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("http://x.dot.example", "dot.example"),
        ("http://notbad.example/bad.example", None),
        ("http://bad.example.org/", None),
        ("http://1.93.184.216.34/", None),
        ("http://example/?u=http://bad.example", None),
        ("http://[::1/", None),
        ("", None),
        (None, None),
    ],
)
def test_domains_block_their_subdomains(lists, address, entry):
    assert reasons([address], domains=str(lists / "adult" / "domains")) == [entry and f"adult: {entry}"]


@pytest.mark.parametrize(
    ("address", "entry"),
    [
        ("http://mixed.example/~bad", "mixed.example/~bad"),
        ("https://www.mixed.example:443/~bad/page.html", "mixed.example/~bad"),
        ("http://other.example/a?b=1&c", "other.example/a?b=1"),
        ("http://whole.example/x?y", "whole.example/x"),
        ("http://mixed.example/~badger", None),
        ("http://a.mixed.example/~bad", None),
        ("http://other.example/a?b=12", None),
        ("http://mixed.example/", None),
    ],
)
def test_prefixes_end_where_a_part_of_the_address_does(lists, address, entry):
    assert reasons([address], prefixes=str(lists / "adult" / "urls")) == [entry and f"adult: {entry}"]


def test_words_are_whole(lists):
    addresses = [
        "http://a.org/best-Casino%20bonus",
        "http://xxx.org",
        "http://casinos.org/axxxb",
        "http://casino_x.org",
    ]
    assert reasons(addresses, words=str(lists / "soft.txt.gz")) == ["soft: casino", "soft: xxx", None, "soft: casino"]


@pytest.mark.parametrize(
    ("step", "place", "said"),
    [
        ("urls: {}", "4:11", "name files in `domains`, `prefixes` or `words`"),
        ("urls: {domains: adult}", "4:21", "adult is a folder, not a file"),
        ("urls: {domains: adult/domains, column: ulr}", "4:44", "`urls` reads the column `ulr`"),
        ("words: {lists: {en: adult/domains}, by: langage}", "4:45", "`words` reads the column `langage`"),
        ("metadata: {columns: [url, titel]}", "4:25", "`metadata` reads the column `titel`"),
    ],
)
def test_what_cannot_work_is_said_at_check_with_its_line(lists, capsys, step, place, said):
    (lists / "web.jsonl").write_text('{"text": "a", "url": "http://a.org"}\n')
    sources = "sources: {web: {read: jsonl, path: web.jsonl, columns: {url: string}}}"
    (lists / "r.yaml").write_text(f"name: r\n{sources}\nsteps:\n  - {step}\n")
    assert main(["check", str(lists / "r.yaml")]) == 2
    error = capsys.readouterr().err
    assert f"r.yaml:{place}: " in error
    assert said in error


def test_faults_are_named(lists, tmp_path):
    with pytest.raises(UsageError, match="no column `link`"):
        reasons(["http://a.org"], domains=str(lists / "adult" / "domains"), column="link")
    (tmp_path / "latin").write_bytes(b"a.org\nb\xfccher.org\n")
    with pytest.raises(InputError, match="latin: line 2: invalid UTF-8"):
        reasons(["http://a.org"], domains=str(tmp_path / "latin"))
    (tmp_path / "empty").write_text("")
    assert reasons(["http://a.org"], domains=str(tmp_path / "empty")) == [None]


def test_a_run_counts_by_list_and_says_why(lists):
    addresses = ["http://a.bad.example", "http://casino.org", "http://good.org", None]
    (lists / "web.jsonl").write_text(
        "\n".join(json.dumps({"text": f"page {n}", "url": u}) for n, u in enumerate(addresses))
    )
    recipe = "name: r\nsources:\n  web: {read: jsonl, path: web.jsonl, columns: {url: string}}\nsteps:\n"
    recipe += "  - urls: {domains: '*/domains', prefixes: adult/urls, words: soft.txt.gz}\n"
    (lists / "r.yaml").write_text(recipe)
    assert build(lists / "r.yaml") == 0
    root = Root(lists / "root")
    assert [(one["what"], one["documents"]) for one in evidence.findings(root, root.require_plan())] == [
        ("adult", 1),
        ("soft", 1),
    ]
    dropped = pq.read_table(root.path / "dropped").to_pylist()
    assert [one["reason"] for one in dropped] == ["adult: bad.example", "soft: casino"]
