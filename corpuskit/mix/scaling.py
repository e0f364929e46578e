"""Scaling laws as pure functions: what a repeated token is worth, and what a trainer starts from.

`DataConstrainedLaw`: Muennighoff et al. 2023, Scaling Data-Constrained Language Models (arXiv:2305.16264).
`StepLaw`: Li et al. 2025, Predictable Scale: Step Law (arXiv:2503.04715).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError, install

Floats = npt.NDArray[np.float64]

HUBER = 1e-3
"""Log losses further than this from the law count linearly in a fit (Hoffmann et al. 2022, section D.2)."""


@dataclass(frozen=True)
class DataConstrainedLaw:
    """Loss of a model of N parameters trained on D tokens of which U are unique: E + A / N'^alpha + B / D'^beta.

    D' and N' are what D and N are worth: each repetition is worth less than the one before, and so is each parameter
    beyond those that U unique tokens can fill (equations 5 and 6 of the paper). The defaults are the published fit.

    Attributes:
        a, b, e, alpha, beta: of the law without repetition (Hoffmann et al. 2022).
        repeats: R_D*, the repetitions (epochs minus 1) after which another is worth 1/e of a new token.
        excess: R_N*, the same for parameters.
    """

    a: float = math.exp(6.255414)
    b: float = math.exp(7.3049974)
    e: float = math.exp(0.6254804)
    alpha: float = 0.3526596
    beta: float = 0.3526596
    repeats: float = 15.387756
    excess: float = 5.309743

    def effective_tokens(self, tokens: float, unique: float) -> float:
        """D', what `tokens` are worth in unique ones when `unique` of them are repeated (equation 5)."""
        used = min(tokens, unique)
        return _worth(used, tokens / used - 1 if used else 0.0, self.repeats)

    def effective_params(self, params: float, unique: float) -> float:
        """N', what `params` are worth on `unique` tokens (equation 6, with U_N the optimum for U tokens)."""
        filled = min(params, self.params_for(unique))
        return _worth(filled, params / filled - 1 if filled else 0.0, self.excess)

    def params_for(self, tokens: float) -> float:
        """The compute-optimal number of parameters for tokens without repetition."""
        return float((tokens * self._balance) ** (self.beta / self.alpha) * self._balance)

    @property
    def _balance(self) -> float:
        return float((self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta)))

    def loss(self, params: float, tokens: float, unique: float) -> float:
        """Predicted loss (nats a token).

        Raises:
            UsageError: an argument is not above 0.
        """
        _positive(params=params, tokens=tokens, unique=unique)
        unique = min(unique, tokens)  # U_D of the paper: those that are read
        n, d = self.effective_params(params, unique), self.effective_tokens(tokens, unique)
        return float(self.e + self.a / n**self.alpha + self.b / d**self.beta)

    def optimal(self, compute: float, unique: float) -> tuple[float, float]:
        """(parameters, tokens) of the least loss for `compute` = 6 N D floating-point operations and `unique` tokens.

        The allocation of the paper's figure 1 (6.34B, 242B at 9.3e21 and 25B) comes from an earlier fit, with exponents
        of their own for parameters and tokens; the published fit prefers 6.8B and 227B by 1e-4 nats.

        Raises:
            UsageError: an argument is not above 0.
        """
        _positive(compute=compute, unique=unique)
        product = compute / 6
        log_params = _least(lambda log_n: self.loss(math.exp(log_n), product / math.exp(log_n), unique), product)
        return math.exp(log_params), product / math.exp(log_params)

    def refit(
        self,
        params: Sequence[float],
        tokens: Sequence[float],
        unique: Sequence[float],
        losses: Sequence[float],
        start: tuple[float, float] = (15.0, 5.0),
    ) -> DataConstrainedLaw:
        """This law with `repeats` and `excess` fitted to measured losses, from `start` on.

        The sum of Huber losses (delta 1e-3) of the log losses is minimized by L-BFGS, as by the paper. It is nearly
        flat along a valley: another start may end elsewhere with as good a fit.

        Raises:
            UsageError: the columns differ in length, or a value is not above 0.
        """
        rows = list(zip(params, tokens, unique, losses, strict=False))
        if not rows or {len(params), len(tokens), len(unique), len(losses)} != {len(rows)}:
            sizes = f"{len(params)}, {len(tokens)}, {len(unique)} and {len(losses)}"
            raise UsageError(f"a fit needs as many params as tokens, unique tokens and losses, not {sizes}")
        for number, (n, d, u, loss) in enumerate(rows):
            _positive(f" in row {number}", params=n, tokens=d, unique=u, loss=loss)

        def misfit(point: Floats) -> float:
            law = replace(self, repeats=float(point[0]), excess=float(point[1]))
            apart = [abs(math.log(law.loss(n, d, u)) - math.log(loss)) for n, d, u, loss in rows]
            return sum(HUBER * (x - HUBER / 2) if x > HUBER else x * x / 2 for x in apart)

        found = _minimize(misfit, start)
        return replace(self, repeats=float(found[0]), excess=float(found[1]))


@dataclass(frozen=True)
class StepLaw:
    """Peak learning rate and batch size for N non-embedding parameters and D training tokens (both as counts)."""

    def lr(self, params: float, tokens: float) -> float:
        """The peak learning rate: 1.79 N^-0.713 D^0.307."""
        _positive(params=params, tokens=tokens)
        return float(1.79 * params**-0.713 * tokens**0.307)

    def batch_tokens(self, tokens: float) -> float:
        """Tokens of an optimizer step: 0.58 D^0.571."""
        _positive(tokens=tokens)
        return float(0.58 * tokens**0.571)


def _worth(first: float, repetitions: float, decay: float) -> float:
    # expm1: few repetitions of many tokens would lose digits to 1 - exp(-x)
    return first - first * decay * math.expm1(-repetitions / decay)


def _positive(where: str = "", **values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} is {value}{where}; a scaling law takes numbers above 0")


def _least(loss: Callable[[float], float], product: float) -> float:
    """The point in (0, log(product)) of least loss: a grid, and finer ones around its best point.

    A grid and not a descent: the law is smooth only piecewise (tokens begin to repeat, parameters to exceed).
    """
    low, high = 0.0, math.log(product)
    while high - low > 1e-9 * max(1.0, high):
        points = np.linspace(low, high, 65)
        best = int(np.argmin([loss(float(point)) for point in points]))
        low, high = float(points[max(0, best - 1)]), float(points[min(64, best + 1)])
    return (low + high) / 2


def _minimize(function: Callable[[Floats], float], start: Sequence[float]) -> Floats:
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise UsageError("fitting a law needs scipy, which is not installed", install("mix")) from None
    found: Floats = minimize(
        function,
        np.array(start),
        method="L-BFGS-B",
        bounds=[(1e-6, None)] * len(start),
        options={"ftol": 1e-15, "gtol": 1e-12},  # the usual tolerances stop in the valley
    ).x
    return found
