"""What source code is judged by means what a Python twin says; RedPajama's rules are expressions over it."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.core.sql import columns_of
from corpuskit.steps.code_heuristics import COLUMNS, code_heuristics, redpajama_code
from tests.steps.step_runs import build


def twin(text):
    """The definition of every column, in plain Python."""
    if text is None:
        return dict.fromkeys(COLUMNS)
    pieces = text.split("\n")
    lines = pieces if pieces[-1] else pieces[:-1]
    tokens = re.findall(r"\w+|[^\w\s]+", text)
    return {
        "longest_line": max(map(len, lines), default=0),
        "mean_line_length": sum(map(len, lines)) / len(lines) if lines else None,
        "alphanumeric_share": sum(c.isalnum() for c in text) / len(text) if text else None,
        "letters_per_token": sum(c.isalpha() for c in text) / len(tokens) if tokens else None,
    }


def agree(column):
    found = pa.table(code_heuristics(pa.record_batch({"text": column}))).to_pylist()
    assert found == [twin(text) for text in column.to_pylist()]


PIECES = [
    "a",
    "x1",
    "_",
    "__init__",
    "é",
    "日本",
    "\U0001d4b3",
    "٣",
    "²",
    "Ⅷ",
    "\n",
    "\n\n",
    "\r\n",
    " ",
    "\t",
    "\x1c",
    "\x85",
]
PIECES += ["(", "):", "{}", "=>", "…", "\u3000", "\u0301"]
TEXTS = st.one_of(st.none(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.text(max_size=50))


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=6), st.sampled_from([pa.string(), pa.large_string()]), st.integers(0, 3))
def test_columns_are_those_of_the_twin_on_any_text(texts, kind, start):
    agree(pa.array(texts, kind)[start:])


def test_the_preset_reads_columns_that_there_are_and_needs_no_path_without_extensions():
    read = {name for entry in redpajama_code() if "where" in entry for name in columns_of(entry["where"])}
    assert read == {*COLUMNS, "path"}
    assert [entry for entry in redpajama_code(extensions=[]) if "path" in entry.get("where", "")] == []


def test_files_are_dropped_by_the_rule_that_they_break(tmp_path):
    good = "def area(width, height):\n    return width * height\n"
    files = {
        "good.py": good,
        "Makefile": "build: clean compile\n\tinstall everything\n",
        "notes.txt": good,
        "long.py": "total = " + " + ".join(["value"] * 200) + "\n",
        "wide.py": ("number = first + second + third + fourth + fifth + sixth " * 2 + "\n") * 3,
        "signs.py": "a = ((([[[{{{...}}}]]])))  # -------------------------------------\n",
        "digits.py": "1 22 333 4 5 a\n" * 5,
    }
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "files.jsonl").write_text(
        "".join(json.dumps({"text": text, "path": f"src/{name}"}) + "\n" for name, text in files.items())
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f'sources:\n  code: {{read: jsonl, path: "{tmp_path}/raw/*.jsonl", columns: {{path: string}}}}\n'
        "steps: [{redpajama_code: {}}]\nkeep_dropped: true\n"
    )
    assert build(path) == 0

    def read(folder):
        tables = [
            pq.read_table(one, partitioning=None) for one in sorted((tmp_path / "root" / folder).rglob("*.parquet"))
        ]
        return pa.concat_tables(tables, promote_options="default").to_pylist()

    assert {row["path"] for row in read("corpus")} == {"src/good.py", "src/Makefile"}
    assert {row["path"].removeprefix("src/"): row["rule"].split(": ")[-1] for row in read("dropped")} == {
        "notes.txt": "redpajama_extension",
        "long.py": "redpajama_long_line",
        "wide.py": "redpajama_long_lines",
        "signs.py": "redpajama_alphanumeric",
        "digits.py": "redpajama_letters",
    }
