"""Rules are DuckDB scalar expressions that give the same for a document whatever stands beside it, and whenever."""

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from corpuskit.core.sql import check_types, columns_of
from corpuskit.errors import UsageError
from corpuskit.steps.where import where

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


AWARE = [datetime(1970, 1, 2, 3, tzinfo=UTC), datetime(2026, 11, 27, 23, 30, tzinfo=UTC), None]
NAIVE = [None if when is None else when.replace(tzinfo=None) for when in AWARE]
DATES = [None if when is None else when.date() for when in AWARE]
WHOLE = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
TEXT = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
ZONED = [pa.timestamp(unit, zone) for unit in ("us", "ns") for zone in ("UTC", "Asia/Tokyo")]

# types, values of three documents, and rules that keep the second of them
OF_EVERY_TYPE = [
    (WHOLE, [7, 60, None], ["c - 3 > 50", "c + 1 > 60", "c * 2 - c / 2 > 80", "c % 7 > 0"]),
    ([pa.float32(), pa.float64()], [0.5, 120.25, None], ["c - 10 > 90", "round(c + 0.1) = 120", "-c < -1"]),
    ([pa.decimal128(5, 2)], [Decimal("0.5"), Decimal("120.25"), None], ["c - 10 > 90", "c + 1 > 100"]),
    (TEXT, ["2", "word 9", None], ["length(c) - 1 > 2", "upper(c) || '!' = 'WORD 9!'", "c.length() > 1"]),
    ([pa.bool_()], [False, True, None], ["c", "c::INT + 1 > 1"]),
    (
        [pa.list_(pa.string())],
        [["a"], ["a", "b"], None],
        ["len(c) - 1 > 0", "c[2] || 'x' = 'bx'", "len(c || ['d']) > 2"],
    ),
    (
        [pa.list_(pa.int32())],
        [[1], [60, 60], None],
        ["list_sum(c) - 1 > 100", "len([x + 1 for x in c if x - 1 > 50]) = 2"],
    ),
    ([pa.struct({"a": pa.int64()})], [{"a": 1}, {"a": 60}, None], ["c.a - 1 > 50", "c['a'] + 1 > 50"]),
    (
        [pa.date32()],
        DATES,
        ["year(c) > 2000", "c - DATE '2000-01-01' > 1", "date_add(c, INTERVAL 1 DAY) > DATE '2000-01-01'"],
    ),
    (
        [pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")],
        NAIVE,
        ["year(c) = 2026 AND hour(c) = 23", "c - INTERVAL 1 DAY > DATE '2000-01-01'", "days_in_month(c) = 30"],
    ),
    (
        ZONED,
        AWARE,
        [
            "year(c) = 2026 AND hour(c) = 23",
            "c - INTERVAL 1 DAY > TIMESTAMPTZ '2000-01-01'",
            "c - TIMESTAMPTZ '2000-01-01' > INTERVAL 1 YEAR",
            "date_trunc('month', c) = TIMESTAMPTZ '2026-11-01'",
            "strftime(c, '%d %H') = '27 23'",
            "hour(c AT TIME ZONE 'Asia/Tokyo') = 8",
            "date_diff('day', TIMESTAMPTZ '2026-11-01', c) - 20 > 0",
            "age(c, TIMESTAMPTZ '2000-01-01') > INTERVAL 1 YEAR",
        ],
    ),
]


@pytest.mark.parametrize(
    ("kind", "values", "expr"),
    [(kind, values, expr) for kinds, values, exprs in OF_EVERY_TYPE for kind in kinds for expr in exprs],
    ids=str,
)
def test_operators_and_functions_take_every_type_of_column(kind, values, expr):
    batch = pa.record_batch({"c": pa.array(values, kind)})
    assert columns_of(expr) == {"c"}
    check_types(expr, batch.schema)
    assert kept(expr, batch) == [False, True, False]


def test_a_function_called_on_a_column_reads_it_and_is_judged_as_any_other():
    assert columns_of("language.upper().length() > 1") == {"language"}
    assert kept("tags.len() > 1") == [True, False, False]
    assert columns_of("len(tags.list_filter(lambda x: x.upper() = language)) = 1") == {"tags", "language"}


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
        ("age(day) > interval '3 days'", "`age` is a reading of the clock"),
        ("day.age() > interval '3 days'", "`age` is a reading of the clock"),
        ("get_current_timestamp() > day", "`get_current_timestamp` is a reading of the clock"),
        ("current_localtimestamp() > day", "`current_localtimestamp` is a reading of the clock"),
        ("transaction_timestamp() > day", "`transaction_timestamp` is a reading of the clock"),
        ("len(list_filter(tags, lambda x: random() > 0.5)) > 1", "`random`"),
        ("date_add(now(), words) > day", "`now` is a reading of the clock"),
        ("current_database() = 'x'", "`current_database` is a reading of the clock or the session"),
        ("getvariable('x') = 1", "`getvariable` is a reading of the clock or the session"),
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
    with pytest.raises(UsageError, match=r"'-\(VARCHAR, INTEGER_LITERAL\)'[^:]*$"):  # without the list of candidates
        check_types("language - 1 > 1", DOCUMENTS.schema)


def test_a_value_that_cannot_be_converted_is_an_error_and_try_cast_is_the_way_out():
    with pytest.raises(UsageError, match="TRY_CAST"):
        kept("language::INT > 1")
    assert kept("TRY_CAST(language AS INT) IS NULL") == [True, True, True]


def test_files_and_settings_are_out_of_reach_even_past_the_check():
    import duckdb

    from corpuskit.core.sql import _connection

    with pytest.raises(duckdb.PermissionException):
        _connection().execute("SELECT * FROM read_text('/etc/passwd')")
    with pytest.raises(duckdb.Error):
        _connection().execute("SET enable_external_access = true")


def test_no_rows_and_slices():
    assert kept("words > 5", DOCUMENTS.slice(0, 0)) == []
    assert kept("words >= 50", DOCUMENTS.slice(1, 1)) == [True]
