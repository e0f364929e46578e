"""What the scripts for other tools share; they run under a Python that has those tools, and not corpuskit."""

import json
from collections.abc import Iterator
from pathlib import Path

import zstandard


def documents(folder: Path) -> Iterator[tuple[str, str]]:
    """(id, text) of every document of a folder of JSONL.zst files, in the files' order."""
    for path in sorted(folder.glob("*.jsonl.zst")):
        with zstandard.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            for line in lines:
                record = json.loads(line)
                yield record["id"], record["text"]


class Clusters:
    """Documents joined by pairs: connected components, each named by its least number."""

    def __init__(self, count: int) -> None:
        self.above = list(range(count))

    def find(self, number: int) -> int:
        """The least number of the component."""
        while self.above[number] != number:
            self.above[number] = self.above[self.above[number]]
            number = self.above[number]
        return number

    def join(self, one: int, two: int) -> None:
        """Make one component of two."""
        low, high = sorted((self.find(one), self.find(two)))
        self.above[high] = low
