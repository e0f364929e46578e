"""The verb `lm`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from corpuskit.cli.options import answer
from corpuskit.errors import InputError, UsageError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

    from corpuskit.lm.estimate import Estimated

BINARY = ".binary"
"""The suffix of an output that is to be a kenlm binary."""


def lm(options: argparse.Namespace) -> None:
    """Estimate an n-gram model on texts and write it as ARPA, or as a kenlm binary."""
    if options.what != "train":
        raise UsageError(f"unknown `lm {options.what}`", did_you_mean(options.what, ["train"]) or "corpuskit lm train")
    from corpuskit.lm.estimate import estimate
    from corpuskit.lm.settings import Settings

    settings = Settings(
        options.order, _counts(options.prune), not options.no_interpolate_unigrams, options.discount_fallback
    )
    memory, files = _bytes(options.memory), _files(options.texts)
    output: Path = options.output
    if (binary := output.suffix == BINARY) and settings.order == 1:
        raise UsageError(f"--output {output}: kenlm reads binaries of order 2 and above only", "--order 2, or .arpa")
    if not output.parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {output.parent}", f"mkdir -p {output.parent}")
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
        made = Path(folder) / "model.arpa"
        texts = _texts(files, options.lowercase, options.tokenizer)
        found = estimate(texts, made, settings, folder=Path(folder) / "work", memory=memory)
        if binary:
            made = _as_binary(made)
        made.replace(output)
    facts = found.facts() | {"model": str(output), "bytes": output.stat().st_size}
    answer(options, _said(found, output), facts)


def _as_binary(arpa: Path) -> Path:
    from corpuskit.lm.binary import write_binary

    binary = arpa.with_suffix(BINARY)
    write_binary(arpa, binary)
    return binary


def _said(found: Estimated, output: Path) -> str:
    rows: list[tuple[str, ...]] = [("order", "n-grams", "in the model", "D1", "D2", "D3+")]
    for n, one in enumerate(found.orders, start=1):
        discounts = [f"{discount:.4f}" + ("*" if one.fallback else "") for discount in one.discounts]
        rows.append((str(n), f"{one.found:,}", f"{one.kept:,}", *discounts))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    if any(one.fallback for one in found.orders):
        lines.append("* --discount-fallback: too little text to estimate them")
    passed = [(found.special, "words `<s>`, `</s>` and `<unk>`"), (found.blank, "lines without a word")]
    lines += [f"passed over: {count:,} {what}" for count, what in passed if count]
    if len(found.orders) == 1:
        lines.append("kenlm, and so `perplexity`, reads models of order 2 and above only")
    return "\n".join([f"{found.words:,} words in {found.sentences:,} sentences", *lines, f"written: {output}"])


def _counts(prune: str) -> tuple[int, ...]:
    try:
        return tuple(int(count) for count in prune.split())
    except ValueError:
        raise UsageError(f"--prune {prune!r} should be counts, one for each order", '--prune "0 0 1"') from None


def _bytes(memory: str) -> int:
    from corpuskit.core.numbers import parse_bytes

    parsed = parse_bytes(f"{memory}B" if memory[-1:] in "KMGT" else int(memory) if memory.isdigit() else memory)
    if not isinstance(parsed, int):
        raise UsageError(f"--memory {memory} should be bytes, such as 512MiB, 2GB or 2G")
    return parsed


def _files(paths: list[Path]) -> list[Path]:
    """The files that are named, and the Parquet files of folders.

    Raises:
        UsageError: one is not there, or is of no kind that is read.
    """
    from corpuskit.steps.importance import text_files

    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob("*.parquet"))
            if not inside:
                raise UsageError(
                    f"{path}: no Parquet file in this folder", "name the `corpus` folder of a run, or files"
                )
            found += inside
        elif not path.exists():
            raise UsageError(f"{path}: no such file")
        else:
            found.append(path)
    for path in found:
        if path.suffix != ".parquet":
            try:
                text_files(str(path))
            except ValueError as error:
                raise UsageError(str(error), "or .parquet, or a folder with such files") from None
    return found


def _texts(files: list[Path], lowercase: bool, tokenizer: Path | None) -> Iterator[pa.Array]:
    from corpuskit.lm.pieces import in_pieces, load_tokenizer
    from corpuskit.lm.words import lower
    from corpuskit.steps.importance import read_texts

    cutter = load_tokenizer(tokenizer, "") if tokenizer is not None else None

    for file in files:
        try:
            for texts in _parquet(file) if file.suffix == ".parquet" else read_texts(file):
                if cutter is not None:
                    yield in_pieces(texts, cutter)
                else:
                    yield lower(texts) if lowercase else texts
        except InputError as error:
            raise InputError(error.message, "fix or remove it: a model is estimated on all that it is given") from None


def _parquet(file: Path) -> Iterator[pa.Array]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            if "text" not in opened.schema_arrow.names:
                raise UsageError(f"{file}: no column `text`", f"columns: {', '.join(opened.schema_arrow.names)}")
            for batch in opened.iter_batches(1024, columns=["text"]):
                yield batch.column(0)
    except pa.ArrowException as error:
        raise InputError(f"{file}: not a Parquet file that can be read: {error}") from None
