"""Changes from the command line: `--set key.sub=value`, the value in YAML, or `--set key.sub=@FILE`."""

from __future__ import annotations

from pathlib import Path

from corpuskit.errors import did_you_mean
from corpuskit.recipe.faults import Document, Faults, Span
from corpuskit.recipe.tree import Node, parse

ITEM_KEYS = ("name", "only")
"""Keys of a step's item beside its reference."""


def apply(root: Node, overrides: list[str], base: Path, faults: Faults) -> None:
    """Change the tree of a recipe; later overrides come after earlier ones.

    Args:
        root: the recipe's table.
        overrides: `key.sub=value`. A list's items are named by their number; a step also by its `name`, its SQL or
            its reference, what follows then names its parameters.
        base: the recipe's folder, where relative paths in a value start; those in a FILE start at its folder.
        faults: to add to.
    """
    for text in overrides:
        _apply(root, text, base, faults)


def _apply(root: Node, text: str, base: Path, faults: Faults) -> None:
    document = Document("--set", tuple(text.split("\n")), base)
    key, equals, value = text.partition("=")
    span = Span(document, 0, 0, max(1, len(key)))
    if not equals or not key.strip():
        faults.add(span, "an override is KEY=VALUE or KEY=@FILE", "such as `--set mix.tokens=2M`")
        return
    if value.startswith("@"):
        node = _file(Path(value[1:]), Span(document, 0, len(key) + 1, len(text)), faults)
    else:
        node = parse(value, document, faults, start=len(key) + 1)
    if node is not None:
        node.owner = span
        _put(root, key.strip().split("."), node, faults, span)


def _file(path: Path, span: Span, faults: Faults) -> Node | None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        beside = [str(path.parent / other.name) for other in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        faults.add(span, f"`{path}` cannot be read: {reason}", did_you_mean(str(path), beside))
        return None
    return parse(text, Document(str(path), tuple(text.splitlines()), path.resolve().parent), faults)


def _put(root: Node, keys: list[str], value: Node, faults: Faults, span: Span) -> None:
    """Set `value` at the dotted path, with new tables where there is nothing."""
    holder = root
    first, rest = True, keys
    while rest:
        if (
            first
            and rest[0] == "steps"
            and len(rest) > 1
            and isinstance(getattr(root.get("steps"), "value", None), list)
        ):
            found = _step(root.value["steps"], rest[1:], faults, span)
            if found is None:
                return
            holder, rest = found
            first = False
            if rest:
                continue
            faults.add(span, "an override of a step names one of its keys", "such as `steps.minhash.threshold=0.9`")
            return
        first = False
        key, rest = rest[0], rest[1:]
        if holder.value is None or (holder.value == "none" and rest):
            holder.value = {}
        if isinstance(holder.value, dict):
            if not rest:
                holder.put(key, value)
                return
            if holder.get(key) is None:
                holder.put(key, Node({}, span, span))
            holder = holder.value[key]
        elif isinstance(holder.value, list):
            number = int(key) if key.isdecimal() else -1
            if not 0 <= number < len(holder.value):
                faults.add(span, f"`{key}` is no item: the list has {len(holder.value)}, counted from 0")
                return
            if not rest:
                holder.value[number] = value
                return
            holder = holder.value[number]
        else:
            faults.add(span, f"`{key}` cannot be set: what should hold it is `{holder.value}`, not a table")
            return


def _step(steps: Node, keys: list[str], faults: Faults, span: Span) -> tuple[Node, list[str]] | None:
    """The table that the rest of a path through `steps` is to be set in: a step's item, or its parameters."""
    if keys[0].isdecimal():
        if int(keys[0]) >= len(steps.value):
            faults.add(span, f"there is no step {keys[0]}: the recipe has {len(steps.value)}, counted from 0")
            return None
        return steps.value[int(keys[0])], keys[1:]
    names = [_names(item) for item in steps.value]
    for length in range(len(keys), 0, -1):
        wanted = ".".join(keys[:length])
        for rank in range(2):
            found = [item for item, name in zip(steps.value, names, strict=True) if wanted in name[rank : rank + 1]]
            if len(found) > 1:
                faults.add(
                    span, f"{len(found)} steps are `{wanted}`", "name one by its number, from 0, or give it a `name`"
                )
                return None
            if found:
                return _inside(found[0], keys[length:])
    every = [name for both in names for name in both]
    faults.add(span, f"there is no step `{keys[0]}`", did_you_mean(keys[0], every) or f"steps: {', '.join(every)}")
    return None


def _names(item: Node) -> list[str]:
    """What a step can be named by: its `name` (or the text of its SQL), then its reference."""
    if not isinstance(item.value, dict):
        return []
    reference = next((key for key in item.value if key not in ITEM_KEYS), "")
    own = item.get("name") or item.get(reference)
    name = own.value if own is not None and isinstance(own.value, str) else reference
    return [name, reference]


def _inside(item: Node, rest: list[str]) -> tuple[Node, list[str]]:
    """Keys after a step's name are its parameters, unless they are keys of its item."""
    reference = next(key for key in item.value if key not in ITEM_KEYS)
    if not rest or rest[0] in (*ITEM_KEYS, reference):
        return item, rest
    return item.value[reference], rest
