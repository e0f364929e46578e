"""Perplexity pruning by its two recipes: a reference model is trained, documents are scored with it, a band stays."""

import gzip
import json
import math
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.cli import main
from corpuskit.core.identity import fingerprint_value
from corpuskit.steps.perplexity import perplexity
from corpuskit.steps.trained import Checkpoint, CheckpointFolder

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from tokenizers import Tokenizer  # noqa: E402

from corpuskit.train.data import Batch  # noqa: E402
from corpuskit.train.trained import Trained  # noqa: E402

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = ["mix.tokenizer={train: {vocab_size: 300}}", "mix.shards={seq_len: 32}", "mix.tokens=16k", "mix.max_epochs=64"]
SMALL += ["train.model={width: 32, layers: 1, heads: 2}", "train.tokens=16k", "train.batch_tokens=512"]
SMALL += ["train.lr=0.01", "train.checkpoint_every=16"]


def run(name, root, *settings, more=()):
    given = [part for setting in [*SMALL, *settings] for part in ("--set", setting)]
    return main(["run", str(RECIPES / f"{name}.yaml"), "--root", str(root), "--engine", "inline", *given, *more])


def scoring(folder, model):
    """A recipe that scores documents with a model."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"sources: {{web: {{read: jsonl, path: '*.jsonl'}}}}\nsteps:\n  - perplexity: {{model: {model}}}\n"
    )
    return recipe


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Texts of a few words, and texts of letters drawn by chance: which is which shows in their perplexity."""
    folder, draw = tmp_path_factory.mktemp("raw"), random.Random(0)
    words = ["river", "bridge", "garden", "letter", "market", "winter"]
    for domain, odd in (("web", 0.3), ("books", 0.0)):
        texts = []
        for _ in range(200):
            noise = draw.random() < odd
            texts.append(
                " ".join(
                    "".join(draw.choices("bcdfghjkmpqvwxz", k=6)) if noise else draw.choice(words) for _ in range(40)
                )
            )
        (folder / domain).mkdir()
        with gzip.open(folder / domain / "a.json.gz", "wt") as file:
            file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    return folder


@pytest.fixture(scope="module")
def reference(raw, tmp_path_factory):
    root = tmp_path_factory.mktemp("reference") / "root"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAW", str(raw))
        assert run("reference_model", root, "steps.holdout.tokens=500") == 0
    return root


@pytest.fixture
def model(reference):
    return perplexity.validate({"model": {"checkpoint": str(reference)}})["model"]


def rows(folder):
    """Of all files: what was dropped before it was scored has no column of scores."""
    return [row for path in folder.rglob("*.parquet") for row in pq.read_table(path, partitioning=None).to_pylist()]


def scored(model, texts):
    batch = pa.record_batch({"text": pa.array(texts, pa.string())})
    return perplexity(batch, model=model)["perplexity"].to_pylist()


def test_a_reference_model_scores_and_the_middle_stays(raw, reference, tmp_path, monkeypatch):
    monkeypatch.setenv("RAW", str(raw))
    monkeypatch.setenv("REFERENCE", str(reference))
    root = tmp_path / "root"

    def keep(band):
        settings = [f"steps.pruned.method={band}", "steps.minhash.threshold=1", "keep_dropped=true"]
        assert run("perplexity_pruning", root, *settings, more=["--until", "corpus"]) == 0

    keep("medium")
    kept = rows(root / "corpus")
    dropped = [row for row in rows(root / "dropped") if row["rule"] == "pruned"]
    every = sorted(row["ppl"] for row in [*kept, *dropped])
    assert len(every) > 300
    assert all(row["doc"] % 8 for row in kept)
    low, high = every[len(every) // 4], every[3 * len(every) // 4]
    assert all(low * 0.99 <= row["ppl"] <= high * 1.01 for row in kept)
    assert len(kept) == pytest.approx(len(every) / 2, rel=0.1)
    # text of words is easy and noise is hard, though the model saw both
    noise = [row["ppl"] for row in [*kept, *dropped] if "river" not in row["text"] and "bridge" not in row["text"]]
    assert min(noise) > every[len(every) // 2]
    # another band scores nothing again
    scores = sorted(root.glob("stages/signal-perplexity-*/columns/*/*"))
    before = [path.stat().st_mtime_ns for path in scores]
    keep("low")
    assert max(row["ppl"] for row in rows(root / "corpus")) <= every[len(every) // 2] * 1.01
    assert sorted(root.glob("stages/signal-perplexity-*/columns/*/*")) == scores
    assert [path.stat().st_mtime_ns for path in scores] == before


def test_the_perplexity_is_that_of_the_logits_window_by_window(reference, model):
    text = "river bridge xqv garden " * 30
    trained = Trained.open(reference)
    net, window = trained.build(), trained.state["seq_len"]
    ids = Tokenizer.from_file(str(reference / "tokens/tokenizer.json")).encode(text).ids
    assert len(ids) > 2 * window
    total = 0.0
    for start in range(0, len(ids) - 1, window):
        part = torch.tensor(ids[start : start + window + 1])
        one = torch.ones(1, len(part) - 1, dtype=torch.int32)
        with torch.no_grad():
            logits = net.logits(Batch(part[None, :-1], part[None, 1:], one))[0].double()
        total += float(torch.nn.functional.cross_entropy(logits, part[1:], reduction="sum"))
    (found,) = scored(model, [text])
    assert found == pytest.approx(math.exp(total / (len(ids) - 1)), rel=1e-5)


def test_what_stands_beside_a_document_changes_no_bit_of_its_score(model):
    texts = st.lists(st.none() | st.text("river xq<|endoftext|>\n", max_size=300), max_size=5)

    @settings(max_examples=25)
    @given(texts, texts)
    def check(a, b):
        assert scored(model, a + b) == scored(model, a) + scored(model, b)

    check()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = scored(model, ["river bridge " * 50])
        torch.set_num_threads(2)
        assert scored(model, ["river bridge " * 50]) == alone
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_texts_with_nothing_to_predict_have_no_perplexity_and_end_tokens_are_text(model):
    assert scored(model, [None, "", "r"]) == [None, None, None]
    assert scored(model, ["<|endoftext|>"])[0] is not None


def test_a_score_belongs_to_its_checkpoint_and_tokenizer(reference, tmp_path, monkeypatch):
    recipe = scoring(tmp_path, "{checkpoint: copy}")

    def identity():
        from corpuskit.recipe import load

        (call,) = load(recipe, []).steps
        return call.params["model"].checkpoint, perplexity.fingerprint(call.params)

    shutil.copytree(reference, tmp_path / "copy")
    pinned, before = identity()
    steps = sorted((tmp_path / "copy").glob("checkpoints/*/step-*"), key=lambda path: int(path.name[5:]))
    assert Path(pinned) == steps[-1]  # one that is saved later is not taken in its place
    assert "lowercase" not in before["params"]
    assert {"tokenizers", "torch"} == set(before["libraries"])
    (tmp_path / "copy").rename(tmp_path / "moved")
    (tmp_path / "moved").rename(tmp_path / "copy")
    assert identity() == (pinned, before)
    shutil.rmtree(steps[-1])
    again, after = identity()
    assert again != pinned
    assert after != before
    (tmp_path / "copy/tokens/tokenizer.json").write_text("{}")
    with pytest.raises(Exception, match=r"is not the tokenizer that .* was trained with"):
        identity()


def test_a_score_of_a_model_of_transformers_belongs_to_their_version(tmp_path):
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens/tokenizer.json").write_text("{}")
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-1/state.json").write_text(json.dumps({"identity": {"model": {"hf": {}}}}))
    model = Checkpoint(checkpoint=CheckpointFolder.at(tmp_path / "step-1"))
    assert model.libraries == ("tokenizers", "torch", "transformers")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{checkpoint: nowhere}", "there is no folder"),
        ("{checkpoint: empty}", "is no checkpoint, and holds none"),
        ("{checkpoint: broken}", "broken is damaged: state.json: "),
        ("{checkpoint: .., windows: 3}", "unknown key `windows`"),
        ("{checkpoint: empty, device: tpu}", "cpu"),
    ],
)
def test_what_is_no_checkpoint_is_refused_by_check(given, said, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/state.json").write_text('{"identity":')
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    assert main(["check", str(scoring(tmp_path, given))]) == 2
    assert said in capsys.readouterr().err


def test_without_torch_check_says_what_to_install(reference, tmp_path, capsys, monkeypatch):
    import importlib.util

    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    recipe = scoring(tmp_path, f"{{checkpoint: {reference}}}")
    assert main(["check", str(recipe)]) == 0
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    assert main(["check", str(recipe)]) == 2
    assert "needs torch, which is not installed: pip install '.[train]' in the clone" in capsys.readouterr().err


def test_what_is_for_n_grams_alone_is_refused(reference):
    with pytest.raises(ValueError, match="is for n-gram models alone"):
        perplexity.validate({"model": {"checkpoint": str(reference)}, "windows": 5})


def test_planning_imports_no_torch():
    import subprocess
    import sys

    code = "import sys; import corpuskit.steps.perplexity, corpuskit.steps.trained; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_has_one_identity(model):
    assert fingerprint_value(model) == fingerprint_value(model)
