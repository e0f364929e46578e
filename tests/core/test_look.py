"""A look at some files of a source tells what all of them give, whatever they are made of."""

import gzip
import json
import random
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from corpuskit.cli import main
from corpuskit.core.flow import Looked
from corpuskit.core.plan import Plan
from corpuskit.documents import look as looking
from corpuskit.plan.looking import look
from corpuskit.plan.planner import make
from corpuskit.recipe import Recipe, load
from tests.end_to_end import dumps


def written(folder: Path, sources: dict[str, tuple[str, list[str]]]) -> Recipe:
    """A recipe that reads these sources."""
    path = folder / "recipe.yaml"
    given = {
        name: {"read": read, "path": [str(folder / one) for one in paths]} for name, (read, paths) in sources.items()
    }
    path.write_text(yaml.safe_dump({"sources": given, "steps": [{"clean_chars": {}}]}))
    return load(path, [])


def looked(folder: Path, sources: dict[str, tuple[str, list[str]]]) -> tuple[Plan, Looked]:
    """The plan of such a recipe, and what a look at the files tells."""
    recipe = written(folder, sources)
    plan = make(recipe)
    return plan, look(recipe, plan)


def test_of_dumps_of_all_domains_it_tells_what_readers_make_of_them(tmp_path: Path) -> None:
    dumps.write(tmp_path)
    plan, found = looked(tmp_path, dumps.FILES)
    assert found.keys() == dumps.FILES.keys()
    assert main(["run", str(tmp_path / "recipe.yaml"), "--root", str(tmp_path / "root")]) == 0
    for domain, told in found.items():
        table = pq.read_table(tmp_path / "root" / "corpus" / f"domain={domain}", columns=["text"])
        text = pc.sum(pc.binary_length(table.column("text"))).as_py()
        reads = plan.stages.get(f"read-{domain}", plan.stages[f"corpus-{domain}"])
        raw = sum(entry["size"] for unit in reads.units for entry in unit.inputs)
        assert told["text"] * raw == pytest.approx(text, rel=0.02), domain
        assert told["document"] == pytest.approx(text / len(table), rel=0.02), domain


def rows(path: Path, size: int, text: int) -> None:
    """A file of JSON lines of so many bytes, of which each document's text is a part."""
    other = 1000 - text
    lines = [json.dumps({"text": "t" * text, "other": "o" * other}) for _ in range(size // 1000)]
    path.write_text("\n".join(lines))


def test_a_large_file_counts_for_more_than_small_ones(tmp_path: Path) -> None:
    rows(tmp_path / "large.jsonl", 3_000_000, 900)
    for number in range(20):
        rows(tmp_path / f"small-{number:02}.jsonl", 20_000, 100)
    _, found = looked(tmp_path, {"web": ("jsonl", ["*.jsonl"])})
    whole = (3_000_000 * 0.9 + 20 * 20_000 * 0.1) / 3_400_000
    assert found["web"]["text"] == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("files", [2, 8])
def test_files_of_more_than_a_piece_are_known(tmp_path: Path, files: int, packed: str) -> None:
    noise, words, size = random.Random(1), [f"w{number}" for number in range(5000)], 0
    for number in range(files):
        texts = [" ".join(noise.choices(words, k=200)) for _ in range(6000)]  # 7 MB: the reader takes 4 MiB at a time
        size += sum(map(len, texts))
        data = "\n".join(json.dumps({"text": text}) for text in texts).encode()
        (tmp_path / f"{number}.jsonl{packed}").write_bytes(gzip.compress(data, 1) if packed else data)
    plan, found = looked(tmp_path, {"web": ("jsonl", ["*.jsonl*"])})
    assert found["web"]["text"] * plan.raw_bytes == pytest.approx(size, rel=0.05)


def test_a_range_of_a_file_tells_too(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    rows(path, 20_000_000, 900)
    source, size = written(tmp_path, {"web": ("jsonl", ["*.jsonl"])}).sources["web"], path.stat().st_size
    for start, end in ((0, size // 2), (size // 2, size)):
        entry = {"path": str(path), "relative": path.name, "size": size, "start": start, "end": end}
        assert looking.look(source, [entry])["text"] == pytest.approx(900 * 20_000 / size, rel=0.03)


POST = '<row Id="%d" PostTypeId="%d" CreationDate="2020-01-01T00:00:00.000" Score="1" Title="t" Body="&lt;p&gt;%s" />'


def posts(path: Path, wikis: int, questions: int) -> None:
    """A table of posts of which the first are no documents."""
    lines = [POST % (number, 5, "wiki " * 20) for number in range(wikis)]
    lines += [POST % (wikis + number, 1, "words and words " * 20) for number in range(questions)]
    path.parent.mkdir(parents=True)
    path.write_text('<?xml version="1.0"?>\n<posts>\n' + "\n".join(lines) + "\n</posts>")


def test_a_dump_that_is_taken_whole_tells_nothing_before_it_was_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts(tmp_path / "large.example.com/Posts.xml", 3000, 3000)
    posts(tmp_path / "small.example.com/Posts.xml", 10, 100)
    sources = {"answers": ("stackexchange", ["*/Posts.xml"])}
    _, found = looked(tmp_path, sources)
    assert 0.4 < found["answers"]["text"] < 0.8
    monkeypatch.setattr(looking, "WHOLE_SECONDS", 0.0)
    assert looked(tmp_path, sources)[1] == {}


def test_what_is_not_here_or_empty_tells_nothing(tmp_path: Path) -> None:
    source = written(tmp_path, {"web": ("jsonl", ["*.jsonl"])}).sources["web"]
    away = {"path": "s3://bucket/a.jsonl", "relative": "a.jsonl", "size": 5, "start": None, "end": None}
    for entries in ([], [away], [away | {"path": "/a.jsonl", "size": 0}]):
        assert looking.look(source, entries) == {}
