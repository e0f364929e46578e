"""Nested scaling laws: losses of small, short runs carried to the size and length of the model that is wanted.

Data Mixing Laws (Ye et al. 2024, arXiv:2403.16952, section 4): for each mixture, L(S) = E + B / S^beta carries the
losses of each model size to the target steps, then L(N) = E + A / N^alpha carries those to the target size; a mixing
law is then fitted to the losses at the target. Each curve has few points, so that all curves of a kind share their
exponent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from corpuskit.errors import UsageError
from corpuskit.mix.laws import Floats, needs

_EXPONENTS = (0.01, 3.0)


@dataclass(frozen=True)
class PowerLaw:
    """loss = floor + scale / (x / unit)^exponent, for several curves at once.

    Attributes:
        exponent: above 0, shared by the curves.
        floors, scales: float64 [curves], at least 0.
        unit: geometric mean of the x that were fitted, which keeps the scales near the losses.
    """

    exponent: float
    floors: Floats
    scales: Floats
    unit: float

    @classmethod
    def fit(cls, x: Floats, losses: Floats) -> PowerLaw:
        """Fit by least squares.

        For one exponent, floors and scales are a small non-negative linear problem, so that the search is over a
        single number.

        Args:
            x: float64 [points], steps, tokens or parameters, above 0.
            losses: float64 [curves, points].

        Raises:
            UsageError: fewer than 3 different points, or values that are not finite and above 0.
        """
        minimize_scalar = needs("scipy.optimize").minimize_scalar
        if len(np.unique(x)) < 3:
            msg = f"a power law has a floor, a scale and an exponent; {len(np.unique(x))} points do not determine it"
            raise UsageError(msg, "evaluate at 3 or more different steps, and train 3 or more model sizes")
        if not (np.isfinite(losses).all() and np.isfinite(x).all() and losses.min() > 0 and x.min() > 0):
            raise UsageError("a power law needs sizes and losses that are finite and above 0")
        unit = float(np.exp(np.log(x).mean()))

        def cost(log_exponent: float) -> float:
            return _fit_at(np.exp(log_exponent), x / unit, losses)[2]

        grid = np.linspace(math.log(_EXPONENTS[0]), math.log(_EXPONENTS[1]), 60)
        nearest = int(np.argmin([cost(value) for value in grid]))
        around = (grid[max(0, nearest - 1)], grid[min(len(grid) - 1, nearest + 1)])
        found = minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": 1e-12})
        exponent = float(np.exp(found.x))
        floors, scales, _ = _fit_at(exponent, x / unit, losses)
        return cls(exponent, floors, scales, unit)

    def predict(self, x: float) -> Floats:
        """Losses [curves] at a size."""
        return np.asarray(self.floors + self.scales * (x / self.unit) ** -self.exponent)


def at_target(steps: Floats, sizes: Floats, losses: Floats, *, target_steps: float, target_size: float) -> Floats:
    """Losses [runs] at the target, to which a mixing law is fitted.

    Args:
        steps: float64 [points], where each run was evaluated, in steps or tokens.
        sizes: float64 [sizes], parameters of the proxy models.
        losses: float64 [runs, sizes, points] of one metric.
        target_steps, target_size: where the loss is wanted, in the same units.

    Raises:
        UsageError: as `PowerLaw.fit`.
    """
    runs, models, points = losses.shape
    at_steps = PowerLaw.fit(steps, losses.reshape(runs * models, points)).predict(target_steps)
    return PowerLaw.fit(sizes, at_steps.reshape(runs, models)).predict(target_size)


def _fit_at(exponent: float, x: Floats, losses: Floats) -> tuple[Floats, Floats, float]:
    """Floors [curves], scales [curves] and the sum of squares at an exponent."""
    powers = x**-exponent
    centered = powers - powers.mean()
    scales = np.maximum(0.0, (losses @ centered) / (centered @ centered))
    floors = losses.mean(axis=1) - scales * powers.mean()
    # a floor below 0 means that the best fit within the limits has none
    scales = np.where(floors < 0, (losses @ powers) / (powers @ powers), scales)
    floors = np.maximum(0.0, floors)
    residuals = floors[:, None] + scales[:, None] * powers - losses
    return floors, scales, float((residuals**2).sum())
