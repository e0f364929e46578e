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


@dataclass(frozen=True)
class Unit:
    """The quantum of scheduling and resume; `origin` identifies the raw input it descends from, where that is one."""

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
        data = dataclasses.asdict(self)
        for stage in data["stages"].values():
            del stage["made"]
        return json.dumps(data, indent=1, sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Read what `dump` wrote."""
        data = json.loads(text)
        stages = {}
        for name, stage in data.pop("stages").items():
            needs = {label: Need(**need) for label, need in stage.pop("needs").items()}
            units = [Unit(**unit) for unit in stage.pop("units")]
            if "body" in stage:  # a plan of version 0.1 names the function
                stage["kind"] = stage.pop("body").rpartition(":")[2]
            stage["run"] = _told(stage["kind"], stage["run"])
            stages[name] = Stage(**stage, needs=needs, units=units)
        plan = cls(**data, stages=stages)
        plan.stages = {name: stages[name] for name in plan.order()}
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
