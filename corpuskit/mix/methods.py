"""Methods of mixing by name: a plain function from a problem and its parameters to a mixture.

    from fractions import Fraction

    from corpuskit.mix.methods import method
    from corpuskit.mix.problem import Mixture, Problem

    @method
    def uniform(problem: Problem) -> Mixture:
        return Mixture({bucket.name: Fraction(1, len(problem.buckets)) for bucket in problem.buckets})

In a recipe: `weights: {method: ./mine.py:uniform}`. Parameters after `*` are what a recipe may set; their annotations
validate it, and a `corpuskit.step.File` among them enters the key by its content. Most methods end in `solve`.
`corpuskit mix solve RECIPE --sizes SIZES.csv` tries one without a corpus.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, overload

import pydantic

from corpuskit.core import registry
from corpuskit.core.step import Step
from corpuskit.errors import CorpuskitError, UsageError, did_you_mean, raised_at
from corpuskit.mix.problem import Mixture, Problem

FAMILIES = ("sized", "fitted", "correlated")
"""Modules beside this one that define methods."""

_registry: dict[str, Method] = {}


class Method(Step):
    """A method with a name and a version; made by `method`.

    It is checked, named and identified as a step is, and no step: `steps` of a recipe cannot name it. `budgeted`
    methods need a number of tokens, and not `max`: their weights depend on it. `least_runs` is the fewest proxy runs
    from which one can learn.
    """

    budgeted: bool = False
    least_runs: int = 1

    @property
    def learns(self) -> bool:
        """Whether it reads the tables of proxy runs: `runs` and `losses`."""
        return {"runs", "losses"} <= set(self.parameters)

    def solve(self, problem: Problem, params: Mapping[str, Any]) -> Mixture:
        """The mixture for a corpus; `params` as validated.

        Raises:
            UsageError: the function gave no mixture, or one with weight on what is no domain.
            CorpuskitError: a method in a file of one's own raised something else.
        """
        try:
            found = self.function(problem, **params)
        except CorpuskitError:
            raise
        except Exception as error:
            if self.origin is None:
                raise
            msg = f"`{self.name}` raised {type(error).__name__}: {error} ({raised_at(error)})"
            raise CorpuskitError(msg, "fix it, then run again") from error
        if not isinstance(found, Mixture):
            hint = "return `Mixture({domain: weight})` of corpuskit.mix.problem, or what `solve` gives"
            raise UsageError(f"`{self.name}` gave a {type(found).__name__}, not a Mixture", hint)
        names = [bucket.name for bucket in problem.buckets]
        for name in found.weights:
            if found.exact(name) and name not in names:
                hint = did_you_mean(name, names) or f"domains: {', '.join(names)}"
                raise UsageError(f"`{self.name}` gave weight to `{name}`, which is no domain", hint)
        return found


@overload
def method(function: Callable[..., Mixture]) -> Method: ...
@overload
def method(
    *, version: int = 1, libraries: tuple[str, ...] = (), budgeted: bool = False, least_runs: int = 1
) -> Callable[[Callable[..., Mixture]], Method]: ...
def method(
    function: Callable[..., Mixture] | None = None,
    *,
    version: int = 1,
    libraries: tuple[str, ...] = (),
    budgeted: bool = False,
    least_runs: int = 1,
) -> Method | Callable[[Callable[..., Mixture]], Method]:
    """Make a function (problem, **params) -> mixture a method.

    Args:
        function: the function itself, where the decorator has no options.
        version: to raise when its results change.
        libraries: packages whose results pass into the mixture; their versions enter the key.
        budgeted: whether it needs `tokens` to be a number.
        least_runs: of a method that learns, the fewest proxy runs that it can do with.
    """

    def wrap(target: Callable[..., Mixture]) -> Method:
        _refuse_positional(target)
        made = Method(target, "method", target.__name__, version, libraries=libraries)
        made.budgeted, made.least_runs = budgeted, least_runs
        made.__doc__ = target.__doc__
        if target.__module__.startswith("corpuskit."):
            _registry[made.name] = made
        return made

    return wrap if function is None else wrap(function)


def _refuse_positional(function: Callable[..., Mixture]) -> None:
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    if [kind for kind in kinds if kind is not inspect.Parameter.KEYWORD_ONLY] != [
        inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]:
        name = function.__name__
        msg = f"`{name}` is no method: it takes the problem, and what a recipe may set after `*`"
        raise UsageError(msg, f"def {name}(problem: Problem, *, power: float = 2) -> Mixture")


def builtin() -> dict[str, Method]:
    """Methods of corpuskit itself, by name."""
    for family in FAMILIES:
        importlib.import_module(f"corpuskit.mix.{family}")
    return dict(sorted(_registry.items()))


def resolve(reference: str, base: Path) -> Method:
    """Find a method by a built-in name, or `./file.py:function` (relative to `base`).

    Raises:
        UsageError: an unknown name (with the nearest one), a missing file or function, or no method.
    """
    known = builtin()
    if reference in known:
        return known[reference]
    if ".py:" in reference:
        found = registry.resolve(reference, ("method",), base)
        assert isinstance(found, Method)
        return found
    hint = did_you_mean(reference, known) or f"known: {', '.join(known)}"
    raise UsageError(f"unknown method `{reference}`", hint)


def is_method(weights: object) -> bool:
    """Whether `weights:` of a recipe is `{method: NAME, ...}`, and no table of domains."""
    return isinstance(weights, Mapping) and isinstance(weights.get("method"), str)


def as_method(weights: Any) -> Mapping[str, Any] | None:
    """`weights:` of a recipe as `{method: NAME, ...}`, which a name alone stands for; None for a preset or a table."""
    if isinstance(weights, str) and (weights in builtin() or ".py:" in weights):
        return {"method": weights}
    return weights if is_method(weights) else None


def called(weights: Mapping[str, Any], base: Path = Path()) -> tuple[Method, dict[str, Any]]:
    """The method and the validated parameters of `{method: NAME, ...}`.

    Raises:
        UsageError: an unknown method, or a parameter that is wrong.
    """
    found = resolve(weights["method"], base)
    try:
        return found, found.validate({name: value for name, value in weights.items() if name != "method"})
    except pydantic.ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in wrong["loc"])
        raise UsageError(f"`{found.name}`: `{place}`: {wrong['msg']}") from None


def identity(weights: Any) -> Any:
    """What a key says of `weights:`: a method by its version and parameters, files and code by their content."""
    named = as_method(weights)
    if named is None:
        return weights
    found, params = called(named)
    return {"method": found.fingerprint(params)}


def learns_here(weights: Any) -> bool:
    """Whether `weights:` is a method that learns from proxy runs and names no tables of them: they are the recipe's."""
    named = as_method(weights)
    if named is None:
        return False
    found, params = called(named)
    return found.learns and params["runs"] is None
