"""Mixing laws: the loss of a model as a function of the mixture it was trained on, fitted to proxy runs.

A law is an immutable object with `fit(ratios, losses)`, which returns the fitted law, and `predict(ratios)`. A law that
is smooth has `gradient(ratio)` too, and so serves `solve` through `mean_loss`; one that is not is minimized by
simulation (`corpuskit.mix.regmix`). A new law is a class with these methods; nothing is registered for it here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from corpuskit.errors import UsageError, install

Floats = npt.NDArray[np.float64]
Objective = Callable[[Floats], tuple[float, Floats]]
"""Value and gradient [domains] at a mixture [domains], domains sorted by name."""

T = TypeVar("T")

_PRECISE = {"xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12}

_GAPS = (0.02, 0.1, 0.3, 1.0, 3.0)
"""Starts: how far the floor lies below the least loss, in ranges of the losses."""


class MixingLaw(Protocol):
    """What every law can do."""

    def fit(self, ratios: Floats, losses: Floats) -> Self:
        """The law fitted to float64 ratios [runs, domains] and losses [runs]; this object stays as it is."""

    def predict(self, ratios: Floats) -> Floats:
        """Losses [n] at mixtures [n, domains]."""


class SmoothLaw(MixingLaw, Protocol):
    """A law that a solver can follow downhill."""

    def gradient(self, ratio: Floats) -> Floats:
        """Derivatives [domains] of the loss at one mixture [domains]."""


@dataclass(frozen=True)
class Linear:
    """loss = sum_j b_j r_j, by least squares: the baseline of RegMix's table 2.

    Ratios sum to 1, so that an intercept would say nothing new.

    Attributes:
        slopes: float64 [domains], None before `fit`.
    """

    slopes: Floats | None = None

    def fit(self, ratios: Floats, losses: Floats) -> Self:
        """See `MixingLaw.fit`."""
        _check(ratios, losses)
        return replace(self, slopes=np.asarray(np.linalg.lstsq(ratios, losses)[0], np.float64))

    def predict(self, ratios: Floats) -> Floats:
        """See `MixingLaw.predict`."""
        return np.asarray(ratios @ _fitted(self.slopes))

    def gradient(self, ratio: Floats) -> Floats:
        """See `SmoothLaw.gradient`."""
        assert ratio.shape == _fitted(self.slopes).shape
        return _fitted(self.slopes)


@dataclass(frozen=True)
class LogLinear:
    """loss = c + sum_k exp(a_k . r): Data Mixing Laws (Ye et al. 2024, arXiv:2403.16952, eq. 6) and OLMix.

    The published form is c + k exp(t . r). Ratios sum to 1, so that k and t say the same thing twice: adding s to all
    of t multiplies k by exp(s). a_j = log k + t_j, as OLMix writes it, says it once. With `terms` above 1 it is the
    paper's law for implicit domains (eq. 7), each term a domain of the validation text; shares of terms are in a_k.

    The sum of Huber losses of the residuals is minimized by trust-region least squares from several starts, the floor
    c at least 0. The valley between c and a is long and flat, where L-BFGS crawls; the minimum is the same.

    Attributes:
        terms: how many exponentials.
        huber: residuals beyond it (in units of the loss) count linearly. Data Mixing Laws has 0.02 for two domains and
            0.05 for more, OLMix 0.02.
        seed: of the starts, where terms are more than one.
        floor: c, the loss that no mixture goes below; None before `fit`.
        exponents: a, float64 [terms, domains]; None before `fit`.
    """

    terms: int = 1
    huber: float = 0.02
    seed: int = 0
    floor: float | None = None
    exponents: Floats | None = None

    def fit(self, ratios: Floats, losses: Floats) -> Self:
        """See `MixingLaw.fit`.

        Raises:
            UsageError: a loss is not above 0, or there are no more runs than domains.
        """
        least_squares = needs("scipy.optimize").least_squares
        _check(ratios, losses)
        if losses.min() <= 0:
            msg = f"a loss is {losses.min():g}; the log-linear law is for losses above 0"
            raise UsageError(msg, "give losses in nats or bits per byte; `regmix` takes any number")
        size = ratios.shape[1]
        bounds = (np.r_[0.0, np.full(self.terms * size, -np.inf)], np.inf)

        def residuals(theta: Floats) -> Floats:
            return np.asarray(theta[0] + self._terms(ratios, theta).sum(axis=1) - losses)

        def jacobian(theta: Floats) -> Floats:
            slopes = self._terms(ratios, theta)[:, :, None] * ratios[:, None, :]
            return np.hstack([np.ones((len(losses), 1)), slopes.reshape(len(losses), -1)])

        fits = [
            least_squares(residuals, start, jacobian, bounds, loss="huber", f_scale=self.huber, **_PRECISE)
            for start in self._starts(ratios, losses)
        ]
        best = min(fits, key=lambda fit: fit.cost).x
        return replace(self, floor=float(best[0]), exponents=best[1:].reshape(self.terms, size))

    def predict(self, ratios: Floats) -> Floats:
        """See `MixingLaw.predict`."""
        return np.asarray(_fitted(self.floor) + np.exp(ratios @ _fitted(self.exponents).T).sum(axis=1))

    def gradient(self, ratio: Floats) -> Floats:
        """See `SmoothLaw.gradient`."""
        exponents = _fitted(self.exponents)
        return np.asarray(np.exp(exponents @ ratio) @ exponents)

    def _terms(self, ratios: Floats, theta: Floats) -> Floats:
        """Exponentials [runs, terms] at parameters (c, a_1, ..., a_k); clipped where a trial step overflows."""
        exponents = theta[1:].reshape(self.terms, -1)
        return np.asarray(np.exp(np.minimum(ratios @ exponents.T, 50.0)))

    def _starts(self, ratios: Floats, losses: Floats) -> list[Floats]:
        """Floors at several depths below the least loss; for each, a by linear regression of log(loss - c)."""
        generator = np.random.default_rng(self.seed)
        least, spread = losses.min(), max(np.ptp(losses), 1e-3 * losses.min())
        starts = []
        for gap in _GAPS:
            floor = max(0.0, least - gap * spread)
            exponents = np.linalg.lstsq(ratios, np.log(losses - floor))[0]
            several = np.tile(exponents - np.log(self.terms), (self.terms, 1))
            if self.terms > 1:  # equal terms would stay equal
                several += generator.normal(size=several.shape)
            starts.append(np.r_[floor, several.ravel()])
        return starts


@dataclass(frozen=True)
class LightGBM:
    """Boosted trees with RegMix's settings (Liu et al. 2024, arXiv:2407.01492): 1,000 trees, learning rate 0.01.

    All trees are used: stopping early on the runs that judge the law, as RegMix's notebook does, flatters it. A leaf
    of a tree holds at least 20 runs, so that a swarm of fewer than 40 runs is predicted by its mean.

    Attributes:
        model: the fitted booster, None before `fit`.
    """

    model: Any = field(default=None, repr=False, compare=False)

    def fit(self, ratios: Floats, losses: Floats) -> Self:
        """See `MixingLaw.fit`."""
        lightgbm = needs("lightgbm")
        _check(ratios, losses)
        settings = {
            "objective": "regression",
            "learning_rate": 0.01,
            "seed": 42,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,  # runs are hundreds: threads cost more than they give, and change sums
            "verbosity": -1,
        }
        return replace(self, model=lightgbm.train(settings, lightgbm.Dataset(ratios, losses), num_boost_round=1000))

    def predict(self, ratios: Floats) -> Floats:
        """See `MixingLaw.predict`."""
        return np.asarray(_fitted(self.model).predict(ratios, num_threads=1))


LAWS: dict[str, type[Linear | LogLinear | LightGBM]] = {"loglinear": LogLinear, "lightgbm": LightGBM, "linear": Linear}
"""Laws by the name that a recipe gives them."""


def mean_loss(laws: Sequence[SmoothLaw]) -> Objective:
    """The mean of several laws as an objective for `solve`: OLMix's, with `kl=0.05` and a natural prior.

    Laws and mixture have their domains in the same order, sorted by name (as `read_runs` gives them).
    """
    if not laws:
        raise UsageError("no law to minimize: the list of metrics is empty")

    def objective(ratio: Floats) -> tuple[float, Floats]:
        values = [law.predict(ratio[None, :])[0] for law in laws]
        return float(np.mean(values)), np.mean([law.gradient(ratio) for law in laws], axis=0)

    return objective


def needs(module: str) -> Any:
    """A module of the extra `mix`, imported where it is used.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        msg = f"mixing laws need {error.name}, which is not installed"
        raise UsageError(msg, install("mix")) from error


def _check(ratios: Floats, losses: Floats) -> None:
    """Refuse what no law can be fitted to."""
    assert ratios.ndim == 2
    assert losses.shape == ratios.shape[:1]
    if not (np.isfinite(ratios).all() and np.isfinite(losses).all()):
        raise UsageError("ratios or losses hold NaN or infinity", "read them with `read_runs`, which says where")
    runs, domains = ratios.shape
    if runs <= domains:
        msg = f"{runs} proxy runs cannot tell the effects of {domains} domains apart"
        raise UsageError(msg, f"train at least {enough_runs(domains)}")


def enough_runs(domains: int) -> int:
    """How many proxy runs OLMix advises for so many domains: 3 (m + 1)."""
    return 3 * (domains + 1)


def _fitted(value: T | None) -> T:
    if value is None:
        raise UsageError("the law is not fitted yet", "call `fit` and use the law that it returns")
    return value
