"""The folder that a trainer writes to, where it is in a bucket: a copy on this machine, which is put back.

The copy is filled from the bucket at the beginning, and put back with each new checkpoint and at the end, however that
comes: a run that was killed resumes from the last checkpoint in the bucket, on whichever machine it goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from corpuskit.buckets.bucket import REQUESTS, Bucket, insist
from corpuskit.buckets.fetched import own_folder
from corpuskit.errors import CorpuskitError
from corpuskit.train.saved import STATE

LOCK = ".lock"
"""Held by the trainer that is at work in the folder."""

SECONDS = 5.0
"""Between two looks for a new checkpoint."""


def local(place: str) -> Path:
    """The folder of this machine that `out` is; of one in a bucket, that of its copy, which is made."""
    if "://" not in place:
        return Path(place)
    name = hashlib.sha256(place.encode()).hexdigest()[:12]
    return own_folder(Path(tempfile.gettempdir()) / f"corpuskit-out-{os.getuid()}-{name}")


@contextlib.contextmanager
def fetched(place: str | Path) -> Iterator[Path]:
    """A folder of checkpoints, or one of them, on this machine: what stands there, or a copy of what is in a bucket."""
    if "://" not in str(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="corpuskit-checkpoint-") as folder:
        Copy(Bucket.from_url(str(place)), "", Path(folder) / "checkpoint").fetch()
        yield Path(folder) / "checkpoint"


class Copy:
    """A folder of a bucket on this machine.

    Args:
        bucket, folder: where it is; "" for all that is below the bucket's prefix.
        here: the copy. A folder beside it has links to what is being put.
    """

    def __init__(self, bucket: Bucket, folder: str, here: Path) -> None:
        self.bucket, self.folder, self.here = bucket, folder, here
        self.links = here.with_name(f"{here.name}.up")
        self.whole: dict[str, int] = {}
        """Whole checkpoints that the bucket has, as `_whole` gives them."""

    def begin(self) -> None:
        """Take what the bucket has; but stay with what is here, if it is further: a run was killed before it put it."""
        there = (re.fullmatch(rf"step-(\d+)/{STATE}", name) for name in self._there())
        put = max((int(found[1]) for found in there if found), default=-1)
        if max((int(name.removeprefix("step-")) for name in self._whole()), default=-1) <= put:
            self.clear()
            self.fetch()

    def fetch(self) -> None:
        """Take what the bucket has, of checkpoints the whole ones."""
        there = self._there()
        whole = {_checkpoint(name) for name in there if name.endswith(f"/{STATE}")}
        self.here.mkdir(parents=True, exist_ok=True)
        wanted = [name for name in there if _checkpoint(name) in whole | {""}]
        with ThreadPoolExecutor(REQUESTS) as threads:
            list(threads.map(lambda name: self.bucket.fetch(self._key(name), self.here / name), wanted))
        self.whole = self._whole()

    def clear(self) -> None:
        """Remove what is here, but for the lock of those who use it."""
        for path in self.here.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()

    @property
    def is_put(self) -> bool:
        """Whether the bucket has all checkpoints that are here."""
        return self.whole == self._whole()

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Put back whenever there is a new checkpoint, and at the end.

        Raises:
            CorpuskitError: the bucket refuses what is put; raised at the end, unless what was done has failed too.
        """
        ended = threading.Event()
        follower = threading.Thread(target=self._follow, args=(ended,), daemon=True)
        follower.start()
        try:
            yield
        except BaseException:
            ended.set()
            follower.join()
            with contextlib.suppress(CorpuskitError, OSError):  # why it failed is what matters
                insist(self.put_back)  # nothing else holds what was trained
            raise
        ended.set()
        follower.join()
        insist(self.put_back)

    def _follow(self, ended: threading.Event) -> None:
        while not ended.wait(SECONDS):
            if self._whole().items() - self.whole.items():
                with contextlib.suppress(CorpuskitError, OSError):  # it is tried again, at the end in earnest
                    self.put_back()

    def put_back(self) -> None:
        """Make the bucket hold what is here, each checkpoint whole at every moment.

        The log goes before the checkpoints: it has at least their steps, and a resumed run cuts off what it has more.
        """
        whole = self._whole()
        names = [path.relative_to(self.here).as_posix() for path in sorted(self.here.rglob("*")) if path.is_file()]
        beside = [name for name in names if not _checkpoint(name) and not name.endswith((".lock", ".partial"))]
        fresh = {name for name, _ in whole.items() - self.whole.items()}
        new = [name for name in names if _checkpoint(name) in fresh]
        self._put(beside)
        self._delete(f"{name}/{STATE}" for name in fresh & self.whole.keys())
        self._put([name for name in new if not name.endswith(f"/{STATE}")])
        self._put([name for name in new if name.endswith(f"/{STATE}")])
        gone = [name for name in self._there() if _checkpoint(name) and _checkpoint(name) not in whole]
        self._delete(sorted(gone, key=lambda name: not name.endswith(f"/{STATE}")))
        self.whole = whole

    def _whole(self) -> dict[str, int]:
        """The checkpoints that stand here, and when each was sealed: one that was damaged is made anew by its name."""
        found = {}
        for path in self.here.glob(f"step-*/{STATE}"):
            if re.fullmatch(r"step-\d+", path.parent.name):  # neither in the making nor on its way out
                with contextlib.suppress(FileNotFoundError):
                    found[path.parent.name] = path.stat().st_mtime_ns
        return found

    def _put(self, names: list[str]) -> None:
        """Put files by links to them: the trainer may remove a checkpoint meanwhile."""
        shutil.rmtree(self.links, ignore_errors=True)
        for name in names:
            (self.links / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                (self.links / name).hardlink_to(self.here / name)
            except FileNotFoundError:
                raise
            except OSError:  # a file system without links
                shutil.copyfile(self.here / name, self.links / name)
        with ThreadPoolExecutor(REQUESTS) as threads:
            list(threads.map(lambda name: self.bucket.put(self._key(name), self.links / name), names))
        shutil.rmtree(self.links, ignore_errors=True)

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            self.bucket.delete(self._key(name))

    def _there(self) -> list[str]:
        start = self._key("")
        return [key.removeprefix(start) for key in self.bucket.list(self.folder)]

    def _key(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name


def _checkpoint(name: str) -> str:
    """The checkpoint that a file is of, `step-N`; "" of one beside them, and of one that is half written its own."""
    found = re.match(r"(step-\d+[^/]*)/", name)
    return found[1] if found else ""
