"""The receipts of a stage as a sequence: they are read when they are asked for, and one may be gone by then."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from corpuskit.core.checksum import with_sum
from corpuskit.core.plan import Stage, Unit
from corpuskit.core.work import Receipt
from corpuskit.dedup.kinds import Banded
from corpuskit.errors import UsageError
from corpuskit.store.local import LocalStore
from corpuskit.store.receipts import Receipts, Recent
from corpuskit.store.root import Root


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


class Listing(LocalStore):
    """A root that counts its listings."""

    lists = 0

    def list(self, folder: str) -> dict[str, int]:
        self.lists += 1
        return super().list(folder)


def test_a_stage_is_listed_once_and_again_when_a_unit_is_gone(tmp_path: Path) -> None:
    stage = Stage("banded", "buckets", {}, {}, {}, "k", made=Banded(1, 1, "global", "d"))
    stage.units = [Unit(f"{number}", "one", [], "", 1) for number in range(3)]
    store = Listing(tmp_path)
    for unit in stage.units:
        part = {"file": unit.key, "rows": 1, "bytes": 1, "digest": "", "sums": "", "publish": None}
        told = {"key": unit.key, "label": "one", "books": {}, "facts": {}, "inputs": [], "versions": {}}
        told |= {"seconds": 1.0, "cpu_seconds": 1.0, "peak_bytes": 1, "parts": {"part": part}}
        store.put(f"stages/{stage.folder}/parts/{unit.key}", b"x")
        store.put(f"stages/{stage.folder}/receipts/{unit.key}.json", with_sum(told))
    root = Root(store)
    for _ in range(3):
        assert [one.unit for one in root.receipts(stage)] == [0, 1, 2]
        assert [one.unit for one in root.complete(stage)] == [0, 1, 2]
    assert store.lists == 1
    store.delete([f"stages/{stage.folder}/parts/1"])
    with pytest.raises(UsageError, match="1 of 3 units of `banded` are not complete"):
        list(root.receipts(stage))
    store.delete([f"stages/{stage.folder}/receipts/1.json"])
    assert [one.unit for one in root.complete(stage)] == [0, 2]
    with pytest.raises(UsageError, match="1 of 3 units of `banded` are not complete"):
        root.receipts(stage)
