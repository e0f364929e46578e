"""Methods that train several models of one recipe: DoReMi's rounds, and modular data ablation."""

import json
import random
from pathlib import Path

import pytest

from corpuskit.cli import main
from corpuskit.errors import UsageError
from tests.cli.test_command_line_page import documented

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from corpuskit.train.merging import foretold, merged  # noqa: E402
from corpuskit.train.trained import Trained  # noqa: E402

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = ["mix.tokenizer={train: {vocab_size: 300}}", "mix.shards={seq_len: 64}", "mix.tokens=8k", "mix.max_epochs=16"]
SMALL += ["steps.holdout.tokens=500", "train.batch_tokens=512", "train.tokens=8k", "train.lr=0.003"]
SMALL += ["train.model={width: 32, layers: 1, heads: 2}"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("raw"), random.Random(0)
    for domain, words in (("web", 40), ("books", 400)):
        (folder / domain).mkdir()
        texts = [" ".join(f"{domain[0]}{draw.randrange(words)}" for _ in range(60)) for _ in range(60)]
        (folder / domain / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return folder


@pytest.fixture
def mix(raw, monkeypatch, capsys):
    """`corpuskit mix WHAT RECIPE` on two small domains, in a root for WHAT: its answer, and all trainings so far."""
    monkeypatch.setenv("RAW", str(raw))
    sources = {name: {"read": "jsonl", "path": str(raw / name / "*.jsonl")} for name in ("web", "books")}

    def call(what, name, *settings):
        more = [part for setting in [*SMALL, *settings] for part in ("--set", setting)]
        root = raw / what
        recipe = [str(RECIPES / f"{name}.yaml"), "--root", str(root), "--set", f"sources={json.dumps(sources)}"]
        capsys.readouterr()
        assert main(["mix", what, *recipe, *more, "--json"]) == 0
        trainings = {path: path.stat().st_mtime_ns for path in (root / "checkpoints").glob("*/result.json")}
        return json.loads(capsys.readouterr().out), trainings

    return call


def test_doremi_goes_on_with_what_the_last_round_found_until_it_settles(mix, monkeypatch, capsys):
    monkeypatch.setattr("corpuskit.cli.mix_runs.MOST", 2)
    found, trainings = mix("doremi", "doremi")
    assert 1 <= len(found) <= 2
    assert len(trainings) == 2 * len(found)
    assert all(one.keys() == {"weights", "change"} for one in found)
    changes = [one["change"] for one in found]
    assert all(sum(one["weights"].values()) == pytest.approx(1) for one in found)
    assert len(found) == 1 or changes[0] >= 1e-3
    proxies = [result for path in trainings if "mixture" in (result := json.loads(path.read_text()))]
    assert len(proxies) == len(found)
    assert len({proxy["shards_fingerprint"] for proxy in proxies}) == 1  # whatever the reference was trained on
    if len(found) == 2:
        moved = max(abs(found[1]["weights"][name] - found[0]["weights"][name]) for name in ("web", "books"))
        assert changes[1] == pytest.approx(moved)


PARTS = ["mix.phases=[{until: 0.5, weights: {web: 0.5, books: 0.5}}, {until: 1, weights: {web: 0.5, books: 0.5}}]"]
PARTS += ["steps=[{normalize: {unicode: NFC}}, {holdout: {tokens: 500}}]", "train.validation_sequences=4"]


def test_a_mixture_is_foretold_by_the_average_of_models_of_its_domains(mix):
    found, trainings = mix("ablate", "modular_ablation", *PARTS)
    assert found.keys() == documented()["mix ablate"][0]
    assert set(found["mixture"]) == set(found["alone"]["web"]) == {"web", "books"}
    assert len(trainings) == 2
    # each is best at home, and the average lies between
    for domain, other in (("web", "books"), ("books", "web")):
        assert found["alone"][domain][domain] < found["alone"][other][domain]
    again, after = mix("ablate", "modular_ablation", *PARTS, "mix.phases.1.weights={web: 1, books: 0}")
    assert after == trainings
    assert again["mixture"] == pytest.approx(found["alone"]["web"], abs=1e-5)  # the average of one model is that model
    assert again["mixture"]["web"] < found["mixture"]["web"]


def test_averages_are_means_of_each_parameter_and_other_models_are_refused(mix, raw):
    _, trainings = mix("ablate", "modular_ablation", *PARTS)
    paths = [path.parent for path in sorted(trainings)]
    parts = {name: Trained.open(path) for name, path in zip("ab", paths, strict=True)}
    model = merged(parts, {"a": 0.25, "b": 0.75})
    for name, parameter in model.named_parameters():
        expected = 0.25 * parts["a"].weights[name].double() + 0.75 * parts["b"].weights[name].double()
        assert torch.equal(parameter, expected.float())
    losses = foretold(dict(zip("ab", paths, strict=True)), {"a": 0.5, "b": 0.5}, raw / "ablate/shards", 2)
    assert set(losses) == {"web", "books"}
    parts["b"].state["vocab_size"] += 1
    with pytest.raises(UsageError, match="the model of `b` is another than the others"):
        merged(parts, {"a": 0.5, "b": 0.5})


def test_what_cannot_be_ablated_or_iterated_is_refused(raw, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("RAW", str(raw))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("sources: {web: {read: jsonl, path: '${RAW}/web/*.jsonl'}}\n")
    assert main(["mix", "ablate", str(recipe)]) == 2
    assert "lacks `mix:` or `train:`" in capsys.readouterr().err
    mix = "mix: {tokenizer: {train: {vocab_size: 300}}, weights: proportional, tokens: 1k}"
    recipe.write_text(f"{recipe.read_text()}{mix}\ntrain: {{model: 1M, tokens: 1k}}\n")
    assert main(["mix", "ablate", str(recipe)]) == 2
    assert "`mix.weights` of" in capsys.readouterr().err
    assert main(["mix", "doremi", str(recipe)]) == 2
    assert "mix doremi iterates `{name: doremi}`" in capsys.readouterr().err
    policy, phases = "train.policy={name: doremi}", 'mix.phases=[{"until": 1, "weights": {"web": 1}}]'
    recipe.write_text(recipe.read_text().replace("weights: proportional, ", ""))
    assert main(["mix", "doremi", str(recipe), "--set", policy, "--set", phases]) == 2
    assert "`mix.phases` of" in capsys.readouterr().err
