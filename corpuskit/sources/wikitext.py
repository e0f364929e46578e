"""Wikitext to clean text, by rules that read the page once: no page can take longer than its length says.

Templates, tables, references, files, categories and comments are out; headings (`== x ==` as a line of its own without
marks), lists (`- `) and paragraphs stay readable; links become their labels. Templates whose argument is part of the
sentence (`lang`, `convert`, `nowrap`) give that argument.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_BRACES = re.compile(r"\{\{+|\}\}+|\{\||\|\}")
_DROPPED_TAGS = (
    "ref|gallery|timeline|imagemap|score|math|chem|ce|hiero|syntaxhighlight|source|templatedata|graph|mapframe|"
    "maplink|inputbox|references|noinclude|categorytree|dynamicpagelist|section|templatestyles|table|style|script"
)
_EMPTY_TAG = re.compile(rf"<(?:{_DROPPED_TAGS})\b[^<>]*/>", re.IGNORECASE)
_TAG_EDGE = re.compile(rf"<(/?)({_DROPPED_TAGS})\b[^<>]*>", re.IGNORECASE)
_BREAK = re.compile(r"<(?:br|hr)\s*/?>|</?(?:p|div|blockquote|center|poem|li|tr|td|dd|dt)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_MAGIC = re.compile(r"__[A-Z]{3,}__")
_QUOTES = re.compile(r"'{2,}")
_EXTERNAL = re.compile(r"\[(?:https?:|ftp:|mailto:|news:)?//?[^\s\[\]]*(?:[ \t]+([^\[\]\n]*))?\]")
_LINK_EDGE = re.compile(r"\[\[|\]\]")
_HEADING = re.compile(r"^(={1,6})[ \t]*(.+?)[ \t]*\1[ \t]*$")
_LIST = re.compile(r"^([*#:;]+)[ \t]*")
_SPACES = re.compile(r"[ \t\u00a0]{2,}")
_BLANKS = re.compile(r"\n{3,}")
_EMPTY_PARENTHESES = re.compile(r"[ \t]?[(\uff08][ \t,;:\u060c\u3001\u00b7]*[)\uff09]")
_SPACE_BEFORE = re.compile(r"[ \t]+([,.;:!?)\]])(?=\s|$)")

TEXT_TEMPLATES: dict[str, Callable[[list[str]], str]] = {
    "lang": lambda arguments: arguments[1] if len(arguments) > 1 else "",
    "convert": lambda arguments: " ".join(arguments[:2]),
    "cvt": lambda arguments: " ".join(arguments[:2]),
    "nowrap": lambda arguments: arguments[0] if arguments else "",
    "nobr": lambda arguments: arguments[0] if arguments else "",
    "abbr": lambda arguments: arguments[0] if arguments else "",
    "ill": lambda arguments: arguments[0] if arguments else "",
}
MAX_ARGUMENT = 2000


def plain_text(wikitext: str, dropped_namespaces: frozenset[str] = frozenset()) -> str:
    """Turn one page's wikitext into text.

    Args:
        wikitext: of the page.
        dropped_namespaces: names, in lower case, of the namespaces whose links are dropped as a whole (files,
            categories), in the dump's language.
    """
    text = _COMMENT.sub("", wikitext.replace("\r\n", "\n"))
    text = _without_elements(_EMPTY_TAG.sub("", text))
    text = _without_braces(text)
    text = _MAGIC.sub("", text)
    text = _links(text, dropped_namespaces | _DROPPED_NAMESPACES)
    text = _EXTERNAL.sub(lambda found: found[1] or "", text)
    text = _QUOTES.sub("", text)
    text = _TAG.sub("", _BREAK.sub("\n", text))
    text = html.unescape(text).replace("\u00a0", " ")
    text = _SPACE_BEFORE.sub(r"\1", _EMPTY_PARENTHESES.sub("", text))
    lines = [line for line in map(_line, text.split("\n")) if line is not None]
    return _BLANKS.sub("\n\n", "\n".join(_without_empty_sections(lines))).strip()


_DROPPED_NAMESPACES = frozenset({"file", "image", "media", "category"})
_HEADING_MARK = "\0"


def _line(line: str) -> str | None:
    """One line without list and heading marks; None drops it."""
    line = _SPACES.sub(" ", line).strip(" \t")
    if heading := _HEADING.match(line):
        return f"{_HEADING_MARK}{len(heading[1])}{heading[2].strip()}"
    if line.startswith("----"):
        line = line.lstrip("-").strip()
    if marks := _LIST.match(line):
        rest = line[marks.end() :].strip()
        if not rest:
            return None
        bullet = "- " if marks[1][-1] in "*#" else ""
        return "  " * (len(marks[1]) - 1) * bool(bullet) + bullet + rest
    if line.startswith(("|", "!", "{|")):  # what a broken table leaves
        return None
    return line


def _without_empty_sections(lines: list[str]) -> list[str]:
    """Drop headings with nothing below them (reference lists, galleries); give the others a line of their own."""
    kept: list[str] = []
    below = 0  # level of the heading that follows; 7 for text
    for line in reversed(lines):
        if not line.startswith(_HEADING_MARK):
            kept.append(line)
            below = 7 if line else below
            continue
        level = int(line[1])
        if below > level:
            kept += ["", line[2:], ""]
            below = level
    return kept[::-1]


def _without_elements(text: str) -> str:
    """Drop elements like `<ref>...</ref>`; one that is never closed loses its tag alone."""
    edges = list(_TAG_EDGE.finditer(text))
    closings: dict[str, list[int]] = {}
    for number, edge in enumerate(edges):
        if edge[1]:
            closings.setdefault(edge[2].lower(), []).append(number)
    cursors = dict.fromkeys(closings, 0)
    pieces, end, number = [], 0, 0
    while number < len(edges):
        edge = edges[number]
        name = edge[2].lower()
        pieces.append(text[end : edge.start()])
        end = edge.end()
        if not edge[1] and name in closings:
            numbers = closings[name]
            while cursors[name] < len(numbers) and numbers[cursors[name]] < number:
                cursors[name] += 1
            if cursors[name] < len(numbers):
                number = numbers[cursors[name]]
                end = edges[number].end()
        number += 1
    pieces.append(text[end:])
    return "".join(pieces)


def _without_braces(text: str) -> str:
    """Drop templates and tables, nested as they may be; what is never closed stays, without its mark."""
    stack: list[tuple[str, list[str]]] = [("", [])]  # (mark that opened, text pieces since)
    end = 0
    while (found := _BRACES.search(text, end)) is not None:
        stack[-1][1].append(text[end : found.start()])
        end = found.end()
        mark = found[0]
        if mark[:2] in ("{{", "{|"):
            stack.append((mark, []))
        elif mark.startswith("}}"):
            _close(stack, mark)
        elif stack[-1][0] == "{|":
            stack.pop()
        else:  # `|}}` ends a template with an empty argument
            stack[-1][1].append("|")
            end -= 1
            if not text.startswith("}}", end):
                end += 1
    stack[-1][1].append(text[end:])
    return "".join(piece for _, pieces in stack for piece in pieces)


def _close(stack: list[tuple[str, list[str]]], mark: str) -> None:
    left = len(mark)
    while left >= 2 and len(stack) > 1:
        opened, pieces = stack[-1]
        if opened == "{|":
            if not any(entry[0].startswith("{{") for entry in stack[-4:]):
                return
            stack.pop()
            stack[-1][1].extend(pieces)
            continue
        used = min(len(opened), left)
        stack.pop()
        left -= used
        rest = len(opened) - used
        said = _template("".join(pieces)) if sum(map(len, pieces)) <= MAX_ARGUMENT else ""
        if rest >= 2:
            stack.append((opened[:rest], [said]))
        else:
            stack[-1][1].append(said)


def _template(body: str) -> str:
    """What a template contributes to the sentence around it."""
    name, *arguments = body.split("|")
    key = name.strip().lower()
    if key.startswith("lang-") and arguments:
        return arguments[0]
    chosen = TEXT_TEMPLATES.get(key)
    return chosen([argument.strip() for argument in arguments if "=" not in argument]) if chosen else ""


def _links(text: str, dropped: frozenset[str]) -> str:
    """Replace `[[target|label]]` by its label, innermost first; drop files and categories."""
    stack: list[list[str]] = [[]]
    end = 0
    for found in _LINK_EDGE.finditer(text):
        stack[-1].append(text[end : found.start()])
        end = found.end()
        if found[0] == "[[":
            stack.append([])
        elif len(stack) > 1:
            inner = "".join(stack.pop())
            stack[-1].append(_label(inner, dropped))
    stack[-1].append(text[end:])
    return "".join(piece for pieces in stack for piece in pieces)


def _label(inner: str, dropped: frozenset[str]) -> str:
    target, bar, label = inner.partition("|")
    namespace, colon, rest = target.partition(":")
    if colon and namespace.strip().lower() in dropped:
        return ""
    if colon and not bar and not rest.startswith(" ") and 2 <= len(namespace) <= 3 and namespace.islower():
        return ""  # a link to the same article in another language
    if bar and label:
        return label.rpartition("|")[2] if "|" in label else label
    return target.lstrip(":").strip() if not bar else rest.strip() or target
