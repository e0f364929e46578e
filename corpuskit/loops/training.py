"""The body of the stage that trains: it hands the shards to the bundled trainer and keeps its result.

Its checkpoints are kept as `checkpoints/<key>/` under the root, so that a killed run resumes from the last.
"""

from __future__ import annotations

import json

from corpuskit.core.work import Work
from corpuskit.loops.fetched import handed
from corpuskit.loops.kept import kept
from corpuskit.loops.kinds import Training
from corpuskit.loops.policies import resolved


def train(work: Work[Training]) -> None:
    """Body: train on the shards; a killed trainer resumes from its last checkpoint."""
    from corpuskit.train.launch import launch

    found = (part for stage in work.needs for receipt in work.receipts(stage) for part in receipt.parts.values())
    reads = handed(work, [(part.publish, part) for part in found if part.publish and _read(part.publish)], {})
    tokenizer = json.loads((work.scratch / "shards/index.json").read_text())["tokenizer"]
    folder = f"checkpoints/{work.key}"
    with kept(work, folder) as out:
        config = {**work.spec.train, **reads, "out": str(out), "tokenizer": tokenizer}
        config["cache_bytes"] = work.spec.cache_bytes
        config["model"] = work.spec.model or config["model"]
        processes = config.pop("processes")
        launch(resolved(config), processes)
        result = json.loads((out / "result.json").read_text())
        with (out / "metrics.jsonl").open() as lines, work.put("metrics", ".jsonl").open("w") as timeless:
            for line in lines:
                record = {name: value for name, value in json.loads(line).items() if name != "tokens_per_second"}
                timeless.write(json.dumps(record) + "\n")
    del result["config"]  # it names this machine's folders
    work.facts |= {"result": result, "checkpoint": f"{folder}/{result['checkpoint']}"}
    work.put("result", ".json").write_text(json.dumps(result, indent=1, sort_keys=True))


def _read(place: str) -> bool:
    """Whether the trainer reads what is published there; of tokens it does where it follows a plan over them."""
    return place.startswith("shards/") or (place.startswith("tokens/") and place.endswith(".bin"))
