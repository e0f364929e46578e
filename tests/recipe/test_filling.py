"""`mix.shards.fim` and `mix.write`: what a recipe may say, and where its faults are."""

import json
import re
import textwrap

import pytest
from test_phases import START

FILL = "shards: {fim: {rate: 0.5, only: [web]}}\n"


@pytest.fixture
def faults(report):
    """`line: reason` of each fault of a recipe whose `mix` goes on with this text."""

    def found(text, start=START):
        said = report("", sources=start + textwrap.indent(textwrap.dedent(text), "  "))
        return [f"{line}: {reason}" for line, reason in re.findall(r"recipe\.yaml:(\d+):\d+: (.*)", said)]

    return found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("shards: {fim: {only: [wed]}}", "6: unknown domain `wed`"),
        ("shards: {fim: {only: []}}", "at least 1 item"),
        ("shards: {fim: {rate: 1.5}}", "less than or equal to 1"),
        ("shards: {fim: {rates: 0.5}}", "unknown key `rates`"),
        ("write: parquet", "`write`"),
    ],
)
def test_a_fault_is_named_where_it_stands(faults, text, reason):
    assert any(reason in one for one in faults(text))


def test_a_vocabulary_without_room_for_the_tokens_is_refused(faults):
    start = START.replace("300", "259")
    assert faults(FILL, start) == ["5: `vocab_size` 259 has no room for the tokens of `fim`"]


def test_a_tokenizer_file_without_the_tokens_is_refused_at_once(faults, make, folder):
    path = folder / "tokenizer.json"
    start = START.replace("{train: {vocab_size: 300}}", "tokenizer.json")
    path.write_text(json.dumps({"added_tokens": [{"content": "<x>"}]}))
    assert faults(FILL, start) == ["5: the tokenizer has no tokens for fill in the middle"]
    names = ("<fim_prefix>", "<fim_middle>", "<fim_suffix>")
    path.write_text(json.dumps({"added_tokens": [{"content": name} for name in names]}))
    assert make("", sources=start + "  " + FILL).mix.shards.fim.only == ["web"]
