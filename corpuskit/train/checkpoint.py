"""Checkpoints: `step-N` folders that are complete if they exist, whatever process was killed when.

A folder is written beside its place as `step-N.partial`, synced, and renamed; an old one is renamed to `step-N.removed`
before its files go. Tensors are in the format of torch.distributed.checkpoint: any number of processes loads them.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
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
from torch.distributed.checkpoint.state_dict_saver import save as save_tensors

from corpuskit.errors import InputError
from corpuskit.train.parallel import World

KEEP = 2
STATE = "state.json"


def save(
    out: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any], group: World
) -> None:
    """Write `out/step-N` and remove all but the last KEEP; every process calls it.

    Args:
        state: JSON, kept beside the tensors as `state.json`.
    """
    final, partial = out / f"step-{step}", out / f"step-{step}.partial"
    if group.rank == 0:
        tidy(out)
        partial.mkdir()
    dist.barrier()
    weights, moments = get_state_dict(model, optimizer)
    save_tensors({"model": weights, "optimizer": moments}, checkpoint_id=partial)
    if group.rank == 0:
        files = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
        write_json(partial / STATE, {**state, "files": files})
        _sync(partial)
        partial.rename(final)
        _sync(out)
        for old in _complete(out)[:-KEEP]:
            old.rename(old.with_suffix(".removed"))
        tidy(out)
    dist.barrier()


def latest(out: Path) -> tuple[Path, dict[str, Any]] | None:
    """The last checkpoint and its state, or None.

    Raises:
        InputError: a file of it is missing or has another size; names it and what to do.
    """
    if not (found := _complete(out)):
        return None
    path = found[-1]
    try:
        state: dict[str, Any] = json.loads((path / STATE).read_text(encoding="utf-8"))
        wrong = [name for name, size in state["files"].items() if (path / name).stat().st_size != size]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged: {error}", f"remove {path} to resume from an earlier one") from None
    if wrong:
        raise InputError(
            f"{path} is damaged: {wrong[0]} has another size", f"remove {path} to resume from an earlier one"
        )
    return path, state


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Fill model and optimizer from a checkpoint made by any number of processes; every process calls it.

    Raises:
        InputError: it is damaged, or holds something else than tensors and what they are called.
    """
    weights, moments = get_state_dict(model, optimizer)
    try:
        load_tensors({"model": weights, "optimizer": moments}, storage_reader=_Reader(path), planner=_Planner())
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


class _Reader(FileSystemReader):
    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """As torch does, by an unpickler that runs nothing."""
        with self.fs.create_stream(self._get_metadata_path(kwargs.get("rank")), "rb") as stream:
            _Named(stream).load()
        return super().read_metadata(*args, **kwargs)


class _Planner(DefaultLoadPlanner):
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


def _complete(out: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    found = [path for path in out.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _sync(folder: Path) -> None:
    """Make renames in a folder survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
