"""Byte ranges of many files, local or through fsspec: near ones in one request, some requests at a time, in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from corpuskit.errors import CorpuskitError
from corpuskit.sources.listing import filesystem

GAP_BYTES = 64 << 10
"""Ranges of a file with at most this much between them are read in one request: it costs less than another one."""

REQUEST_BYTES = 2 << 20
"""Ranges are not put together beyond this."""

PARALLEL = 16
HELD_BYTES = 32 << 20
"""Bytes asked for and not given yet; one range may be larger, and is then alone."""

WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each new attempt."""

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Bytes [start, start + length) of a file; one of no length is not read."""

    address: str
    start: int
    length: int

    @property
    def end(self) -> int:
        """The byte behind the last."""
        return self.start + self.length


R = TypeVar("R", bound=Range)


class RangedFiles:
    """The files of one store, by addresses as fsspec opens them; safe to share between threads."""

    def __init__(self, address: str) -> None:
        self._files = filesystem(address)

    def size(self, address: str) -> int:
        """Bytes of a file; raises as `read` does."""
        return int(_tried(address, lambda: self._files.info(address)["size"]))

    def read(self, address: str, start: int, end: int) -> bytes:
        """Bytes [start, end) of a file, fewer where it ends before.

        Raises:
            FileNotFoundError: no such file.
            CorpuskitError: access is refused, or every attempt failed.
        """
        data: bytes = _tried(address, lambda: self._read(address, start, end))
        if len(data) > end - start:
            msg = f"{address}: the server sends the whole file where a part of it is asked for"
            raise CorpuskitError(msg, "use a server that knows byte ranges, or copy the files to a disk")
        return data

    def _read(self, address: str, start: int, end: int) -> Any:
        try:
            return self._files.cat_file(address, start=start, end=end)
        except (FileNotFoundError, PermissionError):
            raise
        except Exception:
            # a range behind the end is another error in each store
            size = self._files.info(address)["size"]
            if size is None or size > start:
                raise
            return b""


def _tried(address: str, call: Callable[[], T]) -> T:
    """What `call` gives, with new attempts where a connection fails; stores raise errors of many kinds."""
    for wait in (*WAITS, None):
        try:
            return call()
        except FileNotFoundError:
            raise
        except PermissionError as error:
            msg = f"{address}: access is refused: {error}"
            raise CorpuskitError(msg, "check the address and the credentials in the environment") from error
        except Exception as error:
            if wait is None:
                msg = f"{address}: cannot be read, {len(WAITS) + 1} times: {type(error).__name__}: {error}"
                hint = "check the connection and run again: what is complete is not read again"
                raise CorpuskitError(msg, hint) from error
            time.sleep(wait)
    raise AssertionError


def read_in_order(files: RangedFiles, wanted: Iterable[R]) -> Iterator[tuple[R, bytes | None]]:
    """Each range with its bytes, in order: fewer where the file ends before, None where there is no such file.

    Some requests are under way while a range is looked at; they hold about `HELD_BYTES`, and no more than one range
    where that is larger.

    Raises:
        CorpuskitError: see `RangedFiles.read`; the ranges before were given.
    """
    waiting: deque[tuple[list[R], Future[bytes | None]]] = deque()
    held = 0
    with ThreadPoolExecutor(PARALLEL, "ranges") as pool:
        try:
            for group in _merged(wanted):
                size = _span(group)
                while waiting and (held + size > HELD_BYTES or len(waiting) >= 2 * PARALLEL):
                    held -= _span(waiting[0][0])
                    yield from _cut(*waiting.popleft())
                waiting.append((group, pool.submit(_fetched, files, group)))
                held += size
            while waiting:
                yield from _cut(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _merged(wanted: Iterable[R]) -> Iterator[list[R]]:
    """Runs of ranges that one request covers."""
    group: list[R] = []
    for one in wanted:
        if group and not _near(group, one):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _near(group: list[R], one: R) -> bool:
    first, last = group[0], group[-1]
    return (
        one.address == first.address
        and first.length > 0 < one.length
        and first.start <= one.start <= last.end + GAP_BYTES
        and one.end - first.start <= REQUEST_BYTES
    )


def _span(group: list[R]) -> int:
    return max(one.end for one in group) - group[0].start


def _fetched(files: RangedFiles, group: list[R]) -> bytes | None:
    first, size = group[0], _span(group)
    if not size:
        return b""
    try:
        return files.read(first.address, first.start, first.start + size)
    except FileNotFoundError:
        return None


def _cut(group: list[R], future: Future[bytes | None]) -> Iterator[tuple[R, bytes | None]]:
    data, start = future.result(), group[0].start
    for one in group:
        yield one, None if data is None else data[one.start - start : one.end - start]
