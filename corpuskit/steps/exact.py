"""The step `exact`: removal of documents of equal normalized text, with neither signatures nor comparisons.

The step itself only checks its parameters; the plan runs it as stages of `corpuskit.dedup`.
"""

from __future__ import annotations

from typing import Any, Literal

from corpuskit.core import step
from corpuskit.steps.minhash import Domains


@step.barrier()
def exact(*, keep: Domains = [], scope: Literal["global", "domain"] = "global") -> dict[str, Any]:  # noqa: B006
    """Remove documents whose text, lower-cased, without ASCII punctuation and with white space collapsed, is equal.

    Of equal ones the first stays: by `keep`, then the longer one in bytes, then the lower document id. `minhash`
    removes them as well.

    Args:
        keep: domains whose documents are preferred, first first; others come after, equal among themselves.
        scope: `global`, or `domain`: compare only documents of one domain.

    Returns:
        The parameters as JSON, which `corpuskit.steps.lsh.Minhash` reads: no signature, no bands.
    """
    return {
        "unit": "char",
        "n": 13,
        "permutations": 0,
        "threshold": 1.0,
        "bands": 0,
        "rows": 0,
        "scope": scope,
        "keep": list(keep),
        "hash": "corpuskit",
        "verify": "none",
        "choose": "priority",
    }
