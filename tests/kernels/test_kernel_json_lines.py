"""The scan of JSON Lines is strict as orjson is, and gives what it gives."""

import numpy as np
import orjson
import pytest
from hostile import texts
from hypothesis import given
from hypothesis import strategies as st

from corpuskit.kernels import json_lines as kernel

numbers = st.floats(-1e90, 1e90).filter(lambda number: number == 0 or abs(number) > 1e-90)  # else unusual
simple = st.one_of(texts, st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(), numbers)
values = st.recursive(
    simple, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3))
)


def scan(data, *, key="text", limit=1 << 20, most=64):
    """Every call's lines: (kinds, texts, rests, forms, starts)."""
    padded = np.frombuffer(data + bytes(kernel.PADDING), np.uint8)
    kinds, forms, starts = np.empty(most, np.uint8), np.empty(most, np.uint8), np.empty(most + 1, np.int64)
    ends, fields = np.empty((2, most + 1), np.int32), np.empty((kernel.MOST_PLAIN_FIELDS, 2), np.int64)
    out = np.full((2, len(padded) + 64), 0xAA, np.uint8)
    at, found = 0, ([], [], [], [], [])
    while at < len(data):
        count, rows, at = kernel.scan(
            padded, at, len(data), limit, kernel.name_bytes(key), out[0, : len(padded)], ends[0],
            out[1, : len(padded)], ends[1], forms, kinds, starts, fields,
        )  # fmt: skip
        assert (out[:, len(padded) :] == 0xAA).all()
        found[0].extend(kinds[:count].tolist())
        for place in (0, 1):
            borders = ends[place, : rows + 1].tolist()
            found[1 + place].extend(bytes(out[place, a:b]) for a, b in zip(borders, borders[1:], strict=False))
        found[3].extend(forms[:rows].tolist())
        found[4].extend(starts[:count].tolist())
    return found


def one(line, **params):
    """(text, rest, form) of an ordinary line, else None."""
    (kind,), text, rest, form, _ = scan(line, **params)
    return (text[0], rest[0], form[0]) if kind == kernel.ORDINARY else None


@given(text=texts, before=st.dictionaries(texts, values, max_size=3), after=st.dictionaries(texts, values, max_size=3))
def test_what_a_serializer_writes_is_read_back(text, before, after):
    record = before | {"text": text} | {name: value for name, value in after.items() if name != "text"}
    found = one(orjson.dumps(record))
    del record["text"]
    if any(char in '"\\' or char < " " for name in record for char in name):
        assert found is None
        return
    assert found is not None
    assert found[0].decode() == text
    assert (orjson.loads(found[1]) if found[1] else {}) == record
    assert (found[2] == kernel.NOTHING) == (not record)
    if found[2] == kernel.PLAIN:
        assert found[1] == orjson.dumps(record)


@given(st.text(alphabet='"\\/bfnrtu0dD8c9Fe{}[]:,-+.1 \t\r\x00\x1f\x7fxtruefalsn', max_size=30))
def test_whatever_stands_as_a_value_is_accepted_only_if_orjson_does(value):
    for line in (b'{"text":"t","v":%s}', b'{"v":[%s],"text":"t"}', b'{"text":"t","v":"%s"}', b'{"text":"%s"}'):
        data = line % value.encode()
        found = one(data)
        if found is not None:
            record = orjson.loads(data)
            assert found[0].decode() == record.pop("text")
            assert found[2] != kernel.PLAIN or found[1] == orjson.dumps(record)


@given(st.binary(max_size=8), st.integers(0, 130))
def test_utf8_is_valid_where_python_says_so(data, before):
    data = data.translate(None, b'"\\' + bytes(range(32)))
    found = one(b'{"text":"' + b"a" * before + data + b'"}')
    try:
        data.decode()
    except UnicodeDecodeError:
        assert found is None
    else:
        assert found == (b"a" * before + data, b"", kernel.NOTHING)


def test_every_sequence_of_utf8_at_its_borders():
    edges = [0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF]
    edges += [0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
    tails = [b"", b"\x80", b"\xbf", b"\x7f", b"\xc0", b"\x80\x80", b"\x80\xc0", b"\x80a"]
    for first in edges:
        for second in edges:
            for tail in tails:
                data = bytes([first, second]) + tail
                assert (one(b'{"text":"' + data + b'"}') is not None) == (data.decode(errors="ignore").encode() == data)


def test_every_escape_of_four_digits():
    for code in [*range(0x300), 0x7FF, 0x800, *range(0xD7F0, 0xE010), 0xFFFE, 0xFFFF]:
        for line in (b'{"text":"a\\u%04x"}', b'{"text":"\\u%04Xb"}', b'{"text":"\\u%04x\\udc00"}'):
            data = line % code
            found = one(data)
            try:
                wanted = orjson.loads(data)["text"].encode()
            except orjson.JSONDecodeError:
                assert found is None
            else:
                assert found == (wanted, b"", kernel.NOTHING)


@pytest.mark.parametrize("length", [*range(125, 132), 255, 256, 1000])
@pytest.mark.parametrize("escape", [b"\\n", b"\\u00e9", b"\\ud83d\\ude00", b'\\"', b"\\\\"])
def test_an_escape_at_every_place_of_a_vector(length, escape):
    for before in range(max(0, length - 70), length):
        data = b'{"k":"%s","text":"%s"}' % (escape, b"x" * before + escape + b"y" * (length - before))
        assert one(data)[0].decode() == orjson.loads(data)["text"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"text":"a","text":"b"}',
        b'{"text":1}',
        b'{"text":null}',
        b'{"a":1}',
        b"{}",
        b"[]",
        b'"text"',
        b"{",
        b"\xef\xbb\xbf{}",
        b'{"text":"a"',
        b'{"text":"a"}}',
        b'{"text":"a"} x',
        b'{"text":"a",}',
        b'{,"text":"a"}',
        b'{"text":"a" "b":1}',
        b'{"text":"a","b":01}',
        b'{"text":"a","b":1e400}',
        b'{"text":"a","b":NaN}',
        b'{"text":"a","b":[1,]}',
        b"{'text':'a'}",
        b'{"text":"a","b":{"c":1,}}',
        b'{"text":"a","b":[}}',
        b'{"text":"a","b":{]}',
        b'{"text":"a","b":-}',
        b'{"text":"a","b":.5}',
        b'{"text":"a","b":5.}',
        b'{"text":"a","b":1e}',
        b'{"text":"a","b":tru}',
        b'{"text":"a","b":"\\x"}',
        b'{"text":"a\x00"}',
        b'{"text":"a","b":' + b"[" * 61 + b"]" * 61 + b"}",
        b'{"te\\u0078t":"a"}',
        b'{"text":"a","\\n":1}',
        b'{"text"}',
    ],
)
def test_what_is_not_ordinary(line):
    assert one(line) is None


@pytest.mark.parametrize(
    ("rest", "form"),
    [
        (b'"a":"b"', kernel.PLAIN),
        (b'"a":-12', kernel.PLAIN),
        (b'"a":0', kernel.PLAIN),
        (b'"a":null,"b":true', kernel.PLAIN),
        (b'"a":-0', kernel.RAW),
        (b'"a":1.0', kernel.RAW),
        (b'"a":1e5', kernel.RAW),
        (b'"a":"\\/"', kernel.RAW),
        (b'"a":[]', kernel.RAW),
        (b'"a":1,"a":2', kernel.RAW),
        (b'"a":1,"b":2,"a":3', kernel.RAW),
        (b'"a":"\xc3\xa9\x7f"', kernel.PLAIN),
        (b'"a":1234567890123456789', kernel.RAW),
        (b",".join(b'"%d":0' % n for n in range(17)), kernel.RAW),
    ],
)
def test_what_is_known_of_the_other_fields(rest, form):
    assert one(b'{%s,"text":"t"}' % rest) == (b"t", b"{%s}" % rest, form)
    assert one(b' { "text" : "t" ,\t%s } \r' % rest) == (b"t", b"{%s}" % rest, form)
    if form == kernel.PLAIN:
        assert orjson.dumps(orjson.loads(b"{%s}" % rest)) == b"{%s}" % rest


@given(
    lines=st.lists(
        st.sampled_from([b'{"text":"a","n":1}', b"", b" \t\r", b"{}", b'{"text":"bb"}', b"\xff", b"\x0b"]), max_size=30
    ),
    most=st.integers(1, 5),
    final=st.booleans(),
)
def test_lines_are_found_however_many_go_to_a_call(lines, most, final):
    data = b"\n".join(lines) + b"\n" * final
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    kinds, found, rests, _, starts = scan(data, most=most)
    known = {b"": kernel.BLANK, b" \t\r": kernel.BLANK}
    assert kinds == [kernel.ORDINARY if b"text" in line else known.get(line, kernel.UNUSUAL) for line in lines]
    assert starts == [sum(len(line) + 1 for line in lines[:index]) for index in range(len(lines))]
    assert found == [orjson.loads(line)["text"].encode() for line in lines if b"text" in line]
    assert rests == [b'{"n":1}' if b"n" in line else b"" for line in lines if b"text" in line]


def test_a_line_beyond_the_limit_is_unusual():
    line = b'{"text":"abc"}'
    assert one(line, limit=len(line)) is not None
    assert one(line, limit=len(line) - 1) is None
    assert scan(b"   \n", limit=2)[0] == [kernel.UNUSUAL]
