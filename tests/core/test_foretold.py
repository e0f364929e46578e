"""What is wrong with a tokenizer or a budget is said before anything runs."""

import json
from pathlib import Path

import pytest

from corpuskit.cli import main
from corpuskit.shards import encoder, tokenizer
from tests.core import builder

RECIPE = """\
name: small
sources:
  web:   {{read: jsonl, path: "raw/web/*"}}
  books: {{read: jsonl, path: "raw/books/*"}}
mix:
  weights: {{web: 0.5, books: 0.5}}
  tokens: {tokens}
  tokenizer: {tokenizer}
  shards: {{seq_len: 64}}
"""


def recipe(folder: Path, tokenizer: str = "{train: {vocab_size: 300}}", tokens: str = "4k") -> str:
    raw = folder / "raw"
    if not raw.exists():  # files that are written again are other files
        builder.corpus(raw, files=1, rows=20)
    (folder / "recipe.yaml").write_text(RECIPE.format(tokenizer=tokenizer, tokens=tokens))
    return str(folder / "recipe.yaml")


@pytest.mark.parametrize(
    "content", ["", "{", '{"version": "1.0"}', "\0\0", '{"version": "1.0", "model": {"type": "BPE"}}']
)
@pytest.mark.parametrize("verb", ["check", "plan", "run"])
def test_a_damaged_tokenizer_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, verb: str
) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    root = [] if verb == "check" else ["--root", str(tmp_path / "root")]
    assert main([verb, recipe(tmp_path, "./tokenizer.json"), *root]) == 2
    assert f"{tmp_path / 'tokenizer.json'}: not a tokenizer.json that `tokenizers` can read" in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_name_that_the_hub_does_not_have_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    class Hub:
        @staticmethod
        def from_pretrained(name: str, **_more: str) -> None:
            raise OSError(f"404: {name}")

    monkeypatch.setattr(tokenizer, "Tokenizer", Hub)  # no test asks the hub
    assert main([verb, recipe(tmp_path, "nobody/nothing"), "--root", str(tmp_path / "root")]) == 2
    assert "tokenizer `nobody/nothing`: neither a local file nor fetched" in capsys.readouterr().err
    assert not (tmp_path / "root" / "runs").exists()


def test_a_budget_that_the_corpus_cannot_give_is_said_at_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path / "root")]
    large = recipe(tmp_path, tokens="90M")
    assert main(["plan", large, *root]) == 0  # its size is not known yet
    assert main(["run", large, *root, "--engine", "inline"]) == 1
    assert "the largest feasible budget is" in capsys.readouterr().err
    assert not (tmp_path / "root" / "shards").exists()
    assert main(["plan", large, *root]) == 1
    said = capsys.readouterr().err
    assert "90,000,000 tokens are more than max_epochs 4 allows for books" in said
    largest = said.rpartition("the largest feasible budget is ")[2].partition(" tokens")[0]
    assert main(["plan", recipe(tmp_path, tokens=str(int(largest.replace(",", "")) - 1000)), *root]) == 0


def test_plan_says_when_the_library_encodes_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, root = recipe(tmp_path), ["--root", str(tmp_path / "root")]
    assert main(["plan", path, *root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encoder"] == {"name": "gigatoken", "why": None}
    monkeypatch.setattr("corpuskit.cli.foretold.missing", lambda: "gigatoken is not installed")
    assert main(["plan", path, *root]) == 0
    assert "fifty times slower than gigatoken: gigatoken is not installed" in capsys.readouterr().out
    words = {"version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None, "decoder": None}
    end = {"id": 2, "content": "<eos>", "special": True, "single_word": False, "lstrip": False, "rstrip": False}
    words |= {"pre_tokenizer": {"type": "Whitespace"}, "added_tokens": [end | {"normalized": False}]}
    words |= {"truncation": None, "padding": None}
    vocab = {"[UNK]": 0, "the": 1, "<eos>": 2}
    words["model"] = {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(words))
    assert main(["plan", recipe(tmp_path, "./tokenizer.json"), *root, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["encoder"]
    assert said["name"] == "tokenizers"
    assert "gigatoken cannot read this tokenizer" in said["why"] or "encodes" in said["why"]
    assert encoder.missing() is None


def test_what_units_ask_of_a_cluster_is_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(recipe(tmp_path))
    path.write_text("memory: 1GiB\n" + path.read_text() + "train: {model: 1M, tokens: 2k, processes: 2}\n")
    assert main(["plan", str(path), "--root", str(tmp_path / "r"), "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    asked = {stage["stage"]: [stage[name] for name in ("memory", "cores", "gpus")] for stage in stages}
    assert asked["shards"] == [1 << 30, 1, 0]
    assert asked["train"] == [2 << 30, 2, 2]
    assert main(["plan", str(path), "--root", str(tmp_path / "r")]) == 0
    assert "a unit of train: 2 cores, 2 GPUs where there are any, 2.0 GiB" in capsys.readouterr().out
