"""The step `lines`: lines or paragraphs that many documents have in common, such as menus, notices and disclaimers.

The step itself only checks its parameters; the plan runs it as the stages of `corpuskit.dedup.lines`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

from corpuskit.core import step


@step.barrier()
def lines(
    *,
    unit: Literal["line", "paragraph"] = "line",
    documents: Annotated[int, pydantic.Field(ge=2)] = 2,
    keep: Annotated[int, pydantic.Field(ge=0, le=1_000_000)] = 1,
    min_chars: Annotated[int, pydantic.Field(ge=1)] = 30,
    scope: Literal["global", "domain"] = "global",
) -> dict[str, Any]:
    """Cut lines that several documents have in common from all but the first of these documents.

    Lines are compared in lower case, without ASCII punctuation, white space collapsed. The first document is the one of
    the lowest id. A line that one document repeats counts once, and stays or goes as a whole. A document of which
    nothing is left is `empty`. With `keep: 1` no text leaves the corpus entirely.

    The rule is that of C4 (Raffel et al. 2020: all but one of any span of three sentences that occurs more than once)
    and CCNet (Wenzek et al. 2020: paragraphs by hash), over the whole corpus. Llama 3 (Dubey et al. 2024) cuts lines
    that occur more than six times in 30 million documents: `documents: 7`, `keep: 0`.

    Args:
        unit: `line`: text up to a line feed. `paragraph`: lines between blank lines; one goes with the blank lines
            behind it.
        documents: in how many documents a line must occur to be cut. 2, as C4 and CCNet have it: as one document keeps
            the line, nothing is lost by it.
        keep: how many of the documents keep it; 0 cuts it everywhere.
        min_chars: lines of fewer characters, in the form compared, stay. Below 30, about five English words, lines
            recur by chance (`he said`, `return result`) and cutting them breaks the text around them.
        scope: `global`, or `domain`: compare only documents of one domain.

    Returns:
        The parameters as JSON.
    """
    return {"unit": unit, "documents": documents, "keep": keep, "min_chars": min_chars, "scope": scope}
