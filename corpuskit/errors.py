"""Errors a user can meet: each says what, where, why, and the next command.

Every class carries the exit code of the command line: 1 a unit failed, 2 the recipe or the arguments are wrong, 3 an
`expect` failed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class CorpuskitError(Exception):
    """Base of all errors that are the user's to fix.

    Args:
        message: what is wrong, naming file and line (or document).
        hint: the next command, or the nearest valid name; printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.message, self.hint)


class UsageError(CorpuskitError):
    """The recipe or the arguments are wrong; nothing was run."""

    exit_code = 2


class InputError(CorpuskitError):
    """A raw file cannot be read to its end, or changed while it was read; what came before it is not lost."""


class DamagedFile(CorpuskitError):
    """A file of a run is not what was written.

    Args:
        root: the root that it is in. file: its path below it.
        how: what is wrong. maker: the unit that made it.
    """

    def __init__(self, root: str, file: str, how: str, maker: str) -> None:
        by = f"; {maker} made it" if maker else ""
        super().__init__(
            f"{root}/{file} is damaged: {how}{by}",
            f"corpuskit verify {root} --repair; the recipe's next run makes again what that removes",
        )
        self._told = (root, file, how, maker)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), self._told


class UnitFailed(CorpuskitError):
    """One or more units failed; all others are committed."""


class ExpectFailed(CorpuskitError):
    """The run is complete, but an `expect` of the recipe does not hold."""

    exit_code = 3


def raised_at(error: BaseException) -> str:
    """`FILE:LINE` of the innermost code of the user's that an exception went through, or of where it was raised."""
    import sysconfig
    import traceback

    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    others = [Path(folder).resolve() for folder in (str(Path(__file__).parent), *installed)]

    def own(file: Path) -> bool:  # a path such as `pyarrow/table.pxi` is of a library that is no Python
        return file.is_absolute() and file.is_file() and not any(map(file.resolve().is_relative_to, others))

    frames = traceback.extract_tb(error.__traceback__)
    last = ([frame for frame in frames if own(Path(frame.filename))] or frames)[-1]
    return f"{last.filename}:{last.lineno}"


def install(extra: str) -> str:
    """The command that installs the packages of an extra of corpuskit."""
    return f"pip install '.[{extra}]' in the clone"


def did_you_mean(word: str, valid: Iterable[str]) -> str | None:
    """Name the valid word nearest to `word`, as a sentence, or None where nothing is near."""
    close = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None
