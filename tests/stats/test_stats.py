"""The domain table says what is in the published folders, and `expect` and the text say the same."""

from collections import Counter

import pyarrow.parquet as pq
import pytest

from corpuskit.core.plan import Plan
from corpuskit.errors import UsageError
from corpuskit.explore import stats, stats_text
from corpuskit.explore.stats_text import drops, matrix
from corpuskit.store.root import Root


def rows(root: Root, folder: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in (root.path / folder).rglob("*.parquet"):
        found[path.parent.name.removeprefix("domain=")] += pq.read_metadata(path).num_rows
    return found


def test_counts_are_those_of_the_published_folders(root: Root) -> None:
    found = stats.domain_table(root, root.require_plan())
    assert [row.domain for row in found] == ["books", "web"]
    duplicates = Counter(
        zip(*(pq.read_table(root.path / "duplicates")[name].to_pylist() for name in ("domain", "kind")), strict=True)
    )
    for row in found:
        assert row.read == row.documents == 120
        assert row.kept == rows(root, "corpus")[row.domain]
        assert row.held_out == rows(root, "holdout")[row.domain]
        assert row.dropped + row.contaminated == rows(root, "dropped")[row.domain]
        assert (row.exact, row.near) == (duplicates[row.domain, "exact"], duplicates[row.domain, "near"])
        assert row.compared == row.read - row.rules["too_short"]
        texts = pq.read_table(root.path / "corpus" / f"domain={row.domain}", columns=["text"])["text"].to_pylist()
        assert row.bytes == sum(len(text.encode()) for text in texts)
        tokens = (root.path / "tokens" / "split=train" / f"domain={row.domain}").glob("*.bin")
        assert row.tokens == sum(path.stat().st_size for path in tokens) // 2


def test_the_total_is_the_sum_and_json_holds_every_count(root: Root) -> None:
    found = stats.domain_table(root, root.require_plan())
    every = stats.total(found)
    assert every.read == 240
    assert every.read == every.dropped + every.exact + every.near + every.contaminated + every.held_out + every.kept
    data = stats.as_json(found)
    assert data["total"]["kept"] == sum(row["kept"] for row in data["domains"])
    assert data["domains"][0]["drop_rates"] == {"too_short": found[0].rules["too_short"] / 120}


def test_expect_functions_give_the_figures_of_the_table(root: Root) -> None:
    plan = root.require_plan()
    found = {row.domain: row for row in stats.domain_table(root, plan)}
    ask = stats.functions(root, plan)
    assert ask["docs"]("web") == found["web"].kept
    assert ask["bytes"]("web") == found["web"].bytes
    assert ask["tokens"]("books") == found["books"].tokens
    assert ask["drop_rate"]("too_short") == stats.total(found.values()).rules["too_short"] / 240
    web = found["web"]
    assert ask["duplicate_rate"]("web") == (web.exact + web.near) / web.compared


def test_expect_functions_name_the_nearest_domain_and_rule(root: Root) -> None:
    ask = stats.functions(root, root.require_plan())
    with pytest.raises(UsageError, match="did you mean `books`"):
        ask["docs"]("boks")
    with pytest.raises(UsageError, match="did you mean `too_short`"):
        ask["drop_rate"]("to_short")


def test_tokens_of_a_run_without_mix_are_an_error(root: Root) -> None:
    plan = root.require_plan()
    plan.stages = {name: stage for name, stage in plan.stages.items() if not name.startswith("tokens-")}
    with pytest.raises(UsageError, match="not tokenized"):
        stats.functions(root, plan)["tokens"]("web")
    assert [row.tokens for row in stats.domain_table(root, plan)] == [None, None]


def test_rates_leave_out_what_never_was_a_document_and_count_missing_values() -> None:
    row = stats.DomainStats(
        "wiki", read=100, unreadable=5, empty=5, rules={"read: redirect": 40, "long": 20, "long: no value": 5}, kept=25
    )
    assert row.documents == 50
    assert row.drop_rate("long") == 0.5
    assert row.duplicate_rate is None
    assert stats.DomainStats("nothing").drop_rate("long") is None


def test_rules_are_listed_in_the_order_of_the_recipe_with_reader_rules_first() -> None:
    found = [stats.DomainStats("a", read=9, rules={"b": 1, "read: redirect": 2, "z: no value": 3, "z": 1})]
    _, lines = drops(found, ["z", "b"])
    assert [line[0] for line in lines] == ["read: redirect", "z", "z: no value", "b"]
    # of records, and of the documents among them
    assert [line[-1] for line in lines] == ["22.22 %", "14.29 %", "42.86 %", "14.29 %"]


def test_the_matrix_holds_both_kinds() -> None:
    text = matrix(
        [
            {"domain": "a", "kept_domain": "b", "exact": 1, "near": 2},
            {"domain": "b", "kept_domain": "b", "exact": 0, "near": 7},
        ]
    )
    assert [line.split() for line in text.splitlines()[2:]] == [["a", "0", "3"], ["b", "0", "7"]]


def test_the_text_holds_table_rules_dedup_and_mixture(root: Root) -> None:
    text = stats_text.render(root, root.require_plan())
    for wanted in ("domain", "total", "too_short", "candidate pairs", "mixture", "removed documents"):
        assert wanted in text
    assert "units are complete" not in text


def test_a_domain_that_loses_half_to_dedup_and_warnings_of_holdout_are_told(root: Root) -> None:
    plan = root.require_plan()
    table = [stats.DomainStats("a", compared=10, near=6), stats.DomainStats("b", compared=10, near=5)]
    told = stats.warnings(root, plan, table)
    assert [text for text in told if "lost" in text] == [
        "a lost 60.0 % of its documents to dedup: look at `duplicates`"
    ]
    receipt = stats.single(root, plan, "holdout")
    assert receipt is not None
    assert [text for text in told if text.startswith("holdout: ")] == [
        f"holdout: {text}" for text in receipt.facts["warnings"]
    ]


def test_a_stopped_run_says_that_its_counts_are_partial(root: Root) -> None:
    plan: Plan = root.require_plan()
    stage = plan.stages["corpus-web"]
    (root.path / "stages" / stage.folder / "receipts" / f"{stage.units[0].key}.json").unlink()
    text = stats_text.render(root, plan)
    units = sum(len(stage.units) for stage in plan.stages.values())
    assert text.startswith(f"{units - 1} of {units} units are complete")
    assert [row.kept > 0 for row in stats.domain_table(root, plan)] == [True, False]
