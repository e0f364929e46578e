"""One recipe, the same bytes: corpus, tokens, shards and checkpoints, wherever and however it runs.

The table in docs/clusters.md is made of `WAYS`, and is compared with them.
"""

import contextlib
import glob
import hashlib
import random
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from corpuskit.cli import main
from corpuskit.engines import slurm as slurm_engine
from corpuskit.store.local import LocalStore
from corpuskit.store.root import Root
from tests.core.builder import corpus, recipe
from tests.engines.slurm import missing, slurm
from tests.store import s3

pytest.importorskip("torch", reason="`train:` needs torch")

MORE = """\
mix:
  weights: {web: 0.5, books: 0.5}
  tokens: 4k
  tokenizer: {train: {vocab_size: 300}}
  shards: {seq_len: 64}
train: {model: {width: 32, layers: 2, heads: 2}, tokens: 2k, batch_tokens: 512}
"""

FOLDERS = ("corpus", "holdout", "dropped", "duplicates", "index", "tokens", "shards", "checkpoints")
"""What is compared: every file, of checkpoints their tensors: torch puts a path and a random number beside them."""


@dataclass(frozen=True)
class Way:
    """How the recipe runs.

    Attributes:
        engine, workers: as on the command line. root: `disk` or `bucket`. batch: bytes of text that a step gets.
        listing: whether files and contents are listed `sorted` or `shuffled`.
    """

    engine: str
    workers: int = 1
    root: str = "disk"
    batch: int = 1 << 20
    listing: str = "sorted"


Check = Callable[[Way, str | Path], None]

FIRST = Way("inline")
WAYS = [
    Way("inline", batch=3000, listing="shuffled"),
    Way("local", workers=8, batch=20_000),
    Way("local", workers=1, root="bucket"),
]
CLUSTERS = [Way("ray", workers=2), Way("slurm", workers=2)]


def digests(root: Root) -> dict[str, str]:
    """SHA-256 of every file that is compared, by key."""
    keys = [key for folder in FOLDERS for key in root.store.list(folder)]
    compared = [key for key in keys if not key.startswith("checkpoints/") or key.endswith(".distcp")]
    return {key: hashlib.sha256(root.store.get(key)).hexdigest() for key in compared}


def run(path: Path, way: Way, root: str) -> dict[str, str]:
    words = ["--engine", way.engine, "--set", f"batch_bytes={way.batch}"]
    words += ["--workers", str(way.workers)] if way.engine != "inline" else []
    with shuffled() if way.listing == "shuffled" else contextlib.nullcontext():
        assert main(["run", str(path), "--root", root, *words]) == 0
    return digests(Root(root))


@contextlib.contextmanager
def shuffled() -> Iterator[None]:
    """Folders, patterns and the contents of a root are listed in another order each time."""
    rng = random.Random(5)

    def mixed(found: Iterable[str]) -> list[str]:
        some = list(found)
        rng.shuffle(some)
        return some

    listed, globbed, below = LocalStore.list, glob.glob, Path.rglob
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStore, "list", lambda *given: {key: listed(*given)[key] for key in mixed(listed(*given))})
        patch.setattr(glob, "glob", lambda *given, **named: mixed(globbed(*given, **named)))
        patch.setattr(Path, "rglob", lambda *given: iter(mixed(below(*given))))
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A recipe, and what it gives when it runs the first way."""
    folder = tmp_path_factory.mktemp("first")
    path = recipe(folder, corpus(folder / "raw", files=2), extra=MORE)
    return path, run(path, FIRST, str(folder / "root"))


@pytest.fixture
def check(built: tuple[Path, dict[str, str]]) -> Check:
    """Runs the recipe in a root and compares what it gives with what the first way gave."""
    path, expected = built

    def check(way: Way, root: str | Path) -> None:
        assert run(path, way, str(root)) == expected

    return check


def test_all_kinds_of_files_are_compared(built: tuple[Path, dict[str, str]]) -> None:
    _, expected = built
    assert {key.partition("/")[0] for key in expected} == set(FOLDERS)
    assert {key.rpartition("/")[2] for key in expected if key.startswith("checkpoints/")} == {"__0_0.distcp"}


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_another_way_gives_the_same_bytes(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    if way.root == "bucket":
        with s3.serving("corpora") as port:
            s3.set_environment(monkeypatch, port, tmp_path / "tmp")
            check(way, "s3://corpora/runs/same")
    else:
        check(way, tmp_path / "root")


@pytest.mark.clusters
# Ray's processes are not waited for
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("way", CLUSTERS, ids=repr)
def test_a_cluster_gives_the_same_bytes(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    if way.engine == "ray":
        pytest.importorskip("ray", reason="needs ray: pip install '.[ray]' in the clone")
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        check(way, tmp_path / "root")
        return
    if missing():
        pytest.skip(missing())
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with (
        tempfile.TemporaryDirectory(prefix="slurm-", dir="/run") as folder,
        slurm(Path(folder), port) as configuration,
    ):
        monkeypatch.setenv("SLURM_CONF", str(configuration))
        monkeypatch.setattr(slurm_engine, "POLL_SECONDS", 0.2)
        check(way, tmp_path / "root")


def test_the_table_in_the_docs_is_what_is_tested() -> None:
    page = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text()
    ways = [FIRST, *WAYS, *CLUSTERS]
    table = page.partition("| engine | workers |")[2].partition("\n\n")[0].splitlines()[2:]
    shown = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table]
    assert shown == [[way.engine, str(way.workers), way.root, f"{way.batch:,}", way.listing] for way in ways]
