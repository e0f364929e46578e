"""What a run promises: the same bytes, nothing run twice, nothing lost, every failure named."""

import gzip
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.core.checksum import parse_record, with_sum
from tests.core.builder import corpus, digests, recipe
from tests.core.kills import RUN, kill_after, kill_at, receipts


def run(*words: object) -> int:
    return main([str(word) for word in words])


def summary(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    assert run(*words, "--json") == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def built(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an uninterrupted run, inline."""
    folder = tmp_path_factory.mktemp("built")
    assert run("run", recipe(folder, raw), "--root", folder / "root", "--engine", "inline") == 0
    return folder / "root"


def test_a_second_run_runs_no_unit(built: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = digests(built)
    assert before
    found = summary(capsys, "run", recipe(tmp_path, raw), "--root", built, "--engine", "inline")
    assert found["units_run"] == 0
    assert digests(built) == before


def test_what_was_made_with_other_versions_is_said_at_the_run_and_in_the_report(
    built: Path, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(built, tmp_path / "root"))
    here = version("pyarrow")
    path = recipe(tmp_path, raw)
    assert summary(capsys, "run", path, "--root", root, "--engine", "inline")["other_versions"] == []
    older = [*root.glob("stages/filter-web-*/receipts/*"), *root.glob("stages/corpus-books-*/receipts/*")]
    for receipt in older:
        found = parse_record(receipt.read_bytes())
        assert found["versions"].keys() >= {"python", "duckdb", "numba", "numpy", "pyarrow"}
        found["versions"]["pyarrow"] = "25.0.0"
        receipt.write_bytes(with_sum(found))
    assert run("run", path, "--root", root, "--engine", "inline") == 0
    said = f"{len(older)} complete units made with pyarrow 25.0.0; here it is {here} (filter-web, corpus-books)"
    assert f"note: {said}" in capsys.readouterr().err
    report = max(root.glob("runs/*/report.html")).read_text()
    assert said in report
    assert f"pyarrow {here}" in report
    (root / "runs").rename(tmp_path / "runs")  # nothing is run again for it, also without an earlier plan
    found = summary(capsys, "run", path, "--root", root, "--engine", "inline")
    assert (found["units_run"], len(found["other_versions"])) == (0, 1)


@pytest.mark.parametrize(
    ("engine", "workers", "batch_bytes"), [("local", 1, 1 << 20), ("local", 2, 3000), ("inline", 1, 500)]
)
def test_engine_workers_and_batch_size_do_not_change_a_byte(
    built: Path, raw: Path, tmp_path: Path, engine: str, workers: int, batch_bytes: int
) -> None:
    path = recipe(tmp_path, raw, batch_bytes=batch_bytes)
    assert run("run", path, "--root", tmp_path / "root", "--engine", engine, "--workers", workers) == 0
    assert digests(tmp_path / "root") == digests(built)


def test_every_record_is_accounted_for(built: Path, raw: Path) -> None:
    rows = 3 * 40 * 2
    corpus_rows = pq.read_table(built / "corpus").num_rows
    held_out = pq.read_table(built / "holdout").num_rows
    removed = pq.read_table(built / "duplicates").num_rows
    dropped = sum(pq.read_table(path).num_rows for path in (built / "dropped").rglob("*.parquet"))
    assert corpus_rows + held_out + removed + dropped == rows
    assert min(corpus_rows, held_out, removed, dropped) > 0


def test_any_parquet_tool_reads_the_corpus_as_a_hive_table(built: Path) -> None:
    table = pq.read_table(built / "corpus")
    assert set(table.column("domain").to_pylist()) == {"web", "books"}
    assert {"doc", "text", "url", "score", "clean_chars", "source"} <= set(table.column_names)
    manifest = json.loads((built / "corpus" / "_manifest.json").read_text())
    assert sum(file["rows"] for file in manifest["files"].values()) == table.num_rows


def resumed(path: Path, root: Path, built: Path, counts: Iterable[int]) -> None:
    """Kill a run each time that it has so many receipts; then it ends, and gives what one that was left alone gives."""
    everything = receipts(built)
    for count in counts:
        left = kill_at(path, root, count)
        assert count <= len(left) < len(everything)
        assert left < everything
    done = subprocess.run([*RUN, str(path), "--root", str(root), "--workers", "2"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert receipts(root) == everything
    assert digests(root) == digests(built)
    assert not list(root.glob("stages/*/scratch/*"))


def test_a_killed_run_goes_on_and_gives_the_same_bytes(built: Path, raw: Path, tmp_path: Path) -> None:
    total = len(receipts(built))
    resumed(recipe(tmp_path, raw), tmp_path / "root", built, (1, total // 3, 2 * total // 3))


@pytest.mark.soak
def test_a_run_killed_at_every_receipt_goes_on_and_gives_the_same_bytes(built: Path, raw: Path, tmp_path: Path) -> None:
    total = len(receipts(built))
    for start in range(1, 4):  # each kill in a root where others were killed before, at other receipts
        resumed(recipe(tmp_path, raw), tmp_path / f"root{start}", built, range(start, total - 2, 3))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(8))
def test_a_run_killed_at_random_moments_goes_on_and_gives_the_same_bytes(
    built: Path, raw: Path, tmp_path: Path, seed: int
) -> None:
    path, root = recipe(tmp_path, raw), tmp_path / "root"
    rng = random.Random(seed)
    for _ in range(6):
        kill_after(path, root, rng.uniform(0.3, 4), rng.choice(["all", "parent", "worker"]), rng.randrange(9))
    resumed(path, root, built, [])


def test_a_changed_parameter_is_named_and_nothing_stale_is_used(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assert run("run", recipe(tmp_path, raw), "--root", root, "--engine", "inline") == 0
    changed = recipe(tmp_path, raw, shortest=700)
    plan = summary(capsys, "plan", changed, "--root", root)
    why = {stage["stage"]: stage for stage in plan["stages"]}
    assert "60" in why["filter-web"]["why"]
    assert "700" in why["filter-web"]["why"]
    assert "filter-web" in why["signatures-web"]["why"]
    assert run("run", changed, "--root", root, "--engine", "inline") == 0
    lengths = pq.read_table(root / "corpus").column("clean_chars").to_pylist()
    assert lengths
    assert min(lengths) >= 700
    fresh = tmp_path / "fresh"
    assert run("run", changed, "--root", fresh, "--engine", "inline") == 0
    assert digests(fresh) == digests(root)


def test_a_new_file_costs_its_own_units(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = corpus(tmp_path / "raw", files=2, seed=3)
    root = tmp_path / "root"
    path = recipe(tmp_path, own)
    assert run("run", path, "--root", root, "--engine", "inline") == 0
    before = set(pq.read_table(root / "corpus").column("doc").to_pylist())
    (own / "web" / "zz.jsonl").write_text(json.dumps({"text": "An entirely new page about lighthouses. " * 5}) + "\n")
    assert run("run", path, "--root", root, "--engine", "inline") == 0
    assert len(set(pq.read_table(root / "corpus").column("doc").to_pylist()) - before) >= 1


def test_a_malformed_line_is_named_and_good_units_are_committed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = corpus(tmp_path / "raw", files=1)
    bad = own / "web" / "bad.jsonl"
    bad.write_text(
        json.dumps({"text": "Fine text. " * 20}) + "\n{broken\n" + json.dumps({"text": "Also fine. " * 20}) + "\n"
    )
    path, root = recipe(tmp_path, own), tmp_path / "root"
    assert run("run", path, "--root", root, "--engine", "inline") == 1
    said = capsys.readouterr().err
    assert "bad.jsonl" in said
    assert "line 2" in said
    assert "on_error: drop" in said
    assert "--unit filter-web:" in said
    assert list((root / "stages").glob("filter-books-*/receipts/*.json"))
    text = path.read_text().replace("read: jsonl,", "read: jsonl, on_error: drop,")
    path.write_text(text)
    assert run("run", path, "--root", root, "--engine", "inline") == 0
    dropped = pq.read_table(root / "dropped" / "domain=web").to_pylist()
    unreadable = [row for row in dropped if row["rule"] == "unreadable"]
    assert len(unreadable) == 1
    assert "line 2" in unreadable[0]["reason"]


def test_a_truncated_archive_is_an_error_that_keeps_what_was_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = corpus(tmp_path / "raw", files=1)
    rows = "".join(
        json.dumps({"text": f"Page number {n}: " + "some words that differ " * n}) + "\n" for n in range(3, 200)
    )
    data = gzip.compress(rows.encode())
    (own / "web" / "cut.jsonl.gz").write_bytes(data[: len(data) // 2])
    path, root = recipe(tmp_path, own), tmp_path / "root"
    assert run("run", path, "--root", root, "--engine", "inline") == 1
    assert "cut.jsonl.gz" in capsys.readouterr().err
    path.write_text(path.read_text().replace("read: jsonl,", "read: jsonl, on_error: drop,"))
    assert run("run", path, "--root", root, "--engine", "inline") == 0
    assert pq.read_table(root / "corpus").num_rows > 10


STEPS = """
import os, signal
from pathlib import Path
import pyarrow as pa
import pyarrow.compute as pc
from corpuskit import step

CALLS = Path(__file__).with_name("calls")

@step.signal
def length(batch, *, scale: float = 1.0):
    with CALLS.open("a") as calls:
        calls.writelines(f"{doc}\\n" for doc in batch["doc"].to_pylist())
    return pc.multiply(pc.cast(pc.utf8_length(batch["text"]), pa.float64()), scale)

@step.filter
def no_lorem(batch, *, max_hits: int = 0):
    return pc.less_equal(pc.count_substring(batch["text"], "lorem ipsum"), max_hits)

@step.filter
def killer(batch, *, times: int = 1):
    marker = Path(__file__).with_name("killed")
    count = len(marker.read_text()) if marker.exists() else 0
    if count < times:
        marker.write_text("x" * (count + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return pa.array([True] * batch.num_rows)

@step.filter
def shorter_than_mean(batch, *, state=None):
    total, rows = state
    return pc.less_equal(pc.utf8_length(batch["text"]), total // rows)

@shorter_than_mean.summarize
def _(batch):
    return pc.sum(pc.utf8_length(batch["text"])).as_py() or 0, batch.num_rows

@shorter_than_mean.merge
def _(a, b):
    return a[0] + b[0], a[1] + b[1]

@step.filter
def loses_rows(batch):
    return pa.array([True] * (batch.num_rows - 1))
"""


def own_steps(folder: Path, raw: Path, steps: str, sources: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.py").write_text(STEPS)
    path = folder / "recipe.yaml"
    path.write_text(f'name: own\nsources:\n  books: {{read: jsonl, path: "{raw}/books/*"}}\n{sources}steps:\n{steps}')
    return path


def calls(folder: Path) -> list[int]:
    path = folder / "calls"
    found = [int(line) for line in path.read_text().split()] if path.exists() else []
    path.write_text("")
    return found


def test_moving_a_threshold_calls_the_scorer_for_documents_that_came_back_only(raw: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"

    def build(first: int, second: int) -> set[int]:
        steps = (
            "  - clean_chars: {}\n"
            f"  - where: clean_chars > {first}\n    name: first\n"
            "  - ./own.py:length: {}\n"
            f"  - where: length > {second}\n    name: second\n"
        )
        assert run("run", own_steps(tmp_path, raw, steps), "--root", root, "--engine", "inline") == 0
        return set(pq.read_table(root / "corpus").column("doc").to_pylist())

    kept = build(200, 100)
    assert len(calls(tmp_path)) >= len(kept)
    tighter = build(900, 100)
    assert tighter < kept
    assert calls(tmp_path) == []
    build(900, 1200)
    assert calls(tmp_path) == []
    looser = build(0, 0)
    back = calls(tmp_path)
    assert len(back) == len(set(back))
    assert set(back) == looser - kept


def test_a_worker_that_is_killed_is_tried_once_more(raw: Path, tmp_path: Path) -> None:
    path = own_steps(tmp_path, raw, "  - ./own.py:killer: {times: 1}\n")
    assert run("run", path, "--root", tmp_path / "root", "--workers", "1") == 0
    assert pq.read_table(tmp_path / "root" / "corpus").num_rows == 120


def test_a_unit_that_kills_its_worker_twice_is_a_failed_unit_not_a_hang(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_steps(tmp_path, raw, "  - ./own.py:killer: {times: 2}\n")
    assert run("run", path, "--root", tmp_path / "root", "--workers", "1") == 1
    said = capsys.readouterr().err
    assert "SIGKILL" in said
    assert "--unit corpus-books:0 --pdb" in said


def test_a_step_that_has_seen_everything(raw: Path, tmp_path: Path) -> None:
    path = own_steps(tmp_path, raw, "  - ./own.py:shorter_than_mean: {}\n")
    assert run("run", path, "--root", tmp_path / "root", "--engine", "inline") == 0
    texts = []
    for file in sorted((raw / "books").iterdir()):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        texts += [json.loads(line)["text"] for line in data.splitlines()]
    mean = sum(map(len, texts)) // len(texts)
    kept = pq.read_table(tmp_path / "root" / "corpus").column("text").to_pylist()
    assert sorted(kept) == sorted(text for text in texts if len(text) <= mean)


def test_a_step_that_loses_rows_is_refused(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_steps(tmp_path, raw, "  - ./own.py:loses_rows: {}\n")
    assert run("run", path, "--root", tmp_path / "root", "--engine", "inline") == 1
    assert "loses_rows" in capsys.readouterr().err


def test_a_file_that_changes_between_plan_and_unit_fails_the_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = corpus(tmp_path / "raw", files=1)
    steps = tmp_path / "own.py"
    steps.write_text(
        "from pathlib import Path\nfrom corpuskit import step\nimport pyarrow as pa\n"
        f"@step.filter\ndef touch(batch):\n    Path({str(own / 'books' / '00.jsonl')!r}).write_text('')\n"
        "    return pa.array([True] * batch.num_rows)\n"
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f'name: own\nsources:\n  books: {{read: jsonl, path: "{own}/books/*"}}\nsteps:\n  - ./own.py:touch: {{}}\n'
    )
    assert run("run", path, "--root", tmp_path / "root", "--engine", "inline") == 1
    assert "changed while it was read" in capsys.readouterr().err
    assert not list((tmp_path / "root").glob("stages/*/receipts/*"))


def test_an_expect_that_fails_is_exit_code_3(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_steps(tmp_path, raw, "  - clean_chars: {}\nexpect:\n  - docs('books') > 1000000\n")
    assert run("run", path, "--root", tmp_path / "root", "--engine", "inline") == 3
    assert "docs('books') > 1000000" in capsys.readouterr().err


def test_one_root_belongs_to_one_recipe_name(
    raw: Path, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_steps(tmp_path, raw, "  - clean_chars: {}\n")
    assert run("run", path, "--root", built, "--engine", "inline") == 2
    assert "belongs to the recipe `small`" in capsys.readouterr().err


def test_a_sample_takes_whole_units_into_a_root_of_its_own(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = own_steps(tmp_path, raw, "  - clean_chars: {}\n")
    assert run("run", path, "--sample", "0.4", "--engine", "inline") == 0
    assert "too low" in capsys.readouterr().err
    assert (tmp_path / "runs" / "own-sample-0.4" / "corpus").is_dir()


def test_until_stops_after_a_stage(raw: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert run("run", recipe(tmp_path, raw), "--root", root, "--engine", "inline", "--until", "signatures") == 0
    assert list(root.glob("stages/signatures-web-*/receipts/*"))
    assert not list(root.glob("stages/exact-*/receipts/*"))
    assert not (root / "corpus").exists()


def test_unknown_stage_verb_and_engine_name_the_nearest(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe(tmp_path, raw)
    assert run("run", path, "--root", tmp_path / "r", "--until", "signature-web") == 2
    assert "did you mean `signatures-web`?" in capsys.readouterr().err
    assert run("rnu", path) == 2
    assert "did you mean `run`?" in capsys.readouterr().err
    assert run("run", path, "--root", tmp_path / "r", "--engine", "slrum") == 2
    assert "did you mean `slurm`?" in capsys.readouterr().err


def test_peek_shows_one_document_through_every_step(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = own_steps(tmp_path, raw, "  - clean_chars: {}\n  - where: clean_chars > 100000\n    name: huge\n")
    assert run("peek", path, f"{raw}/books/00.jsonl#1") == 0
    said = capsys.readouterr().out
    assert "clean_chars = " in said
    assert "huge: DROPPED" in said
    assert run("peek", path, f"{raw}/books/00.jsonl#4000") == 2
    assert "has 40 records, so no #" in capsys.readouterr().err


def test_a_fault_in_an_own_step_names_the_line_of_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "from corpuskit import step\n\n@step.filter\ndef boom(batch):\n    return batch.column('nothing')\n"
    )
    (tmp_path / "a.jsonl").write_text('{"text": "One."}\n')
    path = tmp_path / "recipe.yaml"
    path.write_text('name: own\nsources:\n  web: {read: jsonl, path: a.jsonl}\nsteps:\n  - "./mine.py:boom": {}\n')
    assert run("peek", path, tmp_path / "a.jsonl") == 1
    said = capsys.readouterr().err
    assert re.search(r"`boom` raised KeyError: .*mine\.py:5\), at document \d+$", said.strip())
    assert run("run", path, "--root", tmp_path / "root", "--engine", "inline") == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'mine.py'}:5" in said
    (log,) = tmp_path.glob("root/runs/*/log.jsonl")
    assert f"tracebacks: {log}" in said


def test_peek_says_what_is_wrong_with_a_record_that_is_no_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(
        "from corpuskit import step\n\n@step.source()\ndef notes(path):\n    yield {'body': 'one'}\n"
    )
    for name, content in {"a": "{}\n", "b": "", "c": "x"}.items():
        (tmp_path / f"{name}.jsonl").write_text(content)
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: own\nsources:\n  web: {read: jsonl, path: [a.jsonl, b.jsonl]}\n"
        '  notes: {read: "./mine.py:notes", path: c.jsonl}\nsteps: []\n'
    )
    assert run("peek", path, tmp_path / "a.jsonl") == 0
    assert "unreadable: line 1 (byte 0) no field `text`" in capsys.readouterr().out
    assert run("peek", path, tmp_path / "b.jsonl") == 2
    assert "has 0 records\n  name another file" in capsys.readouterr().err
    assert run("peek", path, tmp_path / "a.jsonl#4") == 2
    assert "has 1 record, so no #4" in capsys.readouterr().err
    assert run("peek", path, tmp_path / "c.jsonl") == 2
    assert "the reader `notes` gave a record without `text` (a str): {'body': 'one'}" in capsys.readouterr().err


def test_check_warns_of_sources_whose_files_are_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: own\nsources:\n  web: {read: jsonl, path: raw/*.jsonl}\nsteps:\n  - clean_chars: {}\n")
    assert run("check", path) == 0
    said = capsys.readouterr()
    assert "matches no file; the folder" in said.err
    assert said.out.endswith("ok (1 source, 1 step)\n")
    assert run("plan", path, "--root", tmp_path / "root") == 2
    assert f"corpuskit check {path} --set sources.web.path=PATH" in capsys.readouterr().err
    assert run("stats", path) == 2
    assert f"{path} is a file, not the root of a run" in capsys.readouterr().err


def test_peek_shows_a_raw_record_beside_its_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = "<nav>menu</nav><main><p>A page with a sentence of some length, and another one, too.</p></main>"
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{page}".encode()
    head = "WARC/1.0\r\nWARC-Type: {}\r\nContent-Type: application/http\r\nContent-Length: {}\r\n\r\n"
    records = [head.format("request", 3).encode() + b"GET", head.format("response", len(http)).encode() + http]
    (tmp_path / "x.warc").write_bytes(b"\r\n\r\n".join(records))
    (tmp_path / "novel.txt").write_text("It was late.")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: raw\nsources:\n  web: {read: warc, path: x.warc}\n"
        "  books: {read: gutenberg, path: novel.txt}\nsteps: []\n"
    )
    assert run("peek", recipe, tmp_path / "x.warc#1", "--raw") == 0
    said = capsys.readouterr().out
    raw, _, text = said.partition("--- text")
    assert page in raw
    assert "A page with a sentence" in text
    assert "menu" not in text
    assert run("peek", recipe, tmp_path / "x.warc#0", "--raw") == 0
    assert "no document: request record" in capsys.readouterr().out
    assert run("peek", recipe, tmp_path / "novel.txt", "--raw") == 0
    assert capsys.readouterr().out.count("It was late.") == 2


def test_the_command_line_starts_without_heavy_imports() -> None:
    code = "import sys, corpuskit.cli; print([m for m in ('pyarrow', 'numba', 'duckdb', 'torch') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == "[]"
