"""`plan` foretells what dedup costs and finds: the bands, memory, and disk near what a run leaves."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from corpuskit.cli.announce import announce
from corpuskit.core.flow import DOCUMENT, Amount, Done, Flow
from corpuskit.core.kinds import REST, disk
from corpuskit.core.plan import Plan
from corpuskit.plan.looking import look
from corpuskit.plan.planner import make
from corpuskit.plan.why import done
from corpuskit.recipe import load
from corpuskit.store.root import Root
from tests.core.builder import recipe
from tests.stats.test_evidence import EXACT, NEAR, build, corpus, written

TRAIN = "mix: {weights: {web: 1}, tokens: 4k, tokenizer: {train: {vocab_size: 300}}}\ntrain: {model: 20M, tokens: 2k}\n"
SLIMPAJAMA = "  - minhash: {%s}\n"


def planned(folder: Path, raw: Path, steps: str, **options: Any) -> tuple[Plan, str, dict[str, Any]]:
    recipe = load(written(folder, raw, steps), [])
    plan = make(recipe, **options)
    return plan, *announce(plan, Root(folder / "root"), look(recipe, plan))


def test_the_curve_tells_recall_and_the_work_of_unlike_pairs(raw: Path, tmp_path: Path) -> None:
    _, text, data = planned(tmp_path, raw, SLIMPAJAMA % "")
    assert "17 bands x 7 rows; share of pairs caught, by their similarity:\n  J=0.7:   76.8 %   J=0.75:  91.2 %" in text
    assert "share of dissimilar pairs that share a band:\n  J=0.5:   12.5 %   J=0.6:   38.3 %\n" in text
    assert "work, not loss" in text
    assert data["lsh"]["recall"][0.8] == pytest.approx(1 - (1 - 0.8**7) ** 17)
    assert data["lsh"]["candidates"][0.5] == pytest.approx(1 - (1 - 0.5**7) ** 17)
    json.dumps(data)


@pytest.mark.parametrize(("verify", "told"), [("none", "taken for duplicates: loss"), ("sketch", "and some loss")])
def test_what_becomes_of_unlike_pairs_follows_from_verify(raw: Path, tmp_path: Path, verify: str, told: str) -> None:
    _, text, _ = planned(tmp_path, raw, SLIMPAJAMA % f"verify: {verify}")
    assert told in text
    assert "work, not loss" not in text


def test_pairs_from_the_threshold_on_are_not_called_unlike(raw: Path, tmp_path: Path) -> None:
    _, text, data = planned(tmp_path, raw, SLIMPAJAMA % "threshold: 0.55")
    assert list(data["lsh"]["candidates"]) == [0.5]
    _, text, data = planned(tmp_path / "low", raw, SLIMPAJAMA % "threshold: 0.4")
    assert data["lsh"]["candidates"] == {}
    assert "unlike" not in text


def test_without_bands_there_is_no_curve_and_without_dedup_no_bit_for_each_document(raw: Path, tmp_path: Path) -> None:
    _, text, data = planned(tmp_path / "exact", raw, EXACT)
    assert "lsh" not in data
    assert "pairs caught" not in text
    assert data["dedup_bits"] > 0
    assert "one bit for each document" in text
    _, text, data = planned(tmp_path / "neither", raw, "")
    assert "dedup_bits" not in data
    assert "one bit" not in text


def long_texts(raw: Path, chars: int, documents: int) -> None:
    """Two files of `web`, each of so many documents."""
    for path in (raw / "web").iterdir():
        path.unlink()
    for number in range(2):
        texts = [" ".join(f"w{number}x{row}x{at}" for at in range(chars))[:chars] for row in range(documents)]
        lines = [json.dumps({"text": text, "url": "", "score": 0}) for text in texts]
        (raw / "web" / f"{number}.jsonl").write_text("\n".join(lines))


@pytest.mark.parametrize(("chars", "documents"), [(100, 5000), (DOCUMENT, 300), (200_000, 10)])
def test_a_look_at_files_tells_what_a_run_leaves(tmp_path: Path, chars: int, documents: int) -> None:
    raw = corpus(tmp_path / "raw", [])
    long_texts(raw, chars, documents)
    plan, _, data = planned(tmp_path, raw, EXACT + NEAR % "")
    looked = look(load(tmp_path / "recipe.yaml", []), plan)
    assert looked["web"]["document"] == pytest.approx(chars)
    root = build(tmp_path, raw, EXACT + NEAR % "")
    foretold = {stage["stage"]: stage["disk"] for stage in data["stages"]}
    _, again = announce(plan, root, {})
    for name in ("filter-web", "exact-signatures-web", "signatures-web", "buckets-web", "rank"):
        parts = [part for one in root.complete(plan.stages[name]) for part in one.parts.values()]
        assert {stage["stage"]: stage["disk"] for stage in again["stages"]}[name] == sum(part.bytes for part in parts)
        # files have headers, and those of signatures and buckets say where 1,024 groups begin: the same for any unit
        fixed = 8 * 1025 if name.endswith("-web") and not name.startswith("filter") else 0
        assert foretold[name] == pytest.approx(sum(part.bytes - 128 for part in parts) - fixed, rel=0.25, abs=1000)


def test_a_look_finds_no_fault(tmp_path: Path) -> None:
    """Texts that are empty are no documents."""
    raw = corpus(tmp_path / "raw", [])
    long_texts(raw, 100, 50)
    for path in (raw / "web").iterdir():
        path.write_text(json.dumps({"text": "", "url": "", "score": 0}) + "\n")
    plan, text, _ = planned(tmp_path, raw, EXACT)
    assert look(load(tmp_path / "recipe.yaml", []), plan).keys() == {"books"}
    assert " to " in text


def test_units_that_are_done_tell_of_those_to_come(tmp_path: Path) -> None:
    raw = corpus(tmp_path / "raw", [])
    long_texts(raw, 1000, 200)
    root = build(tmp_path, raw, EXACT)
    plan = root.require_plan()
    whole = done(plan, root)
    half = {
        name: Done(
            one.units, one.raw // 2, one.disk // 2, one.left and Amount(one.left.text / 2, one.left.documents / 2)
        )
        for name, one in whole.items()
    }
    before, after = Flow.of(plan), Flow.of(plan, {name: half[name] for name in ("filter-web", "corpus-web")})
    assert {"filter-web", "corpus-web"} <= before.at_most  # rules and dedup take of it what nobody knows
    assert not {"filter-web", "exact-signatures-web"} & after.at_most
    for name in ("filter-web", "corpus-web"):
        assert disk(plan.stages[name], after) == pytest.approx(whole[name].disk, rel=0.01)
    kept = whole["filter-web"].left
    assert kept is not None
    assert after.through(plan.stages["exact-signatures-web"]) == pytest.approx(kept.text, rel=0.01)


def test_a_finished_corpus_counts_where_it_is_read(raw: Path, tmp_path: Path) -> None:
    against = build(tmp_path / "first", raw, NEAR % "").path
    alone, said, before = planned(tmp_path / "alone", raw, EXACT + NEAR % "")
    plan, text, data = planned(tmp_path / "with", raw, EXACT + NEAR % f", against: [{against}]")
    finished = [stage for stage in plan.stages if stage.startswith("signatures-against-")]
    assert len(finished) == 2
    disk = {stage["stage"]: stage["disk"] for stage in data["stages"]}
    assert all(disk[name] > 0 for name in finished)
    assert data["dedup_bits"] > before["dedup_bits"]
    of_alone = {stage["stage"]: stage["disk"] for stage in before["stages"]}
    assert all(disk[name] == of_alone[name] for name in alone.stages if name.startswith(("signatures-", "corpus-")))
    assert disk["rank"] > of_alone["rank"]
    assert disk["exact-rank"] == of_alone["exact-rank"]
    assert f"about {text.split('about ')[1].split(' of text')[0]} of text" in said


def test_every_stage_of_lines_is_estimated(raw: Path, tmp_path: Path) -> None:
    plan, _, data = planned(tmp_path, raw, "  - lines: {}\n")
    disk = {stage["stage"]: stage["disk"] for stage in data["stages"]}
    of_lines = [name for name, stage in plan.stages.items() if stage.kind in ("lines", "repeated", "repeats")]
    assert len(of_lines) == 5
    assert all(disk[name] > 0 for name in of_lines)


def test_a_sample_is_predicted_to_leave_its_share(tmp_path: Path) -> None:
    raw = corpus(tmp_path / "raw", ["nothing"])
    with (raw / "web" / "large.jsonl").open("wb") as file:  # ten units of 64 MiB, which are not read
        file.truncate(640 << 20)
    disks = []
    for share in (None, 0.3):
        plan, _, data = planned(tmp_path / str(share), raw, NEAR % "", sample=share)
        assert len(plan.stages["filter-web"].units) == (11 if share is None else 3)
        disks.append({stage["stage"]: stage["disk"] for stage in data["stages"]})
    for name in ("filter-web", "signatures-web", "bands"):
        assert disks[1][name] == pytest.approx(0.3 * disks[0][name], rel=0.1)


def test_the_peak_of_a_stage_is_predicted_within_what_memory_allows(tmp_path: Path) -> None:
    raw = corpus(tmp_path / "raw", ["nothing"])
    peaks, budget = [], 512 << 20
    for number, bytes_ in enumerate((1 << 20, 64 << 30)):
        with (raw / "web" / "large.jsonl").open("wb") as file:  # it is not read
            file.truncate(bytes_)
        plan, text, data = planned(tmp_path / str(number), raw, EXACT + NEAR % "" + "  - lines: {}\n")
        peaks.append({stage["stage"]: stage["peak"] for stage in data["stages"]})
        assert "memory" in text.splitlines()[0]
    assert all(REST < small <= large for small, large in zip(peaks[0].values(), peaks[1].values(), strict=True))
    for name in ("rank", "bands", "choose", "repeated-lines"):
        assert peaks[1][name] > 1.2 * peaks[0][name]
    assert max(peaks[1].values()) < REST + plan.memory
    assert plan.memory == budget
    assert "`bands` is predicted to take" in text


def test_nothing_is_predicted_of_the_memory_of_a_model(raw: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, raw, extra=TRAIN)
    plan = make(load(path, []))
    text, data = announce(plan, Root(tmp_path / "root"), {})
    peaks = {stage["stage"]: stage["peak"] for stage in data["stages"]}
    assert [name for name, peak in peaks.items() if peak is None] == ["train"]
    assert "`train` is predicted" not in text
    assert re.search(r"^train +1 +1 +new", text, re.MULTILINE), text
