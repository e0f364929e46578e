"""Methods that act while training: a policy says what to draw next, a loss hook how much each token's loss counts.

The trainer knows neither's name: `{"name": "MODULE:FACTORY", ...}` of the configuration is made here, with what is
found of the domains in the shards. A policy draws from all sequences of the shards, each domain in its own order and,
where it comes to the end, from its start; what it learned and how far it read are saved with each checkpoint.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from corpuskit.errors import UsageError
from corpuskit.train.config import TrainConfig
from corpuskit.train.data import IGNORE, Batch, Shards, Split, share
from corpuskit.train.evaluate import evaluate
from corpuskit.train.kept import fetched
from corpuskit.train.model import Decoder
from corpuskit.train.parallel import World, computed_in
from corpuskit.train.trained import Trained


class Policy(Protocol):
    """What to draw, by domain, and what it learns of.

    Attributes:
        every: steps between observations.
        records: what `observe` is given of each domain beside `tokens` and the training `loss`: of `excess` over a
            reference model, `validation` (then `loss` is that of held-out text), `alignment` (with `norm`).
    """

    every: int
    records: frozenset[str]

    def draw(self, t: int) -> Mapping[str, float]:
        """Shares of the domains in the next step, after `t` tokens."""

    def loss_weights(self) -> Mapping[str, float] | None:
        """How much the tokens of each domain count in the next step, as shares; None: all the same."""

    def observe(self, t: int, statistics: Mapping[str, Mapping[str, float]]) -> None:
        """Learn from what was recorded since the observation before, by domain."""

    def result(self) -> Mapping[str, float]:
        """The mixture that was found."""

    def state(self) -> dict[str, Any]:
        """As JSON."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""


@dataclass(frozen=True)
class Meta:
    """What a loss hook knows of a forward pass: `targets` and `documents` as in `Batch`; each row's `domain`, int64."""

    targets: Tensor
    documents: Tensor
    domain: Tensor


LossHook = Callable[[Tensor, Meta], Tensor]
"""Losses of the targets, float32 [rows, length], and what they are of -> weights of these losses, the same."""


def made(given: Mapping[str, Any], *arguments: Any) -> Any:
    """What `MODULE:FACTORY`, or `FILE.py:FACTORY`, makes of the parameters beside `name`.

    Raises:
        UsageError: there is no such factory, or it takes other parameters.
    """
    module, _, factory = str(given["name"]).rpartition(":")
    parameters = {key: value for key, value in given.items() if key not in ("name", "reference")}
    try:
        if module.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(module).stem, module)
            assert spec is not None
            assert spec.loader is not None
            found = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found)
        else:
            found = importlib.import_module(module)
        return getattr(found, factory)(*arguments, **parameters)
    except (ImportError, AttributeError, OSError, ValueError, TypeError) as error:
        hint = "name it MODULE:FACTORY or FILE.py:FACTORY"
        raise UsageError(f"`{given['name']}` cannot be made: {error}", hint) from None


def domains_of(split: Split) -> tuple[list[str], Any]:
    """The domains of a phase, sorted, and the number of each sequence's among them, int64 [sequences]."""
    found, numbers = np.unique(split.source.domains(), return_inverse=True)
    return found.tolist(), numbers


class Acting:
    """The policy and the loss hook of a run, and what is recorded for them."""

    def __init__(self, config: TrainConfig, shards: Shards, group: World) -> None:
        if len(shards.train) > 1:
            raise UsageError(
                "policies and loss hooks act on one phase; the shards have several", "mix without `phases`"
            )
        self.group, self.split = group, shards.train[0]
        self.names, self.domain = domains_of(self.split)
        self.pools = [np.flatnonzero(self.domain == number) for number in range(len(self.names))]
        prior = {name: len(pool) / len(self.split) for name, pool in zip(self.names, self.pools, strict=True)}
        self.policy: Policy | None = made(config.policy, prior) if config.policy else None
        self.hook: LossHook | None = made(config.loss_hook) if config.loss_hook else None
        self.read, self.credit = [0] * len(self.names), [0.0] * len(self.names)
        self.total = torch.zeros((), dtype=torch.float64, device=group.device)
        """Sum of all losses so far, of this process."""
        self.sums = torch.zeros(3, len(self.names), dtype=torch.float64, device=group.device)
        self.reference: Decoder | None = None
        if self.policy is not None and "excess" in self.policy.records:
            self.reference = _reference(config, shards, group)

    def sequences(self, step: range, t: int) -> list[int]:
        """The numbers of the sequences of a step of so many, after `t` tokens; the same in every process."""
        if self.policy is None:
            return list(step)
        shares = self.policy.draw(t)
        self.credit = [held + shares[name] * len(step) for held, name in zip(self.credit, self.names, strict=True)]
        counts = [max(int(held), 0) for held in self.credit]
        order = sorted(range(len(counts)), key=lambda number: counts[number] - self.credit[number])
        for turn in range(len(step) - sum(counts)):
            counts[order[turn % len(order)]] += 1
        found = []
        for number, count in enumerate(counts):
            pool, read = self.pools[number], self.read[number]
            found += [int(pool[(read + place) % len(pool)]) for place in range(count)]
            self.read[number], self.credit[number] = read + count, self.credit[number] - count
        return found

    def weigh(self, batch: Batch, domain: Tensor) -> Callable[[Tensor], Tensor]:
        """What `Decoder.forward` takes to weigh the losses of a forward pass; they are recorded by the way."""

        def weigh(losses: Tensor) -> Tensor:
            counts = [(batch.targets != IGNORE).sum(1).double(), losses.double().sum(1)]
            if self.reference is not None:
                with torch.no_grad():
                    excess = (losses - self.reference(batch, each=True)).clamp(min=0)  # by token, before the mean
                counts.append(excess.double().sum(1))
            for row, count in zip(self.sums, counts, strict=False):
                row.index_add_(0, domain, count)
            self.total += counts[1].sum()
            weights = torch.ones_like(losses)
            shares = self.policy.loss_weights() if self.policy is not None else None
            if shares is not None:
                factors = torch.tensor([shares[name] * len(self.names) for name in self.names])
                if losses.is_cuda:  # from pinned memory the copy does not wait for what the device does
                    factors = factors.pin_memory()
                weights = weights * factors.to(losses.device, non_blocking=True)[domain][:, None]
            if self.hook is not None:
                weights = weights * self.hook(losses, Meta(batch.targets, batch.documents, domain))
            return weights

        return weigh

    def observe(
        self, step: int, t: int, lr: float, model: Decoder, shards: Shards, micro_batch: int, limit: int | None
    ) -> None:
        """After a step: let the policy learn, if it is its turn."""
        if self.policy is None or step % self.policy.every:
            return
        tokens, losses, excess = self.group.sum(self.sums).tolist()
        self.sums.zero_()
        found: dict[str, dict[str, float]] = {}
        for number, name in enumerate(self.names):
            if tokens[number]:
                found[name] = {"tokens": tokens[number], "loss": losses[number] / tokens[number], "learning_rate": lr}
                if self.reference is not None:
                    found[name]["excess"] = excess[number] / tokens[number]
        if "validation" in self.policy.records:
            for name, held in evaluate(model, shards, self.group, micro_batch, limit).items():
                if held.score["loss"] is not None:
                    found.setdefault(name, {})["loss"] = held.score["loss"]
        if "alignment" in self.policy.records:
            for name, about in self._alignments(model, shards, micro_batch).items():
                found.setdefault(name, {"learning_rate": lr}).update(about)
        self.policy.observe(t, found)

    def _alignments(self, model: Decoder, shards: Shards, rows: int) -> dict[str, dict[str, float]]:
        """By domain, of the next sequences: inner product with the gradient of held-out text, and Euclidean norm."""
        held_out = [self._gradient(model, split, range(min(rows, len(split)))) for split in shards.validation.values()]
        mean = [sum(each) / len(held_out) for each in zip(*held_out, strict=True)]
        found = {}
        for number, name in enumerate(self.names):
            pool, read = self.pools[number], self.read[number]
            some = [int(pool[(read + place) % len(pool)]) for place in range(min(rows, len(pool)))]
            gradient = self._gradient(model, self.split, some)
            pairs = [zip(gradient, other, strict=True) for other in (mean, gradient)]
            dots = torch.stack([torch.stack([(a * b).sum() for a, b in each]).sum() for each in pairs])
            alignment, square = (value / self._copies for value in self.group.sum(dots).tolist())
            found[name] = {"alignment": alignment, "norm": square**0.5}
        return found

    @property
    def _copies(self) -> int:
        mesh = self.group.mesh
        return mesh.size(0) if mesh.ndim == 2 else 1

    def _gradient(self, model: Decoder, split: Split, sequences: Any) -> list[Tensor]:
        """This process's part of the gradient of the mean loss over some sequences."""
        assert isinstance(model, FSDPModule)
        mine, rows = share(0, len(sequences), self.group.rank, self.group.size)
        batch = split.batch([sequences[place] for place in mine], rows)
        (valid,) = self.group.total(batch.valid)
        model.set_requires_gradient_sync(True)
        (model(batch.to(self.group.device)) * (self.group.size / max(valid, 1))).backward()
        found = []
        for parameter in model.parameters():
            assert isinstance(parameter.grad, DTensor)
            found.append(parameter.grad.to_local().double())
            parameter.grad = None
        return found

    def state(self) -> dict[str, Any]:
        """What resume needs, as JSON."""
        held = None if self.policy is None else self.policy.state()
        sums = self.group.sum(self.sums.clone()).tolist()
        return {"policy": held, "read": self.read, "credit": self.credit, "sums": sums}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state()`, in any number of processes."""
        if self.policy is not None:
            self.policy.load(state["policy"])
        self.read, self.credit = list(state["read"]), list(state["credit"])
        if self.group.rank == 0:
            self.sums += torch.tensor(state["sums"], dtype=torch.float64, device=self.group.device)


def _reference(config: TrainConfig, shards: Shards, group: World) -> Decoder:
    """The trained model whose losses are subtracted."""
    path = (config.policy or {}).get("reference")
    if not isinstance(path, str):
        raise UsageError("policy: `reference` is missing: a checkpoint whose losses are subtracted", "train it first")
    with fetched(path) as folder:
        trained = Trained.open(folder)
        if trained.vocab_size != shards.vocab_size:
            raise UsageError(f"policy: {path} has {trained.vocab_size:,} tokens, the shards {shards.vocab_size:,}")
        model = trained.build()
    if not isinstance(model, Decoder):
        raise UsageError(f"policy: {path} is a model of transformers", "give a checkpoint of corpuskit's decoder")
    if group.device.type == "cuda":
        model.compile_blocks()
    # as the model that it is compared with
    return model.to(group.device, computed_in(config, group)).requires_grad_(requires_grad=False)
