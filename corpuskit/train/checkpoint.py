"""Checkpoints: `step-N` folders that are complete if they exist, whatever process was killed when.

A folder is written beside its place as `step-N.partial`, synced, and renamed; an old one is renamed to `step-N.removed`
before its files go. Tensors are in the format of torch.distributed.checkpoint: any number of processes loads them.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import ReadItem
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load as load_tensors
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.checkpoint.state_dict_saver import save as save_tensors

from corpuskit.errors import CorpuskitError, InputError
from corpuskit.train.parallel import World
from corpuskit.train.saved import STATE, complete

KEEP = 2


def save(
    out: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    group: World,
    keep: int = KEEP,
) -> None:
    """Write `out/step-N` and remove all but the last `keep`; every process calls it.

    Args:
        state: JSON, kept beside the tensors as `state.json`.

    Raises:
        CorpuskitError: the disk is full, say; names the checkpoint that a run goes on from.
    """
    tensors = _begin(out, step, model, optimizer, group)
    try:
        save_tensors(tensors, checkpoint_id=_partial(out, step))
        if group.rank == 0:
            _seal(out, step, state, keep)
    except (OSError, CheckpointException) as error:
        _fail(out, step, error, group)
    dist.barrier()


class Background:
    """Saves while training goes on; one at a time. Every process makes one and calls the same of it."""

    def __init__(self, group: World) -> None:
        self.group = group
        # of its own: the collectives of a save would mix with those of training
        self.processes = dist.new_group(backend="gloo")
        self.worker = ThreadPoolExecutor(1)
        self.pending: tuple[Path, int, Future[None]] | None = None

    def save(
        self,
        out: Path,
        step: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        state: dict[str, Any],
        keep: int = KEEP,
    ) -> None:
        """As `save`, but returns when the tensors are copied; errors are raised by the next call, or by `finish`."""
        self.finish()
        tensors = _begin(out, step, model, optimizer, self.group)
        written: Any = async_save(tensors, checkpoint_id=_partial(out, step), process_group=self.processes)

        def complete() -> None:
            written.result()
            if self.group.rank == 0:
                _seal(out, step, state, keep)

        self.pending = out, step, self.worker.submit(complete)

    def finish(self) -> None:
        """Wait for the last save."""
        if self.pending is None:
            return
        out, step, future = self.pending
        self.pending = None
        try:
            future.result()
        except (OSError, CheckpointException) as error:
            _fail(out, step, error, self.group)
        dist.barrier()


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Fill model and optimizer from a checkpoint made by any number of processes; every process calls it.

    Raises:
        InputError: it is damaged, or holds something else than tensors and what they are called.
    """
    weights, moments = get_state_dict(model, optimizer)
    try:
        load_tensors({"model": weights, "optimizer": moments}, storage_reader=Reader(path), planner=Planner())
    except CheckpointException as error:
        fault = next(iter(error.failures.values()))[0]
        raise InputError(f"{path} is damaged: {fault}", f"remove {path} to resume from an earlier one") from None
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=moments)


class _Named(pickle.Unpickler):
    """Reads what torch writes of a checkpoint's tensors, which is a pickle, and makes nothing else of it."""

    def find_class(self, module: str, name: str) -> Any:
        """A class or a dtype that says how tensors are laid out."""
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        if name not in _LAYOUT.get(module, ()):
            raise pickle.UnpicklingError(f"its metadata names {module}.{name}, which no checkpoint needs")
        return super().find_class(module, name)


_LAYOUT = {
    "torch": ("Size",),
    "torch.serialization": ("_get_layout",),
    "torch.distributed.checkpoint.metadata": (
        "Metadata", "TensorStorageMetadata", "TensorProperties", "_MEM_FORMAT_ENCODING", "ChunkStorageMetadata",
        "BytesStorageMetadata", "MetadataIndex", "StorageMeta",
    ),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo",),
    "pathlib": ("PosixPath", "Path"),
}  # fmt: skip
"""What the pickle of a checkpoint may name, by module."""


class Reader(FileSystemReader):
    """Reads a checkpoint whose metadata may name nothing but the layout of tensors."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """As torch does, by an unpickler that runs nothing."""
        with self.fs.create_stream(self._get_metadata_path(kwargs.get("rank")), "rb") as stream:
            _Named(stream).load()
        return super().read_metadata(*args, **kwargs)


class Planner(DefaultLoadPlanner):
    """Loads what is no tensor only if it is numbers and texts."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """As torch does, of numbers and texts alone."""
        torch.load(value, weights_only=True)
        value.seek(0)
        super().load_bytes(read_item, value)


def tidy(out: Path) -> None:
    """Remove what a killed run left half written or half removed."""
    for path in [*out.glob("step-*.partial"), *out.glob("step-*.removed")]:
        shutil.rmtree(path)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one piece: readers see the old one or the new one."""
    temporary = path.with_name(path.name + ".partial")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    _sync(path.parent)


def _partial(out: Path, step: int) -> Path:
    return out / f"step-{step}.partial"


def _begin(
    out: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, group: World
) -> dict[str, dict[str, Any]]:
    """Make the folder to write to; returns the tensors to write."""
    if group.rank == 0:
        tidy(out)
        # a damaged one may stand there, which the run did not go on from
        shutil.rmtree(out / f"step-{step}", ignore_errors=True)
        _partial(out, step).mkdir()
    dist.barrier()
    weights, moments = get_state_dict(model, optimizer)
    return {"model": weights, "optimizer": moments}


def _seal(out: Path, step: int, state: dict[str, Any], keep: int) -> None:
    """Give a written folder its name, and remove old ones."""
    partial = _partial(out, step)
    files = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
    write_json(partial / STATE, {**state, "files": files})
    _sync(partial)
    partial.rename(out / f"step-{step}")
    _sync(out)
    for old in complete(out)[:-keep]:
        old.rename(old.with_suffix(".removed"))
    tidy(out)


def _fail(out: Path, step: int, error: BaseException, group: World) -> None:
    """Say why a checkpoint could not be written, and what stays; what is no fault of the disk is raised as it is."""
    wrapped = [each for each, _ in error.failures.values()] if isinstance(error, CheckpointException) else [error]
    causes = [cause for each in wrapped for cause in (each, each.__cause__, each.__context__)]
    fault = next((cause for cause in causes if isinstance(cause, OSError)), None)
    if fault is None:
        raise error
    if group.rank == 0:
        shutil.rmtree(_partial(out, step), ignore_errors=True)
    last = next((path.name for path in reversed(complete(out))), None)
    raise CorpuskitError(
        f"{out}/step-{step} could not be written: {fault.strerror or fault}; "
        + (f"{last} is the last checkpoint" if last else "there is no checkpoint yet"),
        "free space on the disk, then the same command goes on " + (f"from {last}" if last else "from the start"),
    ) from None


def _sync(folder: Path) -> None:
    """Make renames in a folder survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
