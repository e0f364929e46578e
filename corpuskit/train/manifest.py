"""What the manifests of `shards/` and `tokens/` say of the files that sequences are read from: their digests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from corpuskit.errors import InputError

MEND = "corpuskit verify ROOT --repair, then corpuskit run RECIPE --root ROOT makes it again"

TOKENS = "../tokens"
"""Where the index of shards that are not written finds the token files."""


@dataclass(eq=False)
class Stored:
    """A file that sequences are read from.

    Attributes:
        sha256: that its folder's manifest says; None where there is no manifest, and the file is not checked.
        checked: whether it was compared with it, see `corpuskit.train.checked`.
    """

    path: Path
    sha256: str | None
    checked: bool = False

    def damaged(self) -> bool:
        """Whether it is not what was written; reads the whole file."""
        if self.sha256 is None:
            return False
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() != self.sha256


class Manifest:
    """The files of a folder of shards, by their names in its index; each is one object, whoever asks for it.

    Raises:
        InputError: the folder's manifest is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._digests = _digests(folder)
        self._files: dict[str, Stored] = {}

    def with_tokens(self) -> None:
        """Know the digests of the token files beside the folder too."""
        self._digests |= {f"{TOKENS}/{name}": sha for name, sha in _digests(self.folder / TOKENS).items()}

    def file(self, name: str) -> Stored:
        """A file by its name."""
        if name not in self._files:
            self._files[name] = Stored(self.folder / name, self._digests.get(name))
        return self._files[name]

    def read(self, name: str) -> bytes:
        """The content of a small file, checked.

        Raises:
            OSError: it cannot be read. InputError: it is not what was written.
        """
        content = (self.folder / name).read_bytes()
        if self._digests and self._digests.get(name) != hashlib.sha256(content).hexdigest():
            raise InputError(f"{self.folder / name} is damaged: its SHA-256 is not the one in _manifest.json", MEND)
        return content


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by its name, from the folder's manifest; nothing where there is none."""
    path = folder / "_manifest.json"
    try:
        return {name: entry["sha256"] for name, entry in json.loads(path.read_bytes())["files"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged: {error!r}", "corpuskit verify ROOT --repair, then run the recipe"
        ) from None
