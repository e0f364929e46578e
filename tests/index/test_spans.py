"""`corpuskit find`: what the index says is what reading every text says, and nothing reaches across documents."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.cli import main
from corpuskit.index import stages
from corpuskit.index.search import longest_spans, maximal
from corpuskit.store.root import Root

WORDS = "Grüße aus dem Tal der Flüsse, wo 河川 und Steine singen und niemand je allein sein muss"

TEXTS = {
    "web": [
        [f"One. {WORDS}. And one more: {WORDS}.", "aaaaaaaa", "The last words of a text end here"],
        [f"Two! {WORDS}?", "and the first words of the next follow", "x" * 300],
    ],
    "books": [[f"A book says: {WORDS[:60]} (and stops)", "aaa", "plain"]],
}


def written(folder: Path, *, spans: bool, steps: str = "") -> Path:
    for domain, files in TEXTS.items():
        (folder / domain).mkdir(parents=True)
        for number, texts in enumerate(files):
            lines = [json.dumps({"text": text}) for text in texts]
            (folder / domain / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    sources = "".join(f"  {name}: {{read: jsonl, path: {name}/*}}\n" for name in TEXTS)
    path = folder / "recipe.yaml"
    path.write_text(f"name: small\nsources:\n{sources}{steps}" + "index: {spans: true}\n" * spans)
    return path


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """One run with an index, of pieces of two documents or so, and one without."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "PIECE", 300)
        for spans in (True, False):
            folder = tmp_path_factory.mktemp("run")
            made[spans] = folder / "root"
            words = ["run", str(written(folder, spans=spans)), "--root", str(made[spans]), "--engine", "inline"]
            assert main(words) == 0
    return made


def asked(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    assert main(["find", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def by_reading(root: Path, passage: str) -> list[tuple[int, int, str]]:
    """(document, byte, domain) of every occurrence, by the published corpus alone."""
    found = []
    for row in pq.read_table(root / "corpus").to_pylist():
        data = row["text"].encode()
        at = data.find(passage.encode())
        while at >= 0:
            found.append((row["doc"], at, row["domain"]))
            at = data.find(passage.encode(), at + 1)
    return sorted(found)


@pytest.mark.parametrize(
    "passage", [WORDS, "aa", "a", "河", "Flüsse, wo", "ends here and", "here" + "and", "zz", ".", "x" * 301]
)
@pytest.mark.parametrize("spans", [True, False])
def test_a_passage_stands_where_reading_every_text_finds_it(
    roots: dict[bool, Path], passage: str, spans: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    found, wanted = asked(capsys, roots[spans], passage), by_reading(roots[spans], passage)
    assert found["indexed"] == spans
    assert found["occurrences"] == len(wanted)
    assert found["documents"] == len({doc for doc, _, _ in wanted})
    counts = {domain: [one for one in wanted if one[2] == domain] for _, _, domain in wanted}
    assert found["domains"] == {
        domain: {"occurrences": len(some), "documents": len({doc for doc, _, _ in some})}
        for domain, some in counts.items()
    }
    assert [(one["doc"], one["byte"], one["domain"]) for one in found["places"]] == wanted[:10]


def test_what_stands_around_a_passage_is_shown(roots: dict[bool, Path], capsys: pytest.CaptureFixture[str]) -> None:
    (place,) = asked(capsys, roots[True], "(and")["places"]
    assert place["before"].endswith("Flüsse, wo 河川 und Steine singe ") or place["before"].endswith(WORDS[20:60] + " ")
    assert place["after"] == " stops)"
    main(["find", str(roots[True]), "aaa"])
    said = capsys.readouterr().out
    assert "aaa: 7 times in 2 documents" in said
    assert "[aaa]aaaaa" in said


def brute(text: str, least: int, texts: list[str]) -> list[tuple[int, int]]:
    """Spans of `least` characters or more that a text has, and that do not if longer on one side."""
    stands = lambda first, end: first >= 0 and end <= len(text) and any(text[first:end] in one for one in texts)  # noqa: E731
    return [
        (first, end)
        for first in range(len(text))
        for end in range(first + least, len(text) + 1)
        if stands(first, end) and not stands(first - 1, end) and not stands(first, end + 1)
    ]


def reached(text: str, texts: list[str]) -> Callable[[int], int]:
    """The end of the longest span from a character on that one of the texts has."""
    ends = lambda first: (end for end in range(first, len(text) + 1) if any(text[first:end] in one for one in texts))  # noqa: E731
    return lambda first: max(ends(first), default=first)


@given(st.text("ab河", max_size=80), st.lists(st.text("ab河", max_size=40), max_size=4), st.integers(1, 12))
def test_the_longest_spans_are_those_of_brute_force(text: str, texts: list[str], least: int) -> None:
    assert longest_spans(len(text), least, reached(text, texts)) == brute(text, least, texts)
    each = [longest_spans(len(text), least, reached(text, [one])) for one in texts]
    assert maximal(span for spans in each for span in spans) == brute(text, least, texts)


def test_spans_of_a_file_are_found_with_their_documents(
    roots: dict[bool, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"Nobody wrote this before. {WORDS}, but this is new: Two! {WORDS[:30]}… plain"
    (tmp_path / "page.txt").write_text(text)
    found = asked(capsys, roots[True], "--file", tmp_path / "page.txt", "--min", 20)
    texts = pq.read_table(roots[True] / "corpus", columns=["text"])["text"].to_pylist()
    wanted = brute(text, 20, texts)
    assert len(wanted) == 2
    assert [(one["first"], one["end"]) for one in found["spans"]] == wanted
    for one in found["spans"]:
        places = by_reading(roots[True], one["text"])
        assert one["text"] == text[one["first"] : one["end"]]
        assert one["occurrences"] == len(places) > 0
        assert [(place["doc"], place["byte"], place["domain"]) for place in one["places"]] == places
    assert found["covered"] == sum(end - first for first, end in wanted)
    assert main(["find", str(roots[True]), "--file", str(tmp_path / "page.txt"), "--min", "20"]) == 0
    assert f"{found['covered']} of {len(text)} characters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a passage or a file"),
        (["words", "--file", "page.txt"], "name a passage or a file"),
        ([""], "the passage is empty"),
        (["--file", "none.txt"], "none.txt: cannot be read: No such file"),
        (["--file", "latin.txt"], "latin.txt: not UTF-8 at 1"),
        (["--file", "page.txt", "--min", "0"], "--min 0: a span has at least one character"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(
    roots: dict[bool, Path], words: list[str], said: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.txt").write_text("words")
    (tmp_path / "latin.txt").write_bytes(b"f\xfcr")
    assert main(["find", str(roots[True]), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_file_needs_an_index_and_the_command_that_makes_it_is_named(
    roots: dict[bool, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.txt").write_text(WORDS)
    assert main(["find", str(roots[False]), "--file", str(tmp_path / "page.txt")]) == 2
    assert "--set index.spans=true" in capsys.readouterr().err


def test_an_index_is_added_to_a_finished_run_and_its_cost_is_said_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, root = written(tmp_path, spans=False), tmp_path / "root"
    assert main(["run", str(recipe), "--root", str(root), "--engine", "inline"]) == 0
    more = ["--root", str(root), "--set", "index.spans=true"]
    assert main(["plan", str(recipe), *more, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    size = sum(path.stat().st_size for path in tmp_path.glob("*/*.jsonl"))
    assert {one["stage"]: one["to_run"] for one in plan["stages"] if one["to_run"]} == {
        "spans-books": 1,
        "spans-web": 1,
    }
    assert sum(one["disk"] for one in plan["stages"] if one["stage"].startswith("spans")) == pytest.approx(
        5 * size,
        rel=0.2,  # of the text, and not of the JSON around it
    )
    assert main(["run", str(recipe), *more, "--engine", "inline"]) == 0
    assert asked(capsys, root, "plain")["indexed"]


def test_pieces_end_between_documents() -> None:
    assert stages.borders(np.array([0, 3, 5, 20, 21, 22]), 6).tolist() == [0, 5, 20, 22]
    assert stages.borders(np.array([0]), 6).tolist() == [0]
    text = np.frombuffer("banana\xffan\xff".encode("latin-1"), np.uint8).copy()
    wanted = sorted(range(len(text)), key=lambda at: text[at:].tobytes())
    assert stages.suffixes(text).tolist() == wanted


def test_the_parts_are_the_same_whatever_the_batches(tmp_path: Path) -> None:
    found = []
    for number, size in enumerate(("1KiB", "8MiB")):
        recipe, root = written(tmp_path / str(number), spans=True), tmp_path / str(number) / "root"
        assert (
            main(
                ["run", str(recipe), "--root", str(root), "--workers", str(number + 1), "--set", f"batch_bytes={size}"]
            )
            == 0
        )
        plan, opened = Root(root).require_plan(), Root(root)
        some = [stage for stage in plan.stages.values() if stage.kind == "spans"]
        found.append([{n: p.digest for n, p in one.parts.items()} for stage in some for one in opened.receipts(stage)])
    assert found[0] == found[1]
