"""FineWeb2's rules read their thresholds by language from a table; a threshold that moves scores nothing anew."""

import functools
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.cli import main
from corpuskit.core.sql import columns_of
from corpuskit.core.step import registered
from corpuskit.errors import UsageError
from corpuskit.kernels import heuristics
from corpuskit.steps.fineweb2 import fineweb2, language_stop_words
from tests.steps.step_runs import build

RECIPES = Path(__file__).parents[2] / "recipes"
LISTS = {"de": ["und", "der", "für"], "fr": ["le", "l'", "à"], "ru": ["и", "в"]}
WORDS = ["und", "der", "Der", "für", "le", "l'", "à", "и", "в", "Haus", "\u3000", "\n", "x" * 40]
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join), st.text(max_size=20)),
        st.sampled_from(["de", "fr", "ru", "is", None]),
    ),
    max_size=8,
)


@settings(max_examples=100)
@given(ROWS, st.integers(0, 2))
def test_stop_words_of_a_documents_language_are_counted_once_each(rows, start):
    columns = [pa.array([row[k] for row in rows], pa.string())[start:] for k in (0, 1)]
    found = language_stop_words(pa.record_batch(dict(zip(("text", "language"), columns, strict=True))), lists=LISTS)
    assert found.to_pylist() == [
        None if text is None or language not in LISTS else len(set(text.split()) & set(LISTS[language]))
        for text, language in rows[start:]
    ]


def test_a_column_of_languages_that_there_is_not_is_said():
    with pytest.raises(UsageError, match="finds no column `lang`"):
        language_stop_words(pa.record_batch({"text": ["a"]}), lists=LISTS, by="lang")


GOOD = """\
xx:
  language_score: 0.5
  dup_line_frac: 0.3
  top_n_grams: [[2, 0.2], [3, 0.18], [4, 0.16]]
  dup_n_grams: [[5, 0.15], [6, 0.14], [7, 0.13], [8, 0.12], [9, 0.11], [10, 0.1]]
  line_punct_thr: 0.1
  new_line_ratio: 0.3
  min_avg_word_length: 2
  max_avg_word_length: 11
  max_non_alpha_words_ratio: 0.8
  stopwords: [a, b]
"""


def test_rules_are_expressions_with_the_thresholds_of_each_language(tmp_path):
    table = tmp_path / "table.yml"
    table.write_text(
        GOOD + GOOD.replace("xx:", "yy:").replace("frac: 0.3", "frac: 0.25").replace("[2, 0.2]", "[2, 0.1]")
    )
    rules = {entry["name"]: entry["where"] for entry in fineweb2(thresholds=table.as_posix()) if "where" in entry}
    assert "WHEN 'yy' THEN 0.25" in rules["fineweb2_duplicate_lines"]
    assert "WHEN 'xx' THEN 0.2" in rules["fineweb2_top_2gram"]
    assert rules["fineweb2_repeated_lines"] == "repeated_line_char_share <= 0.1"
    assert "language" in columns_of(rules["fineweb2_duplicate_lines"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("dup_line_frac: 0.3", "dup_line_fraction: 0.3"), "`xx`: `dup_line_frac`: Field required"),
        (("  stopwords", "  stop_words: []\n  stopwords"), "did you mean `stopwords`"),
        (("0.15]", "many]"), "`dup_n_grams.0.1`: Input should be a valid number"),
        (("[3, 0.18], ", ""), "`top_n_grams` has no share for 3 words"),
        ((GOOD, "- a list"), "is no table of languages"),
        ((GOOD, "a: [b"), "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_at_check(tmp_path, capsys, change, said):
    (tmp_path / "raw.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "table.yml").write_text(GOOD.replace(*change))
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f'sources:\n  web: {{read: jsonl, path: "{tmp_path}/*.jsonl"}}\n'
        "steps:\n  - language: {}\n  - fineweb2: {thresholds: table.yml}\n"
    )
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "recipe.yaml:5" in error
    (tmp_path / "table.yml").write_text(GOOD)
    assert main(["check", str(path)]) == 0


# -- the recipe --------------------------------------------------------------------------------------------------------

KINDS = "alten kleinen stillen berühmten hölzernen fernen engen hellen schweren einfachen fremden neuen leeren".split()
THINGS = "Brücken Häfen Häuser Briefe Schulen Märkte Schiffe Türme Straßen Fenster Gärten Mühlen Wälder Bilder".split()
WHO = "der Fischer,die Lehrerin,ein Gast aus dem Norden,unsere Nachbarin,das ganze Dorf,niemand,jeder Bauer".split(",")
DID = "baute beschrieb verkaufte besuchte vergaß malte fand suchte hörte zeigte liebte zählte kannte".split()
WHEN = "im Frühling,nach dem Krieg,am Sonntag,vor vielen Jahren,mit Freunden,bis in die Nacht,in der Stadt".split(",")


def german(seed, sentences=15):
    """A page of German sentences, three on a line, of words drawn by chance."""
    rng = random.Random(seed)

    def things():
        return f"die {rng.choice(KINDS)} {rng.choice(THINGS)}"

    made = [
        f"{rng.choice(WHEN)} {rng.choice(DID)} {rng.choice(WHO)} {things()} und {things()}." for _ in range(sentences)
    ]
    said = [f"{one[:1].upper()}{one[1:]}" for one in made]
    return "\n".join(" ".join(said[at : at + 3]) for at in range(0, sentences, 3))


GERMAN = GOOD.replace("xx:", "de:").replace("[a, b]", "[der, die, das, und, ein, in, nach, mit]")
GERMAN = GERMAN.replace("line_punct_thr: 0.1", "line_punct_thr: 0").replace(
    "new_line_ratio: 0.3", "new_line_ratio: 0.15"
)
PAGES = [german(seed) for seed in range(6)]
ICELANDIC = "Þetta er síða um gamla brú yfir ána og það er allt sem við vitum um hana í dag. " * 6
_WORDS = german(40, 20).split()
LISTED = "\n".join(" ".join([str(at), *_WORDS[at : at + 4]]) for at in range(0, len(_WORDS), 4))
SHORT = german(50, 3)
DROPPED = {ICELANDIC: "fineweb2_language", LISTED: "fineweb2_line_feeds", SHORT: "fineweb2_few_words"}


def read(folder):
    tables = [pq.read_table(path, partitioning=None) for path in sorted(folder.rglob("*.parquet"))]
    return pa.concat_tables(tables, promote_options="default").to_pydict()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The recipe's run on German pages, and the words of its command."""
    with pytest.MonkeyPatch.context() as monkey:
        yield from run(tmp_path_factory, monkey)


def run(tmp_path_factory, monkey):
    folder = tmp_path_factory.mktemp("fineweb2")
    texts = [*PAGES, *DROPPED]
    (folder / "raw.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "table.yml").write_text(GERMAN)
    source = f"sources={{web: {{read: jsonl, path: {folder / 'raw.jsonl'}}}}}"
    monkey.setenv("LANGUAGES", str(folder / "table.yml"))
    words = ("--engine", "inline", "--set", source, "--set", "keep_dropped=true")
    assert build(RECIPES / "fineweb2.yaml", *words, root=folder / "root") == 0
    yield folder / "root", words


def test_the_recipe_keeps_pages_of_its_languages_and_drops_others_by_the_rule_that_they_break(built):
    root, _ = built
    assert sorted(read(root / "corpus")["text"]) == sorted(PAGES)
    dropped = read(root / "dropped")
    rules = dict(zip(dropped["text"], dropped["rule"], strict=True))
    assert {text: rule.split(": ")[-1] for text, rule in rules.items()} == DROPPED


def test_a_threshold_that_moves_runs_no_scorer_and_the_plan_names_its_rule(built, tmp_path, capsys, monkeypatch):
    root, words = built
    table = tmp_path / "table.yml"
    table.write_text(GERMAN.replace("new_line_ratio: 0.15", "new_line_ratio: 100"))
    moved = (*words, "--set", f"steps.fineweb2.thresholds={table}", "--set", "steps.fineweb2.min_words=20")
    plan = ["plan", str(RECIPES / "fineweb2.yaml"), "--root", str(root), *moved[2:]]
    capsys.readouterr()
    assert main(plan) == 0
    said = capsys.readouterr().out
    assert "fineweb2_line_feeds" in said
    assert "fineweb2_few_words" in said
    assert "fineweb2_letters" not in said
    calls = []
    for name in ("repetition", "page_heuristics", "heuristics", "language", "language_stop_words"):
        found = registered[name]
        monkeypatch.setattr(found, "function", counted(found.function, calls))
    monkeypatch.setattr(heuristics, "count", lambda *_: calls.append(1))
    assert build(RECIPES / "fineweb2.yaml", *moved, root=root) == 0
    assert sum(calls) == 0
    assert set(read(root / "corpus")["text"]) == {*PAGES, LISTED, SHORT}


def counted(function, calls):
    """The function, whose calls add the documents they are given to `calls`."""

    @functools.wraps(function)
    def wrapped(batch, **params):
        calls.append(batch.num_rows)
        return function(batch, **params)

    return wrapped
