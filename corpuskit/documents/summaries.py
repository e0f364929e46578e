"""The bodies of stages for steps that need to have seen everything, or that make a model first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpuskit.core import registry
from corpuskit.core.batch import Batch, PartReader
from corpuskit.core.keys import canonical
from corpuskit.core.state import load_state, save_state
from corpuskit.core.step import Step
from corpuskit.core.work import Work
from corpuskit.documents.applied import STEP_KINDS
from corpuskit.documents.kinds import Model, Seen, State
from corpuskit.errors import InputError, UsageError
from corpuskit.store import removed


def summary(work: Work[Seen]) -> None:
    """Body: `summarize` of a step over the documents of one unit; the state is merged batch by batch."""
    step, params = _summarized(work)
    state = None
    gone = removed.removed(work.store)
    for whole in PartReader(work.receipt("docs").parts["docs"].local()):
        batch = removed.without(whole, gone)
        one = step.summarize_function(batch, **params)
        state = one if state is None else step.merge_function(state, one)
    _save(state, step, work)


def state(work: Work[State]) -> None:
    """Body: merge the states of all units, in the order of their sources and numbers."""
    step, _ = _summarized(work)
    merged = None
    for source in work.spec.sources:
        for receipt in work.receipts(source):
            one = load_state(receipt.parts["state"].local(), step.state_kind, pickled=step.pickled)
            if one is not None:
                merged = one if merged is None else step.merge_function(merged, one)
    _save(merged, step, work)


def _save(state: Any, step: Step, work: Work[Seen]) -> None:
    path = work.put("state", ".pickle" if step.pickled else ".state")
    save_state(state, path, step.state_kind, pickled=step.pickled)


def _summarized(work: Work[Seen]) -> tuple[Any, dict[str, Any]]:
    step = registry.resolve(work.spec.call.reference, STEP_KINDS, Path(work.spec.base))
    if step.merge_function is None:
        raise UsageError(f"`{step.name}` has `summarize` but no `merge`", f"add @{step.name}.merge")
    params = step.summarized(step.validate(work.spec.call.params))
    if canonical(step.fingerprint(params)) != canonical(work.spec.step):
        raise InputError(f"the code or a file of `{step.name}` changed since the plan was made", "run again")
    return step, params


def model(work: Work[Model]) -> None:
    """Body: `train` of a step. Part `model`: what it wrote; the facts say what it was made of."""
    step = registry.resolve(work.spec.call.reference, STEP_KINDS, Path(work.spec.base))
    params, identity = step.trained(step.validate(work.spec.call.params))
    if canonical(identity) != canonical(work.spec.step):
        raise InputError(f"the code or a file of `{step.name}` changed since the plan was made", "run again")
    assert step.train_function is not None
    documents = {"memory": work.memory} if work.spec.sources else {}
    given = (_documents(work),) if work.spec.sources else ()
    work.facts["trained"] = dict(step.train_function(work.put("model", ".bin"), *given, **documents, **params))


def _documents(work: Work[Model]) -> Iterator[Batch]:
    gone = removed.removed(work.store)
    for source in work.spec.sources:
        for receipt in work.receipts(source):
            for batch in PartReader(receipt.parts["docs"].local()):
                yield removed.without(batch, gone)
