"""The page on the command line is what the program says, and `--json` has the keys that it names."""

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from corpuskit.cli import main, reference
from tests.core.builder import corpus, recipe

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"


def test_the_page_is_up_to_date() -> None:
    again = "python -m corpuskit.cli.reference > docs/command_line.md"
    assert PAGE.read_text(encoding="utf-8") == reference.render(), f"make it anew: {again}"


def documented() -> dict[str, tuple[set[str], set[str], dict[str, set[str]]]]:
    """By verb: the keys, those that only some recipes have, and the keys within."""
    found = {}
    table = PAGE.read_text(encoding="utf-8").partition("\n## init\n")[0]
    for verb, keys in re.findall(r"^\| `(.+?)`? \| (.+) \|$", table, re.MULTILINE):
        inner = {name: set(words.split(", ")) for name, words in re.findall(r"(\w+) [\[{]([^]}]+)[]}]", keys)}
        always, *sometimes = re.sub(r" [\[{][^]}]+[]}]", "", keys).split("; ")
        only = {key for some in sometimes for key in some.partition(": ")[2].split(", ")}
        found[verb] = set(always.split(", ")), only, inner
    return found


def said(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> Any:
    """What a verb prints with `--json`."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == status
    return json.loads(capsys.readouterr().out)


OF_CORPUS = {"run", "check", "plan", "status", "stats", "stats --what-if", "diff", "verify", "init", "gc"}
"""Verbs whose answers are compared on a run without a mixture,"""
OF_TRAINING = {
    "plan",
    "peek",
    "find",
    "find --file",
    "trace` of a document",
    "trace` of a token",
    "trace` of a step",
    "report",
    "export",
    "export` of a checkpoint",
    "generate",
    "compare",
    "mix solve",
    "mix explain",
    "remove",
    "lm train",
}
"""and on a trained one."""
OTHERWISE = {"stats --sql", "train", "mix swarm", "mix fit", "mix doremi", "mix ablate"}
"""Verbs that print a list, or rest on runs of many models."""


def check(answers: dict[str, Any], verbs: set[str], without: Collection[str] = ()) -> None:
    """Each verb prints the keys that the page names and no other, the objects within too.

    Args:
        without: keys that the page says only some recipes have, and this one has not.
    """
    page = documented()
    assert answers.keys() == verbs
    for verb, answer in answers.items():
        keys, sometimes, inner = page[verb]
        assert answer.keys() == keys | (sometimes - set(without)), verb
        assert inner.keys() == {name for name, value in answer.items() if rows_of(value) or name in inner}, verb
        for name, wanted in inner.items():
            rows = rows_of(answer[name])
            assert rows, f"{verb}: nothing in {name} is compared"
            for row in rows:
                assert wanted - {"..."} <= row.keys(), (verb, name)
                assert "..." in wanted or row.keys() == wanted, (verb, name)


def rows_of(value: Any) -> list[dict[str, Any]]:
    """The objects of a list of them, or of an object of such objects by name."""
    rows = list(value.values()) if isinstance(value, dict) else value
    return rows if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows) else []


def test_every_verb_of_the_page_is_compared() -> None:
    assert documented().keys() == OF_CORPUS | OF_TRAINING | OTHERWISE


def test_json_has_the_keys_that_the_page_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, root = recipe(tmp_path, corpus(tmp_path / "raw")), str(tmp_path / "root")
    other = tmp_path / "other"
    for shortest in (60, 881):  # the second one leaves units of the first that are needed no more
        changed = recipe(tmp_path / "changed", tmp_path / "raw", shortest=shortest)
        said(capsys, "run", changed, "--root", other, "--engine", "inline")

    answers = {
        "run": said(capsys, "run", str(path), "--root", root, "--engine", "inline"),
        "check": said(capsys, "check", str(path)),
        "plan": said(capsys, "plan", str(path), "--root", root),
        "status": said(capsys, "status", root),
        "stats": said(capsys, "stats", root),
        "stats --what-if": said(capsys, "stats", root, "--what-if", "too_short=clean_chars >= 881"),
        "diff": said(capsys, "diff", root, other),
        "gc": said(capsys, "gc", other),
        "init": said(capsys, "init", str(tmp_path / "new")),
    }
    (other / "files.parquet").unlink()
    answers["verify"] = said(capsys, "verify", other, status=1)
    check(answers, OF_CORPUS, without={"encoder"})


TRAINED = """\
index: {spans: true}
mix:
  tokenizer: {train: {vocab_size: 400}}
  tokens: 8k
  shards: {seq_len: 64, seed: 42}
  phases: [{until: 0.5, weights: {web: 0.4, books: 0.6}}, {until: 1, weights: {web: 0.7, books: 0.3}}]
train: {model: 1M, tokens: 6k, batch_tokens: 2048, validation_sequences: 2}
"""


def test_json_of_a_trained_run_has_the_keys_that_the_page_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")
    path, root = recipe(tmp_path, corpus(tmp_path / "raw", rows=16)), tmp_path / "root"
    path.write_text(path.read_text() + TRAINED)
    said(capsys, "run", path, "--root", root, "--engine", "inline")
    checkpoint = next((root / "checkpoints").rglob("state.json")).parent
    shard = next((root / "shards").rglob("train*.bin")).relative_to(root)
    found = said(capsys, "find", root, "the")
    doc = found["places"][0]["doc"]
    document = said(capsys, "trace", root, doc)
    (tmp_path / "page.txt").write_text(document["text"])
    (tmp_path / "docs.txt").write_text(f"{doc}\n")
    check(
        {
            "plan": said(capsys, "plan", path, "--root", root),
            "peek": said(capsys, "peek", path, f"{document['raw']['path']}#{document['raw']['record']}"),
            "find": found,
            "find --file": said(capsys, "find", root, "--file", tmp_path / "page.txt"),
            "trace` of a document": document,
            "trace` of a token": said(capsys, "trace", root, f"{shard}:5"),
            "trace` of a step": said(capsys, "trace", root, "step:1"),
            "report": said(capsys, "report", root),
            "export": said(capsys, "export", root, "--format", "nanogpt", "--to", tmp_path / "out"),
            "export` of a checkpoint": said(capsys, "export", checkpoint, "--format", "hf", "--to", tmp_path / "model"),
            "generate": said(capsys, "generate", checkpoint, "the"),
            "compare": said(capsys, "compare", root, root),
            "mix solve": said(capsys, "mix", "solve", path, "--root", root),
            "mix explain": said(capsys, "mix", "explain", path, "--root", root),
            "remove": said(capsys, "remove", root, "--docs", tmp_path / "docs.txt", "--dry-run"),
            "lm train": said(
                capsys, "lm", "train", tmp_path / "page.txt", "-o", tmp_path / "m.arpa", "--discount-fallback"
            ),
        },
        OF_TRAINING,
    )
