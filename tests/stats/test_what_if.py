"""What `--what-if` foretells of a rule is what a run with that rule then does."""

import json
from pathlib import Path
from typing import Any

import pytest

import corpuskit
from corpuskit.cli import main

RECIPE = """\
name: small
memory: 512MiB
sources:
  web:   {{read: jsonl, path: "{raw}/web/*", columns: {{url: string, score: float64}}}}
  books: {{read: jsonl, path: "{raw}/books/*", columns: {{url: string, score: float64}}}}
steps:
  - normalize: {{unicode: NFC}}
  - clean_chars: {{}}
  - where: clean_chars >= 60
    name: too_short
  - where: score < 0.8
    name: score < 0.8
    only: [books]
  - minhash: {{shingle: {{unit: word, n: 3}}, threshold: 0.7, keep: [books, web]}}
  - heuristics: {{}}
  - where: words < 190
    name: too_long
  - holdout: {{tokens: 2k, seed: 1, dedup_train: false}}
mix: {{tokenizer: {{train: {{vocab_size: 400}}}}, weights: proportional, tokens: max, shards: {{seq_len: 64, seed: 1}}}}
"""


@pytest.fixture(scope="module")
def recipe(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("what_if") / "recipe.yaml"
    path.write_text(RECIPE.format(raw=raw))
    assert main(["run", str(path), "--root", str(path.parent / "root"), "--engine", "inline"]) == 0
    return path


def asked(recipe: Path, text: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["stats", str(recipe.parent / "root"), "--what-if", text, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return found | {"changes": {one["domain"]: one for one in found["changes"]}}


def fates(root: Path) -> dict[int, tuple[str, str]]:
    rows = corpuskit.open_run(root).sql("SELECT doc, domain, fate FROM lineage").to_pylist()
    return {row["doc"]: (row["domain"], row["fate"]) for row in rows}


@pytest.mark.parametrize(
    ("rule", "now", "then"),
    [
        ("too_short", "clean_chars >= 60", "clean_chars >= 881"),
        ("too_short", "clean_chars >= 60", "clean_chars >= 10"),
        ("score < 0.8", "score < 0.8", "score BETWEEN 0.4 AND 0.9"),
        ("too_long", "words < 190", "words < 190 AND clean_chars < 881"),
    ],
)
def test_what_is_foretold_is_what_a_run_does(
    recipe: Path, tmp_path: Path, rule: str, now: str, then: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asked(recipe, f"{rule}={then}", capsys)
    assert (found["before"], found["after"]) == (now, then)
    changed = tmp_path / "recipe.yaml"
    changed.write_text(recipe.read_text().replace(f"where: {now}", f"where: {then}"))
    command = ["run", str(changed), "--root", str(tmp_path / "root"), "--until", "duplicates", "--engine", "inline"]
    assert main(command) == 0
    before, after = fates(recipe.parent / "root"), fates(tmp_path / "root")
    run = corpuskit.open_run(recipe.parent / "root")
    witness = {row["doc"]: row["kept_doc"] for row in run.sql("SELECT doc, kept_doc FROM duplicates").to_pylist()}
    table = f"read_parquet('{run.root.path.resolve()}/tokens/split=train/*/*.docs.parquet')"
    tokens = {row["doc"]: row["tokens"] for row in run.sql(f"SELECT doc, tokens FROM {table}").to_pylist()}
    dropped = {doc for doc, (_, fate) in after.items() if fate == rule}
    leaving = {doc for doc in dropped if before[doc][1] == "kept"}
    orphans = {doc for doc, kept in witness.items() if kept in leaving}
    assert leaving or rule == "too_short"
    for domain, change in found["changes"].items():
        of = {doc: fate for doc, (where, fate) in before.items() if where == domain}
        assert change["kept"] == sum(fate == "kept" for fate in of.values())
        assert change["leave"] == len(leaving & of.keys())
        assert change["held_out"] == sum(of[doc] == "held_out" for doc in dropped & of.keys())
        assert change["orphans"] == len(orphans & of.keys())
        assert change["again"] == (0 if rule == "too_long" else len((orphans - dropped) & of.keys()))
        assert change["dropped"] == sum(fate == rule for fate in of.values())
        back = {doc for doc, fate in of.items() if fate == rule and after[doc][1] != rule}
        assert change["back"] == change["unjudged"] == len(back)
        assert (change["estimated_tokens"] > 0) == bool(back)
        assert change["tokens"] == sum(tokens[doc] for doc in leaving & of.keys())
    assert any(change["again"] for change in found["changes"].values()) == (rule == "score < 0.8")
    assert rule == "score < 0.8" or set(found["changes"]) == {"books", "web"}


def test_a_domain_that_a_rule_neither_applies_to_nor_bereaves_is_left_out(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(asked(recipe, "score < 0.8=score < 0.9", capsys)["changes"]) == {"books"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("to_short=clean_chars > 3", "did you mean `too_short`?"),
        ("too_short=", "does not parse"),
        ("too_short=length(text) > 3", "reads the text"),
        ("too_short=clean_char > 3", "did you mean `clean_chars`?"),
        ("too_short=words > 3", "`heuristics` computes the column `words` below the rule"),
        ("too_short=clean_chars + 1", "not true or false"),
        ("too_short=count(*) > 1", "an aggregate"),
        ("heuristics=words > 3", "no rule in SQL"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    recipe: Path, asked: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["stats", str(recipe.parent / "root"), "--what-if", asked]) == 2
    assert said in capsys.readouterr().err


def test_the_answer_says_what_is_estimated_and_what_it_does_not_count(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["stats", str(recipe.parent / "root"), "--what-if", "too_short=clean_chars >= 10"]) == 0
    said = capsys.readouterr().out
    assert "unjudged: what passes this rule and has not met score < 0.8, minhash, too_long, holdout" in said
    assert "tokens of what would pass are estimated" in said
    assert "not counted: holdout would choose anew" in said
    assert max(map(len, said.splitlines())) <= 110
