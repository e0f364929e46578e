"""What a process takes of each step: batches of one forward pass each, read before the loop asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from corpuskit.train.cache import Ahead, Wanted
from corpuskit.train.checked import check
from corpuskit.train.config import Budget, Step
from corpuskit.train.data import Batch, Shards, share
from corpuskit.train.online import Acting
from corpuskit.train.parallel import World, use


@dataclass(frozen=True)
class Ready:
    """What this process takes of a step: batches of one forward pass each, and the targets in them that carry loss."""

    micro_batches: list[Batch]
    valid: int
    domains: list[torch.Tensor] | None = None
    """Of each row, int64; for policies and loss hooks."""
    sequences: list[int] | None = None
    """Of the whole step, where a policy chose them."""


def batches(
    steps: range, plan: Budget, shards: Shards, micro_batch: int, group: World
) -> Iterator[tuple[int, Step, Ready]]:
    """What this process takes of each step, read one step ahead by a thread."""

    def read(step: int) -> tuple[int, Step, Ready]:
        now = plan.step(step)
        split = shards.train[now.phase]
        mine, rows = share(now.sequences.start, now.sequences.stop, group.rank, group.size)
        at_once = micro_batch * shards.seq_len // split.seq_len
        rows, at_once = group.even(rows, at_once, plan.stretches[now.phase].batch)
        batch = split.batch(mine, rows)
        return step, now, Ready(batch.micro_batches(at_once, group.device), batch.valid)

    def wanted(step: int) -> list[Wanted]:
        now = plan.step(step)
        mine, _ = share(now.sequences.start, now.sequences.stop, group.rank, group.size)
        return shards.train[now.phase].source.blocks(np.asarray(mine))

    def submit(step: int) -> Future[tuple[int, Step, Ready]]:
        now = plan.step(step)
        check(shards.train[now.phase].source, now.sequences.start, now.sequences.stop, group)
        if fetching is not None:
            fetching.reach(step)
        return reader.submit(read, step)

    fetching = Ahead(shards.cache, group.neighbours, steps[1:], wanted) if shards.cache is not None else None
    with ThreadPoolExecutor(1, initializer=use, initargs=(group.device,)) as reader:
        ahead = submit(steps[0]) if steps else None
        for step in steps:
            assert ahead is not None
            ready = ahead.result()
            ahead = submit(step + 1) if step + 1 in steps else None
            yield ready


def drawn(
    steps: range, plan: Budget, shards: Shards, micro_batch: int, group: World, acting: Acting
) -> Iterator[tuple[int, Step, Ready]]:
    """The same where a policy draws, or a hook wants the domains; read when the step before is done."""
    split = shards.train[0]
    check(split.source, 0, len(split), group)  # what is drawn may stand anywhere
    for step in steps:
        now = plan.step(step)
        numbers = acting.sequences(now.sequences, now.tokens - len(now.sequences) * split.seq_len)
        mine, rows = numbers[group.rank :: group.size], -(-len(numbers) // group.size)
        rows, at_once = group.even(rows, micro_batch, plan.stretches[now.phase].batch)
        batch = split.batch(mine, rows)
        domain = torch.zeros(rows, dtype=torch.int64)
        domain[: len(mine)] = torch.from_numpy(acting.domain[mine])
        parts = batch.micro_batches(at_once, group.device)
        if group.device.type == "cuda":
            domain = domain.pin_memory()
        domains = [each.to(group.device, non_blocking=True) for each in torch.split(domain, at_once)]
        yield step, now, Ready(parts, batch.valid, domains, numbers if acting.policy is not None else None)
