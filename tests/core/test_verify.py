"""A byte that changes in any file of a root is found, named, and mended with the same bytes."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.core.checksum import BLOCK, digests, file_sum
from corpuskit.core.work import Memo, Part
from corpuskit.dedup.files import ArrayFile
from corpuskit.errors import DamagedFile
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run import run
from corpuskit.run.verify import REPAIR, repair, verify
from corpuskit.store.local import LocalStore
from corpuskit.store.root import MANIFEST, Root
from tests.core import builder

MIX = """\
mix:
  weights: {web: 0.5, books: 0.5}
  tokens: 4k
  tokenizer: {train: {vocab_size: 300}}
  shards: {seq_len: 64}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe and the root of its run, in a folder of their own."""
    folder = tmp_path_factory.mktemp("verify")
    raw = builder.corpus(folder / "raw", files=2, rows=25)
    path = builder.recipe(folder, raw, extra=MIX)
    go(path, folder / "root")
    return path, folder / "root"


@pytest.fixture
def copied(built: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The same with a copy of the root, in which published files are links to parts as in the first."""
    root = tmp_path / "root"
    shutil.copytree(built[1], root)
    for part in root.glob("stages/*/receipts/*.json"):
        for one in json.loads(part.read_bytes())["parts"].values():
            if one["publish"] and (root / one["publish"]).exists():
                (root / one["publish"]).unlink()
                (root / one["publish"]).hardlink_to(part.parents[1] / "parts" / one["file"])
    return built[0], root


def go(path: Path, root: Path) -> int:
    """Run a recipe in this process; the number of units that ran."""
    plan, opened = make(load(path)), Root(root)
    outcome = run(plan, opened, opened.new_run("", "", plan), engine="inline")
    assert not outcome.failures, outcome.failures
    return outcome.ran


def flip(path: Path, at: int) -> None:
    """Change one bit of a file in its place."""
    with path.open("rb+") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ (1 << at % 8)]))


HINTS = ("/content/", ".duckdb", "log.jsonl", "report.html", ".seal")
"""What no result rests on."""


def files(root: Path) -> list[Path]:
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and path.stat().st_size)
    return [path for path in found if not any(hint in str(path) for hint in HINTS)]


def records(root: Path) -> list[Path]:
    """One record of each kind: a receipt, what a stage was made of, the plan of a run, manifests."""
    found = {}
    for path in files(root):
        if path.suffix in (".json", ".yaml") and "/parts/" not in str(path) and path.name != "tokenizer.json":
            found.setdefault(re.sub(r"stages/[^/]+|[0-9a-fT-]{8,}", "", path.relative_to(root).as_posix()), path)
    return list(found.values())


def test_a_run_is_what_was_written(built: tuple[Path, Path]) -> None:
    told = []
    found = verify(Root(built[1]), lambda done, total: told.append((done, total)))
    assert found.faults == []
    assert found.files > 100
    assert told[0][0] == 0
    assert told[-1] == (found.bytes, found.bytes)


def test_a_bit_that_changes_in_a_file_is_found(copied: tuple[Path, Path]) -> None:
    """In all parts and all that is published from them, at once: each is named, whichever of its bytes it is."""
    _, root = copied
    data = [
        path
        for path in files(root)
        if path.name != MANIFEST and not re.search("/(runs|receipts)/|stage.json", str(path))
    ]
    assert len(data) > 80
    links = {path.stat().st_ino: path for path in data}  # a bit of two links that is changed twice is as it was
    for place in (0.0, 0.2, 0.5, 0.9, 1.0):
        for again in (False, True):
            for path in links.values():
                flip(path, int(place * (path.stat().st_size - 1)))
            named = {fault.file for fault in verify(Root(root)).faults}
            assert named == (set() if again else {path.relative_to(root).as_posix() for path in data})


def test_a_bit_that_changes_in_a_record_is_found(copied: tuple[Path, Path]) -> None:
    _, root = copied
    looked = records(root)
    assert len(looked) > 10
    for path in looked:
        content = path.read_bytes()
        for place in (0.0, 0.4, 0.7, 1.0):
            at = int(place * (len(content) - 1))
            if path.suffix == ".json" and content[at : at + 1].isspace():
                continue  # white space around records says nothing
            flip(path, at)
            named = {fault.file for fault in verify(Root(root)).faults}
            assert path.relative_to(root).as_posix() in named, f"{path}, byte {at:,} of {len(content):,}"
            flip(path, at)
    assert verify(Root(root)).faults == []


def test_all_that_is_damaged_is_made_again_the_same(copied: tuple[Path, Path]) -> None:
    path, root = copied
    before = builder.digests(root)
    damaged = [one for one in files(root) if not re.search("/(runs|receipts)/", str(one))]
    inodes = set()
    for number, one in enumerate(damaged):
        if one.stat().st_ino not in inodes:  # a bit of a link that is changed twice is as it was
            inodes.add(one.stat().st_ino)
            flip(one, min(one.stat().st_size - 1, 37 * number))
    found = verify(Root(root))
    named = {fault.file for fault in found.faults}
    assert named >= {
        one.relative_to(root).as_posix() for one in damaged if one.suffix != ".json" and one.name != "files.parquet"
    }
    assert set(repair(Root(root), found)) == named
    assert not any((root / name).exists() for name in named)
    assert go(path, root) > 20
    assert builder.digests(root) == before
    assert verify(Root(root)).faults == []
    assert go(path, root) == 0


def test_the_fault_names_the_unit_the_place_and_the_command(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, root = copied
    assert main(["verify", str(root)]) == 0
    assert "all are what was written" in capsys.readouterr().out
    before = builder.digests(root)
    flip(root / "shards" / "train-00000.bin", 1000)
    published = next(root.glob("corpus/domain=books/*.parquet"))
    published.unlink()
    assert main(["verify", str(root)]) == 1
    text = capsys.readouterr().out
    assert "shards/train-00000.bin: a byte between 0 and 1,048,576 is not what was written\n    of shards:0 (" in text
    assert f"mend it: corpuskit verify {root} --repair, then corpuskit run RECIPE --root {root}" in text
    assert f"{published.relative_to(root)}: it is missing" in text
    assert main(["verify", str(root), "--json", "--repair"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [fault["file"].rpartition("/")[0] for fault in told["faults"]][:2] == ["corpus/domain=books", "shards"]
    assert {"shards/train-00000.bin"} < set(told["removed"])
    assert main(["run", str(path), "--root", str(root), "--engine", "inline"]) == 0
    capsys.readouterr()
    assert builder.digests(root) == before
    assert main(["verify", str(root)]) == 0


def test_what_is_no_root_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_damaged_receipt_is_none(copied: tuple[Path, Path]) -> None:
    path, root = copied
    before = builder.digests(root)
    receipts = sorted(root.glob("stages/tokens-web-*/receipts/*.json"))
    for number, one in enumerate(receipts):
        flip(one, one.stat().st_size // 2 + number)
    assert go(path, root) == len(receipts)
    assert builder.digests(root) == before
    assert verify(Root(root)).faults == []


def test_a_damaged_plan_is_named(copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    path, root = copied
    (plan,) = root.glob("runs/*/plan.json")
    flip(plan, 500)
    assert main(["run", str(path), "--root", str(root), "--engine", "inline"]) == 1
    assert "plan.json is damaged" in capsys.readouterr().err
    assert main(["verify", str(root), "--repair"]) == 1
    assert main(["run", str(path), "--root", str(root), "--engine", "inline"]) == 0
    assert main(["verify", str(root)]) == 0


def test_no_damaged_part_goes_into_another_corpus(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, root = copied
    changed = tmp_path / "changed.yaml"
    changed.write_text(path.read_text().replace("threshold: 0.7", "threshold: 0.8"))
    parts = [one for one in sorted(root.glob("stages/filter-*/parts/*-docs*")) if one.stat().st_size]
    for number, one in enumerate(parts):
        flip(one, (number + 1) * one.stat().st_size // (len(parts) + 1))
    assert main(["run", str(changed), "--root", str(root), "--engine", "inline"]) == 1
    said = capsys.readouterr().err
    assert "is damaged: a byte between 0 and 1,048,576 is not what was written; the unit `" in said
    assert f"corpuskit verify {root} --repair" in said
    assert "LZ4" not in said
    assert main(["verify", str(root), "--repair"]) == 1
    assert main(["run", str(changed), "--root", str(root), "--engine", "inline"]) == 0
    go(changed, tmp_path / "fresh")
    assert builder.digests(root) == builder.digests(tmp_path / "fresh")


def part_of(store: LocalStore, content: bytes, folder: Path, *, older: bool = False) -> Part:
    (folder / "p").write_bytes(content)
    sha, sums = digests(folder / "p")
    return Part("p", store, "p", 0, len(content), sha, sums="" if older else sums)


@pytest.mark.parametrize("older", [False, True])
def test_a_part_is_checked_block_by_block_when_it_is_read(tmp_path: Path, older: bool) -> None:
    content = bytes(range(256)) * (BLOCK // 100)
    part = part_of(LocalStore(tmp_path), content, tmp_path, older=older)
    with part.open() as opened:
        assert opened.read() == content
        opened.seek(BLOCK - 3)
        assert opened.read(BLOCK + 7) == content[BLOCK - 3 : 2 * BLOCK + 4]
        assert opened.read_at(5, len(content) - 2) == content[-2:]
    assert part.local().read_bytes() == content
    flip(tmp_path / "p", BLOCK + 5)
    with pytest.raises(DamagedFile, match="SHA-256" if older else "between 1,048,576 and 2,097,152"):
        part.local()
    if not older:
        with part.open() as opened:
            assert opened.read(BLOCK) == content[:BLOCK]  # that block is whole
            with pytest.raises(DamagedFile, match=r"verify .* --repair"):
                opened.read(1)
    (tmp_path / "p").write_bytes(content[:-1])
    with pytest.raises(DamagedFile):
        part.local()


def test_stored_values_that_are_damaged_are_left_out(tmp_path: Path) -> None:
    memo = Memo(LocalStore(tmp_path), "columns")
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode() * 100)
        memo.put(f"{name}.arrow", tmp_path / name)
    one, two = memo.files()
    assert one.name == f"one.{file_sum(one)}.arrow"
    flip(one, 7)
    assert memo.files() == [two]


def test_a_copy_in_a_bucket_is_mended(built: tuple[Path, Path]) -> None:
    obstore = pytest.importorskip("obstore", reason="a root in a bucket needs the extra bucket")
    from corpuskit.store.objects import ObjectStore

    store = ObjectStore(obstore.store.MemoryStore(), "memory://test")
    plan, root = make(load(built[0])), Root(store)
    run(plan, root, root.new_run("", "", plan), engine="inline")
    assert verify(Root(store)).faults == []
    key = next(key for key in store.list("corpus/domain=web") if key.endswith(".parquet"))
    (receipt,) = store.list("stages/tokenizer-" + plan.stages["tokenizer"].key + "/receipts")
    good = store.get(key)
    for damaged in (key, receipt):
        content = bytearray(store.get(damaged))
        content[len(content) // 2] ^= 1
        store.put(damaged, bytes(content))
    found = verify(Root(store))
    assert {fault.file for fault in found.faults} == {key, receipt}
    assert all(fault.mended_by == REPAIR for fault in found.faults)
    repair(Root(store), found)
    again = Root(store)
    run(plan, again, again.new_run("", "", plan), engine="inline")
    assert store.get(key) == good
    assert verify(Root(store)).faults == []


def test_a_receipt_of_before_there_were_sums_is_read(copied: tuple[Path, Path]) -> None:
    path, root = copied
    for one in root.glob("stages/*/receipts/*.json"):
        data = orjson.loads(one.read_bytes())
        del data["crc32"]
        for part in data["parts"].values():
            del part["sums"]
        one.write_bytes(orjson.dumps(data))
    assert go(path, root) == 0
    assert verify(Root(root)).faults == []


def test_of_an_array_that_is_read_in_part_the_blocks_that_are_read_are_checked(tmp_path: Path) -> None:
    path, rows = tmp_path / "array.npy", 3 * BLOCK // 8
    np.save(path, np.arange(rows))
    part = builder.committed("array", path, rows)
    content = bytearray(path.read_bytes())
    content[2 * BLOCK + 7] ^= 4  # in the third of four blocks
    path.write_bytes(content)
    array = ArrayFile.of(part)
    assert array.read(0, 10).tolist() == list(range(10))
    assert array.gather(np.array([rows - 1, 3])).tolist() == [rows - 1, 3]
    for _ in range(2):
        with pytest.raises(DamagedFile, match=rf"between {2 * BLOCK:,} and {3 * BLOCK:,} is not what was written"):
            array.read(2 * BLOCK // 8 - 20)
    content[2 * BLOCK + 7] ^= 4
    path.write_bytes(content)
    assert len(array.read(2 * BLOCK // 8 - 20)) == rows - 2 * BLOCK // 8 + 20
    content[BLOCK + 1] ^= 1
    path.write_bytes(content)  # what was checked before the file was written again is checked again
    with pytest.raises(DamagedFile):
        array.read(BLOCK // 8, BLOCK // 8 + 1)
    path.write_bytes(content[:-1])
    with pytest.raises(DamagedFile, match="bytes, not"):
        ArrayFile.of(part)


def test_a_report_or_a_query_that_meets_a_damaged_file_names_it_and_what_mends_it(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where DuckDB cannot read it; it says no name, or that of a file as if the query were wrong."""
    recipe, root = copied
    for command in (["run", recipe, "--root", root, "--engine", "inline"], ["stats", root, "--sql", "FROM corpus"]):
        assert main([str(word) for word in command]) == 0
    next(root.glob("runs/*/report.html")).unlink()  # else the next run, of no unit, names it and looks at no text
    whole = {path: path.read_bytes() for path in root.glob("corpus/*/*.parquet")}
    capsys.readouterr()
    for where in ("text", "footer"):
        for path, before in whole.items():  # all: the report shows few documents
            group = pq.ParquetFile(pa.BufferReader(before)).metadata.row_group(0)
            text = next(one for k in range(group.num_columns) if (one := group.column(k)).path_in_schema == "text")
            start = text.dictionary_page_offset or text.data_page_offset
            at, count = (start, text.total_compressed_size) if where == "text" else (len(before) - 8, 4)
            path.write_bytes(before[:at] + b"\xff" * count + before[at + count :])
        sql = ["stats", root, "--sql", "FROM corpus"]
        for command in (["run", recipe, "--root", root, "--engine", "inline"], ["report", root], sql):
            assert main([str(word) for word in command]) == 1
            said = capsys.readouterr().err
            assert any(f"{path} is damaged: a byte between 0 and" in said for path in whole)
            assert "the unit `" in said
            assert f"corpuskit verify {root} --repair" in said
            assert ("all units are complete" in said) == (command[0] == "run")
            assert "Traceback" not in said
        for path, before in whole.items():
            path.write_bytes(before)
    assert main(["stats", str(root), "--sql", "SELECT error('mine')"]) == 2
    assert "mine" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["receipts.parquet", "domain_stats.parquet", "views.json"])
def test_a_damaged_table_of_views_is_named_and_made_anew(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    _, root = copied
    view = "domain_stats" if name.startswith("domain") else "receipts"

    def told(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        status = main([words[0], str(root), *words[1:], "--json"])
        return status, json.loads(capsys.readouterr().out)

    before = told("stats", "--sql", f"FROM {view}")
    assert before[0] == 0
    (path,) = root.glob(f"runs/*/{name}")
    file = path.relative_to(root).as_posix()
    for at in (10, path.stat().st_size // 2, path.stat().st_size - 6):  # data, and what DuckDB reads first of a file
        flip(path, at)
        status, found = told("verify")
        assert (status, [fault["file"] for fault in found["faults"]]) == (1, [file])
        assert found["faults"][0]["mend"] == f"corpuskit verify {root} --repair, then corpuskit stats {root}"
        assert told("verify", "--repair")[1]["removed"] == [file]
        for verb in ("status", "report", "stats"):
            assert told(verb)[0] == 0
        assert told("stats", "--sql", f"FROM {view}") == before
        assert told("verify")[0] == 0


@pytest.mark.parametrize("name", ["receipts.parquet", "domain_stats.parquet"])
def test_what_reads_a_damaged_table_of_views_names_it_and_nothing_else_fails(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    _, root = copied
    assert main(["stats", str(root)]) == 0
    (path,) = root.glob(f"runs/*/{name}")
    flip(path, path.stat().st_size - 6)  # in the length of the footer
    for verb in ("status", "report", "stats"):
        assert main([verb, str(root)]) == 0
    capsys.readouterr()
    for words in (["stats", root, "--sql", f"FROM {path.stem}"], ["explore", root]):
        assert main([str(word) for word in words]) == 1
        said = capsys.readouterr().err
        assert f"{name} is damaged: it is not what was written" in said
        assert f"corpuskit verify {root} --repair" in said


def test_a_report_is_written_only_where_it_would_show_something_new(
    copied: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, root = copied

    def report(*words: str) -> Path:
        capsys.readouterr()
        assert main(["run", str(recipe), "--root", str(root), "--engine", "inline", "--json", *words]) == 0
        return Path(json.loads(capsys.readouterr().out)["report"])

    def known() -> list[Path]:
        return sorted(root.glob("runs/*/report.html"))

    first = report()
    assert report() == report() == first
    assert known() == [first]
    other = report("--set", "expect=[\"docs('web') > 0\"]")  # the page shows what is expected
    assert known() == [first, other]
    third = report()  # the last page is of another recipe
    assert known() == [first, other, third]
    for part in root.glob("stages/corpus-web-*/receipts/*"):
        part.unlink()
    assert report() not in (first, other, third)  # of units that ran again it shows what they took
