"""The verbs that begin: a template is a recipe that `check` takes, wherever it is written."""

import json
import subprocess
from pathlib import Path

import pytest

from corpuskit.cli import main, starting
from corpuskit.cli.parser import parsers


@pytest.mark.parametrize("words", [["starter"], ["quickstart"], ["slimpajama"], ["code"], ["language", "de"]])
def test_what_init_writes_is_checked_by_the_schema_beside_it(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAW", "/raw")
    assert main(["init", str(tmp_path / "new"), "--template", *words]) == 0
    recipe = tmp_path / "new" / "recipe.yaml"
    assert recipe.read_text().startswith("# yaml-language-server: $schema=recipe.schema.json\n")
    assert json.loads((recipe.parent / "recipe.schema.json").read_text())["properties"]["steps"]
    assert "LANGUAGE" not in recipe.read_text()
    assert main(["check", str(recipe)]) == 0
    assert main(["init", str(tmp_path / "new"), "--template", *words]) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["qickstart"], "did you mean `quickstart`?"),
        (["language"], "takes a code"),
        (["web", "de"], "takes a code"),
        (["web", "mine"], "corpuskit init mine --template web"),
        (["language", "German"], "codes are those of fastText"),
    ],
)
def test_a_template_that_is_none_is_refused_and_nothing_is_written(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "new"), "--template", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_recipes_of_the_repository_are_templates() -> None:
    recipes = {path.stem for path in (Path(__file__).parents[2] / "recipes").glob("*.yaml")}
    assert recipes | {"starter", "code", "language"} == set(starting.templates())


@pytest.mark.parametrize(
    ("line", "expected"),
    [(["pl"], ["plan"]), (["stats", "--wh"], ["--what-if"]), (["run", "recipe.ya"], ["recipe.yaml"])],
)
def test_bash_completes_verbs_options_and_files(
    line: list[str], expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "recipe.yaml").write_text("")
    words = " ".join(f"'{word}'" for word in ["corpuskit", *line])
    asked = f"source ./script; COMP_WORDS=({words}); COMP_CWORD={len(line)}; _corpuskit; echo ${{COMPREPLY[@]}}"
    found = subprocess.run(["bash", "-c", asked], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert found.split() == expected


def test_every_verb_speaks_json() -> None:
    assert all("--json" in made.format_help() for made in parsers().values())
