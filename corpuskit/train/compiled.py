"""torch.compile for CUDA: what it makes computes the same bits in every process that compiles it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled in one piece at its first call, or an error that says why it cannot be."""
    # Without `deterministic` it times some block sizes of reductions and takes the fastest, in each process anew: the
    # order of a sum, and with it the last bits, would change from one process to the next.
    return torch.compile(function, fullgraph=True, options={"deterministic": True})
