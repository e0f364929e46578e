"""The views show the current run wherever it stands, and a query reaches nothing but the run."""

import contextlib
import json
import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.core.checksum import parse_record, with_sum
from corpuskit.errors import UsageError
from corpuskit.explore import views
from corpuskit.store.root import Root


@pytest.fixture
def ready(root: Root) -> Root:
    views.rebuild(root, root.require_plan())
    return root


def one(root: Root, sql: str) -> object:
    (row,) = views.query(root, sql).to_pylist()
    (value,) = row.values()
    return value


@pytest.mark.parametrize("name", views.VIEWS)
def test_every_view_answers_with_rows(ready: Root, name: str) -> None:
    # no step of this recipe finds anything, see tests/steps/test_pii.py for one that does
    assert (one(ready, f"SELECT count(*) FROM {name}") > 0) == (name != "findings")
    assert views.query(ready, f"DESCRIBE {name}").num_rows > 1


def test_published_views_hold_what_any_parquet_tool_reads(ready: Root) -> None:
    table = pq.read_table(ready.path / "corpus")
    found = views.query(ready, "SELECT doc, text, domain, url, clean_chars FROM corpus ORDER BY doc")
    expected = table.sort_by("doc")
    for name in ("doc", "text", "url", "clean_chars"):
        assert found[name].to_pylist() == expected[name].to_pylist()
    assert found["domain"].to_pylist() == [str(value) for value in expected["domain"].to_pylist()]


def test_signals_are_those_of_kept_and_dropped_documents_without_text(ready: Root) -> None:
    columns = views.query(ready, "DESCRIBE signals")["column_name"].to_pylist()
    assert {"doc", "domain", "rule", "clean_chars"} <= set(columns)
    assert "text" not in columns
    kept, dropped = (one(ready, f"SELECT count(*) FROM {name}") for name in ("corpus", "dropped"))
    assert one(ready, "SELECT count(*) FROM signals WHERE rule IS NULL") == kept
    assert one(ready, "SELECT count(*) FROM signals WHERE rule = 'too_short' AND clean_chars < 60") == dropped


def test_lineage_leads_from_every_document_to_its_line_of_the_raw_file(ready: Root) -> None:
    assert one(ready, "SELECT count(*) FROM lineage") == 240
    assert one(ready, "SELECT count(DISTINCT fate) FROM lineage") >= 4
    assert one(ready, "SELECT count(*) FROM lineage WHERE path IS NULL") == 0
    sql = "SELECT url, relative, record, lineage.domain FROM corpus JOIN lineage USING (doc) ORDER BY doc"
    for row in views.query(ready, sql).to_pylist():
        domain, number, line = row["url"].removeprefix("https://").split("/")
        assert row["domain"] == domain
        assert Path(row["relative"]).name.startswith(f"{int(number):02d}.jsonl")
        assert row["record"] == int(line)


def test_shards_say_whose_tokens_are_where(ready: Root) -> None:
    files = views.query(ready, "SELECT DISTINCT file FROM shards ORDER BY 1")["file"].to_pylist()
    assert files == ["train-00000.bin", "validation-books.bin", "validation-web.bin"]
    train = "SELECT DISTINCT doc FROM shards WHERE file LIKE 'train%'"
    assert one(ready, f"SELECT count(*) FROM ({train}) ANTI JOIN corpus USING (doc)") == 0
    held_out = "SELECT DISTINCT doc FROM shards WHERE file LIKE 'validation%'"
    assert one(ready, f"SELECT count(*) FROM ({held_out}) ANTI JOIN holdout USING (doc)") == 0


def test_receipts_of_stages_that_are_no_longer_planned_do_not_show(ready: Root) -> None:
    plan = ready.require_plan()
    shown = views.query(ready, "SELECT stage, unit, key FROM receipts ORDER BY ALL").to_pylist()
    keys = {(stage.name, unit.key) for stage in plan.stages.values() for unit in stage.units}
    assert {(row["stage"], row["key"]) for row in shown} == keys
    first = next(iter(plan.stages.values()))
    here = ready.path / "stages" / first.folder
    shutil.copytree(here, here.with_name(f"{first.name}-stale"))
    del plan.stages["shards"]
    views.rebuild(Root(ready.path), plan)
    assert one(ready, "SELECT count(*) FROM receipts") == len(keys) - 1
    assert one(ready, "SELECT sum((books->'web'->>'read')::BIGINT) FROM receipts") == 120


def test_the_domain_table_is_a_view(ready: Root) -> None:
    rows = views.query(ready, "SELECT * FROM domain_stats").to_pylist()
    assert [row["domain"] for row in rows] == ["books", "web"]
    assert sum(row["kept"] for row in rows) == one(ready, "SELECT count(*) FROM corpus")
    assert one(ready, "SELECT sum(rules['too_short'])::BIGINT FROM domain_stats") == one(
        ready, "SELECT count(*) FROM dropped"
    )


def test_folders_without_files_are_empty_tables_with_their_columns(ready: Root) -> None:
    for folder in ("dropped", "holdout", "duplicates", "shards"):
        shutil.rmtree(ready.path / folder)
    (ready.path / "files.parquet").unlink()
    views.rebuild(ready, ready.require_plan())
    for name in ("dropped", "holdout", "duplicates", "shards"):
        assert views.query(ready, f"SELECT doc, domain FROM {name}").num_rows == 0
    assert views.query(ready, "SELECT rule, reason FROM dropped").num_rows == 0
    assert one(ready, "SELECT count(*) FROM lineage WHERE path IS NULL") == one(ready, "SELECT count(*) FROM corpus")


def test_a_moved_root_works_after_a_rebuild(ready: Root, tmp_path: Path) -> None:
    before = one(ready, "SELECT count(*) FROM corpus")
    moved = Root(Path(shutil.move(ready.path, tmp_path / "elsewhere")))
    views.rebuild(moved, moved.require_plan())
    assert one(moved, "SELECT count(*) FROM corpus") == before


def test_a_rebuild_without_a_change_writes_nothing_and_a_lost_database_comes_back(ready: Root) -> None:
    database = ready.path / views.DATABASE
    before = database.stat().st_ino
    views.rebuild(ready, ready.require_plan())
    assert database.stat().st_ino == before
    database.unlink()
    views.rebuild(ready, ready.require_plan())
    assert one(ready, "SELECT count(*) FROM corpus") > 0
    assert not [path for path in ready.path.iterdir() if path.name.startswith(".") and path.name != ".seal"]


OUTSIDE = "reads nothing outside the run folder"
QUERY = "a query is one SELECT"


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT * FROM read_text('/etc/passwd')", OUTSIDE),
        ("SELECT * FROM read_csv('/etc/passwd')", OUTSIDE),
        ("SELECT * FROM '/etc/hosts.csv'", OUTSIDE),
        ("SELECT * FROM glob('/etc/*')", OUTSIDE),
        ("SELECT * FROM read_text('{root}/../outside.txt')", OUTSIDE),
        ("SELECT * FROM read_text('file:///etc/passwd')", OUTSIDE),
        ("SELECT * FROM read_blob('/proc/self/environ')", OUTSIDE),
        ("SELECT * FROM read_text('https://example.com')", OUTSIDE),
        ("COPY corpus TO '/tmp/corpuskit-stolen.csv'", QUERY),
        ("COPY corpus TO '{root}/corpus/domain=web/more.parquet'", QUERY),
        ("EXPLAIN ANALYZE COPY corpus TO '{root}/x.csv'", QUERY),
        ("EXPORT DATABASE '{root}/x'", QUERY),
        ("ATTACH '/tmp/other.duckdb'", QUERY),
        ("ATTACH '{root}/other.duckdb'", QUERY),
        ("INSTALL httpfs", QUERY),
        ("LOAD httpfs", QUERY),
        ("SET enable_external_access = true", QUERY),
        ("RESET lock_configuration", QUERY),
        ("PRAGMA database_list", QUERY),
        ("CREATE TEMP TABLE x AS SELECT 1", QUERY),
        ("DROP VIEW corpus", QUERY),
        ("SELECT 1; SELECT 2", QUERY),
        ("SELECT 1; COPY corpus TO '{root}/x.csv'", QUERY),
        ("", QUERY),
        ("SELECT * FROM query('COPY corpus TO x')", "single SELECT"),
        ("SELECT * FROM ready", "Table with name ready does not exist"),
    ],
    ids=lambda value: value[:40] if value not in (OUTSIDE, QUERY) else "",
)
def test_a_query_reads_the_run_and_does_nothing_else(ready: Root, sql: str, why: str) -> None:
    (ready.path.parent / "outside.txt").write_text("secret")
    before = sorted(ready.path.rglob("*"))
    with pytest.raises(UsageError, match=why):
        views.query(ready, sql.replace("{root}", str(ready.path).replace("'", "''")))
    assert sorted(ready.path.rglob("*")) == before


def test_the_connection_itself_is_locked(ready: Root) -> None:
    """What the check of the statement lets through must still find no way out."""
    with contextlib.closing(views.connect(ready)) as connection:
        for sql in (
            "SET enable_external_access = true",
            "SET threads = 1",
            "LOAD httpfs",
            "ATTACH '/tmp/other.duckdb'",
        ):
            with pytest.raises(duckdb.Error, match=r"disabled|locked"):
                connection.execute(sql)
        with pytest.raises(duckdb.PermissionException):
            connection.execute("COPY (SELECT 1) TO '/tmp/corpuskit-stolen.csv'")


@pytest.mark.parametrize(
    ("sql", "names", "values"),
    [
        ("SELECT 1 AS a, 2 AS a", ["a", "a_1"], [1, 2]),
        ("SELECT 1 AS a, 2 AS a, 3 AS a, 4 AS a_1", ["a", "a_2", "a_3", "a_1"], [1, 2, 3, 4]),
        ("SELECT 1 AS a, 2 AS a, 3 AS A", ["a", "a_1", "A"], [1, 2, 3]),
        ("SELECT * FROM (SELECT 7 AS doc) x JOIN (SELECT 7 AS doc) y ON x.doc = y.doc", ["doc", "doc_1"], [7, 7]),
        ("SELECT 1 AS a, 2 AS a WHERE false", ["a", "a_1"], None),
    ],
)
def test_columns_of_one_name_are_told_apart(
    ready: Root, sql: str, names: list[str], values: list[int] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    table = views.query(ready, sql)
    assert table.column_names == names
    rows = [] if values is None else [dict(zip(names, values, strict=True))]
    assert table.to_pylist() == rows
    assert main(["stats", str(ready.path), "--sql", sql, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rows
    assert main(["stats", str(ready.path), "--sql", sql]) == 0
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == names
    assert [list(map(int, line.split())) for line in lines] == ([] if values is None else [values])


def test_errors_of_sql_say_what_duckdb_says_and_name_the_views(ready: Root) -> None:
    with pytest.raises(UsageError, match=r"corpsu.*(?s:.)*views: corpus, holdout, dropped"):
        views.query(ready, "SELECT * FROM corpsu")
    with pytest.raises(UsageError, match=r"nope.*(?s:.)*Candidate bindings"):
        views.query(ready, "SELECT nope FROM corpus")
    with pytest.raises(UsageError, match="syntax error"):
        views.query(ready, "SELEC 1")


def test_sums_are_integers_where_they_fit(ready: Root) -> None:
    found = views.query(ready, "SELECT sum(clean_chars) AS a, sum(doc) * 1000000 AS b FROM corpus").to_pylist()[0]
    assert type(found["a"]) is int
    assert found["b"] > 2**64


def test_books_and_facts_are_json(ready: Root) -> None:
    for row in views.query(ready, "SELECT books, facts FROM receipts").to_pylist():
        assert isinstance(json.loads(row["books"]), dict)
        assert isinstance(json.loads(row["facts"]), dict)


def test_a_thousand_receipts_are_in_the_views(ready: Root) -> None:
    plan = ready.require_plan()
    stage = plan.stages["filter-web"]
    receipt = ready.path / "stages" / stage.folder / "receipts" / f"{stage.units[0].key}.json"
    data = parse_record(receipt.read_bytes())
    for number in range(1000):
        unit = type(stage.units[0])(f"{number:016x}", f"file {number}", [], "", 1)
        stage.units.append(unit)
        receipt.with_name(f"{unit.key}.json").write_bytes(with_sum(data | {"key": unit.key}))
    fresh = Root(ready.path)
    views.rebuild(fresh, plan)
    assert one(fresh, "SELECT count(*) FROM receipts WHERE stage = 'filter-web'") == 1001


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT count(*) FROM Corpus", {"corpus"}),
        ("FROM signals", {"signals", "corpus", "dropped"}),
        ("FROM lineage", {"lineage", "corpus", "holdout", "dropped", "duplicates"}),
        ('SELECT * FROM "shards" JOIN main.receipts ON true', {"shards", "receipts"}),
        ("SHOW TABLES", set(views.VIEWS)),
        ("SELECT view_name FROM duckdb_views() WHERE view_name = 'corpus'", set(views.VIEWS)),
        ("SELECT 1", set(views.VIEWS)),
    ],
)
def test_a_query_looks_at_the_files_of_the_views_that_it_reads(ready: Root, sql: str, names: set[str]) -> None:
    with contextlib.closing(views.connect(ready, names=views._named(sql))) as connection:
        made = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    assert {name for (name,) in made} >= names
    assert len(made) == len(names) or "lineage" in names
    views.query(ready, sql)


@pytest.mark.parametrize("folder", ["corpus", "dropped", "holdout"])
def test_documents_are_read_from_the_files_that_hold_them(ready: Root, folder: str) -> None:
    columns = "doc, domain, left(text, 20)"
    with contextlib.closing(views.connect(ready, names=[folder])) as cursor:
        every = cursor.execute(f"SELECT {columns} FROM {folder} ORDER BY hash(doc)").fetchall()
        wanted = every[:5]
        docs = [doc for doc, *_ in wanted]
        assert sorted(views.of_documents(ready, cursor, folder, columns, [*docs, 1])) == sorted(wanted) != []
        assert views.of_documents(ready, cursor, folder, columns, []) == []
        assert views.of_documents(ready, cursor, folder, columns, [1]) == []
