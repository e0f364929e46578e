r"""The user's own commands, replaced by what they stand for.

Only what `\newcommand` and its like, simple `\def` and `\DeclareMathOperator` define; a command that TeX would have to
be run for (conditionals, internal commands, definitions within) stays where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from corpuskit.sources.tex_source import escaped, held_at

MAX_DEPTH = 16
GROWTH = 4
"""Expansion may make a text at most this many times as long, plus 100,000 characters."""

MOST_NAMES = 1000
"""Commands that are looked for by name; if there are more, each command in the text is looked up."""

_DEFINITION = re.compile(
    r"\\(?:(?:re)?new|provide|DeclareRobust)(?:c|C)ommand\*?\s*+(?:\{\s*+\\([A-Za-z@]+)\s*+\}|\\([A-Za-z@]+))\s*+"
    r"(?:\[\s*+(\d)\s*+\])?\s*+(\[(?:[^\[\]{}]|\{[^{}]{0,300}+\}){0,300}+\])?\s*+(?=\{)"
    r"|\\[gex]?def\s*+\\([A-Za-z@]+)((?:#\d)*+)\s*+(?=\{)"
    r"|\\DeclareMathOperator(\*?)\s*+\{?\s*+\\([A-Za-z@]+)\s*+\}?\s*+(?=\{)"
)
_COMMAND = re.compile(r"\\([A-Za-z@]+)")
_ENDS_IN_COMMAND = re.compile(r"\\[A-Za-z@]+\Z")
_PARAMETER = re.compile(r"(\\[A-Za-z@]+)?#(\d)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BRACE_OR_BRACKET = re.compile(r"\\.|[{}\]]", re.DOTALL)
_SPACE = re.compile(r"\s*+")
_NEEDS_TEX = re.compile(
    r"\\(?:[A-Za-z]*@|if(?!f(?![A-Za-z]))|else\b|fi\b|or\b|[gex]?def\b|let\b|futurelet|expandafter|csname|catcode"
    r"|(?:re)?newcommand|mathchoice|mathpalette)|##"
)
_SECTIONING = {
    "part",
    "chapter",
    "section",
    "subsection",
    "subsubsection",
    "paragraph",
    "begin",
    "end",
    "item",
    "label",
}


@dataclass(frozen=True)
class Macro:
    """A user's command: how many arguments it takes, what it stands for, and its first argument where that is left out.

    Attributes:
        default: None where all arguments must be given.
    """

    arguments: int
    body: str
    default: str | None = None


def definitions(text: str) -> tuple[dict[str, Macro], str]:
    """Take the definitions of commands out of a text.

    Returns:
        (macros by name, the text without those definitions). Commands that are not expanded, as those defined in terms
        of themselves, are left in place.
    """
    macros: dict[str, Macro] = {}
    pieces, end = [], 0
    reader = Reader(text)
    for found in _DEFINITION.finditer(text):
        if found.start() < end or escaped(text, found.start()):
            continue
        close = reader.brace(found.end())
        if close is None:
            continue
        pieces.append(text[end : found.start()])
        end = close + 1
        name = found[1] or found[2] or found[5] or found[8]
        macro = _macro(found, text[found.end() + 1 : close])
        if name in _SECTIONING or name in _COMMAND.findall(macro.body) or _NEEDS_TEX.search(macro.body):
            pieces.append(text[found.start() : end])
            macros.pop(name, None)
        else:
            macros[name] = macro
    pieces.append(text[end:])
    return macros, "".join(pieces)


def _macro(found: re.Match[str], body: str) -> Macro:
    if found[8]:
        return Macro(0, f"\\operatorname{found[7] or ''}{{{body}}}")
    if found[5]:
        return Macro((found[6] or "").count("#"), body)
    default = found[4][1:-1] if found[4] and found[3] else None
    # what `xspace` does is seen where the command is used
    return Macro(int(found[3] or 0), body.replace("\\xspace}", "}"), default)


def expand(text: str, macros: Mapping[str, Macro]) -> str:
    """Expand macros, those in their bodies too; stops where the text would grow beyond GROWTH."""
    limit = GROWTH * len(text) + 100_000
    for _ in range(MAX_DEPTH):
        used = macros.keys() & set(_COMMAND.findall(text)) if macros else ()
        if not used:
            return text
        expanded = _expand_once(text, {name: macros[name] for name in used}, limit)
        if expanded is None or expanded == text:
            return text
        text = expanded
    return text


def _expand_once(text: str, macros: Mapping[str, Macro], limit: int) -> str | None:
    pieces: list[str] = []
    end = size = 0
    reader = Reader(text)
    for found in _any_of(macros).finditer(text):
        start = found.start()
        if start < end or escaped(text, start):
            continue
        macro = macros.get(found[0][1:])
        taken = reader.arguments(found.end(), macro) if macro else None
        if macro is None or taken is None:
            continue
        arguments, after = taken
        said = _filled(macro.body, arguments) if arguments else macro.body
        spaced = said.endswith("\\xspace")
        if spaced:
            said = said.removesuffix("\\xspace")
        pieces += [text[end:start], said]
        # the space that ended the command's name stands where a letter would otherwise join it
        end = after
        following = text[end : end + 2]
        if _ENDS_IN_COMMAND.search(said[-100:]):
            if following[:1].isalpha():
                pieces.append(" ")
        elif not arguments and not spaced and following[:1] == " " and re.match(" [^A-Za-z0-9]", following):
            end += 1
        size += len(said)
        if size > limit:
            return None
    pieces.append(text[end:])
    result = "".join(pieces)
    return result if len(result) <= limit else None


def _any_of(macros: Mapping[str, Macro]) -> re.Pattern[str]:
    """Any of the commands, by first letter so that few are tried at each backslash; any command if they are many."""
    if len(macros) > MOST_NAMES:
        return _COMMAND
    by_letter: dict[str, list[str]] = {}
    for name in sorted(macros):
        by_letter.setdefault(name[0], []).append(name[1:])
    groups = (f"{letter}(?:{'|'.join(rest)})" for letter, rest in by_letter.items())
    return re.compile(rf"\\(?:{'|'.join(groups)})(?![A-Za-z@])")


def _filled(body: str, arguments: list[str]) -> str:
    def one(found: re.Match[str]) -> str:
        number = int(found[2])
        argument = arguments[number - 1] if 1 <= number <= len(arguments) else ""
        command = found[1] or ""
        return f"{command} {argument}" if command and argument[:1].isalpha() else command + argument

    return _PARAMETER.sub(one, body)


class Reader:
    """Finds what braces hold in a text; gives up when it has looked at many times its length."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._left = 8 * len(text) + 1_000_000

    def brace(self, start: int, limit: int = 100_000) -> int | None:
        """Position of the brace that closes the one at `start`, at most `limit` characters on."""
        return self._close(_BRACE, "}", start, limit)

    def bracket(self, start: int, limit: int = 2_000) -> int | None:
        """Position of the bracket that closes the one at `start`, outside braces."""
        return self._close(_BRACE_OR_BRACKET, "]", start + 1, limit)

    def _close(self, signs: re.Pattern[str], closing: str, start: int, limit: int) -> int | None:
        depth = 0
        for found in signs.finditer(self._text, start, start + min(limit, max(self._left, 0))):
            depth += (found[0] == "{") - (found[0] == "}")
            if depth < 0 or (depth == 0 and found[0] == closing):
                self._left -= found.end() - start
                return found.start() if found[0] == closing else None
        self._left -= limit
        return None

    def arguments(self, position: int, macro: Macro) -> tuple[list[str], int] | None:
        """Read a macro's arguments; None where they are not there."""
        text, found = self._text, []
        if macro.default is not None:
            first = _after_space(text, position)
            close = self.bracket(first) if text[first : first + 1] == "[" else None
            found.append(macro.default if close is None else text[first + 1 : close])
            position = position if close is None else close + 1
        while len(found) < macro.arguments:
            taken = self._argument(_after_space(text, position))
            if taken is None:
                return None
            argument, position = taken
            found.append(argument)
        return found, position

    def _argument(self, position: int) -> tuple[str, int] | None:
        """What stands in braces, or a single character or command, or a verbatim piece."""
        text = self._text
        if text[position : position + 1] == "{":
            close = self.brace(position)
            return None if close is None else (text[position + 1 : close], close + 1)
        if (command := _COMMAND.match(text, position)) is not None:
            return command[0], command.end()
        if (end := held_at(text, position)) is not None:
            return text[position:end], end
        if position < len(text) and text[position] not in "}$&":
            return text[position], position + 1
        return None


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
