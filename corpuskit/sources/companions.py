"""Files that stand beside the data in the folder of a data set: a hub's repository, or what `datasets` wrote."""

from __future__ import annotations

import posixpath
import re

from corpuskit.core.step import Skip
from corpuskit.sources.base import SourceFile

_ABOUT = {"README.md", "LICENSE", ".gitattributes", ".gitignore", "dataset_infos.json"}
_ABOUT_TABLES = {"dataset_info.json", "dataset_dict.json", "state.json"}
_KEPT_BY_HUB = re.compile(r"/datasets--[^/]+/(blobs|refs|\.no_exist)/|/\.cache/huggingface/(download|\.gitignore)")
_RESULT = re.compile(r"cache-[0-9a-f]+(_\d+_of_\d+)?\.arrow")


def companion(file: SourceFile, *, tables: bool) -> Skip | None:
    """Why a file is passed over, judged by its name; None where it is data.

    These are passed over, each counted as one record that is no document: the card, license, and git's files of a
    repository on the hub; what its client keeps beside a download (of a cache folder of the hub, `blobs` is what
    `snapshots` links to, and would be read twice); locks. Of tables also the JSON files that `datasets` writes beside
    them, and the `cache-*.arrow` in which it keeps results of `map` and `filter`: they hold the same documents again.

    Args:
        file: what would be read.
        tables: whether the reader reads tables, so that a JSON file of that name is none of its data.
    """
    name = posixpath.basename(file.path.replace("\\", "/"))
    if name in _ABOUT or name.endswith(".lock") or (tables and name in _ABOUT_TABLES):
        return Skip("file about the data set")
    if _KEPT_BY_HUB.search(file.path):
        return Skip("kept by the hub's client")
    if tables and _RESULT.fullmatch(name):
        return Skip("result kept by datasets")
    return None
