"""Plans and keys of earlier builds: what they made can be looked at, and is not made again."""

import json
from pathlib import Path
from typing import Any

from corpuskit.core.kinds import spec_of
from corpuskit.core.plan import Plan
from corpuskit.documents.kinds import Call, Model, Seen, Segment, State
from corpuskit.plan import make
from corpuskit.recipe import load
from corpuskit.shards.kinds import Tokenizer
from corpuskit.sources.jsonl import jsonl
from corpuskit.sources.parquet import parquet
from tests.core import builder

CALL = {"reference": "normalize", "params": {"unicode": "NFC"}}
IDENTITY = {"step": "normalize", "kind": "edit", "version": 1}
STEP = {**CALL, "name": "normalize", "identity": IDENTITY, "hidden": [], "signal": None, "state": None}
SEGMENT = {"version": 1, "domain": "web", "source": "web", "apply": [], "keep_dropped": False}


def stage(name: str, body: str, spec: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "kind": body, "spec": spec, "run": run, "needs": {}, "key": "0" * 16, "units": []}


def test_a_plan_made_before_stages_were_told_dataclasses_is_read() -> None:
    base = {"base": "/recipes"}
    old = [
        stage(
            "filter-web",
            "segment",
            {**SEGMENT, "reader": {"step": "jsonl"}, "steps": [{"rule": "normalize", **IDENTITY}]},
            {**base, "on_error": "fail", "reader": {"reference": "jsonl", "params": {"text": "text"}}, "steps": [STEP]},
        ),
        stage(
            "corpus-web", "segment", {**SEGMENT, "steps": [], "final": True}, {**base, "on_error": "drop", "steps": []}
        ),
        stage("summary-x-web", "summary", {"version": 1, "step": IDENTITY}, {**base, **CALL}),
        stage("state-x", "state", {"version": 1, "step": IDENTITY, "sources": ["web"]}, {**base, **CALL}),
        stage("model-x", "model", {"version": 1, "step": IDENTITY}, {**base, **CALL, "bytes": 7}),
        stage(
            "tokenizer",
            "tokenizer",
            {"version": 1, "sources": [], "tokenizers": "1", "tokenizer": "a"},
            {"tokenizer": "/a"},
        ),
    ]
    whole = {"recipe": "mine", "memory": 1, "batch_bytes": 1, "raw_bytes": 0, "expect": [], "warnings": []}
    text = json.dumps({**whole, "sample": None, "looked": {}, "stages": {one["name"]: one for one in old}})
    plan = Plan.parse(text)
    first, last = spec_of(plan.stages["filter-web"], Segment), spec_of(plan.stages["corpus-web"], Segment)
    assert (first.reads, first.strict, last.reads, last.strict) == (True, True, False, False)
    assert first.read == Call("jsonl", {"text": "text"})
    assert [call.name for call in first.calls] == ["normalize"]
    assert spec_of(plan.stages["summary-x-web"], Seen).call == Call(**CALL)
    assert spec_of(plan.stages["state-x"], State).call == Call(**CALL)
    assert spec_of(plan.stages["model-x"], Model).bytes == 7
    assert spec_of(plan.stages["tokenizer"], Tokenizer).wanted == "/a"
    assert Plan.parse(plan.dump()).dump() == plan.dump()


def test_a_table_without_a_schema_has_the_key_that_it_had_before_there_were_schemas() -> None:
    for reader in (jsonl, parquet):
        before = {"columns": {}, "text": "text"}
        assert reader.fingerprint(reader.validate({}))["params"] == before
        assert reader.fingerprint(reader.validate({"text": "text"}))["params"] == before
        own = reader.fingerprint(reader.validate({"schema": "dolma"}))["params"]
        named = reader.fingerprint(reader.validate({"schema": "dolma", "text": "text"}))["params"]
        assert own["schema_"] == "dolma"
        assert own != named


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    raw = builder.corpus(tmp_path / "raw", files=3, rows=5)
    plan = make(load(builder.recipe(tmp_path, raw), []))
    text = plan.dump()
    again = Plan.parse(text)
    assert again.dump() == text
    assert list(again.stages) == list(plan.stages)
    for name, stage in plan.stages.items():
        assert again.stages[name].units == stage.units
    assert text.count(plan.stages["filter-web"].units[0].label) < 3  # stages below name their units by keys alone
