"""LaTeX to text: inputs inlined, comments out, the user's macros expanded, preamble and bibliography out.

Mathematics and sectioning commands stay as they are written: they are what a model of scientific text should learn.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_INPUTS = 5000
MAX_DEPTH = 16
GROWTH = 4
"""Expansion may make a text at most this many times as long, plus 100,000 characters."""

_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%[^\n]*")
_COMMENT_LINE = re.compile(r"^[ \t]*%[^\n]*\n?", re.MULTILINE)
_COMMENT_BLOCK = re.compile(r"\\begin\{comment\}.*?\\end\{comment\}", re.DOTALL)
_INPUT = re.compile(r"\\(?:input|include|subfile)\s*\{([^{}]+)\}|\\input\s+([^\s{}\\]+)")
_BEGIN = re.compile(r"\\begin\s*\{document\}")
_END = re.compile(r"\\end\s*\{document\}")
_DOCUMENT_CLASS = re.compile(r"^[^%\n]*\\document(?:class|style)\b", re.MULTILINE)
_BIBLIOGRAPHY = re.compile(
    r"\\begin\s*\{thebibliography\}.*?(?:\\end\s*\{thebibliography\}|\Z)"
    r"|\\(?:bibliography|bibliographystyle|addbibresource|nocite)\s*\{[^{}]*\}|\\printbibliography(?:\[[^\]]*\])?",
    re.DOTALL,
)
_DEFINITION = re.compile(
    r"\\(?:re)?(?:new|provide)command\*?\s*(?:\{\s*\\([A-Za-z@]+)\s*\}|\\([A-Za-z@]+))\s*(?:\[(\d)\])?\s*(\[[^\]]*\])?\s*(?=\{)"
    r"|\\[gex]?def\s*\\([A-Za-z@]+)((?:#\d)*)\s*(?=\{)"
    r"|\\DeclareMathOperator(\*?)\s*\{?\s*\\([A-Za-z@]+)\s*\}?\s*(?=\{)"
)
_COMMAND = re.compile(r"\\([A-Za-z@]+)")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BLANKS = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")


@dataclass(frozen=True)
class Macro:
    """A user's command: how many arguments it takes, and what it stands for."""

    arguments: int
    body: str


def document_text(files: Mapping[str, str]) -> str | None:
    r"""The text of a paper.

    Args:
        files: the paper's TeX files by path; the one that has or inputs `\documentclass` and `\begin{document}` is the
            main one (several: the one that reaches the most text, then by name).

    Returns:
        The body; None where no file has any TeX to read.
    """
    main = main_file(files)
    if main is None:
        return None
    whole = _inlined(without_comments(files[main]), main, files)
    begin = _BEGIN.search(whole)
    preamble, body = (whole[: begin.start()], whole[begin.end() :]) if begin else ("", whole)
    end = _END.search(body)
    if end:
        body = body[: end.start()]
    body = _BIBLIOGRAPHY.sub("", body)
    macros, _ = definitions(preamble)
    more, body = definitions(body)
    body = expand(body, {**macros, **more})
    return _BLANKS.sub("\n\n", body).strip()


def main_file(files: Mapping[str, str]) -> str | None:
    """Find the file that the others belong to: it reaches a document through its inputs, and reaches the most text."""
    tex = {name: without_comments(text) for name, text in files.items() if name.lower().endswith(_TEX)}
    named = {name: _targets(name, text, files) & tex.keys() for name, text in tex.items()}
    reached = {name: _reachable(name, named) for name in tex}
    inputs = set().union(*named.values()) if named else set()
    for signs in ((_DOCUMENT_CLASS, _BEGIN), (_BEGIN,), (_DOCUMENT_CLASS,), (_SECTION,), (_ANYTHING,)):
        found = [name for name in tex if all(any(sign.search(tex[part]) for part in reached[name]) for sign in signs)]
        if found:
            roots = [name for name in found if name not in inputs] or found
            return min(roots, key=lambda name: (-sum(len(tex[part]) for part in reached[name]), name))
    return None


_TEX = (".tex", ".ltx", ".latex", ".txt")
_SECTION = re.compile(r"\\(?:section|chapter)\b")
_ANYTHING = re.compile(r"\S")


def _targets(name: str, text: str, files: Mapping[str, str]) -> set[str]:
    found = (_resolve(_input_name(match), name, files) for match in _INPUT.finditer(text))
    return {target for target in found if target is not None}


def _reachable(name: str, named: Mapping[str, set[str]]) -> set[str]:
    seen, waiting = {name}, [name]
    while waiting:
        new = named[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def _input_name(found: re.Match[str]) -> str:
    return (found[1] or found[2]).strip().removesuffix(".tex")


def without_comments(text: str) -> str:
    r"""Remove `%` to the end of its line (not `\%`), whole comment lines, and comment environments."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _COMMENT_BLOCK.sub("", _COMMENT.sub(r"\1", _COMMENT_LINE.sub("", text)))


def _inlined(text: str, name: str, files: Mapping[str, str]) -> str:
    r"""Replace `\input` and `\include` by their files; a file is inlined as often as it is named, within bounds."""
    limit = 4 * sum(map(len, files.values())) + 1000
    count = size = 0

    def inline(text: str, name: str, above: tuple[str, ...]) -> str:
        def replace(found: re.Match[str]) -> str:
            nonlocal count, size
            target = _resolve(_input_name(found), name, files)
            if target is None or target in above or len(above) > MAX_DEPTH or count >= MAX_INPUTS or size > limit:
                return ""
            count += 1
            content = without_comments(files[target])
            size += len(content)
            return inline(content, target, (*above, target))

        return _INPUT.sub(replace, text)

    return inline(text, name, (name,))


def _resolve(wanted: str, name: str, files: Mapping[str, str]) -> str | None:
    """A path as LaTeX looks it up: from the main folder, or beside the file that names it."""
    for folder in ("", posixpath.dirname(name)):
        path = posixpath.normpath(posixpath.join(folder, wanted))
        for candidate in (path + ".tex", path):
            if candidate in files:
                return candidate
    return None


def definitions(text: str) -> tuple[dict[str, Macro], str]:
    """Take the definitions of commands out of a text.

    Returns:
        (macros by name, the text without those definitions). Commands with an optional argument, or defined in terms
        of themselves, are left in place and not expanded.
    """
    macros: dict[str, Macro] = {}
    pieces, end = [], 0
    for found in _DEFINITION.finditer(text):
        if found.start() < end:
            continue
        close = matching_brace(text, found.end())
        if close is None:
            continue
        body = text[found.end() + 1 : close]
        name = found[1] or found[2] or found[5] or found[8]
        arguments = int(found[3] or 0) if found[5] is None else (found[6] or "").count("#")
        if found[8]:
            body = f"\\operatorname{found[7] or ''}{{{body}}}"
        pieces.append(text[end : found.start()])
        end = close + 1
        if found[4] is None and not re.search(rf"\\{re.escape(name)}(?![A-Za-z@])", body):
            macros[name] = Macro(arguments, body)
        else:
            pieces.append(text[found.start() : end])
            macros.pop(name, None)
    pieces.append(text[end:])
    return macros, "".join(pieces)


def matching_brace(text: str, start: int, limit: int = 100_000) -> int | None:
    """Position of the brace that closes the one at `start`, at most `limit` characters on."""
    depth = 0
    for found in _BRACE.finditer(text, start, start + limit):
        if found[0] == "{":
            depth += 1
        elif found[0] == "}":
            depth -= 1
            if depth == 0:
                return found.start()
    return None


def expand(text: str, macros: Mapping[str, Macro]) -> str:
    """Expand macros, those in their bodies too; stops where the text would grow beyond GROWTH."""
    limit = GROWTH * len(text) + 100_000
    for _ in range(MAX_DEPTH):
        expanded = _expand_once(text, macros, limit)
        if expanded is None or expanded == text:
            return text
        text = expanded
    return text


def _expand_once(text: str, macros: Mapping[str, Macro], limit: int) -> str | None:
    pieces: list[str] = []
    end = size = 0
    for found in _COMMAND.finditer(text):
        macro = macros.get(found[1])
        if macro is None or found.start() < end:
            continue
        taken = _arguments(text, found.end(), macro.arguments)
        if taken is None:
            continue
        arguments, after = taken
        said = macro.body
        if macro.arguments:
            said = re.sub(r"#(\d)", lambda one, given=arguments: _nth(given, int(one[1])), said)  # type: ignore[misc]
        pieces += [text[end : found.start()], said]
        # the space that ended the command's name stands where a letter would otherwise join it
        end = after
        if not macro.arguments and re.search(r"\\[A-Za-z@]+$", said) is None and text[end : end + 1] == " ":
            end += 1 if re.match(r" [^A-Za-z0-9]", text[end : end + 2]) else 0
        elif re.search(r"\\[A-Za-z@]+$", said) and text[end : end + 1].isalpha():
            pieces.append(" ")
        size += len(said)
        if size > limit:
            return None
    pieces.append(text[end:])
    result = "".join(pieces)
    return result if len(result) <= limit else None


def _nth(arguments: list[str], number: int) -> str:
    return arguments[number - 1] if 1 <= number <= len(arguments) else ""


def _arguments(text: str, position: int, count: int) -> tuple[list[str], int] | None:
    """Read `count` arguments: in braces, or single characters or commands; None where they are not there."""
    arguments = []
    for _ in range(count):
        while text[position : position + 1].isspace():
            position += 1
        if text[position : position + 1] == "{":
            close = matching_brace(text, position)
            if close is None:
                return None
            arguments.append(text[position + 1 : close])
            position = close + 1
        elif (command := _COMMAND.match(text, position)) is not None:
            arguments.append(command[0])
            position = command.end()
        elif position < len(text) and text[position] not in "}$&":
            arguments.append(text[position])
            position += 1
        else:
            return None
    return arguments, position
