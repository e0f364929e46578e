"""Packing and the Megatron layout: every token once, no document split that fits, the bytes others read."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import InputError
from corpuskit.shards import megatron, pack
from corpuskit.shards.megatron import read_index, token_dtype, write_index
from corpuskit.shards.pack import best_fit
from corpuskit.train import blocks as cut
from corpuskit.train.blocks import Blocks
from corpuskit.train.order import Permutation

LENGTHS = st.lists(st.integers(1, 90), max_size=60)


def starts_of(lengths):
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def best_fit_blocks(lengths, length):
    first, pieces = best_fit(starts_of(lengths), length)
    return Blocks(sum(lengths), length, first, pieces)


def twin(sizes, capacity):
    """Best-fit decreasing as a textbook says it, with the same rule for ties: the bin that last got its room."""
    rooms, stamp, bins = [], [], []
    for size in sizes:
        fitting = [k for k, room in enumerate(rooms) if room >= size]
        if fitting:
            chosen = min(fitting, key=lambda k: (rooms[k], -stamp[k]))
        else:
            chosen = len(rooms)
            rooms.append(capacity)
            stamp.append(0)
        rooms[chosen] -= size
        stamp[chosen] = len(bins) + 1
        bins.append(chosen)
    return bins


@given(st.integers(2, 70).flatmap(lambda c: st.tuples(st.just(c), st.lists(st.integers(1, c), max_size=80))))
def test_the_kernel_is_best_fit_decreasing(case):
    capacity, sizes = case
    sizes = sorted(sizes, reverse=True)
    assert pack._best_fit(np.array(sizes, np.int64), capacity).tolist() == twin(sizes, capacity)


@given(LENGTHS, st.integers(2, 70), st.sampled_from(["concat", "best_fit"]))
def test_blocks_hold_every_token_once(lengths, length, packing):
    blocks = Blocks(sum(lengths), length) if packing == "concat" else best_fit_blocks(lengths, length)
    row, start, size = blocks.ranges(np.arange(len(blocks)))
    seen = np.concatenate([np.arange(s, s + n) for s, n in zip(start, size, strict=True)] or [np.zeros(0, int)])
    assert sorted(seen.tolist()) == list(range(sum(lengths)))
    fill = np.bincount(row, size, len(blocks))
    assert len(blocks) == 0 or (fill.min() >= 1 and fill.max() <= length)
    assert blocks.targets == sum(fill - 1)


@given(LENGTHS, st.integers(2, 70))
def test_best_fit_splits_no_document_that_fits_and_wastes_little(lengths, length):
    blocks = best_fit_blocks(lengths, length)
    _, start, size = blocks.ranges(np.arange(len(blocks)))
    pieces = dict(zip(start.tolist(), size.tolist(), strict=True))
    for begin, tokens in zip(starts_of(lengths).tolist(), lengths, strict=False):
        expected = [length] * (tokens // length) + [tokens % length] * (tokens % length > 0)
        assert [pieces.pop(begin + k * length) for k in range(len(expected))] == expected
    assert not pieces
    tails = [tokens % length for tokens in lengths if tokens % length]
    assert len(blocks) - sum(tokens // length for tokens in lengths) <= len(tails)
    half_empty = sum(np.bincount(*blocks.ranges(np.arange(len(blocks)))[::2]) * 2 <= length) if len(blocks) else 0
    assert half_empty <= 1, "two half-empty blocks would have fitted into one"


@given(LENGTHS.filter(bool), st.integers(2, 70), st.sampled_from(["concat", "best_fit"]), st.data())
def test_predicted_tokens_of_a_partial_epoch_are_counted_exactly(lengths, length, packing, data):
    blocks = Blocks(sum(lengths), length) if packing == "concat" else best_fit_blocks(lengths, length)
    order, taken = Permutation(len(blocks), "k"), data.draw(st.integers(0, len(blocks)))
    row, _, size = blocks.ranges(order.forward(np.arange(taken)))
    assert blocks.predicted(order, taken) == size.sum() - taken
    assert len(np.unique(row)) == taken


def test_few_blocks_of_many_are_counted_without_looking_through_all(monkeypatch):
    blocks = best_fit_blocks(np.random.default_rng(0).integers(1, 90, 3000).tolist(), 65)
    order = Permutation(len(blocks), "k")
    places = [0, 1, len(blocks) // 5, len(blocks) // 4 - 1, len(blocks) // 4]
    monkeypatch.setattr(cut, "_CHUNK", 100)
    found = [blocks.predicted(order, taken) for taken in places]
    monkeypatch.setattr(cut, "RATIO", len(blocks) + 1)  # looks through all
    assert [blocks.predicted(order, taken) for taken in places] == found
    monkeypatch.setattr(cut, "RATIO", 4)
    monkeypatch.delattr(Blocks, "_padded")
    assert [blocks.predicted(order, taken) for taken in places[:-1]] == found[:-1]


def test_groups_pack_as_they_would_alone(tmp_path, monkeypatch):
    lengths = np.random.default_rng(0).integers(1, 90, 1000)
    monkeypatch.setattr(pack, "GROUP", 300)
    pack.write_best_fit(starts_of(lengths), 65, tmp_path / "b", tmp_path / "p")
    first, pieces = np.fromfile(tmp_path / "b", "<i8"), np.fromfile(tmp_path / "p", pack.PIECE)
    blocks = Blocks(int(lengths.sum()), 65, first, pieces)
    _, start, size = blocks.ranges(np.arange(len(blocks)))
    covered = np.concatenate([np.arange(s, s + n) for s, n in zip(start, size, strict=True)])
    assert sorted(covered.tolist()) == list(range(lengths.sum()))
    alone = best_fit(starts_of(lengths[:300]), 65)[1]
    assert (pieces[: len(alone)] == alone).all()


def test_real_lengths_are_packed_almost_without_padding():
    lengths = np.maximum(1, np.random.default_rng(1).lognormal(6, 1.2, 50_000).astype(np.int64))
    blocks = best_fit_blocks(lengths.tolist(), 2049)
    assert lengths.sum() / (len(blocks) * 2049) > 0.999


@settings(max_examples=30)
@given(st.lists(st.integers(1, 2**31 - 1), max_size=30), st.sampled_from(["uint16", "int32"]), st.integers(1, 40))
def test_an_independent_reader_finds_the_megatron_layout(tmp_path_factory, lengths, dtype, at_once):
    path = tmp_path_factory.mktemp("idx") / "x.idx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(megatron, "_PIECE", at_once)
        write_index(path, np.array(lengths, np.int32), dtype)
    content = path.read_bytes()
    n = len(lengths)
    magic, version, code, sequences, entries = struct.unpack_from("<9sQBQQ", content)
    assert (magic, version, code) == (b"MMIDIDX\0\0", 1, {"uint16": 8, "int32": 4}[dtype])
    assert (sequences, entries) == (n, n + 1)
    assert list(struct.unpack_from(f"<{n}i", content, 34)) == lengths
    size = {"uint16": 2, "int32": 4}[dtype]
    offsets = [size * sum(lengths[:k]) for k in range(n)]
    assert list(struct.unpack_from(f"<{n}q", content, 34 + 4 * n)) == offsets
    assert list(struct.unpack_from(f"<{n + 1}q", content, 34 + 12 * n)) == list(range(n + 1))
    assert len(content) == 34 + 12 * n + 8 * (n + 1)
    read = read_index(path)
    assert (read.dtype, read.lengths.tolist(), read.offsets.tolist()) == (dtype, lengths, offsets)


def test_a_damaged_index_is_refused(tmp_path):
    path = tmp_path / "x.idx"
    write_index(path, np.array([3, 4], np.int32), "uint16")
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"x.idx.*truncated"):
        read_index(path)
    path.write_bytes(b"PK" + content)
    with pytest.raises(InputError, match="not a Megatron index"):
        read_index(path)
    path.write_bytes(content[:9] + struct.pack("<Q", 2) + content[17:])
    with pytest.raises(InputError, match="version 2"):
        read_index(path)


def test_the_token_type_follows_the_vocabulary():
    assert [token_dtype(n) for n in (258, 65_499, 65_500, 200_000)] == ["uint16", "uint16", "int32", "int32"]
