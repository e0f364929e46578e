"""Forty good rows of JSON lines, in every sound packing and with every kind of damage; and rows with one fault each."""

import gzip
import itertools
import json
import random
import zlib
from pathlib import Path

import zstandard

FAULTS = [
    (b'{"text": "First row, which is good."}', "ok"),
    (b'{"text": "not UTF-8: \xff\xfe("}', "invalid utf-8"),
    (b'{"text": "overlong \xc0\xaf, surrogate \xed\xa0\x80"}', "invalid utf-8"),
    (rb'{"text": "a lone \ud800 surrogate"}', "lone surrogate"),
    (rb'{"text": "a pair \ud83d\ude00"}', "ok"),
    (rb'{"text": "NUL as \u0000"}', "ok"),
    (b'{"text": "NUL as \0"}', "json error"),
    (b'{"text": "a tab\tas it is"}', "json error"),
    ('{"text": "U+2028 \u2028 and U+0085 \x85 end no row"}'.encode(), "ok"),
    (b'{"text": "cr inside"}\r', "ok"),
    (b"", "blank"),
    (b"   ", "blank"),
    (b'{"text": 5}', "text not a string"),
    (b'{"text": null}', "text null"),
    (b'{"txt": "no text"}', "no text"),
    (b'["text"]', "not an object"),
    (b'{"text": "once", "text": "twice"}', "duplicate key"),
    (b'{"text": "t", "score": NaN}', "NaN"),
    (b'{"text": "t", "n": 123456789012345678901234567890}', "big int"),
    (b'{"text": "without an end', "json error"),
    (b'\xef\xbb\xbf{"text": "a byte-order mark"}', "bom"),
    (b'{"text": ""}', "empty text"),
    (b'{"text": "' + b"x" * 5_000_000 + b'"}', "5 MB line"),
    (b'{"text": "Contact, the last row, which is good."}', "ok"),
]
"""Rows, and what is wrong with each."""


def write(folder: Path) -> Path:
    """Write all variants into a folder."""
    rng = random.Random(1)
    words = [f"word{n:03d}" for n in range(400)]
    rows = [{"text": " ".join(rng.choices(words, k=250)), "n": n} for n in range(40)]
    lines = [json.dumps(row).encode() for row in rows]
    data = b"\n".join(lines) + b"\n"
    packed, frame = gzip.compress(data, mtime=0), zstandard.compress(data)
    skippable = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"skip"
    first, second = (b"\n".join(half) + b"\n" for half in (lines[:20], lines[20:]))
    wide = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27)).compressobj()
    files = {
        "control.jsonl.gz": packed,
        "control.jsonl.zst": frame,
        "trailing_zeros.jsonl.gz": packed + bytes(512),
        "trailing_garbage.jsonl.gz": packed + rng.randbytes(1000),
        "skippable_frame.jsonl.zst": skippable + frame,
        "bom_crlf.jsonl": b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"),
        "two_members.jsonl.gz": gzip.compress(first, mtime=0) + gzip.compress(second, mtime=0),
        "two_frames.jsonl.zst": zstandard.compress(first) + zstandard.compress(second),
        "plain_named_gz.jsonl.gz": data,
        "gz_named_plain.jsonl": packed,
        "window27_unknown_size.jsonl.zst": wide.compress(data) + wide.flush(),
        "no_final_newline.jsonl": data[:-1],
        "truncated_trailer.jsonl.gz": packed[:-4],
        "bad_crc.jsonl.gz": packed[:-8] + bytes(4) + packed[-4:],
        "truncated_half.jsonl.gz": packed[: len(packed) // 2],
        "truncated_half.jsonl.zst": frame[: len(frame) // 2],
        "bitflip_middle.jsonl.gz": _flipped(first, second),
        "empty.jsonl": b"",
        "empty.jsonl.gz": gzip.compress(b"", mtime=0),
        "zero_bytes.jsonl.gz": b"",
        "bomb_one_line_256MiB.jsonl.gz": _bomb(b'{"text": "', 256, b'"}\n'),
        "bomb_1GiB_zeros.zst": zstandard.ZstdCompressor().compress(bytes(1 << 25)) * 32,
        "utf16le.jsonl": b"\xff\xfe" + data.decode().encode("utf-16-le"),
        "latin1.jsonl": '{"text": "Grüße"}\n'.encode("latin-1"),
        "cr_only.jsonl": data.replace(b"\n", b"\r"),
        "unicode_normalisation.jsonl": b"".join(b'{"text": "\xc3\xa9 or e\xcc\x81"}\n' for _ in range(18)),
        "bad_rows.jsonl": b"\n".join(row for row, _ in FAULTS) + b"\n",
        "bad_rows.expected.tsv": "".join(f"{n}\t{what}\n" for n, (_, what) in enumerate(FAULTS, 1)).encode(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _flipped(first: bytes, second: bytes) -> bytes:
    """Two halves as two blocks of deflate, with one bit changed that makes the second a block of no known type."""
    packer = zlib.compressobj(wbits=31)
    head = packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = bytearray(packer.compress(second) + packer.flush())
    assert rest[0] & 6 == 4
    rest[0] ^= 2
    return head + bytes(rest)


def _bomb(start: bytes, mebibytes: int, end: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    pieces = itertools.chain([start], itertools.repeat(b"x" * (1 << 20), mebibytes), [end])
    return b"".join(map(packer.compress, pieces)) + packer.flush()
