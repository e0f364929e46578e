"""The body of the stage that trains: it hands the shards to the bundled trainer and keeps its result.

The trainer writes its checkpoints to `checkpoints/<key>/` under the root, so that a killed run resumes from the last.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from corpuskit.unit import Work


def train(work: Work) -> None:
    """Body: train on the shards; a killed trainer resumes from its last checkpoint."""
    from corpuskit.train.launch import launch

    shards = work.scratch / "shards"
    shards.mkdir()
    tokenizer = None
    for stage in ("mixture", "shards"):
        for receipt in work.receipts(stage):
            for part in receipt.parts.values():
                if part.publish is not None and part.publish.startswith("shards/"):
                    link(part.path, shards / Path(part.publish).name)
    tokenizer = json.loads((shards / "index.json").read_text())["tokenizer"]
    out = work.root / "checkpoints" / work.key
    config = {**work.spec["train"], "shards": str(shards), "out": str(out), "tokenizer": tokenizer}
    launch(config, processes=work.run["processes"])
    result = json.loads((out / "result.json").read_text())
    work.facts |= {"result": result, "checkpoint": f"checkpoints/{work.key}/{result['checkpoint']}"}
    shutil.copy(out / "result.json", work.put("result", ".json"))
    shutil.copy(out / "metrics.jsonl", work.put("metrics", ".jsonl"))


def link(source: Path, target: Path) -> None:
    """A hard link where the file system has them, else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
