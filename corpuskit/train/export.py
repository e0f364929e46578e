"""A checkpoint as a folder that transformers loads: safetensors, `config.json` and the tokenizer; the logits are equal.

A LLaMA where the shape is one, with QK-norm a Qwen3; other shapes have no class in transformers.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpuskit.errors import UsageError
from corpuskit.train.hf import Foreign
from corpuskit.train.shape import Shape, shape_of
from corpuskit.train.trained import Trained

TASKS = "hellaswag,arc_easy,piqa,lambada_openai"


def export_hf(trained: Trained, to: Path) -> None:
    """Fill a folder with a model of transformers.

    Raises:
        UsageError: transformers has no class for the shape.
    """
    if trained.foreign:
        built = trained.build()
        assert isinstance(built, Foreign)
        built.model.save_pretrained(to)
    else:
        shape = shape_of(trained.model)
        config = config_of(shape, trained.vocab_size, trained.state["seq_len"])
        (to / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        write_safetensors(to / "model.safetensors", dict(named(shape, trained.weights)))
    if trained.tokenizer is not None:
        (to / "tokenizer.json").write_bytes(trained.tokenizer.read_bytes())
        about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": trained.state["seq_len"]}
        (to / "tokenizer_config.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def evaluation(to: Path) -> str:
    """The command of lm-evaluation-harness (Gao et al. 2024) for what was exported."""
    return f"lm_eval --model hf --model_args pretrained={to},dtype=float32 --tasks {TASKS} --batch_size 8"


def config_of(shape: Shape, vocab_size: int, seq_len: int) -> dict[str, Any]:
    """`config.json` of LLaMA or Qwen3.

    Raises:
        UsageError: neither can be of this shape.
    """
    wrong = [
        what
        for what, found in (
            ("ALiBi", shape.positions != "rope"),
            ("LayerNorm", shape.norm != "rms"),
            ("muP's factors", shape.mup or shape.embedding_scale != 1),
            ("QK-norm with biases", shape.qk_norm and shape.bias),
        )
        if found
    ]
    if wrong:
        raise UsageError(
            f"transformers has no SwiGLU decoder with {' and '.join(wrong)}",
            "what it loads: RoPE, RMSNorm; the checkpoint itself is read by torch.distributed.checkpoint",
        )
    kind: dict[str, Any] = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
    if not shape.qk_norm:
        kind = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "mlp_bias": shape.bias}
    return {
        **kind,
        "vocab_size": vocab_size,
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.shared_heads,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": seq_len,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "attention_bias": shape.bias,
        "tie_word_embeddings": shape.tied,
        "dtype": "float32",
        "bos_token_id": None,
        "eos_token_id": None,
    }


PLACES = {
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "attention_out": "self_attn.o_proj",
    "mlp_out": "mlp.down_proj",
    "q_norm": "self_attn.q_norm",
    "k_norm": "self_attn.k_norm",
}


def named(shape: Shape, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Our tensors under the names of LLaMA in transformers; what we stack in one matrix is several there."""
    for name, tensor in weights.items():
        module, kind = name.rsplit(".", 1)
        if not name.startswith("blocks."):
            yield (
                {"embedding": "model.embed_tokens", "norm": "model.norm", "output": "lm_head"}[module] + f".{kind}",
                tensor,
            )
            continue
        _, layer, module = module.split(".")
        if module == "qkv":
            parts = zip(("q_proj", "k_proj", "v_proj"), torch.split(tensor, list(shape.qkv)), strict=True)
            yield from ((f"model.layers.{layer}.self_attn.{part}.{kind}", rows) for part, rows in parts)
        elif module == "gate_up":
            halves = zip(("gate_proj", "up_proj"), tensor.chunk(2), strict=True)
            yield from ((f"model.layers.{layer}.mlp.{part}.{kind}", rows) for part, rows in halves)
        else:
            yield f"model.layers.{layer}.{PLACES[module]}.{kind}", tensor


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """float32 tensors in the format of safetensors: the length of a JSON header as u64, the header, the bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        size = 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.detach().float().contiguous().numpy().data)
