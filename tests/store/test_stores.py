"""A root on a file system and one in a bucket keep the same promises, and give the same contents."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from corpuskit.cli import main
from corpuskit.core.storage import Store
from corpuskit.errors import UsageError
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run import run
from corpuskit.store.local import LocalStore
from corpuskit.store.objects import ObjectStore
from corpuskit.store.root import Root
from tests.core.builder import corpus, recipe
from tests.core.kills import RUN

obstore = pytest.importorskip("obstore", reason="a root in a bucket needs corpuskit[bucket]")

MIX = """\
mix:
  weights: {web: 0.5, books: 0.5}
  tokens: 4k
  tokenizer: {train: {vocab_size: 300}}
  shards: {seq_len: 64}
"""


def in_memory() -> ObjectStore:
    return ObjectStore(obstore.store.MemoryStore(), "memory://test")


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "root") if request.param == "local" else in_memory()


def test_a_content_is_put_whole_replaced_and_put_once(store: Store) -> None:
    store.put("a/b", b"one")
    store.put("a/b", b"two, longer")
    assert store.get("a/b") == b"two, longer"
    assert store.size("a/b") == 11
    assert not store.put_new("a/b", b"three")
    assert store.get("a/b") == b"two, longer"
    assert store.put_new("a/c", b"first")
    assert store.get("a/c") == b"first"


def test_files_are_put_copied_listed_and_removed(store: Store, tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).write_bytes(name.encode() * 5)
    store.put_files({"parts/x.bin": tmp_path / "x", "parts/deep/y.bin": tmp_path / "y"})
    store.put("partsnot", b"-")
    assert store.list("parts") == {"parts/deep/y.bin": 5, "parts/x.bin": 5}
    store.copy_all({"published/x": "parts/x.bin"})
    assert store.get("published/x") == b"xxxxx"
    assert store.same("parts/x.bin", "published/x", said=True)
    assert not store.same("parts/x.bin", "published/none", said=False)
    store.delete(["parts/x.bin", "parts/none"])
    assert store.list("parts") == {"parts/deep/y.bin": 5}
    assert store.get("published/x") == b"xxxxx"
    assert store.list("nothing") == {}


def test_what_is_not_there(store: Store) -> None:
    assert store.size("no") is None
    assert list(store.get_all(["no", "neither"])) == [None, None]
    for read in (store.get, lambda key: store.copy_all({"target": key})):
        with pytest.raises(FileNotFoundError):
            read("no")


def test_a_content_is_read_at_an_offset_and_as_a_file(store: Store, tmp_path: Path) -> None:
    table = pa.table({"text": [str(number) for number in range(10_000)]})
    with pa.ipc.new_file(str(tmp_path / "part"), table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    store.put_files({"parts/p.arrow": tmp_path / "part"})
    with store.open("parts/p.arrow") as opened:
        reader = pa.ipc.open_file(opened)
        assert reader.get_batch(7).column(0)[3].as_py() == "7003"
        assert reader.read_all().equals(table)
    local = store.local("parts/p.arrow")
    assert pa.ipc.open_file(pa.OSFile(str(local))).read_all().equals(table)
    store.release()
    assert store.get("parts/p.arrow")[:6] == b"ARROW1"
    assert local.exists() == (store.path is not None)


def test_a_log_goes_on(store: Store) -> None:
    for line in (b"one\n", b"two\n"):
        with store.log("runs/1/log.jsonl") as log:
            log.write(line)
            log.flush()
    assert store.get("runs/1/log.jsonl") == b"one\ntwo\n"


def test_a_bucket_holds_no_checkpoints() -> None:
    with pytest.raises(UsageError, match="checkpoints need a local root"):
        in_memory().kept("checkpoints/x")
    with pytest.raises(UsageError, match="only a root on this machine"):
        _ = Root(in_memory()).path


def test_a_url_that_is_none() -> None:
    with pytest.raises(UsageError, match="name it as s3://bucket/prefix"):
        Root("nothing://here")


def test_a_bucket_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for name, value in about.items():
        monkeypatch.setenv(name, value)
    assert main(["stats", "s3://corpora/x"]) != 0
    assert "s3://corpora/x: the bucket refused or did not answer (list runs)" in (said := capsys.readouterr().err)
    assert len(said.splitlines()) == 2


# -- whole runs ----------------------------------------------------------------------------------------------------


def contents(store: Store) -> dict[str, str]:
    """SHA-256 of every part and published file, by key; receipts by key alone, since they tell the time."""
    found = {}
    for folder in ("corpus", "holdout", "dropped", "duplicates", "index", "tokens", "shards", "stages"):
        for key in store.list(folder):
            kept = "/parts/" in key or folder != "stages"
            found[key] = hashlib.sha256(store.get(key)).hexdigest() if kept and "/columns/" not in key else ""
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A recipe, and what it gives in a local root."""
    folder = tmp_path_factory.mktemp("built")
    path = recipe(folder, corpus(folder / "raw"), extra=MIX)
    root = Root(folder / "root")
    plan = make(load(path, []))
    assert not run(plan, root, root.new_run("", "", plan), engine="inline").failures
    return path, contents(root.store)


def test_a_bucket_in_memory_has_the_same_contents(built: tuple[Path, dict[str, str]]) -> None:
    path, expected = built
    root, plan = Root(in_memory()), make(load(path, []))
    first = run(plan, root, root.new_run("", "", plan), engine="inline")
    assert not first.failures
    assert contents(root.store) == expected
    assert sum(key.startswith("corpus/") for key in expected) > 2
    again = run(plan, root, root.new_run("", "", plan), engine="inline")
    assert (again.ran, again.reused, again.complete) == (0, 0, first.ran)
    assert not list(root.store.scratches())


def test_another_plan_in_a_bucket_leaves_nothing_of_the_first(built: tuple[Path, dict[str, str]]) -> None:
    path, expected = built
    root = Root(in_memory())
    for changed in (["mix.shards.seq_len=32"], []):
        plan = make(load(path, changed))
        assert not run(plan, root, root.new_run("", "", plan), engine="inline").failures
    found = contents(root.store)
    assert {key: found[key] for key in expected} == expected
    published = [{key for key in one if not key.startswith("stages/")} for one in (found, expected)]
    assert published[0] == published[1]


@pytest.fixture(scope="module")
def server() -> object:
    """A real server of S3's protocol on loopback; the environment that reaches its bucket."""
    pytest.importorskip("moto", reason="the server of S3's protocol is moto's")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(
                    urllib.request.Request(f"http://127.0.0.1:{port}/corpora", method="PUT"), timeout=5
                ).close()
                break
            time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        }  # fmt: skip
    finally:
        process.kill()
        process.wait()


def test_a_run_on_a_server_is_killed_and_goes_on(
    built: tuple[Path, dict[str, str]], server: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, expected = built
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "work"))
    url = "s3://corpora/small/root"
    command = [*RUN, str(path), "--root", url, "--workers", "2"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = ObjectStore.from_url(url)
    while process.poll() is None and sum("/receipts/" in key for key in store.list("stages")) < 5:
        time.sleep(0.02)
    assert process.poll() is None, "the run ended before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    complete = {key: store.get(key) for key in store.list("stages") if "/receipts/" in key}
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert f"root: {url}" in said.stdout
    assert contents(store) == expected
    assert {key: store.get(key) for key in complete} == complete  # no complete unit ran again
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file()]  # no scratch, nothing fetched


def test_a_recipe_that_trains_is_refused_in_a_bucket(
    built: tuple[Path, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="`train:` needs torch")
    text = built[0].read_text() + "train: {model: 1M, tokens: 4k}\n"
    (tmp_path / "trains.yaml").write_text(text)
    assert main(["run", str(tmp_path / "trains.yaml"), "--root", "memory:///"]) != 0
    assert "checkpoints need a local root" in capsys.readouterr().err
    words = ["--root", "memory:///", "--until", "shards", "--engine", "inline"]
    assert main(["run", str(tmp_path / "trains.yaml"), *words]) == 0


class Full(LocalStore):
    """A root whose disk is full after one more file."""

    left: int | None = None

    def copy_all(self, copies: Mapping[str, str]) -> None:
        for target, source in copies.items():
            if target.startswith("stages/") or self.left is None:
                super().copy_all({target: source})
                continue
            if not self.left:
                raise OSError(28, "No space left on device")
            self.left -= 1
            super().copy_all({target: source})


def test_a_folder_that_was_filled_in_part_has_no_manifest(built: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    path, expected = built
    root = Root(Full(tmp_path / "root"))
    for shortest, left in (("60", None), ("40", 1)):
        plan = make(load(path, [f"steps.too_short.where=clean_chars >= {shortest}"]))
        root.store.left = left
        with contextlib.nullcontext() if left is None else pytest.raises(OSError, match="No space"):
            run(plan, root, root.new_run("", "", plan), engine="inline")
        assert bool(root.manifest("corpus")) == (left is None)
    root.store.left, plan = None, make(load(path, []))
    assert not run(plan, root, root.new_run("", "", plan), engine="inline").failures
    published = {key: name for key, name in expected.items() if not key.startswith("stages/")}
    assert {key: name for key, name in contents(root.store).items() if not key.startswith("stages/")} == published
    assert not [key for key in root.store.list("") if "/." in key]  # no file that waits for its name


def test_a_root_that_was_copied_from_a_bucket_can_be_looked_at(
    built: tuple[Path, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = built
    root, plan = Root(in_memory()), make(load(path, []))
    assert not run(plan, root, root.new_run("", "", plan), engine="inline").failures
    here = LocalStore(tmp_path / "here")
    for folder in ("corpus", "runs", "stages"):
        for key in root.store.list(folder):
            here.put(key, root.store.get(key))
    sql = "SELECT count(*) AS n FROM corpus"
    assert main(["stats", str(tmp_path / "here"), "--sql", sql, "--json"]) == 0
    kept = sum(part["rows"] for part in root.manifest("corpus")["files"].values())
    assert json.loads(capsys.readouterr().out) == [{"n": kept}]
