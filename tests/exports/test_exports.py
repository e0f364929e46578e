"""An export holds what the run holds, in the layout of its format; it is there whole or not at all."""

import importlib
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from corpuskit.cli import main
from corpuskit.errors import DamagedFile, InputError, UsageError
from corpuskit.exports.export import export, names
from corpuskit.exports.formats import mds, webdataset
from corpuskit.exports.target import RECORD
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run import run
from corpuskit.run.verify import repair, verify
from corpuskit.store.root import Root
from tests.exports import readers
from tests.exports.conftest import MIX, build

TOKENS = ("datatrove", "megatron", "olmo")


def stored_documents(root: Root) -> dict:
    """Tokens of every document of `tokens/`, by (split, domain), cut by the table of documents beside them."""
    found: dict = {}
    for part in json.loads((root.path / "tokens/manifest.json").read_text())["parts"]:
        path = root.path / "tokens" / part["file"]
        ends = np.cumsum(pq.ParquetFile(path.with_suffix(".docs.parquet")).read()["tokens"].to_numpy())
        pieces = np.split(np.fromfile(path, "<u2"), ends)[: len(ends)]
        found.setdefault((part["split"], part["domain"]), []).extend(piece.tolist() for piece in pieces)
    return found


def stored_texts(root: Root) -> dict:
    found: dict = {}
    for split, folder in (("train", "corpus"), ("validation", "holdout")):
        for path in sorted((root.path / folder).glob("domain=*/*.parquet")):
            table = pq.ParquetFile(path).read(["doc", "text"]).to_pydict()
            texts = dict(zip(table["doc"], table["text"], strict=True))
            if texts:
                found.setdefault((split, path.parent.name.removeprefix("domain=")), {}).update(texts)
    return found


def counted(record: dict, what: str) -> dict:
    return {(row["split"], row["domain"]): row.get(what) for row in record["counts"]}


def test_the_formats_are_found_by_their_files() -> None:
    assert names() == ["datatrove", "hf", "mds", "megatron", "nanogpt", "olmo", "webdataset"]


@pytest.mark.parametrize("form", TOKENS)
def test_tokens_are_linked_and_cut_into_the_same_documents(mixed: Root, tmp_path: Path, form: str) -> None:
    record = export(mixed, form, tmp_path / "out")
    wanted = stored_documents(mixed)
    assert getattr(readers, form)(tmp_path / "out") == wanted
    assert counted(record, "documents") == {key: len(each) for key, each in wanted.items()}
    assert counted(record, "tokens") == {key: sum(map(len, each)) for key, each in wanted.items()}
    stored = {path.stat().st_ino for path in mixed.path.rglob("*.bin")}
    assert {path.stat().st_ino for path in (tmp_path / "out").glob("*/*/*.[bdn][isp][n y]")} <= stored
    assert record["linked"] >= len(wanted)
    assert record["copied"] == 0


def test_megatron_is_told_the_weights_of_the_mixture(mixed: Root, tmp_path: Path) -> None:
    export(mixed, "megatron", tmp_path / "out")
    blend = json.loads((tmp_path / "out/data_args.json").read_text())
    shares: Counter = Counter()
    for weight, prefix in zip(blend["train"][::2], blend["train"][1::2], strict=True):
        assert Path(f"{prefix}.bin").is_file()
        shares[Path(prefix).parent.name] += float(weight)
    assert shares["books"] == pytest.approx(0.6)
    assert shares["web"] == pytest.approx(0.4)
    assert len(blend["valid"]) >= 4


def stored_sequences(root: Root) -> dict:
    """(tokens, lengths of runs) of every sequence, in order, by split; lengths and runs as the sidecars say."""
    index = json.loads((root.path / "shards/index.json").read_text())
    found: dict = {"train": [], "validation": []}
    for split, entries in (("train", index["train"]), ("validation", index["validation"].values())):
        for entry in entries:
            path = root.path / "shards" / entry["file"]
            tokens = np.fromfile(path, "<u2").reshape(entry["sequences"], -1)
            runs = pq.ParquetFile(root.path / "shards" / entry["sidecar"]).read().to_pylist()
            for number, row in enumerate(tokens.tolist()):
                found[split].append((row, [run for run in runs if run["sequence"] == number]))
    return found


def test_streaming_gets_the_mixture_in_order_with_its_borders(
    mixed: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mds, "SHARD_BYTES", 4000)  # several shards
    record = export(mixed, "mds", tmp_path / "out")
    found = readers.mds(tmp_path / "out")
    assert len(list((tmp_path / "out/train").glob("*.mds"))) > 2
    totals: dict = {}
    for split, sequences in stored_sequences(mixed).items():
        assert len(found[split]) == len(sequences)
        for (domain, tokens, borders), (row, runs) in zip(found[split], sequences, strict=True):
            assert tokens == row
            assert borders == [0, *(run["start"] + run["length"] for run in runs)]
            assert {run["domain"] for run in runs} <= {domain}  # a slice behind the end of a block has no run
            totals.setdefault((split, domain), Counter()).update(sequences=1, tokens=max(borders[-1] - 1, 0))
    assert {len(tokens) for _, tokens, _ in found["train"]} == {33, 65}
    assert counted(record, "sequences") == {key: each["sequences"] for key, each in totals.items()}
    assert counted(record, "tokens") == {key: each["tokens"] for key, each in totals.items()}


def test_nanogpt_gets_all_sequences_behind_one_another(mixed: Root, tmp_path: Path) -> None:
    record = export(mixed, "nanogpt", tmp_path / "out")
    stored = stored_sequences(mixed)
    for split, name in (("train", "train.bin"), ("validation", "val.bin")):
        wanted = [token for row, _ in stored[split] for token in row]
        assert np.fromfile(tmp_path / "out" / name, "<u2").tolist() == wanted
    plan = json.loads((mixed.path / "shards/plan.json").read_text())
    assert sum(row["tokens"] for row in record["counts"] if row["split"] == "train") == plan["tokens"]


@pytest.mark.parametrize("form", ["hf", "webdataset"])
def test_the_corpus_comes_whole(unmixed: Root, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "TAR_BYTES", 50_000)
    record = export(unmixed, form, tmp_path / "out")
    wanted = stored_texts(unmixed)
    assert getattr(readers, form)(tmp_path / "out") == wanted
    assert counted(record, "documents") == {key: len(texts) for key, texts in wanted.items()}
    sizes = {key: sum(len(text.encode()) for text in texts.values()) for key, texts in wanted.items()}
    assert {key: size for key, size in counted(record, "bytes").items() if size is not None}.items() <= sizes.items()
    if form == "webdataset":
        assert len(list((tmp_path / "out/train").glob("web-*.tar"))) > 1


def test_the_card_says_what_is_in_the_folder(unmixed: Root, tmp_path: Path) -> None:
    export(unmixed, "hf", tmp_path / "out")
    _, head, body = (tmp_path / "out/README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(head)
    assert card["license"] == ["cc-by-sa-3.0", "cc-by-sa-4.0", "mit", "other", "unknown"]
    texts = stored_texts(unmixed)
    for config, info in zip(card["configs"], card["dataset_info"], strict=True):
        for files, split in zip(config["data_files"], info["splits"], strict=True):
            found = list((tmp_path / "out").glob(files["path"]))
            rows = [pq.ParquetFile(path).metadata.num_rows for path in found]
            assert sum(rows) == split["num_examples"] == len(texts[files["split"], config["config_name"]])
            schemas = {str(pq.read_schema(path)) for path in (tmp_path / "out").glob(f"data/{config['config_name']}/*")}
            assert len(schemas) == 1  # the two sources of `web` have not the same columns
    assert "| books | MIT | 15 |" in body
    assert (tmp_path / "out/recipe.yaml").read_text() in body + "\n"
    assert str(unmixed.path.parent) not in str(pq.read_table(tmp_path / "out/files.parquet").to_pylist())


def test_croissant_names_every_file_with_its_digest(unmixed: Root, tmp_path: Path) -> None:
    import hashlib

    export(unmixed, "hf", tmp_path / "out")
    described = json.loads((tmp_path / "out/croissant.json").read_text())
    files = {one["contentUrl"]: one for one in described["distribution"] if one["@type"] == "cr:FileObject"}
    there = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").glob("data/*/*")}
    assert set(files) == set(there)
    for name, path in there.items():
        assert files[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    columns = {field["name"]: field["dataType"] for field in described["recordSet"][-1]["field"]}
    assert columns["doc"] == columns["votes"] == "sc:Integer"
    assert columns["text"] == columns["url"] == "sc:Text"


# -- what is there already, and what goes wrong ------------------------------------------------------------------------


def test_a_second_export_writes_nothing(mixed: Root, tmp_path: Path) -> None:
    first = export(mixed, "olmo", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = export(mixed, "olmo", tmp_path / "out")
    assert (first["new"], again["new"]) == (True, False)
    assert first["counts"] == again["counts"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("folder", "is no export of corpuskit"),
        ("file", "is no export of corpuskit"),
        ("other format", "an export of another format"),
        ("changed", "files were changed"),
        ("lost", "files were changed"),
        ("older", "that an earlier version of corpuskit made"),
    ],
)
def test_what_stands_in_the_way_is_left_alone_and_said(mixed: Root, tmp_path: Path, there: str, said: str) -> None:
    out = tmp_path / "out"
    if there == "file":
        out.write_text("mine")
    elif there == "folder":
        out.mkdir()
        (out / "mine").write_text("mine")
    else:
        export(mixed, "megatron" if there == "other format" else "olmo", out)
    if there == "changed":
        next(out.glob("*/*/*.csv.gz")).write_bytes(b"")
    elif there == "lost":
        next(out.glob("*/*/*.csv.gz")).unlink()
    elif there == "older":  # records had no sums at first
        record = json.loads((out / RECORD).read_text())
        del record["crc32"]
        (out / RECORD).write_text(json.dumps(record))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=said) as raised:
        export(mixed, "olmo", out)
    assert "another --to" in str(raised.value.hint)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_filled(mixed: Root, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert export(mixed, "olmo", tmp_path / "out")["new"]


def test_what_a_killed_export_left_is_removed(mixed: Root, tmp_path: Path) -> None:
    import platform

    left = tmp_path / f".out.export-{platform.node()}-{2**22 + 1}"  # above the largest number of a process
    left.mkdir()
    (left / "half.bin").write_bytes(b"half")
    export(mixed, "olmo", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("form", ["megatron", "mds", "hf"])
def test_a_damaged_run_is_not_exported(mixed: Root, tmp_path: Path, form: str) -> None:
    root = Root(Path(shutil.copytree(mixed.path, tmp_path / "root")))
    pattern = {"megatron": "tokens/*/*/*.bin", "mds": "shards/train-*.bin", "hf": "corpus/*/*.parquet"}[form]
    path = max(root.path.glob(pattern))
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DamagedFile, match=str(path)) as raised:
        export(root, form, tmp_path / "out")
    assert f"corpuskit verify {root.url} --repair" in str(raised.value.hint)
    path.unlink()
    with pytest.raises(InputError, match=f"{path}: missing") as missing:
        export(Root(root.path), form, tmp_path / "out")
    assert "corpuskit run" in str(missing.value.hint)
    assert [found.name for found in tmp_path.iterdir()] == ["root"]


def flip(path: Path, at: int) -> None:
    """Change a bit of a file in its place."""
    with path.open("rb+") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("form", names())
def test_a_bit_that_changed_in_a_file_is_exported_in_no_format(mixed: Root, tmp_path: Path, form: str) -> None:
    """Of the same size, and in its middle: the file and the unit that made it are named, and no folder is left."""
    holds = importlib.import_module(f"corpuskit.exports.formats.{form}").HOLDS
    patterns = {"corpus": ["corpus/*/*.parquet", "holdout/*/*.parquet", "files.parquet"]}
    patterns |= {"tokens": ["tokens/*/*/*.bin", "tokens/*/*/*.idx", "tokens/*/*/*.parquet", "shards/plan.json"]}
    patterns |= {"shards": ["shards/train-*.bin", "shards/*.docs.parquet", "shards/plan.json", "tokens/tokenizer.json"]}
    root = Root(Path(shutil.copytree(mixed.path, tmp_path / "root")))
    for pattern in patterns[holds]:
        path = max(root.path.glob(pattern), key=lambda found: found.stat().st_size)
        before = path.read_bytes()
        flip(path, len(before) // 2)
        with pytest.raises(DamagedFile) as raised:
            export(root, form, tmp_path / "out")
        assert str(path) in str(raised.value)
        assert path.name == "files.parquet" or "the unit `" in str(raised.value)
        assert f"corpuskit verify {root.url} --repair" in str(raised.value.hint)
        path.write_bytes(before)
    assert [found.name for found in tmp_path.iterdir()] == ["root"]
    assert export(root, form, tmp_path / "out")["new"]


@pytest.mark.parametrize("form", ["hf", "nanogpt", "megatron"])
def test_an_export_that_shares_a_damaged_file_is_not_taken_for_whole(tmp_path: Path, form: str) -> None:
    """Once the run is mended, the files that the export links are no more the run's, and are still damaged."""
    root = build(tmp_path, MIX)
    export(root, form, tmp_path / "out")
    pattern = {"hf": "corpus/*/*.parquet", "nanogpt": "tokens/tokenizer.json", "megatron": "tokens/*/*/*.bin"}[form]
    path = max(root.path.glob(pattern), key=lambda found: found.stat().st_size)
    flip(path, path.stat().st_size // 2)
    assert repair(root, verify(root))
    plan, mended = make(load(tmp_path / "recipe.yaml", [])), Root(root.path)
    run(plan, mended, mended.new_run((tmp_path / "recipe.yaml").read_text(), "resolved: here\n", plan), engine="inline")
    with pytest.raises(UsageError, match="files were changed") as raised:
        export(mended, form, tmp_path / "out")
    assert f"rm -r {tmp_path / 'out'}" in str(raised.value.hint)
    shutil.rmtree(tmp_path / "out")
    assert export(mended, form, tmp_path / "out")["new"]
    assert not export(mended, form, tmp_path / "out")["new"]


def test_the_command_line_says_what_it_wrote(mixed: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["export", str(mixed.path), "--format", "megatron", "--to", str(tmp_path / "out")]
    assert main(said) == 0
    assert "books" in capsys.readouterr().out
    assert main([*said, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new"] is False


@pytest.mark.parametrize(
    ("form", "place", "told", "hint"),
    [
        ("megatorn", "mixed", "unknown format `megatorn`", "did you mean `megatron`?"),
        ("megatron", "unmixed", "has no tokens/ to export", "needs `mix:`"),
        ("nanogpt", "unmixed", "has no shards/ to export", "needs `mix:`"),
        ("hf", "nowhere", "holds no run", "corpuskit run"),
    ],
)
def test_wrong_arguments_are_told_what_to_do(
    mixed: Root, unmixed: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str], form, place, told, hint
) -> None:
    root = {"mixed": mixed.url, "unmixed": unmixed.url, "nowhere": str(tmp_path / "none")}[place]
    assert main(["export", root, "--format", form, "--to", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert hint in error
    assert not list(tmp_path.iterdir())


def test_nothing_is_exported_into_the_run(mixed: Root) -> None:
    with pytest.raises(UsageError, match="lies in the run"):
        export(mixed, "megatron", mixed.path / "tokens/out")


def test_a_format_is_added_by_a_file_as_the_page_on_the_architecture_says(
    mixed: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from corpuskit.exports import formats
    from tests.docs.test_architecture import FORMAT

    (tmp_path / "formats").mkdir()
    (tmp_path / "formats/raw.py").write_text(FORMAT)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path / "formats")])
    record = export(mixed, "raw", tmp_path / "out")
    assert record["linked"] == len(list((tmp_path / "out").glob("*/*/*.raw"))) == len(stored_documents(mixed)) + 2


def test_of_shards_that_are_not_written_the_tokens_are_exported(tmp_path: Path) -> None:
    root = build(tmp_path, MIX + "  write: plan\n")
    for form in ("nanogpt", "mds"):
        with pytest.raises(UsageError, match=rf"{form} holds shards.*write: plan.*\n.*mix.write=shards.*megatron"):
            export(root, form, tmp_path / form)
        assert not (tmp_path / form).exists()
    for form in ("megatron", "hf"):
        assert export(root, form, tmp_path / form)["new"]
