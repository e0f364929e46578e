import bz2
import gzip
import hashlib
import io
import lzma
import random
import resource
import zlib

import fsspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import CorpuskitError, InputError
from corpuskit.sources.base import SourceFile

PACK = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "plain": lambda data: data,
}
TEXT = bytes(random.Random(1).choices(b"abcdefg \n", k=400_000))


def drain(file):
    """The bytes a file gives, and the error that ends them."""
    out = bytearray()
    try:
        for chunk in file.chunks():
            out += chunk
    except InputError as error:
        return bytes(out), error
    return bytes(out), None


@pytest.fixture
def write(tmp_path):
    def write(data, name="x.bin"):
        (tmp_path / name).write_bytes(data)
        return SourceFile(str(tmp_path / name), name)

    return write


@pytest.mark.parametrize("codec", PACK)
def test_content_is_recognized_by_its_first_bytes_and_digested(codec, write):
    packed = PACK[codec](TEXT)
    file = write(packed, "misleading.zip")
    assert drain(file) == (TEXT, None)
    assert file._digest == hashlib.sha256(packed).hexdigest()  # known from the one pass, not from a second one
    assert file.digest == hashlib.sha256(packed).hexdigest()


@pytest.mark.parametrize("codec", ["gzip", "zstd", "bz2", "xz"])
def test_all_members_are_read_and_zero_padding_is_no_member(codec, write):
    packed = PACK[codec](b"one\n") + PACK[codec](b"") + PACK[codec](b"two\n") + bytes(1024)
    assert drain(write(packed)) == (b"one\ntwo\n", None)


def test_zstd_skippable_frames_and_large_windows(write):
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = compressor.compress(TEXT) + compressor.flush()
    assert drain(write(skippable + frame + skippable + frame)) == (TEXT + TEXT, None)


@pytest.mark.parametrize("codec", ["gzip", "zstd", "bz2", "xz"])
def test_trailing_garbage_is_an_error_after_all_content(codec, write):
    content, error = drain(write(PACK[codec](b"content\n") + b"garbage that is no member"))
    assert content == b"content\n"
    assert "x.bin" in str(error)
    assert "on_error: drop" in str(error)


@pytest.mark.parametrize("codec", ["gzip", "zstd", "bz2", "xz"])
@given(share=st.floats(0.05, 0.999))
@settings(max_examples=15)
def test_a_cut_file_gives_a_prefix_then_an_error(codec, share, tmp_path_factory):
    packed = PACK[codec](TEXT)
    path = tmp_path_factory.mktemp("cut") / "x"
    path.write_bytes(packed[: int(len(packed) * share)])
    content, error = drain(SourceFile(str(path), "x"))
    assert TEXT.startswith(content)
    assert error is not None


def test_a_cut_gzip_file_gives_every_byte_that_zlib_can(write):
    cut = PACK["gzip"](TEXT)[:100_000]
    possible = zlib.decompressobj(31).decompress(cut)
    assert drain(write(cut))[0] == possible


def test_a_wrong_gzip_checksum_is_an_error_after_all_bytes(write):
    packed = bytearray(PACK["gzip"](TEXT))
    packed[-6] ^= 1
    content, error = drain(write(bytes(packed)))
    assert content == TEXT
    assert "checksum" in str(error)


def test_a_flipped_bit_in_deflate_data_loses_nothing_before_it(write):
    packed = bytearray(PACK["gzip"](TEXT))
    packed[len(packed) // 2] ^= 0x10
    content, error = drain(write(bytes(packed)))
    assert error is not None
    good = zlib.decompressobj(31).decompress(bytes(packed[: len(packed) // 2]))
    assert content.startswith(good)


@given(data=st.binary(max_size=300), codec=st.sampled_from(sorted(PACK)))
@settings(max_examples=60)
def test_any_bytes_survive_every_compression(data, codec, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_bytes(PACK[codec](b"#" + data))
    assert drain(SourceFile(str(path), "x")) == (b"#" + data, None)


def test_a_stream_gives_what_is_good_before_its_error(write):
    stream = write(PACK["gzip"](b"0123456789") + b"garbage").open()
    assert stream.read(4) == b"0123"
    assert stream.read(100) == b"456789"
    with pytest.raises(InputError):
        stream.read(1)


def test_a_bomb_does_not_fill_memory(tmp_path):
    (tmp_path / "bomb.zst").write_bytes(zstandard.compress(bytes(1 << 25)) * 32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file = SourceFile(str(tmp_path / "bomb.zst"), "bomb")
    largest = total = 0
    for chunk in file.chunks():
        largest, total = max(largest, len(chunk)), total + len(chunk)
    assert total == 1 << 30
    assert largest <= 32 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_files_of_a_store_are_read_as_local_ones_are():
    packed = PACK["zstd"](TEXT)
    with fsspec.open("memory://decompress/x.zst", "wb") as stream:
        stream.write(packed)
    file = SourceFile("memory://decompress/x.zst", "x.zst")
    assert drain(file) == (TEXT, None)
    assert file.digest == hashlib.sha256(packed).hexdigest()


def test_a_range_has_no_digest(write):
    file = write(b"abc")
    file.start, file.end = 0, 2
    assert file.digest is None


def test_a_missing_file_is_named():
    with pytest.raises(CorpuskitError, match=r"/no/such/file: cannot be opened") as caught:
        next(SourceFile("/no/such/file", "file").chunks())
    assert not isinstance(caught.value, InputError)  # no damage that `on_error: drop` may count


def test_an_open_stream_can_be_wrapped(write):
    with io.TextIOWrapper(write(PACK["xz"](b"a\nb\n")).open(), encoding="utf-8") as lines:
        assert list(lines) == ["a\n", "b\n"]
