"""Scores texts under a trained model, each window by itself: its bits depend on no text that is scored beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from corpuskit.errors import UsageError
from corpuskit.train.data import Batch
from corpuskit.train.model import Decoder
from corpuskit.train.trained import Trained


class Scorer:
    """A trained model on a device, `cpu` or `cuda`.

    Raises:
        UsageError: there is no such device.
    """

    def __init__(self, trained: Trained, device: str) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("device: cuda: torch finds no CUDA device", "score on the CPU: leave `device` out")
        self.model, self.device = trained.build().to(device).requires_grad_(requires_grad=False), torch.device(device)
        if isinstance(self.model, Decoder):
            self.model.mask = "causal"  # a window holds one document: to keep documents apart it needs no mask
        self.window: int = trained.state["seq_len"]

    @torch.no_grad()
    def score(self, tokens: npt.NDArray[np.int64]) -> tuple[float, int]:
        """Sum of the negative log likelihoods, in nats, of the tokens [n] of a text but the first; and their number.

        Each is predicted from those before it in its window; the windows are as long as the model's sequences and
        follow one another. A window is a batch of its own, and on a CPU one thread computes it: how products of
        matrices are summed depends on their shapes and on the threads.
        """
        total = 0.0
        for start in range(0, len(tokens) - 1, self.window):
            part = torch.from_numpy(tokens[None, start : start + self.window + 1]).to(self.device)
            inputs = part[:, :-1]
            batch = Batch(inputs, part[:, 1:], torch.ones_like(inputs, dtype=torch.int32))
            with _one_thread():
                total += self.model(batch, each=True).double().sum().item()
        return total, max(len(tokens) - 1, 0)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
