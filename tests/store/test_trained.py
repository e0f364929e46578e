"""Trainings on a root in a bucket: over a plan, by methods that train several models, and in two processes."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpuskit.buckets.bucket import Bucket
from corpuskit.cli import main
from corpuskit.errors import UsageError
from corpuskit.store.root import Root
from tests.store import s3

pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")
pytest.importorskip("obstore", reason="a root in a bucket needs the extra bucket")

from corpuskit.train.config import from_dict
from corpuskit.train.kept import Copy
from corpuskit.train.launch import launch
from corpuskit.train.loop import train
from corpuskit.train.saved import complete, latest

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = ["mix.tokenizer={train: {vocab_size: 300}}", "mix.shards={seq_len: 64}", "mix.tokens=8k", "mix.max_epochs=16"]
SMALL += ["train.batch_tokens=512", "train.tokens=8k", "train.lr=0.003", "train.validation_sequences=4"]
SMALL += ["train.model={width: 32, layers: 1, heads: 2}"]
STEPS = "steps=[{normalize: {unicode: NFC}}, {holdout: {tokens: 500}}]"
PLAIN = [
    "train.policy=null",
    STEPS,
    "mix.write=plan",
    "mix.shards.packing=best_fit",
    "mix.weights={web: 0.5, books: 0.5}",
]
PARTS = [
    "mix.phases=[{until: 0.5, weights: {web: 0.5, books: 0.5}}, {until: 1, weights: {web: 0.5, books: 0.5}}]",
    STEPS,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two domains, six files each, and a server with an empty bucket."""
    folder, draw = tmp_path_factory.mktemp("trained"), random.Random(0)
    for domain, words in (("web", 40), ("books", 400)):
        (folder / domain).mkdir()
        for number in range(6):
            texts = [" ".join(f"{domain[0]}{draw.randrange(words)}" for _ in range(60)) for _ in range(10)]
            (folder / domain / f"{number}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    with s3.serving("corpora") as port, pytest.MonkeyPatch.context() as patch:
        s3.set_environment(patch, port, folder / "tmp")
        patch.setenv("RAW", str(folder))
        patch.setenv("REFERENCE", "")
        yield folder


def call(folder: Path, recipe: str, root: str, *settings: str, verb: tuple[str, ...] = ("run",)) -> None:
    sources = {name: {"read": "jsonl", "path": str(folder / name / "*.jsonl")} for name in ("web", "books")}
    more = [word for one in [*SMALL, f"sources={json.dumps(sources)}", *settings] for word in ("--set", one)]
    engine = ["--engine", "inline"] if verb[0] == "run" else ["--json"]
    assert main([*verb, str(RECIPES / f"{recipe}.yaml"), "--root", root, *more, *engine]) == 0


def left(folder: Path) -> list[Path]:
    return [path for path in (folder / "tmp").rglob("*") if path.is_file()]


def test_a_plan_over_tokens_is_trained_on_as_on_a_disk(folder: Path) -> None:
    found = []
    for root in (str(folder / "plan"), "s3://corpora/plan"):
        call(folder, "doremi", root, *PLAIN, "train.cache_bytes=4000")
        opened = Root(root)
        (receipt,) = opened.receipts(opened.require_plan().stages["train"])
        found.append(({name: part.digest for name, part in receipt.parts.items()}, receipt.key))
    assert found[0] == found[1]
    assert sum(opened.store.list("tokens").values()) > 4 * 4000
    assert not left(folder)


@pytest.mark.parametrize("write", ["plan", "shards"])
def test_two_processes_train_on_the_shards_and_write_checkpoints_in_the_bucket(folder: Path, write: str) -> None:
    settings = [*PLAIN, f"mix.write={write}"]
    found = []
    for root in (str(folder / f"two-{write}"), f"s3://corpora/two-{write}"):
        call(folder, "doremi", root, *settings, "train=null")
        config = {"shards": f"{root}/shards", "out": f"{root}/mine", "model": {"width": 32, "layers": 1, "heads": 2}}
        config |= {"batch_tokens": 512, "lr": 0.003, "threads": 1, "device": "cpu", "cache_bytes": 4000}
        launch(config, 2, quiet=True)
        if "://" in root:
            mine = Bucket.from_url(f"{root}/mine")
            mine.delete("result.json")
            last = max(mine.list(""), key=lambda name: int((name.partition("/")[0].partition("-")[2]) or 0))
            for name in mine.list(last.partition("/")[0]):  # as if it was killed at its end
                mine.delete(name)
            launch(config, 2, quiet=True)
            log = mine.get("metrics.jsonl").decode()
        else:
            log = (folder / f"two-{write}/mine/metrics.jsonl").read_text()
        found.append([(line["step"], line["loss"]) for line in map(json.loads, log.splitlines())])
    assert found[0] == found[1]
    assert not left(folder)


def test_proxy_runs_of_a_swarm_lose_what_they_do_on_a_disk(folder: Path) -> None:
    swarm = "mix.swarm={runs: 4, tokens: 1k, batch_tokens: 512, lr: 0.003, strength: [1, 1]}"
    settings = ["train=null", STEPS, swarm, "mix.weights={method: mixing_law, metrics: [web]}"]
    found = []
    for root in (str(folder / "swarm"), "s3://corpora/swarm"):
        call(folder, "doremi", root, *settings, verb=("run", "--until", "losses"))
        opened = Root(root)
        (receipt,) = opened.receipts(opened.require_plan().stages["losses"])
        found.append({name: part.digest for name, part in receipt.parts.items()})
        assert not [key for key in opened.store.list("checkpoints") if not key.endswith(".lock")]
    assert found[0] == found[1]
    assert not left(folder)


def test_a_bucket_that_fails_while_checkpoints_are_saved_changes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for root in (str(folder / "faults"), "s3://corpora/faults"):
        call(folder, "doremi", root, *PLAIN, "train=null")
        config = {"shards": f"{root}/shards", "out": f"{root}/mine", "model": {"width": 32, "layers": 1, "heads": 2}}
        config |= {"batch_tokens": 512, "lr": 0.003, "threads": 1, "device": "cpu", "cache_bytes": 4000}
        if "://" not in root:
            train(from_dict(config))
            log = (folder / "faults/mine/metrics.jsonl").read_text()
        else:
            port = int(os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2])
            with s3.faulty(port, ("refused", "lost", "reset"), 3) as server:
                monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
                monkeypatch.setattr("corpuskit.train.kept.SECONDS", 0.01)  # while the run goes on
                train(from_dict(config))
                assert min(server.done[fault] for fault in ("refused", "lost", "reset")) > 3
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            mine = Bucket.from_url(f"{root}/mine")
            log = mine.get("metrics.jsonl").decode()
            Copy(mine, "", tmp_path / "copy").fetch()
            path, state = latest(tmp_path / "copy")
            assert path.name == f"step-{state['step']}"
            assert len(complete(tmp_path / "copy")) == 2
        found.append([(line["step"], line["loss"]) for line in map(json.loads, log.splitlines())])
    assert found[0] == found[1]


def test_processes_of_several_machines_want_a_folder_that_they_share(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from corpuskit.train.ending import followed
    from corpuskit.train.parallel import World

    with (
        pytest.raises(UsageError, match="processes of several machines"),
        followed("s3://corpora/out", folder, World(0, 4, None, None, 1, 2)),
    ):
        pass


@pytest.mark.parametrize(
    ("what", "recipe", "settings"), [("doremi", "doremi", [STEPS]), ("ablate", "modular_ablation", PARTS)]
)
def test_methods_that_train_several_models_answer_as_on_a_disk(
    folder: Path,
    what: str,
    recipe: str,
    settings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("corpuskit.cli.mix_runs.MOST", 1)
    found = []
    for root in (str(folder / what), f"s3://corpora/{what}"):
        capsys.readouterr()
        call(folder, recipe, root, *settings, verb=("mix", what))
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert not left(folder)


@pytest.mark.clusters
def test_torchrun_trains_on_a_root_in_a_bucket(folder: Path) -> None:
    root = "s3://corpora/torchrun"
    call(folder, "doremi", root, *PLAIN, "train=null")
    config = {"shards": f"{root}/shards", "out": f"{root}/mine", "model": {"width": 32, "layers": 1, "heads": 2}}
    (folder / "train.json").write_text(json.dumps(config | {"device": "cpu", "threads": 1, "cache_bytes": 4000}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*command, "corpuskit.train", folder / "train.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(Bucket.from_url(f"{root}/mine").get("result.json"))["world_size"] == 2
