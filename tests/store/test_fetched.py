"""What a store of a bucket keeps on this machine: for itself alone, for one user alone, and no longer than it lives."""

import gc
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpuskit.errors import UsageError
from corpuskit.store.objects import ObjectStore

obstore = pytest.importorskip("obstore", reason="a root in a bucket needs the extra bucket")


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return obstore.store.MemoryStore()


def test_a_store_does_not_take_what_another_has_fetched(bucket: object) -> None:
    one = ObjectStore(bucket, "memory://one")
    one.put("shards/index.json", b"old")
    assert one.local("shards/index.json").read_bytes() == b"old"
    other = ObjectStore(bucket, "memory://one")
    other.put("shards/index.json", b"newer")
    assert other.local("shards/index.json").read_bytes() == b"newer"
    other.release()
    assert one.local("shards/index.json").exists()


def test_what_was_fetched_goes_with_the_store(bucket: object, tmp_path: Path) -> None:
    store = ObjectStore(bucket, "memory://one")
    store.put("shards/index.json", b"x")
    assert list(store.get_all(["shards/index.json"])) == [b"x"]
    store.local("shards/index.json")
    del store
    gc.collect()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_what_is_fetched_is_its_users_alone(bucket: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ObjectStore(bucket, "memory://one")
    store.put("shards/index.json", b"x")
    store.local("shards/index.json")
    (folder,) = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert str(os.getuid()) in folder.name.split("-")
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
        with pytest.raises(UsageError, match="is another user's"):
            store.local("shards/index.json")
