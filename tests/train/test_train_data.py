"""What the trainer reads: every sequence once whatever the number of processes; padding and documents masked."""

import hashlib
import itertools
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_shards import write_shards

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from corpuskit.errors import InputError, UsageError  # noqa: E402
from corpuskit.train.checked import check  # noqa: E402
from corpuskit.train.data import IGNORE, Shards, share  # noqa: E402


@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 9))
def test_processes_share_a_batch_without_gap_or_overlap(start, length, size):
    shares = [share(start, start + length, rank, size) for rank in range(size)]
    assert sorted(i for mine, _ in shares for i in mine) == list(range(start, start + length))
    assert len({rows for _, rows in shares}) == 1
    assert all(len(mine) <= rows for mine, rows in shares)


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_sequences_come_in_file_order_and_match_the_bytes(tmp_path, dtype):
    folder = write_shards(tmp_path, files=(4, 3), dtype=dtype)
    split = Shards(folder, "document").train[0]
    raw = [np.fromfile(folder / f"train-0000{i}.bin", "<u2" if dtype == "uint16" else "<i4") for i in range(2)]
    expected = np.concatenate(raw).reshape(7, 33)
    batch = split.batch(range(7), 7)
    assert len(split) == 7
    assert np.array_equal(batch.inputs.numpy(), expected[:, :-1])
    targets = batch.targets.numpy()
    assert np.array_equal(targets[targets != IGNORE], expected[:, 1:][targets != IGNORE])


@pytest.mark.parametrize("mask", ["document", "causal"])
def test_loss_is_carried_by_documents_only(shards, mask):
    """The twin: a target counts if it and the token before are in a document, under document masks the same one."""
    split = Shards(shards, mask).train[0]
    for number, name in ((0, "train-00000"), (len(split) - 1, "train-00001")):
        sequence = number if number == 0 else split.source.shards[1].sequences - 1
        table = pq.read_table(shards / f"{name}.docs.parquet")
        owner = [None] * 33
        for i, row in enumerate(table.filter(pa.compute.equal(table["sequence"], sequence)).to_pylist()):
            owner[row["start"] : row["start"] + row["length"]] = [i] * row["length"]
        pairs = list(itertools.pairwise(owner))
        expected = [a is not None and b is not None and (mask == "causal" or a == b) for a, b in pairs]
        assert (split.batch([number], 1).targets[0] != IGNORE).tolist() == expected


def test_rows_that_only_fill_up_carry_no_loss(shards):
    split = Shards(shards, "document").train[0]
    alone, filled = split.batch([3], 1), split.batch([3], 4)
    assert filled.inputs.shape == (4, 32)
    assert filled.valid == alone.valid > 0


def test_a_missing_folder_names_the_file(tmp_path):
    with pytest.raises(UsageError, match=r"index\.json"):
        Shards(tmp_path / "none", "document")


def test_a_truncated_shard_is_refused_with_both_sizes(shards, tmp_path):
    folder = shutil.copytree(shards, tmp_path / "s")
    (folder / "train-00001.bin").write_bytes(b"xx")
    with pytest.raises(InputError, match=r"train-00001\.bin holds 2 bytes; index\.json says 858 bytes"):
        Shards(folder, "document")


def test_a_token_outside_the_vocabulary_is_refused(shards, tmp_path):
    folder = shutil.copytree(shards, tmp_path / "s")
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"vocab_size": 2}))
    with pytest.raises(InputError, match=r"sequence 0 .* outside 0\.\.1"):
        Shards(folder, "document").train[0].batch([0], 1)


@pytest.mark.parametrize("row", [(0, 30, 9), (0, 2, 5), (99, 0, 3), (0, -1, 3)])
def test_an_impossible_run_is_refused_with_its_row(shards, tmp_path, row):
    folder = shutil.copytree(shards, tmp_path / "s")
    names = ("sequence", "start", "length")
    rows = [(0, 0, 4), row]
    columns = {name: pa.array([r[i] for r in rows], pa.int64()) for i, name in enumerate(names)}
    pq.write_table(pa.table(columns), folder / "train-00000.docs.parquet")
    with pytest.raises(InputError, match=r"train-00000\.docs\.parquet: row 1 "):
        Shards(folder, "document").train[0].batch([0], 1)


def test_each_phase_is_a_split_of_its_own_length(tmp_path):
    folder = write_shards(tmp_path, phases=[((4, 3), 8), ((2,), 32), ((1, 5), 8)])
    shards = Shards(folder, "document")
    assert [(len(split), split.seq_len) for split in shards.train] == [(7, 8), (2, 32), (6, 8)]
    raw = [np.fromfile(folder / f"train-0000{i}.bin", "<u2").reshape(-1, 9) for i in (0, 1, 3, 4)]
    assert np.array_equal(shards.train[0].batch(range(7), 8).inputs[:7].numpy(), np.concatenate(raw[:2])[:, :-1])
    assert np.array_equal(shards.train[2].batch([1, 5], 2).inputs.numpy(), raw[3][[0, 4], :-1])
    assert shards.seq_len == shards.validation["books"].seq_len == 32


def test_an_index_without_train_files_is_refused(tmp_path):
    folder = write_shards(tmp_path, phases=[])
    with pytest.raises(InputError, match="names nothing to train on"):
        Shards(folder, "document")


def sealed(folder):
    """Write the manifest that says what the files are."""
    files = {path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in folder.iterdir()}
    (folder / "_manifest.json").write_text(json.dumps({"files": files}))
    return folder


class Group:
    """Both processes of a group in one: `total` has heard of the other one's finding."""

    size = 2

    def __init__(self, rank, others=0.0):
        self.rank, self.others, self.asked = rank, others, 0

    def total(self, value):
        self.asked += 1
        return [value + self.others]


@pytest.mark.parametrize("name", ["train-00001.bin", "train-00001.docs.parquet"])
def test_a_shard_is_checked_before_its_first_use_by_one_process(shards, tmp_path, name):
    folder = sealed(shutil.copytree(shards, tmp_path / "s"))
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    source = Shards(folder, "document").train[0].source
    first = source.shards[0].sequences
    for group in (Group(0), Group(1)):
        for file in source.shards[0].stored:
            file.checked = False
        check(source, 0, first, group)
        check(source, 1, first, group)
        assert group.asked == 1
    finders = []
    for group in (Group(0, others=1.0), Group(1, others=1.0)):
        with pytest.raises(InputError, match="verify ROOT --repair") as found:
            check(source, first - 1, first + 1, group)
        finders.append(name in str(found.value))
    assert sorted(finders) == [False, True]


def test_a_damaged_index_or_manifest_is_refused(shards, tmp_path):
    folder = sealed(shutil.copytree(shards, tmp_path / "s"))
    (folder / "index.json").write_text((folder / "index.json").read_text().replace("97", "98"))
    with pytest.raises(InputError, match=r"index\.json is damaged"):
        Shards(folder, "document")
    (folder / "_manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"_manifest\.json is damaged"):
        Shards(folder, "document")
