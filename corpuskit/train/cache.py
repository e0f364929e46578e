"""A bounded cache on this machine of the files in a bucket that sequences are read from.

Files are fetched and kept by blocks of 1 MiB: shards are read from end to end, but a plan over tokens takes a sequence
here and one there. Every block is checked by its CRC-32 whenever it was fetched, and when a process first takes it from
the disk. Blocks are named by what is in them, written beside their place and renamed; a lock keeps the processes of a
machine, which share the folder, from fetching a block twice. None of that decides what is read, only how fast.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import tempfile
import threading
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corpuskit.buckets.bucket import REQUESTS, Bucket, insist
from corpuskit.buckets.fetched import own_folder
from corpuskit.errors import CorpuskitError, InputError

BLOCK = 1 << 20
"""Bytes of a block; sums are of blocks of this size (`corpuskit.core.checksum.BLOCK`)."""

DIGITS = 8
"""Hexadecimal digits of a block's sum."""

TRIES = 2
"""Times that a block is fetched before it is said to be damaged."""

LOCKS = 256
"""Blocks that have the same lock are fetched one after the other."""

STEPS = 4
"""Of which the blocks are asked for with every step that is read."""

FILLED = 0.9
"""Of the room, after blocks were removed: a listing of the folder pays for many."""

MEND = "corpuskit verify ROOT --repair, then corpuskit run RECIPE --root ROOT makes it again"


@dataclass(eq=False)
class Entry:
    """A file of the bucket: key, size in bytes, SHA-256, and the CRC-32 of each of its blocks, 8 hex digits a block."""

    key: str
    size: int
    sha256: str
    sums: str
    taken: bytearray = field(init=False)
    """Of each block whether this process has checked it on the disk."""

    def __post_init__(self) -> None:
        self.taken = bytearray(-(-self.size // BLOCK))

    def right(self, block: int, content: bytes) -> bool:
        """Whether the content of a block is what was written."""
        said = self.sums[block * DIGITS : (block + 1) * DIGITS]
        return len(content) == min(BLOCK, self.size - block * BLOCK) and f"{zlib.crc32(content):08x}" == said


Wanted = tuple[Entry, int]
"""A file and the number of a block of it."""


class Cache:
    """The files of one bucket.

    Args:
        bucket: where they are. folder: on this machine, in which one of this user's alone is made; None: TMPDIR. It
            goes with the last process that closes its cache of this bucket; after a kill it is there for the next one.
        room: bytes that blocks take on the disk, of all processes; None: half of what is free. A block more may be
            there for a moment for each process.
    """

    def __init__(self, bucket: Bucket, folder: Path | None, room: int | None) -> None:
        self.bucket = bucket
        place = hashlib.sha256(bucket.url.encode()).hexdigest()[:12]
        self.folder = (folder or Path(tempfile.gettempdir())) / f"corpuskit-train-{os.getuid()}-{place}"
        self.leave = weakref.finalize(self, _leave, self.folder, _enter(self.folder))
        with self._locked("room"):
            held = self._weigh()
            self.room = room or max((shutil.disk_usage(self.folder).free + held) // 2, BLOCK)
        self._closed = threading.Event()
        # what is wanted now does not wait behind what will be wanted
        self._now, self._later = ThreadPoolExecutor(REQUESTS), ThreadPoolExecutor(REQUESTS)

    def read(self, entry: Entry, view: memoryview, at: int) -> int:
        """Read bytes of a file from `at` on, as many as the view holds or the file has; returns how many.

        Raises:
            InputError: a block is not what was written, when it was fetched again too. CorpuskitError: the bucket does
                not answer, or the disk is full.
        """
        end = min(at + len(view), entry.size)
        for block in range(at // BLOCK, -(-end // BLOCK)):
            low, high = max(at, block * BLOCK), min(end, (block + 1) * BLOCK)
            target, offset = view[low - at : high - at], low - block * BLOCK
            if not self._read_kept(entry, block, target, offset):
                target[:] = self._fetch(entry, block)[offset : offset + len(target)]
        return max(end - at, 0)

    def content(self, entry: Entry) -> NDArray[np.uint8]:
        """A whole file in memory; errors as `read`."""
        found = np.empty(entry.size, np.uint8)
        self.gather((entry, block) for block in range(len(entry.taken)))
        self.read(entry, memoryview(found.data), 0)
        return found

    def whole(self, entry: Entry) -> Path:
        """A whole file on this machine, which stays beside the blocks; errors as `read`."""
        path = self.folder / f"{entry.sha256}.whole"
        with self._locked(f"whole-{entry.sha256[:2]}"):
            if not _stands(entry, path):
                waiting, blocks = path.with_suffix(".part"), range(len(entry.taken))
                with self._writing(waiting), waiting.open("wb") as stream:
                    for some in (blocks[start : start + REQUESTS] for start in blocks[::REQUESTS]):
                        stream.writelines(self._now.map(functools.partial(self._asked, entry), some))
                waiting.rename(path)
        return path

    def gather(self, wanted: Iterable[Wanted]) -> None:
        """Fetch what will be read at once, many requests at a time, as much as there is room for; errors as `read`."""
        missing = [block for block in dict.fromkeys(wanted) if not self._path(*block).exists()]
        for future in [self._now.submit(self._ensure, *block) for block in missing[: self.room // (2 * BLOCK)]]:
            future.result()

    def ahead(self, wanted: Iterable[Wanted]) -> None:
        """Fetch what will be read later, in the background; what cannot be fetched is asked for again when it is."""
        for block in wanted:
            self._later.submit(self._ensure, *block)

    def _ensure(self, entry: Entry, block: int) -> None:
        """Fetch a block if it is not there."""
        try:
            os.utime(self._path(entry, block))
        except FileNotFoundError:
            self._fetch(entry, block)

    def close(self) -> None:
        """Wait for what is being fetched, and fetch nothing more; the last one removes the folder."""
        self._closed.set()
        for threads in (self._now, self._later):
            threads.shutdown(cancel_futures=True)
        self.leave()

    def _path(self, entry: Entry, block: int) -> Path:
        return self.folder / f"{entry.sha256[:32]}-{block}"

    def _read_kept(self, entry: Entry, block: int, view: memoryview, offset: int) -> bool:
        """Read from a block on the disk; False if it is not there, or not what was written."""
        path = self._path(entry, block)
        try:
            with path.open("rb", buffering=0) as stream:
                if entry.taken[block]:
                    os.utime(path)  # it was used now
                    return os.preadv(stream.fileno(), [view], offset) == len(view)
                content = stream.read()
        except FileNotFoundError:  # it never was here, or had to go
            return False
        if not entry.right(block, content):
            with self._locked("room"):
                path.unlink(missing_ok=True)
            return False
        entry.taken[block] = True
        view[:] = content[offset : offset + len(view)]
        return True

    def _fetch(self, entry: Entry, block: int) -> bytes:
        """A block from the bucket, which is kept; or from the disk, if another process has just fetched it."""
        path = self._path(entry, block)
        with self._locked(f"fetch-{(zlib.crc32(path.name.encode())) % LOCKS}"):
            with contextlib.suppress(FileNotFoundError):
                content = path.read_bytes()
                if entry.right(block, content):
                    return content
            content = self._asked(entry, block)
            waiting = self.folder / f".{path.name}.{os.getpid()}.{threading.get_ident()}"
            with self._writing(waiting):
                waiting.write_bytes(content)
                with self._locked("room"):
                    self._make_room(len(content))
                    waiting.rename(path)
            return content

    def _asked(self, entry: Entry, block: int) -> bytes:
        """A block as the bucket gives it, checked; asked for once more if it is not what was written."""
        start = block * BLOCK
        for _ in range(TRIES):
            content = self._answered(entry, start, min(start + BLOCK, entry.size))
            if entry.right(block, content):
                return content
        where = f"the bytes from {start:,} on have not the sum that was written down"
        raise InputError(f"{self._name(entry)} is damaged, and was when it was fetched again: {where}", MEND)

    def _answered(self, entry: Entry, start: int, end: int) -> bytes:
        """Bytes of a file as the bucket gives them; it may be away for a while."""
        try:
            return insist(lambda: self.bucket.range(entry.key, start, end), self._closed)
        except FileNotFoundError:
            raise InputError(f"{self._name(entry)} is gone", "corpuskit run RECIPE makes it again") from None

    def _name(self, entry: Entry) -> str:
        return f"{self.bucket.url}/{entry.key}"

    @contextlib.contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        """Write a file; of one that does not become whole nothing stays."""
        try:
            yield
        except OSError as error:
            path.unlink(missing_ok=True)
            hint = "set `cache_bytes` to what the disk has, or `cache` of a trainer, or TMPDIR, to another one"
            raise CorpuskitError(f"{path.parent}: {error.strerror}: the shards are cached there", hint) from None

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold a lock of the folder, which the system gives back when a process ends."""
        with (self.folder / f"{name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_room(self, size: int) -> None:
        """Count a block more, and remove those that were not used for longest if that is too much."""
        total = self.folder / "total"
        held = int(total.read_text() or 0) + size
        if held > self.room:
            blocks = sorted(self._blocks(), key=lambda entry: entry.stat().st_mtime_ns)
            held = sum(entry.stat().st_size for entry in blocks) + size
            for entry in blocks:
                if held <= max(FILLED * self.room, size):
                    break
                held -= entry.stat().st_size
                Path(entry.path).unlink(missing_ok=True)
        total.write_text(str(held))

    def _weigh(self) -> int:
        """Count the blocks that are here: what a killed process counted last may not be so."""
        for path in self.folder.glob(".*-*.*.*"):  # of a process that was killed while it wrote
            if not Path("/proc", path.name.split(".")[2]).exists():
                path.unlink(missing_ok=True)
        held = sum(entry.stat().st_size for entry in self._blocks())
        (self.folder / "total").write_text(str(held))
        return held

    def _blocks(self) -> list[os.DirEntry[str]]:
        with os.scandir(self.folder) as entries:
            return [entry for entry in entries if entry.name[:1] != "." and "." not in entry.name and "-" in entry.name]


def _stands(entry: Entry, path: Path) -> bool:
    """Whether a whole file is there as it was written; one that a killed process left may not be."""
    if not path.exists() or path.stat().st_size != entry.size:
        return False
    with path.open("rb", buffering=0) as stream:
        return all(entry.right(block, stream.read(BLOCK)) for block in range(len(entry.taken)))


def _enter(folder: Path) -> int:
    """Make the folder, and hold it: a lock that processes share as long as they use it; its file descriptor."""
    while True:
        own_folder(folder)
        with contextlib.suppress(FileNotFoundError):
            held = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT)
            fcntl.flock(held, fcntl.LOCK_SH)
            if _is(held, folder):
                return held
            os.close(held)  # the last one has removed the folder meanwhile


def _leave(folder: Path, held: int) -> None:
    """Let the folder go, and remove it if nobody holds it."""
    fcntl.flock(held, fcntl.LOCK_UN)  # first: of two that leave at once, one must find that nobody else is left
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is(held, folder):
            shutil.rmtree(folder, ignore_errors=True)
    os.close(held)


def _is(held: int, folder: Path) -> bool:
    """Whether a lock is that of the folder as it is now, and not of one that was removed."""
    try:
        return os.path.samestat(os.fstat(held), (folder / "users.lock").stat())
    except FileNotFoundError:
        return False


class Ahead:
    """Fetches what the next steps read, in the background: as many blocks as a quarter of the cache holds.

    Args:
        cache: to fill. processes: of this machine that fill it.
        steps: of the run. wanted: the blocks that a step reads.
    """

    def __init__(self, cache: Cache, processes: int, steps: range, wanted: Callable[[int], Iterable[Wanted]]) -> None:
        self.cache, self.wanted, self.steps = cache, wanted, iter(steps)
        self.most = max(cache.room // (4 * processes * BLOCK), 1)
        self.waiting: deque[tuple[int, set[Wanted]]] = deque()
        """Steps that were asked for, each with the blocks that none before it wants."""
        self.held: set[Wanted] = set()

    def reach(self, step: int) -> None:
        """Ask for what the steps after this one read, a few more with every step."""
        while self.waiting and self.waiting[0][0] <= step:
            self.held -= self.waiting.popleft()[1]
        for _ in range(STEPS):
            if len(self.held) >= self.most or (following := next(self.steps, None)) is None:
                return
            new = [block for block in dict.fromkeys(self.wanted(following)) if block not in self.held][: self.most]
            self.cache.ahead(new)
            self.held.update(new)
            self.waiting.append((following, set(new)))
