"""What the kernels mean, in plain Python."""

import re
import string

DELETE = str.maketrans("", "", string.punctuation)
K1, K2, K3 = 0x9E3779B97F4A7C15, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3
LANE = 0x589965CC75374CC3
BASE = 0xD1342543DE82EF95
M = 2**64


def normalize(text):
    return " ".join(text.lower().translate(DELETE).split())


def words(text):
    return re.findall(r"\w+", text.lower())


def shingles(text, unit, n):
    """The shingles themselves, with repetitions."""
    whole = normalize(text)
    if not whole:
        return []
    units = words(text) if unit == "word" else whole
    if len(units) < n:
        return [whole]
    return [units[i : i + n] if unit == "char" else tuple(units[i : i + n]) for i in range(len(units) - n + 1)]


def fold(a, b):
    product = a * b
    return product % M ^ product >> 64


def hash_bytes(data, seed=0):
    load = lambda at: int.from_bytes(data[at : at + 8], "little")  # noqa: E731
    state, at, size = seed ^ K2, 0, len(data)
    while size - at > 16:
        state = fold(load(at) ^ K1, load(at + 8) ^ state)
        at += 16
    if size < 8:
        a, b = load(0), 0
    elif size <= 16:
        a, b = load(0), load(size - 8)
    else:
        a, b = load(size - 16), load(size - 8)
    return fold(fold(a ^ K1, b ^ state) ^ K3, size ^ K2)


def hash_shingle(shingle, n):
    if isinstance(shingle, str):
        return hash_bytes(shingle.encode())
    total = 0
    for word in shingle:
        total = (total * BASE + hash_bytes(word.encode())) % M
    return fold(total ^ K1, n ^ K2)


def shingle_hashes(text, unit, n):
    return [hash_shingle(shingle, n) for shingle in shingles(text, unit, n)]


def signature(text, unit, n, parameters):
    upper = [value >> 32 for value in shingle_hashes(text, unit, n)]
    return [
        min(((int(a) * x + int(b)) % 2**32 for x in upper), default=2**32 - 1) for a, b in zip(*parameters, strict=True)
    ]


def normalized_hash(text, seed=0):
    data = normalize(text).encode()
    return [hash_bytes(data, seed % M), hash_bytes(data, (seed + LANE) % M)]


def jaccard(a, b, unit, n):
    one, two = set(shingles(a, unit, n)), set(shingles(b, unit, n))
    return len(one & two) / len(one | two) if one | two else 0.0
