"""Scores texts under a trained model, window by window: the bits of one depend on no text that is scored beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from corpuskit.errors import UsageError
from corpuskit.train.data import Batch
from corpuskit.train.model import Decoder
from corpuskit.train.trained import Trained

TOKENS = 32_768
"""Of a batch on CUDA."""

LENGTHS = 16
"""There windows are padded to one of so many lengths."""


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
            self.model.mask = "causal"  # a row holds one document: to keep documents apart it needs no mask
        self.window: int = trained.state["seq_len"]
        self.tokens = TOKENS if device == "cuda" and isinstance(self.model, Decoder) else 0
        """Of a batch; 0: each window is one. On a CPU padding costs what batches gain; transformers' rows may meet."""

    def score(self, texts: Iterable[npt.NDArray[np.int64]]) -> list[tuple[float, int]]:
        """Of the tokens [n] of each text the sum of the negative log likelihoods, in nats, of all but the first; n - 1.

        Each token is predicted from those before it in its window; the windows are as long as the model's sequences and
        follow one another. How products of matrices are summed depends on their shapes and on the threads: so a
        window's batch has a shape that follows from the window's length alone, whatever is in its other rows, and on a
        CPU one thread computes it.
        """
        counts: list[int] = []
        windows = defaultdict[int, list[tuple[int, npt.NDArray[np.int64]]]](list)
        for text, tokens in enumerate(texts):
            counts.append(max(len(tokens) - 1, 0))
            for start in range(0, len(tokens) - 1, self.window):
                window = tokens[start : start + self.window + 1]
                windows[self._padded(len(window) - 1)].append((text, window))
        totals = [0.0] * len(counts)
        for length in sorted(windows, reverse=True):  # so that the windows of a text are summed in their order
            rows = max(self.tokens // length, 1)
            for first in range(0, len(windows[length]), rows):
                together = windows[length][first : first + rows]
                scores = self._batch([window for _, window in together], rows, length)
                for (text, _), score in zip(together, scores, strict=False):
                    totals[text] += score
        return list(zip(totals, counts, strict=True))

    def _padded(self, length: int) -> int:
        """The length of the rows of a window's batch."""
        step = -(-self.window // LENGTHS) if self.tokens else 1
        return min(-(-length // step) * step, self.window)

    @torch.no_grad()
    def _batch(self, windows: list[npt.NDArray[np.int64]], rows: int, length: int) -> list[float]:
        """Scores of some windows, as rows of a batch of a given shape; what is after a window's end counts nothing."""
        tokens = np.zeros((rows, length + 1), np.int64)
        for row, window in zip(tokens, windows, strict=False):
            row[: len(window)] = window
        held = torch.from_numpy(tokens).to(self.device)
        ends = torch.tensor([len(window) - 1 for window in windows] + [0] * (rows - len(windows)), device=self.device)
        inputs = held[:, :-1]
        batch = Batch(inputs, held[:, 1:], torch.ones_like(inputs, dtype=torch.int32))
        with _one_thread():
            losses = self.model(batch, each=True).double()
            counted = torch.arange(length, device=self.device) < ends[:, None]
            scores: list[float] = torch.where(counted, losses, 0.0).sum(1).tolist()
        return scores


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
