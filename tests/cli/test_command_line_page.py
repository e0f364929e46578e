"""The page on the command line is what the program says, and `--json` has the keys that it names."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from corpuskit.cli import main, reference
from tests.core.builder import corpus, recipe

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"


def test_the_page_is_up_to_date() -> None:
    again = "python -m corpuskit.cli.reference > docs/command_line.md"
    assert PAGE.read_text(encoding="utf-8") == reference.render(), f"make it anew: {again}"


def documented() -> dict[str, tuple[set[str], dict[str, set[str]]]]:
    """Keys by verb, and the keys within."""
    found = {}
    for verb, keys in re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        inner = {name: set(words.split(", ")) for name, words in re.findall(r"(\w+) \[([^]]+)\]", keys)}
        outer = re.sub(r" \[[^]]+\]", "", keys).split("; ")[0]
        found[verb] = set(outer.split(", ")), inner
    return found


def test_json_has_the_keys_that_the_page_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, root = recipe(tmp_path, corpus(tmp_path / "raw")), str(tmp_path / "root")

    def said(*words: str) -> Any:
        capsys.readouterr()
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    answers = {
        "run": said("run", str(path), "--root", root, "--engine", "inline"),
        "check": said("check", str(path)),
        "status": said("status", root),
        "stats": said("stats", root),
        "stats --what-if": said("stats", root, "--what-if", "too_short=clean_chars >= 881"),
        "diff": said("diff", root, root),
        "verify": said("verify", root),
        "init": said("init", str(tmp_path / "new")),
    }
    plan = said("plan", str(path), "--root", root)
    page = documented()
    assert page["plan"][0] <= plan.keys()
    for verb, answer in answers.items():
        keys, inner = page[verb]
        assert answer.keys() == keys, verb
        for name, wanted in inner.items():
            for row in answer[name]:
                assert row.keys() == wanted, (verb, name)
