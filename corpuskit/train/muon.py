"""Muon: the momentum of a hidden matrix, made orthogonal, is its step (Jordan et al. 2024); AdamW moves the rest.

Steps are scaled to the size of AdamW's (Liu et al. 2025, arXiv 2502.16982), so that one learning rate and one weight
decay serve both. Each matrix is gathered once; the matrices are shared out among the processes, and each is worked on
by one, so that the bits do not depend on how many there are.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

MOMENTUM = 0.95


class Muon(torch.optim.AdamW):
    """AdamW, and Muon in the groups that have `parts`: the rows of the matrices that a parameter stacks."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of all parameters."""
        assert closure is None
        for group in self.param_groups:
            if group["parts"]:
                self._orthogonal(group)
        super().step()

    def _orthogonal(self, group: dict[str, Any]) -> None:
        moved = [parameter for parameter in group["params"] if parameter.grad is not None]
        rank, size = dist.get_rank(), dist.get_world_size()
        for start in range(0, len(moved), size):
            together = moved[start : start + size]
            whole = [self._momentum(parameter).full_tensor() for parameter in together]
            if rank < len(together):
                mine: Any = torch.split(whole[rank], group["parts"])
                whole[rank] = torch.cat([orthogonal(part) * 0.2 * max(part.shape) ** 0.5 for part in mine])
            for owner, (parameter, update) in enumerate(zip(together, whole, strict=True)):
                if size > 1:
                    dist.broadcast(update, owner)
                cut = distribute_tensor(update, parameter.device_mesh, parameter.placements, src_data_rank=None)
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(cut, alpha=group["lr"])
                parameter.grad = None  # done: AdamW passes it over

    def _momentum(self, parameter: Tensor) -> DTensor:
        """Nesterov's: where the momentum will be."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
            state["step"] = torch.zeros(())  # which AdamW expects of all when a checkpoint is loaded
        assert parameter.grad is not None
        state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
        ahead = parameter.grad.lerp(state["momentum"], MOMENTUM)
        assert isinstance(ahead, DTensor)
        return ahead


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix whose singular values are about 1 (0.7 to 1.2), by Newton and Schulz's iteration.

    The quintic of Jordan et al. 2024 (kellerjordan.github.io/posts/muon); in bf16 on CUDA, float32 on a CPU.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16() if matrix.is_cuda else matrix.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: Tensor = x.T if tall else x
    return found.to(matrix.dtype)
