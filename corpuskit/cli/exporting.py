"""The verbs on what was made: `export`, `generate`, `compare`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from corpuskit.cli.options import answer


def export(options: argparse.Namespace) -> None:
    """Write a run, or a checkpoint of one, in the format of another tool."""
    from corpuskit.core.tables import size
    from corpuskit.exports.model import export_model, is_checkpoint

    if is_checkpoint(Path(options.root)):
        found = export_model(Path(options.root), options.format, options.to)
        occupied = size(sum(found["files"].values()))
        text = f"{found['to']}: {occupied}, from {found['checkpoint']}; to evaluate it:\n  {found['evaluation']}"
        answer(options, text, found)
        return
    from corpuskit.exports.export import export
    from corpuskit.store.root import Root

    record = export(Root(options.root), options.format, options.to)
    answer(options, _said(record), record)


def generate(options: argparse.Namespace) -> None:
    """Let a trained model go on with a text."""
    from tokenizers import Tokenizer

    from corpuskit.errors import UsageError
    from corpuskit.train.launch import need_torch

    need_torch()
    from corpuskit.train.trained import Trained
    from corpuskit.train.trained import generate as go_on

    trained = Trained.open(options.checkpoint)
    path = options.tokenizer or trained.tokenizer
    if path is None:
        raise UsageError(f"{trained.path} lies in no run whose tokenizer would be known", "--tokenizer tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    prompt = tokenizer.encode(options.prompt, add_special_tokens=False).ids
    if not prompt:
        raise UsageError("the prompt has no token", 'corpuskit generate CHECKPOINT "Once upon a time"')
    settings = {"temperature": options.temperature, "seed": options.seed, "context": trained.state["seq_len"]}
    found = list(go_on(trained.build(), prompt, options.tokens, **settings))
    text = options.prompt + tokenizer.decode(found)
    answer(options, text, {"checkpoint": str(trained.path), "prompt": options.prompt, "text": text, "tokens": found})


def compare(options: argparse.Namespace) -> None:
    """Two runs' losses per domain, with bootstrap intervals of the difference."""
    from dataclasses import asdict

    from corpuskit.core.tables import table
    from corpuskit.train.compare import compare, plot

    found = compare(*(_training(path) for path in options.runs))
    rows = [
        [
            each.domain,
            *(f"{value:.4f}" for value in (each.a, each.b)),
            f"{each.difference:+.4f}",
            f"[{each.low:+.4f}, {each.high:+.4f}]",
            each.unit,
            {True: "A", False: "B"}[each.low > 0] if each.low * each.high > 0 else "",
        ]
        for each in found
    ]
    text = table(["domain", "A", "B", "B - A", "95 %", "unit", "better"], rows, right=range(1, 5))
    if options.plot is not None:
        options.plot.write_text(plot(found, (str(options.runs[0]), str(options.runs[1]))), encoding="utf-8")
        text += f"\nplot: {options.plot}"
    answer(options, text, {"domains": [asdict(each) for each in found]})


def _training(path: Path) -> Path:
    """The folder that a run of the trainer wrote to: it, one of its checkpoints, or of the root's last training."""
    from corpuskit.store.root import Root
    from corpuskit.train.compare import HELD_OUT
    from corpuskit.train.saved import STATE

    if (path / HELD_OUT).is_file() or not (path / "stages").is_dir():
        return path.parent if (path / STATE).is_file() else path
    root = Root(path)
    stage = root.require_plan().stages.get("train")
    receipts = root.complete(stage) if stage is not None else []
    for receipt in receipts:
        return (path / str(receipt.facts["checkpoint"])).parent
    return path


def _said(record: dict[str, Any]) -> str:
    from corpuskit.core.tables import size, table

    numbers = [
        name for name in ("sequences", "documents", "tokens", "bytes") if any(name in row for row in record["counts"])
    ]
    total = {name: sum(row.get(name, 0) for row in record["counts"]) for name in numbers}
    rows = [
        [row["split"], row["domain"], *(f"{row[name]:,}" if name in row else "" for name in numbers)]
        for row in [*record["counts"], {"split": "all", "domain": "", **total}]
    ]
    files, occupied = len(record["files"]), size(sum(record["files"].values()))
    how = ", ".join(f"{record[what]} {what}" for what in ("linked", "copied", "written"))
    end = f"{record['to']}: {files} files of {occupied} ({how})"
    if not record["new"]:
        end = f"{record['to']} holds this export already; nothing was written"
    return "\n".join([table(["split", "domain", *numbers], rows, right=range(2, 2 + len(numbers))), end])
