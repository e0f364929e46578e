"""Rules are DuckDB scalar expressions that give the same for a document whatever stands beside it, and whenever."""

import pyarrow as pa
import pytest

from corpuskit.errors import UsageError
from corpuskit.steps.where import check_types, columns_of, where

DOCUMENTS = pa.record_batch(
    {
        "words": pa.array([10, 60, None], pa.int64()),
        "language": pa.array(["en", "de", "en"]),
        "Score": pa.array([0.5, None, 0.9], pa.float32()),
        "meta": pa.array(['{"stars": 3}', None, '{"stars": 12}']),
        "tags": pa.array([["a", "b"], [], None], pa.list_(pa.string())),
        "day": pa.array([0, 1, 2], pa.timestamp("us", tz="UTC")),
    }
)


def kept(expr, batch=DOCUMENTS):
    return where(batch, expr=expr)[0].to_pylist()


@pytest.mark.parametrize(
    ("expr", "columns", "keep"),
    [
        ("words >= 50", {"words"}, [False, True, False]),
        ("words < 50 OR language = 'de'", {"words", "language"}, [True, True, False]),
        ("coalesce(words, 99) BETWEEN 50 AND 100", {"words"}, [False, True, True]),
        ("(meta ->> '$.stars')::INT > 5", {"meta"}, [False, False, True]),
        ("(meta -> '$.stars') IS NOT NULL", {"meta"}, [True, False, True]),
        ("len(list_filter(tags, lambda x: x = language OR x = 'a')) = 1", {"tags", "language"}, [True, False, False]),
        ("language IN ('en', 'fr') -- a remark", {"language"}, [True, False, True]),
        ('if(words > 5, "Score" < 0.6, true)', {"words", "Score"}, [True, False, True]),
        ("year(day) = 1970 AND hour(day) = 0", {"day"}, [True, True, True]),
        ("true", set(), [True, True, True]),
    ],
)
def test_expressions_say_what_they_read_and_decide_row_by_row(expr, columns, keep):
    assert columns_of(expr) == columns
    assert kept(expr) == keep


def test_a_null_drops_and_is_told_apart_from_a_false():
    mask, reasons = where(DOCUMENTS, expr="words >= 50")
    assert mask.to_pylist() == [False, True, False]
    assert reasons.to_pylist() == [None, None, "no value"]


def test_names_are_blind_to_case_unless_one_matches_exactly():
    assert kept("score > 0.6") == [False, False, True]
    both = pa.record_batch({"Words": [1], "words": [100]})
    assert kept("words > 50", both) == [True]
    with pytest.raises(UsageError, match="could be any of Words, words"):
        kept("WORDS > 50", both)


@pytest.mark.parametrize(
    ("expr", "reason"),
    [
        ("words >", 'syntax error at or near ">"'),
        ("", "without selection list"),
        ("words, language", "not one scalar expression"),
        ("words AS x", "not one scalar expression"),
        ("DISTINCT words", "not one scalar expression"),
        ("words > 5 FROM documents", "not one scalar expression"),
        ("words > 5 WHERE language = 'en'", "not one scalar expression"),
        ("words > 5; SELECT 1", "not one scalar expression"),
        ("words > 5 UNION SELECT 1", "not one scalar expression"),
        ("*", "a star"),
        ("COLUMNS('w.*') > 1", "a star"),
        ("$1", "a parameter"),
        ("#1 > 1", "a positional reference"),
        ("(SELECT 1) > 0", "a subquery"),
        ("words IN (SELECT 1)", "a subquery"),
        ("EXISTS (FROM read_text('/etc/passwd'))", "a subquery"),
        ("words > avg(words)", "`avg` is an aggregate"),
        ("row_number() OVER () > 1", "a window function"),
        ("unnest(tags) = 'a'", "`unnest` is not a function of the row alone"),
        ("read_text('/etc/passwd') = 'x'", "`read_text` is not a function of the row alone"),
        ("random() < 0.5", "`random`"),
        ("RANDOM() < 0.5", "`random`"),
        ("main.random() < 0.5", "`random`"),
        ("uuid() = 'x'", "`uuid`"),
        ("day < now()", "`now`"),
        ("day < today()", "`today`"),
        ("day < current_date", "clock"),
        ("age(day) > interval '3 days'", "`age`"),
        ("day < ago(interval '3 days')", "clock"),
        ("nextval('s') > 1", "`nextval`"),
        ("current_setting('threads') = '1'", "`current_setting`"),
        ("regexp_match(language, 'x')", "did you mean `regexp_matches`"),
    ],
)
def test_what_is_not_a_function_of_the_row_is_refused_before_anything_runs(expr, reason):
    with pytest.raises(UsageError, match=reason):
        columns_of(expr)


def test_an_unknown_column_names_the_nearest_one():
    with pytest.raises(UsageError, match="did you mean `words`"):
        kept("wrds > 5")


def test_types_are_checked_without_data():
    check_types("words > 5", DOCUMENTS.schema)
    with pytest.raises(UsageError, match="gives int64, not true or false"):
        check_types("words", DOCUMENTS.schema)
    with pytest.raises(UsageError, match="language"):
        check_types("sqrt(language) > 1", DOCUMENTS.schema)


def test_a_value_that_cannot_be_converted_is_an_error_and_try_cast_is_the_way_out():
    with pytest.raises(UsageError, match="TRY_CAST"):
        kept("language::INT > 1")
    assert kept("TRY_CAST(language AS INT) IS NULL") == [True, True, True]


def test_files_and_settings_are_out_of_reach_even_past_the_check():
    import duckdb

    from corpuskit.steps.where import _connection

    with pytest.raises(duckdb.PermissionException):
        _connection().execute("SELECT * FROM read_text('/etc/passwd')")
    with pytest.raises(duckdb.Error):
        _connection().execute("SET enable_external_access = true")


def test_no_rows_and_slices():
    assert kept("words > 5", DOCUMENTS.slice(0, 0)) == []
    assert kept("words >= 50", DOCUMENTS.slice(1, 1)) == [True]
