"""The decoder's shape and its presets; imports no torch.

A preset is a name in `PRESETS`; a shape of one's own is a JSON object of the same fields.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, get_type_hints

from corpuskit.errors import did_you_mean


@dataclass(frozen=True)
class Shape:
    """A decoder, by default LLaMA's: `width` of the residual stream, `layers`, attention `heads`.

    Attributes:
        kv_heads: heads of keys and values, each shared by heads / kv_heads queries (GQA, Ainslie et al. 2023, arXiv
            2305.13245); None: as many as `heads`.
        mlp: width of SwiGLU (Shazeer 2020, arXiv 2002.05202); None: 8/3 of `width`, up to a multiple of 64.
        positions: `rope` (Su et al. 2021, arXiv 2104.09864) or `alibi` (Press et al. 2022, arXiv 2108.12409).
        norm: `rms` or `layer`. bias: of all linear layers.
        tied: the embedding is also the output layer.
        qk_norm: RMSNorm of each head's queries and keys (Dehghani et al. 2023, arXiv 2302.05442).
        embedding_scale: factor of the embedding's output.
        width_scale: width of the model that the hyperparameters were tuned on / `width`. Below 1 the parametrization is
            muP (Yang et al. 2022, arXiv 2203.03466, table 8): the logits and the learning rate of hidden matrices are
            multiplied by it, their initial variance too, and q.k is divided by the head's width, not by its root.
    """

    width: int
    layers: int
    heads: int
    kv_heads: int | None = None
    mlp: int | None = None
    positions: str = "rope"
    norm: str = "rms"
    bias: bool = False
    tied: bool = True
    qk_norm: bool = False
    embedding_scale: float = 1.0
    width_scale: float = 1.0

    @property
    def head_width(self) -> int:
        """Width of a head."""
        return self.width // self.heads

    @property
    def shared_heads(self) -> int:
        """Heads of keys, and of values."""
        return self.kv_heads or self.heads

    @property
    def inner(self) -> int:
        """Width of SwiGLU."""
        return self.mlp or math.ceil(self.width * 8 / 3 / 64) * 64

    @property
    def mup(self) -> bool:
        """Whether the parametrization is muP."""
        return self.width_scale != 1

    @property
    def qkv(self) -> tuple[int, int, int]:
        """Rows of the projections to queries, keys and values, which are one matrix."""
        return self.width, self.shared_heads * self.head_width, self.shared_heads * self.head_width

    @property
    def non_embedding(self) -> int:
        """Parameters without the embedding and the output layer: attention, SwiGLU and norms."""
        rows, norm = sum(self.qkv), self.width * (2 if self.norm == "layer" else 1)
        block = self.width * (rows + self.width + 3 * self.inner) + 2 * norm + 2 * self.head_width * self.qk_norm
        biases = rows + 2 * self.width + 2 * self.inner if self.bias else 0
        return self.layers * (block + biases) + norm

    def parameters(self, vocab_size: int) -> int:
        """All parameters."""
        return self.non_embedding + vocab_size * self.width * (1 if self.tied else 2)

    def flops_per_token(self, vocab_size: int, seq_len: int) -> int:
        """Training FLOP a token: 6N + 12 layers x width x length; N counts the output layer and no other embedding.

        Appendix B of PaLM (Chowdhery et al. 2022, arXiv 2204.02311); no discount for causal or document masks.
        """
        return 6 * (self.non_embedding + vocab_size * self.width) + 12 * self.layers * self.width * seq_len


PRESETS = {  # LLaMA's block, named by their non-embedding parameters
    "1M": Shape(width=128, layers=5, heads=2),
    "5M": Shape(width=256, layers=6, heads=4),
    "20M": Shape(width=384, layers=11, heads=6),
    "60M": Shape(width=640, layers=12, heads=10),
    "160M": Shape(width=1024, layers=13, heads=16),
    "410M": Shape(width=1280, layers=21, heads=20),
    "1B": Shape(width=2048, layers=20, heads=16),
    # Shen et al. 2023, arXiv 2309.10818, section 3.2: 1.3B with a vocabulary of 50,277
    "slimpajama-dc-1.3b": Shape(
        width=2048,
        layers=24,
        heads=16,
        mlp=5461,
        positions="alibi",
        norm="layer",
        bias=True,
        embedding_scale=14.6,
        width_scale=0.2775,
    ),
}

CHOICES = {"positions": ("rope", "alibi"), "norm": ("rms", "layer")}


def shape_of(model: str | dict[str, Any]) -> Shape:
    """The shape that `model` of a configuration names or is."""
    return Shape(**model) if isinstance(model, dict) else PRESETS[model]


def wrong_model(value: Any) -> list[str]:
    """What is wrong with `model`: a preset, `hf:PATH`, or the fields of a shape that can be built."""
    if isinstance(value, str):
        near = did_you_mean(value, PRESETS)
        wrong = f"model `{value}` is not a preset ({', '.join(PRESETS)})" + (f": {near}" if near else "")
        return [] if value in PRESETS or value.startswith("hf:") else [wrong]
    required = {"width", "layers", "heads"}
    if not isinstance(value, dict) or not required <= set(value):
        return [f'`model` is {value!r}, not a preset\'s name or {{"width": .., "layers": .., "heads": ..}}']
    hints = get_type_hints(Shape)
    found = [
        f"`model.{key}` is unknown" + (f": {near}" if (near := did_you_mean(key, hints)) else "")
        for key in value
        if key not in hints
    ]
    for field in dataclasses.fields(Shape):
        if field.name in value:
            found += _wrong_field(field.name, value[field.name], hints[field.name])
    return found or _wrong_sizes(Shape(**value))


def _wrong_field(name: str, value: Any, hint: Any) -> list[str]:
    if hint is bool:
        right, wanted = isinstance(value, bool), "true or false"
    elif hint is str:
        right, wanted = value in CHOICES[name], f"one of {', '.join(CHOICES[name])}"
    elif hint is float:
        right, wanted = type(value) in (int, float) and 0 < value < math.inf, "a number above 0"
    else:
        right, wanted = type(value) is int and value > 0, "a positive whole number"
        right |= value is None and hint is not int
    return [] if right else [f"`model.{name}` is {value!r}, not {wanted}"]


def _wrong_sizes(shape: Shape) -> list[str]:
    even = 2 if shape.positions == "rope" else 1
    if shape.width % (even * shape.heads):
        pairs = f"{even} x {shape.heads} heads (RoPE turns pairs)" if even == 2 else f"{shape.heads} heads"
        return [f"`model`: a width of {shape.width} is not a multiple of {pairs}"]
    if shape.heads % shape.shared_heads:
        return [f"`model`: {shape.heads} heads cannot share {shape.shared_heads} `kv_heads` evenly"]
    return []
