"""Nothing stale is ever used: whatever output depends on is in the key that it is filed under."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from tests.core.builder import corpus, digests, recipe

BASE = """
import pyarrow as pa, pyarrow.compute as pc
from corpuskit import step

@step.signal
def number(batch, *, value: int = 1):
    return pa.array([value] * batch.num_rows, pa.int64())

@step.edit
def stamp(batch):
    marks = [str(batch["number"][i].as_py()) if "number" in batch.schema.names else "?" for i in range(batch.num_rows)]
    texts = [mark + " " + text for mark, text in zip(marks, batch["text"].to_pylist())]
    return batch.set_column(batch.schema.get_field_index("text"), "text", pa.array(texts))

@step.edit(reads=True)
def stamp_reading(batch):
    return stamp.function(batch)

@step.signal
def first_word(batch):
    return pa.array([text.split()[0] for text in batch["text"].to_pylist()])

@step.signal
def sees(batch):
    return pa.array([",".join(sorted(set(batch.schema.names) & {"number"}))] * batch.num_rows)

@step.signal
def domain_of(batch):
    return batch["domain"]

@step.signal
def share_of_all(batch, *, state=None):
    return pa.array([state] * batch.num_rows, pa.int64())

@share_of_all.summarize
def _(batch):
    return batch.num_rows

@share_of_all.merge
def _(a, b):
    return a + b
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("raw"), files=1)


def build(folder: Path, raw: Path, steps: str, *, code: str = BASE, domain: str = "books", options: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.py").write_text(code)
    source = f'books: {{read: jsonl, path: "{raw}/books/*", domain: {domain}{options}}}'
    (folder / "recipe.yaml").write_text(f"name: own\nsources:\n  {source}\nsteps:\n{steps}")
    assert main(["run", str(folder / "recipe.yaml"), "--root", str(folder / "root"), "--engine", "inline"]) == 0
    return folder / "root"


def column(root: Path, name: str) -> set:
    return set(pq.read_table(root / "corpus").column(name).to_pylist())


def test_an_edit_sees_signals_only_if_it_says_so_and_then_they_are_in_the_key_of_what_follows(
    raw: Path, tmp_path: Path
) -> None:
    steps = "  - ./own.py:number: {value: VALUE}\n  - ./own.py:STAMP: {}\n  - ./own.py:first_word: {}\n"
    for stamp, expected in (("stamp", {"1": "?", "2": "?"}), ("stamp_reading", {"1": "1", "2": "2"})):
        for value in ("1", "2"):
            root = build(tmp_path / stamp, raw, steps.replace("VALUE", value).replace("STAMP", stamp))
            assert column(root, "first_word") == {expected[value]}


def test_a_signal_does_not_see_signals_of_an_earlier_stage(raw: Path, tmp_path: Path) -> None:
    minhash = "  - minhash: {shingle: {unit: word, n: 3}}\n"
    steps = f"  - ./own.py:number: {{}}\n{minhash}  - ./own.py:sees: {{}}\n  - clean_chars: {{}}\n"
    assert column(build(tmp_path, raw, steps), "sees") == {""}


def test_the_domain_is_in_the_key_of_a_signal(raw: Path, tmp_path: Path) -> None:
    steps = "  - ./own.py:domain_of: {}\n"
    assert column(build(tmp_path, raw, steps), "domain_of") == {"books"}
    assert column(build(tmp_path, raw, steps, domain="novels"), "domain_of") == {"novels"}


def test_a_state_of_more_documents_makes_its_columns_stale(tmp_path: Path) -> None:
    own = corpus(tmp_path / "raw", files=1)
    steps = "  - ./own.py:share_of_all: {}\n"
    assert column(build(tmp_path, own, steps), "share_of_all") == {40}
    (own / "books" / "more.jsonl").write_text(json.dumps({"text": "one more"}) + "\n")
    assert column(build(tmp_path, own, steps), "share_of_all") == {41}


def test_a_module_that_a_step_imports_is_in_its_key_and_a_comment_is_not(raw: Path, tmp_path: Path) -> None:
    code = (
        "from corpuskit import step\nimport pyarrow as pa\nfrom pkg import rules\n"
        "@step.signal\ndef ruled(batch):\n    return pa.array([rules.VALUE] * batch.num_rows)\n"
    )
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    run = [
        sys.executable,
        "-m",
        "corpuskit.cli",
        "run",
        str(tmp_path / "recipe.yaml"),
        "--root",
        str(tmp_path / "root"),
    ]

    def once(value: str) -> int:
        (tmp_path / "pkg" / "rules.py").write_text(value)
        (tmp_path / "own.py").write_text(code)
        (tmp_path / "recipe.yaml").write_text(
            f'name: own\nsources:\n  books: {{read: jsonl, path: "{raw}/books/*"}}\nsteps:\n  - ./own.py:ruled: {{}}\n'
        )
        done = subprocess.run([*run, "--engine", "inline", "--json"], capture_output=True, check=True)
        return json.loads(done.stdout)["units_run"]

    assert once("VALUE = 1\n") == 1
    assert once('"""Rules."""\nVALUE = 1  # one\n') == 0
    assert once("VALUE = 2\n") == 1
    assert column(tmp_path / "root", "ruled") == {2}


def test_code_that_changes_between_plan_and_unit_fails_the_unit(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(
        "from pathlib import Path\nimport pyarrow as pa\nfrom corpuskit import step\n"
        "@step.signal\ndef edits_itself(batch):\n"
        "    Path(__file__).write_text(Path(__file__).read_text() + 'X = 1\\n')\n"
        "    return pa.array([1] * batch.num_rows)\n"
    )
    (tmp_path / "recipe.yaml").write_text(
        f'name: own\nsources:\n  books: {{read: jsonl, path: "{raw}/books/*"}}\n'
        "steps:\n  - ./own.py:edits_itself: {}\n"
    )
    assert main(["run", str(tmp_path / "recipe.yaml"), "--root", str(tmp_path / "root"), "--engine", "inline"]) == 1
    assert "changed since the plan was made" in capsys.readouterr().err
    assert not list((tmp_path / "root").glob("stages/*/receipts/*"))
    assert not list((tmp_path / "root").glob("stages/*/columns/*/*"))


def test_what_on_error_drop_let_pass_does_not_pass_under_fail(tmp_path: Path) -> None:
    own = corpus(tmp_path / "raw", files=1)
    (own / "books" / "bad.jsonl").write_text('{"text": "fine and long enough"}\n{bad\n')
    root = build(tmp_path, own, "  - clean_chars: {}\n", options=", on_error: drop")
    text = (tmp_path / "recipe.yaml").read_text().replace(", on_error: drop", "")
    (tmp_path / "recipe.yaml").write_text(text)
    assert main(["run", str(tmp_path / "recipe.yaml"), "--root", str(root), "--engine", "inline"]) == 1


def test_a_reader_that_loses_its_connection_fails_its_unit_even_under_drop(tmp_path: Path) -> None:
    code = BASE + (
        "\n@step.source\ndef flaky(file):\n    from pathlib import Path\n    yield {'text': 'one'}\n"
        "    if not Path(file).with_name('mended').exists():\n        raise ConnectionResetError('reset')\n"
        "    yield {'text': 'two'}\n"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.txt").write_text("x")
    (tmp_path / "own.py").write_text(code)
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f'name: own\nsources:\n  s: {{read: "./own.py:flaky", path: "{tmp_path}/data/x.txt", on_error: drop}}\n'
        "steps:\n  - clean_chars: {}\n"
    )
    run = ["run", str(path), "--root", str(tmp_path / "root"), "--engine", "inline"]
    assert main(run) == 1
    (tmp_path / "data" / "mended").write_text("")
    assert main(run) == 0
    assert pq.read_table(tmp_path / "root" / "corpus").num_rows == 2


def test_a_sample_never_replaces_a_corpus(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = build(tmp_path, raw, "  - clean_chars: {}\n")
    before = digests(root)
    assert main(["run", str(tmp_path / "recipe.yaml"), "--root", str(root), "--sample", "0.5"]) == 2
    assert "holds the whole corpus" in capsys.readouterr().err
    assert digests(root) == before


def test_until_corpus_publishes_the_corpus_with_its_evidence(raw: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, raw)
    assert main(["run", str(path), "--root", str(tmp_path / "root"), "--engine", "inline", "--until", "corpus"]) == 0
    assert pq.read_table(tmp_path / "root" / "corpus").num_rows > 0
    assert pq.read_table(tmp_path / "root" / "duplicates").num_rows > 0


def test_a_wrong_argument_starts_no_run(raw: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, raw)
    for wrong in (["--engine", "foo"], ["--until", "nowhere"], ["--sample", "7"], ["--workers", "0"]):
        assert main(["run", str(path), "--root", str(tmp_path / "root"), *wrong]) == 2
    assert not (tmp_path / "root").exists()


def test_two_runs_in_one_root_leave_a_whole_corpus(raw: Path, tmp_path: Path) -> None:
    paths = [recipe(tmp_path / str(n), raw, shortest=60 + n) for n in (0, 1)]
    command = [sys.executable, "-m", "corpuskit.cli", "run"]
    done = []

    def one(path: Path) -> None:
        words = [str(path), "--root", str(tmp_path / "root"), "--engine", "inline"]
        done.append(subprocess.run([*command, *words], capture_output=True, check=False, env=os.environ))

    threads = [threading.Thread(target=one, args=[path]) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.returncode for process in done] == [0, 0], [process.stderr.decode()[-800:] for process in done]
    manifest = json.loads((tmp_path / "root" / "corpus" / "_manifest.json").read_text())
    for name, file in manifest["files"].items():
        assert pq.read_table(tmp_path / "root" / "corpus" / name).num_rows == file["rows"]


def test_a_signal_without_a_type_of_its_own_is_refused(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(
        "from corpuskit import step\n"
        "@step.signal\ndef listed(batch):\n    return [None] * batch.num_rows\n"
        "@step.signal(columns={'declared': 'int64'})\ndef declared(batch):\n    return [None] * batch.num_rows\n"
        "@step.filter\ndef raises(batch):\n    return batch['text'][0].as_py().nothing\n"
        "@step.signal(columns={'score': 'float64'})\ndef clash(batch):\n    return [1.0] * batch.num_rows\n"
    )

    def said(name: str) -> tuple[int, str]:
        path = tmp_path / "recipe.yaml"
        source = f'books: {{read: jsonl, path: "{raw}/books/*", columns: {{score: float64}}}}'
        path.write_text(f"name: own\nsources:\n  {source}\nsteps:\n  - ./own.py:{name}: {{}}\n")
        code = main(["run", str(path), "--root", str(tmp_path / name), "--engine", "inline"])
        return code, capsys.readouterr().err

    code, error = said("listed")
    assert (code, 'columns={"listed": "float64"}' in error) == (1, True)
    assert said("declared")[0] == 0
    code, error = said("raises")
    assert code == 1
    assert "`raises` raised AttributeError" in error or "raises` raised AttributeError" in error
    assert "own.py:10" in error
    code, error = said("clash")
    assert (code, "would overwrite the column `score`" in error) == (2, True)
