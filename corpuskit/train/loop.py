"""The training loop, top to bottom: open, resume, step, validate, save, report."""

from __future__ import annotations

import dataclasses
import math
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_

from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.train import checkpoint
from corpuskit.train.batches import Ready, batches, drawn
from corpuskit.train.compare import HELD_OUT
from corpuskit.train.config import Budget, TrainConfig, budget
from corpuskit.train.data import Shards
from corpuskit.train.ending import TERMINATED, Terminated, alone, followed, until_terminated
from corpuskit.train.evaluate import evaluate
from corpuskit.train.hf import Foreign
from corpuskit.train.kept import local
from corpuskit.train.metrics import Log, need_loggers, peak_flops, say
from corpuskit.train.model import Decoder
from corpuskit.train.online import Acting
from corpuskit.train.optim import learning_rate, optimizer_of, set_rate
from corpuskit.train.parallel import World, sharded_model, world
from corpuskit.train.saved import latest

DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainConfig)}

CHECKPOINTS = 10
"""A run that does not say how often saves this many, so that a kill costs a tenth of it at most."""


def train(config: TrainConfig) -> None:
    """Train to the end, from the last checkpoint in `out` if there is one; every process calls it.

    Raises:
        UsageError: the shards were made with another tokenizer or hold too little; `out` is of another run.
        CorpuskitError: the loss is no longer finite, or a checkpoint cannot be written.
        Terminated: SIGTERM came; there is a checkpoint of the last step.
    """
    need_loggers(config.loggers)
    with closing(Shards(config.shards, config.mask, config.bucket, config.cache, config.cache_bytes)) as shards:
        _train(config, shards)


def _train(config: TrainConfig, shards: Shards) -> None:
    """`train`, on shards that are open."""
    if config.tokenizer not in (None, shards.tokenizer):
        raise UsageError(
            f"{shards.folder} was made with tokenizer {shards.tokenizer}, not {config.tokenizer}",
            "set `tokenizer` to null or write the shards with the other one",
        )
    plan = budget(config, [(len(phase), phase.seq_len) for phase in shards.train])
    out = local(config.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"out: {out}: {error.strerror}", "give a folder that can be written to") from None
    with world(config) as group, alone(out, group), followed(config.out, out, group), until_terminated():
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
    out = local(config.out)
    micro_batch = config.micro_batch or max((32768 if group.device.type == "cuda" else 4096) // shards.seq_len, 1)
    log = _open_log(config, plan, shards, model, state["step"], micro_batch, group) if group.rank == 0 else None
    first, loss, saved = state["step"] + 1, state["loss"], state["step"]
    behind = checkpoint.Background(group) if config.async_save else None

    def save(step: int) -> None:
        state = {"step": step, "loss": loss, "identity": _identity(config, shards, model), "world_size": group.size}
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
        read = batches(steps, plan, shards, micro_batch, group)
    else:
        read = drawn(steps, plan, shards, micro_batch, group, acting)
    for step, now, batch in read:
        lr = learning_rate(step, plan, config)
        set_rate(optimizer, lr)
        loss, norm, stop = _step(config, model, optimizer, batch, group, acting)
        if not math.isfinite(loss) or not math.isfinite(norm):
            which = f"sequences {now.sequences.start:,} to {now.sequences.stop - 1:,}"
            raise CorpuskitError(
                f"step {step}: loss {loss}, gradient norm {norm}; it read {which} of phase {now.phase + 1}",
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
        checkpoint.write_json(local(config.out) / HELD_OUT, kept)
    return scores


def _identity(config: TrainConfig, shards: Shards, model: Decoder | Foreign) -> dict[str, Any]:
    """What is trained; a model of transformers is what its configuration says, wherever the file may lie."""
    found = {**config.identity(), "shards_fingerprint": shards.fingerprint}
    return found | {"model": {"hf": model.config}} if isinstance(model, Foreign) else found


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """The keys of two identities whose values are not the same, in words."""
    found = []
    for key, value in ours.items():
        other = theirs.get(key, DEFAULTS.get(key))  # a key may be newer than the checkpoint
        if key == "model" and isinstance(other, dict) and "hf" in other and "hf" in value:
            # and so may one of transformers, which the checkpoint's model had at its default
            found += _differing({name: value["hf"].get(name) for name in other["hf"]}, other["hf"])
        elif other != value:
            found.append(f"{key} {other!r} there, {value!r} here")
    return found


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
    if differing := _differing(_identity(config, shards, model), state["identity"]):
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
    say(f"{size:,} parameters + {rest - size:,} of embedding; {group.size} process{'es' * (group.size > 1)} on {name}")
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
    return Log(local(config.out) / "metrics.jsonl", step, plan.steps, peak and peak * group.size, config.loggers)


def _flops(model: Decoder | Foreign, shards: Shards, seq_len: int) -> int:
    if isinstance(model, Foreign):
        return model.flops_per_token(seq_len)
    return model.shape.flops_per_token(shards.vocab_size, seq_len)


def _non_embedding(model: Decoder | Foreign) -> int:
    return model.non_embedding() if isinstance(model, Foreign) else model.shape.non_embedding
