"""Each export is read with the tool that it is for, in an environment of its own; `make consumers` runs this.

CONSUMERS is the folder of these environments: `megatron`, `olmo`, `mds` and `hub`. What the tools read is compared with
the run itself; a line an export, with versions, is printed for `docs/exports.md`.
"""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from corpuskit.exports.export import export
from corpuskit.store.root import Root
from tests.exports import readers
from tests.exports.test_exports import stored_documents, stored_sequences, stored_texts

pytestmark = pytest.mark.consumers

ENVIRONMENTS = {"megatron": "megatron", "olmo": "olmo", "mds": "mds"}


def digest(pieces) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(f"{piece}\0".encode() if isinstance(piece, str) else np.asarray(piece).astype("<i8").tobytes())
    return found.hexdigest()


def stored(root: Root, form: str) -> dict[str, str]:
    """Digests of what the run holds, by `split/domain`, as read.py prints them."""
    if form in ("hf", "webdataset"):
        texts = stored_texts(root)
        return {f"{split}/{name}": digest(each[doc] for doc in sorted(each)) for (split, name), each in texts.items()}
    if form == "nanogpt":
        return {f"{split}/": digest(row for row, _ in rows) for split, rows in stored_sequences(root).items()}
    return {f"{split}/{name}": digest(each) for (split, name), each in stored_documents(root).items()}


@pytest.mark.parametrize("form", ["megatron", "datatrove", "olmo", "nanogpt", "mds", "hf", "webdataset"])
def test_the_tool_reads_what_the_run_holds(mixed: Root, tmp_path: Path, form: str, capsys) -> None:
    record = export(mixed, form, tmp_path / "out")
    python = Path(os.environ["CONSUMERS"]) / ENVIRONMENTS.get(form, "hub") / "bin/python"
    said = [str(python), str(Path(__file__).parent / "consumers/read.py"), form, str(tmp_path / "out"), "64"]
    environment = os.environ | {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(said, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    found, totals = answer["found"], {}
    for row in record["counts"]:
        totals[f"{row['split']}/{row['domain']}"] = row
    if form == "mds":  # by domain, as test_exports.py compares it with the shards
        samples = readers.mds(tmp_path / "out")
        kept = {(split, domain) for split, each in samples.items() for domain, _, _ in each}
        wanted = {
            f"{split}/{domain}": digest(tokens for name, tokens, _ in samples[split] if name == domain)
            for split, domain in kept
        }
    else:
        wanted = stored(mixed, form)
    assert {name: row["digest"] for name, row in found.items()} == wanted
    for name, row in found.items():
        if row["count"] is not None:
            assert row["count"] == totals[name]["sequences" if form == "mds" else "documents"]
    with capsys.disabled():
        count = {
            what: sum(row.get(what) or 0 for row in record["counts"]) for what in ("documents", "sequences", "tokens")
        }
        print(f"\n{form}: {answer['versions']} read { ({k: v for k, v in count.items() if v}) }")
