"""Corpora of other tools: their records by a named schema, from JSON Lines and tables alike, and their folders."""

import datetime as dt
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources_reading import read
from test_sources_jsonl_batches import both, everything, mutated

from corpuskit.core import registry
from corpuskit.core.step import Bad
from corpuskit.errors import InputError, UsageError
from corpuskit.plan.planner import RESERVED
from corpuskit.recipe import load
from corpuskit.sources import jsonl as jsonl_reader
from corpuskit.sources.listing import list_files
from corpuskit.sources.schemas import SCHEMAS, SchemaName

PAGE = {
    "dump": "CC-MAIN-2099-01", "url": "https://example.org/a", "date": "2099-01-02T03:04:05Z", "file_path": "s3://b/x.gz",
    "language": "en", "language_score": 0.5, "token_count": 7,
}  # fmt: skip
PAGE_COLUMNS = {
    **{name: PAGE[name] for name in ("dump", "url", "date", "file_path", "token_count")},
    "content_language": "en",
    "content_language_score": 0.5,
}
META = {"url": "https://example.org/b", "timestamp": "2099", "source": "c4", "language": "en", "stars": 3}
META_COLUMNS = {
    "url": "https://example.org/b", "timestamp": "2099", "redpajama_source": "c4", "content_language": "en",
}  # fmt: skip
V2 = {"url": "https://example.org/c", "source_domain": "example.org", "digest": "sha1:AB", "date_download": "2099"}
V2_COLUMNS = {name.removesuffix("_download"): value for name, value in V2.items()}

RECORDS = [
    (
        "dolma",
        {
            "id": "7", "text": "t", "source": "web", "version": "v1", "added": "2099-01-01", "created": "2098-01-01",
            "metadata": {"url": "https://example.org/d", "length": 4, "license": {"name": "cc0"}},
            "attributes": {"x": [[0, 1, 0.5]]},
        },
        {
            "id": "7", "dolma_source": "web", "version": "v1", "added": "2099-01-01", "created": "2098-01-01",
            "url": "https://example.org/d",
        },
        {"attributes": {"x": [[0, 1, 0.5]]}, "length": 4, "license": {"name": "cc0"}},
    ),
    (
        "datatrove",
        {"text": "t", "id": "<urn:1>", "metadata": {**PAGE, "minhash_cluster_size": 2}},
        {"id": "<urn:1>", **PAGE_COLUMNS},
        {"minhash_cluster_size": 2},
    ),
    (
        "datatrove",
        {"text": "t", "id": "1", "media": [], "metadata": json.dumps(PAGE)},
        {"id": "1", **PAGE_COLUMNS},
        {"media": []},
    ),
    ("datatrove", {"text": "t", "id": "1", **PAGE}, {"id": "1", **PAGE_COLUMNS}, None),
    ("redpajama", {"text": "t", "meta": META}, META_COLUMNS, {"stars": 3}),
    ("redpajama", {"text": "t", "meta": json.dumps(META)}, META_COLUMNS, {"stars": 3}),
    (
        "redpajama",
        {"text": "t", "meta": str({**META, "it's": None}), "red_pajama_subset": "c4"},
        {**META_COLUMNS, "redpajama_subset": "c4"},
        {"stars": 3, "it's": None},
    ),
    ("redpajama", {"text": "t", "source": "cc/x", "pred_label": 1}, {"redpajama_source": "cc/x"}, {"pred_label": 1}),
    (
        "redpajama",
        {"text": "t", "meta": {"language": [{"name": "Go", "bytes": "9"}], "title": "T"}},
        {"content_language": '[{"name":"Go","bytes":"9"}]', "title": "T"},
        None,
    ),
    (
        "redpajama_v2",
        {
            "raw_content": "t", "doc_id": "2099-01/0/en_head.json.gz/0", "quality_signals": '{"n":[[0,1,2]]}',
            "meta": json.dumps({**V2, "partition": "head_middle", "language": "en"}),
        },
        {**V2_COLUMNS, "id": "2099-01/0/en_head.json.gz/0", "ccnet_bucket": "head_middle", "content_language": "en"},
        {"quality_signals": '{"n":[[0,1,2]]}'},
    ),
    (
        "redpajama_v2",
        {**V2, "raw_content": "t", "language": "de", "language_score": 0.5, "perplexity": 9, "bucket": "head", "n": 1},
        {
            **V2_COLUMNS, "content_language": "de", "ccnet_language_score": 0.5, "ccnet_perplexity": 9.0,
            "ccnet_bucket": "head",
        },
        {"n": 1},
    ),
    (
        "slimpajama",
        {"text": "t", "meta": {"redpajama_set_name": "RedPajamaC4"}},
        {"redpajama_set_name": "RedPajamaC4"},
        None,
    ),
    ("pile", {"text": "t", "meta": {"pile_set_name": "Pile-CC"}}, {"pile_set_name": "Pile-CC"}, None),
    ("fineweb", {"text": "t", "id": "1", **PAGE, "int_score": 3}, {"id": "1", **PAGE_COLUMNS}, {"int_score": 3}),
    ("c4", {"text": "t", "timestamp": "2099", "url": "u"}, {"timestamp": "2099", "url": "u"}, None),
    (
        "wikipedia_hf",
        {"id": "12", "url": "u", "title": "T", "text": "t"},
        {"id": "12", "url": "u", "title": "T"},
        None,
    ),
]  # fmt: skip


def write_lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def write_stream(path, table, rows=1000):
    """As `datasets` writes its files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=rows)
    return path


def test_every_schema_has_a_record_here_and_a_name_that_a_recipe_may_give():
    assert set(get_args(SchemaName)) == set(SCHEMAS) == {schema for schema, *_ in RECORDS}


def test_columns_of_schemas_have_names_that_nothing_else_uses():
    signals = registry.builtin(["signal"])
    taken = {
        *RESERVED,
        *signals,
        *(name for one in signals.values() if not callable(one.columns) for name in one.columns),
    }
    assert {"source", "language", "language_score"} <= taken
    for name, schema in SCHEMAS.items():
        assert not taken & set(schema.columns), name


@pytest.mark.parametrize(("schema", "record", "columns", "meta"), RECORDS)
def test_lines_and_tables_give_the_same_columns(schema, record, columns, meta, tmp_path):
    wanted = {"text": "t", **columns, **({} if meta is None else {"meta": meta})}
    lines = write_lines(tmp_path / "x.jsonl", record)
    assert read("jsonl", lines, schema=schema).documents == [wanted]
    one, batched = both(lines, schema_=schema)
    assert one == batched
    table = pa.Table.from_pylist([record])
    pq.write_table(table, tmp_path / "x.parquet")
    in_tables = {"text": "t", **columns}
    given = {name: value for name, value in (meta or {}).items() if value is not None or "it's" in meta}
    in_tables |= {"meta": given} if given else {}
    for path in (tmp_path / "x.parquet", write_stream(tmp_path / "x.arrow", table)):
        assert read("parquet", path, schema=schema).documents == [in_tables]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_batches_and_single_lines_agree(schema, tmp_path, monkeypatch):
    rng = random.Random(5)
    monkeypatch.setattr(jsonl_reader, "MANY", 0)
    lines = [json.dumps(record).encode() for name, record, *_ in RECORDS if name in (schema, "redpajama", "fineweb")]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n".join(mutated(rng, rng.choice(lines)) for _ in range(2000)))
    one, batched = both(path, schema_=schema)
    assert one == batched
    assert sum(isinstance(record, dict) for record in one) > 100
    records = jsonl_reader.jsonl.function(jsonl_reader.BatchedFile(str(path), "x"), schema_=schema)
    assert any(isinstance(record, pa.RecordBatch) for record in records)


def test_what_a_unit_keeps(tmp_path):
    records = [record for schema, record, *_ in RECORDS if schema == "dolma"] + [{"text": "u"}, {"id": "9"}]
    documents, books, *_ = everything(tmp_path / "unit", write_lines(tmp_path / "x.jsonl", *records), schema="dolma")
    first, second = documents
    assert json.loads(first["meta"]) == RECORDS[0][3]
    assert (first["dolma_source"], first["domain"]) == ("web", "web")
    assert {second[name] for name in [*SCHEMAS["dolma"].columns, "meta"]} == {None}
    assert dict(books["web"]) == {"read": 3, "unreadable": 1}


def test_a_record_without_text_is_bad_and_a_table_without_it_an_error(tmp_path):
    records = [{"raw_content": "t", "text": "other"}, {"text": "t"}, {"raw_content": None}]
    found = read("jsonl", write_lines(tmp_path / "x.jsonl", *records), schema="redpajama_v2")
    assert found.documents == [{"text": "t", "meta": {"text": "other"}}]
    without, null = (bad.reason for bad in found.bad)
    assert without == "no field `raw_content`, but `text` (a source names another with `text: FIELD`)"
    assert null == "`raw_content` is a null, no string"
    pq.write_table(pa.table({"text": ["t"]}), tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="no column `raw_content`"):
        read("parquet", tmp_path / "x.parquet", schema="redpajama_v2")


def test_the_fields_of_a_record_without_text_are_named_once_a_file(tmp_path):
    many = {"x" * 99: 1, **{f"f{number}": number for number in range(9)}}
    path = write_lines(tmp_path / "x.jsonl", {}, many, {"body": "b"}, {"text": "t"})
    empty, first, second = (bad.reason for bad in read("jsonl", path).bad)
    named = ", ".join(f"`{name}`" for name in ["x" * 40, *(f"f{number}" for number in range(7))])
    assert first == f"no field `text`, but {named} and 2 more (a source names another with `text: FIELD`)"
    assert (empty, second) == ("no field `text`", "no field `text`")


@pytest.mark.parametrize("reader", ["jsonl", "parquet"])
def test_text_and_columns_go_before_the_schema(reader, tmp_path):
    record = {
        "text": "t",
        "body": "b",
        "source": "web",
        "metadata": {"url": "u", "n": 4, "page": "p"},
        "x": {"y": True},
    }
    path = tmp_path / "x"
    write_lines(path, record) if reader == "jsonl" else pq.write_table(pa.Table.from_pylist([record]), path)
    columns = {"url": "string from metadata.page", "n": "float64 from metadata.n", "n2": "int64 from metadata.n"}
    found = read(reader, path, schema="dolma", text="body", columns={**columns, "x.y": "bool"})
    assert [{name: value for name, value in document.items() if value is not None} for document in found.documents] == [
        {
            "text": "b", "dolma_source": "web", "url": "p", "n": 4.0, "n2": 4, "x.y": True,
            "meta": {"text": "t", "x": {}, "url": "u"},
        }
    ]  # fmt: skip


def test_a_column_may_come_from_another_place_without_a_schema(tmp_path):
    record = {"text": "t", "a": {"b": {"c": 1}, "d": 2}, "e f": "g"}
    columns = {"c": "int64 from a.b.c", "copy": "float64 from a.b.c", "g": "string from e f", "a.d": "int64"}
    documents = [{"text": "t", "c": 1, "copy": 1.0, "g": "g", "a.d": 2}]
    lines = write_lines(tmp_path / "x.jsonl", record)
    assert read("jsonl", lines, columns=columns).documents == [{**documents[0], "meta": {"a": {"b": {}}}}]
    one, batched = both(lines, columns=columns)
    assert one == batched
    pq.write_table(pa.Table.from_pylist([record]), tmp_path / "x.parquet")
    assert read("parquet", tmp_path / "x.parquet", columns=columns).documents == documents


@pytest.mark.parametrize("reader", ["jsonl", "parquet"])
def test_values_of_other_types(reader, tmp_path):
    rows = [{"id": 5, "token_count": 7.0}, {"id": True, "token_count": 7.5}, {"language_score": "high"}]
    path = tmp_path / "x"
    documents, bad = [], []
    for row in rows:  # a column of a table has one type
        record = {"text": "t", **row}
        write_lines(path, record) if reader == "jsonl" else pq.write_table(pa.Table.from_pylist([record]), path)
        found = read(reader, path, schema="fineweb")
        documents += found.documents
        bad += [fault.reason for fault in found.bad]
    assert documents == [{"text": "t", "id": "5", "token_count": 7}]
    assert bad == ["`token_count` is a number, not int64", "`content_language_score` is a string, not float64"]


@pytest.mark.parametrize(
    "meta", ["{'a': 1", "{1: 2}", "{'a': {1, 2}}", "[1]", "plain", "{'\\d': open('x')}", "", "{" * 5000]
)
def test_text_that_writes_no_object_stays_in_meta(meta, tmp_path):
    found = read("jsonl", write_lines(tmp_path / "x.jsonl", {"text": "t", "meta": meta}), schema="redpajama")
    assert found.documents == [{"text": "t", "meta": {"meta": meta}}]


def test_a_table_of_metadata_overwrites_no_field(tmp_path):
    record = {"text": "t", "id": "1", "attributes": 1, "metadata": {"attributes": 2, "url": "u"}}
    found = read("jsonl", write_lines(tmp_path / "x.jsonl", record), schema="dolma")
    assert found.documents == [
        {"text": "t", "id": "1", "url": "u", "meta": {"attributes": 1, "metadata": {"attributes": 2}}}
    ]


def test_unknown_names_are_answered_with_the_nearest(tmp_path):
    path = write_lines(tmp_path / "x.jsonl", {"text": "t"})
    with pytest.raises(UsageError, match=r"no schema `dolmo`\s+did you mean `dolma`"):
        list(jsonl_reader.jsonl.function(jsonl_reader.SourceFile(str(path), "x"), schema_="dolmo"))
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "sources:\n  a: {read: jsonl, path: x.jsonl, schema: dolmo, columns: {u: strin from a}}\nsteps: []\n"
    )
    with pytest.raises(UsageError) as caught:
        load(recipe)
    assert "did you mean `dolma`" in str(caught.value)
    assert "did you mean `string`" in str(caught.value)


@pytest.mark.parametrize("name", RESERVED)
def test_a_column_that_a_corpus_has_itself_is_refused(name, tmp_path):
    write_lines(tmp_path / "x.jsonl", {"text": "t", "source": "s"})
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"sources:\n  a: {{read: jsonl, path: x.jsonl, columns: {{{name}: string}}}}\nsteps: []\n")
    with pytest.raises(UsageError, match=f"original_{name}: string from {name}"):
        load(recipe)


def test_types_of_tables(tmp_path):
    struct = pa.struct([("url", pa.string()), ("null", pa.string())])
    table = pa.table(
        {
            "text": pa.array(["one", "two"]).cast(pa.large_string()),
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "tags": pa.array([["x", "é"], None]),
            "metadata": pa.array([{"url": "u", "null": None}, None], struct),
            "pairs": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
            "date": pa.array([1, None], pa.timestamp("ns")),
            "day": pa.array([dt.date(2099, 1, 2), None]),
            "dot.ted": pa.array([1, 2], pa.int8()),
        }
    )
    path = write_stream(tmp_path / "x.arrow", table, rows=1)
    pq.write_table(table, tmp_path / "x.parquet")
    columns = {
        "kind": "string", "tags": "string", "url": "string from metadata.url", "metadata": "string",
        "pairs": "string", "dot.ted": "int64",
    }  # fmt: skip
    for file in (path, tmp_path / "x.parquet"):
        assert read("parquet", file, columns=columns).documents == [
            {
                "text": "one", "kind": "a", "tags": '["x","é"]', "url": "u", "metadata": '{"url":"u","null":null}',
                "pairs": '{"k":1}', "dot.ted": 1,
            },
            {
                "text": "two", "kind": "b", "tags": None, "url": None, "metadata": None, "pairs": "{}", "dot.ted": 2,
            },
        ]  # fmt: skip
        first, second = read("parquet", file, schema="dolma", columns={"day": "string"}).documents
        assert first["meta"]["date"].startswith("1970-01-01 00:00:00.000000001")
        assert (first["url"], first["day"]) == ("u", "2099-01-02")
        assert second == {"text": "two", "meta": {"kind": "b", "pairs": {}, "dot.ted": 2}}
        with pytest.raises(UsageError, match=r"no column `metadata.ur`\s+did you mean `metadata.url`"):
            read("parquet", file, columns={"u": "string from metadata.ur"})
        with pytest.raises(UsageError, match=r"no column `metdata`\s+did you mean `metadata`"):
            read("parquet", file, schema="dolma", columns={"u": "string from metdata.url"})
        assert read("parquet", file, text="metadata.url").bad == [Bad("the text is null", "row 1")]
        assert read("parquet", file, text="metadata.url", schema="c4").texts == ["u"]


def read_folder(reader, folder, **params):
    """All files of a folder as a source would read them: texts, and why others hold none."""
    texts, skipped, faults = [], Counter(), []
    for file in list_files(str(folder), Path("/")):
        found = read(reader, file.path, file.relative, **params)
        texts += found.texts
        skipped.update(found.skipped)
        faults += [*found.bad, *([found.error] if found.error else [])]
    return texts, dict(skipped), faults


def test_a_folder_that_save_to_disk_wrote(tmp_path):
    for split in ("train", "test"):
        for part in range(2):
            table = pa.table({"text": [f"{split} {part} {row}" for row in range(3)]})
            write_stream(tmp_path / f"{split}/data-0000{part}-of-00002.arrow", table, rows=2)
        for name in ("dataset_info.json", "state.json"):
            (tmp_path / split / name).write_text('{\n  "citation": ""\n}')
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    texts, skipped, faults = read_folder("parquet", tmp_path)
    assert texts == [f"{split} {part} {row}" for split in ("test", "train") for part in range(2) for row in range(3)]
    assert (skipped, faults) == ({"file about the data set": 5}, [])


def test_a_cache_of_datasets_gives_each_document_once(tmp_path):
    folder = tmp_path / "user___name/default-0a/0.0.0"
    write_stream(folder / "5f/name-train.arrow", pa.table({"text": ["a", "b"]}))
    write_stream(folder / "5f/cache-0123456789abcdef.arrow", pa.table({"text": ["a", "b"]}))
    write_stream(folder / "5f/cache-fedcba9876543210_00001_of_00002.arrow", pa.table({"indices": [1]}))
    (folder / "5f/dataset_info.json").write_text("{}")
    for lock in ("5f_builder.lock", "5f.incomplete_info.lock"):
        (folder / lock).write_bytes(b"")
    texts, skipped, faults = read_folder("parquet", tmp_path)
    assert (texts, faults) == (["a", "b"], [])
    assert skipped == {"file about the data set": 3, "result kept by datasets": 2}


def test_a_cache_of_the_hub_gives_each_document_once(tmp_path):
    folder = tmp_path / "datasets--user--name"
    for name in ("blobs", "refs", "snapshots/0a"):
        (folder / name).mkdir(parents=True)
    write_lines(folder / "blobs/77", {"text": "a"})
    (folder / "refs/main").write_text("0a")
    (folder / "snapshots/0a/x.jsonl").symlink_to("../../blobs/77")
    assert read_folder("jsonl", folder) == (["a"], {"kept by the hub's client": 2}, [])


def test_other_files_in_a_folder_are_no_data_but_an_error(tmp_path):
    (tmp_path / "notes.json").write_text("{}")
    texts, skipped, (fault,) = read_folder("parquet", tmp_path)
    assert (texts, skipped) == ([], {})
    assert "neither Parquet nor Arrow" in str(fault)
    write_lines(tmp_path / "state.json", {"text": "lines of JSON may have any name"})
    assert len(read("jsonl", tmp_path / "state.json").texts) == 1


def hub_folder(folder):
    """A data set as one lies on the hub, in two formats."""
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.table({"text": ["a", "b"]}), folder / "data/train-00000-of-00001.parquet")
    (folder / "extra").mkdir()
    write_lines(folder / "extra/more.jsonl", {"text": "c"})
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# Card\n")
    (folder / ".gitattributes").write_text("*.parquet filter=lfs diff=lfs merge=lfs -text\n")
    return folder


def test_a_repository_in_a_store(tmp_path):
    folder = hub_folder(tmp_path / "name")
    store = fsspec.filesystem("memory")
    store.put(f"{folder}/", "/schemas/user/name/", recursive=True)
    about = {"file about the data set": 2}
    store.rm("/schemas/user/name/extra", recursive=True)
    assert read_folder("parquet", "memory://schemas/user/name") == (["a", "b"], about, [])
    assert read_folder("parquet", "memory://schemas/user/name/**/*.parquet") == (["a", "b"], {}, [])


LIST_AND_READ = """
import sys
from pathlib import Path
from sources_reading import read
from corpuskit.sources.listing import list_files
for pattern in ("hf://datasets/user/name", "hf://datasets/user/name@main/data", "hf://datasets/user/name/**/*.jsonl"):
    for file in list_files(pattern, Path("/")):
        found = read("jsonl" if file.path.endswith("jsonl") else "parquet", file.path, file.relative, schema="c4")
        print(file.relative, len(file.identity), found.texts, found.skipped, found.bad, found.error)
"""


def test_the_hub_by_its_own_client(tmp_path):
    folder, here = hub_folder(tmp_path / "name"), Path(__file__).parent
    server = subprocess.Popen(
        [sys.executable, str(here / "hub_server.py"), str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        environment = {**os.environ, "HF_ENDPOINT": server.stdout.readline().strip(), "HF_HOME": str(tmp_path / "home")}
        environment["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parents[1])])
        done = subprocess.run(
            [sys.executable, "-c", LIST_AND_READ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    assert done.stdout.splitlines() == [
        ".gitattributes 40 [] ['file about the data set'] [] None",
        "README.md 40 [] ['file about the data set'] [] None",
        "data/train-00000-of-00001.parquet 40 ['a', 'b'] [] [] None",
        "extra/more.jsonl 40 ['c'] [] [] None",
        "train-00000-of-00001.parquet 40 ['a', 'b'] [] [] None",
        "extra/more.jsonl 40 ['c'] [] [] None",
    ], done.stderr


def test_a_store_that_cannot_be_reached_is_named(tmp_path):
    code = "import pathlib, corpuskit.sources.listing as l; l.list_files('hf://datasets/u/n', pathlib.Path())"
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert f"{InputError.__name__}: hf://datasets/u/n: cannot be listed" in done.stderr


def test_files_of_datatrove_itself(tmp_path):
    from datatrove.data import Document
    from datatrove.pipeline.writers import JsonlWriter, ParquetWriter

    documents = [Document(f"text {n}", f"id {n}", metadata={**PAGE, "n": n}) for n in range(30)]
    wanted = [{"text": f"text {n}", "id": f"id {n}", **PAGE_COLUMNS, "meta": {"n": n}} for n in range(30)]
    for name, writer in {
        "jsonl": JsonlWriter(str(tmp_path / "jsonl")),
        "parquet": ParquetWriter(str(tmp_path / "parquet")),
        "parquet_flat": ParquetWriter(str(tmp_path / "parquet_flat"), expand_metadata=True),
    }.items():
        with writer:
            for document in documents:
                writer.write(document, rank=0)
        (path,) = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        found = read(name.partition("_")[0], path, schema="datatrove").documents
        for document in found:
            document["meta"].pop("media", None)  # an empty list, where a writer keeps it
        assert found == wanted, name


def test_real_pages_of_c4(shared):
    found = read("jsonl", shared / "c4/c4-state_union.jsonl.zst", schema="c4")
    assert len(found.documents) == 65
    assert all(document["url"] and document["timestamp"] for document in found.documents)
