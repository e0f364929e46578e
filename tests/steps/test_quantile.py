"""Quantiles are shares of all documents, whatever the units; CCNet's buckets are rules on them."""

import bz2
import gzip
import json
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuskit import open_run
from corpuskit.cli import main
from corpuskit.steps.quantile import _merge, _summarize, quantile
from tests.steps.step_runs import build, kept

SCORES = st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([1.0, 2.0, float("nan")])), max_size=40)


def batch(scores):
    return pa.record_batch({"text": ["x" * (n % 5) for n in range(len(scores))], "ppl": pa.array(scores, pa.float64())})


FEW_TEXTS = "steps.perplexity.model.discount_fallback=true"
"""What lets a model be estimated on a handful of pages."""


@given(SCORES, SCORES)
def test_a_quantile_is_the_share_of_documents_with_at_most_that_score(one, other):
    params = {"by": "ppl", "weight": "documents"}
    state = _merge(_summarize(batch(one), **params), _summarize(batch(other), **params))
    known = [score for score in one + other if score is not None and np.isfinite(score)]
    (found,) = quantile(batch(one), by="ppl", state=state).values()
    for score, share in zip(one, found.to_pylist(), strict=True):
        if score is None or not np.isfinite(score):
            assert share is None
        else:
            assert share == pytest.approx(sum(other <= score for other in known) / len(known), abs=1e-12)


def test_shares_of_bytes(tmp_path):
    rows = [("a" * size, score) for size, score in ((10, 1.0), (30, 2.0), (60, 3.0))]
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps({"text": t, "score": s}) + "\n" for t, s in rows))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f'sources:\n  web: {{read: jsonl, path: "{tmp_path}/*.jsonl", columns: {{score: float64}}}}\n'
        "steps:\n  - quantile: {by: score, weight: bytes, as: q}\n  - where: q <= 0.5\n    name: head\n"
    )
    assert build(path) == 0
    assert kept(tmp_path / "root", "q") == {"a" * 10: pytest.approx(0.1), "a" * 30: pytest.approx(0.4)}


@pytest.mark.parametrize(("by", "said"), [("pll", "`pll`"), ("text", "not a number")])
def test_a_column_that_cannot_be_is_said_at_check(tmp_path, capsys, by, said):
    (tmp_path / "raw.jsonl").write_text('{"text": "a", "ppl": 1}\n')
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f'sources:\n  web: {{read: jsonl, path: "{tmp_path}/*.jsonl", columns: {{ppl: float64}}}}\n'
        f"steps:\n  - quantile: {{by: {by}}}\n"
    )
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "recipe.yaml:4" in error


def sentences(seed, count):
    """English sentences of few words in many orders."""
    draw = random.Random(seed)
    who = "the river, the old town, a small museum, the first bridge, the local school, a famous painter".split(", ")
    did = "was built, was described, became known, opened again, was visited by many people, closed".split(", ")
    when = "in the nineteenth century, after the war, near the northern coast, during a long winter, in May".split(", ")
    return [f"{draw.choice(who).capitalize()} {draw.choice(did)} {draw.choice(when)}." for _ in range(count)]


@pytest.fixture
def raw(tmp_path):
    """A dump of Wikipedia and a WET file: pages like it, shuffled pages, and pages of other words."""
    (tmp_path / "wikipedia").mkdir()
    (tmp_path / "commoncrawl").mkdir()
    pages = "".join(
        f"<page><title>T{n}</title><ns>0</ns><id>{n}</id><revision><id>1</id><text>{' '.join(sentences(n, 12))}</text>"
        "</revision></page>"
        for n in range(1, 60)
    )
    dump = f'<mediawiki xml:lang="en"><siteinfo><dbname>enwiki</dbname></siteinfo>{pages}</mediawiki>'
    (tmp_path / "wikipedia" / "enwiki-pages-articles.xml.bz2").write_bytes(bz2.compress(dump.encode()))
    other = (
        "Buy cheap phones online today and win more money with our best free offers, click here to order now".split()
    )
    texts = {}
    for n in range(12):
        words = " ".join(sentences(1000 + n, 10)).split()
        random.Random(n).shuffle(words)
        mixed = other * 5
        random.Random(n).shuffle(mixed)
        texts |= {
            f"head{n}": " ".join(sentences(2000 + n, 10)),
            f"middle{n}": " ".join(words),
            f"tail{n}": " ".join(mixed),
        }
    records = []
    for name, text in texts.items():
        body = text.encode()
        head = f"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: https://x.org/{name}\r\n"
        records.append(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n")
    (tmp_path / "commoncrawl" / "a.warc.wet.gz").write_bytes(b"".join(gzip.compress(record) for record in records))
    return tmp_path


def pages(*kinds):
    return {f"{kind}{n}" for kind in kinds for n in range(12)}


@pytest.fixture
def ccnet(raw, monkeypatch, request):
    """Runs the recipe of CCNet, each time in the same root: the names of the pages that stay."""
    monkeypatch.setenv("RAW", str(raw))
    recipe = request.config.rootpath / "recipes" / "ccnet.yaml"

    def ccnet(*settings):
        words = [part for one in (FEW_TEXTS, *settings) for part in ("--set", one)]
        assert build(recipe, "--engine", "inline", *words, root=raw / "root") == 0
        found = open_run(raw / "root").sql("SELECT url FROM corpus WHERE domain = 'web'").to_pylist()
        return {row["url"].rpartition("/")[2] for row in found}

    return ccnet


def test_ccnet_keeps_the_head(raw, ccnet):
    assert ccnet() == pages("head")
    run = open_run(raw / "root")
    (row,) = run.sql("SELECT max(ppl_quantile) AS most FROM corpus WHERE domain = 'web'").to_pylist()
    assert row["most"] == pytest.approx(1 / 3)
    shares = run.sql("SELECT domain, count(*) AS n FROM corpus GROUP BY ALL ORDER BY ALL").to_pylist()
    assert [(row["domain"], row["n"]) for row in shares] == [("web", 12), ("wikipedia", 59)]
    # head and middle: another threshold, and nothing is estimated, scored or measured again
    scored = {path: path.stat().st_mtime_ns for path in (raw / "root" / "stages").glob("model-*/parts/*")}
    assert ccnet("steps.bucket.where=ppl_quantile <= 2/3") == pages("head", "middle")
    assert scored == {path: path.stat().st_mtime_ns for path in (raw / "root" / "stages").glob("model-*/parts/*")}


def test_ccnet_in_pieces_of_a_given_model(raw, ccnet):
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    pieces = raw / "en.sp.model"
    with pieces.open("wb") as stream:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(sentence.lower() for sentence in sentences(0, 300)),
            model_writer=stream,
            vocab_size=60,
            minloglevel=2,
        )
    assert ccnet(f"steps.perplexity.tokenizer={pieces}") == pages("head")


def judged(folder, rows, steps):
    """The texts that stay, of (text, ppl), by a recipe of one preset."""
    (folder / "raw.jsonl").write_text("".join(json.dumps({"text": t, "ppl": ppl}) + "\n" for t, ppl in rows))
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f'sources:\n  web: {{read: jsonl, path: "{folder}/*.jsonl", columns: {{ppl: float64}}}}\nsteps:\n  - {steps}\n'
    )
    assert build(recipe) == 0
    return set(kept(folder / "root", "text"))


NINE = [(f"text {n}", float(n)) for n in range(1, 10)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", [1, 2, 3]),  # a third, and not the document behind it
        ("keep: [middle]", [4, 5, 6]),
        ("keep: [tail]", [7, 8, 9]),
        ("keep: [head, tail]", [1, 2, 3, 7, 8, 9]),
        ("head: 0.34, middle: 0.44", [1, 2, 3]),
        ("head: 0.33, middle: 0.45, keep: [middle]", [3, 4]),
        ("head: 0.22, middle: 0.45, keep: [middle]", [2, 3, 4]),
        ("head: 0.23, middle: 0.44, keep: [tail]", [4, 5, 6, 7, 8, 9]),
    ],
)
def test_buckets_of_ccnet_on_both_sides_of_their_borders(tmp_path, options, expected):
    # what has no perplexity has no bucket, and no part in the shares
    stay = judged(tmp_path, [*NINE, ("no score", None)], f"ccnet: {{{options}}}")
    assert stay == {f"text {n}" for n in expected}


def test_slimpajama_drops_what_has_less_than_200_characters_of_more_than_form(tmp_path):
    short, enough = "Ab " * 66 + "c", "Ab " * 66 + "cd"  # 199 and 200 characters
    padded = short.replace(" ", " \n, ") + "...!  "  # marks and further white space do not count
    rows = [(short, 0.0), (enough, 0.0), (padded, 0.0), ("", 0.0)]
    assert judged(tmp_path, rows, "slimpajama: {}") == {enough}


def test_slimpajama_takes_another_number(tmp_path):
    assert judged(tmp_path, [("abcd", 0.0), ("abc!", 0.0)], "slimpajama: {min_clean_chars: 4}") == {"abcd"}
