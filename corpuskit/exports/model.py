"""`corpuskit export CHECKPOINT --format hf`: a trained model for other tools, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpuskit.errors import UsageError
from corpuskit.exports.target import filling, sizes
from corpuskit.train.saved import STATE


def is_checkpoint(path: Path) -> bool:
    """Whether a folder is a checkpoint of the trainer, or holds some."""
    return (path / STATE).is_file() or bool(list(path.glob(f"step-*/{STATE}")))


def export_model(checkpoint: Path, form: str, to: Path) -> dict[str, Any]:
    """Write a trained model to a folder.

    Returns:
        `format`, `to`, `checkpoint`, `files` with their sizes, and the command that evaluates it, `evaluation`.

    Raises:
        UsageError: another format than `hf`, no such checkpoint, or something stands in the way.
    """
    from corpuskit.train.export import evaluation, export_hf
    from corpuskit.train.launch import need_torch
    from corpuskit.train.trained import Trained

    need_torch()
    if form != "hf":
        raise UsageError(f"a checkpoint has no format `{form}`", f"corpuskit export {checkpoint} --format hf --to {to}")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to}: is there already; nothing is overwritten", f"rm -r {to}, or give another --to")
    trained = Trained.open(checkpoint)
    with filling(to) as target:
        export_hf(trained, target.path)
        files = sizes(target.path)
    return {
        "format": form,
        "to": str(to),
        "checkpoint": str(trained.path),
        "files": files,
        "evaluation": evaluation(to),
    }
