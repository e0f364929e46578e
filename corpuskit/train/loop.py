"""The training loop, top to bottom: open, resume, step, validate, save, report."""

from __future__ import annotations

import dataclasses
import fcntl
import math
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_

from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.train import checkpoint
from corpuskit.train.checked import check
from corpuskit.train.compare import HELD_OUT
from corpuskit.train.config import Budget, Step, TrainConfig, budget
from corpuskit.train.data import Batch, Shards, share
from corpuskit.train.evaluate import evaluate
from corpuskit.train.hf import Foreign
from corpuskit.train.metrics import Log, need_loggers, peak_flops, say
from corpuskit.train.model import Decoder
from corpuskit.train.online import Acting
from corpuskit.train.optim import learning_rate, optimizer_of, set_rate
from corpuskit.train.parallel import World, sharded_model, use, world
from corpuskit.train.saved import latest

DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainConfig)}

TERMINATED = threading.Event()
"""SIGTERM came: save at the end of this step."""

WAIT_FOR_LOCK = 40.0

CHECKPOINTS = 10
"""A run that does not say how often saves this many, so that a kill costs a tenth of it at most."""


@dataclass(frozen=True)
class Ready:
    """What this process takes of a step: batches of one forward pass each, and the targets in them that carry loss."""

    micro_batches: list[Batch]
    valid: int
    domains: list[torch.Tensor] | None = None
    """Of each row, int64; for policies and loss hooks."""
    sequences: list[int] | None = None
    """Of the whole step, where a policy chose them."""


class Terminated(CorpuskitError):
    """SIGTERM came; the run saved and goes on from there when it is started again."""

    exit_code = 128 + signal.SIGTERM


def train(config: TrainConfig) -> None:
    """Train to the end, from the last checkpoint in `out` if there is one; every process calls it.

    Raises:
        UsageError: the shards were made with another tokenizer or hold too little; `out` is of another run.
        CorpuskitError: the loss is no longer finite, or a checkpoint cannot be written.
        Terminated: SIGTERM came; there is a checkpoint of the last step.
    """
    need_loggers(config.loggers)
    shards = Shards(Path(config.shards), config.mask)
    if config.tokenizer not in (None, shards.tokenizer):
        raise UsageError(
            f"{shards.folder} was made with tokenizer {shards.tokenizer}, not {config.tokenizer}",
            "set `tokenizer` to null or write the shards with the other one",
        )
    plan = budget(config, [(len(phase), phase.seq_len) for phase in shards.train])
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    with world(config) as group, _alone(out, group), _until_terminated():
        model = sharded_model(config, shards.vocab_size, group)
        optimizer = optimizer_of(model, config)
        acting = Acting(config, shards, group) if config.policy or config.loss_hook else None
        state = _resume(out, config, shards, model, optimizer, group)
        if acting is not None and "acting" in state:
            acting.load(state["acting"])
        _run(config, plan, shards, model, optimizer, state, group, acting)


def _run(
    config: TrainConfig,
    plan: Budget,
    shards: Shards,
    model: Decoder | Foreign,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    group: World,
    acting: Acting | None = None,
) -> None:
    """All steps after `state`, then the final validation and `result.json`."""
    out = Path(config.out)
    micro_batch = config.micro_batch or max((32768 if group.device.type == "cuda" else 4096) // shards.seq_len, 1)
    log = _open_log(config, plan, shards, model, state["step"], micro_batch, group) if group.rank == 0 else None
    first, loss, saved = state["step"] + 1, state["loss"], state["step"]
    behind = checkpoint.Background(group) if config.async_save else None

    def save(step: int) -> None:
        state = {"step": step, "loss": loss, "identity": _identity(config, shards), "world_size": group.size}
        state |= {"vocab_size": shards.vocab_size, "seq_len": shards.seq_len}
        if acting is not None:
            state["acting"] = acting.state()
        if behind is not None:
            behind.save(out, step, model, optimizer, state, config.keep)
        else:
            checkpoint.save(out, step, model, optimizer, state, group, config.keep)

    began = time.monotonic()
    steps = range(first, plan.steps + 1)
    if acting is None:
        batches = _batches(steps, plan, shards, micro_batch, group)
    else:
        batches = _drawn(steps, plan, shards, micro_batch, group, acting)
    for step, now, batch in batches:
        lr = learning_rate(step, plan, config)
        set_rate(optimizer, lr)
        loss, norm, stop = _step(config, model, optimizer, batch, group, acting)
        if not math.isfinite(loss) or not math.isfinite(norm):
            read = f"sequences {now.sequences.start:,} to {now.sequences.stop - 1:,}"
            raise CorpuskitError(
                f"step {step}: loss {loss}, gradient norm {norm}; it read {read} of phase {now.phase + 1}",
                f"`corpuskit trace ROOT step:{step}` names their documents; if nothing is wrong with them, "
                f"set a learning rate below {plan.lr:.2e}",
            )
        if log:
            seq_len = shards.train[now.phase].seq_len
            chosen = {} if batch.sequences is None else {"sequences": batch.sequences}
            rate = len(now.sequences) * seq_len / (time.monotonic() - began)
            log.step(step, now.tokens, loss, lr, norm, rate, _flops(model, shards, seq_len), **chosen)
        if acting is not None:
            assert isinstance(model, Decoder)
            acting.observe(step, now.tokens, lr, model, shards, micro_batch, config.validation_sequences)
        if config.validate_every and step % config.validate_every == 0 and step != plan.steps:
            _validate(config, shards, model, step, micro_batch, group, log)
        if stop or step == plan.steps or step % (config.checkpoint_every or -(-plan.steps // CHECKPOINTS)) == 0:
            saved = step
            save(step)
        if stop:
            if behind is not None:
                behind.finish()
            raise Terminated(f"SIGTERM: saved step {step} of {plan.steps}", "the same command goes on from there")
        began = time.monotonic()
    if behind is not None:
        behind.finish()
    scores = _validate(config, shards, model, plan.steps, micro_batch, group, log)
    if log:
        log.close()
        result = {
            "steps": plan.steps,
            "tokens": plan.tokens,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "parameters_non_embedding": _non_embedding(model),
            "final_loss": loss,
            "validation": scores,
            "checkpoint": f"step-{saved}",
            "world_size": group.size,
            "config": {
                **dataclasses.asdict(config),
                "lr": plan.lr,
                "batch_tokens": plan.stretches[0].batch * plan.stretches[0].seq_len,
                "phases": [dataclasses.asdict(stretch) for stretch in plan.stretches],
                "micro_batch": micro_batch,
                "threads": group.threads,
                "device": group.device.type,
            },
            "shards_fingerprint": shards.fingerprint,
        }
        if acting is not None and acting.policy is not None:
            result["mixture"] = dict(acting.policy.result())
        checkpoint.write_json(out / "result.json", result)


def _batches(
    steps: range, plan: Budget, shards: Shards, micro_batch: int, group: World
) -> Iterator[tuple[int, Step, Ready]]:
    """What this process takes of each step, read one step ahead by a thread."""

    def read(step: int) -> tuple[int, Step, Ready]:
        now = plan.step(step)
        split = shards.train[now.phase]
        mine, rows = share(now.sequences.start, now.sequences.stop, group.rank, group.size)
        batch = split.batch(mine, rows)
        parts = batch.micro_batches(micro_batch * shards.seq_len // split.seq_len, group.device)
        return step, now, Ready(parts, batch.valid)

    def submit(step: int) -> Future[tuple[int, Step, Ready]]:
        now = plan.step(step)
        check(shards.train[now.phase].source, now.sequences.start, now.sequences.stop, group)
        return reader.submit(read, step)

    with ThreadPoolExecutor(1, initializer=use, initargs=(group.device,)) as reader:
        ahead = submit(steps[0]) if steps else None
        for step in steps:
            assert ahead is not None
            ready = ahead.result()
            ahead = submit(step + 1) if step + 1 in steps else None
            yield ready


def _drawn(
    steps: range, plan: Budget, shards: Shards, micro_batch: int, group: World, acting: Acting
) -> Iterator[tuple[int, Step, Ready]]:
    """The same where a policy draws, or a hook wants the domains; read when the step before is done."""
    split = shards.train[0]
    check(split.source, 0, len(split), group)  # what is drawn may stand anywhere
    for step in steps:
        now = plan.step(step)
        numbers = acting.sequences(now.sequences, now.tokens - len(now.sequences) * split.seq_len)
        mine, rows = numbers[group.rank :: group.size], -(-len(numbers) // group.size)
        batch = split.batch(mine, rows)
        domain = torch.zeros(rows, dtype=torch.int64)
        domain[: len(mine)] = torch.from_numpy(acting.domain[mine])
        parts = batch.micro_batches(micro_batch, group.device)
        domains = [each.to(group.device) for each in torch.split(domain, micro_batch)]
        yield step, now, Ready(parts, batch.valid, domains, numbers if acting.policy is not None else None)


def _step(
    config: TrainConfig,
    model: Decoder | Foreign,
    optimizer: torch.optim.Optimizer,
    batch: Ready,
    group: World,
    acting: Acting | None = None,
) -> tuple[float, float, bool]:
    """One optimizer step on a global batch.

    Returns:
        Mean loss over its valid targets, norm of the gradient before clipping, whether SIGTERM came to a process. On
        CUDA the process waits for the device once, at the end, for these three.
    """
    assert isinstance(model, FSDPModule)
    counts = [
        torch.full((), float(count), dtype=torch.float64, device=group.device)
        for count in (batch.valid, TERMINATED.is_set())
    ]
    valid, stop = group.sum(torch.stack(counts))
    valid = valid.clamp(min=1)
    # FSDP averages over processes; times their number is the sum, over the valid targets of all is the mean.
    scale = (group.size / valid).float()
    summed = torch.zeros((), dtype=torch.float64, device=group.device)
    for number, held in enumerate(batch.micro_batches, 1):
        last = number == len(batch.micro_batches)
        model.set_requires_gradient_sync(last)
        model.set_reshard_after_backward(last or group.size > 1)
        part = held.to(group.device)
        if acting is None or batch.domains is None:
            loss = model(part)
            summed += loss.detach()
        else:
            before = acting.total.clone()
            loss = model(part, acting.weigh(part, batch.domains[number - 1]))
            summed += acting.total - before  # what is reported counts each token once, whatever its weight
        (loss * scale).backward()
    norm = clip_grad_norm_(model.parameters(), config.clip)
    assert isinstance(norm, DTensor)
    optimizer.step()
    optimizer.zero_grad()
    mean, norm, stop = torch.stack((group.sum(summed) / valid, norm.full_tensor().double(), stop)).tolist()
    return mean, norm, bool(stop)


def _validate(
    config: TrainConfig,
    shards: Shards,
    model: Decoder | Foreign,
    step: int,
    micro_batch: int,
    group: World,
    log: Log | None,
) -> dict[str, Any]:
    """Score all domains and log them; `validation.json` keeps the losses of each sequence, for `compare`."""
    found = evaluate(model, shards, group, micro_batch, config.validation_sequences)
    scores = {name: held.score for name, held in found.items()}
    if log:
        for domain, score in scores.items():
            log.write(step=step, domain=domain, **score)
            if score["loss"] is not None:
                say(f"step {step}  {domain}: loss {score['loss']:.4f}, {score['bits_per_byte']:.4f} bits per byte")
        domains = {
            name: {"losses": held.losses, "targets": held.targets, "bytes": shards.bytes[name]}
            | {"tokens": shards.validation[name].tokens}
            for name, held in found.items()
            if held.score["loss"] is not None
        }
        kept = {"step": step, "tokenizer": shards.tokenizer, "domains": domains}
        checkpoint.write_json(Path(config.out) / HELD_OUT, kept)
    return scores


def _identity(config: TrainConfig, shards: Shards) -> dict[str, Any]:
    return {**config.identity(), "shards_fingerprint": shards.fingerprint}


def _resume(
    out: Path,
    config: TrainConfig,
    shards: Shards,
    model: Decoder | Foreign,
    optimizer: torch.optim.Optimizer,
    group: World,
) -> dict[str, Any]:
    """Load the last checkpoint of the same run, or start at step 0."""
    found = latest(out)
    if found is None:
        return {"step": 0, "loss": None}
    path, state = found
    ours, theirs = _identity(config, shards), state["identity"]
    differing = [
        f"{key} {theirs[key]!r} there, {value!r} here"
        for key, value in ours.items()
        if theirs.setdefault(key, DEFAULTS.get(key)) != value  # a key that is newer than the checkpoint
    ]
    if differing:
        raise UsageError(f"{path} is of another run: {'; '.join(differing)}", f"set another `out`, or remove {out}")
    checkpoint.load(path, model, optimizer)
    if group.rank == 0:
        say(f"resumed from {path}: step {state['step']}")
    return state


def _open_log(
    config: TrainConfig,
    plan: Budget,
    shards: Shards,
    model: Decoder | Foreign,
    step: int,
    micro_batch: int,
    group: World,
) -> Log:
    """Open the log and say what will run."""
    size, rest = _non_embedding(model), sum(parameter.numel() for parameter in model.parameters())
    name = torch.cuda.get_device_name() if group.device.type == "cuda" else "cpu"
    peak = peak_flops(name)
    say(f"{size:,} parameters + {rest - size:,} of embedding; {group.size} processes on {name}")
    for stretch in plan.stretches:
        say(
            f"{stretch.steps:,} steps of {stretch.batch * stretch.seq_len:,} tokens "
            f"({stretch.batch} sequences of {stretch.seq_len:,}), "
            f"{micro_batch * shards.seq_len // stretch.seq_len} sequences a forward pass"
        )
    for note in plan.notes:
        say(note)
    say(
        f"{_flops(model, shards, shards.seq_len):,} FLOP a token = 6 x parameters + 12 x layers x width x length"
        + (f"; MFU against {peak / 1e12:.0f} TFLOP/s dense bf16 a device" if peak else "; no MFU: peak not known")
    )
    return Log(Path(config.out) / "metrics.jsonl", step, plan.steps, peak and peak * group.size, config.loggers)


def _flops(model: Decoder | Foreign, shards: Shards, seq_len: int) -> int:
    if isinstance(model, Foreign):
        return model.flops_per_token(seq_len)
    return model.shape.flops_per_token(shards.vocab_size, seq_len)


def _non_embedding(model: Decoder | Foreign) -> int:
    return model.non_embedding() if isinstance(model, Foreign) else model.shape.non_embedding


@contextmanager
def _until_terminated() -> Iterator[None]:
    """Take SIGTERM as a wish to save and end, where signals can be taken: in the main thread."""
    TERMINATED.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: TERMINATED.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _alone(out: Path, group: World) -> Iterator[None]:
    """Hold `out` for this run: two trainers in one folder would mix their checkpoints.

    Waits a little, because a trainer whose launcher was killed needs a moment to end.
    """
    if group.rank != 0:
        dist.barrier()
        yield
        return
    with (out / ".lock").open("w") as file:
        deadline = time.monotonic() + WAIT_FOR_LOCK
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UsageError(
                        f"another trainer is at work in {out}", "wait for it, or set another `out`"
                    ) from None
                time.sleep(0.2)
        checkpoint.tidy(out)
        dist.barrier()  # the others look for checkpoints only now
        yield
