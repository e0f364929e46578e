"""The recipe reference, from the models and registered steps: `python -m corpuskit.recipe.reference > docs/recipe.md`.

Everything in it is what `check` validates against; prose about how to use it stands in the other pages.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import annotated_types
import pydantic
from pydantic.fields import FieldInfo

from corpuskit.core import registry
from corpuskit.core.identity import File, Folder
from corpuskit.core.numbers import Bytes, Seconds
from corpuskit.core.settings import Keys
from corpuskit.core.step import Kind, Step
from corpuskit.index.settings import Index
from corpuskit.loops.settings import Train
from corpuskit.mix import methods
from corpuskit.recipe.expect import FUNCTIONS
from corpuskit.recipe.models import Settings, SourceKeys
from corpuskit.recipe.validate import models_in
from corpuskit.shards.settings import Fim, Mix, Phase, Shards, Swarm, TokenizerTraining
from corpuskit.sources.schemas import SCHEMAS

_HEAD = """\
# Recipe reference

Made by `python -m corpuskit.recipe.reference > docs/recipe.md` from what `corpuskit check` validates against.

A recipe is one YAML file (YAML 1.2: `no` and `on` are text). `${NAME}` in a text is an environment variable. Relative
paths start at the recipe's folder. Whole numbers may be written `500k`, `2M`, `1.5B`, `1T`, and bytes `512MiB`, `4GiB`,
`2GB`. `corpuskit run RECIPE --set key.sub=value` changes a value, `--set key=@FILE` takes it from a YAML file, in which
relative paths start at that file's folder; an item of a list is named by its number from 0, a step also by its name:
`--set steps.minhash.threshold=0.9`. What a run makes goes to `runs/NAME` in the folder in which the command was given,
or to `--root`.
"""

_STEPS = """\
## `steps`

A list, from top to bottom. An item is a table of one reference and its parameters: `- minhash: {threshold: 0.8}`. One
value in place of the table is given to the parameter that the step needs: `- where: words >= 50`. A reference is a name
below, `./file.py:function`, or `datatrove:Class` for any filter of datatrove. Beside it an item may have

- `name`, unique; default: the SQL text of a `where`, else the step's name. A preset's rules get it as a prefix.
- `only`: a list of domains; default: all. Not for `exact`, `minhash` and `holdout`.

A recipe has at most one `exact`, one `minhash` and one `holdout`, and any number of `lines` and `substrings`. With a
`mix`, `holdout: {}` is added at the end unless the recipe has a `holdout` or says `- holdout: none`. A `where` may read
`doc`, `text`, `domain`, `meta`, the columns of the reader, and those of the signals above it.
"""

_SCHEMAS = """\
### Schemas of `jsonl` and `parquet`

`schema: NAME` reads the records of another tool or of a known corpus: it says where the text is and which fields become
columns. With it JSON Lines and Parquet of one corpus give the same documents. A field that a record lacks is null; a
record without the text is unreadable, as ever. A text column takes a value of another type as its JSON. Every other
field goes to `meta`; what the schema's table of metadata holds stands there without that table, which may also be
written as text, in JSON or as Python writes a dict. `text` and `columns` beside a schema go before what it says:

    sources:
      web:  {read: parquet, path: "hf://datasets/HuggingFaceFW/fineweb/sample/10BT/*", schema: fineweb}
      mine: {read: jsonl, path: dolma/documents, schema: dolma, columns: {license: string from metadata.license}}
"""

_FOLDERS = """\
`path` may be the folder of a data set: what `datasets` wrote (`save_to_disk`, with all its splits, or its cache), a
download from the hub, or `hf://datasets/USER/NAME`. Both readers pass over what stands beside the data, one record each
that is counted as `read: file about the data set` or the like: the card, license and git's files, locks, what the hub's
client keeps; `parquet` also the JSON files of `datasets`, and its `cache-*.arrow`, which hold results of `map` and
`filter` (the same documents again). A folder with data in several formats needs a pattern for each:
`hf://datasets/USER/NAME/**/*.parquet`. Private and gated data sets need the token of the hub's client, see
`hf auth login`. Reading from the hub was run through its client against a local server that speaks its protocol, not
against the hub itself.
"""

_METHODS = """\
### `mix.weights`

A preset (`slimpajama-dc-1` to `slimpajama-dc-7`), a table `{domain: share}`, or a method with its parameters:
`{method: temperature, T: 2}`; one that needs none may stand by its name alone. A preset or table is drawn as it stands,
or refused where it asks for more epochs than `max_epochs`. A method is a name below or `./file.py:function`, see
`help(corpuskit.mix.methods)`; sizes are tokens.
"""

_KINDS: Mapping[Kind, str] = {
    "edit": "Edits change the text",
    "signal": "Signals add columns",
    "filter": "Filters drop documents",
    "preset": "Presets stand for several steps",
    "barrier": "Steps on the whole corpus",
}


def reference() -> str:
    """The whole reference as Markdown."""
    parts = [_HEAD, "## Keys\n", _keys(Settings)]
    parts += ["## `sources`\n", f"{_first(SourceKeys.__doc__)}\n", _keys(SourceKeys)]
    parts += [_step(found, "###") for found in registry.builtin(["source"]).values()]
    parts += [_SCHEMAS, _schemas(), _FOLDERS, _STEPS]
    for kind, title in _KINDS.items():
        parts.append(f"### {title}\n")
        parts += [_step(found, "####") for found in registry.builtin([kind]).values()]
    sections: dict[str, type[Keys]] = {
        "index": Index,
        "mix": Mix,
        "mix.tokenizer.train": TokenizerTraining,
        "mix.shards": Shards,
        "mix.shards.fim": Fim,
        "mix.phases": Phase,
        "mix.swarm": Swarm,
        "train": Train,
    }
    for name, model in sections.items():
        parts += [f"## `{name}`\n", f"{_first(model.__doc__)}\n", _keys(model)]
        if model is Mix:
            parts.append(_METHODS)
            parts += [_step(found, "####") for found in methods.builtin().values()]
    parts.append("## `expect`\n")
    parts.append("Comparisons of numbers, `+ - * /` and these functions, joined by `and`, `or`, `not`:\n")
    rows = [f"| `{name}('NAME')` | {what} |" for name, what in FUNCTIONS.items()]
    parts.append("\n".join(["| function | value |", "| --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


def _schemas() -> str:
    rows = []
    for name, schema in sorted(SCHEMAS.items()):
        columns = []
        for column, (kind, *places) in schema.columns.items():
            note = "" if kind == "string" else f" ({kind})"
            columns.append(f"`{column}`{note}" + ("" if places == [column] else f": {' or '.join(places)}"))
        table = f"`{schema.table}`" if schema.table else "none"
        rows.append(f"| `{name}` | {schema.about} | `{schema.text}` | {', '.join(columns)} | {table} |")
    head = "| schema | records of | text | columns, and their fields if named otherwise | table |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *rows]) + "\n"


def _keys(model: type[Keys]) -> str:
    rows = []
    for name, info in model.model_fields.items():
        if info.description == "Not yet.":
            continue
        default = "required" if info.is_required() else _value(info.get_default())
        if any(mark in info.metadata for mark in _BYTES):
            default = f"`{_size(info.get_default())}`"
        rows.append(f"| `{info.alias or name}` | {_field_type(info)} | {default} | {_cell(info.description or '')} |")
    return "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _field_type(info: FieldInfo) -> str:
    """A field's type; pydantic keeps the outer `Annotated` apart."""
    return _type(Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation)


def _step(found: Step, level: str) -> str:
    lines = [f"{level} `{found.name}`\n", f"{_first(found.__doc__)}\n", *_list(found.__doc__)]
    hints = inspect.get_annotations(found.function, eval_str=True)
    meanings = _arguments(found.__doc__)
    rows = []
    for name, parameter in found.parameters.items():
        if _refused(hints.get(name)):
            continue
        default = "required" if parameter.default is parameter.empty else _value(parameter.default)
        rows.append(f"| `{name.rstrip('_')}` | {_type(hints.get(name))} | {default} | {meanings.get(name, '')} |")
    if rows:
        lines += ["| parameter | type | default | meaning |", "| --- | --- | --- | --- |", *rows, ""]
    columns = _columns(found)
    if columns:
        lines.append(f"Columns: {columns}.\n")
    return "\n".join(lines)


def _columns(found: Step) -> str:
    if callable(found.columns):
        defaults = {name: parameter.default for name, parameter in found.parameters.items()}
        columns = found.columns(**defaults)
        note = ", at the default parameters"
    else:
        columns, note = found.columns, ""
    return ", ".join(f"`{name}` ({kind})" for name, kind in columns.items()) + note if columns else ""


def _refused(annotation: Any) -> bool:
    """Whether a parameter has no value but its default: it is there to be refused with a reason."""
    return typing.get_origin(annotation) is Annotated and typing.get_args(annotation)[0] in (None, types.NoneType)


def _first(doc: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(inspect.cleandoc(doc or "").split("\n\n", 1)[0].split())


def _list(doc: str | None) -> list[str]:
    """The paragraphs of a docstring that are lists, as they stand."""
    return [f"{part}\n" for part in inspect.cleandoc(doc or "").split("\n\n")[1:] if part.startswith("- ")]


def _arguments(doc: str | None) -> dict[str, str]:
    """What a docstring's `Args:` says of each parameter."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)*)", inspect.cleandoc(doc or ""), re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in section[1].splitlines() if section else []:
        start = re.fullmatch(r" {4}(\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return {name: _cell(text) for name, text in found.items()}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


_BYTES, _SECONDS = typing.get_args(Bytes)[1:], typing.get_args(Seconds)[1:]
"""What marks a number in a model as bytes, and as seconds."""

_PLAIN = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Any: "anything",
    types.NoneType: "nothing",
    None: "nothing",
    inspect.Parameter.empty: "anything",
}


def _type(annotation: Any) -> str:
    """A type as text."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        amount = _size if any(mark in arguments for mark in _BYTES) else _amount
        time = any(mark in arguments for mark in _SECONDS)
        inner = "bytes" if amount is _size else "time, such as `90s` or `2h`" if time else _type(arguments[0])
        return ", ".join([inner, *(text for item in arguments[1:] for text in _bounds(item, amount))])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(item) for item in arguments if item is not types.NoneType))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, File):
        return "path of a file"
    if isinstance(annotation, type) and issubclass(annotation, Folder):
        return "path of a folder, or URL" if annotation is Folder else "path of a folder"
    if isinstance(annotation, type) and issubclass(annotation, Keys):
        return "table, see below"
    if models_in(annotation):
        return f"table: {'; '.join(_inner(annotation))}"
    return _PLAIN.get(annotation, str(getattr(annotation, "__name__", annotation)))


def _inner(model: type[pydantic.BaseModel]) -> list[str]:
    shown = []
    for name, info in model.model_fields.items():
        default = "" if info.is_required() else f" = {_value(info.get_default())}"
        shown.append(f"`{info.alias or name}`: {_field_type(info)}{default}")
    return shown


def _bounds(item: Any, amount: Callable[[Any], str]) -> list[str]:
    if isinstance(item, FieldInfo):
        return [text for inner in item.metadata for text in _bounds(inner, amount)]
    if isinstance(item, annotated_types.Ge):
        return [f"at least {amount(item.ge)}"]
    if isinstance(item, annotated_types.Gt):
        return [f"above {amount(item.gt)}"]
    if isinstance(item, annotated_types.Le):
        return [f"at most {amount(item.le)}"]
    if isinstance(item, annotated_types.Lt):
        return [f"below {amount(item.lt)}"]
    return []


def _size(value: Any) -> str:
    """Bytes as a recipe would write them."""
    for power, unit in ((30, "GiB"), (20, "MiB")):
        if value % (1 << power) == 0:
            return f"{value >> power}{unit}"
    return str(value)


def _amount(value: Any) -> str:
    if isinstance(value, int) and value >= 1 << 32 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _value(value: Any) -> str:
    """A default as a recipe would write it."""
    if isinstance(value, pydantic.BaseModel):
        return "its defaults"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | dict | tuple):
        return "none" if not value else f"`{value}`"
    return f"`{_amount(value) if isinstance(value, float) else value}`"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201
