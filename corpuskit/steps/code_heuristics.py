"""`code_heuristics`: what source code is judged by, and RedPajama's rules on it as expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from corpuskit.core import step
from corpuskit.core.batch import Batch, utf8

COLUMNS: Mapping[str, str] = {
    "longest_line": "int64",
    "mean_line_length": "float64",
    "alphanumeric_share": "float64",
    "letters_per_token": "float64",
}
"""Columns of `code_heuristics`, with their Arrow types."""

# fmt: off
EXTENSIONS = [
    ".asm", ".bat", ".cmd", ".c", ".h", ".cs", ".cpp", ".hpp", ".c++", ".h++", ".cc", ".hh", ".C", ".H", ".cmake",
    ".css", ".dockerfile", ".f90", ".f", ".f03", ".f08", ".f77", ".f95", ".for", ".fpp", ".go", ".hs", ".html",
    ".java", ".js", ".jl", ".lua", ".md", ".markdown", ".php", ".php3", ".php4", ".php5", ".phps", ".phpt", ".pl",
    ".pm", ".pod", ".perl", ".ps1", ".psd1", ".psm1", ".py", ".rb", ".rs", ".sql", ".scala", ".sh", ".bash",
    ".command", ".zsh", ".ts", ".tsx", ".tex", ".vb", "Dockerfile", "Makefile", ".xml", ".rst", ".m", ".smali",
]
"""How the paths end that RedPajama takes (its code, `github_run_filter.py`)."""
# fmt: on


@step.signal(columns=COLUMNS, libraries=("numba",))
def code_heuristics(batch: Batch) -> dict[str, pa.Array]:
    r"""What RedPajama judges source code by (Weber et al. 2024, arXiv:2411.12372, and the code of its release).

    Lines are what a line feed ends, and a rest after the last one; letters and numbers are Unicode's, as Python has
    them.

    Columns, null for a null text:
        longest_line: characters of the longest line, without its line feed (int64).
        mean_line_length: characters that are no line feed, per line (float64; null without lines).
        alphanumeric_share: letters and numbers per character (float64; null for an empty text).
        letters_per_token: letters per run of letters, numbers and `_` or of other characters that are no white space
            (float64; null without such runs). RedPajama divides by the tokens of Pythia's tokenizer, of which code has
            more; Dolma's tagger by nearly these.
    """
    # The kernel's module is imported here because it loads numba, which `check` does not need.
    from corpuskit.kernels import code as kernel

    text = batch.column("text")
    counts = dict(zip(kernel.COUNTS, kernel.count(*utf8(text)).T, strict=True))
    counts["line_chars"] = counts["chars"] - counts["line_feeds"]
    missing = text.is_null().to_numpy(zero_copy_only=False)

    def share(part: str, of: str) -> pa.Array:
        total = counts[of]
        return pa.array(counts[part] / np.maximum(total, 1), pa.float64(), mask=missing | (total == 0))

    return {
        "longest_line": pa.array(counts["longest_line"], pa.int64(), mask=missing),
        "mean_line_length": share("line_chars", "lines"),
        "alphanumeric_share": share("alphanumeric", "chars"),
        "letters_per_token": share("letters", "tokens"),
    }


@step.preset
def redpajama_code(
    *,
    max_line_length: int = 1000,
    max_mean_line_length: float = 100,
    min_alphanumeric_share: float = 0.25,
    min_letters_per_token: float = 1.5,
    extensions: list[str] = EXTENSIONS,
) -> list[dict[str, Any]]:
    """RedPajama's rules on source code (Weber et al. 2024, section 3) as expressions over `code_heuristics`.

    Thresholds and extensions are those of its code, which asks the column `path`, as the reader `code` gives it; this
    reader itself leaves out files that break the first three rules. To change a rule beyond its threshold, put this
    list into the recipe and edit it.

    Args:
        extensions: how a path may end, capital letters apart; an empty list leaves the rule out, and needs no `path`.
    """
    ends = " OR ".join(f"ends_with(path, '{quoted}')" for quoted in (one.replace("'", "''") for one in extensions))
    rules = {
        "redpajama_extension": ends,
        "redpajama_long_line": f"longest_line <= {max_line_length}",
        "redpajama_long_lines": f"mean_line_length <= {max_mean_line_length}",
        "redpajama_alphanumeric": f"alphanumeric_share >= {min_alphanumeric_share}",
        "redpajama_letters": f"letters_per_token >= {min_letters_per_token}",
    }
    return [
        {"code_heuristics": {}},
        *({"where": expression, "name": name} for name, expression in rules.items() if expression),
    ]
