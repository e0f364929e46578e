"""A checkpoint as a model of transformers: each tensor in its place; the tool loads it, and its logits are equal."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from small_shards import write_shards  # noqa: E402

from corpuskit.cli import main  # noqa: E402
from corpuskit.errors import InputError  # noqa: E402
from corpuskit.train import loop  # noqa: E402
from corpuskit.train.config import from_dict  # noqa: E402
from corpuskit.train.data import Batch  # noqa: E402
from corpuskit.train.trained import Trained  # noqa: E402

MODELS = {
    "llama": {"width": 32, "layers": 2, "heads": 2},
    "qwen3": {"width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "qk_norm": True, "tied": False},
    "biases": {"width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "bias": True},
}


@pytest.fixture(scope="module", params=MODELS)
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    shards = write_shards(folder / "tokens", files=(4,))
    given = {"shards": str(shards), "out": str(folder / "out"), "batch_tokens": 64, "threads": 1, "device": "cpu"}
    loop.train(from_dict(given | {"model": MODELS[request.param], "lr": 0.01}))
    assert main(["export", str(folder / "out"), "--format", "hf", "--to", str(folder / "hf")]) == 0
    return folder


def tokens():
    return torch.randint(0, 97, (2, 32), generator=torch.Generator().manual_seed(0))


def logits(folder):
    model = Trained.open(folder / "out").build()
    model.mask = "causal"  # one document a row, as transformers sees it
    return model.logits(Batch(tokens(), tokens(), torch.ones(2, 32, dtype=torch.int32))).detach()


def test_the_file_holds_each_parameter_once_with_its_bits(trained):
    raw = (trained / "hf/model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    del header["__metadata__"]
    config = json.loads((trained / "hf/config.json").read_text())
    assert (
        sum(np.prod(each["shape"]) for each in header.values())
        == json.loads((trained / "out/result.json").read_text())["parameters"]
    )
    low, high = header["model.layers.1.self_attn.k_proj.weight"]["data_offsets"]
    found = np.frombuffer(raw[8 + size :][low:high], "<f4").reshape(-1, config["hidden_size"])
    width, rows = config["hidden_size"], config["num_key_value_heads"] * config["head_dim"]
    ours = Trained.open(trained / "out").weights["blocks.1.qkv.weight"][width : width + rows]
    assert np.array_equal(found, ours.numpy())


def test_what_transformers_has_no_class_for_is_refused_by_name(tmp_path, capsys):
    shards = write_shards(tmp_path / "s", files=(2,))
    shape = {"width": 32, "layers": 1, "heads": 2, "positions": "alibi", "norm": "layer"}
    given = {"shards": str(shards), "out": str(tmp_path / "out"), "batch_tokens": 64, "threads": 1, "device": "cpu"}
    loop.train(from_dict(given | {"model": shape, "lr": 0.01}))
    assert main(["export", str(tmp_path / "out/step-1"), "--format", "hf", "--to", str(tmp_path / "hf")]) == 2
    assert "no SwiGLU decoder with ALiBi and LayerNorm" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "out"), "--format", "mds", "--to", str(tmp_path / "hf")]) == 2
    assert "a checkpoint has no format `mds`" in capsys.readouterr().err
    assert not (tmp_path / "hf").exists()


def test_a_checkpoint_that_does_not_fit_its_model_names_the_tensors(trained):
    opened = Trained.open(trained / "out")
    opened.weights["blocks.2.qkv.weight"] = torch.zeros(1)
    del opened.weights["embedding.weight"]
    opened.weights["norm.weight"] = torch.ones(31)
    wrong = (
        r"`embedding.weight` is missing; `blocks.2.qkv.weight` is none of the model's; `norm.weight` is \[31\] and not"
    )
    with pytest.raises(InputError, match=wrong):
        opened.build()


@pytest.mark.consumers
def test_transformers_loads_it_and_its_logits_are_equal(trained):
    code = """import sys, torch
from transformers import AutoModelForCausalLM
model, info = AutoModelForCausalLM.from_pretrained(sys.argv[1], output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"], info
torch.save(model(torch.load(sys.argv[2])).logits.detach(), sys.argv[3])
"""
    python = Path(os.environ.get("CONSUMERS", ".venv-consumers")) / "transformers/bin/python"
    torch.save(tokens(), trained / "tokens.pt")
    subprocess.run([python, "-c", code, trained / "hf", trained / "tokens.pt", trained / "logits.pt"], check=True)
    torch.testing.assert_close(torch.load(trained / "logits.pt"), logits(trained), rtol=0, atol=1e-5)
