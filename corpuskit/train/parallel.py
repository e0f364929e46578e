"""The processes of a run and how the model is spread over them: FSDP2 or HSDP, each block a shard group of its own.

Works from one process to many, under torchrun, under `launch`, or alone; gloo on CPU, NCCL on CUDA.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from corpuskit.errors import UsageError
from corpuskit.train.config import TrainConfig
from corpuskit.train.hf import Foreign
from corpuskit.train.model import Decoder, initial


@dataclass(frozen=True)
class World:
    """This process among all: `rank` of `size`, its `device`, the mesh of all devices, the threads it computes with.

    `neighbours` are the processes of this machine, with it.
    """

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh
    threads: int
    neighbours: int

    def even(self, rows: int, at_once: int, most: int) -> tuple[int, int]:
        """Rows of this process in a step, and of one forward pass: on CUDA all passes are alike, and compiled once.

        Args:
            rows: that hold sequences. at_once: of a forward pass, at most. most: sequences of a step of all processes.
        """
        if self.device.type != "cuda":
            return rows, at_once
        at_once = min(at_once, -(-most // self.size))
        return -(-rows // at_once) * at_once, at_once

    def sum(self, value: Tensor) -> Tensor:
        """Sum over all processes, in place; on CUDA without waiting for the result."""
        dist.all_reduce(value)
        return value

    def total(self, *values: float) -> list[float]:
        """Sum each value over all processes, in float64."""
        return self.sum(torch.tensor(values, dtype=torch.float64, device=self.device)).tolist()


def use(device: torch.device) -> None:
    """Make a CUDA device the current one of this thread."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


@contextmanager
def world(config: TrainConfig) -> Iterator[World]:
    """Join the other processes (environment of torchrun or `launch`); leave them at the end.

    Raises:
        UsageError: `device` is cuda and there is none for this process, or `hsdp` does not divide the processes.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", size))
    kind = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda" and local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"device: process {local_rank} finds {torch.cuda.device_count()} CUDA devices", "set device: cpu"
        )
    threads = config.threads or max(len(os.sched_getaffinity(0)) // local_size, 1)
    torch.set_flush_denormal(True)  # before the threads start; probabilities of rare tokens are denormal, and slow
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)  # on CUDA too: what has no such algorithm raises
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    shared = config.hsdp or size
    if size % shared:
        raise UsageError(
            f"hsdp: {size} processes cannot be divided into groups of {shared}", f"set hsdp to a divisor of {size}"
        )
    device = torch.device("cuda", local_rank) if kind == "cuda" else torch.device("cpu")
    use(device)
    with tempfile.TemporaryDirectory(prefix="corpuskit-") as alone:
        # A file cannot be taken by another program, as a port can; torchrun gives an address instead.
        meet = f"file://{os.environ.get('CORPUSKIT_STORE', alone + '/store')}"
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo",
            init_method="env://" if "MASTER_ADDR" in os.environ and "CORPUSKIT_STORE" not in os.environ else meet,
            rank=rank,
            world_size=size,
        )
        try:
            if config.hsdp is None:
                mesh = init_device_mesh(kind, (size,))
            else:
                mesh = init_device_mesh(kind, (size // shared, shared), mesh_dim_names=("replicate", "shard"))
            yield World(rank, size, device, mesh, threads, local_size)
        finally:
            torch.set_flush_denormal(False)  # the process may go on to other things
            dist.destroy_process_group()


def computed_in(config: TrainConfig, group: World) -> torch.dtype:
    """The type that parameters have in a forward pass."""
    precision = config.precision or ("bf16" if group.device.type == "cuda" else "fp32")
    return torch.bfloat16 if precision == "bf16" else torch.float32


def sharded_model(config: TrainConfig, vocab_size: int, group: World) -> Decoder | Foreign:
    """The model with its initial values, every parameter split over all processes, or over those of its copy (HSDP).

    Each parameter of a decoder is made in full from its name and then cut, one at a time: the values do not depend on
    world size, and no process ever holds the whole model. One of transformers is made whole by every process.
    """
    policy = MixedPrecisionPolicy(param_dtype=computed_in(config, group), reduce_dtype=torch.float32)
    if config.foreign:
        foreign = Foreign.make(str(config.model).removeprefix("hf:"), vocab_size, config.seed, config.z_loss)
        for block in foreign.blocks():
            fully_shard(block, mesh=group.mesh, mp_policy=policy, reshard_after_forward=group.size > 1)
        fully_shard(foreign, mesh=group.mesh, mp_policy=policy)
        return foreign
    with torch.device("meta"):
        model = Decoder(config.shape, vocab_size, config.mask, config.activation_checkpointing, config.z_loss)
    if group.device.type == "cuda":
        model.compile_blocks()  # inside of what FSDP wraps around them
    for block in model.blocks:
        # One process has nothing to gather: it keeps the parameters in bf16 from a step's first pass to its last.
        fully_shard(block, mesh=group.mesh, mp_policy=policy, reshard_after_forward=group.size > 1)
    fully_shard(model, mesh=group.mesh, mp_policy=policy)
    model.to_empty(device=group.device)
    for name, parameter in model.named_parameters():
        assert isinstance(parameter, DTensor)
        full = initial(name, parameter.shape, config.seed, config.shape).to(group.device)
        cut = distribute_tensor(full, parameter.device_mesh, parameter.placements, src_data_rank=None)
        parameter.to_local().data.copy_(cut.to_local())
    return model
