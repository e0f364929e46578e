"""The page on the command line is what the program says, and `--json` has the keys that it names."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from corpuskit.cli import main, reference
from tests.core.builder import corpus, recipe

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"


def test_the_page_is_up_to_date() -> None:
    again = "python -m corpuskit.cli.reference > docs/command_line.md"
    assert PAGE.read_text(encoding="utf-8") == reference.render(), f"make it anew: {again}"


def documented() -> dict[str, tuple[set[str], dict[str, set[str]]]]:
    """Keys by verb, and the keys within."""
    found = {}
    for verb, keys in re.findall(r"^\| `(.+?)`? \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        inner = {name: set(words.split(", ")) for name, words in re.findall(r"(\w+) [\[{]([^]}]+)[]}]", keys)}
        outer = re.sub(r" [\[{][^]}]+[]}]", "", keys).split("; ")[0]
        found[verb] = set(outer.split(", ")), inner
    return found


def said(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What a verb prints with `--json`."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def check(answers: dict[str, Any]) -> None:
    page = documented()
    for verb, answer in answers.items():
        keys, inner = page[verb]
        assert answer.keys() == keys, verb
        for name, wanted in inner.items():
            rows = answer[name].values() if isinstance(answer[name], dict) else answer[name]
            for row in rows:
                assert wanted - {"..."} <= row.keys(), (verb, name)
                assert "..." in wanted or row.keys() == wanted, (verb, name)


def test_json_has_the_keys_that_the_page_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, root = recipe(tmp_path, corpus(tmp_path / "raw")), str(tmp_path / "root")

    answers = {
        "run": said(capsys, "run", str(path), "--root", root, "--engine", "inline"),
        "check": said(capsys, "check", str(path)),
        "status": said(capsys, "status", root),
        "stats": said(capsys, "stats", root),
        "stats --what-if": said(capsys, "stats", root, "--what-if", "too_short=clean_chars >= 881"),
        "diff": said(capsys, "diff", root, root),
        "verify": said(capsys, "verify", root),
        "init": said(capsys, "init", str(tmp_path / "new")),
    }
    plan = said(capsys, "plan", str(path), "--root", root)
    assert documented()["plan"][0] <= plan.keys()
    check(answers)


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
            "gc": said(capsys, "gc", root),
            "lm train": said(
                capsys, "lm", "train", tmp_path / "page.txt", "-o", tmp_path / "m.arpa", "--discount-fallback"
            ),
        }
    )
