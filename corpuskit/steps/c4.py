"""C4's rules: lines that are cut, an edit, and pages that are dropped, as expressions."""

from __future__ import annotations

from typing import Annotated, Any

import pyarrow as pa
import pydantic

from corpuskit.core import step
from corpuskit.core.batch import Batch, set_column
from corpuskit.core.findings import counted


@step.edit(version=2, libraries=("numba",))
def c4_lines(
    batch: Batch, *, end_marks: bool = True, min_words: Annotated[int, pydantic.Field(ge=0)] = 3
) -> tuple[Batch, pa.RecordBatch]:
    """Cut the lines that C4 cuts, and citations such as `[12]`, `[edit]` and `[citation needed]`.

    A line is cut, by the first rule that it breaks, if it has a word of more than 1000 characters; does not end in
    `.`, `?`, `!`, `"` or `'`, or ends in `...`; has too few words; has `javascript` in it; or a phrase on policies
    (`terms of use`, `privacy policy`, `cookie policy`, `uses cookies`, `use of cookies`, `use cookies`), in any case of
    letters. A line with `lorem ipsum`, or with a phrase on policies and `{`, is not cut for its phrases: the preset
    `c4` drops the page by it. White space around a line goes, and blank lines. The rules are those of Raffel et al.
    2020, section 2.2, and of the code of its release, in the order of datatrove's C4QualityFilter; lines end at line
    feeds alone. A document of which nothing is left is `empty`.

    Counted in `stats` and, by document, in `findings/` are lines by their rule (`long_word`, `no_end_mark`,
    `few_words`, `javascript`, `policy`), the `citations` taken out of lines that stay, and texts that are `changed`, in
    white space or otherwise.

    Args:
        batch: n documents.
        end_marks: whether lines must end in a mark; FineWeb leaves this rule out, as it costs a third of the text.
        min_words: words, split at white space, that a line must have; C4's paper says 3 for a first version, 5 today.

    Returns:
        The batch, and the counts of each document.
    """
    # The kernel's module is imported here because it loads numba, which `check` does not need.
    from corpuskit.kernels.page_lines import cut_page_lines

    text, cuts = cut_page_lines(batch.column("text"), by_mark=end_marks, min_words=min_words)
    return set_column(batch, "text", text), counted(cuts)


@step.preset
def c4(*, end_marks: bool = True, min_words: int = 3, min_sentences: int = 5) -> list[dict[str, Any]]:
    """C4's rules (Raffel et al. 2020, section 2.2): `c4_lines`, then expressions over `page_heuristics`.

    The expressions are about what the cut lines leave. Left out: the list of bad words (it is not ours to ship, and it
    drops pages on health and by minorities), the language (`language`, C4 asks for 0.99) and spans of three sentences
    that occur again (`lines`). To change a rule beyond its threshold, put this list into the recipe and edit it.
    """
    return [
        {"c4_lines": {"end_marks": end_marks, "min_words": min_words}},
        {"page_heuristics": {}},
        {"where": "lorem_ipsum = 0", "name": "c4_lorem_ipsum"},
        {"where": "curly_braces = 0", "name": "c4_curly_braces"},
        {"where": f"sentences >= {min_sentences}", "name": "c4_sentences"},
    ]
