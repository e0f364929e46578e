"""States are read back as they were, and nothing but data is read."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from corpuskit.core import step
from corpuskit.core.state import load_state, save_state
from corpuskit.errors import InputError, UsageError


@dataclass
class Kept:
    numbers: np.ndarray
    name: str


@pytest.mark.parametrize(
    "value",
    [
        None,
        (3, [1.5, float("inf"), True], {"a": b"\x00\xff", 7: None}),
        Counter({"the": 2**70, ("a", 1): 1}),
        {1, "x"},
        np.arange(6, dtype=np.uint64).reshape(2, 3),
        np.zeros((0, 2), np.float32),
        np.int64(-5),
        np.array([True, False]),
        np.array("scalar"),
    ],
)
def test_a_state_comes_back_as_it_was(tmp_path: Path, value: object) -> None:
    save_state(value, tmp_path / "s")
    found = load_state(tmp_path / "s")
    assert type(found) is type(value)
    if isinstance(value, np.ndarray):
        assert (found.dtype, found.shape, found.tolist()) == (value.dtype, value.shape, value.tolist())
        assert found.flags.writeable
    else:
        assert found == value


def test_a_dataclass_is_read_where_the_step_says_that_it_is_one(tmp_path: Path) -> None:
    save_state(Kept(np.array([2, 1]), "two"), tmp_path / "s", Kept)
    found = load_state(tmp_path / "s", Kept)
    assert (found.numbers.tolist(), found.name) == ([2, 1], "two")
    with pytest.raises(InputError, match="no state of this step"):
        load_state(tmp_path / "s")
    with pytest.raises(UsageError, match=r"a Kept in it .*\n.*pickled=True"):
        save_state(Kept(np.array([2]), ""), tmp_path / "s")


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    save_state([np.arange(100)], tmp_path / "s")
    whole = (tmp_path / "s").read_bytes()
    for content in (b"", whole[:100], whole[: len(whole) // 2], b"\x80\x05N.", whole.replace(b"<i8", b"|O8")):
        (tmp_path / "s").write_bytes(content)
        with pytest.raises(InputError, match="no state of this step"):
            load_state(tmp_path / "s")


def test_pickle_is_asked_for(tmp_path: Path) -> None:
    @step.signal
    def mine(batch, *, state=None):  # type: ignore[no-untyped-def]
        return batch

    @mine.merge
    def _(a: Kept, b: Kept) -> Kept:
        return a or b

    assert (mine.state_kind, mine.pickled) == (Kept, False)
    mine.merge(pickled=True)(lambda a, b: a)
    assert (mine.state_kind, mine.pickled) == (None, True)
    save_state({frozenset({1})}, tmp_path / "s", pickled=True)
    assert load_state(tmp_path / "s", pickled=True) == {frozenset({1})}
