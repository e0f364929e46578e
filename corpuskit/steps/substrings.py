"""The step `substrings`: spans of text that several documents have in common, wherever in them they stand.

The step itself only checks its parameters; the plan runs it as the stages of `corpuskit.dedup.substrings`.
"""

from __future__ import annotations

from typing import Annotated, Any

import pydantic

from corpuskit.core import step


@step.barrier()
def substrings(*, length: Annotated[int, pydantic.Field(ge=8, le=1_000_000)] = 200) -> dict[str, Any]:
    """Cut spans of text that several documents have in common, byte for byte, from all but the first of them.

    This is ExactSubstr of Lee et al. (2022), with `keep` as `lines` has it: a byte is cut if it lies in a span of
    `length` bytes that a document of a lower id has too, wherever. What is left is joined as it stands. A span that one
    document repeats counts once, and the first document keeps all of it. No half of a character is cut. A document of
    which nothing is left is `empty`.

    Disk: 24 bytes for each byte of text near something that another document has, and for every 51st byte (with
    `length: 200`) besides. So `minhash` comes first: near copies are then gone.

    Args:
        length: bytes of the shortest span that is cut, in UTF-8. 200 are the 50 tokens of Lee et al. at four bytes a
            token. Shorter spans recur by chance.

    Returns:
        The parameters as JSON.
    """
    return {"length": length}
