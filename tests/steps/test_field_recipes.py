"""The recipes of the field's corpora, run on pages of which some break each recipe's rules."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.steps.step_runs import build

RECIPES = Path(__file__).parents[2] / "recipes"

KINDS = "old small quiet broken famous wooden distant narrow bright heavy simple strange modern gentle empty".split()
THINGS = (
    "bridge boat mill garden letter school river road market engine mountain window ship harbour village forest"
    " library kitchen station tower painting lesson winter storm journey station machine valley island museum"
).split()
ACTS = (
    "followed described crossed forgot repaired painted visited measured remembered avoided reached explained"
    " borrowed questioned admired sold carried"
).split()
PEOPLE = "a teacher,our neighbour,the young engineer,two sailors,my aunt,the whole town,nobody,every farmer".split(",")
WHEN = "in spring,after the war,on Sundays,for many years,with some friends,before noon,by night,to this day".split(",")


def page(seed, sentences=15):
    """A page of English sentences, three on a line, of words drawn by chance."""
    rng = random.Random(seed)

    def thing():
        return f"{rng.choice(KINDS)} {rng.choice(THINGS)}"

    forms = (
        lambda: f"{rng.choice(PEOPLE)} {rng.choice(ACTS)} the {thing()} {rng.choice(WHEN)}",
        lambda: f"the {thing()} of {rng.choice(PEOPLE)} has {rng.choice(ACTS)} a {thing()}",
        lambda: f"{rng.choice(WHEN)} {rng.choice(PEOPLE)} {rng.choice(ACTS)} that {thing()} and another {thing()}",
    )
    said = [f"{text[:1].upper()}{text[1:]}." for text in (rng.choice(forms)() for _ in range(sentences))]
    return "\n".join(" ".join(said[at : at + 3]) for at in range(0, sentences, 3))


GOOD = [page(seed) for seed in range(6)]
MENU = "Home\nProducts\nContact"
GERMAN = "Die alte Brücke über den Fluss wurde im Frühling gesehen, und das ist alles, was wir wissen. " * 8
REPEATED = "\n".join(["The whole village was seen from the old bridge, and that was all."] * 12)
LOREM = page(50) + "\nLorem ipsum dolor sit amet and so on."
NO_MARKS = page(60, 30).replace(".", "")
SHOUTED = page(70, 6) + "\nALL OF THE OLD BRIDGES ARE TO BE SEEN FROM HERE BY THE WHOLE VILLAGE IN THE END"
COUNTED = page(71, 30) + "\n3 likes"

DROPPED = {
    "gopher": {MENU: "gopher_few_words", GERMAN: "english", REPEATED: "gopher_duplicate_line_share"},
    "c4": {MENU: "empty", GERMAN: "english", LOREM: "c4_lorem_ipsum"},
    "refinedweb": {MENU: "gopher_top_2gram_char_share", GERMAN: "english", SHOUTED: "refinedweb_cut_lines"},
    "fineweb": {MENU: "gopher_top_2gram_char_share", LOREM: "c4_lorem_ipsum", NO_MARKS: "fineweb_terminal_lines"},
    "redpajama_v2": {MENU: "redpajama_few_words"},
    "dclm": {MENU: "gopher_few_words", GERMAN: "english", REPEATED: "gopher_duplicate_line_share"},
}
CUT = ("c4", "refinedweb", "fineweb", "dclm")
"""Recipes that cut the line of a counter."""


def read(folder):
    """The columns of a folder of Parquet files."""
    tables = [pq.read_table(path, partitioning=None) for path in sorted(folder.rglob("*.parquet"))]
    return pa.concat_tables(tables, promote_options="default").to_pydict()


@pytest.mark.parametrize("name", DROPPED)
def test_a_recipe_keeps_good_pages_and_drops_others_by_the_rule_that_they_break(name, tmp_path):
    texts = [*GOOD, *DROPPED[name], COUNTED]
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    source = f"sources={{web: {{read: jsonl, path: {tmp_path / 'raw.jsonl'}}}}}"
    words = ("--engine", "inline", "--set", source, "--set", "keep_dropped=true")
    assert build(RECIPES / f"{name}.yaml", *words, root=tmp_path / "root") == 0
    counted = COUNTED.removesuffix("\n3 likes") if name in CUT else COUNTED
    assert sorted(read(tmp_path / "root" / "corpus")["text"]) == sorted([*GOOD, counted])
    dropped = read(tmp_path / "root" / "dropped")
    rules = dict(zip(dropped["text"], dropped["rule"], strict=True))
    assert {text: rules[text].split(": ")[-1] for text in rules if text} == {
        text: rule for text, rule in DROPPED[name].items() if rule != "empty"
    }


def test_moving_a_threshold_of_a_preset_scores_nothing_again(tmp_path):
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*GOOD, REPEATED]))
    source = f"sources={{web: {{read: jsonl, path: {tmp_path / 'raw.jsonl'}}}}}"
    scored = []
    for limit in (0.3, 0.99):
        presets = (
            f"gopher_repetition: {{max_duplicate_line_share: {limit}}}, fineweb: {{max_short_line_share: {limit}}}"
        )
        rules = f"steps=[{presets}]"
        assert build(RECIPES / "gopher.yaml", "--set", source, "--set", rules, root=tmp_path / "root") == 0
        receipts = [json.loads(path.read_text()) for path in sorted((tmp_path / "root").rglob("receipts/*.json"))]
        scored.append([one["facts"]["scored"] for one in receipts if "scored" in one["facts"]])
    first, second = scored
    assert first == [{"repetition": 7, "page_heuristics": 6}]
    assert {"repetition": 0, "page_heuristics": 0} in second
