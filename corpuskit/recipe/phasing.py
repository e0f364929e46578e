"""`mix.phases`, `mix.lower` and `mix.upper` of a recipe: what their types do not say, checked where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from corpuskit.errors import CorpuskitError, UsageError, did_you_mean
from corpuskit.mix.methods import as_method
from corpuskit.mix.phases import Phase, Phased, phase_end
from corpuskit.mix.presets import table_of
from corpuskit.mix.problem import Constraints, as_written
from corpuskit.recipe.faults import Faults
from corpuskit.recipe.tree import Node
from corpuskit.shards.settings import Mix


def check_phases(node: Node, mix: Mix, faults: Faults) -> None:
    """Check that phases rise to the end of the run, and that the lengths of their sequences fit one block.

    Args:
        node: of `phases`. mix: validated. faults: to add to.
    """
    tokens, begin = None if mix.tokens == "max" else mix.tokens, Fraction(0)
    for number, phase in enumerate(mix.phases or ()):
        item = node.value[number]
        try:
            begin = phase_end(phase.until, begin, tokens)
        except UsageError as error:
            faults.add(item.value["until"].span, error.message, error.hint)
            return
        seq_len = mix.seq_len(phase)
        if mix.longest % seq_len:
            reason = f"sequences of {seq_len:,} do not divide the longest of the phases, {mix.longest:,}"
            hint = "shorter sequences are cut from those of the longest: take a divisor, such as a half of it"
            faults.add((item.get("seq_len") or item).span, reason, hint)
    if begin != 1:
        last = node.value[-1].value["until"]
        reason = f"the last phase ends at {float(begin):g} of the tokens"
        faults.add(last.span, reason, "let it end with the run: `until: 1`")


def check_bounds(node: Node, mix: Mix, domains: Sequence[str], faults: Faults) -> None:
    """Check that bounds name domains, can be kept together, and are kept by weights that are known beforehand.

    Args:
        node: of `mix`. mix: validated. domains: of the recipe. faults: to add to.
    """
    before = len(faults)
    for key in ("lower", "upper"):
        bounds = node.get(key)
        for name in getattr(mix, key):
            if name not in domains:
                hint = did_you_mean(name, domains) or f"domains: {', '.join(domains)}"
                assert bounds is not None
                faults.add(bounds.keys[name], f"unknown domain `{name}`", hint)
    for name, low in mix.lower.items():
        if low > mix.upper.get(name, 1):
            faults.add(node.value["lower"].keys[name], f"the lower bound of `{name}` is above its upper bound")
    if sum(map(as_written, mix.lower.values())) > 1:
        faults.add(node.value["lower"].span, "the lower bounds sum to more than 1")
    most = sum(as_written(mix.upper.get(name, 1.0)) for name in domains)
    if mix.upper and most < 1:
        reason = f"the upper bounds of all domains sum to {float(most):g}, less than 1"
        faults.add(node.value["upper"].span, reason, "raise one, or leave a domain without an upper bound")
    if len(faults) > before or not (mix.lower or mix.upper):
        return
    known = _known(mix)
    if known is not None:
        try:
            Constraints(mix.max_epochs, mix.lower, mix.upper).check_bounds(known.shares())
        except CorpuskitError as error:
            place = node.get("phases") or node.get("weights") or node
            whole = " over the whole run" if mix.phases else ""
            faults.add(place.span, f"{error.message}{whole}", error.hint)


def _known(mix: Mix) -> Phased | None:
    """The schedule of a recipe whose weights are tables and presets: it needs no corpus."""
    if any(as_method(weights) is not None for weights in mix.weighings):
        return None
    try:
        tables = [table_of(weights) for weights in mix.weighings]
        if mix.phases is None:
            return Phased([Phase(1, tables[0])])
        tokens, begin, phases = None if mix.tokens == "max" else mix.tokens, Fraction(0), []
        for phase, table in zip(mix.phases, tables, strict=True):
            begin = phase_end(phase.until, begin, tokens)
            phases.append(Phase(begin, table))
    except UsageError:
        return None  # a fault by itself
    return Phased(phases)
