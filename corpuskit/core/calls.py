"""Sources and steps as a recipe names them, with validated parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from corpuskit.core.step import Step


@dataclass(frozen=True)
class Source:
    """A source; `read` is its reader's reference, `params` are the reader's, `line` counts from 1."""

    name: str
    read: str
    step: Step
    params: Mapping[str, Any]
    path: list[str]
    domain: str
    on_error: Literal["fail", "drop"]
    line: int


@dataclass(frozen=True)
class StepCall:
    """A step with validated parameters; `name` is unique, `only` are domains (None: all), `line` counts from 1."""

    reference: str
    step: Step
    params: Mapping[str, Any]
    name: str
    only: list[str] | None
    line: int
