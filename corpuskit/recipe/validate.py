"""Validation errors of pydantic, said in the recipe's words at the place of the key or value that is wrong."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic_core import ErrorDetails

from corpuskit.core.numbers import parse_count
from corpuskit.errors import did_you_mean
from corpuskit.recipe.faults import Faults
from corpuskit.recipe.tree import Node, shown

T = TypeVar("T")

_WANTED = {
    "bool": "should be true or false",
    "dict": "should be a table of keys and values",
    "float": "should be a number",
    "int": "should be a whole number",
    "list": "should be a list",
    "model": "should be a table of keys and values",
    "string": "should be text",
}


def validated(
    validate: Callable[[Any], T], model: type[pydantic.BaseModel], node: Node, faults: Faults, what: str
) -> T | None:
    """Call `validate` on a node's plain value; its faults go to their places.

    Where a whole number is wanted, `500k`, `2M`, `1.5B` and `1T` are understood.

    Args:
        validate: raises `pydantic.ValidationError`.
        model: whose keys are suggested in place of unknown ones.
        node: the value. faults: to add to.
        what: what lacks a missing key: `` `minhash` ``, or `the recipe`.

    Returns:
        What `validate` gave, or None after a fault.
    """
    value = {} if node.value is None else node.plain()
    while True:
        try:
            return validate(value)
        except pydantic.ValidationError as error:
            details = error.errors(include_url=False)
        counts = [detail for detail in details if detail["type"] in ("int_parsing", "float_parsing", "int_type")]
        replaced = [_replace_count(value, node, detail) for detail in counts]
        if not any(replaced):
            _report(_likeliest(details, model), model, node, faults, what)
            return None


def _replace_count(value: Any, node: Node, detail: ErrorDetails) -> bool:
    """Put the number in place of `500k`; false if that is not what was wrong."""
    _, followed, _ = node.walk(detail["loc"])
    number = parse_count(detail["input"])
    if not followed or not isinstance(number, int) or isinstance(detail["input"], int):
        return False
    for key in followed[:-1]:
        value = value[key]
    if value[followed[-1]] != detail["input"]:
        return False
    value[followed[-1]] = number
    return True


def _likeliest(details: list[ErrorDetails], model: type[pydantic.BaseModel]) -> list[ErrorDetails]:
    """Where a value may be one of several tables, the faults of the one that its keys are most like, and no others."""

    def branch(loc: tuple[Any, ...]) -> tuple[tuple[Any, ...], str] | None:
        """The place of such a value, and the name of the table, which pydantic puts on the way to what is inside."""
        for i in range(1, len(loc)):
            table = _named(loc[i], tables_of(model, loc[:i]))
            if table is not None:
                return loc[:i], table.__name__
        return None

    misses: dict[tuple[Any, ...], dict[Any, int]] = {}
    for detail in details:
        if found := branch(detail["loc"]):
            near = did_you_mean(str(detail["loc"][-1]), keys_of(model, detail["loc"][:-1])) is not None
            wrong = {"missing": 2, "extra_forbidden": 2 - near}.get(detail["type"], 0)
            names = misses.setdefault(found[0], {})
            names[found[1]] = names.get(found[1], 0) + wrong
    best = {place: min(names, key=names.__getitem__) for place, names in misses.items()}
    return [one for one in details if (found := branch(one["loc"])) is None or best[found[0]] == found[1]]


def _report(
    details: list[ErrorDetails], model: type[pydantic.BaseModel], node: Node, faults: Faults, what: str
) -> None:
    places = [tuple(node.walk(detail["loc"])[1]) for detail in details]
    suggested: set[tuple[Any, ...]] = set()
    for detail, place in zip(details, places, strict=True):
        if detail["type"] == "extra_forbidden":
            name = str(detail["loc"][-1])
            valid = keys_of(model, detail["loc"][:-1])
            hint = did_you_mean(name, valid)
            suggested |= {(*place[:-1], key) for key in valid if hint == f"did you mean `{key}`?"}
            holder = node.walk(place[:-1])[0]
            hint = hint or (f"known keys: {', '.join(valid)}" if valid else "it takes no parameters")
            faults.add(holder.keys.get(name, holder.span), f"unknown key `{name}`", hint)
    said: dict[tuple[Any, ...], list[tuple[str, str | None]]] = {}
    for detail, place in zip(details, places, strict=True):
        kind, name = detail["type"], str(detail["loc"][-1]) if detail["loc"] else ""
        if kind == "extra_forbidden":
            continue
        if kind == "missing":
            if (*place, name) not in suggested:
                holder = node.walk(place)[0]
                owner = what if not place else _item(place) if isinstance(place[-1], int) else f"`{place[-1]}`"
                faults.add(holder.owner, f"{owner} needs the key `{name}`")
        elif not any(other[: len(place)] == place and len(other) > len(place) for other in places):
            # a branch of a union that failed further inside says more than those that failed at its door
            said.setdefault(place, []).append(_reason(detail))
    for place, reasons in said.items():
        wrong = node.walk(place)[0]
        name = f"`{place[-1]}`" if place and isinstance(place[-1], str) else _item(place) if place else what
        text = " or ".join(dict.fromkeys(reason for reason, _ in reasons)).replace(" or should", " or")
        not_this = "" if text.startswith("is not") or "`" in text else f", not {shown(wrong)}"
        hint = next((hint for _, hint in reasons if hint), None)
        faults.add(
            wrong.span, f"{name} {text}{not_this}" if text.startswith(("should", "is")) else f"{name}: {text}", hint
        )


def _item(place: Iterable[Any]) -> str:
    *above, last = place
    return f"item {last + 1} of `{above[-1]}`" if above else f"item {last + 1}"


def _reason(detail: ErrorDetails) -> tuple[str, str | None]:
    kind, message = detail["type"], detail["msg"]
    if kind == "literal_error":
        expected = detail["ctx"]["expected"].replace(" or ", ", ").replace("'", "`")
        valid = [word.strip("` ") for word in expected.split(",")]
        given = str(detail["input"])
        near = did_you_mean(given, valid) or did_you_mean(given.lower(), valid) or did_you_mean(given.upper(), valid)
        one_of = "one of " if len(valid) > 1 else ""
        return f"should be {one_of}{', '.join(f'`{word}`' for word in valid)}, not `{given}`", near
    if kind in ("value_error", "assertion_error"):
        return message.partition(", ")[2], None
    if kind == "int_from_float":
        return _WANTED["int"], None
    wanted = _WANTED.get(kind.partition("_")[0])
    if wanted and kind.endswith(("_type", "_parsing")):
        quote = kind == "string_type" and isinstance(detail["input"], int | float)
        return wanted, f'quote it: "{detail["input"]}"' if quote else None
    return message.replace("Input should", "should"), None


def keys_of(model: type[pydantic.BaseModel], location: Iterable[Any]) -> list[str]:
    """Keys that a recipe may write at a location of a model; empty where there is no table."""
    tables = tables_of(model, location)
    return [_alias(name, info) for name, info in tables[0].model_fields.items()] if tables else []


def tables_of(model: type[pydantic.BaseModel], location: Iterable[Any]) -> list[type[pydantic.BaseModel]]:
    """The tables that may stand at a location of a model; one where pydantic names it there."""
    tables = [model]
    for part in location:
        if (named := _named(part, tables)) is not None:
            tables = [named]
        elif tables:
            field = {_alias(name, info): info for name, info in tables[0].model_fields.items()}.get(str(part))
            tables = models_in(field.annotation) if field is not None else tables
    return tables


def _named(part: Any, tables: list[type[pydantic.BaseModel]]) -> type[pydantic.BaseModel] | None:
    """The table that pydantic names so, as `Estimate` or `function-after[check(), Estimate]`."""
    name = re.split(r"\W+", str(part).rstrip("]"))[-1]
    return next((one for one in tables if one.__name__ == name), None)


def _alias(name: str, info: pydantic.fields.FieldInfo) -> str:
    return info.alias or name


def models_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    """Models in an annotation, through unions, lists and `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, Annotated, list, dict):
        return [model for inner in typing.get_args(annotation) for model in models_in(inner)]
    return []
