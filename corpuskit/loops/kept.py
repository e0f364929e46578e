"""The folder that a trainer writes to, which outlives its unit: in a local root itself, of a bucket a copy.

The copy is filled from the bucket when the unit begins, and put back with each new checkpoint and at the end, however
that comes: a run that was killed resumes from the last checkpoint in the bucket, on whichever machine it goes on.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpuskit.core.storage import Store
from corpuskit.core.work import Work
from corpuskit.errors import CorpuskitError
from corpuskit.store.files import link_or_copy
from corpuskit.train.saved import STATE

SECONDS = 5.0
"""Between two looks for a new checkpoint."""


@contextlib.contextmanager
def kept(work: Work[Any], folder: str) -> Iterator[Path]:
    """The folder of this machine whose files are, or become, those of the root's `folder`.

    Raises:
        CorpuskitError: the bucket refuses what is put; raised at the end.
    """
    if work.store.path is not None:
        yield work.store.local(folder)
        return
    copy = _Copy(work.store, folder, work.scratch / folder, work.scratch / "up")
    copy.fetch()
    ended = threading.Event()
    follower = threading.Thread(target=copy.follow, args=(ended,), daemon=True)
    follower.start()
    try:
        yield copy.here
    except BaseException:
        ended.set()
        follower.join()
        with contextlib.suppress(CorpuskitError, OSError):  # why the unit failed is what matters
            copy.put_back()
        raise
    ended.set()
    follower.join()
    copy.put_back()


class _Copy:
    """A folder of a bucket on this machine."""

    def __init__(self, store: Store, folder: str, here: Path, links: Path) -> None:
        self.store, self.folder, self.here, self.links = store, folder, here, links
        self.put: dict[str, int] = {}  # whole checkpoints that the bucket has, as `_whole` gives them

    def fetch(self) -> None:
        """Take what the bucket has, of checkpoints the whole ones."""
        there = [key.removeprefix(f"{self.folder}/") for key in self.store.list(self.folder)]
        whole = {_checkpoint(name) for name in there if name.endswith(f"/{STATE}")}
        self.here.mkdir(parents=True, exist_ok=True)
        for name in there:
            if _checkpoint(name) in whole | {""}:
                target = self.here / name
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(self.store.local(f"{self.folder}/{name}"), target)
        self.put = self._whole()

    def follow(self, ended: threading.Event) -> None:
        """Put back whenever there is a new checkpoint."""
        while not ended.wait(SECONDS):
            if self._whole().items() - self.put.items():
                with contextlib.suppress(CorpuskitError, OSError):  # it is tried again, at the end in earnest
                    self.put_back()

    def put_back(self) -> None:
        """Make the bucket hold what is here, each checkpoint whole at every moment: `STATE` is put last, removed first.

        The log goes before the checkpoints: it has at least their steps, and a resumed run cuts off what it has more.
        """
        whole = self._whole()
        names = [path.relative_to(self.here).as_posix() for path in sorted(self.here.rglob("*")) if path.is_file()]
        beside = [name for name in names if not _checkpoint(name) and not name.endswith((".lock", ".partial"))]
        fresh = {name for name, _ in whole.items() - self.put.items()}
        new = [name for name in names if _checkpoint(name) in fresh]
        self._put(beside)
        self.store.delete(f"{self.folder}/{name}/{STATE}" for name in fresh & self.put.keys())
        self._put([name for name in new if not name.endswith(f"/{STATE}")])
        self._put([name for name in new if name.endswith(f"/{STATE}")])
        there = [key.removeprefix(f"{self.folder}/") for key in self.store.list(self.folder)]
        gone = [name for name in there if _checkpoint(name) and _checkpoint(name) not in whole]
        gone.sort(key=lambda name: not name.endswith(f"/{STATE}"))
        self.store.delete(f"{self.folder}/{name}" for name in gone)
        self.put = whole

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
        files = {}
        for name in names:
            files[f"{self.folder}/{name}"] = link = self.links / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(self.here / name, link)
        self.store.put_files(files)
        shutil.rmtree(self.links, ignore_errors=True)


def _checkpoint(name: str) -> str:
    """The checkpoint that a file is of, `step-N`; "" of one beside them, and of one that is half written its own."""
    found = re.match(r"(step-\d+[^/]*)/", name)
    return found[1] if found else ""
