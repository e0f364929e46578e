"""Interpolated modified Kneser-Ney in plain Python: what `corpuskit.lm` means.

Written from Chen and Goodman 1998 and from what lmplz does beyond it: n-grams that begin with `<s>` keep their counts,
pruned n-grams leave all of their counts to the lower orders, `<unk>` has its part of the uniform distribution.
"""

import math
from collections import Counter

START, END, UNKNOWN = "<s>", "</s>", "<unk>"


def sentences(texts):
    """Words of lines, without the special ones; lines without a word are none."""
    lines = [line.replace("\0", " ").encode().split() for text in texts for line in text.split("\n")]
    found = [[word.decode() for word in line if word.decode() not in (START, END, UNKNOWN)] for line in lines]
    return [[START, *line, END] for line in found if line]


def occurrences(texts, order):
    """How often each n-gram of each order occurs; `<s>` alone does not count."""
    counts = [Counter() for _ in range(order)]
    for line in sentences(texts):
        for end in range(2, len(line) + 1):
            for n in range(1, min(order, end) + 1):
                counts[n - 1][tuple(line[end - n : end])] += 1
    counts[0][START,] = counts[0][UNKNOWN,] = 0
    return counts


def adjusted(counts):
    """Counts of the highest order and after `<s>`, and otherwise how many words stand before."""
    found = []
    for n, here in enumerate(counts, start=1):
        if n == len(counts):
            found.append(dict(here))
            continue
        before = Counter(gram[1:] for gram in counts[n])
        found.append({gram: here[gram] if gram[0] == START else before[gram] for gram in here})
    return found


def discounts(counts):
    """Of counts 0, 1, 2, and 3 or more; 0.5, 1 and 1.5 where they cannot be estimated."""
    times = Counter(counts.values())
    if not (times[1] and times[2] and times[3]):
        return (0.0, 0.5, 1.0, 1.5)
    y = times[1] / (times[1] + 2 * times[2])
    found = [c - (c + 1) * y * times[c + 1] / times[c] for c in (1, 2, 3)]
    return (0.0, *found) if all(0 <= d <= c for c, d in enumerate(found, start=1)) else (0.0, 0.5, 1.0, 1.5)


def model(texts, order, thresholds, interpolate_unigrams=True):
    """[{n-gram: (log10 probability, log10 backoff)}] by order."""
    counts = occurrences(texts, order)
    kneser_ney = adjusted(counts)
    kept = [
        {gram for gram in here if here[gram] > most or (n == 0 and gram[0] in (START, END, UNKNOWN))}
        for n, (here, most) in enumerate(zip(counts, thresholds, strict=True))
    ]
    chances, backoffs = [], []
    for n, here in enumerate(kneser_ney):
        taken = discounts(here)
        total, left = Counter(), Counter()
        for gram, count in here.items():
            total[gram[:-1]] += count
            left[gram[:-1]] += taken[min(count, 3)] if gram in kept[n] else count
        share = {context: left[context] / total[context] for context in total}
        chances.append({})
        for gram in kept[n]:
            own = (here[gram] - taken[min(here[gram], 3)]) / total[gram[:-1]]
            if n:
                lower = chances[n - 1][gram[1:]]
            else:
                lower = 1 / (len(kept[0]) - 1) if interpolate_unigrams else float(gram == (UNKNOWN,))
            chances[n][gram] = own + share[gram[:-1]] * lower
        if n:
            backoffs.append(share)
        else:
            chances[0][START,] = 1.0
    backoffs.append({})
    return [
        {
            gram: tuple(math.log10(max(one, 1e-99)) for one in (chance, back.get(gram, 1.0)))
            for gram, chance in found.items()
        }
        for found, back in zip(chances, backoffs, strict=True)
    ]
