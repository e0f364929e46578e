"""A recipe that grows gives what a build from scratch gives, and compares only what is new."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpuskit.core.checksum import file_sum
from corpuskit.core.work import Work
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.known import Known
from corpuskit.dedup.sort import lower, upper
from corpuskit.dedup.verify import Verifier
from corpuskit.steps.minhash import minhash
from corpuskit.store.local import LocalStore
from tests.core.test_reuse import build, copies, inodes, own_unit, texts, write

RECIPE = """\
name: growing
sources:
  web:   {{read: jsonl, path: "{raw}/web/*"}}
  books: {{read: jsonl, path: "{raw}/books/*"}}
{sources}steps:
{before}  - minhash: {{shingle: {{unit: word, n: {n}}}, threshold: {threshold}, keep: {keep}, bands: 64, rows: 2}}
"""

MINHASH = {"n": 3, "threshold": 0.8, "keep": "[books, web]", "sources": "", "before": ""}

NEWS = '  news:  {{read: jsonl, path: "{raw}/news/*"}}\n'
EXACT = "  - exact: {}\n"


def recipe(folder: Path, raw: Path, **changed: object) -> Path:
    path = folder / "recipe.yaml"
    values = {**MINHASH, **changed}
    path.write_text(RECIPE.format(raw=raw, **{**values, "sources": str(values["sources"]).format(raw=raw)}))
    return path


def longer(rows: list[str]) -> list[str]:
    """Near copies that come before what they are copies of."""
    return [row + " And one more word." for row in rows]


def words(first: int, end: int) -> str:
    return " ".join(f"word{number}" for number in range(first, end))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two units a domain, with near and exact copies within and across domains."""
    folder = tmp_path / "raw"
    for domain in ("web", "books"):
        for number in range(2):
            rows = texts((domain, number))
            rows += copies(texts((domain, number))[:3]) + copies(texts(("books", 0))[3:6]) + texts(("books", 1))[:1]
            write(folder / domain / own_unit(number), rows)
    return folder


def published(root: Path) -> dict[str, str]:
    """SHA-256 of every file that people see, but the data base of views and the accounts of runs."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] not in ("stages", "runs", ".seal", "corpus.duckdb")
    }


def same_as_from_scratch(path: Path, root: Path, fresh: Path) -> None:
    build(path, fresh)
    grown, made = published(root), published(fresh)
    assert any(name.startswith("index/edges/") for name in made)
    assert any(name.startswith("corpus/") for name in made)
    assert grown == made


@contextmanager
def compared() -> Iterator[list[tuple[int, int]]]:
    """The pairs of document ids whose texts are compared meanwhile."""
    pairs: list[tuple[int, int]] = []
    jaccard = Verifier.jaccard

    def counted(self: Verifier, stored: np.ndarray) -> np.ndarray:
        docs = [self.index.gather("doc", half(stored)).tolist() for half in (upper, lower)]
        pairs.extend(zip(*docs, strict=True))
        return jaccard(self, stored)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Verifier, "jaccard", counted)
        yield pairs


def witnesses(root: Path) -> dict[int, int]:
    rows = pq.read_table(root / "duplicates").to_pylist()
    return {row["doc"]: row["kept_doc"] for row in rows}


def documents(root: Path) -> dict[str, int]:
    """The documents of the corpus by text."""
    table = pq.read_table(root / "corpus")
    return dict(zip(table["text"].to_pylist(), table["doc"].to_pylist(), strict=True))


def test_files_and_a_source_that_are_added_give_what_a_build_from_scratch_gives(raw: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    build(recipe(tmp_path, raw, before=EXACT), root)
    before = inodes(root)
    write(raw / "web" / own_unit(2), texts("new") + copies(texts(("books", 0))[6:8]))
    write(raw / "news" / own_unit(0), texts("news") + copies(texts("new")[:2]) + texts(("web", 1))[7:9])
    path = recipe(tmp_path, raw, before=EXACT, sources=NEWS)
    build(path, root)
    after = inodes(root)
    assert len(after) == len(before) + 2
    assert before.items() <= after.items(), "a part of which no document changed was written again"
    same_as_from_scratch(path, root, tmp_path / "fresh")


def test_files_that_are_taken_away_give_what_a_build_from_scratch_gives(raw: Path, tmp_path: Path) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    (raw / "books" / own_unit(0)).unlink()
    build(path, root)
    same_as_from_scratch(path, root, tmp_path / "fresh")


def test_a_newcomer_that_removes_a_kept_document_brings_back_what_that_one_had_removed(
    raw: Path, tmp_path: Path
) -> None:
    """a removes b; the newcomer, of a preferred domain, is like a and not like b."""
    a, b, newcomer = words(0, 100), words(15, 100), words(0, 86)
    write(raw / "web" / own_unit(2), [a])
    write(raw / "web" / own_unit(3), [b])
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    before, was = inodes(root), documents(root)
    assert a in was
    assert b not in was
    write(raw / "books" / own_unit(2), [newcomer])
    build(path, root)
    now, after = documents(root), inodes(root)
    assert a not in now
    assert {b, newcomer} <= now.keys()
    assert witnesses(root)[was[a]] == now[newcomer]
    assert now[b] not in witnesses(root)
    # the parts of a and b alone are others
    assert len(before.items() - after.items()) <= 2
    assert len(after.items() - before.items()) <= 3
    same_as_from_scratch(path, root, tmp_path / "fresh")


def test_only_pairs_with_a_new_document_are_compared(raw: Path, tmp_path: Path) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    with compared() as first:
        build(path, root)
    assert first
    before = set(documents(root).values()) | witnesses(root).keys()
    write(raw / "web" / own_unit(2), texts("new") + longer(texts(("books", 0))[3:5]))
    with compared() as anew:
        build(path, root)
    assert anew, "the newcomers have near copies"
    assert all(one not in before or two not in before for one, two in anew)
    with compared() as all_pairs:
        same_as_from_scratch(path, root, tmp_path / "fresh")
    assert len(all_pairs) > len(anew)


def test_a_higher_threshold_and_another_order_compare_nothing_anew(raw: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    build(recipe(tmp_path, raw), root)
    for changed in ({"threshold": 0.9}, {"threshold": 0.9, "keep": "[]"}, {"threshold": 0.97, "keep": "[web]"}):
        path = recipe(tmp_path, raw, **changed)
        before = published(root)
        with compared() as anew:
            build(path, root)
        assert anew == []
        assert published(root) != before
    same_as_from_scratch(path, root, tmp_path / "fresh")


def test_similarities_of_other_shingles_are_not_taken(raw: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    build(recipe(tmp_path, raw), root)
    path = recipe(tmp_path, raw, n=2)
    with compared() as anew:
        build(path, root)
    with compared() as all_pairs:
        same_as_from_scratch(path, root, tmp_path / "fresh")
    assert anew == all_pairs != []


@pytest.mark.parametrize("name", ["key", "jaccard"])
def test_known_similarities_whose_files_are_damaged_are_not_known(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "index" / "edges" / "word-3"
    folder.mkdir(parents=True)
    keys = np.arange(100, dtype=np.uint64)
    values = {"one-key": keys, "one-jaccard": keys / 200, "two-key": keys[50:], "two-jaccard": keys[50:] / 200}
    for stem, array in values.items():
        np.save(folder / f"{stem}.npy", array)
        (folder / f"{stem}.npy").rename(folder / f"{stem}.{file_sum(folder / f'{stem}.npy')}.npy")
    (damaged,) = folder.glob(f"one-{name}.*")
    whole = damaged.read_bytes()
    shapes = [np.lib.format.magic(1, 0) + whole[8:].replace(b"(100,)", b"( 99,)", 1), b"not an array"]
    for content in (
        whole,
        b"",
        whole[:5],
        whole[:100],
        whole[:128],
        whole[:500],
        whole[:-8],
        whole[:-9] + b"\xff" + whole[-8:],
        *shapes,
        None,
    ):
        damaged.unlink()
        if content is not None:
            damaged.write_bytes(content)
        found, jaccard = known(tmp_path).look(np.arange(120, dtype=np.uint64))
        assert found.tolist() == [(content is whole or i >= 50) and i < 100 for i in range(120)]
        assert (jaccard[found] == np.flatnonzero(found) / 200).all()


def known(root: Path) -> Known:
    about = {
        "stage": "verify",
        "spec": Compared(minhash(**minhash.validate({"shingle": {"unit": "word", "n": 3}})), ()),
        "unit": 0,
        "units": 1,
        "key": "",
    }
    sizes = {"memory": 1 << 28, "batch_bytes": 1 << 20}
    return Known(Work(store=LocalStore(root), **about, inputs=[], **sizes, scratch=root, receipts_of=lambda _stage: []))


def test_known_similarities_that_are_damaged_are_not_used(raw: Path, tmp_path: Path) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    found = [file for file in root.glob("index/edges/*/*-jaccard.*.npy") if file.stat().st_size > 200]
    assert found
    for file in found:
        content = file.read_bytes()
        file.unlink()  # it is a link to a part of the stage, which stays whole
        file.write_bytes(content[:-8])
    write(raw / "web" / own_unit(2), texts("new") + copies(texts(("books", 0))[3:5]))
    build(path, root)
    same_as_from_scratch(path, root, tmp_path / "fresh")


def test_an_index_that_was_cut_short_in_its_place_is_made_again(raw: Path, tmp_path: Path) -> None:
    """Published files are links to parts of stages: cutting one cuts the other."""
    root, path = tmp_path / "root", recipe(tmp_path, raw)
    build(path, root)
    for file in root.glob("index/**/*.npy"):
        os.truncate(file, file.stat().st_size // 2)
    build(path, root)
    same_as_from_scratch(path, root, tmp_path / "fresh")


KILLED = """
import os, signal, sys
from corpuskit.cli import main
from corpuskit.core.kinds import kinds, load

for kind in kinds().values():
    load(kind.body)

def killed_at(stage, left):
    def hook(event, arguments):
        nonlocal left
        if event in ("open", "os.rename") and f"/stages/{stage}-" in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    return hook

for place in sys.argv[3:]:
    stage, left = place.split(":")
    child = os.fork()
    if not child:
        sys.addaudithook(killed_at(stage, int(left)))
        os._exit(main(["run", sys.argv[1], "--root", sys.argv[2], "--engine", "inline"]))
    ended = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL, place
"""
"""Runs a recipe again and again; each is killed when it opens or renames a file of a stage for the n-th time."""


def test_a_run_killed_in_any_stage_goes_on_and_gives_the_same(raw: Path, tmp_path: Path) -> None:
    root, path = tmp_path / "root", recipe(tmp_path, raw, before=EXACT)
    build(path, root)
    write(raw / "web" / own_unit(2), texts("new") + longer(texts(("books", 0))[3:5]))
    write(raw / "books" / own_unit(2), longer(texts(("web", 1))[:1]))
    early = (
        "exact-choose:4",
        "signatures-web:20",
        "buckets-web:5",
        "rank:4",
        "exact:6",
        "bands:5",
        "verify:8",
        "choose:14",
    )
    places = (*early, "decide-web:5", "duplicates:4")
    command = [sys.executable, "-c", KILLED, str(path), str(root), *places]
    ended = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    build(path, root)
    assert not list(root.glob("stages/*/scratch/*"))
    same_as_from_scratch(path, root, tmp_path / "fresh")
