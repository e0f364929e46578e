"""Shards in a bucket are read through a cache that is smaller than they are: the same sequences, losses and resume."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from small_shards import write_shards

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")
pytest.importorskip("obstore", reason="shards in a bucket need the extra bucket")

from corpuskit.buckets.bucket import Bucket  # noqa: E402
from corpuskit.core import checksum  # noqa: E402
from corpuskit.errors import CorpuskitError, InputError, UsageError  # noqa: E402
from corpuskit.train import cache, loop  # noqa: E402
from corpuskit.train.cache import BLOCK, Ahead, Cache, Entry  # noqa: E402
from corpuskit.train.config import from_dict  # noqa: E402
from corpuskit.train.data import Shards  # noqa: E402
from corpuskit.train.launch import launch  # noqa: E402
from tests.store import s3  # noqa: E402

URL = "s3://corpora/run/shards"
FILES, SEQ_LEN, STEPS = (1100, 200, 200, 100), 512, 7
ROOM = 1_200_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """1.6 MB of shards, more than the room, in files of less than a block and more than one each."""
    folder = write_shards(tmp_path_factory.mktemp("shards"), files=FILES, seq_len=SEQ_LEN)
    entries = {}
    for path in folder.iterdir():
        sha, sums = checksum.digests(path)
        entries[path.name] = {"bytes": path.stat().st_size, "sha256": sha, "sums": sums}
    (folder / "_manifest.json").write_text(json.dumps({"files": entries}))
    return folder


@pytest.fixture(scope="module")
def port(folder, tmp_path_factory):
    with s3.serving("corpora") as port, pytest.MonkeyPatch.context() as patch:
        s3.set_environment(patch, port, tmp_path_factory.mktemp("tmp"))
        s3.upload(folder, URL)
        yield port


@pytest.fixture
def bucket(port, monkeypatch, tmp_path):
    """The server, and a TMPDIR of the test's own."""
    s3.set_environment(monkeypatch, port, tmp_path / "tmp")
    return port


def given(shards, out, **more):
    tiny = {"width": 16, "layers": 1, "heads": 2}
    base = {"shards": str(shards), "out": str(out), "model": tiny, "batch_tokens": 256 * SEQ_LEN, "threads": 1}
    return base | {"device": "cpu", "checkpoint_every": 2, "lr": 0.01, "validation_sequences": 2} | more


def losses(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line.get("domain"), line["loss"]) for line in lines]


def held(tmp):
    return [path for path in tmp.rglob("*-*") if path.is_file() and path.suffix == ""]


@pytest.fixture(scope="module")
def expected(folder, tmp_path_factory):
    """By the number of processes, the losses of a run that reads a disk."""
    found = {}
    for processes in (1, 2):
        out = tmp_path_factory.mktemp(f"disk{processes}")
        launch(given(folder, out), processes, quiet=True)
        found[processes] = losses(out)
    assert len(found[1]) == STEPS + 2
    return found


def test_blocks_are_those_that_sums_are_of():
    assert (BLOCK, cache.DIGITS) == (checksum.BLOCK, checksum.DIGITS)


def test_sequences_are_those_of_the_disk_and_the_cache_stays_within_its_room(bucket, folder, tmp_path):
    disk = Shards(folder, "document")
    with closing(Shards(URL, "document", None, None, ROOM)) as shards:
        most, order = 0, list(range(len(disk.train[0])))
        for some in (order[start : start + 100] for start in range(0, len(order), 100)):
            one, other = (each.train[0].batch(some, 100) for each in (disk, shards))
            for part in ("inputs", "targets", "documents"):
                assert torch.equal(getattr(one, part), getattr(other, part))
            most = max(most, sum(path.stat().st_size for path in held(tmp_path / "tmp")))
        assert 0 < most <= ROOM
        for name, split in disk.validation.items():
            assert torch.equal(split.batch([0, 1], 2).targets, shards.validation[name].batch([0, 1], 2).targets)
            assert split.tokens == shards.validation[name].tokens
        some = np.random.default_rng(0).permutation(len(order))[:64].tolist()
        assert torch.equal(disk.train[0].batch(some, 64).inputs, shards.train[0].batch(some, 64).inputs)
        assert (disk.train[0].source.domains() == shards.train[0].source.domains()).all()
    assert not any(path.is_file() for path in (tmp_path / "tmp").rglob("*"))


@pytest.mark.parametrize("processes", [1, 2])
def test_losses_are_those_of_the_disk(bucket, expected, tmp_path, processes):
    with s3.faulty(bucket) as server, pytest.MonkeyPatch.context() as patch:
        s3.set_environment(patch, server.server_port, tmp_path / "tmp")
        launch(given(URL, tmp_path / "out", cache_bytes=ROOM), processes, quiet=True)
    assert losses(tmp_path / "out") == expected[processes]
    assert not any(path.is_file() for path in (tmp_path / "tmp").rglob("*"))
    # what processes read at the same time is fetched once for both
    assert sum(server.ranges.values()) < 1.5 * len(server.ranges)


def test_a_run_killed_in_the_middle_goes_on_from_its_checkpoint(bucket, expected, tmp_path):
    config = tmp_path / "train.json"
    config.write_text(json.dumps(given(URL, tmp_path / "out", cache_bytes=ROOM)))
    command = [sys.executable, "-m", "corpuskit.train", str(config)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (tmp_path / "out/step-2").exists():
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert held(tmp_path / "tmp")
    for path in held(tmp_path / "tmp"):  # what a machine that went down may leave
        path.write_bytes(bytes(path.stat().st_size))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "resumed from" in done.stderr
    assert losses(tmp_path / "out") == expected[1]


@pytest.mark.parametrize("flips", [1, 2])
def test_a_block_that_comes_damaged_is_fetched_once_more(bucket, expected, tmp_path, monkeypatch, flips):
    with s3.faulty(bucket, flips=flips) as server:
        s3.set_environment(monkeypatch, server.server_port, tmp_path / "tmp")
        config = from_dict(given(URL, tmp_path / "out", cache_bytes=ROOM))
        if flips == 1:
            loop.train(config)
            assert losses(tmp_path / "out") == expected[1]
        else:
            with pytest.raises(
                InputError, match=r"corpora/run/shards/\S* is damaged, and was when it was fetched"
            ) as e:
                loop.train(config)
            assert "corpuskit verify ROOT --repair" in e.value.hint


def test_a_bucket_that_refuses_now_and_then_changes_no_loss(bucket, expected, tmp_path, monkeypatch):
    with s3.faulty(bucket, ("refused", "reset", "slow"), 2) as server:
        s3.set_environment(monkeypatch, server.server_port, tmp_path / "tmp")
        loop.train(from_dict(given(URL, tmp_path / "out", cache_bytes=ROOM)))
        assert min(server.done[fault] for fault in ("refused", "reset", "slow")) > 1, server.done
    assert losses(tmp_path / "out") == expected[1]


def test_a_bucket_that_is_away_for_longer_than_its_client_asks_is_asked_again(bucket, folder, tmp_path, monkeypatch):
    path = folder / "train-00001.bin"
    sha, sums = checksum.digests(path)
    entry = Entry("shards/train-00001.bin", path.stat().st_size, sha, sums)
    with s3.faulty(bucket, dead=15) as server:  # the client asks eleven times
        s3.set_environment(monkeypatch, server.server_port, tmp_path / "tmp")
        some = Cache(Bucket.from_url("s3://corpora/run"), tmp_path, ROOM)
        assert some.content(entry).tobytes() == path.read_bytes()
        some.close()
        s3.set_environment(monkeypatch, 1, tmp_path / "tmp")
        monkeypatch.setattr("corpuskit.buckets.bucket.PATIENCE", 0.0)
        some = Cache(Bucket.from_url("s3://corpora/run"), tmp_path, ROOM)
        with pytest.raises(CorpuskitError, match="the bucket refused or did not answer"):
            some.content(entry)
        some.close()


def test_what_was_used_longest_ago_goes_first(bucket, folder, tmp_path):
    path = folder / "train-00001.bin"
    _, sums = checksum.digests(path)
    entries = [Entry("shards/train-00001.bin", path.stat().st_size, f"{n:064x}", sums) for n in range(3)]
    small = Cache(Bucket.from_url("s3://corpora/run"), tmp_path, 500_000)
    for entry in (0, 1, 0, 2):  # each is a block of 205,200 bytes
        small.content(entries[entry])
        time.sleep(0.01)
    left = {path.name[:32] for path in held(tmp_path)}
    assert left == {entries[n].sha256[:32] for n in (0, 2)}
    small.close()


def test_what_is_fetched_before_it_is_read_is_bounded_too(bucket, tmp_path):
    path, content = tmp_path / "large.bin", np.random.default_rng(0).bytes(9 * BLOCK - 5)
    path.write_bytes(content)
    sha, sums = checksum.digests(path)
    entry, store = Entry("large.bin", len(content), sha, sums), Bucket.from_url("s3://corpora/large")
    store.put("large.bin", content)
    blocks = [(entry, block) for block in range(9)]
    with closing(Cache(store, tmp_path, 4 * BLOCK)) as small:
        small.gather(blocks)
        assert {found.name.split("-")[1] for found in held(tmp_path)} == {"0", "1"}  # half of the room
        assert small.content(entry).tobytes() == content
        ahead = Ahead(small, 1, range(1, 10), lambda step: blocks[step - 1 : step])
        for step, (_, block) in enumerate(blocks, 1):
            ahead.reach(step)
            assert len(ahead.held) <= 1  # a quarter
            view = bytearray(BLOCK)
            read = small.read(entry, memoryview(view), block * BLOCK)
            assert view[:read] == content[block * BLOCK : (block + 1) * BLOCK]
            assert sum(found.stat().st_size for found in held(tmp_path)) <= 4 * BLOCK
        assert not ahead.waiting or ahead.waiting[-1][0] == 9  # all steps were asked for


def test_a_cache_that_others_use_stays_until_the_last_one_goes(bucket, tmp_path):
    one, other = (Cache(Bucket.from_url("s3://corpora/run"), tmp_path, ROOM) for _ in range(2))
    one.close()
    assert other.folder.exists()
    other.close()
    assert not other.folder.exists()


def test_what_is_not_there_or_says_no_sums_is_refused(bucket, folder, tmp_path):
    with pytest.raises(UsageError, match=r"s3://corpora/none/shards/index\.json"):
        Shards("s3://corpora/none/shards", "document")
    store = Bucket.from_url("s3://corpora/old/shards")
    manifest = json.loads((folder / "_manifest.json").read_bytes())
    for entry in manifest["files"].values():
        del entry["sums"]
    store.put("_manifest.json", json.dumps(manifest).encode())
    store.put("index.json", (folder / "index.json").read_bytes())
    with pytest.raises(InputError, match="does not say the checksums of") as error:
        Shards("s3://corpora/old/shards", "document")
    assert "writes it anew" in error.value.hint
    index = json.loads((folder / "index.json").read_bytes())
    index["train"][0]["file"] = "../../raw.bin"
    content = json.dumps(index).encode()
    entries = {"index.json": {"sha256": hashlib.sha256(content).hexdigest()}}
    entries["../../raw.bin"] = {"bytes": 1, "sha256": "0" * 64, "sums": "0" * 8}
    store.put("_manifest.json", json.dumps({"files": entries}).encode())
    store.put("index.json", content)
    with pytest.raises(InputError, match=r"names a file `\.\./\.\./raw\.bin`, which would not lie in its root"):
        Shards("s3://corpora/old/shards", "document")


def test_a_disk_that_is_full_is_said(bucket, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with closing(Shards(URL, "document", None, None, ROOM)) as shards:
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(CorpuskitError, match="No space left on device: the shards are cached there"):
            shards.train[0].batch([0], 1)
