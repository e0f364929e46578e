"""A model that a recipe estimates: of the documents as they stand there, the same however they are cut."""

import json

import pyarrow as pa
import pytest

from corpuskit import open_run
from corpuskit.cli import main
from corpuskit.core.identity import File
from corpuskit.lm.estimate import estimate
from corpuskit.lm.settings import Settings
from corpuskit.plan import make
from corpuskit.recipe import load
from corpuskit.steps.perplexity import perplexity
from tests.lm.test_estimate import words_of

RECIPE = """\
memory: {memory}
sources:
  wiki: {{read: jsonl, path: {wiki}}}
  news: {{read: jsonl, path: "news*.jsonl", domain: wiki}}
  web: {{read: jsonl, path: "web*.jsonl"}}
steps:
  - where: length(text) >= {least}
    name: long
  - perplexity: {{model: {{train_on: wiki, order: 3, prune: [0, 0, 1], discount_fallback: true}}, as: ppl}}
    only: web
  - where: ppl < {most}
    name: fluent
    only: web
"""
MODEL = Settings(3, (0, 0, 1), discount_fallback=True)
STAGE = "model-perplexity"


@pytest.fixture
def folder(tmp_path):
    lines = [line.upper() for line in words_of(9 * 900, 4)]
    rows = {"wiki-a": lines[:300], "wiki-b": lines[300:500], "news": ["W1", *lines[500:600]], "web": lines[600:]}
    for name, found in rows.items():
        documents = ["\n".join(found[at : at + 3]) for at in range(0, len(found), 3)]
        written = "".join(json.dumps({"text": text}) + "\n" for text in [*documents, "short"])
        (tmp_path / f"{name}.jsonl").write_text(written)
    return tmp_path


def recipe(folder, wiki='"wiki-*.jsonl"', least=9, most=10**6, memory="1GiB"):
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(wiki=wiki, least=least, most=most, memory=memory))
    return path


def run(path, *words, root="root"):
    """The model that a run estimated, and its root."""
    place = path.parent / root
    assert main(["run", str(path), "--root", str(place), *(words or ("--engine", "inline"))]) == 0
    key = make(load(path)).stages[STAGE].units[0].key
    (model,) = (place / "stages").glob(f"{STAGE}-*/parts/{key}-model.bin")
    return model.read_bytes(), place


def texts_of(folder, names, least=9):
    for name in names:
        for line in (folder / f"{name}.jsonl").read_text().splitlines():
            if len(text := json.loads(line)["text"]) >= least:
                yield text


def test_the_model_is_of_the_documents_that_are_left_there(folder):
    model, root = run(recipe(folder))
    wanted = folder / "wanted.arpa"
    texts = [text.lower() for text in texts_of(folder, ["wiki-a", "wiki-b", "news"])]
    assert "short" not in texts
    estimate([pa.array(texts)], wanted, MODEL, folder=folder / "work", memory=1 << 28)
    assert model == wanted.read_bytes()
    found = open_run(root).sql("SELECT text, ppl FROM corpus WHERE domain = 'web'").to_pylist()
    assert len(found) == 100
    batch = pa.record_batch({"text": [row["text"] for row in found]})
    assert perplexity(batch, model=File(wanted))["perplexity"].to_pylist() == pytest.approx(
        [row["ppl"] for row in found], rel=1e-4
    )


def test_files_workers_and_memory_change_nothing(folder):
    model, _ = run(recipe(folder))
    other, _ = run(recipe(folder, memory="512MiB"), "--workers", "2", root="two-workers")
    whole = folder / "wiki-whole.jsonl"
    whole.write_text((folder / "wiki-b.jsonl").read_text() + (folder / "wiki-a.jsonl").read_text())
    one_file, _ = run(recipe(folder, '"wiki-whole.jsonl"'), root="one-file")
    assert model == other == one_file
    plans = [make(load(recipe(folder, f"[wiki-{one}.jsonl, wiki-{two}.jsonl]"))) for one, two in ("ab", "ba")]
    assert len({plan.stages[STAGE].units[0].key for plan in plans}) == 1


def test_the_key_knows_the_steps_above_and_not_those_below(folder):
    key = make(load(recipe(folder))).stages[STAGE].units[0].key
    assert make(load(recipe(folder, most=5, memory="2GiB"))).stages[STAGE].units[0].key == key
    assert make(load(recipe(folder, least=12))).stages[STAGE].units[0].key != key


def test_the_receipt_says_what_it_was_made_of(folder):
    _, root = run(recipe(folder))
    (receipt,) = (root / "stages").glob(f"{STAGE}-*/receipts/*.json")
    facts = json.loads(receipt.read_text())["facts"]["trained"]
    assert facts["sentences"] == 601
    assert [one["found"] >= one["kept"] > 0 for one in facts["orders"]] == [True] * 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("train_on: wiki", "train_on: wikki"), "unknown domain `wikki`"),
        (("order: 3", "order: 7"), "less than or equal to 6"),
        (("prune: [0, 0, 1]", "prune: [0, 2, 1]"), "do not fall"),
        (("train_on: wiki,", ""), "train_on"),
        (("order: 3", "oder: 3"), "did you mean `order`"),
    ],
)
def test_what_cannot_be_is_said_at_its_line(folder, capsys, change, said):
    path = recipe(folder)
    path.write_text(path.read_text().replace(*change))
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "recipe.yaml:9" in error


def test_a_domain_without_text_is_named(folder, capsys):
    path = recipe(folder, least=1000)
    assert main(["run", str(path), "--root", str(folder / "root"), "--engine", "inline"]) == 1
    assert "`train_on: wiki`: there is no word in the text" in capsys.readouterr().err
