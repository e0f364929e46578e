"""The order of training sequences as a pure function: number -> (domain, epoch, slice); no state, no buffer.

Promises: counts per domain are exact; within an epoch every block of a domain appears exactly once; a domain's epoch e
ends before e + 1 starts; in any window of consecutive sequences of a phase the number of each domain differs from its
share by at most ceil(log2(domains)) + 1 sequences, so that in 10,000 every share is within 0.5 points (50 sequences).
Seeds are keyed by domain name: adding a domain does not reshuffle the others.

Phases follow one another, and a domain's blocks run on through them: a phase takes whole blocks, the next ones in the
order of the epoch. Where its sequences are shorter than a block, it cuts each of its blocks into slices; the slices of
all blocks that it takes from one epoch are shuffled together.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
    """Which slice of which block of which domain stands where in one phase; most plans have one, and whole blocks.

    Attributes:
        seed: of the order inside the domains.
        names: of the domains, sorted.
        blocks: blocks of each domain, in one epoch.
        counts: sequences of each domain in the phase; multiples of `slices`.
        taken: blocks of each domain that the phases before have taken, epochs counted on; (): none.
        slices: sequences that a block is cut into.
        phase: number of the phase, from 0.
    """

    seed: int
    names: tuple[str, ...]
    blocks: tuple[int, ...]
    counts: tuple[int, ...]
    taken: tuple[int, ...] = ()
    slices: int = 1
    phase: int = 0

    @classmethod
    def from_json(cls, plan: Mapping[str, Any]) -> tuple[Plan, ...]:
        """The order of each phase of the plan that `shards/plan.json` describes."""
        names = tuple(sorted(plan["domains"]))
        blocks = tuple(int(plan["domains"][name]["blocks"]) for name in names)
        found, taken = [], (0,) * len(names)
        for number, phase in enumerate(plan.get("phases", [plan])):
            slices = plan["seq_len"] // phase["seq_len"]
            counts = tuple(int(phase["domains"][name]["sequences"]) for name in names)
            found.append(cls(int(plan["seed"]), names, blocks, counts, taken, slices, number))
            taken = tuple(before + count // slices for before, count in zip(taken, counts, strict=True))
        return tuple(found)

    def __len__(self) -> int:
        return sum(self.counts)

    def locate(self, index: Indices) -> tuple[Indices, Indices, Indices]:
        """(domain number, epoch, slice), int64[n] each, of the sequences with these numbers in the phase, in any order.

        Slice k of block b has the number b * slices + k.

        Raises:
            IndexError: a number is outside [0, len).
        """
        index = np.asarray(index, np.int64)
        if len(index) and (index.min() < 0 or index.max() >= len(self)):
            msg = f"sequence {int(index.max())} is outside a plan of {len(self)}"
            raise IndexError(msg)
        domain, place = np.zeros_like(index), index.copy()
        self._interleave(np.arange(len(index)), 0, len(self.names), domain, place)
        epoch, found = np.zeros_like(index), np.zeros_like(index)
        for number in np.unique(domain):
            rows = np.flatnonzero(domain == number)
            taken = self.taken[number] if self.taken else 0
            epoch[rows] = (taken + place[rows] // self.slices) // self.blocks[number]
            for turn in np.unique(epoch[rows]):
                chosen = rows[epoch[rows] == turn]
                found[chosen] = self._slices(int(number), int(turn), place[chosen] + taken * self.slices)
        return domain, epoch, found

    def places(self, number: int, sequence: int) -> list[int]:
        """`locate` the other way round: the numbers in the phase of a slice of a domain, one for each of its epochs.

        Args:
            number: of the domain. sequence: number of the slice.
        """
        taken, end = self._drawn(number)
        block, within = divmod(sequence, self.slices)
        found = []
        for epoch in range(taken // self.blocks[number], -(-end // self.blocks[number])):
            turn = epoch * self.blocks[number]
            place = turn + int(self.order(number, epoch).inverse(np.array([block]))[0])
            if taken <= place < end:
                start, mixed = self._mixed_slices(number, epoch)
                slot = place * self.slices + within
                slot = start + int(mixed.inverse(np.array([slot - start]))[0]) if mixed is not None else slot
                found.append(self._among_all(slot - taken * self.slices, number, 0, len(self.names)))
        return found

    def _drawn(self, number: int) -> tuple[int, int]:
        """The blocks of a domain that the phase takes: the first and the end, epochs counted on."""
        taken = self.taken[number] if self.taken else 0
        return taken, taken + self.counts[number] // self.slices

    def _mixed_slices(self, number: int, epoch: int) -> tuple[int, Permutation | None]:
        """The first slice of a domain that the phase takes of an epoch, and how all of these are shuffled."""
        (taken, end), turn = self._drawn(number), epoch * self.blocks[number]
        first, end = max(taken, turn), min(end, turn + self.blocks[number])
        if self.slices == 1:
            return first, None
        key = f"{self.seed}\0{epoch}\0{self.names[number]}\0{self.phase}"
        return first * self.slices, Permutation((end - first) * self.slices, key)

    def _slices(self, number: int, epoch: int, place: Indices) -> Indices:
        """Which slices of a domain stand at these places, all in one epoch; places count the slices of all phases."""
        turn = epoch * self.blocks[number]
        start, mixed = self._mixed_slices(number, epoch)
        if mixed is not None:
            place = start + mixed.forward(place - start)
        block, within = np.divmod(place, self.slices)
        return self.order(number, epoch).forward(block - turn) * self.slices + within

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

    def _among_all(self, place: int, number: int, first: int, end: int) -> int:
        """The number among the sequences of domains [first, end) of the one at a place of one of them.

        Half A has its k-th sequence where round(place * a / n) steps over k, half B where the rest does; exactly.
        """
        if end - first == 1:
            return place
        middle = (first + end) // 2
        some, both = sum(self.counts[first:middle]), sum(self.counts[first:end])
        if number < middle:
            inside = self._among_all(place, number, first, middle)
            return -(-(2 * inside + 1) * both // (2 * some)) - 1
        inside = self._among_all(place, number, middle, end)
        return (2 * inside + 1) * both // (2 * (both - some))


def _scaled(value: Indices, numerator: int, denominator: int) -> Indices:
    """round(value * numerator / denominator), halves up, exact where all are at most 2^41 and value <= denominator."""
    high, low = np.divmod(value.astype(np.uint64), np.uint64(1 << 20))
    whole, rest = np.divmod(high * np.uint64(numerator), np.uint64(denominator))
    rest = (rest << np.uint64(20)) + low * np.uint64(numerator) + np.uint64(denominator // 2)
    return ((whole << np.uint64(20)) + rest // np.uint64(denominator)).astype(np.int64)
