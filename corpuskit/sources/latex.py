r"""LaTeX to text: files joined, comments out, the user's macros expanded, preamble and bibliography out.

Mathematics, sectioning commands and verbatim text stay as they are written: they are what a model of scientific text
should learn. A paper's files are its main file with all that it inputs, then files that nobody inputs, then other
documents such as a supplement; what is left out is named.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from corpuskit.sources.tex_macros import Macro, Reader, definitions, expand
from corpuskit.sources.tex_source import Held, escaped

MAX_INPUTS = 5000
MAX_DEPTH = 16
MAX_STEPS = 200_000
"""Inputs followed in search of the main file."""

WORDS = 10
"""A file that nobody inputs is text from this many words on, commands and pictures aside."""

SAME = 0.65
"""A file is another version of the text if this share of its lines, by characters, is in the text already.

Of 33 revisions of chapters of the Stacks project, years older than their newest, 32 share 0.70 and more with it; of its
chapters with all the others, the one that was copied and adapted shares 0.60 and the rest at most 0.46.
"""

TEX_SUFFIXES = (".tex", ".ltx", ".latex", ".txt")

_INPUT = re.compile(
    r"\\(?P<beside>sub)?(?:import|inputfrom|includefrom)\*?\s*+\{(?P<folder>[^{}\n]*+)\}\s*+\{(?P<imported>[^{}\n]++)\}"
    r"|\\(?P<command>@?input|include|subfile(?:include)?|InputIfFileExists)\s*+\{(?P<file>[^{}]++)\}"
    r"|\\@?input\s++(?P<plain>[^\s{}\\]++)"
)
_BEGIN = re.compile(r"\\begin\s*+\{document\}")
_END = re.compile(r"\\end\s*+\{document\}")
_DOCUMENT_CLASS = re.compile(r"\\document(?:class|style)(?![A-Za-z])")
_SECTION = re.compile(r"\\(?:section|chapter)\b")
_ANYTHING = re.compile(r"\S")
_BIBLIOGRAPHY = re.compile(
    r"\\begin\s*+\{thebibliography\}.*?(?:\\end\s*+\{thebibliography\}|\Z)"
    r"|\\(?:bibliography|bibliographystyle|addbibresource|nocite)\s*+\{[^{}]*+\}"
    r"|\\printbibliography(?:\[[^\]]{0,300}+\])?",
    re.DOTALL,
)
_BLANKS = re.compile(r"\n[ \t]*+\n(?:[ \t]*+\n)++")

_TEX_TEXT = re.compile(r"\\(?:document(?:class|style)|begin|section|chapter|input|magnification|bye)(?![A-Za-z])")
_LETTER_NAME = re.compile(r"respon[sd]|rebuttal|reply|replies|referee|review|letter|changes", re.IGNORECASE)
_LETTER_WORD = re.compile(r"(?i:\b(?:referee|reviewer|editor)s?\b)")
_CLASS = re.compile(r"\\document(?:class|style)\s*+(?:\[[^\]]{0,500}+\])?\s*+\{\s*+([^{}\s]{1,50}+)")
_ASIDE = {"letter": "letter", "scrlttr2": "letter", "standalone": "picture"}
_PICTURES = ("tikzpicture", "pspicture", "picture")
_SET_UP = re.compile(r"\\[A-Za-z@]++\*?(?:\[[^\]\n]{0,200}+\]|\{[^{}\n]{0,200}+\})*+")
_WORD = re.compile(r"[^\W\d_]{2,}+")


@dataclass(frozen=True)
class Paper:
    """A paper's text and where it comes from.

    Attributes:
        text: all of its documents, a blank line between two.
        files: the files that the text was made of, in the order in which they were first read.
        left_out: its other TeX files as `NAME (REASON, N characters)`, by name.
    """

    text: str
    files: tuple[str, ...]
    left_out: tuple[str, ...]


def document_text(files: Mapping[str, str]) -> str | None:
    """The text of a paper as `read_paper` finds it; None where no file has any TeX to read."""
    paper = read_paper(files)
    return paper.text if paper else None


def read_paper(files: Mapping[str, str]) -> Paper | None:
    r"""Read a paper.

    The main file is the one that has or inputs `\documentclass` and `\begin{document}` (several: no letter, the one
    that reaches the most text, then by name). Behind it stand files of text that nobody inputs, then other documents,
    each with its own preamble and macros, both by name. If there is no main file, all files stand by name.

    Left out are files without text of their own (macros, pictures, bibliographies), other versions of what is in the
    text, files whose input is commented out, letters to and from referees, and marked differences of two versions.

    Args:
        files: the paper's TeX files by path, with what they may input.

    Returns:
        None where no file has any TeX to read.
    """
    paper = _Files(files)
    main = paper.main()
    if main is None:
        return None
    text, macros = paper.document(main)
    texts = {main: text}
    reasons = paper.chosen(main)
    following = sorted((name for name, reason in reasons.items() if reason is None), key=_natural)
    parts = [name for name in following if not paper.stands_alone(name)]
    texts |= {name: paper.document(name, macros)[0] for name in parts}
    if not paper.stands_alone(main):
        texts = dict(sorted(texts.items(), key=lambda one: _natural(one[0])))
    texts |= {name: paper.document(name)[0] for name in following if name not in texts}
    joined = paper.held.back("\n\n".join(filter(None, texts.values())), sum(map(len, files.values())))
    rest = sorted((name for name in files if _is_tex(name) and name not in paper.used), key=_natural)
    return Paper(joined.strip(), tuple(filter(_is_tex, paper.used)), tuple(paper.named(name, reasons) for name in rest))


def _is_tex(name: str) -> bool:
    return name.lower().endswith(TEX_SUFFIXES)


def _natural(name: str) -> str:
    """`chapter10` stands behind `chapter2`."""
    return re.sub(r"[0-9]+", lambda number: number[0].zfill(20), name)


@dataclass(frozen=True)
class _Input:
    """A command that inputs a file, and where it stands in its own file.

    Attributes:
        folder: where `import` looks; None for other commands. beside: that folder is in the importing one.
    """

    start: int
    end: int
    file: str
    command: str
    folder: str | None
    beside: bool


def _inputs(text: str) -> list[_Input]:
    found = []
    for one in _INPUT.finditer(text):
        if not escaped(text, one.start()):
            file = (one["imported"] or one["file"] or one["plain"]).strip().strip('"').removesuffix(".tex")
            found.append(_Input(*one.span(), file, one["command"] or "input", one["folder"], one["beside"] is not None))
    return found


class _Files:
    """The files of a paper: each read once, and used in the text or not."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self.held = Held(files.values())
        self.used: dict[str, None] = {}
        self._sources: dict[str, tuple[str, str]] = {}
        self._inputs: dict[str, list[_Input]] = {}
        self._reaches: dict[str, list[str]] = {}
        self._tex = [
            name
            for name, text in files.items()
            if _is_tex(name) and (not name.lower().endswith(".txt") or _TEX_TEXT.search(text))
        ]
        self._count = self._size = self._steps = 0
        self._limit = 4 * sum(map(len, files.values())) + 1000

    def source(self, name: str) -> str:
        r"""A file without comments, to its `\end{document}`."""
        return self._source(name)[0]

    def _source(self, name: str) -> tuple[str, str]:
        if name not in self._sources:
            text, comments = self.held.source(self._files[name])
            if (end := _END.search(text)) is not None:
                text, comments = text[: end.end()], comments + text[end.end() :]
            self._sources[name] = text, comments
        return self._sources[name]

    def inputs(self, name: str) -> list[_Input]:
        """What a file inputs, in order."""
        if name not in self._inputs:
            self._inputs[name] = _inputs(self.source(name))
        return self._inputs[name]

    def main(self) -> str | None:
        """Find the file that the others belong to: it reaches a document through its inputs, and the most text."""
        inputs: set[str] = set()
        for name in self._tex:
            folder = posixpath.dirname(name)
            inputs |= {target for target, _ in self._targets(name, folder, folder)}
        roots = [name for name in self._tex if name not in inputs]
        for signs in ((_DOCUMENT_CLASS, _BEGIN), (_BEGIN,), (_DOCUMENT_CLASS,), (_SECTION,), (_ANYTHING,)):
            for names in (roots, self._tex):
                found = [name for name in names if all(self._any(sign, self._reached(name)) for sign in signs)]
                if found:
                    return min(found, key=self._rank)
        return None

    def _rank(self, name: str) -> tuple[bool, int, bool, str]:
        has_class = self._any(_DOCUMENT_CLASS, [name])
        return self._aside(name) is not None, -self._length(self._reached(name)), not has_class, name

    def stands_alone(self, name: str) -> bool:
        """Whether a file is a document, or inputs one, and no part of another."""
        kind = _CLASS.search(self.source(name))
        return not (kind and kind[1] == "subfiles") and self._any(_BEGIN, self._reached(name))

    def document(self, root: str, macros: Mapping[str, Macro] | None = None) -> tuple[str, dict[str, Macro]]:
        """The text of a file with all that it inputs, and the macros defined in it besides the given ones."""
        whole = self._inlined(root)
        begin = _BEGIN.search(whole)
        preamble, body = (whole[: begin.start()], whole[begin.end() :]) if begin else ("", whole)
        if (end := _END.search(body)) is not None:
            body = body[: end.start()]
        body = _BIBLIOGRAPHY.sub("", body)
        first, _ = definitions(preamble)
        more, body = definitions(body)
        known = {**(macros or {}), **first, **more}
        return _BLANKS.sub("\n\n", expand(body, known)).strip(), known

    def chosen(self, main: str) -> dict[str, str | None]:
        """Choose among the files that are not in the text yet.

        Returns:
            By name: None for a file whose document follows; else why the file is left out. Files that a chosen one
            inputs are missing.
        """
        left = {name: self._reached(name) for name in self._tex if name not in self.used}
        reasons: dict[str, str | None] = dict.fromkeys(self._commented() & left.keys(), "commented out")
        named = {part for name, parts in left.items() for part in parts if part != name}
        lines = set(self._lines(self.used)) if left else set()
        taken = set(self.used)
        for name in sorted(left, key=lambda one: (one in named, one != main, -self._length(left[one]), _natural(one))):
            new = [part for part in left[name] if part not in taken and part not in reasons]
            if name not in new:
                continue
            reason = self._aside(name) or self._why_not(new, lines)
            if reason is None:
                taken.update(new)
                lines.update(self._lines(new))
                reasons[name] = None
            else:
                reasons.update(dict.fromkeys(new, reason))
        return reasons

    def named(self, name: str, reasons: Mapping[str, str | None]) -> str:
        """A file that is left out, with reason and length."""
        reason = reasons.get(name) or ("beyond the bounds of inputs" if name in self._tex else "no TeX")
        return f"{name} ({reason}, {len(self._files[name])} characters)"

    def _any(self, sign: re.Pattern[str], names: Iterable[str]) -> bool:
        return any(sign.search(self.source(name)) for name in names)

    def _length(self, names: Iterable[str]) -> int:
        return sum(len(self._files[name]) - len(self._source(name)[1]) for name in names)

    def _reached(self, root: str) -> list[str]:
        """A file and what it inputs, each once; in all, at most MAX_STEPS inputs are followed."""
        if root not in self._reaches:
            folder = posixpath.dirname(root)
            seen, waiting = {root: folder}, [root]
            while waiting and self._steps < MAX_STEPS:
                name = waiting.pop()
                for target, base in self._targets(name, seen[name], folder):
                    self._steps += 1
                    if target not in seen:
                        seen[target] = base
                        waiting.append(target)
            self._reaches[root] = list(seen)
        return self._reaches[root]

    def _targets(self, name: str, base: str, root: str) -> list[tuple[str, str]]:
        found = (self._target(one, name, base, root) for one in self.inputs(name))
        return [target for target in found if target is not None]

    def _target(self, one: _Input, name: str, base: str, root: str) -> tuple[str, str] | None:
        """The file that a command in file `name` inputs, and the folder in which that looks for its own inputs.

        TeX looks in the folder of the main file; `import` and `subfile` make it look in another (`base`) first. Files
        packed otherwise than they were written are looked for beside the file that names them, and above.
        """
        if one.folder is not None:
            first = posixpath.join(base if one.beside else root, one.folder)
            folders = [first, posixpath.join(root if one.beside else base, one.folder), one.folder]
        else:
            parts = posixpath.dirname(name).split("/")
            folders = [base, root, "", *("/".join(parts[: n + 1]) for n in range(min(len(parts), MAX_DEPTH)))]
        for folder in dict.fromkeys(folders):
            path = posixpath.normpath(posixpath.join(folder, one.file))
            for target in (path + ".tex", path):
                if target in self._files:
                    moved = posixpath.dirname(target) if one.command.startswith("subfile") else base
                    return target, moved if one.folder is None else folder
        return None

    def _inlined(self, root: str) -> str:
        """A file with its inputs in their places; one is inlined as often as it is named, within bounds."""
        folder = posixpath.dirname(root)
        has_class = False

        def inline(name: str, base: str, above: tuple[str, ...]) -> str:
            nonlocal has_class
            self.used[name] = None
            text = self.source(name)
            own = _DOCUMENT_CLASS.search(text) is not None
            # a document within a document (subfiles, standalone) is there without its preamble
            start, stop = _body(text) if own and has_class else (0, len(text))
            has_class = has_class or own
            pieces, end, reader = [], start, Reader(text)
            for one in self.inputs(name):
                if one.start < end or one.end > stop:
                    continue
                pieces.append(text[end : one.start])
                found = self._target(one, name, base, folder)
                end = one.end
                if one.command == "InputIfFileExists":
                    branch, end = _branch(reader, end, found is not None)
                    pieces.append(branch)
                if found is not None and self._may_input(found[0], above):
                    pieces.append(inline(*found, (*above, found[0])))
            return "".join([*pieces, text[end:stop]])

        return inline(root, folder, (root,))

    def _may_input(self, target: str, above: tuple[str, ...]) -> bool:
        if target in above or len(above) > MAX_DEPTH or self._count >= MAX_INPUTS or self._size > self._limit:
            return False
        self._count += 1
        self._size += len(self.source(target))
        return True

    def _commented(self) -> set[str]:
        """The files that comments of the used files name as inputs."""
        found = set()
        for name in self.used:
            folder = posixpath.dirname(name)
            for one in _inputs(self._source(name)[1]):
                target = self._target(one, name, folder, folder)
                found |= {target[0]} if target else set()
        return found

    def _aside(self, name: str) -> str | None:
        """Why a file is no part of the paper whatever it says."""
        text = self.source(name)
        kind = _CLASS.search(text)
        if kind and kind[1] in _ASIDE:
            return _ASIDE[kind[1]]
        if _LETTER_NAME.search(posixpath.basename(name)) and len(set(_LETTER_WORD.findall(text))) > 1:
            return "letter"
        return "marked differences" if "\\DIFadd" in text else None

    def _why_not(self, names: list[str], lines: set[str]) -> str | None:
        """Why files that nobody inputs are left out, `lines` being those of the text."""
        words = 0
        for name in names:
            _, prose = definitions(self._body_of(name))
            for picture in _PICTURES:
                first, *others = prose.split(f"\\begin{{{picture}}}")
                prose = "".join([first, *(other.partition(f"\\end{{{picture}}}")[2] for other in others)])
            words += len(_WORD.findall(_SET_UP.sub(" ", prose)))
        if words < WORDS:
            return "no text of its own"
        own = self._lines(names)
        shared = sum(len(line) for line in own if line in lines)
        return "another version of the text" if shared >= SAME * sum(map(len, own)) else None

    def _lines(self, names: Iterable[str]) -> list[str]:
        texts = (self.held.back(self._body_of(name), 0) for name in names)
        return [line for text in texts for line in map(str.strip, text.split("\n")) if line]

    def _body_of(self, name: str) -> str:
        text = self.source(name)
        start, stop = _body(text)
        return _BIBLIOGRAPHY.sub("", text[start:stop])


def _body(text: str) -> tuple[int, int]:
    begin, end = _BEGIN.search(text), _END.search(text)
    return begin.end() if begin else 0, end.start() if end else len(text)


def _branch(reader: Reader, position: int, first: bool) -> tuple[str, int]:
    """The first or the second of two arguments, and where they end."""
    taken = reader.arguments(position, Macro(2, ""))
    return (taken[0][0 if first else 1], taken[1]) if taken else ("", position)
