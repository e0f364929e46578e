"""The stages from corpus to shards: `shares`, `sample`, `tokenizer`, `tokens`, `blocks`, `mixture`, `shards`.

Each body is a pure function of its spec and of the parts it needs. Domains are streams: their token parts in order of
source name, then unit number; that order, and not the one in the recipe, fixes every block.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.batch import PartReader, PartWriter, split_batches, text_bytes
from corpuskit.core.work import Receipt, Work
from corpuskit.errors import CorpuskitError
from corpuskit.mix.methods import learns_here
from corpuskit.mix.problem import Bucket
from corpuskit.shards import megatron
from corpuskit.shards.contents import (
    Receipts,
    make_index,
    make_manifest,
    make_plan,
    readable,
    total,
    unwritten,
    with_weights,
)
from corpuskit.shards.domains import by_domain, open_blocks, open_train, open_validation, token_parts
from corpuskit.shards.encoder import Encoder, ready
from corpuskit.shards.fim import TOKENS, Fim, joined, rearranged, refuse_marks, whole
from corpuskit.shards.kinds import FILE_TOKENS, SAMPLE_BYTES, Cut, Mixed, OverSources, Sampled, Tokenizer, Tokens
from corpuskit.shards.pack import write_best_fit
from corpuskit.shards.plan import train_files
from corpuskit.shards.sample import Sample, drawn
from corpuskit.shards.stream import write_documents
from corpuskit.shards.tokenizer import load
from corpuskit.shards.training import train
from corpuskit.shards.write import write_shard
from corpuskit.store.removed import removed
from corpuskit.train.order import Indices, Plan

SAMPLE = pa.schema([("doc", pa.uint64()), ("text", pa.string())])

READ_BYTES = 1 << 22
"""Text read from Parquet at a time."""


def tokenizer(work: Work[Tokenizer]) -> None:
    """Train or load the tokenizer.

    Needs `shares` and `sample:<source>` of all sources if it is trained. Part `tokenizer`; facts: identity and
    vocabulary; of a trained one `sample`, documents and bytes by domain.
    """
    wanted = work.spec.wanted
    if isinstance(wanted, str):
        name, loaded = Path(wanted).name if Path(wanted).exists() else wanted, load(wanted)
    else:
        special = TOKENS if work.spec.fim else ()
        name, loaded = "trained on a sample of the corpus", train(_drawn(work), wanted["train"]["vocab_size"], special)
    if work.spec.fim:
        work.facts["fim"] = dataclasses.asdict(loaded.fim_marks())
    work.put("tokenizer", ".json", publish="tokens/tokenizer.json").write_bytes(loaded.content)
    work.facts |= {
        "name": name,
        "sha256": loaded.sha256,
        "vocab_size": loaded.vocab_size,
        "eos": loaded.eos,
        "eos_token": loaded.end,
        "dtype": megatron.token_dtype(loaded.vocab_size),
        "library": work.spec.tokenizers,  # another version may encode otherwise with the same vocabulary
    }


def shares(work: Work[OverSources]) -> None:
    """How much of each domain a tokenizer is trained on: `SAMPLE_BYTES` together, shared by the bytes of their texts.

    Needs `corpus:<source>` of all sources. Fact `shares`: of each domain the bytes of its texts, and those wanted.
    """
    sizes: Counter[str] = Counter()
    for source in work.spec.sources:
        for receipt in work.receipts(f"corpus:{source.source}"):
            sizes[source.domain] += receipt.facts.get("corpus", {"bytes": 0})["bytes"]
    total = sizes.total()
    if not total:
        msg = "there is no text to train a tokenizer on: the corpus kept no document"
        raise CorpuskitError(msg, "`corpuskit stats` shows what dropped them")
    work.facts["shares"] = {
        domain: {"bytes": size, "wanted": -(-SAMPLE_BYTES * size // total)} for domain, size in sorted(sizes.items())
    }


def sample(work: Work[Sampled]) -> None:
    """The documents of one unit that may be in the sample of its domain.

    Needs `corpus` one to one, and `shares`. Part `sample`: doc, text.
    """
    share = work.receipts("shares")[0].facts["shares"][work.spec.domain]
    corpus = work.receipt("corpus").parts.get("corpus")
    with PartWriter(work.put("sample", ".arrow"), SAMPLE) as writer:
        for batch in _batches(corpus.local()) if corpus is not None else ():
            ids = batch.column("doc").to_numpy(zero_copy_only=False).astype(np.uint64)
            found = batch.filter(pa.array(drawn(ids, share["wanted"], share["bytes"])))
            writer.write(found.cast(SAMPLE))
    work.rows("sample", writer.rows)


def _drawn(work: Work[Tokenizer]) -> Iterator[str]:
    """Texts to train on, domain by domain."""
    told = work.receipts("shares")[0].facts["shares"]
    work.facts["sample"] = {}
    for domain in sorted(told):
        sources = [source.source for source in sorted(work.spec.sources) if source.domain == domain]
        chosen = Sample(functools.partial(_sampled, work, sources), told[domain]["wanted"])
        counts = Counter(documents=0, bytes=0)
        for text in chosen:
            counts.update(documents=1, bytes=len(text.encode()))
            yield text
        work.facts["sample"][domain] = dict(counts)


def _sampled(work: Work[Tokenizer], sources: list[str]) -> Iterator[pa.RecordBatch]:
    for source in sources:
        for receipt in work.receipts(f"sample:{source}"):
            yield from PartReader(receipt.parts["sample"].local())


def _text_sizes(path: Path) -> list[int]:
    """Bytes of the text column before compression, by row group, from the metadata of a Parquet file."""
    metadata = pq.read_metadata(path)
    names = [metadata.schema.column(k).name for k in range(metadata.num_columns)]
    column = names.index("text")
    groups = (metadata.row_group(k) for k in range(metadata.num_row_groups))
    return [group.column(column).total_uncompressed_size for group in groups]


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Numbers and texts of a Parquet file, about `READ_BYTES` of text at a time and never more than a row group."""
    file, sizes = pq.ParquetFile(path), _text_sizes(path)
    for group, size in enumerate(sizes):
        rows = file.metadata.row_group(group).num_rows
        at_once = max(1, rows * READ_BYTES // max(size, READ_BYTES))
        yield from file.iter_batches(at_once, row_groups=[group], columns=["doc", "text"])


def tokens(work: Work[Tokens]) -> None:
    """Encode the documents of one corpus unit: Megatron `.bin` and `.idx`, and a table of documents, per split.

    Needs `corpus` one to one (parts `corpus` and `holdout`) and `tokenizer`. Parts: bin, idx, docs;
    validation_bin, validation_idx, validation_docs; those of a split without documents are absent. Facts: documents,
    tokens and UTF-8 bytes by split; how many documents fill in the middle has rearranged, by form.
    """
    chosen = work.receipts("tokenizer")[0]
    encoder = ready(chosen.parts["tokenizer"].local().read_text(encoding="utf-8"), work.memory)
    encoder.begin_unit()
    fim = Fim.of(work.spec.fim)
    work.facts["encoder"] = "tokenizers: " + encoder.why_slow if encoder.why_slow else "gigatoken"
    corpus = work.receipt("corpus").parts
    for split, part, prefix in (("train", "corpus", ""), ("validation", "holdout", "validation_")):
        work.facts[split] = {"documents": 0, "tokens": 0, "bytes": 0}
        if part in corpus and pq.read_metadata(corpus[part].local()).num_rows:
            how = fim if split == "train" else None
            work.facts[split] = _encode_split(work, encoder, how, corpus[part].local(), split, prefix)


def _encode_split(
    work: Work[Tokens], encoder: Encoder, fim: Fim | None, path: Path, split: str, prefix: str
) -> dict[str, int]:
    loaded = encoder.loaded
    published = f"tokens/split={split}/domain={work.spec.domain}/{work.key}"
    dtype = megatron.token_dtype(loaded.vocab_size)
    marks, forms = loaded.fim_marks() if fim is not None else None, Counter[str]()
    ids, sizes, lengths = [], [], []
    with work.put(f"{prefix}bin", ".bin", publish=f"{published}.bin").open("wb") as stream:
        for batch in _batches(path):
            ids.append(batch.column("doc").to_numpy(zero_copy_only=False).astype(np.uint64))
            sizes.append(text_bytes(batch.column("text")))
            for piece in split_batches(batch, min(work.batch_bytes, encoder.piece_bytes)):
                docs, texts = piece.column("doc").to_numpy().astype(np.uint64), piece.column("text")
                rows = whole(docs, texts) if fim is None or marks is None else rearranged(docs, texts, fim, marks)
                numbers, counted = encoder.encode(rows.docs, rows.texts)
                if marks is not None:
                    refuse_marks(numbers, counted, rows, marks)
                    forms.update(rows.forms)
                found, ended = joined(numbers, counted, rows, loaded.eos, dtype)
                stream.write(found.data)
                lengths.append(ended)
    counts = np.concatenate(lengths).astype(np.int32) if lengths else np.zeros(0, np.int32)
    table = pa.table({"doc": np.concatenate(ids), "bytes": np.concatenate(sizes), "tokens": counts})
    rows = table.num_rows
    work.rows(f"{prefix}bin", rows)
    megatron.write_index(work.put(f"{prefix}idx", ".idx", publish=f"{published}.idx", rows=rows), counts, dtype)
    target = work.put(f"{prefix}docs", ".docs.parquet", publish=f"{published}.docs.parquet", rows=rows)
    pq.write_table(table, target, row_group_size=1 << 16, compression="zstd")
    if fim is not None:
        work.facts["fim"] = {form: forms[form] for form in ("psm", "spm")}
    total_bytes = int(table["bytes"].to_numpy().sum())
    return {"documents": rows, "tokens": int(counts.sum(dtype=np.int64)), "bytes": total_bytes}


def blocks(work: Work[Cut]) -> None:
    """Cut each domain into blocks of one sequence, once for all mixtures; and the manifest of the tokens.

    Spec: `seq_len`; `packing`: concat | best_fit; `sources`. Needs `tokenizer`, and `tokens:<source>` of all sources.
    Parts: `manifest`; `train-DOMAIN` and `validation-DOMAIN`, the borders and numbers of its documents (16 bytes a
    document); for best_fit `blocks-DOMAIN` (8 bytes a block) and `pieces-DOMAIN` (12 bytes a piece: a document, or a
    part of a long one). They are published beside a plan that is followed over the tokens.
    """
    receipts = token_receipts(work)
    chosen = work.receipts("tokenizer")[0].facts
    for name, group in receipts.items():
        _make_blocks(work, name, group, chosen["dtype"])
    manifest = make_manifest(receipts, chosen)
    work.put("manifest", ".json", publish="tokens/manifest.json").write_bytes(readable(manifest))
    work.facts["fingerprint"] = manifest["fingerprint"]


def mixture(work: Work[Mixed]) -> None:
    """Fix weights, budget and order: the plan of the shards, and their index.

    Needs `tokenizer`, `blocks`, and `tokens:<source>` of all
    sources. Parts: plan, index.

    Raises:
        Infeasible: the budget or the weights cannot be drawn from the corpus.
    """
    mix = with_weights(work.spec.mix, work.spec.weights)
    if "losses" in work.needs:  # a method that learns from the swarm of the recipe
        mix = taught(mix, work.receipts("losses")[0])
    plan, index = planned(work, mix, work.spec.file_tokens)
    if work.spec.write == "plan":
        index = unwritten(index, plan, token_receipts(work))
    work.put("plan", ".json", publish="shards/plan.json").write_bytes(readable(plan))
    work.put("index", ".json", publish="shards/index.json").write_bytes(readable(index))
    work.facts |= {name: plan[name] for name in ("tokens", "sequences", "files")}


def taught(mix: dict[str, Any], losses: Receipt) -> dict[str, Any]:
    """`mix` with the tables of the proxy runs given to its methods that learn from them."""
    runs = {"runs": str(losses.parts["ratios"].local()), "losses": str(losses.parts["metrics"].local())}

    def told(weights: Any) -> Any:
        if not learns_here(weights):
            return weights
        return ({"method": weights} if isinstance(weights, str) else weights) | runs

    if "phases" not in mix:
        return with_weights(mix, told(mix["weights"]))
    return with_weights(mix, [told(phase["weights"]) for phase in mix["phases"]])


def planned(
    work: Work[OverSources], mix: dict[str, Any], file_tokens: int = FILE_TOKENS
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Contents of plan.json and index.json for a mixture of what the unit needs (as `mixture` does)."""
    receipts = token_receipts(work)
    chosen = work.receipts("tokenizer")[0].facts
    cut = work.receipts("blocks")[0]
    packed = {name: open_blocks(cut, name, group, mix) for name, group in receipts.items()}
    documents = {name: total(group, "train", "documents") for name, group in receipts.items()}
    plan = make_plan(documents, packed, mix, chosen["sha256"], file_tokens)
    return plan, make_index(receipts, plan, chosen, cut.facts["fingerprint"])


def buckets(work: Work[OverSources], mix: dict[str, Any]) -> list[Bucket]:
    """The domains with the tokens that one epoch predicts; `mix`: {seq_len, packing}. Needs as `mixture`."""
    cut = work.receipts("blocks")[0]
    return [
        Bucket(name, open_blocks(cut, name, group, mix).targets, total(group, "train", "documents"))
        for name, group in token_receipts(work).items()
    ]


def shards(work: Work[OverSources]) -> None:
    """Write a contiguous share of the train files; unit 0 also writes the validation files.

    Needs `mixture`, `blocks` and `tokens:<source>` of all sources; what a file holds depends on the plan alone, not on
    the number of units. Parts `bin-FILE` and their sidecars `docs-FILE`. Facts: sequences; tokens by domain.
    """
    parts = work.receipts("mixture")[0].parts
    plan = json.loads(parts["plan"].local().read_bytes())
    index = json.loads(parts["index"].local().read_bytes())

    def put(name: str, rows: int) -> tuple[Path, Path]:
        return (
            work.put(f"bin-{name}", ".bin", publish=f"shards/{name}.bin", rows=rows),
            work.put(f"docs-{name}", ".parquet", publish=f"shards/{name}.docs.parquet", rows=rows),
        )

    files = plan["files"]
    numbers = range(work.unit * files // work.units, (work.unit + 1) * files // work.units)
    totals = write_train(work, plan, index, numbers, put)
    each = (entry["sequences"] for entry in index["train"][numbers.start : numbers.stop])
    work.facts |= {"sequences": sum(each), "tokens": dict(sorted(totals.items()))}
    if work.unit == 0:
        write_validation(work, index, put)


Put = Callable[[str, int], tuple[Path, Path]]
"""From a shard's name and its sequences to the paths of its tokens and of its sidecar."""


def write_train(
    work: Work[OverSources], plan: dict[str, Any], index: dict[str, Any], files: Iterable[int], put: Put
) -> Counter[str]:
    """Write train files of a plan, by number; returns the tokens of documents written, by domain."""
    receipts, cut = token_receipts(work), work.receipts("blocks")[0]
    orders, spans = Plan.from_json(plan), train_files(plan)
    totals: Counter[str] = Counter()
    for phase, numbers in groupby(files, lambda number: spans[number][0]):
        order = orders[phase]
        domains = [open_train(cut, name, receipts[name], plan, index["dtype"], order.slices) for name in order.names]
        for number in numbers:
            _, low, end = spans[number]
            paths = put(f"train-{number:05d}", end - low)
            totals += write_shard(*paths, domains, _located(order), (low, end), index["dtype"], index["pad"])
    return totals


def _located(order: Plan) -> Callable[[Indices], tuple[Indices, Indices]]:
    """From the sequences of a phase to (domain number, sequence of the domain)."""

    def locate(numbers: Indices) -> tuple[Indices, Indices]:
        domain, _, sequence = order.locate(numbers)
        return domain, sequence

    return locate


def write_validation(work: Work[OverSources], index: dict[str, Any], put: Put) -> None:
    """Write the validation file of every domain that has held-out documents."""
    receipts, cut = token_receipts(work), work.receipts("blocks")[0]
    for name in index["validation"]:
        held_out = open_validation(cut, name, receipts[name], index)
        whole = (0, len(held_out.blocks))
        paths = put(f"validation-{name}", whole[1])
        write_shard(*paths, [held_out], lambda n: (np.zeros_like(n), n), whole, index["dtype"], index["pad"])


def token_receipts(work: Work[OverSources]) -> Receipts:
    """(source, receipt) of all token units by domain, sorted by domain; in stream order within one."""
    return by_domain(work.spec.sources, lambda source: work.receipts(f"tokens:{source}"))


def _make_blocks(work: Work[Cut], name: str, group: list[tuple[str, Receipt]], dtype: str) -> None:
    """Write the document indexes of a domain, and pack it."""
    held_out, documents = token_parts(group, "validation"), total(group, "train", "documents")
    gone = removed(work.store)

    def put(part: str, rows: int = 0) -> Path:
        return work.put(part, ".idx", publish=f"shards/{part}.idx" if work.spec.publish else None, rows=rows)

    if held_out:
        write_documents(put(f"validation-{name}"), held_out, dtype, gone)
    path = put(f"train-{name}", documents)
    write_documents(path, token_parts(group, "train"), dtype, gone)
    if work.spec.packing == "best_fit":
        first, pieces = put(f"blocks-{name}"), put(f"pieces-{name}")
        starts = np.memmap(path, "<i8", "r", 0, (documents + 1,))
        write_best_fit(starts, work.spec.seq_len + 1, first, pieces)
