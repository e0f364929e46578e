"""The plan as data: stages and units with their keys; a DAG that workers of all engines read as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from corpuskit.core.spec import Spec
from corpuskit.core.tables import html, size
from corpuskit.errors import UsageError, did_you_mean

How = Literal["each", "all"]


@dataclass(frozen=True)
class Need:
    """A stage that another needs: its unit of the same number (`each`), or all its units."""

    stage: str
    how: How


@dataclass(frozen=True, slots=True)
class Unit:
    """The quantum of scheduling and resume; `origin` identifies the raw input it descends from, where that is one.

    Every worker holds all of them: they are small.
    """

    key: str
    label: str
    inputs: list[dict[str, Any]]
    origin: str
    bytes: int


@dataclass
class Stage:
    """A node of the plan.

    Attributes:
        name: unique in the plan; `folder` adds the key.
        kind: name of a `corpuskit.core.kinds.StageKind`, which says what runs it and what it publishes; in the key.
        spec: what the body is told and the key is made of, as JSON; `corpuskit.core.kinds.spec_of` gives it with types.
        run: what the body is told besides: paths and other things without identity.
        needs: by label.
        made: what spec and run were made of, or what `spec_of` has made of them.
    """

    name: str
    kind: str
    spec: dict[str, Any]
    run: dict[str, Any]
    needs: dict[str, Need]
    key: str = ""
    units: list[Unit] = field(default_factory=list)
    made: Spec | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, name: str, kind: str, spec: Spec, needs: dict[str, Need]) -> Self:
        """A stage that is told `spec`, which the kind of that name takes."""
        return cls(name, kind, spec.identity(), spec.aside(), needs, made=spec)

    @property
    def folder(self) -> str:
        """Name of the stage's folder under `stages/`."""
        return f"{self.name}-{self.key}"


@dataclass
class Plan:
    """All stages in an order in which they can run; `timeouts`: seconds that a unit may take, by stage."""

    recipe: str
    stages: dict[str, Stage]
    memory: int
    batch_bytes: int
    raw_bytes: int
    expect: list[str]
    warnings: list[str]
    sample: float | None = None
    timeouts: dict[str, int] = field(default_factory=dict)

    def groups(self) -> dict[str, list[Stage]]:
        """The stages without their sources' names (`corpus` for `corpus-web` and `corpus-books`), in their order."""
        sources = {str(stage.spec["source"]) for stage in self.stages.values() if "source" in stage.spec}
        found: dict[str, list[Stage]] = {}
        for name, stage in self.stages.items():
            ends = [f"-{source}" for source in sources if name.endswith(f"-{source}")]
            found.setdefault(name.removesuffix(max(ends, key=len, default="")), []).append(stage)
        return found

    def _repr_html_(self) -> str:
        rows = [
            [name, f"{len(stages):,}", f"{sum(len(stage.units) for stage in stages):,}"]
            for name, stages in self.groups().items()
        ]
        return html(["stages", "number", "units"], rows, caption=f"{self.recipe}: {size(self.raw_bytes)} of raw files")

    def described(self, name: str) -> dict[str, Any]:
        """What a stage's key was hashed from, for `stage.json` and for saying why a stage is stale."""
        stage = self.stages[name]
        needs = {label: self.stages[need.stage].key for label, need in sorted(stage.needs.items())}
        return {"body": stage.kind, "spec": stage.spec, "needs": needs}

    def dump(self) -> str:
        """The plan as JSON; workers of all engines read it."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data["stages"] = {name: self._dumped(stage) for name, stage in self.stages.items()}
        return json.dumps(data, indent=1, sort_keys=True)

    def _dumped(self, stage: Stage) -> dict[str, Any]:
        """A stage as JSON; units that follow those of another stage one to one are told by their keys alone."""
        data = {field.name: getattr(stage, field.name) for field in dataclasses.fields(stage) if field.name != "made"}
        data["needs"] = {label: dataclasses.asdict(need) for label, need in stage.needs.items()}
        one_to_one = (need.stage for _, need in sorted(stage.needs.items()) if need.how == "each")
        above = self.stages.get(next(one_to_one, ""))
        if above is not None and _alike(stage.units, above.units):
            return data | {"units": {"like": above.name, "keys": [unit.key for unit in stage.units]}}
        return data | {"units": [dataclasses.asdict(unit) for unit in stage.units]}

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Read what `dump` wrote."""
        data = json.loads(text)
        data.pop("looked", None)  # what a version kept of the look at its files
        stages: dict[str, Stage] = {}
        waiting: dict[str, dict[str, Any]] = {}
        for name, stage in data.pop("stages").items():
            needs = {label: Need(**need) for label, need in stage.pop("needs").items()}
            if isinstance(listed := stage.pop("units"), dict):
                waiting[name], listed = listed, []
            units = [Unit(**unit) for unit in listed]
            if "body" in stage:  # a plan of version 0.1 names the function
                stage["kind"] = stage.pop("body").rpartition(":")[2]
            stage["run"] = _told(stage["kind"], stage["run"])
            stages[name] = Stage(**stage, needs=needs, units=units)
        plan = cls(**data, stages=stages)
        plan.stages = {name: stages[name] for name in plan.order()}
        for name in plan.stages:
            if name in waiting:
                above = stages[waiting[name]["like"]].units
                pairs = zip(above, waiting[name]["keys"], strict=True)
                stages[name].units = [Unit(key, one.label, _NONE, one.origin, one.bytes) for one, key in pairs]
        return plan

    def order(self) -> list[str]:
        """Stage names, needed ones first, else by name."""
        done: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in done:
                for need in sorted(need.stage for need in self.stages[name].needs.values()):
                    visit(need)
                done[name] = None

        for name in sorted(self.stages):
            visit(name)
        return list(done)

    def named(self, wanted: str, by: str) -> list[str]:
        """The stage `wanted`, or all stages of that kind, as `corpus`; `by` is for the error.

        Raises:
            UsageError: no such stage.
        """
        found = [name for name in self.stages if name == wanted or name.startswith(f"{wanted}-")]
        if not found:
            raise UsageError(
                f"{by} {wanted}: there is no such stage",
                did_you_mean(wanted, self.stages) or f"stages: {', '.join(self.stages)}",
            )
        return found

    def until(self, wanted: str) -> set[str]:
        """The stage `wanted` (or all stages of that kind, as `corpus`) and what they need.

        Raises:
            UsageError: no such stage.
        """
        keep: set[str] = set()
        waiting = self.named(wanted, "--until")
        while waiting:
            name = waiting.pop()
            if name not in keep:
                keep.add(name)
                waiting += [need.stage for need in self.stages[name].needs.values()]
                if name.startswith("corpus-") and "duplicates" in self.stages:
                    waiting.append("duplicates")  # a corpus is published with the evidence of what was removed
        return keep


def _alike(units: list[Unit], above: list[Unit]) -> bool:
    """Whether units differ from others in their keys alone, but for raw inputs, which they have none of."""
    return len(units) == len(above) and all(
        not unit.inputs and (unit.label, unit.origin, unit.bytes) == (other.label, other.origin, other.bytes)
        for unit, other in zip(units, above, strict=True)
    )


_NONE: list[dict[str, Any]] = []


def _told(kind: str, run: dict[str, Any]) -> dict[str, Any]:
    """What a body is told besides, by the names of today: plans made before `Spec` used others."""
    if kind == "segment" and "steps" in run:
        run["calls"] = run.pop("steps")
        if "reader" in run:
            run["read"] = run.pop("reader")
    elif kind in ("summary", "state", "model") and "reference" in run:
        run["call"] = {"reference": run.pop("reference"), "params": run.pop("params")}
    elif kind == "tokenizer" and "tokenizer" in run:
        run["wanted"] = run.pop("tokenizer")
    return run
