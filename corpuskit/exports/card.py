"""The dataset card of an export to Hugging Face: `README.md`, for the hub's programs (YAML) and for people.

The YAML follows the hub's schema of dataset cards (huggingface.co/docs/hub/datasets-cards): configurations, one a
domain, with their splits and sizes, and the licences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from corpuskit.core.tables import size
from corpuskit.explore.stats import DomainStats
from corpuskit.exports.licenses import identifiers

_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7))
_LARGER = (("10M<n<100M", 10**8), ("100M<n<1B", 10**9), ("1B<n<10B", 10**10), ("10B<n<100B", 10**11))
_LARGEST = "100B<n<1T"

SHOWN = 10
"""Licences of a domain that are listed, the most frequent first; the others are counted together."""


_ABOUT = """\
Each domain is a configuration. `train` is the corpus; `validation` was held out before anything was trained on it. A
document has a number (`doc`), its text, the columns of its source and its signals."""

_FILES = """\
`files.parquet` names every raw file with its size and SHA-256, and the blocks of document numbers that came from it:
the upper 44 bits of `doc` are the block, the lower 20 the record in it."""


@dataclass
class Split:
    """Files of one split of a domain: documents, bytes of the columns before compression, and bytes of the files."""

    documents: int = 0
    stored: int = 0
    files: int = 0


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        recipe: the name of the recipe. text: the recipe itself.
        made: when the run was started, `YYYY-MM-DD`. plan: the fingerprint of the corpus.
        versions: of the packages that decide about the content.
        splits: by domain, then by split.
        domains: the domain table.
        licenses: documents by licence, by domain.
        sources: files, raw records and bytes by source.
    """

    recipe: str
    text: str
    made: str
    plan: str
    versions: dict[str, str]
    domains: Sequence[DomainStats]
    licenses: dict[str, Counter[str | None]]
    sources: dict[str, Counter[str]]
    splits: dict[str, dict[str, Split]] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """Documents of all domains and splits."""
        return sum(split.documents for splits in self.splits.values() for split in splits.values())

    def description(self) -> str:
        """A sentence for catalogues."""
        kept = sum(row.bytes for row in self.domains)
        return (
            f"A text corpus of {self.documents:,} documents in {len(self.splits)} domains, {size(kept)} of text to "
            f"train on, built with corpuskit from the recipe `{self.recipe}`."
        )

    def render(self) -> str:
        """The whole of `README.md`."""
        head = yaml.safe_dump(self._head(), sort_keys=False, allow_unicode=True, width=120)
        return f"---\n{head}---\n\n" + "\n\n".join(self._body()) + "\n"

    def _head(self) -> dict[str, Any]:
        sizes = (name for name, below in _SIZES + _LARGER if self.documents < below)
        return {
            "pretty_name": self.recipe,
            "license": identifiers(self.licenses),
            "task_categories": ["text-generation"],
            "size_categories": [next(sizes, _LARGEST)],
            "tags": ["corpuskit", "pre-training"],
            "configs": [
                {
                    "config_name": domain,
                    "data_files": [{"split": name, "path": f"data/{domain}/{name}-*.parquet"} for name in splits],
                }
                for domain, splits in self.splits.items()
            ],
            "dataset_info": [
                {
                    "config_name": domain,
                    "splits": [
                        {"name": name, "num_bytes": split.stored, "num_examples": split.documents}
                        for name, split in splits.items()
                    ],
                    "download_size": sum(split.files for split in splits.values()),
                    "dataset_size": sum(split.stored for split in splits.values()),
                }
                for domain, splits in self.splits.items()
            ],
        }

    def _body(self) -> list[str]:
        first = next(iter(self.splits))
        return [
            f"# {self.recipe}",
            self.description(),
            f'```python\nfrom datasets import load_dataset\n\nload_dataset("PATH", "{first}", split="train")\n```',
            _ABOUT,
            "## Domains",
            self._domains(),
            "## Licences",
            "As the documents' column `license` says; where a source gives none, its own terms hold.",
            self._licenses(),
            "## Sources",
            self._sources(),
            _FILES,
            "## Lineage",
            self._lineage(),
            f"````yaml\n{self.text.rstrip()}\n````",
        ]

    def _lineage(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"Built on {self.made} by the recipe below (`recipe.yaml`); plan `{self.plan}`; {versions}."

    def _domains(self) -> str:
        columns = {
            "records read": "read",
            "unreadable": "unreadable",
            "empty": "empty",
            "dropped by rules": "dropped",
            "exact duplicates": "exact",
            "near duplicates": "near",
            "contaminated": "contaminated",
            "held out": "held_out",
            "kept": "kept",
            "bytes kept": "bytes",
            "tokens": "tokens",
        }
        rows = [(row.domain, *(getattr(row, name) for name in columns.values())) for row in self.domains]
        return _markdown(("domain", *columns), rows)

    def _licenses(self) -> str:
        rows: list[tuple[Any, ...]] = []
        for domain, counts in self.licenses.items():
            ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] or ""))
            rows += [(domain, name or "(none named)", count) for name, count in ordered[:SHOWN]]
            if len(ordered) > SHOWN:
                rest = ordered[SHOWN:]
                rows.append((domain, f"{len(rest):,} others", sum(count for _, count in rest)))
        return _markdown(("domain", "licence", "documents"), rows)

    def _sources(self) -> str:
        rows = [(name, row["files"], row["records"], row["bytes"]) for name, row in self.sources.items()]
        return _markdown(("source", "raw files", "records", "bytes"), rows)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(_cell(cell) for cell in cells) + " |"

    right = [bool(rows) and all(isinstance(row[i], int | None) for row in rows) for i in range(len(head))]
    rule = "| " + " | ".join("---:" if is_right else "---" for is_right in right) + " |"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")
