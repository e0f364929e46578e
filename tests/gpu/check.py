"""`python -m tests.gpu.check`: everything about the trainer that needs a CUDA device, on one, in one table.

Needs no internet and no data: it makes its own shards. Exits with 0 if all checks hold, 1 if one fails, 2 without CUDA.
Each check is a process of its own (`python -m tests.gpu.check NAME` runs one): what one breaks no other sees.
"""

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as the trainer sets it, before CUDA starts

import pyarrow.parquet as pq
import torch
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

from corpuskit.train import loop
from corpuskit.train.attention import alibi_slopes, attention, document_mask
from corpuskit.train.batches import batches
from corpuskit.train.compiled import compiled
from corpuskit.train.config import budget, from_dict
from corpuskit.train.data import Batch, Shards
from corpuskit.train.launch import launch
from corpuskit.train.metrics import peak_flops
from corpuskit.train.optim import optimizer_of, set_rate
from corpuskit.train.parallel import sharded_model, world
from corpuskit.train.shape import PRESETS
from tests.gpu.made_shards import make_shards

TINY = {"width": 256, "layers": 3, "heads": 4}
OTHERS = {  # what else a block can be made of
    "GQA, QK-norm, untied": {"kv_heads": 2, "qk_norm": True, "tied": False},
    "ALiBi, LayerNorm, muP": {"positions": "alibi", "norm": "layer", "bias": True, "width_scale": 0.5},
}
SIZES = {  # model, sequences of a forward pass, forward passes of a step
    "160M": (dataclasses.asdict(PRESETS["160M"]), 16, 16),
    "1.3B": ({"width": 2048, "layers": 24, "heads": 16}, 16, 8),
}


def row(check, value, bound=None, *, ok=None, text=None):
    """A line of the table: a number and the bound that it must not exceed, or a text and whether it is right."""
    if ok is None and bound is not None:
        ok = bool(value <= bound)  # NaN is not
    shown = text or f"{value:.2e}"
    return {"check": check, "result": shown, "bound": "" if bound is None else f"{bound:.0e}", "ok": ok}


def off(found, expected):
    """Relative distance of two tensors."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return ((found - expected).norm() / expected.norm()).item()


def some_documents(rows, length, seed=0):
    """Document numbers as `Batch.documents` has them, the last row half padding."""
    generator = torch.Generator().manual_seed(seed)
    documents = torch.zeros(rows, length, dtype=torch.int32)
    for each in range(rows):
        cuts = torch.randperm(length - 1, generator=generator)[: 1 + 4 * each] + 1
        documents[each, cuts] = 1
        documents[each] = documents[each].cumsum(0) + 1
    documents[-1, length // 2 :] = 0
    return documents


def dense_attention(q, k, v, documents, slopes=None):
    """What attention means, in float64 under a full mask; [rows, length, heads, head_width]."""
    q, k, v = (x.double().transpose(1, 2) for x in (q, k, v))
    place = torch.arange(q.shape[2], device=q.device)
    distance = place[:, None] - place
    same = (documents[:, None, :, None] == documents[:, None, None, :]) & (distance >= 0)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if slopes is not None:
        scores = scores - slopes[:, None, None] * distance
    return (scores.masked_fill(~same, -torch.inf).softmax(-1) @ v).transpose(1, 2)


def check_attention(device, length=2048, heads=8):
    """Against the dense reference, forward and backward; one document is blind to the others."""
    documents = some_documents(4, length)
    whole = Batch(documents.long(), documents.long(), documents)
    (batch,) = whole.micro_batches(4, torch.device(device))
    batch = batch.to(torch.device(device))
    attend = compiled(attention) if device == "cuda" else attention
    torch.use_deterministic_algorithms(mode=True)
    for dtype, width, bound in ((torch.bfloat16, 64, 1e-2), (torch.bfloat16, 128, 1e-2), (torch.float32, 64, 1e-4)):
        generator = torch.Generator().manual_seed(width)
        q, k, v, d = (torch.randn(4, length, heads, width, generator=generator).to(device, dtype) for _ in range(4))
        inputs = [x.requires_grad_() for x in (q, k, v)]
        mask = document_mask(batch)
        expected = dense_attention(*inputs, batch.documents)
        wanted = torch.autograd.grad(expected, inputs, d.double())
        found = attend(*inputs, mask)
        got = torch.autograd.grad(found, inputs, d)
        name = f"attention, {str(dtype)[6:]}, head {width}"
        yield row(f"{name}: output", off(found, expected), bound)
        yield row(f"{name}: worst of dq, dk, dv", max(map(off, got, wanted)), bound)
        other = batch.documents[1] == 2
        with torch.no_grad():
            changed = [x.clone() for x in inputs]
            for x in changed:
                x[1, other] += 1
            after = attend(*changed, mask)
        blind = torch.equal(after[1, ~other], found[1, ~other]) and not torch.equal(after[1, other], found[1, other])
        yield row(f"{name}: blind to other documents", 0, ok=blind, text="same bits" if blind else "sees them")
    if device == "cuda":
        yield from check_alibi(batch, inputs, d)


def check_alibi(batch, inputs, d):
    """ALiBi as the trainer has it, a score_mod of FlexAttention."""
    slopes = alibi_slopes(inputs[0].shape[2], torch.device("cuda"))
    found = compiled(attention)(*inputs, document_mask(batch), slopes)
    expected = dense_attention(*inputs, batch.documents, slopes)
    yield row("attention, float32, ALiBi: output", off(found, expected), 1e-4)
    worst = max(map(off, torch.autograd.grad(found, inputs, d), torch.autograd.grad(expected, inputs, d.double())))
    yield row("attention, float32, ALiBi: worst of dq, dk, dv", worst, 1e-4)


def loss_and_gradients(folder, device, shape=None, **more):
    """Of the trainer's own model under FSDP, on 8 sequences in two forward passes."""
    model = TINY | (shape or {})
    config = from_dict({"shards": str(folder), "out": str(folder), "model": model, "device": device} | more)
    batch = Shards(folder, "document").train[0].batch(range(4, 12), 8)
    with world(config) as group:
        model = sharded_model(config, 1000, group)
        loss = 0.0
        for part in batch.micro_batches(4, group.device):
            summed = model(part.to(group.device))
            summed.backward()
            loss += summed.item()
        gradients = {name: p.grad.full_tensor().cpu() for name, p in model.named_parameters()}
    return loss / batch.valid, gradients


def check_equality(device):
    """Loss and gradients against those of a CPU in fp32; recomputed activations change nothing that matters."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_shards(Path(scratch) / "shards", sequences=12, seq_len=512, vocab=1000)
        fp32 = {"precision": "fp32"}
        variants = [
            ("fp32", {}, fp32, 1e-4),
            ("fp32, selective recomputation", {}, fp32 | {"activation_checkpointing": "selective"}, 1e-4),
            ("fp32, full recomputation", {}, fp32 | {"activation_checkpointing": "full"}, 1e-4),
            ("bf16", {}, {"precision": "bf16"}, 5e-2),
            *((f"fp32, {name}", shape, fp32, 1e-4) for name, shape in OTHERS.items()),
        ]
        expected = [loss_and_gradients(folder, "cpu", shape, **fp32) for shape in ({}, *OTHERS.values())]
        for place, (name, shape, more, bound) in enumerate(variants):
            loss, gradients = expected[max(place - 3, 0)]
            ours, theirs = loss_and_gradients(folder, device, shape, **more)
            yield row(f"model, {name}, loss: GPU against CPU in fp32", abs(ours - loss) / loss, bound / 10)
            worst = max((off(theirs[name], gradients[name]), name) for name in gradients)
            yield row(f"model, {name}, worst gradient ({worst[1]})", worst[0], bound)


def tensors(folder):
    """All model tensors and AdamW moments of a checkpoint."""
    path = folder.with_suffix(".pt")
    dcp_to_torch_save(folder, path)
    held = torch.load(path, weights_only=True)
    moments = {(name, k): v for name, state in held["optimizer"]["state"].items() for k, v in state.items()}
    return {**held["model"], **moments}


def check_resume(device, precision, **more):
    """8 steps at once, and 4, then 4 in another process that compiles anew: the same bits.

    In fp32 another order of a sum shows in all tensors; in bf16 most gradients are rounded to the same bits anyway.
    """
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = make_shards(scratch / "shards", sequences=64, seq_len=512, vocab=1000)
        config = {"shards": str(folder), "model": TINY, "device": device, "precision": precision, "micro_batch": 3}
        config |= {"batch_tokens": 8 * 512, "lr": 0.003, "checkpoint_every": 4} | more
        how = ", ".join([precision, *(f"{key} {value}" for key, value in more.items())])
        for name in ("through", "resumed"):
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(scratch / f"{name}-compiled")
            launch(config | {"out": str(scratch / name)}, 1, quiet=True)
            if name == "through":
                (scratch / "resumed").mkdir()
                shutil.copytree(scratch / "through/step-4", scratch / "resumed/step-4")
                shutil.copy(scratch / "through/metrics.jsonl", scratch / "resumed")
        through, resumed = (tensors(scratch / name / "step-8") for name in ("through", "resumed"))
        differing = [name for name in through if not torch.equal(through[name], resumed[name])]
        same = not differing and len(through) > 0
        said = f"same bits in {len(through)} tensors" if same else f"{len(differing)} tensors differ: {differing[:3]}"
        yield row(f"resume in another process, {how}", 0, ok=same, text=said)
        records = [json.loads(line) for line in (scratch / "through/metrics.jsonl").read_text().splitlines()]
        losses = [record["loss"] for record in records if "domain" not in record]
        learned = losses[-1] < losses[0]
        yield row(f"it learns, {how}", 0, ok=learned, text=f"loss {losses[0]:.3f} to {losses[-1]:.3f}")


def check_speed(device, name, *, steps=2, seq_len=2048, vocab=32_000, variants=None):
    """Tokens a second, MFU and peak memory of whole optimizer steps, after one that compiles and warms up."""
    shape, micro_batch, passes = SIZES[name] if isinstance(name, str) else name
    variants = variants or [("document", None), ("causal", None), ("document", "selective"), ("document", "full")]
    with tempfile.TemporaryDirectory() as scratch:
        count = (steps + 1) * micro_batch * passes
        folder = make_shards(Path(scratch) / "shards", sequences=count, seq_len=seq_len, vocab=vocab)
        config = {"shards": str(folder), "out": scratch, "model": shape, "device": device, "lr": 3e-4}
        config = from_dict(config | {"batch_tokens": micro_batch * passes * seq_len})
        flops = config.shape.flops_per_token(vocab, seq_len)
        parameters = config.shape.non_embedding + vocab * config.shape.width
        with world(config) as group:
            model = sharded_model(config, vocab, group)
            optimizer = optimizer_of(model, config)
            set_rate(optimizer, 3e-4)
            card = torch.cuda.get_device_name() if device == "cuda" else "cpu"
            peak = peak_flops(card)
            for mask, recompute in variants:
                shards = Shards(folder, mask)
                plan = budget(config, [(count, seq_len)])
                model.mask = mask
                for block in model.blocks:
                    block.recompute = recompute
                if device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                for step, _, batch in batches(range(1, steps + 2), plan, shards, micro_batch, group):
                    loss, norm, _ = loop._step(config, model, optimizer, batch, group)
                    if step == 1:
                        began = time.monotonic()
                rate = steps * config.batch_tokens / (time.monotonic() - began)
                memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0
                used = f"{rate:,.0f} tok/s, " + (f"MFU {rate * flops / peak:.1%}, " if peak else "")
                what = f"{parameters / 1e6:,.0f}M, {mask} masks, {recompute or 'no'} recomputation"
                finite = math.isfinite(loss) and math.isfinite(norm)
                yield row(f"speed, {what}", 0, ok=finite, text=f"{used}{memory:.1f} GiB")
        table = pq.read_table(folder / "train-00000.docs.parquet", columns=["length"])
        yield row(
            f"{parameters:,} parameters (N, embedding tied); {micro_batch} x {seq_len:,} tokens a pass, "
            f"{passes} passes a step; {micro_batch * table.num_rows / count:.0f} documents a pass",
            0,
            text=f"{flops:,} FLOP a token = 6 N + 12 layers x width x length; MFU of {(peak or 0) / 1e12:.0f} TFLOP/s",
        )


CHECKS = {
    "attention": check_attention,
    "equality": check_equality,
    "resume-bf16": lambda device: check_resume(device, "bf16"),
    "resume-fp32": lambda device: check_resume(device, "fp32"),
    "resume-muon": lambda device: check_resume(device, "bf16", optimizer="muon", async_save=True),
    "speed-160M": lambda device: check_speed(device, "160M", variants=[("document", None), ("causal", None)]),
    "speed-1.3B": lambda device: check_speed(device, "1.3B"),
}


def run_one(name, device="cuda"):
    """Rows of one check as lines of JSON."""
    for found in CHECKS[name](device):
        print(json.dumps(found), flush=True)


def run_all():
    """The small checks beside each other, then the speed of each size alone; prints the table."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="corpuskit-gpu-check-"))
    rows = []
    small = [name for name in CHECKS if not name.startswith("speed")]
    for together in (small, ["speed-160M"], ["speed-1.3B"]):
        running = {}
        for name in together:
            with (folder / f"{name}.out").open("w") as out, (folder / f"{name}.err").open("w") as err:
                command = [sys.executable, "-m", "tests.gpu.check", name]
                running[name] = subprocess.Popen(command, stdout=out, stderr=err)
        for name, process in running.items():
            code = process.wait()
            rows += [json.loads(line) for line in (folder / f"{name}.out").read_text().splitlines()]
            if code:
                last = (folder / f"{name}.err").read_text().strip().splitlines()[-1:] or ["nothing said"]
                rows.append(row(f"{name}: exit code {code}", 0, ok=False, text=f"{last[0]} ({folder}/{name}.err)"))
            print(f"{name}: {time.monotonic() - began:.0f} s since the start", file=sys.stderr, flush=True)
    show(rows)
    failed, seconds = sum(each["ok"] is False for each in rows), time.monotonic() - began
    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}; {seconds:.0f} s; {failed} failed")
    return 1 if failed else 0


def show(rows):
    """The table, as Markdown."""
    print("| check | result | at most | |\n| --- | --- | --- | --- |")
    for each in rows:
        verdict = {True: "ok", False: "FAILED", None: ""}[each["ok"]]
        print(f"| {each['check']} | {each['result']} | {each['bound']} | {verdict} |")


def main(arguments):
    """Returns the exit code."""
    if not torch.cuda.is_available():
        why = "" if torch.version.cuda else ", which is built without CUDA: install one that is"
        print(f"no CUDA device: nothing was checked (torch {torch.__version__}{why})", file=sys.stderr)
        return 2
    if arguments:
        run_one(*arguments)
        return 0
    return run_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
