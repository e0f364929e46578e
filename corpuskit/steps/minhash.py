"""The step `minhash`: global fuzzy deduplication, verified by exact Jaccard similarity.

The step itself only checks its parameters and settles the bands; the plan runs it as the stages of `corpuskit.dedup`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic

from corpuskit.core import step
from corpuskit.errors import UsageError
from corpuskit.steps.lsh import choose_bands


class Shingle(pydantic.BaseModel):
    """What documents are compared by: runs of `n` characters of the normalized text, or of `n` words."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    unit: Literal["char", "word"] | None = None
    n: Annotated[int, pydantic.Field(ge=1, le=1000)] | None = None


@dataclass(frozen=True)
class Preset:
    """Values of the parameters that a recipe leaves out: a `recall` that settles the bands, or bands and rows."""

    unit: Literal["char", "word"]
    n: int
    permutations: int
    threshold: float
    recall: float = 0.98
    banding: tuple[int, int] | None = None


PRESETS: Mapping[str, Preset] = {
    "slimpajama": Preset("char", 13, 128, 0.8),
    "fineweb": Preset("word", 5, 112, 0.75, banding=(14, 8)),
    "high_recall": Preset("char", 13, 256, 0.8, recall=0.999),
}
"""Where they differ from their sources:

slimpajama: SlimPajama (Soboleva et al. 2023) has these shingles, permutations and this threshold; its bands were
datasketch's optimum, 9 x 13, which catches 40 % of the pairs at the threshold, and it verified nothing.
fineweb: FineWeb (Penedo et al. 2024) has these shingles, bands and rows, and aims at pairs of 0.75, of which its
bands catch 77 %; it removed by connected components without verification, and its words are a tokenizer's.
high_recall: settled as 30 x 7, under which 21 % of the pairs at 0.5 are candidates, beside 12.5 % for `slimpajama`.
"""


def _distinct(domains: list[str]) -> list[str]:
    twice = sorted({domain for domain in domains if domains.count(domain) > 1})
    if twice:
        msg = f"named twice: {', '.join(twice)}"
        raise ValueError(msg)
    return domains


Domains = Annotated[list[str], pydantic.AfterValidator(_distinct)]
"""Domains in an order of preference."""


@step.barrier()
def minhash(
    *,
    preset: Literal["slimpajama", "fineweb", "high_recall"] = "slimpajama",
    shingle: Shingle | None = None,
    permutations: Annotated[int, pydantic.Field(ge=1, le=4096)] | None = None,
    threshold: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None,
    recall: Annotated[float, pydantic.Field(gt=0, lt=1)] | None = None,
    bands: Annotated[int, pydantic.Field(ge=1)] | None = None,
    rows: Annotated[int, pydantic.Field(ge=1)] | None = None,
    verify: Literal["exact", "sketch", "none"] = "exact",
    choose: Literal["priority", "component"] = "priority",
    hash_: Literal["corpuskit", "datasketch"] = "corpuskit",
    scope: Literal["global", "domain"] = "global",
    keep: Domains = [],  # noqa: B006
    against: list[str] = [],  # noqa: B006
) -> dict[str, Any]:
    """Remove exact and near duplicates, within and across domains.

    Args:
        preset: where what is left out below comes from. `slimpajama`: 13 characters, 128 permutations, threshold 0.8,
            recall 0.98, which gives 17 bands of 7 rows (SlimPajama itself: 9 bands of 13 rows, unverified).
            `fineweb`: 5 words, 112 permutations, 14 bands of 8 rows, threshold 0.75 (FineWeb itself: unverified, by
            connected components). `high_recall`: as `slimpajama`, with 256 permutations and recall 0.999, which gives
            30 bands of 7 rows.
        shingle: what documents are compared by; without it, or a part of it, the preset's.
        permutations: numbers in a signature; without it the preset's.
        threshold: Jaccard similarity of two shingle sets from which one document is removed; without it the preset's.
        recall: share of the pairs at the threshold that bands must catch; settles `bands` and `rows`, and so is not
            given beside them; without any of these the preset's.
        bands: bands of the signature; given together with `rows`, without `recall`.
        rows: numbers in a band.
        verify: what makes a pair that shares a band a duplicate. `exact`: the similarity of its shingle sets is at
            least the threshold. `sketch`: the share of equal numbers in its signatures is, which with 128 permutations
            is off by 0.035 at 0.8 (standard deviation): documents below the threshold go, and some above it stay.
            `none`: nothing more; at 17 bands of 7 rows an eighth of the pairs at 0.5 are taken for duplicates. Only
            `exact` with `choose: priority` promises a kept document that is truly similar to each removed one.
        choose: `priority`: a document goes if and only if a kept one of higher priority is its duplicate. `component`:
            of documents joined by chains of duplicates only the one of highest priority stays, and a removed
            document may be unlike it.
        hash_: `corpuskit`, or `datasketch`: signatures equal to those of `datasketch.MinHash(seed=1,
            scheme="legacy")`, for comparison with it; thirty to sixty times slower.
        scope: `global`, or `domain`: compare only documents of one domain.
        keep: domains whose documents are preferred, first first; others come after, equal among themselves.
        against: roots of finished corpora (paths from the recipe's folder). Their documents, held-out ones as well,
            come before all others and are never removed; `duplicates/` names their root as `kept_root`.

    Returns:
        The parameters as JSON, `bands` and `rows` settled.

    Raises:
        UsageError: bands without rows or beside a recall, more than the permutations allow, or a recall that cannot
            be reached.
    """
    defaults = PRESETS[preset]
    permutations = defaults.permutations if permutations is None else permutations
    threshold = defaults.threshold if threshold is None else threshold
    bands, rows = _settled(preset, permutations, threshold, recall, bands, rows)
    return {
        "unit": (shingle and shingle.unit) or defaults.unit,
        "n": (shingle and shingle.n) or defaults.n,
        "permutations": permutations,
        "threshold": threshold,
        "bands": bands,
        "rows": rows,
        "scope": scope,
        "keep": list(keep),
        "against": list(against),
        "hash": hash_,
        "verify": verify,
        "choose": choose,
    }


def _settled(
    preset: str, permutations: int, threshold: float, recall: float | None, bands: int | None, rows: int | None
) -> tuple[int, int]:
    """(bands, rows): as given, else by the given recall, else as the preset has them."""
    if (bands is None) != (rows is None):
        raise UsageError(
            "minhash: `bands` and `rows` are given together, or neither", "leave both out: `recall` settles them"
        )
    whose = "minhash:"
    if bands is None or rows is None:
        banding = PRESETS[preset].banding
        if recall is not None or banding is None:
            return choose_bands(permutations, threshold, PRESETS[preset].recall if recall is None else recall)
        whose = f"minhash: the preset `{preset}` has"
        bands, rows = banding
    elif recall is not None:
        raise UsageError(
            "minhash: `bands` and `rows` fix what `recall` would settle", "leave out `recall`, or both of the others"
        )
    if bands * rows > permutations:
        msg = f"{whose} {bands} bands of {rows} rows, which need {bands * rows} permutations; there are {permutations}"
        raise UsageError(msg, f"set `permutations: {bands * rows}`, or fewer `bands` and `rows`, or only a `recall`")
    return bands, rows
