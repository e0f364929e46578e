"""The body of the stage that trains: it hands the shards to the bundled trainer and keeps its result.

Its checkpoints are kept as `checkpoints/<key>/` under the root, so that a killed run resumes from the last.
"""

from __future__ import annotations

import json

from corpuskit.core.work import Work
from corpuskit.loops.kept import kept
from corpuskit.loops.kinds import Training
from corpuskit.loops.policies import resolved
from corpuskit.store.files import link_or_copy


def train(work: Work[Training]) -> None:
    """Body: train on the shards; a killed trainer resumes from its last checkpoint."""
    from corpuskit.train.launch import launch

    shards = work.scratch / "shards"
    digests: dict[str, dict[str, dict[str, str]]] = {}
    for stage in work.needs:
        for receipt in work.receipts(stage):
            for part in receipt.parts.values():
                folder, _, name = (part.publish or "").partition("/")
                if folder == "shards" or (folder == "tokens" and name.endswith(".bin")):
                    target = work.scratch / folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    link_or_copy(work.store.local(part.key), target)  # the trainer checks it at its first use
                    digests.setdefault(folder, {})[name] = {"sha256": part.digest}
    for folder, files in digests.items():
        (work.scratch / folder / "_manifest.json").write_text(json.dumps({"files": files}))
    tokenizer = json.loads((shards / "index.json").read_text())["tokenizer"]
    folder = f"checkpoints/{work.key}"
    with kept(work, folder) as out:
        config = {**work.spec.train, "shards": str(shards), "out": str(out), "tokenizer": tokenizer}
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
