"""Loss hooks: which tokens' losses count, and how much (see `corpuskit.train.online.LossHook`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from corpuskit.errors import UsageError
from corpuskit.train.data import IGNORE
from corpuskit.train.online import LossHook, Meta


def eslm(alpha: float = 0.1) -> LossHook:
    """ESLM (Bal et al. 2025, arXiv 2505.19893): tokens whose loss is at or above the value at risk of a forward pass.

    The value at risk is the quantile `alpha` (`inverted_cdf`) of the losses; the mean over what is kept is minimized.

    Raises:
        UsageError: `alpha` is not in [0, 1).
    """
    if not 0 <= alpha < 1:
        raise UsageError(f"eslm: `alpha` is {alpha}, not in [0, 1)")

    def weigh(losses: Tensor, meta: Meta) -> Tensor:
        valid = meta.targets != IGNORE
        count = valid.sum()
        ordered = torch.where(valid, losses, math.inf).flatten().sort().values
        place = torch.ceil(count * alpha - 1e-9).long().sub(1).clamp(min=0)  # chosen on the device: nothing waits
        kept = valid & (losses >= ordered[place])
        return kept * (count / kept.sum().clamp(min=1))

    return weigh
