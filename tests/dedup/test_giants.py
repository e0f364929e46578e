"""Documents too large for their shingle sets to be in memory: the similarity is the same, whatever the memory."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from corpuskit.dedup.giants import giant_jaccard
from corpuskit.kernels.shingle import CHUNK, shingle_part, shingle_sets


class Documents:
    """Texts by number."""

    def __init__(self, texts: list[str], unit: str, memory: int) -> None:
        self.params, self.memory = SimpleNamespace(unit=unit, n=5), memory
        self._texts = texts

    def text(self, number: int) -> pa.Array:
        return pa.array([self._texts[number]])


def texts() -> list[str]:
    random = np.random.default_rng(3)
    words = ["".join(map(chr, random.integers(97, 123, 4))) for _ in range(3000)]
    long = [words[k] for k in random.integers(0, len(words), 60_000)]
    other = long[:30_000] + [words[k] for k in random.integers(0, len(words), 20_000)]
    return [" ".join(long), " ".join(other), " ".join(long[:100]), "a" * (5 * CHUNK), "b", "", "ΑΣ ὈΔΥΣΣΕΎΣ " * 50_000]


@pytest.mark.parametrize("unit", ["char", "word"])
def test_the_parts_of_a_set_are_the_set(unit: str) -> None:
    for text in texts():
        column = pa.array(["before", text, "after"]).slice(1, 1)
        whole, _ = shingle_sets(column, unit, 5)
        for bits in (0, 1, 4):
            parts = [shingle_part(column, unit, 5, part, bits) for part in range(1 << bits)]
            np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("unit", ["char", "word"])
def test_the_similarity_of_giants_is_that_of_their_sets(unit: str) -> None:
    found = texts()[:5]
    sets = [set(shingle_sets(pa.array([text]), unit, 5)[0].tolist()) for text in found]
    expected = [len(sets[0] & other) / len(sets[0] | other) for other in sets[1:]]
    for memory in (1 << 30, 1 << 20):
        values = giant_jaccard(Documents(found, unit, memory), 0, np.arange(1, len(found)))
        assert values.tolist() == expected
