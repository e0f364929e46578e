"""Faults of a recipe, collected and shown all at once: file, line, column, reason, a caret, the nearest valid name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from corpuskit.errors import UsageError


class RecipeError(UsageError):
    """A recipe that cannot be used; the message is the whole report, one block for each fault."""


@dataclass(frozen=True)
class Document:
    """A text that settings come from: the recipe, a file named by `--set KEY=@FILE`, or a `--set` itself.

    Attributes:
        shown: what reports call it. lines: its text. base: the folder that its relative paths start from.
    """

    shown: str
    lines: tuple[str, ...]
    base: Path


@dataclass(frozen=True)
class Span:
    """A place in a document; `line`, `column` and `end` (exclusive, on the same line) count characters from 0."""

    document: Document
    line: int
    column: int
    end: int

    def __str__(self) -> str:
        return f"{self.document.shown}:{self.line + 1}:{self.column + 1}"


class Faults:
    """Collects faults until `check` raises them all, sorted by place; the same fault is reported once."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self._found: dict[tuple[Span, str], str | None] = {}
        self._documents: list[Document] = []
        self._settled: set[Span] = set()

    def __len__(self) -> int:
        return len(self._found)

    def add(self, span: Span, reason: str, hint: str | None = None, *, settles: bool = False) -> None:
        """Note a fault; `hint` stands behind the caret. One that `settles` makes later faults of its place moot."""
        if span in self._settled and not settles:
            return
        if settles:
            self._settled.add(span)
        self._found.setdefault((span, reason), hint)
        if span.document not in self._documents:
            self._documents.append(span.document)

    def check(self) -> None:
        """Raise a RecipeError if there is any fault."""
        if self._found:
            self.fail()

    def fail(self) -> NoReturn:
        """Raise what was found."""
        ranked = sorted(
            self._found.items(),
            key=lambda item: (self._documents.index(item[0][0].document), item[0][0].line, item[0][0].column),
        )
        blocks = [_block(span, reason, hint) for (span, reason), hint in ranked]
        count = "1 fault; fix it" if len(blocks) == 1 else f"{len(blocks)} faults; fix them"
        raise RecipeError("\n\n".join(blocks) + "\n", f"{count}, then: corpuskit check {self.shown}")


def _block(span: Span, reason: str, hint: str | None) -> str:
    line = span.document.lines[span.line] if span.line < len(span.document.lines) else ""
    # what a terminal would show as another width would move the caret
    shown = "".join(character if character.isprintable() else " " for character in line)
    number = str(span.line + 1)
    carets = "^" * max(1, min(span.end, len(line)) - span.column)
    gutter = " " * len(number)
    under = " " * span.column + carets + (f" {hint}" if hint else "")
    return f"{span}: {reason}\n {gutter} |\n {number} | {shown}\n {gutter} | {under}"
