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
from corpuskit.recipe import load
from tests.end_to_end import dumps


def looked(folder: Path, sources: dict[str, tuple[str, list[str]]]) -> tuple[Plan, Looked]:
    """The plan of a recipe that reads these sources, and what a look at them tells."""
    path = folder / "recipe.yaml"
    given = {
        name: {"read": read, "path": [str(folder / one) for one in paths]} for name, (read, paths) in sources.items()
    }
    path.write_text(yaml.safe_dump({"sources": given, "steps": [{"clean_chars": {}}]}))
    recipe = load(path, [])
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


def test_a_reader_that_takes_much_before_its_first_record_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = random.Random(1).randbytes(3 << 20)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(dumps.tar({"noise.bin": noise, "a/b.py": b"x = 1\n" * 100})))
    for budget, known in ((8 << 20, {"code"}), (1 << 20, set())):
        monkeypatch.setattr(looking, "BEFORE", budget)
        _, found = looked(tmp_path, {"code": ("code", ["*.tar.gz"])})
        assert found.keys() == known
