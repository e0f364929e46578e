"""The list of `steps`: references found, presets expanded, parameters validated, rules named."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pydantic

from corpuskit.core import registry
from corpuskit.core.calls import StepCall
from corpuskit.core.identity import File, Folder
from corpuskit.core.step import Kind, Step
from corpuskit.errors import UsageError, did_you_mean
from corpuskit.mix import methods
from corpuskit.mix.presets import check_budget
from corpuskit.recipe.faults import Faults, Span
from corpuskit.recipe.models import absolute_reference
from corpuskit.recipe.override import ITEM_KEYS
from corpuskit.recipe.tree import Node, planted, shown
from corpuskit.recipe.validate import keys_of, validated

STEP_KINDS: tuple[Kind, ...] = ("signal", "filter", "edit", "preset", "barrier")

DEDUP = frozenset({"exact", "minhash"})
"""Barriers that remove all but one of a cluster of documents, chosen by `keep`."""

REPEATABLE = frozenset({"lines", "substrings"})
"""Barriers that a recipe may have more than once, each for some domains if it says so."""

NOT_YET = frozenset({"csv", "hf"})
"""Steps and readers that a later version has."""


@dataclass(frozen=True)
class Placed:
    """A step with the place of its key, and its parameters as nodes."""

    call: StepCall
    span: Span
    params: Node
    named: bool

    @property
    def rule(self) -> bool:
        """Whether it drops documents under its name."""
        return self.call.step.kind == "filter"


@dataclass(frozen=True)
class _Context:
    """What a preset hands down to its rules."""

    prefix: str = ""
    only: list[str] | None = None
    within: tuple[str, ...] = ()


class StepReader:
    """Reads the items of `steps`.

    `no_holdout` is set by `holdout: none`; `whole` says whether every item could be read, so that what depends on
    all of them can be checked.
    """

    def __init__(self, base: Path, domains: list[str], faults: Faults) -> None:
        self.base, self.domains, self.faults = base, domains, faults
        self.no_holdout = False
        self.whole = True

    def read(self, node: Node, *, mixes: bool) -> list[Placed]:
        """All steps of a recipe, named; `holdout` is added where a recipe `mixes` and does not speak of it."""
        placed: list[Placed] = []
        for item in node.value if isinstance(node.value, list) else []:
            before = len(self.faults)
            placed += self._item(item, _Context())
            self.whole = self.whole and len(self.faults) == before
        silent = not self.no_holdout and not any(one.call.step.name == "holdout" for one in placed)
        if mixes and self.whole and silent:
            placed += self._item(planted({"holdout": {}}, node.owner), _Context())
        self._once(placed)
        return self._named(placed)

    def _item(self, item: Node, context: _Context) -> Iterator[Placed] | list[Placed]:
        reference = self._reference(item)
        if reference is None:
            return []
        span, params = item.keys[reference], item.value[reference]
        if reference == "holdout" and params.value == "none":
            self.no_holdout = True
            return []
        found = find(reference, STEP_KINDS, span, self.base, self.faults)
        name, only = self._name(item), self._only(item, context)
        if found is None:
            return []
        given = self._parameters(found, reference, params)
        values = None if given is None else parameters(found, given, f"`{reference}`", self.base, self.faults)
        if given is None or values is None:
            return []
        if guarded(lambda: found.versions(values), found, span, self.faults) is None:
            return []
        if found.kind == "preset":
            inner = _Context(f"{context.prefix}{name}." if name else context.prefix, only, (*context.within, reference))
            return self._expand(found, values, span, inner)
        if found.kind == "barrier" and not self._barrier(found, values, item, given):
            return []
        domain = found.trained_on(values)
        if domain is not None and domain not in self.domains:
            hint = did_you_mean(domain, self.domains) or f"domains: {', '.join(self.domains)}"
            self.faults.add(
                given.owner, f"`{reference}` has no documents to learn from: unknown domain `{domain}`", hint
            )
        label = context.prefix + (name or (values["expr"] if is_where(found) else found.name))
        call = StepCall(placed_reference(reference, span, self.base), found, values, label, only, span.line + 1)
        return [Placed(call, span, given, bool(name))]

    def _reference(self, item: Node) -> str | None:
        """The key of an item that names its step."""
        if not isinstance(item.value, dict):
            hint = f"write `- {item.value}: {{}}`" if isinstance(item.value, str) else None
            self.faults.add(item.span, "a step is a table with one reference, such as `clean_chars: {}`", hint)
            return None
        references = [str(key) for key in item.value if key not in ITEM_KEYS]
        if not references:
            self.faults.add(item.span, "a step needs a reference beside `name` and `only`")
            return None
        first = references[0]
        for other in references[1:]:
            hint = did_you_mean(other, ITEM_KEYS)
            if hint is None and item.value[first].value is None:
                hint = f"indent it below `{first}:` if it is a parameter"
            self.faults.add(item.keys[other], f"unknown key `{other}` beside `{first}`", hint or "known: name, only")
        return first

    def _name(self, item: Node) -> str | None:
        node = item.get("name")
        if node is None:
            return None
        if not isinstance(node.value, str) or not node.value.strip() or not node.value.isprintable():
            self.faults.add(node.span, f"`name` should be text of one line, not {shown(node)}")
            return None
        return node.value

    def _only(self, item: Node, context: _Context) -> list[str] | None:
        node = item.get("only")
        if node is None:
            return context.only
        items = node.value if isinstance(node.value, list) else [node]
        if not items:
            self.faults.add(node.span, "`only` names no domain", "leave it out for all domains")
        chosen = []
        for one in items:
            if one.value in self.domains:
                chosen.append(one.value)
            else:
                hint = did_you_mean(str(one.value), self.domains) or f"domains: {', '.join(self.domains)}"
                self.faults.add(one.span, f"unknown domain {shown(one)}", hint)
        chosen = list(dict.fromkeys(chosen))
        return chosen if context.only is None else [domain for domain in chosen if domain in context.only]

    def _parameters(self, found: Step, reference: str, node: Node) -> Node | None:
        """The node of a step's parameters; a value in place of the table is given to the parameter that it can mean."""
        if node.value is None or isinstance(node.value, dict):
            return node
        names = list(found.parameters)
        required = [name for name, parameter in found.parameters.items() if parameter.default is parameter.empty]
        target = found.name if found.name in names else required[0] if len(required) == 1 else None
        if target is None or isinstance(node.value, list):
            known = ", ".join(name.rstrip("_") for name in names)
            hint = f"parameters: {known}" if known else f"write `{reference}: {{}}`"
            self.faults.add(node.span, f"`{reference}` takes a table of parameters, not {shown(node)}", hint)
            return None
        key = target.rstrip("_")
        return Node({key: node}, node.span, node.owner, {key: node.owner})

    def _expand(self, preset: Step, values: Mapping[str, Any], span: Span, context: _Context) -> Iterator[Placed]:
        if context.within.count(context.within[-1]) > 1:
            self.faults.add(span, f"the preset `{preset.name}` contains itself")
            return
        made = guarded(lambda: preset.function(**values), preset, span, self.faults)
        if made is not None and not isinstance(made, list):
            self.faults.add(span, f"the preset `{preset.name}` gives a {type(made).__name__}, not a list of steps")
            return
        for item in made or []:
            yield from self._item(planted(item, span), context)

    def _barrier(self, found: Step, values: Mapping[str, Any], item: Node, params: Node) -> bool:
        if item.get("only") is not None and found.name not in REPEATABLE:
            self.faults.add(item.keys["only"], f"`{found.name}` works on the whole corpus", "remove `only`")
        settled = guarded(lambda: found.function(**values), found, params.owner, self.faults)
        keep = params.get("keep")
        for one in keep.value if found.name in DEDUP and keep is not None else []:
            if one.value not in self.domains:
                hint = did_you_mean(str(one.value), self.domains) or f"domains: {', '.join(self.domains)}"
                self.faults.add(one.span, f"unknown domain {shown(one)}", hint)
        return settled is not None

    def _once(self, placed: list[Placed]) -> None:
        seen: dict[str, Placed] = {}
        for one in placed:
            name = one.call.step.name
            once = one.call.step.kind == "barrier" and name not in REPEATABLE
            if once and seen.setdefault(name, one) is not one:
                self.faults.add(
                    one.span, f"a second `{name}`: a recipe has at most one", f"first on line {seen[name].call.line}"
                )

    def _named(self, placed: list[Placed]) -> list[Placed]:
        """Unique names: those of rules and given ones must be so, the others get a number."""
        taken: dict[str, Placed] = {}
        for one in placed:
            if (one.rule or one.named) and taken.setdefault(one.call.name, one) is not one:
                first = taken[one.call.name].call.line
                reason = f"two steps have the name `{one.call.name}` (the first on line {first})"
                self.faults.add(one.span, reason, "give one a `name:`")
        named = []
        for one in placed:
            label, number = one.call.name, 1
            while taken.setdefault(label, one) is not one and not (one.rule or one.named):
                number += 1
                label = f"{one.call.name}-{number}"
            named.append(replace(one, call=replace(one.call, name=label)))
        return named


def is_where(found: Step) -> bool:
    """Whether a step is corpuskit's own `where`."""
    return found.name == "where" and found.origin is None


def placed_reference(reference: str, span: Span, base: Path) -> str:
    """A reference that resolves from the recipe's folder: the path of one from another folder is made absolute."""
    home = span.document.base
    return reference if home == base else absolute_reference(reference, home)


def find(reference: str, kinds: tuple[Kind, ...], span: Span, base: Path, faults: Faults) -> Step | None:
    """The step or reader of a reference, or None and a fault."""
    try:
        return registry.resolve(placed_reference(reference, span, base), kinds, base)
    except UsageError as error:
        if reference in NOT_YET:
            faults.add(span, f"`{reference}` is not in this version yet")
        else:
            faults.add(span, error.message, error.hint)
    except (SyntaxError, ValueError) as error:
        if ".py:" not in reference:
            raise
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        faults.add(span, f"`{reference}` cannot be read{line}: {getattr(error, 'msg', error)}")
    return None


def parameters(found: Step, node: Node, what: str, base: Path, faults: Faults) -> dict[str, Any] | None:
    """Validated parameters of a step, files resolved against the folder of the document that names them."""
    model = guarded(lambda: found.model, found, node.owner, faults)
    if model is None:
        return None
    values = validated(found.validate, model, node, faults, what)
    if values is None:
        return None
    resolved = {}
    for name, value in values.items():
        below = node.get(name.rstrip("_")) or node.get(name)
        resolved[name] = _files(value, below, node.owner, base, faults)
    return resolved


def mixing_method(node: Node, tokens: int | str | None, base: Path, faults: Faults) -> dict[str, Any] | None:
    """`{method: NAME, ...}` with all parameters, files and code by absolute paths; or None and a fault.

    Args:
        node: the table. tokens: the budget of the mixture; None: it is wrong itself.
        base: the recipe's folder. faults: to add to.
    """
    named = node.value["method"]
    try:
        reference = absolute_reference(named.value, named.span.document.base)
        found = methods.resolve(reference, base)
        if tokens is not None:
            check_budget(found, tokens if isinstance(tokens, int) else None)
    except UsageError as error:
        faults.add(named.span, error.message, error.hint)
        return None
    given = {key: item for key, item in node.value.items() if key != "method"}
    values = parameters(found, Node(given, node.span, node.owner, node.keys), f"`{found.name}`", base, faults)
    return None if values is None else {"method": reference, **values}


def _files(value: Any, node: Node | None, owner: Span, base: Path, faults: Faults) -> Any:
    """A value with each `File` and `Folder` in it made absolute; one that is not there is a fault."""
    if isinstance(value, File):
        span = node.span if node is not None else owner
        path = (node.span.document.base if node is not None else base) / value
        if not path.is_file():
            beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
            hint = did_you_mean(path.name, beside)
            wrong = f"{path} is a folder, not a file" if path.is_dir() else f"there is no file {path}"
            faults.add(span, wrong, None if path.is_dir() else hint)
        return type(value)(path)
    if isinstance(value, Folder) and "://" not in value:
        span = node.span if node is not None else owner
        try:
            return type(value).at(span.document.base / Path(value).expanduser())
        except UsageError as error:
            faults.add(span, error.message, error.hint)
            return value
    below: Callable[[Any], Node | None] = lambda key: node.get(key) if node is not None else None  # noqa: E731
    if isinstance(value, dict):
        return {key: _files(item, below(key), owner, base, faults) for key, item in value.items()}
    if isinstance(value, list | tuple):
        places = [below(number) or node for number in range(len(value))]  # a single value may stand for a list
        items = [one for item, at in zip(value, places, strict=True) for one in _matches(item, at, owner, base, faults)]
        return type(value)(_each_file_once(items) if isinstance(value, list) else items)
    if isinstance(value, pydantic.BaseModel):
        keys = dict(zip(type(value).model_fields, keys_of(type(value), ()), strict=True))
        changed = {n: _files(getattr(value, n), below(key), owner, base, faults) for n, key in keys.items()}
        return value.model_copy(update=changed)
    return value


def _each_file_once(items: list[Any]) -> list[Any]:
    """A list without files that stand in it before, as where two patterns match the same."""
    once, seen = [], set()
    for item in items:
        if isinstance(item, File):
            if item in seen:
                continue
            seen.add(item)
        once.append(item)
    return once


def _matches(item: Any, node: Node | None, owner: Span, base: Path, faults: Faults) -> list[Any]:
    """An item of a list as `_files` has it; a pattern such as `good/*.jsonl` gives the files that match, sorted."""
    folder = node.span.document.base if node is not None else base
    if not isinstance(item, File) or not glob.has_magic(item) or (folder / item).is_file():
        return [_files(item, node, owner, base, faults)]
    names = glob.glob(item, root_dir=folder, recursive=True)  # noqa: PTH207 - it may be absolute
    found = sorted(folder / name for name in names)
    if not any(path.is_file() for path in found):
        faults.add(node.span if node is not None else owner, f"no file matches {folder / item}")
    return [type(item)(path) for path in found if path.is_file()]


def guarded(call: Callable[[], Any], found: Step, span: Span, faults: Faults) -> Any:
    """What a step's own code gives, or None and a fault: it may be a user's, and wrong in any way."""
    try:
        return call()
    except UsageError as error:
        faults.add(span, error.message, error.hint)
    except Exception as error:
        if found.origin is None:
            raise
        faults.add(span, f"`{found.name}` ({found.origin}) fails: {type(error).__name__}: {error}")
    return None
