"""From a recipe to the plan: a DAG of stages cut at barriers, each of many units; and the identity of each.

Documents flow through one chain of stages a source, cut where a step must have seen everything; dedup, the held-out
documents, tokens and shards are stages over all sources.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from corpuskit.core.calls import Source, StepCall
from corpuskit.core.identity import File
from corpuskit.core.keys import block_hash, digest, plain, safe_name
from corpuskit.core.kinds import barriers, load
from corpuskit.core.plan import Need, Plan, Stage, Unit
from corpuskit.core.planning import FEW_BYTES, PARTITION_BYTES, Decision
from corpuskit.dedup.planning import evidence
from corpuskit.documents.kinds import Call, Model, Seen, Segment, State
from corpuskit.documents.kinds import StepCall as AppliedCall
from corpuskit.errors import UsageError
from corpuskit.index.planning import index
from corpuskit.loops.planning import swarm, train
from corpuskit.mix.methods import is_method
from corpuskit.plan.grouping import group, sampled
from corpuskit.recipe import Recipe
from corpuskit.shards.planning import cut, mixed
from corpuskit.steps.trained import Checkpoint


def make(recipe: Recipe, *, sample: float | None = None) -> Plan:
    """List the raw files and lay out all stages and units of a recipe; runs nothing.

    Args:
        recipe: validated.
        sample: take about this share of the reading units, chosen by the hash of their paths.

    Raises:
        UsageError: a pattern matches no file, two blocks have the same id, a model exceeds the memory budget.
    """
    return _Planner(recipe, sample).make()


class _Planner:
    """Holds what grows while the steps are walked: per source, the stage that its documents come from."""

    def __init__(self, recipe: Recipe, sample: float | None) -> None:
        self.recipe = recipe
        self.path, self.base, self.sources = recipe.path, recipe.base, recipe.sources
        self.sample = sample
        self.stages: dict[str, Stage] = {}
        self.docs: dict[str, str | None] = dict.fromkeys(recipe.sources)
        self.pending: dict[str, list[StepCall]] = {name: [] for name in recipe.sources}
        self.chain: dict[str, list[dict[str, Any]]] = {}
        self.decisions: dict[str, list[Decision]] = {name: [] for name in recipe.sources}
        self.state_of: dict[tuple[str, str], str] = {}
        self.signals: dict[str, list[str]] = {name: [] for name in recipe.sources}
        self.raw_units: dict[str, list[Unit]] = {}
        self.raw_bytes = 0

    def make(self) -> Plan:
        recipe = self.recipe
        self._refuse_large_models()
        self._list_files()
        for source in recipe.sources.values():
            self.chain[source.name] = [_reader_identity(recipe, source)]
            if source.step.extract:
                self._segment(f"read-{source.name}", source, final=False)
        for call in recipe.steps:
            sources = [s for s in recipe.sources.values() if call.only is None or s.domain in call.only]
            if call.step.kind == "barrier":
                self._barrier(call, sources)
            else:
                if call.step.trains(call.params):
                    self._model(call, sources)
                elif call.step.summarizes(call.params):
                    self._summary(call, sources)
                for source in sources:
                    self.pending[source.name].append(call)
        for source in recipe.sources.values():
            self._segment(f"corpus-{source.name}", source, final=True)
        evidence(self)
        index(self, recipe.index)
        warnings = list(recipe.warnings)
        if recipe.mix is not None:
            mix = recipe.mix
            blocks = cut(self, mix)
            learned = swarm(self, mix, blocks) if mix.swarm is not None else None
            mixed(self, mix, blocks, learned)
            if recipe.train is not None:
                train(self, recipe.train, mix)
            tables = [w for w in recipe.mix.weighings if isinstance(w, dict) and not is_method(w)]
            if len(tables) == len(recipe.mix.weighings):
                key = "mix.weights" if recipe.mix.phases is None else "mix.phases"
                left_out = {s.domain for s in recipe.sources.values()} - {name for table in tables for name in table}
                warnings += [f"`{key}` gives the domain `{domain}` no share" for domain in sorted(left_out)]
        plan = Plan(
            recipe.name,
            self.stages,
            recipe.memory,
            recipe.batch_bytes,
            self.raw_bytes,
            recipe.expect,
            warnings,
            self.sample,
        )
        plan.timeouts = _timeouts(plan, recipe.timeout)
        plan.stages = {name: self.stages[name] for name in plan.order()}
        return plan

    # -- raw files -------------------------------------------------------------------------------------------------

    def _list_files(self) -> None:
        from corpuskit.sources.listing import list_files

        blocks: dict[int, tuple[str, str, int]] = {}
        for source in self.recipe.sources.values():
            try:
                files = list_files(source.path, self.recipe.base)
            except UsageError as error:
                at = f"{self.recipe.path}:{source.line}: source `{source.name}`"
                again = f"to try another: corpuskit check {self.recipe.path} --set sources.{source.name}.path=PATH"
                raise UsageError(f"{at}: {error.message}", "\n  ".join(filter(None, (error.hint, again)))) from None
            self.raw_bytes += sum(file.size for file in files)
            units = [self._raw_unit(source, each) for each in group(files, splittable=source.step.splittable)]
            if self.sample is not None:
                units = sampled(units, self.sample)
            self.raw_units[source.name] = units
            for unit in units:
                for file in unit.inputs:
                    place = (source.name, file["relative"], file["block"])
                    other = blocks.setdefault(block_hash(self.recipe.salt, *place), place)
                    if other != place:
                        raise UsageError(
                            f"blocks {other} and {place} have the same document ids",
                            "set another `salt:` in the recipe (any text): all document ids change",
                        )

    def _raw_unit(self, source: Source, inputs: list[dict[str, Any]]) -> Unit:
        identity = digest([{k: file[k] for k in ("relative", "size", "identity", "start", "end")} for file in inputs])
        first, rest = inputs[0], len(inputs) - 1
        label = first["path"] + (f" [{first['start']}:{first['end']}]" if first["start"] is not None else "")
        size = sum(file["size"] if file["start"] is None else file["end"] - file["start"] for file in inputs)
        return Unit(
            digest([source.name, identity]), label + (f" and {rest} more" if rest else ""), inputs, identity, size
        )

    # -- documents: read, filter, edit, score ----------------------------------------------------------------------

    def _segment(self, name: str, source: Source, *, final: bool) -> None:
        """Add the stage that applies a source's pending steps; the last one writes the corpus."""
        recipe, upstream = self.recipe, self.docs[source.name]
        calls, self.pending[source.name] = self.pending[source.name], []
        decisions, self.decisions[source.name] = self.decisions[source.name], []
        needs: dict[str, Need] = {}
        if not (final or calls or decisions or upstream is None):
            return  # nothing to do: the documents stand in the stage above
        if upstream is not None:
            needs["docs"] = Need(upstream, "each")
        needs |= {decision.label: decision.need for decision in decisions}
        made = []
        for call in calls:
            identity = call.step.fingerprint(call.params)
            hidden = [] if call.step.reads else list(self.signals[source.name])
            signal, state = self._signal_key(source, call, identity), self.state_of.get((source.name, call.name))
            made.append(AppliedCall(call.reference, plain(call.params), call.name, identity, hidden, signal, state))
            if state is not None:
                needs[state] = Need(state, "all")
        first = upstream is None
        spec = Segment(
            domain=source.domain,
            source=source.name,
            apply=[decision.told for decision in decisions],
            steps=[{"rule": call.name, **call.identity} for call in made],
            keep_dropped=recipe.keep_dropped,
            base=str(recipe.base),
            on_error=source.on_error,
            calls=tuple(made),
            reader=self.chain[source.name][0] if first else None,
            read=Call(source.read, plain(source.params)) if first else None,
            final=final,
        )
        self.docs[source.name] = name
        raw = self.raw_units[source.name] if first else None
        self.add(Stage.of(name, "segment", spec, needs), like=upstream, raw=raw)

    def _signal_key(self, source: Source, call: StepCall, identity: dict[str, Any]) -> str | None:
        """The key under which a signal's columns are stored: the reader and the edits above it, never filters."""
        chain = self.chain[source.name]
        state = self.state_of.get((source.name, call.name))
        described = {**identity, "state": self.stages[state].units[0].key} if state else identity
        above = [link for link in chain if call.step.reads or link["kind"] != "signal"]
        if call.step.kind in ("signal", "edit"):
            # an edit that reads signals changes the text by them: they are then above whatever follows
            chain.append({**described, "read": above} if call.step.reads else described)
        if call.step.kind == "signal":
            columns = list(call.step.output_columns(call.params)) or [call.step.name]
            self.signals[source.name] += columns
            taken = {*RESERVED, *source.step.output_columns(source.params)}
            for column in sorted(taken & set(columns)):
                raise UsageError(
                    f"{self.recipe.path}:{call.line}: `{call.name}` would overwrite the column `{column}` "
                    f"of the source `{source.name}`",
                    "give the signal another name, or leave that domain out with `only:`",
                )
        return digest([above, described]) if call.step.kind == "signal" else None

    def holding(self, source: str) -> str:
        """The stage that holds the documents of a source that was read."""
        name = self.docs[source]
        assert name is not None, f"the documents of {source} stand in no stage"
        return name

    def partitions(self) -> int:
        """Units of a stage over all documents."""
        return 1 << max(self.raw_bytes // PARTITION_BYTES, min(3, self.raw_bytes // FEW_BYTES)).bit_length()

    def write(self, sources: list[Source], before: str) -> None:
        """End the segments of those sources whose texts are not written yet."""
        self.flush([source for source in sources if self._to_write(source.name)], before)

    def flush(self, sources: list[Source], before: str) -> None:
        """End the segments of `sources`, so that a barrier sees their documents as a stage."""
        for source in sources:
            first = self.docs[source.name] is None or self.docs[source.name] == f"read-{source.name}"
            self._segment(f"filter-{source.name}" if first else f"before-{before}-{source.name}", source, final=False)

    # -- barriers --------------------------------------------------------------------------------------------------

    def _barrier(self, call: StepCall, sources: list[Source]) -> None:
        decides = load(barriers()[call.step.name].plan)(self, call, sources)
        if decides is not None:
            # texts, and signals of them, now depend on the whole corpus
            state = digest([unit.key for unit in self.stages[decides].units])
            for source in sources:
                self.chain[source.name].append({**call.step.fingerprint(call.params), "state": state})

    def _to_write(self, source: str) -> bool:
        """Whether what is pending for a source changes texts or needs its documents read."""
        more = any(not barriers()[decision.told["barrier"]].only_removes for decision in self.decisions[source])
        return more or bool(self.pending[source]) or self.docs[source] is None

    def _summary(self, call: StepCall, sources: list[Source]) -> None:
        """Two stages before a step that needs to have seen everything: summarize unit by unit, merge once."""
        label = safe_name(call.name)
        self.flush(sources, label)
        needs: dict[str, Need] = {}
        step, base = call.step.fingerprint(call.step.summarized(call.params)), str(self.recipe.base)
        again = Call(call.reference, plain(call.params))
        for source in sources:
            name, upstream = f"summary-{label}-{source.name}", self.holding(source.name)
            stage = Stage.of(name, "summary", Seen(step, base, again), {"docs": Need(upstream, "each")})
            self.add(stage, like=upstream)
            needs[source.name] = Need(name, "all")
        merged = f"state-{label}"
        self.add(Stage.of(merged, "state", State(step, base, again, sorted(needs)), needs), count=1)
        for source in sources:
            self.state_of[source.name, call.name] = merged

    def _model(self, call: StepCall, sources: list[Source]) -> None:
        """The stage of the model that a step makes: of files, before any document, or of the documents of a domain."""
        name, again = f"model-{safe_name(call.name)}", Call(call.reference, plain(call.params))
        domain = call.step.trained_on(call.params)
        of = [] if domain is None else [one for one in self.sources.values() if one.domain == domain]
        self.flush(of, safe_name(call.name))
        needs = {one.name: Need(self.holding(one.name), "all") for one in of}
        spec = Model(call.step.trained(call.params)[1], str(self.recipe.base), again, _model_bytes(call), sorted(needs))
        self.add(Stage.of(name, "model", spec, needs), count=1)
        for source in sources:
            self.state_of[source.name, call.name] = name

    # -- keys ------------------------------------------------------------------------------------------------------

    def add(
        self, stage: Stage, *, like: str | None = None, raw: list[Unit] | None = None, count: int | None = None
    ) -> None:
        """Give a stage its key and its units: over raw files, one per unit of the stage `like`, or `count`."""
        needs = {label: self.stages[need.stage].key for label, need in stage.needs.items()}
        stage.key = digest({"body": stage.kind, "spec": stage.spec, "needs": needs})
        if stage.name in self.stages:
            raise UsageError(f"two stages would be named `{stage.name}`", "rename a source or a rule of the recipe")
        everything = [
            [label, [unit.key for unit in self.stages[need.stage].units]]
            for label, need in sorted(stage.needs.items())
            if need.how == "all"
        ]
        together = digest([stage.key, everything])
        if raw is not None:
            stage.units = [dataclasses.replace(unit, key=digest([together, unit.key])) for unit in raw]
        elif like is not None:
            one_to_one = [self.stages[need.stage].units for need in stage.needs.values() if need.how == "each"]
            stage.units = [
                dataclasses.replace(
                    unit,
                    inputs=[],
                    key=digest([together, unit.origin, *(units[number].key for units in one_to_one)]),
                )
                for number, unit in enumerate(self.stages[like].units)
            ]
        else:
            total = sum(unit.bytes for need in stage.needs.values() for unit in self.stages[need.stage].units)
            stage.units = [
                Unit(digest([together, number, count]), f"part {number + 1} of {count}", [], "", total // (count or 1))
                for number in range(count or 1)
            ]
        self.stages[stage.name] = stage

    def _refuse_large_models(self) -> None:
        for call in self.recipe.steps:
            size = _model_bytes(call)
            if size > self.recipe.memory:
                raise UsageError(
                    f"{self.recipe.path}:{call.line}: the model that `{call.name}` trains has at least {size:,} bytes; "
                    f"`memory` allows a worker {self.recipe.memory:,}",
                    "raise `memory:` in the recipe, or train a smaller model",
                )
            for name, value in call.params.items():
                size = value.bytes if isinstance(value, File | Checkpoint) else 0
                if size > self.recipe.memory:
                    raise UsageError(
                        f"{self.recipe.path}:{call.line}: `{name}: {value}` of `{call.name}` is {size:,} bytes; "
                        f"`memory` allows a worker {self.recipe.memory:,}",
                        "raise `memory:` in the recipe, or take a smaller model",
                    )


RESERVED = ("doc", "text", "domain", "source", "meta")
"""Columns that no signal may write."""


def _model_bytes(call: StepCall) -> int:
    """The least bytes of the model that a step trains first; 0 if it trains none."""
    if call.step.train_size is None or not call.step.trains(call.params):
        return 0
    return call.step.train_size(call.params)


def _reader_identity(recipe: Recipe, source: Source) -> dict[str, Any]:
    return {
        **source.step.fingerprint(source.params),
        "source": source.name,
        "domain": source.domain,
        "max_doc_bytes": recipe.max_doc_bytes,
        "salt": recipe.salt,
    }


def _timeouts(plan: Plan, asked: int | dict[str, int] | None) -> dict[str, int]:
    """Seconds that a unit may take, by stage.

    Raises:
        UsageError: there is no stage of such a name.
    """
    if not isinstance(asked, dict):
        return {} if asked is None else dict.fromkeys(plan.stages, asked)
    found = {}
    for name, seconds in asked.items():
        for stage in plan.named(name, "timeout"):
            found[stage] = seconds
    return found
