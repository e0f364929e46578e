"""Similarities that an earlier run in this root has computed: `index/edges`.

A pair is known by the hashes of its two normalized texts, not by the documents' ids, so that what is known stays true
when files change, thresholds move or documents are removed. Every run writes all that it needed.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from numba import njit

from corpuskit.core.checksum import file_sum
from corpuskit.core.work import Work
from corpuskit.dedup.files import ArrayFile
from corpuskit.dedup.kinds import Compared
from corpuskit.dedup.sort import U64, Sorter
from corpuskit.kernels.hashing import mix

F64 = npt.NDArray[np.float64]


def _folder(work: Work[Compared]) -> str:
    params = work.spec.params
    return f"index/edges/{params.unit}-{params.n}"


@njit(nogil=True, cache=True)
def pair_key(one: U64, two: U64) -> U64:
    """uint64[n]: the key of each pair of texts, by their hashes, in either order."""
    result = np.empty(len(one), np.uint64)
    for i in range(len(one)):
        result[i] = mix(min(one[i], two[i]), max(one[i], two[i]))
    return result


class Known:
    """What `index/edges` of the work's root holds for its shingles."""

    def __init__(self, work: Work[Compared]) -> None:
        self._files: list[tuple[ArrayFile, ArrayFile]] = []
        whole = {path.name.partition(".")[0]: path for path in work.memo(_folder(work)).files()}
        for name, path in whole.items():
            beside = name.removesuffix("-key") + "-jaccard"
            if not name.endswith("-key") or beside not in whole:
                continue  # another run is filling the folder, or files are damaged: nothing is known of these
            try:
                keys, jaccard = ArrayFile(path), ArrayFile(whole[beside])
            except (FileNotFoundError, ValueError):
                continue
            if keys.shape == jaccard.shape:
                self._files.append((keys, jaccard))

    def look(self, keys: U64) -> tuple[npt.NDArray[np.bool_], F64]:
        """Which pairs are known, bool[n], and their Jaccard similarities, float64[n] (0 where not known)."""
        found, jaccard = np.zeros(len(keys), np.bool_), np.zeros(len(keys), np.float64)
        if not self._files:
            return found, jaccard
        order = np.argsort(keys)
        for key_file, jaccard_file in self._files:
            left = order[~found[order]]
            try:
                places = key_file.find(keys[left])
                here = places >= 0
                jaccard[left[here]] = jaccard_file.gather(places[here])
            except FileNotFoundError:
                continue  # another run has sealed meanwhile
            found[left[here]] = True
        return found, jaccard

    class Writer:
        """Collects what a unit computed, and publishes it for later runs."""

        def __init__(self, work: Work[Compared]) -> None:
            self._work = work
            self._sorter = Sorter(work.scratch / "known", work.memory // 16, np.float64)

        def add(self, keys: U64, jaccard: F64) -> None:
            """Take pairs."""
            self._sorter.add(keys, jaccard)

        def __enter__(self) -> Self:
            return self

        def __exit__(
            self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
        ) -> None:
            if kind is None:
                paths = {name: self._work.put(f"known_{name}", ".npy") for name in ("key", "jaccard")}
                self._sorter.save(*paths.values())
                for name, path in paths.items():  # by name and sum, as `Memo` looks for them
                    publish = f"{_folder(self._work)}/{self._work.key}-{name}.{file_sum(path)}.npy"
                    self._work.put(f"known_{name}", ".npy", publish=publish)
