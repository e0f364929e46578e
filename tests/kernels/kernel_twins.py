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


def absorb(data, state):
    """All bytes but the last 16, folded into the state; and the last 16 as two numbers."""
    load = lambda at: int.from_bytes(data[at : at + 8], "little")  # noqa: E731
    at, size = 0, len(data)
    while size - at > 16:
        state = fold(load(at) ^ K1, load(at + 8) ^ state)
        at += 16
    if size < 8:
        return load(0), 0, state
    return load(max(0, size - 16)), load(size - 8), state


def hash_piece(data):
    a, b, state = absorb(data, (len(data) * K3 + K2) % M)
    return fold(a ^ K1, b ^ state)


def hash_bytes(data, seed):
    a, b, state = absorb(data, seed ^ K2)
    return fold(fold(a ^ K1, b ^ state) ^ K3, len(data) ^ K2)


def hash_shingle(shingle, n):
    if isinstance(shingle, str):
        return hash_piece(shingle.encode())
    total = 0
    for word in shingle:
        total = (total * BASE + hash_piece(word.encode())) % M
    return fold(total ^ K1, n ^ K2)


def shingle_hashes(text, unit, n):
    return [hash_shingle(shingle, n) for shingle in shingles(text, unit, n)]


def splitmix(state):
    state = (state + 0x9E3779B97F4A7C15) % M
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % M
    state = (state ^ state >> 27) * 0x94D049BB133111EB % M
    return state ^ state >> 31


def signature(text, unit, n, bins):
    """Fast similarity sketching of the set of shingles, round after round."""
    values = set(shingle_hashes(text, unit, n))
    filled = {}
    for number in range(2 * bins if values else 0):
        if len(filled) == bins:
            break
        arrived = {}
        for value in values:
            mixed = fold(value ^ K1, splitmix(number)) if number else value
            to = (mixed % 2**32) * bins >> 32 if number < bins else number - bins
            arrived[to] = min(arrived.get(to, M), mixed >> 32)
        filled = arrived | filled
    return [filled.get(j, 2**32 - 1) for j in range(bins)]


def normalized_hash(text, seed=0):
    data = normalize(text).encode()
    return [hash_bytes(data, seed % M), hash_bytes(data, (seed + LANE) % M)]


def jaccard(a, b, unit, n):
    one, two = set(shingles(a, unit, n)), set(shingles(b, unit, n))
    return len(one & two) / len(one | two) if one | two else 0.0
