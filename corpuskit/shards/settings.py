"""The table `mix` of a recipe: from the corpus to token shards."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator

from corpuskit.core.settings import Keys, Number, Seed, Share, Whole
from corpuskit.mix.methods import is_method


class Fim(Keys):
    """Fill in the middle (Bavarian et al. 2022): documents cut in three at random characters, their middle last.

    A document has one form in all epochs; held-out text stays as it is. Another choice encodes the text anew.
    """

    rate: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """Share of the documents."""
    spm_rate: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """Share of these in the form suffix, prefix, middle; the others are prefix, suffix, middle."""
    only: Annotated[list[str], Field(min_length=1)] | None = None
    """Domains; default: all."""
    seed: Seed = 42
    """Of the draws, which follow from it and the document's number."""


class Shards(Keys):
    """How the mixture is packed into sequences."""

    seq_len: Annotated[Whole, Field(ge=1)] = 2048
    """Target tokens of a sequence."""
    seed: Seed = 42
    """Of the order of documents: another seed, another order."""
    packing: Literal["concat", "best_fit"] = "best_fit"
    """`concat` cuts the stream of documents; `best_fit` splits no document that fits a sequence."""
    fim: Fim | None = None
    """Fill in the middle; the tokenizer needs tokens for it, which a trained one gets."""


class TokenizerTraining(Keys):
    """A byte-level BPE trained on a sample of the corpus."""

    vocab_size: Annotated[Whole, Field(ge=257, lt=2**31)] = 32_000
    """Size of the vocabulary, special tokens included."""


class TrainedTokenizer(Keys):
    """A tokenizer that the recipe trains."""

    train: TokenizerTraining
    """How it is trained."""


def _method_or_table(weights: Any, table: ValidatorFunctionWrapHandler) -> Any:
    if is_method(weights):
        return weights  # its parameters are those of the method that it names: the loader checks them
    if weights == {}:
        raise ValueError("is empty; give each domain its share")
    return table(weights)


class Swarm(Keys):
    """Proxy runs: a small model on each of many mixtures, from which methods such as `regmix` learn."""

    runs: Annotated[Whole, Field(ge=1)] | None = None
    """How many mixtures are drawn; 3 (domains + 1) or more are advised (OLMix), RegMix takes 512 for 17 domains."""
    ratios: str | None = None
    """In place of `runs`: a table of your own, a mixture a line: `run,DOMAIN,DOMAIN,...`."""
    tokens: Annotated[Whole, Field(ge=1)]
    """Tokens of each run."""
    model: str = "1M"
    """A preset's name."""
    batch_tokens: Annotated[Whole, Field(ge=1)] | None = None
    """Tokens of an optimizer step; default: Step Law."""
    lr: Annotated[Number, Field(gt=0)] | None = None
    """Peak learning rate; default: Step Law."""
    validation_sequences: Annotated[Whole, Field(ge=1)] | None = 32
    """Held-out sequences of each domain that a run is measured on; null: all."""
    draw: Literal["dirichlet", "halving"] = "dirichlet"
    """`dirichlet`: around the tempered sizes, as RegMix; `halving`: proportions that halve, as Data Mixing Laws."""
    temperature: Annotated[Number, Field(gt=0)] = 2.0
    """Of `dirichlet`: above 1 it lifts small domains."""
    strength: Annotated[list[Annotated[Number, Field(gt=0)]], Field(min_length=2, max_length=2)] = [0.1, 5.0]
    """Of `dirichlet`: from mixtures of few domains to mixtures near the sizes."""
    max_epochs: Annotated[Number, Field(gt=0)] = 15
    """A domain is at most this many times its share of the corpus, and no run repeats it more often."""
    seed: Seed = 0
    """Of the draws, and of the models' initial parameters."""


Weights = Annotated[str | dict[str, Share], WrapValidator(_method_or_table)]
Bound = Annotated[Number, Field(ge=0, le=1)]


class Phase(Keys):
    """A stretch of training with weights, and perhaps a length of sequences, of its own."""

    until: Annotated[Number, Field(gt=0)]
    """Where it ends: a fraction of `mix.tokens` (0.8), or tokens (80B); the last phase ends with the run (1)."""
    weights: Weights = "proportional"
    """As `mix.weights`; a method sees the tokens of the phase, and what earlier phases leave of `max_epochs`."""
    seq_len: Annotated[Whole, Field(ge=1)] | None = None
    """Target tokens of a sequence; default: `mix.shards.seq_len`. It divides that of the longest phase, which is cut to
    make shorter ones: documents that fit the longest may be split where it is cut."""


class Mix(Keys):
    """From the corpus to token shards: which domains in which shares."""

    tokenizer: TrainedTokenizer | str
    """`{train: {vocab_size: N}}`, a path to a `tokenizer.json`, or a name on the hub."""
    weights: Weights = "proportional"
    """Shares of tokens: a preset's name, a table `{domain: number}`, or `{method: NAME, ...}` with its parameters."""
    tokens: Annotated[Whole, Field(ge=1)] | Literal["max"] = "max"
    """Tokens of the mixture, or the most that weights and epochs allow."""
    max_epochs: Annotated[Number, Field(gt=0)] = 4
    """A domain is repeated at most this often."""
    lower: dict[str, Bound] = {}
    """Smallest weight of a domain, as a fraction, over the whole run; a domain not named is free."""
    upper: dict[str, Bound] = {}
    """Largest weight of a domain, likewise."""
    shards: Shards = Shards()
    """How it is packed."""
    swarm: Swarm | None = None
    """Proxy runs to learn weights from: `{method: regmix}` and the like read their results."""
    phases: Annotated[list[Phase], Field(min_length=1)] | None = None
    """In place of `weights`: one mixture after the other, and shorter or longer sequences; `max_epochs` and the bounds
    hold over the whole run."""
    write: Literal["shards", "plan"] = "shards"
    """`plan` writes no mixed shards: the trainer follows the plan over `tokens/`, and sees the same sequences."""

    @property
    def weighings(self) -> list[Any]:
        """`weights`, or those of each phase."""
        return [self.weights] if self.phases is None else [phase.weights for phase in self.phases]

    @property
    def longest(self) -> int:
        """Target tokens of the longest sequence: of a block."""
        return max([self.shards.seq_len] if self.phases is None else map(self.seq_len, self.phases))

    def seq_len(self, phase: Phase) -> int:
        """Target tokens of a sequence of a phase."""
        return phase.seq_len or self.shards.seq_len
