"""The order of training sequences as a pure function: global number -> (domain, epoch, block); no state, no buffer.

Promises: counts per domain are exact; within an epoch every block of a domain appears exactly once; a domain's epoch e
ends before e + 1 starts; in any window of consecutive sequences the number of each domain differs from its share by at
most ceil(log2(domains)) + 1 sequences, so that in 10,000 every share is within 0.5 points (50 sequences). Seeds are
keyed by domain name: adding a domain does not reshuffle the others.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuskit.mix.problem import Infeasible, Mixture

Indices = npt.NDArray[np.int64]

ROUNDS = 8
MOST_SEQUENCES = 1 << 41
"""Above this many sequences the exact 64-bit arithmetic of `_scaled` would overflow (4.5e15 tokens at length 2048)."""


class Permutation:
    """A keyed bijection of [0, size): a Feistel network over the next power of two, with cycle walking.

    Black and Rogaway, Ciphers with Arbitrary Finite Domains (2002), method 3. The network covers less than 2 * size
    numbers (at least 4), so that a value is walked twice on average at most.

    Args:
        size: of the permuted range, at least 1.
        key: any text; equal keys and sizes give equal permutations.
    """

    def __init__(self, size: int, key: str) -> None:
        self.size = size
        bits = max(2, (size - 1).bit_length())
        self._low = np.uint64(bits // 2)
        self._low_mask = np.uint64((1 << bits // 2) - 1)
        self._high_mask = np.uint64((1 << (bits - bits // 2)) - 1)
        digest = hashlib.sha512(key.encode()).digest()
        self._keys = [np.uint64(word) for word in struct.unpack(f"<{ROUNDS}Q", digest)]

    def forward(self, index: Indices) -> Indices:
        """The image of each number, int64[n]; all in [0, size)."""
        return self._walk(index, tuple(range(ROUNDS)))

    def inverse(self, index: Indices) -> Indices:
        """The number whose image each number is, int64[n]."""
        return self._walk(index, tuple(range(ROUNDS - 1, -1, -1)))

    def _walk(self, index: Indices, rounds: tuple[int, ...]) -> Indices:
        value = self._network(index.astype(np.uint64), rounds)
        outside = np.flatnonzero(value >= self.size)
        while len(outside):
            value[outside] = self._network(value[outside], rounds)
            outside = outside[value[outside] >= self.size]
        return value.astype(np.int64)

    def _network(self, value: npt.NDArray[np.uint64], rounds: tuple[int, ...]) -> npt.NDArray[np.uint64]:
        low, high = value & self._low_mask, value >> self._low
        for number in rounds:  # each round changes one half by a function of the other: its own inverse
            if number % 2:
                low = low ^ (_mixed(high ^ self._keys[number]) & self._low_mask)
            else:
                high = high ^ (_mixed(low ^ self._keys[number]) & self._high_mask)
        return (high << self._low) | low


def _mixed(value: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014), twice as many shifts as a Feistel round needs."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@dataclass(frozen=True)
class Plan:
    """Which block of which domain stands where.

    Attributes:
        seed: of the order inside the domains.
        names: of the domains, sorted.
        blocks: blocks of each domain, in one epoch.
        counts: sequences of each domain in the whole plan.
    """

    seed: int
    names: tuple[str, ...]
    blocks: tuple[int, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self) > MOST_SEQUENCES:
            msg = f"{len(self):,} sequences are more than a plan can number ({MOST_SEQUENCES:,})"
            raise Infeasible(msg, "use a longer seq_len or fewer tokens")

    @classmethod
    def from_json(cls, plan: Mapping[str, Any]) -> Plan:
        """The plan that `shards/plan.json` describes."""
        names = tuple(sorted(plan["domains"]))
        domains = [plan["domains"][name] for name in names]
        blocks = tuple(int(domain["blocks"]) for domain in domains)
        return cls(int(plan["seed"]), names, blocks, tuple(int(domain["sequences"]) for domain in domains))

    def __len__(self) -> int:
        return sum(self.counts)

    def locate(self, index: Indices) -> tuple[Indices, Indices, Indices]:
        """(domain number, epoch, block), int64[n] each, of the sequences with these global numbers, in any order.

        Raises:
            IndexError: a number is outside [0, len).
        """
        index = np.asarray(index, np.int64)
        if len(index) and (index.min() < 0 or index.max() >= len(self)):
            msg = f"sequence {int(index.max())} is outside a plan of {len(self)}"
            raise IndexError(msg)
        domain, place = np.zeros_like(index), index.copy()
        self._interleave(np.arange(len(index)), 0, len(self.names), domain, place)
        epoch, block = np.zeros_like(index), np.zeros_like(index)
        for number in np.unique(domain):
            rows = np.flatnonzero(domain == number)
            epoch[rows], within = np.divmod(place[rows], self.blocks[number])
            for turn in np.unique(epoch[rows]):
                chosen = epoch[rows] == turn
                block[rows[chosen]] = self.order(int(number), int(turn)).forward(within[chosen])
        return domain, epoch, block

    def order(self, number: int, epoch: int) -> Permutation:
        """The order of one domain's blocks in one epoch: place -> block."""
        return Permutation(self.blocks[number], f"{self.seed}\0{epoch}\0{self.names[number]}")

    def _interleave(self, rows: Indices, first: int, end: int, domain: Indices, place: Indices) -> None:
        """Split the sequences of domains [first, end) between two halves of these, in proportion, down to one domain.

        `place[rows]` is each sequence's number among those of [first, end); the half A with a of n sequences gets the
        places where round(place * a / n) steps, so that each prefix is within half a sequence of its share: stateless,
        and the error grows by at most 1/2 per level.
        """
        if end - first == 1:
            domain[rows] = first
            return
        middle = (first + end) // 2
        some, both = sum(self.counts[first:middle]), sum(self.counts[first:end])
        if not both:
            return
        before = _scaled(place[rows], some, both)
        left = _scaled(place[rows] + 1, some, both) > before
        place[rows] = np.where(left, before, place[rows] - before)
        self._interleave(rows[left], first, middle, domain, place)
        self._interleave(rows[~left], middle, end, domain, place)


def _scaled(value: Indices, numerator: int, denominator: int) -> Indices:
    """round(value * numerator / denominator), halves up, exact where all are at most 2^41 and value <= denominator."""
    high, low = np.divmod(value.astype(np.uint64), np.uint64(1 << 20))
    whole, rest = np.divmod(high * np.uint64(numerator), np.uint64(denominator))
    rest = (rest << np.uint64(20)) + low * np.uint64(numerator) + np.uint64(denominator // 2)
    return ((whole << np.uint64(20)) + rest // np.uint64(denominator)).astype(np.int64)


def sequence_counts(
    mixture: Mixture,
    targets: Sequence[int],
    blocks: Sequence[int],
    names: Sequence[str],
    budget: Fraction | int,
    epochs: float,
) -> list[int]:
    """Whole sequences of each domain for a feasible budget, by largest remainder.

    A domain with weight w needs w * budget tokens, so w * budget * blocks / targets sequences: weights are fractions of
    tokens, and a domain whose blocks are half padding needs twice as many of them. The total is rounded down; ties of
    remainders go to the first name; no domain gets more than `epochs` times its blocks.

    Args:
        mixture: weights by domain name.
        targets: predicted tokens of one epoch, per domain. blocks: sequences of one epoch, per domain.
        names: of the domains.
        budget: predicted tokens of the whole plan.
        epochs: the most epochs of any domain.
    """
    exact = [
        mixture.exact(name) * budget * count / tokens if tokens and mixture.exact(name) else Fraction(0)
        for name, tokens, count in zip(names, targets, blocks, strict=True)
    ]
    limits = [int(Fraction(repr(float(epochs))) * count) for count in blocks]
    counts = [min(int(share), limit) for share, limit in zip(exact, limits, strict=True)]
    missing = int(sum(exact)) - sum(counts)
    remainders = sorted(range(len(names)), key=lambda k: (counts[k] - exact[k], names[k]))
    for k in remainders:
        if missing > 0 and counts[k] < exact[k] and counts[k] < limits[k]:
            counts[k] += 1
            missing -= 1
    return counts
