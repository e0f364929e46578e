"""Headers and identifiers are for the same documents in every run, and each can be found again."""

import json
import re

import pyarrow as pa
import pydantic
import pytest

from corpuskit.errors import UsageError
from corpuskit.explore.views import query, rebuild
from corpuskit.steps.metadata import identifiers, metadata
from corpuskit.store.root import Root
from tests.steps.step_runs import build

N = 2000


def batch(docs):
    columns = {"doc": pa.array(docs, pa.uint64()), "text": pa.array([f"text {doc}" for doc in docs], pa.large_string())}
    return pa.record_batch(columns | {"url": pa.array([f"https://a.org/{doc}" for doc in docs])})


def test_a_header_names_what_the_document_has():
    rows = {"doc": pa.array([1, 2, 3, 4], pa.uint64()), "text": ["One.", "Two.", None, "Four."]}
    rows |= {"url": ["https://a.org", None, "https://c.org", ""], "title": ["A\n title ", "B", "C", None]}
    after, found = metadata(pa.record_batch(rows), columns=["title", "url"])
    wanted = ["title: A title\nurl: https://a.org\n\nOne.", "title: B\n\nTwo.", None, "Four."]
    assert after.column("text").to_pylist() == wanted
    assert [(one["row"], one["item"]) for one in found.to_pylist()] == [(0, "title, url"), (1, "title")]
    with pytest.raises(UsageError, match="no column `date`"):
        metadata(pa.record_batch(rows), columns=["url", "date"])


@pytest.mark.parametrize(("one", "params"), [(metadata, {"columns": ["url"]}), (identifiers, {})])
def test_the_share_is_drawn_by_ids_and_seed_alone(one, params):
    def changed(docs, seed):
        after = one(batch(docs), **params, share=0.3, seed=seed)[0].column("text").to_pylist()
        return {doc: text for doc, text in zip(docs, after, strict=True) if text != f"text {doc}"}

    whole = changed(range(N), 1)
    assert abs(len(whole) - 0.3 * N) < 4 * (0.3 * 0.7 * N) ** 0.5
    assert changed(range(N - 1, 500, -1), 1) == {doc: text for doc, text in whole.items() if doc > 500}
    assert set(changed(range(N), 2)) != set(whole)


def test_identifiers_are_unique_and_stand_where_asked():
    after, found = identifiers(batch(range(N)), share=1.0, seed=7)
    assert len(set(found.column("item").to_pylist())) == N
    assert all(re.fullmatch("[A-Z2-7]{20}", one) for one in found.column("item").to_pylist())
    said = found.column("text")[5].as_py()
    assert said == f"The identifier of this text is {found.column('item')[5]}."
    assert after.column("text")[5].as_py() == f"text 5\n\n{said}"
    first, _ = identifiers(batch([5]), share=1.0, seed=7, at="start", sentence="{id}!")
    assert first.column("text")[0].as_py() == f"{found.column('item')[5]}!\n\ntext 5"
    assert identifiers(batch([5]), share=1.0, seed=8)[1].column("item")[0] != found.column("item")[5]
    with pytest.raises(pydantic.ValidationError, match="sentence"):
        identifiers.validate({"share": 0.1, "sentence": "no mark"})


def test_an_identifier_leads_back_to_the_raw_record(tmp_path):
    (tmp_path / "web.jsonl").write_text("\n".join(json.dumps({"text": f"page {n}"}) for n in range(20)))
    recipe = (
        "name: r\nsources:\n  web: {read: jsonl, path: web.jsonl}\nsteps:\n  - identifiers: {share: 0.5, seed: 3}\n"
    )
    (tmp_path / "r.yaml").write_text(recipe)
    assert build(tmp_path / "r.yaml") == 0
    root = Root(tmp_path / "root")
    rebuild(root, root.require_plan())
    sql = "SELECT item, record, corpus.text FROM findings JOIN lineage USING (doc) JOIN corpus USING (doc)"
    rows = query(root, sql).to_pylist()
    assert 0 < len(rows) < 20
    for row in rows:
        assert row["text"] == f"page {row['record']}\n\nThe identifier of this text is {row['item']}."
