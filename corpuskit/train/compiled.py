"""torch.compile for CUDA: what it makes computes the same bits in every process, whatever that compiled before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

VARIANTS = 64
"""Of a function, for the shapes of phases, validation and a reference model; torch's own limit is 8."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled in one piece at its first call, or an error that says why it cannot be."""
    from torch._dynamo import config  # takes seconds to import, which a CPU need not spend

    # Without `deterministic` it times some block sizes of reductions and takes the fastest, in each process anew: the
    # order of a sum, and with it the last bits, would change from one process to the next.
    # Without `dynamic=False` a second shape is compiled for all shapes: which kernel computes a batch, and so the last
    # bits, would depend on what the process saw before, and a resumed run has seen something else.
    config.recompile_limit = VARIANTS
    return torch.compile(function, fullgraph=True, dynamic=False, options={"deterministic": True})
