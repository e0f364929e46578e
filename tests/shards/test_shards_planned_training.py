"""Training on a plan and training on its shards are one training: either goes on from the other's checkpoint."""

import json
import random
import shutil

import pytest
from shards_harness import Corpus
from test_shards_stages import TRAIN, content

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from torch.distributed.checkpoint.format_utils import dcp_to_torch_save  # noqa: E402

from corpuskit.cli import main  # noqa: E402
from corpuskit.train import loop  # noqa: E402
from corpuskit.train.config import from_dict  # noqa: E402

HALF, STEPS = 3, 6


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """{`shards` or `plan`: (what is read, the folder of a whole training)}."""
    made = {}
    for write in ("shards", "plan"):
        folder = tmp_path_factory.mktemp(write)
        Corpus(folder, content()).tokenize(TRAIN).mix(write=write, packing="best_fit", max_epochs=2.5, file_tokens=1500)
        made[write] = folder / "shards", train(folder / "shards", folder / "out")
    return made


def train(shards, out):
    config = {"shards": str(shards), "out": str(out), "model": {"width": 32, "layers": 2, "heads": 2}, "device": "cpu"}
    config |= {"batch_tokens": 256, "tokens": 256 * STEPS, "checkpoint_every": HALF, "lr": 0.01, "threads": 1}
    loop.train(from_dict(config))
    return out


def losses(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line.get("domain"), line["loss"]) for line in lines]


def tensors(out, folder):
    dcp_to_torch_save(out / f"step-{STEPS}", folder / "all.pt")
    held = torch.load(folder / "all.pt", weights_only=True)
    moments = {(name, k): v for name, state in held["optimizer"]["state"].items() for k, v in state.items()}
    return {**held["model"], **moments}


@pytest.mark.parametrize(("first", "then"), [("shards", "plan"), ("plan", "shards")])
def test_a_training_goes_on_from_a_checkpoint_of_the_other_form(trained, first, then, tmp_path, capfd):
    (_, whole), (read, _) = trained[first], trained[then]
    out = tmp_path / "out"
    out.mkdir()
    shutil.copytree(whole / f"step-{HALF}", out / f"step-{HALF}")
    shutil.copy(whole / "metrics.jsonl", out)
    train(read, out)
    assert f"step-{HALF}: step {HALF}" in "".join(capfd.readouterr())  # it was resumed, and not begun anew
    assert losses(out) == losses(whole)
    a, b = tensors(whole, tmp_path), tensors(out, tmp_path)
    assert set(a) == set(b)
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


RECIPE = """\
name: planned
sources:
  words:   {read: jsonl, path: words.jsonl}
  numbers: {read: jsonl, path: numbers.jsonl}
steps:
  - holdout: {tokens: 1k, seed: 1}
mix:
  tokenizer: {train: {vocab_size: 300}}
  write: plan
  tokens: 8k
  max_epochs: 4
  shards: {seq_len: 64}
train: {model: 1M, tokens: 4k, batch_tokens: 1024, lr: 0.003}
"""


def test_a_recipe_trains_on_a_plan_as_on_shards(tmp_path, capsys):
    generator = random.Random(0)
    for name, words in (("words", "river stone bridge winter garden".split()), ("numbers", "12 345 6 78 9".split())):
        lines = [json.dumps({"text": " ".join(generator.choices(words, k=80))}) for _ in range(40)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    root, found = tmp_path / "root", []
    for write in ("plan", "shards", "plan"):
        given = ["--root", str(root), "--engine", "inline", "--set", f"mix.write={write}"]
        assert main(["run", str(tmp_path / "recipe.yaml"), *given]) == 0
        assert [*(root / "shards").glob("*.bin")] == [] or write == "shards"
        assert (root / "tokens" / "manifest.json").exists()
        found.append({path: json.loads(path.read_text()) for path in root.glob("stages/train-*/receipts/*.json")})
    capsys.readouterr()
    assert [len(receipts) for receipts in found] == [1, 2, 2]  # the third run has what the first one trained
    one, other = (receipt["facts"]["result"] for receipt in found[2].values())
    for name in ("final_loss", "validation", "shards_fingerprint", "steps", "tokens"):
        assert one[name] == other[name]
    assert main(["run", str(tmp_path / "recipe.yaml"), "--root", str(root), "--set", "mix.write=plans"]) != 0
    assert "plan" in capsys.readouterr().err
