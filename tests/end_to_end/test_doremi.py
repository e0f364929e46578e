"""DoReMi by its recipe: a reference model, a proxy on its excess, and weights; the two are compared by domain."""

import json
import random
from pathlib import Path

import pytest

from corpuskit.cli import main

pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

RECIPE = str(Path(__file__).parents[2] / "recipes/doremi.yaml")
SMALL = ["mix.tokenizer={train: {vocab_size: 300}}", "mix.shards={seq_len: 64}", "mix.tokens=16k", "mix.max_epochs=16"]
SMALL += ["steps.holdout.tokens=500", "train.batch_tokens=512", "train.tokens=8k", "train.lr=0.003"]
SMALL += ["train.model={width: 32, layers: 1, heads: 2}"]


def test_a_reference_then_a_proxy_end_in_weights_of_the_domains(tmp_path, monkeypatch, capsys):
    draw = random.Random(0)
    for domain, words in (("web", 40), ("books", 400)):
        (tmp_path / domain).mkdir()
        texts = [" ".join(f"{domain[0]}{draw.randrange(words)}" for _ in range(60)) for _ in range(60)]
        lines = [json.dumps({"text": text}) for text in texts]
        (tmp_path / domain / "a.jsonl").write_text("\n".join(lines))
    monkeypatch.setenv("RAW", str(tmp_path))
    monkeypatch.setenv("REFERENCE", "")
    more = [part for setting in SMALL for part in ("--set", setting)]
    reference, proxy = (str(tmp_path / name) for name in ("reference", "proxy"))
    run = ["run", RECIPE, "--engine", "inline", *more]
    assert main([*run, "--root", reference, "--set", "train.policy=null"]) == 0
    (found,) = (tmp_path / "reference/checkpoints").glob("*/result.json")
    monkeypatch.setenv("REFERENCE", str(found.parent))
    assert main([*run, "--root", proxy]) == 0
    (found,) = (tmp_path / "proxy/checkpoints").glob("*/result.json")
    mixture = json.loads(found.read_text())["mixture"]
    assert set(mixture) == {"web", "books"}
    assert sum(mixture.values()) == pytest.approx(1)
    capsys.readouterr()
    assert main(["compare", reference, proxy]) == 0
    assert "books" in capsys.readouterr().out
    assert main(["generate", str(found.parent), "w1 w2", "--tokens", "5", "--temperature", "0"]) == 0
    assert capsys.readouterr().out.startswith("w1 w2")
    # what a step read, as a policy chose it
    (line,) = [
        line for line in found.with_name("metrics.jsonl").read_text().splitlines() if '"step": 2, "tokens"' in line
    ]
    assert main(["trace", proxy, "step:2", "--json"]) == 0
    assert [each["number"] for each in json.loads(capsys.readouterr().out)["sequences"]] == json.loads(line)[
        "sequences"
    ]
