"""`diff` says of every document that came, went or changed why it did, and what is different in the recipe."""

import json
from pathlib import Path

import pytest

import corpuskit
from corpuskit.cli import main
from tests.core.builder import recipe


@pytest.fixture(scope="module")
def builds(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("builds")
    made = []
    for name, shortest in (("a", 60), ("b", 881)):
        path = recipe(folder / name, raw, shortest=shortest)
        if name == "b":  # `web` without its last file, and all texts in lower case
            text = path.read_text().replace("/web/*", "/web/0[01]*")
            path.write_text(text.replace("normalize: {unicode: NFC}", "./lower.py:lower: {}"))
            (path.parent / "lower.py").write_text(
                "import pyarrow.compute as pc\nfrom corpuskit import step\n\n\n@step.edit\ndef lower(batch):\n"
                "    at = batch.schema.get_field_index('text')\n"
                "    return batch.set_column(at, 'text', pc.utf8_lower(batch['text']))\n"
            )
        root = path.parent / "root"
        assert main(["run", str(path), "--root", str(root), "--engine", "inline"]) == 0
        made.append(root)
    return made


def test_each_document_of_one_corpus_alone_is_counted_by_what_became_of_it_in_the_other(
    builds: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["diff", *map(str, builds), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    one, two = (
        {row["doc"]: row for row in corpuskit.open_run(root).sql("FROM lineage").to_pylist()} for root in builds
    )
    kept = [{doc for doc, row in rows.items() if row["fate"] == "kept"} for rows in (one, two)]
    expected: dict[tuple[str, str, str], int] = {}
    for doc in kept[0] | kept[1]:
        fates = [rows[doc]["fate"] if doc in rows else "not read" for rows in (one, two)]
        change = "changed" if doc in kept[0] & kept[1] else "went" if doc in kept[0] else "came"
        expected[change, *fates] = expected.get((change, *fates), 0) + 1
    reasons = {(row["change"], row["before"], row["after"]): row for row in found["reasons"]}
    assert {key: row["documents"] for key, row in reasons.items()} == expected
    assert {("changed", "kept", "kept"), ("went", "kept", "too_short"), ("went", "kept", "not read")} <= set(expected)
    assert any(change == "came" for change, *_ in expected)
    example = reasons["went", "kept", "too_short"]["examples"][0]
    assert example["raw"] == f"{one[example['doc']]['relative']}#{one[example['doc']]['record']}"
    for row in found["domains"]:
        of = [{doc for doc in kept[k] if rows[doc]["domain"] == row["domain"]} for k, rows in enumerate((one, two))]
        assert row["kept"] == [len(docs) for docs in of]
        assert (row["came"], row["went"]) == (len(of[1] - of[0]), len(of[0] - of[1]))
        assert row["duplicates"] == [
            sum(each["fate"] in ("exact", "near") and each["domain"] == row["domain"] for each in rows.values())
            for rows in (one, two)
        ]
    assert found["common"] == len(one.keys() & two.keys()) == 200
    assert "too_short.where.expr: clean_chars >= 60 -> clean_chars >= 881" in found["recipe"]
    assert {"without the step normalize", "with the step lower"} <= set(found["recipe"])


def test_the_text_names_reasons_with_examples_and_fits_a_terminal(
    builds: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["diff", *map(str, builds)]) == 0
    said = capsys.readouterr().out
    assert "went: in A, and in B: too_short\n  0" in said
    assert "changed: in both, with another text" in said
    tables = [line for line in said.splitlines() if line.startswith(("documents", "web", "books"))]
    assert max(map(len, tables)) <= 80


def test_a_build_is_the_same_as_itself(builds: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["diff", str(builds[0]), str(builds[0])]) == 0
    said = capsys.readouterr().out
    assert "recipe\n  the same" in said
    assert said.endswith("both have the same documents\n")


def test_a_folder_without_a_run_is_refused(
    builds: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(builds[0]), str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
