"""The verbs that begin: init, schema, completion."""

from __future__ import annotations

import argparse
import json
import re
from importlib.resources import files
from importlib.resources.abc import Traversable

from corpuskit.cli.options import answer
from corpuskit.errors import UsageError, did_you_mean

SCHEMA = "recipe.schema.json"
"""Beside a new recipe: editors complete and check it by this file."""

STARTER = "starter"


def init(options: argparse.Namespace) -> None:
    """Write a recipe to start from, the files that it names, and the schema by which an editor checks it."""
    name, *rest = options.template
    text, beside = _template(name, rest)
    target = options.directory / "recipe.yaml"
    wanted = {target: text, options.directory / SCHEMA: _schema()} | {
        options.directory / one.name: one.read_text(encoding="utf-8") for one in beside
    }
    there = next((path for path in wanted if path.exists()), None)
    if there is not None:
        raise UsageError(f"{there} is there already", "name another folder: corpuskit init DIR")
    options.directory.mkdir(parents=True, exist_ok=True)
    for path, content in wanted.items():
        path.write_text(content, encoding="utf-8")
    needs = sorted(set(re.findall(r"\$\{(\w+)\}", text)) - {"SITE_PACKAGES"})
    first = f"set {', '.join(needs)}" if needs else "set its paths" if name != "quickstart" else "nothing is to be set"
    said = f"wrote {target}; {first}, then: corpuskit check {target}"
    answer(options, said, {"recipe": str(target), "variables": needs})


def templates() -> dict[str, Traversable]:
    """What `--template` takes: the recipes that come with corpuskit, and templates, by name."""
    here = files("corpuskit")
    found = {STARTER: here / "cli" / "recipe_template.yaml"}
    for folder in (here / "recipes", here / "cli" / "templates"):
        found |= {each.name.removesuffix(".yaml"): each for each in folder.iterdir() if each.name.endswith(".yaml")}
    return dict(sorted(found.items()))


def _template(name: str, rest: list[str]) -> tuple[str, list[Traversable]]:
    """The text of a template, with the schema named on top, and the Python files that it refers to."""
    known = templates()
    if name not in known:
        raise UsageError(
            f"--template {name}: there is no such template",
            did_you_mean(name, known) or f"templates: {', '.join(known)}",
        )
    text = known[name].read_text(encoding="utf-8")
    if (name == "language") != (len(rest) == 1):
        here = f"corpuskit init {rest[0]} --template {name}" if len(rest) == 1 else "--template language de"
        raise UsageError(f"--template {' '.join([name, *rest])}: `language`, and no other, takes a code", here)
    if rest:
        if not re.fullmatch("[a-z]{2,3}", rest[0]):
            raise UsageError(f"--template language {rest[0]}: codes are those of fastText's lid.176", "language de")
        text = text.replace("LANGUAGE", rest[0])
    folder = files("corpuskit") / "recipes"
    beside = [folder / file for file in dict.fromkeys(re.findall(r'"?\./([\w]+\.py):', text))]
    return f"# yaml-language-server: $schema={SCHEMA}\n{text}", [one for one in beside if one.is_file()]


def schema(options: argparse.Namespace) -> None:
    """Print the JSON Schema of a recipe."""
    del options
    print(_schema(), end="")


def _schema() -> str:
    from corpuskit.recipe.schema import recipe_schema

    return json.dumps(recipe_schema(), indent=1, default=str) + "\n"


def completion(options: argparse.Namespace) -> None:
    """Print a script that completes verbs and options, for bash, or for zsh after `bashcompinit`."""
    from corpuskit.cli.parser import parsers

    words = {name: " ".join(sorted(made._option_string_actions)) for name, made in parsers().items()}  # noqa: SLF001
    cases = "\n".join(f'    {name}) words="{said}" ;;' for name, said in words.items())
    script = _BASH.replace("VERBS", " ".join(words)).replace("CASES", cases)
    answer(options, script, {"script": script})


_BASH = """\
# eval "$(corpuskit completion)"
_corpuskit() {
  local words="" word="${COMP_WORDS[COMP_CWORD]}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "VERBS" -- "$word"))
    return
  fi
  case "${COMP_WORDS[1]}" in
CASES
  esac
  case "$word" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;;
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _corpuskit corpuskit"""
