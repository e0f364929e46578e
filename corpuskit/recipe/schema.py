"""The JSON Schema of a recipe, by which editors complete and check it: what `corpuskit schema` prints.

It is laxer than `corpuskit check`, which has the last word: steps and readers of the user's own are let through, and a
number may be written as text (`500k`, `${TOKENS}`).
"""

from __future__ import annotations

import inspect
from typing import Any

import pydantic

from corpuskit.core import registry
from corpuskit.core.step import Step
from corpuskit.recipe.calls import STEP_KINDS
from corpuskit.recipe.models import Settings, SourceKeys


def recipe_schema() -> dict[str, Any]:
    """The schema, as JSON."""
    found = Settings.model_json_schema()
    found |= {"$schema": "http://json-schema.org/draft-07/schema#", "title": "A recipe of corpuskit"}
    properties = found["properties"]
    readers = registry.builtin(["source"])
    source = SourceKeys.model_json_schema()
    source["additionalProperties"] = True
    source["properties"] = {
        **{name: one for step in readers.values() for name, one in _parameters(step).items()},
        **source["properties"],
        "read": {
            "description": "A built-in reader, `./file.py:function` or `datatrove:Class`.",
            "anyOf": [{"enum": list(readers)}, {"type": "string", "pattern": ":"}],
        },
    }
    properties["sources"] |= {"type": "object", "minProperties": 1, "additionalProperties": source}
    steps = {name: _step(step) for name, step in registry.builtin(STEP_KINDS).items()}
    beside = {
        "name": {"type": "string", "description": "Of the rule; unique."},
        "only": {"type": "array", "items": {"type": "string"}, "description": "Domains; default: all."},
    }
    properties["steps"] = {
        "description": properties["steps"].get("description", ""),
        "type": "array",
        "items": {
            "type": "object",
            "properties": steps | beside,
            "patternProperties": {":": {}},
            "additionalProperties": False,
        },
    }
    for made in found["$defs"].values():
        if "weights" in made["properties"]:  # a preset, a table, or a method with parameters of its own
            told = made["properties"]["weights"].get("description", "")
            made["properties"]["weights"] = {"description": told, "type": ["string", "object"]}
    lax: dict[str, Any] = _lax(found)
    for name in ("steps", "expect"):
        lax["properties"][name]["type"] = "array"
    return lax


def _step(step: Step) -> dict[str, Any]:
    """A step: a table of its parameters, or one value for the parameter that it needs."""
    told = (inspect.getdoc(step.function) or "").partition("\n\n")[0]
    return {
        "description": told,
        "anyOf": [{"type": "object", "properties": _parameters(step)}, {"not": {"type": "object"}}],
    }


def _parameters(step: Step) -> dict[str, Any]:
    try:
        made = step.model.model_json_schema()
    except pydantic.errors.PydanticInvalidForJsonSchema:  # a type that JSON Schema has no word for
        return {name.rstrip("_"): {} for name in step.parameters}
    return {name: _inlined(one, made.get("$defs", {})) for name, one in made.get("properties", {}).items()}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema without references to definitions, which stand elsewhere in the whole."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
        return {name: _inlined(value, definitions) for name, value in schema.items()}
    return [_inlined(value, definitions) for value in schema] if isinstance(schema, list) else schema


def _lax(schema: Any) -> Any:
    """Numbers may also be text, and a list of one item that item."""
    if isinstance(schema, dict):
        found = {name: _lax(value) for name, value in schema.items()}
        if found.get("type") in ("integer", "number", "array"):
            found["type"] = [found["type"], "string"]
        return found
    return [_lax(value) for value in schema] if isinstance(schema, list) else schema
