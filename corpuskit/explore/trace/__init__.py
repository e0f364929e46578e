"""A document's life and where it went: what `corpuskit trace` shows.

What is asked for is a document's id, a raw record, a place in tokens or shards, or a step of training; each leads to
documents, and a document leads to all the others.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpuskit.core.plan import Plan
from corpuskit.errors import UsageError
from corpuskit.explore.trace.life import Life
from corpuskit.explore.trace.origin import Origin, Origins
from corpuskit.explore.trace.text import place_text, step_text, text_of
from corpuskit.explore.trace.tokens import Shards, sequenced, stored_tokens, token_at, trainings
from corpuskit.store import removed
from corpuskit.store.root import Root

FORMS = "a document's id, FILE#RECORD, shards/FILE.bin:TOKEN, tokens/.../FILE.bin:TOKEN or step:N"


class Trace:
    """A run whose documents can be followed.

    Args:
        root: of the run. plan: of the last run in it.
    """

    def __init__(self, root: Root, plan: Plan) -> None:
        self.root, self.plan = root, plan
        self.origins = Origins(root, plan)
        self._shards: Shards | None = None
        self._trainings = trainings(root)

    @property
    def shards(self) -> Shards:
        """The shards of the run.

        Raises:
            UsageError: there are none.
        """
        if self._shards is None:
            self._shards = Shards(self.root, self.plan)
        return self._shards

    def document(self, doc: int) -> dict[str, Any]:
        """The life of a document.

        Raises:
            UsageError: there is no such document.
        """
        return self._life(self.origins.of(doc))

    def record(self, path: str, record: int) -> dict[str, Any]:
        """The life of the document of a raw record.

        Raises:
            UsageError: there is no such record.
        """
        return self._life(self.origins.at(path, record))

    def place(self, file: str, token: int) -> dict[str, Any]:
        """The sequence that holds a token of a file in `shards/` or `tokens/`, and the life of the token's document.

        Raises:
            UsageError: there is no such file, or it is shorter.
        """
        found = self.shards.at(file, token) if sequenced(self.plan) is not None else None
        if found is None:
            found = token_at(self.root, self.plan, file, token)
        if found is None:
            shown = f"corpuskit trace {self.root.url}"
            if sequenced(self.plan) is None:
                msg = f"the recipe of the run in {self.root.url} has no `mix`, so there are no shards and no tokens"
                raise UsageError(msg, f"{shown} FILE#RECORD follows a document")
            hint = f"{shown} {self.shards.files[0].publish}:{token} is a place in the first of the shards"
            raise UsageError(f"no file of shards or tokens of {self.root.url} is {file}", hint)
        return found | {"document": None if found["doc"] is None else self.document(found["doc"])}

    def step(self, number: int) -> dict[str, Any]:
        """What a step of the last training read: {training, step, steps, phase, sequences}.

        Raises:
            UsageError: there was no training, or it has fewer steps.
        """
        if not self._trainings:
            raise UsageError(f"no run in {self.root.url} trained", f"corpuskit train {self.root.url}")
        training = self._trainings[0]
        steps = training.budget.steps
        if not 1 <= number <= steps:
            raise UsageError(f"the training has no step {number}", f"it has the steps 1 to {steps:,}")
        now = training.budget.step(number)
        about = {"training": training.folder, "step": number, "steps": steps, "done": training.done}
        read = [now.sequences]
        if training.chosen is not None:
            if number not in training.chosen:
                raise UsageError(f"step {number} is not taken yet; its policy will choose what it reads")
            read = [range(each, each + 1) for each in training.chosen[number]]
        found = [row for each in read for row in training.shards.sequences(now.phase, each)]
        return about | {"phase": now.phase, "sequences": found}

    def _life(self, origin: Origin) -> dict[str, Any]:
        life = Life(self.root, self.plan, origin)
        down = life.fate == removed.RULE
        nowhere: dict[str, Any] = {"tokens": None, "shards": [], "training": []}
        return {
            "doc": origin.doc,
            "raw": origin.as_json(),
            **life.as_json(),
            "duplicate_of": next(iter(self._duplicates("doc", origin.doc)), None),
            "copies": self._duplicates("kept_doc", origin.doc),
            **(nowhere if down else {"tokens": stored_tokens(self.root, self.plan, origin), **self._trained(origin)}),
            "taken_down": self._taken_down(origin.doc) if down else None,
        }

    def _taken_down(self, doc: int) -> dict[str, Any]:
        """By which takedown a document went: {record, copy_of}; the record names the checkpoints that saw some."""
        copies = removed.listed(self.root.store).filter(pc.field("doc") == pa.scalar(doc, pa.uint64()))
        records = [
            key
            for key in self.root.store.list("removed")
            if key.endswith(".json") and doc in json.loads(self.root.store.get(key)).get("documents", ())
        ]
        return {"record": next(iter(records), None), "copy_of": copies["copy_of"][0].as_py()}

    def _duplicates(self, column: str, doc: int) -> list[dict[str, Any]]:
        stage = self.plan.stages.get("duplicates")
        wanted = pc.field(column) == pa.scalar(doc, pa.uint64())
        if column == "kept_doc":
            wanted &= pc.field("kept_root").is_null()
        found: list[dict[str, Any]] = []
        for receipt in self.root.complete(stage) if stage is not None else ():
            found += pq.read_table(receipt.parts["duplicates"].local(), filters=wanted).to_pylist()
        return found

    def _trained(self, origin: Origin) -> dict[str, Any]:
        """Where the document is in the shards, and what was trained on it; of the shards of earlier runs too."""
        stage = sequenced(self.plan)
        there = stage is not None and len(self.root.complete(stage)) == len(stage.units)
        runs = self.shards.of([origin.doc]) if there else []
        seen = []
        for training in self._trainings:
            try:
                mine = runs if there and self._same(training.plan) else training.shards.of([origin.doc])
            except UsageError:  # its shards are not complete, or are gone
                continue
            seen.append(training.saw(mine))
        return {"shards": runs, "training": seen}

    def _same(self, plan: Plan) -> bool:
        one, other = sequenced(plan), sequenced(self.plan)
        return one is not None and other is not None and one.folder == other.folder and one.units == other.units


def trace(root: Root, plan: Plan, what: str) -> tuple[str, dict[str, Any]]:
    """What is known of `what`, as text and as data.

    Raises:
        UsageError: it has none of the `FORMS`, or there is no such thing in the run.
    """
    opened = Trace(root, plan)
    if re.fullmatch(r"\d+", what):
        found = opened.document(int(what))
        return text_of(found), found
    if match := re.fullmatch(r"step:(\d+)", what):
        found = opened.step(int(match[1]))
        return step_text(found), found
    if match := re.fullmatch(r"(.+)#(\d+)", what):
        found = opened.record(match[1], int(match[2]))
        return text_of(found), found
    if match := re.fullmatch(r"(.+):(\d+)", what):
        found = opened.place(match[1], int(match[2]))
        return place_text(found), found
    raise UsageError(f"`{what}` is nothing that can be traced", FORMS)
