"""A root on a file system and one in a bucket keep the same promises, and give the same contents."""

import contextlib
import hashlib
import http.server
import os
import random
import signal
import socket
import subprocess
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from corpuskit.core.storage import Store
from corpuskit.engines.base import Failure
from corpuskit.errors import CorpuskitError, UsageError
from corpuskit.explore import views
from corpuskit.explore.place import Place
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run import run
from corpuskit.store.local import LocalStore
from corpuskit.store.objects import ObjectStore
from corpuskit.store.root import Root
from tests.core.builder import corpus, recipe
from tests.core.kills import RUN
from tests.store import s3

obstore = pytest.importorskip("obstore", reason="a root in a bucket needs the extra bucket")

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


def test_when_something_was_put(store: Store) -> None:
    assert store.changed("runs") is None
    store.put("runs/1/log.jsonl", b"x")
    assert abs(store.changed("runs/1/log.jsonl") - time.time()) < 3600
    assert abs(store.changed("runs/1") - time.time()) < 3600


def test_a_folder_is_there_as_files(store: Store) -> None:
    for name in ("shards/a.bin", "shards/deep/b.bin", "shardsnot"):
        store.put(name, name.encode())
    folder = store.folder("shards")
    assert {path.name: path.read_bytes() for path in folder.rglob("*.bin")} == {
        "a.bin": b"shards/a.bin", "b.bin": b"shards/deep/b.bin",
    }  # fmt: skip


def test_a_bucket_has_no_folder_and_names_nothing_outside_it() -> None:
    with pytest.raises(UsageError, match="no folder of this machine"):
        _ = Root(in_memory()).path
    for key in ("../../etc/hostname", "/etc/hostname"):
        with pytest.raises(UsageError, match="would not lie in it"):
            in_memory().local(key)


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:hush-hush@corpora/x",
        "s3://hush-hush@corpora/x",
        "https://host/x.jsonl?X-Amz-Credential=a&X-Amz-Signature=hush-hush",
        "https://account.blob.core.windows.net/c/x?sv=1&sig=hush-hush",
        "https://storage.googleapis.com/b/x?GoogleAccessId=a&Signature=hush-hush",
    ],
)
def test_an_address_with_a_secret_in_it_is_refused_and_not_repeated(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = recipe(tmp_path, Path("unused")).read_text().replace("unused/web/*", url)
    (tmp_path / "signed.yaml").write_text(text)
    words = [["stats", url], ["run", str(tmp_path / "signed.yaml"), "--root", str(tmp_path / "root")]]
    for given in words if url.startswith("s3") else words[1:]:
        assert main(given) == 2
        said = capsys.readouterr()
        assert "would be written into plans and logs" in said.err
        assert "hush-hush" not in said.out + said.err
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("gs://corpora/x", {"GOOGLE_SKIP_SIGNATURE": "true"}),
        ("az://corpora/x", {"AZURE_STORAGE_ACCOUNT_NAME": "lab", "AZURE_STORAGE_ACCOUNT_KEY": "bGFi"}),
        ("abfs://corpora@lab.dfs.core.windows.net/x", {"AZURE_STORAGE_ACCOUNT_KEY": "bGFi"}),
        ("s3://corpora/x", {}),
    ],
)  # fmt: skip
def test_each_store_is_opened_by_its_url_and_its_own_environment(
    url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Root(url).url == url  # no request is made yet


def test_credentials_in_what_a_store_answers_are_starred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "hush-hus")  # the other begins with it
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=silence")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    failure = Failure.of(ValueError("hush-hush of us-east-1, AccountKey=silence"))
    assert failure.message == "ValueError: *** of us-east-1, ***"
    assert "hush-hush" not in failure.traceback


class Forbidding(http.server.BaseHTTPRequestHandler):
    """Answers as S3 does where there is no such key of access: it repeats it."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()
        self.wfile.write(b"<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>hush-hush</AWSAccessKeyId></Error>")


def test_a_credential_that_a_store_repeats_is_in_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Forbidding, "log_message", lambda *_: None)
    with http.server.HTTPServer(("127.0.0.1", 0), Forbidding) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        for name, value in (s3.environment(server.server_port) | {"AWS_ACCESS_KEY_ID": "hush-hush"}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(CorpuskitError, match=r"InvalidAccessKeyId.*\*\*\*") as refused:
            ObjectStore.from_url("s3://corpora/x").get("a")
    assert "hush-hush" not in "".join(traceback.format_exception(refused.value))


def test_a_credential_in_an_error_of_the_system_is_starred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    (tmp_path / "hush-hush").mkdir()
    (tmp_path / "hush-hush" / "runs").touch()
    assert main(["stats", str(tmp_path / "hush-hush")]) == 1
    assert "***/runs: Not a directory" in (said := capsys.readouterr().err)
    assert "hush-hush" not in said


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
def server() -> Iterator[int]:
    """The port of a real server of S3's protocol."""
    with s3.serving("corpora") as port:
        yield port


def test_a_run_on_a_server_is_killed_and_goes_on(
    built: tuple[Path, dict[str, str]], server: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, expected = built
    s3.set_environment(monkeypatch, server, tmp_path / "work")
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


@pytest.mark.parametrize(("faults", "every"), [(("refused", "reset", "lost", "slow"), 5), (("stale",), 2)])
def test_a_server_that_fails_again_and_again_changes_no_byte(
    built: tuple[Path, dict[str, str]],
    server: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    faults: tuple[str, ...],
    every: int,
) -> None:
    path, expected = built
    url = f"s3://corpora/{faults[0]}/root"
    with s3.faulty(server, faults, every) as before:
        s3.set_environment(monkeypatch, before.server_port, tmp_path / "work")
        command = [*RUN, str(path), "--root", url, "--engine", "inline"]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        assert min(before.done[fault] for fault in faults) > 10
    s3.set_environment(monkeypatch, server, tmp_path / "work")
    if faults == ("stale",) and said.returncode:  # a listing that lags may end a run, in so many words
        assert "error: " in said.stderr
        assert "Traceback" not in said.stderr
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert contents(ObjectStore.from_url(url)) == expected


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


def test_views_are_made_of_a_bucket_in_memory(built: tuple[Path, dict[str, str]]) -> None:
    root, plan = Root(in_memory()), make(load(built[0], []))
    assert not run(plan, root, root.new_run("", "", plan), engine="inline").failures
    views.rebuild(root, plan)
    kept = sum(part["rows"] for part in root.manifest("corpus")["files"].values())
    assert views.query(root, "SELECT count(*) AS n FROM corpus").to_pylist() == [{"n": kept}]
    root.store.delete([next(key for key in root.store.list("corpus") if key.endswith(".parquet"))])
    assert views.query(root, "SELECT count(*) AS n FROM corpus").to_pylist()[0]["n"] < kept


def test_threads_of_a_query_that_share_a_file_read_each_its_own_place(tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = [rng.randbytes(200).hex() for _ in range(20_000)]
    pq.write_table(pa.table({"doc": range(20_000), "text": texts}), tmp_path / "0.parquet", row_group_size=500)
    store = in_memory()
    store.put_files({"corpus/0.parquet": tmp_path / "0.parquet"})
    place, expected = Place(Root(store)), (20_000, 199_990_000, sum(text.count("a") for text in texts))
    with contextlib.closing(duckdb.connect(config={"threads": 4})) as connection:
        place.open_to(connection)
        sql = "SELECT count(*), sum(doc), sum(length(text) - length(replace(text, 'a', ''))) FROM read_parquet(?)"
        for _ in range(5):
            assert connection.execute(sql, [f"{place.start}corpus/*.parquet"]).fetchone() == expected


def test_what_another_process_removes_or_replaces_is_not_remembered() -> None:
    bucket = obstore.store.MemoryStore()
    one, other = (ObjectStore(bucket, "memory://two") for _ in range(2))
    part, state, page = (
        "stages/tokens-1/parts/key-bin",
        "checkpoints/key/step-2/state.json",
        "corpus/domain=web/a.parquet",
    )
    for key in (part, state, page):
        one.put(key, b"1234")
        assert one.list(key.partition("/")[0]) == {key: 4}
        assert one.size(key) == 4
    other.put(page, b"12")  # a takedown publishes under the same name
    assert one.size(page) == 2
    other.delete([part, state, page])
    assert one.size(state) is None
    assert one.size(page) is None
    with pytest.raises(FileNotFoundError):
        one.get(part)
    assert one.size(part) is None


def test_a_part_that_is_not_listed_any_more_is_forgotten() -> None:
    bucket = obstore.store.MemoryStore()
    one, other = (ObjectStore(bucket, "memory://two") for _ in range(2))
    one.put("stages/tokens-1/parts/key-bin", b"1234")
    other.delete(["stages/tokens-1/parts/key-bin"])
    assert one.list("stages/tokens-2") == {}
    assert one.size("stages/tokens-1/parts/key-bin") == 4  # one request less for each part of each unit
    assert one.list("stages/tokens-1") == {}
    assert one.size("stages/tokens-1/parts/key-bin") is None


def test_a_run_notices_what_another_process_has_removed_from_a_bucket(built: tuple[Path, dict[str, str]]) -> None:
    bucket = obstore.store.MemoryStore()
    root, plan = Root(ObjectStore(bucket, "memory://two")), make(load(built[0], []))
    assert not run(plan, root, root.new_run("", "", plan), engine="inline").failures
    other = ObjectStore(bucket, "memory://two")
    gone = [key for key in other.list("stages") if "/parts/" in key and key.startswith("stages/tokens-")]
    other.delete(gone)
    again = Root(root.store)  # the store knows the sizes of what it has put
    assert not run(plan, again, again.new_run("", "", plan), engine="inline").failures
    assert set(gone) <= set(other.list("stages"))
