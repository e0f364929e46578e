"""The receipts of a stage as a sequence: they are read when they are asked for, and one may be gone by then."""

from collections.abc import Iterable, Iterator

import pytest

from corpuskit.core.work import Receipt
from corpuskit.store.receipts import Receipts, Recent


def receipt(number: int) -> Receipt:
    return Receipt("stage", number, f"{number}", "", {}, {}, {}, [], 0.0, 0.0, 0)


def fetch(numbers: Iterable[int]) -> Iterator[Receipt | None]:
    return (receipt(number) if number != 3 else None for number in numbers)


def test_it_is_a_sequence() -> None:
    units = [one.unit for one in Receipts(3, fetch, ValueError)]
    assert units == [0, 1, 2]
    three = Receipts(3, fetch, ValueError)
    assert (three[0].unit, three[-1].unit, three[-2].unit) == (0, 2, 1)
    assert [one.unit for one in three[1:]] == [1, 2]
    assert [one.unit for one in reversed(three)] == [2, 1, 0]
    for number in (3, -4):
        with pytest.raises(IndexError):
            _ = three[number]


def test_one_that_is_gone_is_an_error_and_not_left_out() -> None:
    found = Receipts(5, fetch, lambda count: ValueError(f"{count} is gone"))
    with pytest.raises(ValueError, match="1 is gone"):
        list(found)
    with pytest.raises(ValueError, match="1 is gone"):
        _ = found[3]
    assert found[4].unit == 4


def test_those_that_nobody_asked_for_the_longest_are_forgotten() -> None:
    recent = Recent(30)
    for number in range(3):
        recent.put("folder", f"{number}", receipt(number), 10)
    assert recent.get("folder", "0") == receipt(0)
    recent.put("folder", "3", receipt(3), 10)
    assert [number for number in range(4) if recent.get("folder", f"{number}") is not None] == [0, 2, 3]
    recent.put("folder", "0", receipt(0), 40)  # one that has no room by itself is there until the next
    assert [number for number in range(4) if recent.get("folder", f"{number}") is not None] == [0]
    recent.drop("folder", "0")
    assert recent.get("folder", "0") is None
