"""Models of transformers under the same loop, and what their checkpoints are rebuilt from."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")
transformers = pytest.importorskip("transformers", reason="models of transformers need it (`hf`), not installed")

from corpuskit.errors import InputError, UsageError  # noqa: E402
from corpuskit.train import loop  # noqa: E402
from corpuskit.train.config import from_dict  # noqa: E402
from corpuskit.train.data import Batch  # noqa: E402
from corpuskit.train.trained import Trained  # noqa: E402

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def train(shards, folder, name="out", **more):
    given = {"shards": str(shards), "out": str(folder / name), "model": f"hf:{folder}/model", "mask": "causal"}
    given |= {"lr": 0.01, "batch_tokens": 256, "threads": 1, "device": "cpu", "checkpoint_every": 2}
    loop.train(from_dict(given | more))
    return folder / name


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def trained(request, shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    transformers.LlamaConfig(**SMALL, tie_word_embeddings=request.param).save_pretrained(folder / "model")
    train(shards, folder)
    return folder


def logits(path):
    tokens = torch.randint(0, 97, (2, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return Trained.open(path).build().logits(Batch(tokens, tokens, torch.ones(2, 32, dtype=torch.int32)))


def test_a_checkpoint_is_rebuilt_without_the_file_that_it_was_made_by(trained, tmp_path):
    shutil.copytree(trained / "out", tmp_path / "out")
    before = logits(tmp_path / "out")
    moved = trained / "model"
    moved.rename(trained / "gone")
    try:
        assert torch.equal(logits(tmp_path / "out"), before)
    finally:
        (trained / "gone").rename(moved)


def test_a_run_goes_on_where_its_model_is_the_same_wherever_the_file_lies(shards, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "there")
    out = tmp_path / "there/out"
    last = max(out.glob("step-*"), key=lambda path: int(path.name[5:]))
    through = {name: tensor.clone() for name, tensor in Trained.open(last).weights.items()}
    shutil.rmtree(last)
    train(shards, tmp_path / "there")
    again = Trained.open(last).weights
    assert all(torch.equal(through[name], again[name]) for name in through)
    file = tmp_path / "there/model/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"rms_norm_eps": 1e-3}))
    with pytest.raises(UsageError, match=r"is of another run: rms_norm_eps 1e-06 there, 0.001 here\n"):
        train(shards, tmp_path / "there")


def test_a_tensor_that_is_missing_or_one_too_many_is_named(trained):
    opened = Trained.open(trained / "out")
    opened.weights["model.extra"] = torch.zeros(1)
    del opened.weights["model.model.norm.weight"]
    wanted = r"`model.model.norm.weight` is missing; `model.extra` is none of the model's"
    with pytest.raises(InputError, match=wanted):
        opened.build()


def test_a_tied_tensor_needs_one_of_its_names_and_others_need_each(trained):
    opened = Trained.open(trained / "out")
    whole = opened.build().state_dict()
    del opened.weights["model.lm_head.weight"]
    if not json.loads((trained / "model/config.json").read_text())["tie_word_embeddings"]:
        with pytest.raises(InputError, match=r"`model.lm_head.weight` is missing"):
            opened.build()
        return
    again = opened.build().state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_checkpoint_that_was_saved_without_its_configuration_says_so(trained):
    opened = Trained.open(trained / "out")
    opened.state["identity"]["model"] = f"hf:{trained}/model"
    with pytest.raises(InputError, match="was saved without the configuration of its model"):
        opened.build()


def test_a_file_that_makes_no_model_is_refused_with_the_reason(shards, tmp_path):
    (tmp_path / "model").mkdir()
    for wrong in ({"model_type": "nothing"}, {"model_type": "llama", **SMALL, "hidden_size": "wide"}, {}):
        (tmp_path / "model/config.json").write_text(json.dumps(wrong))
        with pytest.raises(UsageError, match="transformers makes no causal language model of it: "):
            train(shards, tmp_path)
