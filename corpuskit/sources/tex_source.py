r"""One TeX file as it is typed: comments go, and what is verbatim is held aside while everything else is worked on.

In verbatim text and in addresses `%` is no comment, `\input` no command and a macro no macro. Such text is replaced by
a mark, its number between two NULs (TeX ignores NUL in its input), and put back at the very end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_HELD = re.compile("\0([0-9]+)\0")
_VERBATIM = (
    "verbatim", "verbatimtab", "spverbatim", "verbatimwrite", "boxedverbatim", "Verbatim", "BVerbatim", "LVerbatim",
    "SaveVerbatim", "VerbatimOut", "alltt", "semiverbatim", "lstlisting", "minted", "tcblisting", "Sinput", "Soutput",
    "Scode", "Code", "CodeInput", "CodeOutput",
)  # fmt: skip
_DROPPED = ("comment", "filecontents")
_NAMES = re.compile(
    r"\\(?:lstnewenvironment|(?:re)?newtcblisting|(?:Custom|Define)VerbatimEnvironment|newminted\s*\[([A-Za-z]+)\])"
    r"\s*\{([A-Za-z]+)\}|\\newminted\s*\{([A-Za-z]+)\}"
)
_NAMING = ("lstnewenvironment", "newtcblisting", "VerbatimEnvironment", r"\newminted")
MOST_NAMES = 100
"""Verbatim environments of a paper's own; further ones are read as TeX."""

# nothing here can match in two ways, so that each character is looked at a fixed number of times
_BRACED = r"\{(?:[^{}\n]|\{[^{}\n]*+\})*+\}"
_ADDRESS = r"\{(?:[^{}%\n]|%(?![ \t]*+\n)|\n(?![ \t]*+\n)|\{[^{}\n]*+\})*+\}"
_DELIMITED = r"([^A-Za-z\s*{}\\%])[^\n]{0,500}?"
_INLINE = re.compile(
    rf"(?:verb|spverb)\*? *{_DELIMITED}\1"
    rf"|(?:Verb\*?|lstinline|mintinline *(?:\[[^\]\n]{{0,300}}+\])? *\{{[^{{}}\n]*+\}}) *(?:\[[^\]\n]{{0,300}}+\])? *"
    rf"(?:{_DELIMITED}\2|{_BRACED})"
    rf"|(?:url|nolinkurl|path|doi|href) *(?:\[[^\]\n]{{0,300}}+\])? *({_ADDRESS})"
)
_SPECIAL = (
    r"%|\\(?:begin\s*+\{{({names})(\*?)\}}|(?=verb|spverb|Verb|lstinline|mintinline|url|nolinkurl|path|doi|href))"
)
_PLAIN = re.compile(_SPECIAL.format(names="|".join((*_VERBATIM, *_DROPPED))))
_END_OF_INPUT = re.compile(r"^[ \t]*+\\endinput(?![A-Za-z@])", re.MULTILINE)


class Held:
    """The verbatim pieces of a paper, by the numbers that stand for them."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """`texts`: the paper's files, as far as they may name verbatim environments of their own."""
        self.pieces: list[str] = []
        self._special = _PLAIN
        if names := _own_names(texts):
            self._special = re.compile(_SPECIAL.format(names="|".join((*names, *_VERBATIM, *_DROPPED))))

    def source(self, text: str) -> tuple[str, str]:
        r"""Take out what TeX does not read.

        Out: `%` to the end of its line (not `\%`), whole comment lines, comment environments, files written by
        `filecontents`, and what follows `\endinput`.

        Returns:
            (the text with a mark for each verbatim piece, the comments).
        """
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
        pieces, comments, end, at = [], [], 0, 0
        unclosed: set[str] = set()
        while (found := self._special.search(text, at)) is not None:
            start, at = found.start(), found.end()
            if escaped(text, start):
                continue
            if found[0] == "%":
                start, at = _comment(text, start, end)
                pieces.append(text[end:start])
                comments.append(text[start:at])
            elif found[1] is None:
                inline = _INLINE.match(text, at)
                if inline is None or not _wants_holding(inline):
                    continue
                at = inline.end()
                pieces += [text[end:start], self._hold(text[start:at])]
            else:
                close = f"\\end{{{found[1]}{found[2]}}}"
                stop = -1 if close in unclosed else text.find(close, at)
                if stop < 0:
                    unclosed.add(close)  # looked for once, or a file of openings would be read as often as it has them
                    continue
                at = stop + len(close)
                pieces += [text[end:start], "" if found[1] in _DROPPED else self._hold(text[start:at])]
            end = at
        whole = "".join([*pieces, text[end:]])
        if (stopped := _END_OF_INPUT.search(whole)) is not None:
            whole = whole[: stopped.start()]
        return whole, "\n".join(comments)

    def _hold(self, piece: str) -> str:
        self.pieces.append(piece)
        return f"\0{len(self.pieces) - 1}\0"

    def back(self, text: str, limit: int) -> str:
        """Put the verbatim pieces back; those that macros copied, while they have at most `limit` characters."""
        if "\0" not in text:
            return text
        seen: set[int] = set()
        left = limit

        def piece(found: re.Match[str]) -> str:
            nonlocal left
            number = int(found[1])
            if number in seen:
                left -= len(self.pieces[number])
                return self.pieces[number] if left >= 0 else ""
            seen.add(number)
            return self.pieces[number]

        return _HELD.sub(piece, text)


def held_at(text: str, position: int) -> int | None:
    """Where the mark of a verbatim piece ends that begins at `position`."""
    found = _HELD.match(text, position)
    return found.end() if found else None


def _own_names(texts: Iterable[str]) -> list[str]:
    names: dict[str, None] = {}
    for text in texts:
        if any(sign in text for sign in _NAMING):
            for one, two, minted in _NAMES.findall(text):
                names[one or two or f"{minted}code"] = None
    return list(names)[:MOST_NAMES]


def escaped(text: str, position: int) -> bool:
    r"""Whether an odd number of backslashes stands before a position: `\%` is a sign, `\\%` a comment."""
    first = position
    while first and text[first - 1] == "\\":
        first -= 1
    return (position - first) % 2 == 1


def _comment(text: str, start: int, end: int) -> tuple[int, int]:
    """What to cut for a comment at `start`: the whole line, if nothing but blanks stands before it after `end`."""
    stop = text.find("\n", start)
    stop = len(text) if stop < 0 else stop
    first = start
    while first > end and text[first - 1] in " \t":
        first -= 1
    if first and text[first - 1] != "\n":
        return start, stop
    return first, min(stop + 1, len(text))


def _wants_holding(inline: re.Match[str]) -> bool:
    r"""An address is held if it has what TeX would misread; `#1` in it is the argument of a macro under definition."""
    address = inline[3]
    if address is None or "%" in address:
        return True
    return "\\" in address and "#" not in address and not inline[0].startswith("href")
