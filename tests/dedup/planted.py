"""Texts with planted near copies, and the exact similarity of every pair of them by brute force."""

import itertools
import random
import re

N = 13


def texts(seed: int = 3, clusters: int = 120) -> dict[tuple[str, str], str]:
    """Texts by (file, number): in each cluster a text of made-up words and copies with more and more words changed."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnoprstuv", k=rng.randint(2, 9))) for _ in range(5000)]
    found: dict[tuple[str, str], str] = {}
    for cluster in range(clusters):
        base = rng.choices(words, k=rng.randint(100, 400))
        copies = [base]
        for _ in range(rng.randint(1, 4)):
            changed = list(base)
            # each change takes up to 13 shingles: similarities from about .4 to nearly 1
            for place in rng.sample(range(len(base)), rng.randint(1, max(1, len(base) // 40))):
                changed[place] = rng.choice(words)
            copies.append(changed)
        for number, copy in enumerate(copies):
            found[f"{cluster % 7}.jsonl", f"{cluster}-{number}"] = " ".join(copy)
    return found


def pairs(found: dict[tuple[str, str], str]) -> list[tuple[tuple[str, str], tuple[str, str], dict]]:
    """All pairs that have a 13-word shingle in common: names, and sizes, intersection, union and jaccard."""
    sets = {name: _shingles(text) for name, text in found.items()}
    made = []
    for one, two in itertools.combinations(sorted(found), 2):
        common = len(sets[one] & sets[two])
        if common:
            union = len(sets[one] | sets[two])
            about = {"n_a": len(sets[one]), "n_b": len(sets[two]), "intersection": common, "union": union}
            made.append((one, two, about | {"jaccard": common / union}))
    return made


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + N]) for i in range(len(words) - N + 1)}
