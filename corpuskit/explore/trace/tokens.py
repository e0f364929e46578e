"""Where a document's tokens are: its place in `tokens/`, the sequences of `shards/`, and which steps read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan as Stages
from corpuskit.core.plan import Stage
from corpuskit.core.work import Receipt
from corpuskit.documents.kinds import Segment
from corpuskit.errors import UsageError
from corpuskit.explore.trace.origin import Origin
from corpuskit.explore.trace.sequences import File, Stretch, Unwritten, Written, parts_of, unchecked
from corpuskit.loops.kinds import Training as Trained
from corpuskit.shards.domains import by_domain, open_train, open_validation
from corpuskit.shards.kinds import Mixed
from corpuskit.shards.plan import train_files
from corpuskit.store.root import Root
from corpuskit.train.config import Budget, budget, from_dict
from corpuskit.train.order import Plan
from corpuskit.train.saved import STATE

Row = dict[str, Any]

SPLITS = (("train", ""), ("validation", "validation_"))


def stored_tokens(root: Root, plan: Stages, origin: Origin) -> Row | None:
    """Where the tokens of a document are: {split, file, document, offset, tokens}.

    `document` is its number in the file, `offset` its first token there, from 0; `tokens` counts its end token.
    """
    for stage in plan.stages.values():
        corpus = plan.stages[stage.needs["corpus"].stage] if stage.kind == "tokens" else None
        if corpus is None or spec_of(corpus, Segment).source != origin.source:
            continue
        receipt = root.receipt(stage, origin.unit)
        for split, prefix in SPLITS if receipt is not None else ():
            if f"{prefix}docs" not in receipt.parts:  # type: ignore[union-attr]
                continue
            bin_, docs = (receipt.parts[prefix + name] for name in ("bin", "docs"))  # type: ignore[union-attr]
            table = pq.read_table(docs.local(), columns=["doc", "tokens"])
            place = pc.index(table["doc"], pa.scalar(origin.doc, pa.uint64())).as_py()
            if place >= 0:
                counts = table["tokens"].to_numpy().astype(np.int64)
                about = {"split": split, "file": bin_.publish, "document": place}
                return about | {"offset": int(counts[:place].sum()), "tokens": int(counts[place])}
    return None


def token_at(root: Root, plan: Stages, file: str, offset: int) -> Row | None:
    """The document at a place of a file in `tokens/`: {file, offset, token, doc}; None if it is no file of these.

    Raises:
        UsageError: the file is shorter.
    """
    for stage in plan.stages.values():
        if stage.kind != "tokens":
            continue
        for receipt in root.complete(stage):
            for _, prefix in SPLITS:
                part = receipt.parts.get(f"{prefix}bin")
                if part is None or not named(part.publish, file):
                    continue
                table = pq.read_table(receipt.parts[f"{prefix}docs"].local(), columns=["doc", "tokens"])
                ends = np.cumsum(table["tokens"].to_numpy().astype(np.int64))
                _check(file, offset, int(ends[-1]), "tokens")
                document = int(np.searchsorted(ends, offset, side="right"))
                tokens = np.memmap(part.local(), _dtype(part.bytes // int(ends[-1])), "r")
                about = {"file": part.publish, "offset": offset, "token": int(tokens[offset])}
                return about | {"doc": table["doc"][document].as_py()}
    return None


def named(publish: str | None, file: str) -> bool:
    """Whether a user means this published file: by its path under the root, or by a longer or shorter one."""
    return publish is not None and (f"/{file}".endswith(f"/{publish}") or publish.endswith(f"/{file}"))


def _dtype(size: int) -> str:
    return "<u2" if size == 2 else "<i4"


def _check(file: str, offset: int, size: int, what: str) -> None:
    if offset >= size:
        raise UsageError(f"{file} has no place {offset:,}", f"it has {size:,} {what}, numbered from 0")


def sequenced(plan: Stages) -> Stage | None:
    """The stage that has said, when it is complete, all that the sequences are: `shards`, or a mixture without any."""
    mixture = plan.stages.get("mixture")
    if mixture is None or spec_of(mixture, Mixed).write == "plan":
        return mixture
    return plan.stages["shards"]


class Shards:
    """The shards of a plan, from the parts of its units; where none are written, what they would be.

    Raises:
        UsageError: there are none, or not all are complete.
    """

    def __init__(self, root: Root, plan: Stages) -> None:
        stage = sequenced(plan)
        if stage is None:
            raise UsageError(f"the recipe of the run in {root.url} has no `mix`, so there are no shards")
        receipts = root.receipts(stage)
        mixture = root.receipts(plan.stages["mixture"])[0].parts
        self._plan = json.loads(mixture["plan"].local().read_bytes())
        self._index = json.loads(mixture["index"].local().read_bytes())
        self._orders = Plan.from_json(self._plan)
        self.dtype = np.dtype(self._index["dtype"]).newbyteorder("<").str
        written = stage.kind == "shards"
        self.files: list[File] = [*(self._written(receipts) if written else self._unwritten(root, plan, stage))]

    def _written(self, receipts: Iterable[Receipt]) -> Iterator[Written]:
        parts = {name: part for receipt in receipts for name, part in receipt.parts.items()}
        for name, first, sequences, width, phase in self._named():
            tokens, sidecar = parts[f"bin-{name}"], parts[f"docs-{name}"]
            yield Written(tokens, sidecar, f"shards/{name}.bin", first, sequences, width, phase, self.dtype)

    def _unwritten(self, root: Root, plan: Stages, stage: Stage) -> Iterator[Unwritten]:
        (cut,) = root.receipts(plan.stages["blocks"])
        groups = by_domain(
            spec_of(stage, Mixed).sources,
            lambda source: root.receipts(plan.stages[stage.needs[f"tokens:{source}"].stage]),
        )
        pad = self._index["pad"]
        stretches: dict[str | int, Stretch] = {}
        for number, order in enumerate(self._orders):
            domains = [
                open_train(cut, name, groups[name], self._plan, self.dtype, order.slices, unchecked)
                for name in order.names
            ]
            files = [parts_of(groups[name], "train") for name in order.names]
            stretches[number] = Stretch(domains, files, order, self.dtype, pad)
        for name in self._index["validation"]:
            held_out = open_validation(cut, name, groups[name], self._index, unchecked)
            stretches[name] = Stretch([held_out], [parts_of(groups[name], "validation")], None, self.dtype, pad)
        for name, first, sequences, width, phase in self._named():
            stretch = stretches[name.removeprefix("validation-") if phase is None else phase]
            yield Unwritten(stretch, f"shards/{name}.bin", first, sequences, width, phase)

    def _named(self) -> Iterator[tuple[str, int, int, int, int | None]]:
        """(name, first, sequences, width, phase) of each file, see `File`."""
        phases = self._plan.get("phases", [self._plan])
        for number, (phase, low, end) in enumerate(train_files(self._plan)):
            yield f"train-{number:05d}", low, end - low, phases[phase]["seq_len"] + 1, phase
        for name, entry in self._index["validation"].items():
            yield f"validation-{name}", 0, entry["sequences"], self._index["seq_len"] + 1, None

    def of(self, docs: list[int]) -> list[Row]:
        """The runs of some documents, see `run`, in the order of the files and sequences."""
        return [self._run(file, row) for file in self.files for row in file.having(docs)]

    def _run(self, file: File, row: Row) -> Row:
        """A run of a document's tokens: {file, sequence, start, length, doc, doc_start, domain, phase, epoch}.

        `number` is that of the sequence in its phase; no phase, number and epoch for held-out text.
        """
        said = {"file": file.publish, **row, "phase": file.phase}
        if file.phase is None:
            return said | {"number": None, "epoch": None}
        number = file.first + row["sequence"]
        _, epoch, _ = self._orders[file.phase].locate(np.array([number]))
        return said | {"number": number, "epoch": int(epoch[0])}

    def sequences(self, phase: int, numbers: range) -> list[Row]:
        """Sequences of a phase: [{file, sequence, number, documents}], the last as of `run`."""
        found = []
        for file in self.files:
            if file.phase != phase:
                continue
            low, end = max(numbers.start, file.first), min(numbers.stop, file.first + file.sequences)
            if low >= end:
                continue
            runs = file.between(low - file.first, end - file.first)
            for sequence in range(low - file.first, end - file.first):
                mine = [self._run(file, row) for row in runs if row["sequence"] == sequence]
                about = {"file": file.publish, "sequence": sequence, "number": file.first + sequence}
                found.append(about | {"documents": mine})
        return found

    def at(self, name: str, offset: int) -> Row | None:
        """What stands at a token of a file: {file, offset, sequence, column, token, documents, doc}; None if not ours.

        `doc` is None at padding.

        Raises:
            UsageError: the file is shorter.
        """
        file = next((one for one in self.files if named(one.publish, name)), None)
        if file is None:
            return None
        _check(name, offset, file.sequences * file.width, "tokens")
        sequence, column = divmod(offset, file.width)
        runs = [self._run(file, row) for row in file.between(sequence, sequence + 1)]
        here = [run["doc"] for run in runs if run["start"] <= column < run["start"] + run["length"]]
        return {
            "file": file.publish,
            "offset": offset,
            "sequence": sequence,
            "column": column,
            "token": int(file.read(sequence)[column]),
            "documents": runs,
            "doc": here[0] if here else None,
        }

    @property
    def phases(self) -> list[tuple[int, int]]:
        """Sequences of each phase, and targets of one."""
        return [(phase["sequences"], phase["seq_len"]) for phase in self._plan.get("phases", [self._plan])]


@dataclass(frozen=True)
class Training:
    """A training of this root: its checkpoints lie in `checkpoints/<key>`."""

    root: Root
    plan: Stages
    stage: Stage

    @property
    def folder(self) -> str:
        """Where its checkpoints are, below the root."""
        return f"checkpoints/{self.stage.units[0].key}"

    @cached_property
    def shards(self) -> Shards:
        """What it reads."""
        return Shards(self.root, self.plan)

    @cached_property
    def budget(self) -> Budget:
        """Its steps, as the trainer derives them."""
        given = {name: value for name, value in spec_of(self.stage, Trained).train.items() if name != "processes"}
        return budget(from_dict(given | {"shards": "", "out": ""}), self.shards.phases)

    @property
    def done(self) -> int:
        """The last step that was taken."""
        return max((record["step"] for record in self._log), default=0)

    @cached_property
    def _log(self) -> list[Row]:
        """The records of the trainer's log, but one that was cut short."""
        try:
            content = self.root.store.get(f"{self.folder}/metrics.jsonl")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in content.splitlines(keepends=True) if line.endswith(b"\n")]

    @cached_property
    def chosen(self) -> dict[int, list[int]] | None:
        """The sequences of each step that was taken, where a policy chose them; else None: the plan says which."""
        if not spec_of(self.stage, Trained).train.get("policy"):
            return None
        return {record["step"]: record["sequences"] for record in self._log if "sequences" in record}

    @property
    def checkpoints(self) -> list[int]:
        """The steps of the checkpoints that are there."""
        found = (re.search(rf"/step-(\d+)/{re.escape(STATE)}$", key) for key in self.root.store.list(self.folder))
        return sorted(int(name[1]) for name in found if name)

    def saw(self, runs: list[Row]) -> Row:
        """Which of its steps read some runs of `Shards`, and which checkpoints came after: {training, steps, ...}.

        `checkpoints` are those that are there; a step that is not taken yet is in `steps`, `done` says so.
        """
        places = {(run["phase"], run["number"]) for run in runs if run["phase"] is not None}
        if self.chosen is not None:
            numbers = {number for _, number in places}
            steps = sorted(step for step, read in self.chosen.items() if numbers.intersection(read))
        else:
            steps = sorted({step for place in places if (step := self.budget.step_of(*place)) is not None})
        after = [step for step in self.checkpoints if steps and step >= steps[0]]
        return {"training": self.folder, "steps": steps, "done": self.done, "checkpoints": after}


def trainings(root: Root) -> list[Training]:
    """The trainings of all runs in a root, the last one first."""
    found: dict[str, Training] = {}
    for run in reversed(root.runs()):
        plan = root.plan_of(run)
        stage = plan.stages.get("train")
        if stage is not None:
            found.setdefault(stage.units[0].key, Training(root, plan, stage))
    return list(found.values())
