"""Reads ARPA line by line, in the tests alone."""


def read_arpa(lines):
    """[{n-gram: (log10 probability, log10 backoff)}] by order; the sizes in the head must be right."""
    sizes, found = [], []
    for line in (line.rstrip("\n") for line in lines):
        if line.startswith("ngram "):
            sizes.append(int(line.partition("=")[2]))
        elif line.endswith("-grams:"):
            found.append({})
        elif line and not line.startswith("\\"):
            chance, words, *backoff = line.split("\t")
            found[-1][tuple(words.split(" "))] = float(chance), float(backoff[0]) if backoff else 0.0
    assert sizes == [len(one) for one in found]
    return found
