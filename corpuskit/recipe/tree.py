"""YAML that remembers where every key and value stands.

Scalars follow YAML 1.2's core schema: `no` and `on` are text, `010` is ten, dates and `12:30` are text. Duplicate keys,
tags and aliases that contain themselves are faults. `expand` puts environment variables in the place of `${NAME}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

from corpuskit.errors import did_you_mean
from corpuskit.recipe.faults import Document, Faults, Span

MOST_NODES = 100_000
"""A recipe of more values than this, aliases expanded, is refused: nobody wrote it by hand."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]  # PyYAML's stubs call it no class variable


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), _first)


@dataclass
class Node:
    """A value with its place.

    Attributes:
        value: text, number, bool or None; a list of nodes; or a dict of nodes by key.
        span: where the value stands. owner: where the key (or list item) that holds it stands.
        keys: places of a dict's keys.
    """

    value: Any
    span: Span
    owner: Span
    keys: dict[str, Span] = field(default_factory=dict)

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def get(self, key: str | int) -> Node | None:
        """The node under a key or index, or None."""
        if isinstance(self.value, dict):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            found: Node = self.value[key]
            return found
        return None

    def walk(self, location: Sequence[str | int]) -> tuple[Node, list[str | int], list[str | int]]:
        """Follow a location as far as there are nodes: the last node, the keys followed, and those that are none."""
        node = self
        followed: list[str | int] = []
        left: list[str | int] = []
        for key in location:
            below = node.get(key)
            if below is None:
                left.append(key)
            else:
                node, followed, left = below, [*followed, key], []
        return node, followed, left

    def put(self, key: str, node: Node) -> None:
        """Set a key of a dict."""
        self.value[key] = node
        self.keys[key] = node.owner


def planted(value: Any, span: Span) -> Node:
    """Plain data as a node, all of it at one place."""
    if isinstance(value, Mapping):
        below = {str(key): planted(item, span) for key, item in value.items()}
        return Node(below, span, span, dict.fromkeys(below, span))
    if isinstance(value, list | tuple):
        return Node([planted(item, span) for item in value], span, span)
    return Node(value, span, span)


def parse(text: str, document: Document, faults: Faults, *, start: int = 0) -> Node:
    """Read one YAML document; raises at once where the syntax is broken, and collects what else is wrong.

    Args:
        text: YAML, which begins `start` characters into the document's first line.
        document: that it stands in.
        faults: to add to.
        start: see `text`.

    Raises:
        RecipeError: it is not YAML.
    """
    reader = _Reader(document, faults, start)
    here = Span(document, 0, start, start + 1)
    try:
        root = yaml.compose(text, _Loader)
        return Node(None, here, here) if root is None else reader.read(root)
    except yaml.YAMLError as error:
        faults.add(*reader.syntax(error))
        faults.fail()
    except RecursionError:
        faults.add(here, "the YAML is nested too deeply")
        faults.fail()


class _Reader:
    def __init__(self, document: Document, faults: Faults, start: int) -> None:
        self.document, self.faults, self.start = document, faults, start
        self.above: set[int] = set()
        self.count = 0

    def span(self, begin: Any, end: Any = None) -> Span:
        """A place from PyYAML's marks; what goes on over the end of a line ends with it."""
        shift = self.start if begin.line == 0 else 0
        column = int(begin.column) + shift
        lines = self.document.lines
        width = len(lines[begin.line].rstrip()) if begin.line < len(lines) else 0
        stop = int(end.column) + shift if end is not None and end.line == begin.line else width
        return Span(self.document, int(begin.line), column, max(column + 1, stop))

    def syntax(self, error: yaml.YAMLError) -> tuple[Span, str, str | None]:
        """Where and why it is not YAML."""
        mark = getattr(error, "problem_mark", None)
        if mark is None:
            position = getattr(error, "position", None)
            where = f" at character {position + 1}" if isinstance(position, int) else ""
            return Span(self.document, 0, self.start, self.start + 1), f"not YAML{where}: {error}", None
        problem = getattr(error, "problem", None) or "cannot be read"
        if "'\\t'" in problem:
            line = self.document.lines[mark.line]
            tab = line.find("\t")
            begin = tab if tab >= 0 else mark.column
            return Span(self.document, mark.line, begin, begin + 1), "a tab cannot indent YAML", "use spaces"
        if "expected a single document" in (getattr(error, "context", None) or ""):
            problem = "a recipe is one YAML document; a second one begins here"
        context = getattr(error, "context_mark", None)
        since = f" ({error.context}, line {context.line + 1})" if context is not None else ""  # type: ignore[attr-defined]
        return self.span(mark, mark), f"not YAML: {problem}{since}", None

    def read(self, node: yaml.Node, owner: Span | None = None) -> Node:
        """A PyYAML node as ours."""
        span = self.span(node.start_mark, node.end_mark)
        owner = owner or span
        self.count += 1
        if self.count > MOST_NODES:
            self.faults.add(span, f"the recipe has more than {MOST_NODES:,} values, aliases expanded")
            self.faults.fail()
        if isinstance(node, yaml.ScalarNode):
            return Node(self._scalar(node, span), span, owner)
        if id(node) in self.above:
            self.faults.add(span, "an alias that contains itself")
            self.faults.fail()
        self.above.add(id(node))
        if isinstance(node, yaml.MappingNode):
            found = self._mapping(node, span, owner)
        else:
            found = Node([self.read(item) for item in node.value], span, owner)
        self.above.discard(id(node))
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            self.faults.add(span, f"the tag `{node.tag}` is not known here", "remove it")
        return found

    def _mapping(self, node: yaml.MappingNode, span: Span, owner: Span) -> Node:
        made = Node({}, span, owner)
        for key, value in node.value:
            place = self.span(key.start_mark, key.end_mark)
            if not isinstance(key, yaml.ScalarNode):
                self.faults.add(place, "a key is a plain name", "quote `${NAME}`: braces begin a table")
            elif key.value in made.value:
                first = made.keys[key.value].line + 1
                self.faults.add(place, f"the key `{key.value}` stands twice", f"first on line {first}")
            else:
                made.put(key.value, self.read(value, place))
        return made

    def _scalar(self, node: yaml.ScalarNode, span: Span) -> Any:
        kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), node.value
        try:
            if kind == "str":
                return text
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return int(text.replace("_", ""), {"0x": 16, "0o": 8}.get(text[:2], 10))
            if kind == "float":
                return float(text.replace("_", ""))
        except (KeyError, ValueError):
            self.faults.add(span, f"`{_short(text)}` is not a {kind}", settles=True)
            return None
        self.faults.add(span, f"the tag `{node.tag}` is not known here", "remove it")
        return text


def expand(node: Node, faults: Faults, environ: Mapping[str, str]) -> None:
    """Replace `${NAME}` in all texts below a node; a variable that is not set is a fault."""
    if isinstance(node.value, dict | list):
        for below in node.value.values() if isinstance(node.value, dict) else node.value:
            expand(below, faults, environ)
    elif isinstance(node.value, str):
        for name in dict.fromkeys(_VARIABLE.findall(node.value)):
            if name not in environ:
                hint = did_you_mean(name, environ) or f"export {name}=..."
                faults.add(node.span, f"the environment variable `{name}` is not set", hint, settles=True)
        node.value = _VARIABLE.sub(lambda match: environ.get(match[1], match[0]), node.value)


def shown(node: Node) -> str:
    """A value in a message."""
    if isinstance(node.value, dict):
        return "a table"
    if isinstance(node.value, list):
        return "a list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return f"`{str(node.value).lower()}`"
    return f"`{_short(str(node.value))}`"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
