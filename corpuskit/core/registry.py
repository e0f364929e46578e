"""Steps by the names that recipes give them: built-in ones, those in a user's file, and those of another library."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from corpuskit.core.identity import local_modules_of, source_digest
from corpuskit.core.step import Kind, Step, registered
from corpuskit.errors import UsageError, did_you_mean

BUILT_IN = ("corpuskit.sources", "corpuskit.steps")
"""The rooms of built-in steps. `FILES` of a room says which file holds which, and they register themselves when that is
imported."""

bridges: dict[str, Callable[[str, Iterable[Kind]], Step]] = {}
"""From the name of another library to what makes a step of one of its classes; the built-in rooms add theirs."""


def builtin(kinds: Iterable[Kind]) -> dict[str, Step]:
    """Steps of corpuskit itself, by name."""
    for room in BUILT_IN:
        for file in _files_of(room):
            importlib.import_module(f"{room}.{file}")
    wanted = set(kinds)
    return {name: found for name, found in sorted(registered.items()) if found.kind in wanted}


def _files_of(room: str) -> dict[str, tuple[str, ...]]:
    """The files of a room, and the names of the steps of each."""
    files: dict[str, tuple[str, ...]] = importlib.import_module(room).FILES
    return files


def _known(reference: str, kinds: Sequence[Kind]) -> Step | None:
    """The built-in step of this name, if it is of one of these kinds; only its own file is imported."""
    for room in BUILT_IN:
        for file, names in _files_of(room).items():
            if reference in names:
                importlib.import_module(f"{room}.{file}")
    found = registered.get(reference)
    return found if found is not None and found.kind in kinds else None


def resolve(reference: str, kinds: Iterable[Kind], base: Path) -> Step:
    """Find a step by a built-in name, `./file.py:function` (relative to `base`) or `datatrove:Class`.

    Raises:
        UsageError: unknown name (with the nearest one), missing file or function, or a step of another kind.
    """
    kinds = tuple(kinds)
    found = _known(reference, kinds)
    if found is not None:
        return found
    if ".py:" in reference:
        return _of_file(reference, kinds, base)
    known = builtin(kinds)  # a bridge among them
    library, colon, name = reference.partition(":")
    if colon and library in bridges:
        return bridges[library](name, kinds)
    elsewhere = registered.get(reference)
    if elsewhere is not None:
        msg = f"`{reference}` is a {elsewhere.kind}, not a {' or '.join(kinds)}"
        raise UsageError(msg)
    msg = f"unknown {' or '.join(dict.fromkeys('reader' if k == 'source' else 'step' for k in kinds))} `{reference}`"
    raise UsageError(msg, did_you_mean(reference, known) or f"known: {', '.join(known)}")


def _of_file(reference: str, kinds: Sequence[Kind], base: Path) -> Step:
    found = _from_file(reference, kinds, base)
    if found.kind not in kinds:
        msg = f"`{reference}` is a {found.kind}, not a {' or '.join(kinds)}"
        raise UsageError(msg)
    return found


def _refuse_clashes(reference: str, path: Path) -> None:
    """Python knows one module of a name: two folders with a `common.py` each cannot both be imported."""
    for local, _ in local_modules_of(path):
        known = sys.modules.get(local.parent.name if local.name == "__init__.py" else local.stem)
        file = getattr(known, "__file__", None)
        if local != path and file is not None and Path(file).resolve() != local.resolve():
            msg = f"`{reference}` imports {local}, but another module of that name is loaded: {file}"
            raise UsageError(msg, f"rename {local.name}")


_files: dict[tuple[Path, str], types.ModuleType] = {}


_DECORATORS: Mapping[Kind, str] = {"source": "@step.source", "method": "@method of corpuskit.mix.methods"}


def _from_file(reference: str, kinds: Sequence[Kind], base: Path) -> Step:
    file, _, name = reference.rpartition(":")
    path = (base / file).resolve()
    if not path.is_file():
        msg = f"`{reference}`: there is no file {path}"
        raise UsageError(msg)
    key = (path, source_digest(path))
    if key not in _files:
        label = f"corpuskit_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
        spec = importlib.util.spec_from_file_location(label, path)
        if spec is None or spec.loader is None:
            msg = f"`{reference}`: {path} is not a Python file"
            raise UsageError(msg)
        _refuse_clashes(reference, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[label] = module
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))  # stays: a function may import its neighbours when it is called
        try:
            spec.loader.exec_module(module)
        except UsageError as error:  # of a decorator
            raise UsageError(f"{path}: {error.message}", error.hint) from error
        except Exception as error:
            msg = f"`{reference}`: importing {path} failed: {type(error).__name__}: {error}"
            raise UsageError(msg) from error
        _files[key] = module
    found = getattr(_files[key], name, None)
    if not isinstance(found, Step):
        steps = [label for label, value in vars(_files[key]).items() if isinstance(value, Step)]
        decorator = _DECORATORS.get(kinds[0], "@step.filter, say")
        sort = "step" if len(kinds) > 1 else kinds[0]
        what = f"is not a {sort} (decorate it with {decorator})" if found is not None else "is not defined there"
        msg = f"`{reference}`: `{name}` {what}"
        raise UsageError(msg, did_you_mean(name, steps) or (f"defined there: {', '.join(steps)}" if steps else None))
    if found.kind == "barrier":
        msg = f"`{reference}` is corpuskit's own `{found.name}`"
        raise UsageError(msg, f"write `{found.name}: {{...}}`")
    found.origin = path
    return found
