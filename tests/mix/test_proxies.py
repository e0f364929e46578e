"""The closed loop for real: a swarm is drawn, a small model trained on each mixture, and laws learn from these."""

import json
import random

import pytest

pytest.importorskip("torch", reason="proxy runs need torch, which is not installed")
pytest.importorskip("scipy", reason="laws of mixing need scipy, which is not installed")

from corpuskit.cli import main
from corpuskit.loops.proxies import draw
from corpuskit.mix.problem import Bucket, Infeasible
from corpuskit.mix.runs import read_ratios, read_runs
from corpuskit.recipe import RecipeError, load
from tests.cli.test_command_line_page import documented
from tests.core.kills import kill_at

RECIPE = """\
name: loop
sources:
  words:   {read: jsonl, path: "words.jsonl"}
  numbers: {read: jsonl, path: "numbers.jsonl"}
steps:
  - holdout: {tokens: 2k, seed: 1}
mix:
  tokenizer: {train: {vocab_size: 300}}
  swarm: {runs: 6, tokens: 4k, batch_tokens: 512, lr: 0.003, strength: [1, 1]}
  weights: {method: mixing_law, metrics: [numbers]}
  tokens: 10k
  max_epochs: 100
  shards: {seq_len: 64}
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A recipe over two domains that have nothing in common."""
    folder = tmp_path_factory.mktemp("loop")
    rng = random.Random(0)
    words = "river stone bridge winter garden letter engine copper signal harbor window teacher".split()
    for name, made in (("words", lambda: rng.choice(words)), ("numbers", lambda: str(rng.randrange(1000)))):
        lines = (json.dumps({"text": " ".join(made() for _ in range(100))}) for _ in range(150))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder / "recipe.yaml"


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def root(path):
    """The root of an uninterrupted run, inline."""
    root = path.parent / "root"
    assert run("run", path, "--root", root, "--engine", "inline") == 0
    return root


def test_weights_are_learned_from_the_recipe_s_own_proxy_runs(root):
    runs = read_runs(root / "swarm" / "ratios.csv", root / "swarm" / "metrics.csv")
    assert runs.ratios.domains == ("numbers", "words")
    assert runs.metrics == ("numbers", "words")
    # what a model saw more of it predicts better: first and last of the runs in order of their share of numbers
    order = runs.ratios.values[:, 0].argsort()
    least, most = runs.losses[order[0]], runs.losses[order[-1]]
    assert most[0] < least[0]
    assert most[1] > least[1]
    plan = json.loads((root / "shards" / "plan.json").read_text())
    assert plan["domains"]["numbers"]["weight"] > 0.9


def test_proxy_runs_leave_their_results_and_no_checkpoints(root):
    assert not list(root.glob("checkpoints/*"))
    receipts = [json.loads(path.read_text()) for path in root.glob("stages/proxies-*/receipts/*.json")]
    assert len(receipts) == 6
    assert all({"losses", "result"} <= set(receipt["parts"]) for receipt in receipts)


def test_equal_mixtures_can_be_trained_beside_each_other(path, tmp_path):
    path.with_name("equal.csv").write_text("run,words,numbers\na,0.5,0.5\nb,0.5,0.5\n")
    equal = path.with_name("equal.yaml")
    equal.write_text(
        RECIPE.replace("runs: 6", "ratios: equal.csv").replace("{method: mixing_law, metrics: [numbers]}", "unimax")
    )
    assert run("run", equal, "--root", tmp_path / "root", "--workers", 2, "--until", "losses") == 0
    first, second = (tmp_path / "root" / "swarm" / "metrics.csv").read_text().splitlines()[1:]
    assert first.split(",")[1:] == second.split(",")[1:]


def test_the_tables_go_with_the_swarm(path, tmp_path):
    root = tmp_path / "root"
    (root / "swarm").mkdir(parents=True)
    (root / "swarm" / "ratios.csv").write_text("left by an earlier recipe")
    assert (
        run("run", path, "--root", root, "--set", "mix.swarm=null", "--set", "mix.weights=unimax", "--until", "corpus")
        == 0
    )
    assert not (root / "swarm" / "ratios.csv").exists()


def test_runs_that_are_killed_go_on_and_more_runs_keep_those_that_are_there(path, root, tmp_path):
    assert 0 < len(kill_at(path, tmp_path / "root", 1, stage="proxies-")) < 6
    assert run("run", path, "--root", tmp_path / "root", "--workers", 2) == 0
    for table in ("ratios.csv", "metrics.csv"):
        assert (tmp_path / "root" / "swarm" / table).read_bytes() == (root / "swarm" / table).read_bytes()
    more = ["--set", "mix.swarm.runs=7"]
    assert run("run", path, "--root", tmp_path / "root", "--until", "losses", *more) == 0
    log = max(tmp_path.glob("root/runs/*/log.jsonl")).read_text().splitlines()
    proxies = [entry for entry in map(json.loads, log) if entry["event"] == "ended" and entry["stage"] == "proxies"]
    assert [entry["reused"] for entry in sorted(proxies, key=lambda entry: entry["unit"])] == [True] * 6 + [False]
    before, after = ((where / "swarm" / "metrics.csv").read_text() for where in (root, tmp_path / "root"))
    assert after.startswith(before)


def test_the_command_line_draws_fits_and_solves(path, root, capsys, tmp_path):
    assert run("mix", "swarm", path, "--root", root, "--output", tmp_path / "r.csv") == 0
    asked, drawn = read_ratios(tmp_path / "r.csv"), read_ratios(root / "swarm" / "ratios.csv")
    assert asked.runs == drawn.runs
    assert 0 < abs(asked.values - drawn.values).max() < 1.5 / 62  # a run is 62 sequences: it draws whole ones
    assert "corpuskit run" in capsys.readouterr().out
    assert run("mix", "fit", path, "--root", root, "--law", "linear", "--metric", "numbers", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == documented()["mix fit"][0]
    (fit,) = found["laws"]["linear"]
    assert found["runs"] == 6
    assert -1 <= fit["rank_correlation"] <= 1
    assert fit["worse_than_mean"] == (fit["error"] >= fit["error_of_the_mean"])
    tables = [root / "swarm" / "ratios.csv", root / "swarm" / "metrics.csv"]
    assert run("mix", "fit", *tables, "--law", "linear", "--metric", "numbers", "--json") == 0
    assert json.loads(capsys.readouterr().out) == found
    assert run("mix", "swarm", path, "--root", root, "--set", "mix.swarm.runs=9", "--json") == 0
    assert json.loads(capsys.readouterr().out).keys() == documented()["mix swarm"][0]
    assert len((root / "ratios.csv").read_text().splitlines()) == 10
    assert read_ratios(root / "swarm" / "ratios.csv").runs == drawn.runs  # beside its losses: it stays
    plans = sorted((root / "runs").iterdir())
    capsys.readouterr()
    assert run("mix", "solve", path, "--root", root, "--set", "mix.weights=proportional", "--json") == 0
    weights = json.loads(capsys.readouterr().out)["weights"]
    assert weights["words"] == pytest.approx(1 - weights["numbers"])
    assert run("mix", "solve", path, "--root", root, "--json") == 0
    assert json.loads(capsys.readouterr().out)["weights"]["numbers"] > 0.9
    assert sorted((root / "runs").iterdir()) == plans  # a question changes nothing


def test_what_was_learned_is_solved_for_other_sizes(path, root, capsys, tmp_path):
    (tmp_path / "sizes.csv").write_text("domain,tokens\nwords,10B\nnumbers,1B\n")
    asked = ["mix", "solve", path, "--root", root, "--sizes", tmp_path / "sizes.csv", "--json"]
    assert run(*asked, "--set", "mix.tokens=10B", "--set", "mix.max_epochs=4") == 0
    assert json.loads(capsys.readouterr().out)["weights"]["numbers"] == pytest.approx(0.4)  # the cap


def test_sizes_stand_in_for_a_corpus(path, capsys, tmp_path):
    (tmp_path / "sizes.csv").write_text("domain,tokens\nwords,10B\nnumbers,1B\n")
    sizes = ["--sizes", tmp_path / "sizes.csv"]
    change = ["--set", "mix.weights=unimax", "--set", "mix.max_epochs=4", "--set", "mix.tokens=10B"]
    assert run("mix", "solve", path, *sizes, *change, "--json") == 0
    assert json.loads(capsys.readouterr().out)["weights"] == {"numbers": 0.4, "words": 0.6}
    assert run("mix", "explain", path, *sizes, *change, "--plot", tmp_path / "plot.svg") == 0
    table = capsys.readouterr().out
    assert "10,000,000,000" in table  # what the domain holds, to the token
    assert "hit" in table
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    assert run("mix", "swarm", path, *sizes, "--output", tmp_path / "r.csv") == 0
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("domain,tokens\nwords,10B\n", "no line for `numbers`"),
        ("domain,tokens\nword,10B\n", "sizes.csv:2: `word` is no domain of the recipe\n  did you mean `words`"),
        ("domain,tokens\nwords,many\n", "sizes.csv:2: the tokens of `words` are 'many'"),
        ("domain,tokens\nwords,1,2\n", "sizes.csv:2: 3 values"),
        ("name,tokens\nwords,1\n", "sizes.csv:1: the header is not `domain,tokens`"),
    ],
)
def test_sizes_that_are_wrong_are_refused_by_line(path, tmp_path, capsys, content, message):
    (tmp_path / "sizes.csv").write_text(content)
    assert run("mix", "solve", path, "--sizes", tmp_path / "sizes.csv") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("runs: 6", "runs: 3", "3 proxy runs are too few for `mixing_law` over 2 domains"),
        ("method: mixing_law", "method: regmix", "6 proxy runs are too few for `regmix`"),
        ("runs: 6, ", "", "`swarm` takes either `runs` or `ratios`"),
        ("runs: 6, ", "ratios: none.csv, ", "none.csv: cannot be read"),
        ("tokens: 4k", "tokens: 4k, model: 2M", "model `2M` is not a preset"),
        ("metrics: [numbers]", "runs: words.jsonl", "`runs` is given alone"),
        ("metrics: [numbers]", "metrics: [number]", "the swarm measures losses on domains, and `number` is none"),
        ("tokens: 4k", "tokens: 50", "`swarm.tokens` 50 are less than one sequence of 64"),
        ("runs: 6, ", "ratios: few.csv, ", "2 proxy runs are too few for `mixing_law`"),
        ("  swarm:", "  # swarm:", "`mixing_law` learns from proxy runs, and there are none"),
        ("holdout: {tokens: 2k, seed: 1}", "holdout: none", "`swarm` measures proxy runs on held-out text"),
    ],
)
def test_a_swarm_that_cannot_work_is_refused_before_anything_runs(path, old, new, message):
    assert old in RECIPE
    path.with_name("few.csv").write_text("run,words,numbers\na,0.5,0.5\nb,1,0\n")
    wrong = path.with_name("wrong.yaml")
    wrong.write_text(RECIPE.replace(old, new))
    with pytest.raises(RecipeError, match=message.replace("(", r"\(")):
        load(wrong)


def test_a_table_of_ones_own_is_trained_on(path):
    path.with_name("mine.csv").write_text("run,words,numbers\na,0.5,0.5\nb,1,0\nc,0.2,0.8\nd,0,1\n")
    mine = path.with_name("mine.yaml")
    mine.write_text(RECIPE.replace("runs: 6", "ratios: mine.csv").replace("name: loop", "name: mine"))
    root = path.parent / "mine"
    assert run("mix", "swarm", mine, "--root", root) == 2  # nothing is tokenized
    assert run("run", mine, "--root", root, "--until", "blocks", "--engine", "inline") == 0
    assert run("mix", "swarm", mine, "--root", root) == 0
    assert (root / "ratios.csv").read_text().splitlines()[1:] == [
        "1,0.5,0.5",
        "2,0.0,1.0",
        "3,0.8,0.2",
        "4,1.0,0.0",
    ]


def test_proxy_runs_that_would_repeat_too_much_say_what_would_do():
    buckets = [Bucket("a", 1000, 10), Bucket("b", 100_000, 10), Bucket("c", 0, 0), Bucket("d", 20_000, 10)]
    asked = {"draw": "dirichlet", "tokens": 10**6, "temperature": 2, "strength": [1, 5], "max_epochs": 15, "seed": 0}
    with pytest.raises(Infeasible, match="more than 15 times") as caught:
        draw(buckets, 8, asked)
    largest = int(caught.value.hint.split("`swarm.tokens` to ")[1].split(" or less")[0].replace(",", ""))
    drawn = draw(buckets, 8, asked | {"tokens": largest})
    assert drawn.domains == ("a", "b", "c", "d")
    assert not drawn.values[:, 2].any()
    with pytest.raises(Infeasible):
        draw(buckets, 8, asked | {"tokens": largest + 1})
    halved = draw(buckets, 3, asked | {"draw": "halving", "tokens": 100_000})
    assert halved.values[:, 0].max() <= 0.15
    assert not halved.values[:, 2].any()


def test_a_corpus_without_a_document_cannot_be_drawn_from():
    with pytest.raises(Infeasible, match="holds no document"):
        draw([Bucket("a", 0, 0)], 4, {"max_epochs": 15, "tokens": 10})
