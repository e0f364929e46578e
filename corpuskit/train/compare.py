"""Two runs' losses on held-out text, domain by domain, with bootstrap intervals of their difference."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError

HELD_OUT = "validation.json"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """One domain: the loss of both runs, that of B minus that of A, and the interval that holds 95 % of resamples.

    Attributes:
        unit: `nats a token` where both read the same tokens, whose sequences are then resampled together; else `bits
            a byte`, of sequences resampled apart.
    """

    domain: str
    unit: str
    a: float
    b: float
    difference: float
    low: float
    high: float


def compare(a: Path, b: Path, *, samples: int = 2000, seed: int = 0) -> list[Difference]:
    """The domains that both runs have, in the order of their names.

    The bootstrap (Efron 1979) draws sequences: tokens of one document are not independent.

    Args:
        a, b: folders of two runs of the trainer, each with its `validation.json`.

    Raises:
        UsageError: a run has not come to its end, or they share no domain.
    """
    first, second = _held_out(a), _held_out(b)
    shared = sorted(set(first["domains"]) & set(second["domains"]))
    if not shared:
        named = "; ".join(
            f"{path} has {', '.join(sorted(each['domains']))}" for path, each in ((a, first), (b, second))
        )
        raise UsageError(f"the runs share no domain: {named}")
    alike = first["tokenizer"] == second["tokenizer"]
    return [
        _difference(name, first["domains"][name], second["domains"][name], alike=alike, samples=samples, seed=seed)
        for name in shared
    ]


def _held_out(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / HELD_OUT).read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(
            f"{folder} holds no {HELD_OUT}, which a training writes at its end", "corpuskit train goes on with it"
        ) from None
    return found


def _difference(name: str, a: dict[str, Any], b: dict[str, Any], *, alike: bool, samples: int, seed: int) -> Difference:
    paired = alike and a["targets"] == b["targets"]
    rng = np.random.default_rng([seed, *name.encode()])
    count = len(a["targets"])
    drawn = rng.integers(0, count, (samples, count))
    other = drawn if paired else rng.integers(0, len(b["targets"]), (samples, len(b["targets"])))
    (one, ones), (two, twos) = (
        _means(each, rows, 1.0 if paired else each["tokens"] / each["bytes"] / math.log(2))
        for each, rows in ((a, drawn), (b, other))
    )
    low, high = np.quantile(twos - ones, (0.025, 0.975))
    unit = "nats a token" if paired else "bits a byte"
    return Difference(name, unit, one, two, two - one, float(low), float(high))


def _means(domain: dict[str, Any], rows: npt.NDArray[np.int64], factor: float) -> tuple[float, Floats]:
    """Mean loss of the domain, and of each resample of its sequences."""
    losses, targets = np.array(domain["losses"]), np.array(domain["targets"])
    means = losses[rows].sum(1) / np.maximum(targets[rows].sum(1), 1)
    return float(losses.sum() / targets.sum() * factor), means * factor


def plot(found: Sequence[Difference], names: tuple[str, str]) -> str:
    """The differences and their intervals as an SVG; left of the line B is better."""
    reach = max(max(abs(each.low), abs(each.high)) for each in found) or 1.0
    height, middle, half = 40 + 24 * len(found), 400.0, 220.0
    said = f"{escape(names[1])} minus {escape(names[0])}, 95 %, full scale {reach:.3g} {found[0].unit}"
    about = f'width="640" height="{height}" font-family="sans-serif" font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {about}>',
        f'<text x="320" y="16" text-anchor="middle">{said}</text>',
        f'<line x1="{middle}" y1="24" x2="{middle}" y2="{height - 8}" stroke="#999"/>',
    ]
    for row, each in enumerate(found):
        y = 40 + 24 * row
        low, at, high = (middle + half * value / reach for value in (each.low, each.difference, each.high))
        lines += [
            f'<text x="8" y="{y + 4}">{escape(each.domain)}</text>',
            f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="#246" stroke-width="2"/>',
            f'<circle cx="{at:.1f}" cy="{y}" r="4" fill="#246"/>',
        ]
    return "\n".join([*lines, "</svg>", ""])
