"""States of steps that need to have seen everything, as Arrow and JSON: reading one runs no code.

A state is made of None, bool, int, float, str, bytes, lists, tuples, sets, dicts, Counters, NumPy arrays and scalars,
and one dataclass, that `merge` says it returns, of such fields. A user's own step may ask for pickle instead, see
`Step.merge`.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpuskit.errors import InputError, UsageError

_SCHEMA = pa.schema([("value", pa.large_binary())])
_MADE: dict[str, Callable[[Any], Any]] = {
    "tuple": tuple,
    "set": set,
    "dict": dict,
    "Counter": lambda one: Counter(dict(one)),
}
"""What is made of a list, or of a list of pairs, by its name in the JSON."""


def save_state(value: Any, path: Path, kind: type | None = None, *, pickled: bool = False) -> None:
    """Write a state.

    Args:
        kind: the dataclass that states of this step are, if they are one. pickled: by pickle, as the step asked.

    Raises:
        UsageError: something in it is none of what states are made of.
    """
    if pickled:
        path.write_bytes(pickle.dumps(value, protocol=5))
        return
    values: list[Any] = []
    tree = json.dumps(_plain(value, kind, values))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA.with_metadata({"state": tree})) as writer:
        for one in values:
            ends = pa.py_buffer(np.array([0, len(one)], np.int64))
            row = pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(one)])
            writer.write_batch(pa.record_batch([row], schema=_SCHEMA))


def load_state(path: Path, kind: type | None = None, *, pickled: bool = False) -> Any:
    """Read what `save_state` wrote with the same arguments.

    Raises:
        InputError: it is no such state.
    """
    if pickled:
        return pickle.loads(path.read_bytes())  # the user's own step asked for it
    try:
        with pa.OSFile(str(path)) as source:
            reader = pa.ipc.open_file(source)
            tree = json.loads(reader.schema.metadata[b"state"])
            return _made(tree, kind, lambda row: reader.get_batch(row).column(0)[0].as_buffer())
    except (pa.ArrowInvalid, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no state of this step: {error!r}", "remove the file and run again") from None


def _plain(value: Any, kind: type | None, values: list[Any]) -> Any:
    """A value as JSON; bytes and arrays go to `values` and leave their number."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, list):
        return [_plain(one, kind, values) for one in value]
    if type(value) in (tuple, set):
        return {type(value).__name__: [_plain(one, kind, values) for one in value]}
    if type(value) in (dict, Counter):
        return {type(value).__name__: [[_plain(one, kind, values) for one in pair] for pair in value.items()]}
    if isinstance(value, bytes):
        values.append(value)
        return {"bytes": len(values) - 1}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufcSU":
        array = np.ascontiguousarray(value)
        values.append(array.reshape(-1).view(np.uint8))
        shape = None if isinstance(value, np.generic) else list(value.shape)
        return {"array": len(values) - 1, "dtype": value.dtype.str, "shape": shape}
    if kind is not None and type(value) is kind and dataclasses.is_dataclass(kind):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
        return {"fields": {name: _plain(one, kind, values) for name, one in fields.items()}}
    raise UsageError(
        f"a state with a {type(value).__name__} in it cannot be written as Arrow and JSON",
        "make it of numbers, texts, lists, dicts and NumPy arrays, or of one dataclass of them that `merge` says it "
        "returns; or ask for pickle: `.merge(pickled=True)`",
    )


def _made(tree: Any, kind: type | None, value: Callable[[int], pa.Buffer]) -> Any:
    if isinstance(tree, list):
        return [_made(one, kind, value) for one in tree]
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        dtype = np.dtype(tree["dtype"])
        array = np.frombuffer(value(tree["array"]), dtype)
        return array[0] if tree["shape"] is None else array.reshape(tree["shape"]).copy()
    ((name, one),) = tree.items()
    if name == "bytes":
        return value(one).to_pybytes()
    if name == "fields":
        if kind is None:
            raise TypeError("it holds a dataclass")
        return kind(**{field: _made(below, kind, value) for field, below in one.items()})
    return _MADE[name](_made(one, kind, value))
