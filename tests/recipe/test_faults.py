"""Every fault of a recipe is reported at once, each with its place, the reason and the nearest valid name."""

import re
from pathlib import Path

import pytest

from corpuskit.errors import UsageError
from corpuskit.recipe import RecipeError, load


def places(report: str) -> list[str]:
    """`line:column: reason` of each fault, in order."""
    return [match[1] for match in re.finditer(r"^\S*(?:recipe\.yaml|--set):(\d+:\d+: .*)$", report, re.MULTILINE)]


def test_all_faults_are_reported_at_once_in_the_order_of_the_file(report):
    found = report(
        """\
        memroy: 4GiB
        batch_bytes: lots
        steps:
          - ./steps.py:score: {tresh: 0.2, threshold: 1.5, level: high}
          - where: score >
          - sample: {}
        mix: {tokenizer: {train: {}}, weights: {wbe: 1}, tokens: -4}
        train: {model: 30M, tokens: 2M}
        expect: ["docs('web') >"]
        """
    )
    assert [place.split(": ")[0] for place in places(found)] == [
        "4:1", "5:14", "7:24", "7:47", "7:59", "8:12", "9:5", "10:41", "10:58", "11:16", "12:10",
    ]  # fmt: skip
    assert found.rstrip().splitlines()[-1].startswith("  11 faults; fix them, then: corpuskit check ")


def test_a_block_shows_the_line_with_a_caret_under_the_span_and_the_nearest_name(report):
    found = report("steps:\n  - ./steps.py:score: {treshold: 0.2}\n")
    assert "recipe.yaml:5:24: unknown key `treshold`\n" in found
    assert "\n 5 |   - ./steps.py:score: {treshold: 0.2}\n   |                        ^^^^^^^^ did you mean" in found
    assert "`threshold`?" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memory: 4G", "`memory` should be bytes"),
        ("memory: 100MiB", "`memory` should be greater than or equal to 536870912, not `100MiB`"),
        ("name: a/b", "`name` is not a name"),
        ("name: 7", "`name` should be text, not `7`"),
        ("keep_dropped: maybe", "`keep_dropped` should be true or false"),
        ("steps: {where: x}", "`steps` should be a list, not a table"),
        ("steps: [clean_chars]", "a step is a table with one reference"),
        ("steps: [{name: x}]", "a step needs a reference"),
        ("steps: [{minhsah: {}}]", "did you mean `minhash`?"),
        ("steps: [{jsonl: {}}]", "`jsonl` is a source, not a signal"),
        ("steps: [{where: [a, b]}]", "`where` takes a table of parameters, not a list"),
        ("steps: [{where: text = '', only: [bokos]}]", "did you mean `books`?"),
        ("steps: [{where: text = '', only: []}]", "`only` names no domain"),
        ("steps: [{where: text = '', nmae: x}]", "did you mean `name`?"),
        ("steps: [{where: text = '', name: [x]}]", "`name` should be text of one line, not a list"),
        ("steps:\n  - minhash:\n    threshold: 0.9", "indent it below `minhash:`"),
        ("steps: [{minhash: {threshold: 1.5}}]", "`threshold` should be less than or equal to 1, not `1.5`"),
        ("steps: [{minhash: {bands: 20}}]", "`bands` and `rows` are given together"),
        ("steps: [{minhash: {shingle: {unit: wrod}}}]", "`unit` should be one of `char`, `word`, not `wrod`"),
        ("steps: [{minhash: {keep: [web, bokos]}}]", "did you mean `books`?"),
        ("steps: [{exact: {keep: [web, bokos]}}]", "did you mean `books`?"),
        ("steps: [{exact: {keep: [web, web]}}]", "`keep`: named twice: web"),
        ("steps: [{exact: {}, only: [web]}]", "`exact` works on the whole corpus"),
        ("steps: [{exact: {}}, {minhash: {}}, {exact: {}}]", "a second `exact`"),
        ("steps: [{exact: {threshold: 0.9}}]", "unknown key `threshold`"),
        ("steps: [{minhash: {hash: datasketsh}}]", "did you mean `datasketch`?"),
        ("steps: [{minhash: {preset: finweb}}]", "did you mean `fineweb`?"),
        ("steps: [{minhash: {recall: 0.9, bands: 9, rows: 13}}]", "leave out `recall`, or both of the others"),
        ("steps: [{minhash: {}, only: [web]}]", "`minhash` works on the whole corpus"),
        ("steps: [{minhash: {}}, {minhash: {threshold: 0.9}}]", "a second `minhash`"),
        ("steps: [{./steps.py:named: {as: x}}]", "`./steps.py:named` needs the key `model`"),
        ("steps: [{./steps.py:named: {model: modl.arpa}}]", "did you mean `model.arpa`?"),
        ("steps: [{./steps.py:shrot: {}}]", "did you mean `short`?"),
        ("steps: [{./nope.py:x: {}}]", "there is no file"),
        ("steps: [{./steps.py:not_a_step: {}}]", "is not a step"),
        ("steps: [{./steps.py:endless: {}}]", "the preset `endless` contains itself"),
        ("steps: [{./steps.py:text: {}}]", "the preset `text` gives a str, not a list of steps"),
        ("steps: [{./steps.py:broken: {}}]", "RuntimeError: out of luck"),
        ("steps: [{./steps.py:short: {window: {unit: chars}}}]", "did you mean `char`?"),
        ("steps: [{./steps.py:short: {window: {sise: 3}}}]", "did you mean `size`?"),
        ("steps: [{where: text = ''}, {where: text = ''}]", "two steps have the name `text = ''`"),
        ("steps: [{hf: {}}]", "`hf` is not in this version yet"),
        ("train: {model: 20M, tokens: 2M}", "`train` needs a `mix`"),
        ("mix: {}", "`mix` needs the key `tokenizer`"),
        ("mix: {tokenizer: {tarin: {}}}", "did you mean `train`?"),
        ("mix: {tokenizer: [a]}", "`tokenizer` should be a table of keys and values or be text, not a list"),
        ("mix: {tokenizer: ./tok.json}", "there is no tokenizer"),
        ("mix: {tokenizer: two words}", "no name on the hub"),
        ("mix: {tokenizer: {train: {}}, weights: slimpajama-dc-9}", "did you mean `slimpajama-dc-"),
        ("mix: {tokenizer: {train: {}}, weights: {web: 0.5, wbe: 0.5}}", "unknown domain `wbe`"),
        ("mix: {tokenizer: {train: {}}, weights: {web: true}}", "should be a number, not true"),
        ("mix: {tokenizer: {train: {}}, weights: {method: temprature}}", "did you mean `temperature`?"),
        ("mix: {tokenizer: {train: {}}, weights: {method: temperature, T: 0}}", "`T` should be greater than or equal"),
        ("mix: {tokenizer: {train: {}}, weights: {method: temperature, K: 5}}", "unknown key `K`"),
        ("mix: {tokenizer: {train: {}}, weights: {method: unimax}}", "`unimax` depend on `mix.tokens`, which is `max`"),
        ("mix: {tokenizer: {train: {}}, weights: unimax}", "give a number, such as `tokens: 10B`"),
        ("mix: {tokenizer: {train: {}}, weights: {method: ./mine.py:f}}", "there is no file"),
        ("mix: {tokenizer: {train: {}}, write: plans}", "did you mean `plan`?"),
        ("mix: {tokenizer: {train: {}}, phases: []}", "`phases`: List should have at least 1 item"),
        ("mix: {tokenizer: {train: {}}, tokens: most}", "not `most`"),
        ("mix: {tokenizer: {train: {}}, shards: {packing: bestfit}}", "did you mean `best_fit`?"),
        ("mix: {tokenizer: {train: {}}}\ntrain: {model: 30M, tokens: 2M}", "did you mean `60M`?"),
        ("mix: {tokenizer: {train: {}}}\ntrain: {model: 20M, tokens: 2M, epochs: 3}", "unknown key `epochs`"),
        ("expect: [3]", "item 1 of `expect` should be text, not `3`"),
        ("expect: [docs('bokos') > 1]", "did you mean `books`?"),
        ("expect: [drop_rate('x') < 1]", "unknown rule `x`"),
    ],
)
def test_a_fault_says_what_is_wrong_and_what_would_be_right(report, text, expected):
    found = report(text + "\n")
    assert expected in found, found


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("{train_on: web, ordre: 3}", "unknown key `ordre`"),
        ("{train_n: web}", "unknown key `train_n`"),
        ("{checkpnt: x}", "unknown key `checkpnt`"),
        ("{train_on: web, prune: [2, 1]}", "do not fall"),
    ],
)
def test_where_several_tables_may_stand_the_faults_are_of_the_one_that_is_meant(report, table, expected):
    (found,) = places(report(f"steps:\n  - perplexity: {{model: {table}}}\n"))
    assert expected in found


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ("name: x\n", "the recipe needs the key `sources`"),
        ("sources: {}\n", "`sources`"),
        ("sources: {web: raw.gz}\n", "the source `web` should be a table"),
        ("sources: {web: {read: jsonl}}\n", "the source `web` needs the key `path`"),
        ("sources: {web: {read: jsnl, path: x}}\n", "did you mean `jsonl`?"),
        ("sources: {web: {read: csv2, path: x}}\n", "unknown reader `csv2`"),
        ("sources: {web: {read: hf, path: x}}\n", "`hf` is not in this version yet"),
        ("sources: {web: {read: clean_chars, path: x}}\n", "`clean_chars` is a signal, not a source"),
        ("sources: {web: {read: jsonl, path: []}}\n", "`path`"),
        ("sources: {web: {read: jsonl, path: [1]}}\n", "should be text"),
        ("sources: {web: {read: jsonl, pth: x}}\n", "did you mean `path`?"),
        ("sources: {web: {read: jsonl, path: x, on_error: skip}}\n", "should be one of `fail`, `drop`, not `skip`"),
        ("sources: {web: {read: jsonl, path: x, domain: a b}}\n", "`domain` is not a name"),
        ("sources: {a/b: {read: jsonl, path: x}}\n", "is not a name"),
        ("sources: {web: {read: './steps.py:lines', path: x, feild: t}}\n", "did you mean `field`?"),
        ("sources: {web: {read: './steps.py:lines', path: x, field: [t]}}\n", "`field` should be text, not a list"),
    ],
)
def test_a_fault_of_a_source_is_found(report, sources, expected):
    found = report(sources=sources)
    assert expected in found, found


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("mix: [1,\n  2", "5:4", "not YAML"),
        ("mix:\n\ttokens: 3\n", "5:1", "a tab cannot indent YAML"),
        ("mix: {tokens: 3, tokens: 4}\n", "4:18", "the key `tokens` stands twice"),
        ("mix: &a [*a]\n", "4:6", "an alias that contains itself"),
        ("mix: *b\n", "4:6", "not YAML: found undefined alias"),
        ("mix: !!python/name:os.system x\n", "4:6", "the tag"),
        ("---\nmix: x\n", "4:1", "a second one begins here"),
        ("? [a]\n: b\n", "4:3", "a key is a plain name"),
        ("salt: " + "9" * 5000 + "\n", "4:7", "is not a int"),
    ],
)
def test_broken_yaml_is_pointed_at(report, text, place, expected):
    found = report(text)
    assert f"recipe.yaml:{place}: " in found
    assert expected in found


def test_deep_nesting_and_expanding_aliases_end_with_a_report(report):
    assert "nested too deeply" in report("mix: " + "[" * 5000)
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for here, below in zip("bcdef", "abcde", strict=True):
        bomb += f"{here}: &{here} [{', '.join([f'*{below}'] * 10)}]\n"
    assert "more than 100,000 values" in report(bomb)


def test_an_unset_variable_is_named_once_and_hides_what_follows_from_it(report):
    found = report("name: ${NOPE}/x\nsteps: [{./steps.py:named: {model: '${NOPE}/m.arpa'}}]\n")
    assert found.count("the environment variable `NOPE` is not set") == 2
    assert "is not a name" not in found
    assert "there is no file" not in found


def test_a_typo_is_not_reported_a_second_time_as_a_missing_key(report):
    found = report(sources="sources: {web: {raed: jsonl, path: x}}\n")
    assert "unknown key `raed`" in found
    assert places(report("mix: {tokeniser: x}\n")) == ["4:7: unknown key `tokeniser`"]


def test_a_step_that_cannot_be_read_does_not_make_its_columns_unknown(report):
    found = report("steps: [{./steps.py:score: {lvel: 3}}, {where: score > 1}]\nexpect: [drop_rate('x') < 1]\n")
    assert len(places(found)) == 1


def test_a_users_file_that_is_not_python_is_a_fault_with_its_line(report, folder):
    (folder / "bad.py").write_text("x = 1\ndef f(:\n")
    assert "`./bad.py:f` cannot be read, line 2" in report("steps: [{./bad.py:f: {}}]\n")
    (folder / "raises.py").write_text("import no_such_module_at_all\n")
    assert "ModuleNotFoundError" in report("steps: [{./raises.py:f: {}}]\n")


def test_a_barrier_of_a_users_own_is_refused_with_its_line_and_what_to_write_instead(report, folder):
    (folder / "own.py").write_text(
        "from corpuskit import step\nfrom corpuskit.steps.exact import exact\n\n"
        "@step.barrier()\ndef seen(*, tokens: int = 1, seed: int = 0, dedup_train: bool = False):\n    return {}\n"
    )
    found = report("steps:\n  - ./own.py:seen: {}\n")
    reason = "`seen` cannot be a barrier: the plan knows how to run corpuskit's own, and no others"
    assert places(found) == [f"5:5: {folder / 'own.py'}: {reason}"]
    assert "@seen.summarize and @seen.merge" in found
    (folder / "own.py").write_text("from corpuskit.steps.exact import exact\n")
    found = report("steps:\n  - ./own.py:exact: {}\n")
    assert places(found) == ["5:5: `./own.py:exact` is corpuskit's own `exact`"]


def test_a_missing_recipe_names_the_nearest_file(tmp_path: Path):
    (tmp_path / "slimpajama.yaml").touch()
    with pytest.raises(RecipeError, match=r"slimpajma.yaml: cannot be read: No such file(.|\n)*slimpajama.yaml`\?"):
        load(tmp_path / "slimpajma.yaml")
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_recipe_that_is_not_text_or_no_table_is_refused(tmp_path: Path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(RecipeError, match="not UTF-8: byte 6 is 0xff"):
        load(path)
    for text, reason in (("", "the recipe is empty"), ("- a\n", "not a list"), ("a\x00b", "not YAML")):
        path.write_text(text)
        with pytest.raises(RecipeError, match=reason):
            load(path)


def test_the_error_has_the_exit_code_of_a_wrong_recipe_and_survives_pickling(report, make):
    import pickle

    with pytest.raises(UsageError) as caught:
        make("nope: 1\n")
    assert caught.value.exit_code == 2
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
