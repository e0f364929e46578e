"""States of steps that need to have seen everything: written and read by one and the same run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any


def save_state(value: Any, path: Path) -> None:
    """Write a state; only corpuskit reads it, from its own run folder."""
    path.write_bytes(pickle.dumps(value, protocol=5))


def load_state(path: Path) -> Any:
    """Read what `save_state` wrote."""
    return pickle.loads(path.read_bytes())
