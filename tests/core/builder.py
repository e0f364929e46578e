"""A small corpus of our own making and a recipe over it: what the tests of the core run."""

import gzip
import hashlib
import json
import random
from pathlib import Path

from corpuskit.core import checksum
from corpuskit.core.work import Part
from corpuskit.store.local import LocalStore

WORDS = (
    "river stone bridge winter garden letter engine copper signal harbor window teacher market forest number silver "
    "morning question answer picture travel station village weather history science chapter kitchen compass library"
).split()


def text(rng: random.Random, words: int = 120) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words)).capitalize() + "."


def corpus(folder: Path, *, files: int = 3, rows: int = 40, seed: int = 0) -> Path:
    """Two domains of JSONL: `web` with near and exact copies of `books` and of itself, some short rows."""
    rng = random.Random(seed)
    for domain in ("web", "books"):
        (folder / domain).mkdir(parents=True, exist_ok=True)
    known = []
    for domain in ("books", "web"):
        for number in range(files):
            lines = []
            for row in range(rows):
                if known and rng.random() < 0.2:
                    words = rng.choice(known).split()
                    if rng.random() < 0.6:
                        words[rng.randrange(len(words))] = "edited"
                    found = " ".join(words)
                else:
                    found = text(rng, rng.choice((5, 120, 200)))
                known.append(found)
                lines.append(
                    json.dumps({"text": found, "url": f"https://{domain}/{number}/{row}", "score": rng.random()})
                )
            data = ("\n".join(lines) + "\n").encode()
            path = folder / domain / f"{number:02d}.jsonl"
            if number % 2:
                path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(data, mtime=0))
            else:
                path.write_bytes(data)
    return folder


def committed(name: str, path: Path, rows: int, publish: str | None = None) -> Part:
    """A file as a part, as the commit of a unit makes it one."""
    sha, sums = checksum.digests(path)
    return Part(name, LocalStore(path.parent), path.name, rows, path.stat().st_size, sha, publish, sums)


RECIPE = """\
name: small
memory: 512MiB
batch_bytes: {batch_bytes}
sources:
  web:   {{read: jsonl, path: "{raw}/web/*", columns: {{url: string, score: float64}}}}
  books: {{read: jsonl, path: "{raw}/books/*", columns: {{url: string, score: float64}}}}
steps:
  - normalize: {{unicode: NFC}}
  - clean_chars: {{}}
  - where: clean_chars >= {shortest}
    name: too_short
  - minhash: {{shingle: {{unit: word, n: 3}}, threshold: 0.7, keep: [books, web]}}
  - holdout: {{tokens: 2k, seed: 1, dedup_train: true}}
"""


def recipe(folder: Path, raw: Path, *, shortest: int = 60, batch_bytes: int = 1 << 20, extra: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(raw=raw, shortest=shortest, batch_bytes=batch_bytes) + extra)
    return path


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every published file, by path."""
    folders = ("corpus", "holdout", "dropped", "duplicates", "tokens", "shards")
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }
