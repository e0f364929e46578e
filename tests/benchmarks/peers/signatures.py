"""CPU seconds of other tools' MinHash signatures, normalization and shingling included: one JSON line a library.

python signatures.py IN SECONDS [LIBRARY ...]

Texts are read first, outside of the clock, and worked on in chunks until SECONDS of CPU time are over; a first chunk
warms up. Thirteen words or characters and 128 numbers, but for datatrove's defaults. Python makes the shingles where
the library makes none.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lsh_index import PERMUTATIONS, shingles
from reading import documents


def daft_words() -> Callable[[list[str]], object]:
    import daft
    from daft.functions import minhash, normalize

    def work(texts: list[str]) -> object:
        clean = normalize(daft.col("text"), lowercase=True, remove_punct=True, white_space=True)
        signature = minhash(clean, num_hashes=PERMUTATIONS, ngram_size=13)
        return daft.from_pydict({"text": texts}).select(signature).collect()

    return work


def datatrove_signatures(n: int, bands: int, rows: int) -> Callable[[list[str]], object]:
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    step = MinhashDedupSignature(
        "memory://", config=MinhashConfig(n_grams=n, num_buckets=bands, hashes_per_bucket=rows)
    )

    def work(texts: list[str]) -> object:
        found = (step.get_shingles(text) for text in texts)
        return [step.get_signature(each) for each in found if each.size]

    return work


def datasketch_signatures(unit: str) -> Callable[[list[str]], object]:
    from datasketch import MinHash

    def work(texts: list[str]) -> object:
        return [MinHash(PERMUTATIONS).update_batch([each.encode() for each in shingles(text, unit)]) for text in texts]

    return work


def rensa_signatures(unit: str) -> Callable[[list[str]], object]:
    from rensa import RMinHash

    def work(texts: list[str]) -> object:
        found = [list(shingles(text, unit)) for text in texts]
        return RMinHash.digest_matrix_from_token_sets(found, num_perm=PERMUTATIONS, seed=42)

    return work


def gaoya_signatures(unit: str) -> Callable[[list[str]], object]:
    """Insertion in its index, bands included: it gives no signature alone."""
    from gaoya.minhash import MinHashStringIndex

    number = itertools.count()

    def work(texts: list[str]) -> None:
        index = MinHashStringIndex(
            32, 0.8, 8, PERMUTATIONS // 8, PERMUTATIONS, unit, lowercase=True, ngram_range=(13, 13)
        )
        for text in texts:
            index.insert_document(next(number), text)

    return work


LIBRARIES: dict[str, tuple[float, str, Callable[[], Callable[[list[str]], object]]]] = {
    "daft normalize + minhash, word 13": (20, "word 13", daft_words),
    "gaoya insert, word 13": (1, "word 13", lambda: gaoya_signatures("word")),
    "gaoya insert, char 13": (1, "char 13", lambda: gaoya_signatures("char")),
    "rensa, word 13": (1, "word 13", lambda: rensa_signatures("word")),
    "rensa, char 13": (1, "char 13", lambda: rensa_signatures("char")),
    "datasketch update_batch, word 13": (1, "word 13", lambda: datasketch_signatures("word")),
    "datasketch update_batch, char 13": (1, "char 13", lambda: datasketch_signatures("char")),
    "datatrove, its defaults: word 5, 112 numbers": (0.5, "word 5", lambda: datatrove_signatures(5, 14, 8)),
    "datatrove, word 13, 128 numbers": (0.5, "word 13", lambda: datatrove_signatures(13, 8, 16)),
}
"""By label: MB of a chunk, the shingles, and what makes the worker."""


def chunks(texts: list[str], megabytes: float) -> Iterator[list[str]]:
    """The texts again and again, cut so that a chunk has at least so many MB."""
    chunk, size = [], 0
    for text in itertools.cycle(texts):
        chunk.append(text)
        size += len(text.encode())
        if size >= megabytes * 1e6:
            yield chunk
            chunk, size = [], 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("libraries", nargs="*", default=list(LIBRARIES))
    options = parser.parse_args()
    texts = [text for _, text in documents(options.texts)]
    for label in options.libraries:
        megabytes, shingle, make = LIBRARIES[label]
        work, size, seconds = make(), 0, 0.0
        for number, chunk in enumerate(chunks(texts, megabytes)):
            start = time.process_time()
            work(chunk)
            if number:
                seconds += time.process_time() - start
                size += sum(len(text.encode()) for text in chunk)
            if seconds > options.seconds:
                break
        print(json.dumps({"label": label, "shingles": shingle, "bytes": size, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
