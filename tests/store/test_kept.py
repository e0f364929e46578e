"""Checkpoints of a trainer whose root is in a bucket: put back whole, and anew where they changed."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corpuskit.core.spec import Spec
from corpuskit.core.work import Work
from corpuskit.errors import CorpuskitError
from corpuskit.loops.kept import kept
from corpuskit.store import root
from corpuskit.store.objects import ObjectStore
from corpuskit.train import saved
from corpuskit.train.kept import Copy
from tests.store import s3

obstore = pytest.importorskip("obstore", reason="a root in a bucket needs the extra bucket")

FOLDER = "checkpoints/key"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return ObjectStore(obstore.store.MemoryStore(), "memory://kept")


def work(store: ObjectStore, scratch: Path) -> Work[Any]:
    return Work(
        store=store, stage="train", spec=Spec(), unit=0, units=1, key="key", inputs=[], memory=1 << 30,
        batch_bytes=1 << 20, scratch=scratch, receipts_of=lambda _: [],
    )  # fmt: skip


def save(out: Path, name: str, tensors: bytes) -> None:
    (out / name).mkdir()
    (out / name / "tensors").write_bytes(tensors)
    (out / name / "state.json").write_bytes(b"{}")


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {key.removeprefix(f"{FOLDER}/"): store.get(key) for key in store.list(FOLDER)}


def test_the_store_and_the_trainer_speak_of_the_same_file() -> None:
    assert root.STATE == saved.STATE


def test_whole_checkpoints_are_put_and_those_that_went_are_removed(store: ObjectStore, tmp_path: Path) -> None:
    with kept(work(store, tmp_path / "one"), FOLDER) as out:
        (out / "metrics.jsonl").write_bytes(b"1\n")
        save(out, "step-10", b"ten")
        save(out, "step-20.partial", b"half")  # as is sealed, but has not its name yet
        save(out, "step-5.removed", b"five")
    ten = {"step-10/tensors": b"ten", "step-10/state.json": b"{}"}
    assert contents(store) == {"metrics.jsonl": b"1\n", **ten}
    store.release()
    with kept(work(store, tmp_path / "two"), FOLDER) as out:
        assert (out / "step-10/tensors").read_bytes() == b"ten"
        save(out, "step-20", b"twenty")
        (out / "step-10").rename(out / "step-10.removed")
    assert contents(store) == {
        "metrics.jsonl": b"1\n", "step-20/tensors": b"twenty", "step-20/state.json": b"{}",
    }  # fmt: skip


def test_a_checkpoint_that_is_made_anew_by_its_name_is_put_again(store: ObjectStore, tmp_path: Path) -> None:
    for tensors in (b"damaged", b"as it should be"):
        with kept(work(store, tmp_path / tensors.decode()), FOLDER) as out:
            shutil.rmtree(out / "step-10", ignore_errors=True)
            save(out, "step-10", tensors)
        store.release()
    assert contents(store)["step-10/tensors"] == b"as it should be"


def test_what_a_unit_that_fails_has_made_is_put_back(store: ObjectStore, tmp_path: Path) -> None:
    def fail() -> None:
        with kept(work(store, tmp_path / "one"), FOLDER) as out:
            save(out, "step-10", b"ten")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert set(contents(store)) == {"step-10/tensors", "step-10/state.json"}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with s3.serving("corpora") as port:
        yield port


@pytest.mark.parametrize(
    ("faults", "every", "dead"), [(("refused", "reset", "lost"), 2, 0), ((), 1 << 30, 30)], ids=["now and then", "away"]
)
def test_checkpoints_reach_a_bucket_that_fails(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: tuple[str, ...], every: int, dead: int
) -> None:
    s3.set_environment(monkeypatch, port, tmp_path / "tmp")
    url = f"s3://corpora/{dead}"
    honest = ObjectStore.from_url(url)
    honest.put(f"{FOLDER}/step-10/tensors", b"half")  # of a save that a kill cut short: it has no state
    with s3.faulty(port, faults, every) as server:
        s3.set_environment(monkeypatch, server.server_port, tmp_path / "tmp")
        store = ObjectStore.from_url(url)
        with kept(work(store, tmp_path / "one"), FOLDER) as out:
            assert not (out / "step-10").exists()
            server.dead = next(server.counted) + dead  # a client asks eleven times
            for step in (10, 20):
                save(out, f"step-{step}", str(step).encode())
            (out / "metrics.jsonl").write_bytes(b"1\n")
    assert contents(honest) == {
        "metrics.jsonl": b"1\n",
        **{f"step-{step}/{name}": content for step in (10, 20) for name, content in
           (("tensors", str(step).encode()), ("state.json", b"{}"))},
    }  # fmt: skip


def test_a_bucket_that_stays_away_fails_the_unit_and_has_no_half_checkpoint(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.set_environment(monkeypatch, port, tmp_path / "tmp")
    monkeypatch.setattr("corpuskit.buckets.bucket.PATIENCE", 0.0)
    honest = ObjectStore.from_url("s3://corpora/away")

    def put_while_it_goes() -> None:
        with s3.faulty(port) as server:
            s3.set_environment(monkeypatch, server.server_port, tmp_path / "tmp")
            with kept(work(ObjectStore.from_url("s3://corpora/away"), tmp_path / "one"), FOLDER) as out:
                save(out, "step-10", b"ten")
                server.refused = ("state.json",)

    with pytest.raises(CorpuskitError, match="the bucket refused or did not answer"):
        put_while_it_goes()
    assert set(contents(honest)) == {"step-10/tensors"}
    with kept(work(honest, tmp_path / "two"), FOLDER) as out:
        assert not list(out.iterdir())
    assert contents(honest) == {}


def test_a_trainer_goes_on_from_what_it_could_not_put(store: ObjectStore, tmp_path: Path) -> None:
    """And from the bucket, where that is further; the lock of those who use the folder stays."""
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").touch()
    for step, put in ((10, True), (20, False)):
        save(out, f"step-{step}", str(step).encode())
        if put:
            Copy(store.bucket, FOLDER, out).put_back()
    copy = Copy(store.bucket, FOLDER, out)
    copy.begin()
    assert {path.name for path in out.iterdir()} == {".lock", "step-10", "step-20"}
    assert not copy.is_put
    copy.put_back()
    assert copy.is_put
    shutil.rmtree(out / "step-20")
    behind = Copy(store.bucket, FOLDER, out)
    behind.begin()
    assert {path.name for path in out.iterdir()} == {".lock", "step-10", "step-20"}
    behind.clear()
    assert [path.name for path in out.iterdir()] == [".lock"]
