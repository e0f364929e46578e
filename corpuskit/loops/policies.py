"""The policies of `corpuskit.mix` as the trainer runs them: `policy: {name: doremi, ...}` of a recipe.

To add one: a policy in `corpuskit/mix/`, and here a factory that says what it observes, and how often.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix.ado import ADO
from corpuskit.mix.aioli import Aioli
from corpuskit.mix.policies import DoGE, GroupDRO, Policy, SkillIt, Statistics, uniform
from corpuskit.mix.problem import Mixture

HOOKS = {"eslm": "corpuskit.train.hooks:eslm"}
POLICIES = ("doremi", "doge", "skill_it", "aioli", "ado")


class Running:
    """A policy with the trainer's interface (see `corpuskit.train.online.Policy`)."""

    def __init__(self, policy: Policy, every: int, *records: str) -> None:
        if every < 1:
            raise UsageError(f"policy: `every` is {every}; it counts steps, from 1")
        self.policy, self.every, self.records = policy, every, frozenset(records)

    def draw(self, t: int) -> Mapping[str, float]:
        """Shares of the domains."""
        return _plain(self.policy.mixture(t))

    def loss_weights(self) -> Mapping[str, float] | None:
        """Those of DoReMi."""
        return _plain(self.policy.loss_weights) if isinstance(self.policy, GroupDRO) else None

    def observe(self, t: int, statistics: Mapping[str, Mapping[str, float]]) -> None:
        """Of the domains that are mixed; held-out text may have more."""
        known = {name: dict(found) for name, found in statistics.items() if name in self.policy.names}
        self.policy.observe(t, {name: Statistics(**found) for name, found in known.items()})  # type: ignore[arg-type]

    def result(self) -> Mapping[str, float]:
        """The mean over steps of DoReMi and DoGE; of others the last mixture."""
        last = self.policy.result if isinstance(self.policy, GroupDRO | DoGE) else self.policy.mixture(0)
        return _plain(last)

    def state(self) -> dict[str, Any]:
        """As the policy's."""
        return self.policy.state()

    def load(self, state: Mapping[str, Any]) -> None:
        """As the policy's."""
        self.policy.load(state)


def doremi(prior: Mapping[str, float], *, every: int = 1, **more: Any) -> Running:
    """DoReMi's proxy run: `reference` is the checkpoint of its reference model; `result` the mixture found."""
    return Running(GroupDRO(uniform(prior), **more), every, "excess")


def doge(prior: Mapping[str, float], *, mu: float, every: int = 10) -> Running:
    """DoGE's proxy run; each observation costs a backward pass of every domain."""
    return Running(DoGE(uniform(prior), mu=mu), every, "alignment")


def skill_it(prior: Mapping[str, float], *, graph: Any = None, every: int = 10, **more: Any) -> Running:
    """Skill-It; without a `graph` each domain helps itself alone."""
    alone = {name: {name: 1.0} for name in prior}
    return Running(SkillIt(graph or alone, **more), every, "validation")


def aioli(prior: Mapping[str, float], *, every: int = 10, **more: Any) -> Running:
    """Aioli; `every` is the length of a probe."""
    return Running(Aioli(Mixture(prior), **more), every, "validation")


def ado(prior: Mapping[str, float], *, every: int = 10, **more: Any) -> Running:
    """ADO; an observation every so many steps, each followed by a fit."""
    return Running(ADO(Mixture(prior), **more), every)


def resolved(config: dict[str, Any]) -> dict[str, Any]:
    """A trainer's configuration whose policy and loss hook have the names that the trainer imports.

    Raises:
        UsageError: no such policy or hook.
    """
    known = {
        "policy": {name: f"{__name__}:{name}" for name in POLICIES},
        "loss_hook": HOOKS,
    }
    found = dict(config)
    for kind, names in known.items():
        given = found.get(kind)
        if given is None or ":" in given["name"]:
            continue
        if given["name"] not in names:
            near = did_you_mean(given["name"], names) or f"known: {', '.join(names)}; or MODULE:FACTORY"
            raise UsageError(f"train: no {kind} `{given['name']}`", near)
        found[kind] = given | {"name": names[given["name"]]}
    return found


def _plain(mixture: Mixture) -> dict[str, float]:
    return {name: float(weight) for name, weight in mixture.weights.items()}
