"""Finds the checkpoints of a run and what they say of themselves; imports no torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from corpuskit.errors import InputError, UsageError
from corpuskit.train.metrics import say
from corpuskit.train.shape import shape_of

STATE = "state.json"
"""What a checkpoint has when it is whole. The store, which may not ask the trainer, has the name for itself."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint: its folder `step-N` and what its `state.json` says."""

    path: Path
    state: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """By its folder, or by that of a training or the root of a run, whose last whole one is taken.

        Raises:
            UsageError: there is none, or the root holds several trainings. InputError: it is damaged, or all are.
        """
        if (path / STATE).is_file():
            try:
                return cls(path, json.loads((path / STATE).read_text(encoding="utf-8")))
            except ValueError as error:
                hint = "take another checkpoint, or train it again"
                raise InputError(f"{path} is damaged: {STATE}: {error}", hint) from None
        trainings = sorted(each for each in path.glob("checkpoints/*") if complete(each)) or [path]
        if len(trainings) > 1:
            names = ", ".join(each.name for each in trainings)
            raise UsageError(f"{path} holds the checkpoints of several trainings: {names}", "give the folder of one")
        found = latest(trainings[0]) if path.is_dir() else None
        if found is None:
            raise UsageError(
                f"{path} is no checkpoint, and holds none",
                "give a folder `step-N` of a training's `checkpoints/`, or the folder or the root that holds them",
            )
        return cls(*found)

    @property
    def model(self) -> str | dict[str, Any]:
        """As `TrainConfig.model`; of a model of transformers `{"hf": its configuration}`."""
        found: str | dict[str, Any] = self.state["identity"]["model"]
        return found

    @property
    def foreign(self) -> bool:
        """Whether the model is one of transformers."""
        return "hf" in self.model if isinstance(self.model, dict) else self.model.startswith("hf:")

    @property
    def tokenizer(self) -> Path | None:
        """The `tokenizer.json` of the run that it lies in, if it does."""
        for folder in self.path.resolve().parents:
            if (folder / "tokens/tokenizer.json").is_file():
                return folder / "tokens/tokenizer.json"
        return None

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding."""
        found: int = self.state["vocab_size"]
        return found

    @property
    def weight_bytes(self) -> int:
        """Of the parameters in float32; 0 for a model of transformers, whose size only it knows."""
        return 0 if self.foreign else 4 * shape_of(self.model).parameters(self.vocab_size)


def latest(out: Path) -> tuple[Path, dict[str, Any]] | None:
    """The last whole checkpoint and its state, or None if there was never one; damaged ones are passed over and named.

    Raises:
        InputError: all are damaged.
    """
    damaged: list[str] = []
    for path in reversed(complete(out)):
        try:
            state: dict[str, Any] = json.loads((path / STATE).read_text(encoding="utf-8"))
            wrong = [name for name, size in state["files"].items() if (path / name).stat().st_size != size]
            why = f"{wrong[0]} has another size than when it was saved" if wrong else None
        except (OSError, ValueError, KeyError) as error:
            why = str(error)
        if why is None:
            for text in damaged:
                say(f"{text}; the last good one is {path}")
            return path, state
        damaged.append(f"{path} is damaged: {why}")
    if damaged:
        raise InputError(f"no checkpoint can be used: {'; '.join(damaged)}", f"remove {out} to start anew")
    return None


def complete(out: Path) -> list[Path]:
    """Complete checkpoints of a training, oldest first."""
    found = [path for path in out.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))
