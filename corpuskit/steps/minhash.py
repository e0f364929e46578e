"""The step `minhash`: global fuzzy deduplication, verified by exact Jaccard similarity.

The step itself only checks its parameters and settles the bands; the plan runs it as the stages of `corpuskit.dedup`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

from corpuskit import step
from corpuskit.dedup.params import choose_bands
from corpuskit.errors import UsageError


def _later(*values: str) -> pydantic.BeforeValidator:
    """Say of a value that a later version will know that it is not there yet, instead of that it is wrong."""

    def check(value: Any) -> Any:
        if value in values:
            msg = f"`{value}` is not yet supported by this version"
            raise ValueError(msg)
        return value

    return pydantic.BeforeValidator(check)


class Shingle(pydantic.BaseModel):
    """What documents are compared by: runs of `n` characters of the normalized text, or of `n` words."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    unit: Literal["char", "word"] = "char"
    n: Annotated[int, pydantic.Field(ge=1, le=1000)] = 13


def _distinct(domains: list[str]) -> list[str]:
    twice = sorted({domain for domain in domains if domains.count(domain) > 1})
    if twice:
        msg = f"named twice: {', '.join(twice)}"
        raise ValueError(msg)
    return domains


@step.barrier()
def minhash(
    *,
    shingle: Shingle = Shingle(),  # noqa: B008
    permutations: Annotated[int, pydantic.Field(ge=1, le=4096)] = 128,
    threshold: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.8,
    recall: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.98,
    bands: Annotated[int, pydantic.Field(ge=1)] | None = None,
    rows: Annotated[int, pydantic.Field(ge=1)] | None = None,
    verify: Annotated[Literal["exact"], _later("sketch", "none")] = "exact",
    choose: Annotated[Literal["priority"], _later("component")] = "priority",
    hash_: Annotated[None, _later("datasketch")] = None,
    preset: Annotated[None, _later("slimpajama", "fineweb", "high_recall")] = None,
    scope: Literal["global", "domain"] = "global",
    keep: Annotated[list[str], pydantic.AfterValidator(_distinct)] = [],  # noqa: B006
) -> dict[str, Any]:
    """Remove exact and near duplicates, within and across domains.

    Args:
        shingle: what documents are compared by; the default is SlimPajama's.
        permutations: numbers in a signature.
        threshold: exact Jaccard similarity of two shingle sets from which one document is removed.
        recall: share of the pairs at the threshold that bands must catch; settles `bands` and `rows`.
        bands: bands of the signature; given together with `rows`.
        rows: numbers in a band.
        verify: `exact`: every removal is checked by the shingle sets.
        choose: `priority`: a document goes if and only if a kept one of higher priority is similar.
        hash_: not yet.
        preset: not yet.
        scope: `global`, or `domain`: compare only documents of one domain.
        keep: domains whose documents are preferred, first first; others come after, equal among themselves.

    Returns:
        The parameters as JSON, `bands` and `rows` settled.

    Raises:
        UsageError: bands without rows, more than the permutations allow, or a recall that cannot be reached.
    """
    del verify, choose, hash_, preset  # each has one value so far
    if (bands is None) != (rows is None):
        raise UsageError(
            "minhash: `bands` and `rows` are given together, or neither", "leave both out: `recall` settles them"
        )
    if bands is None or rows is None:
        bands, rows = choose_bands(permutations, threshold, recall)
    elif bands * rows > permutations:
        msg = f"minhash: {bands} bands of {rows} rows need {bands * rows} permutations, there are {permutations}"
        raise UsageError(msg, f"set `permutations: {bands * rows}`, or fewer bands")
    return {
        "unit": shingle.unit,
        "n": shingle.n,
        "permutations": permutations,
        "threshold": threshold,
        "bands": bands,
        "rows": rows,
        "scope": scope,
        "keep": list(keep),
    }
