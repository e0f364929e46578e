"""Runs the bodies of the shard stages on small corpora, as a run does: parts, receipts, published files."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpuskit.core.work import Part, Receipt, Work
from corpuskit.shards import stages
from corpuskit.shards.kinds import Cut, Mixed, OverSources, Sampled, Source, Tokenizer, Tokens
from corpuskit.store.local import LocalStore

SCHEMA = pa.schema([("doc", pa.uint64()), ("text", pa.large_string()), ("domain", pa.string())])
MIX = {"weights": "proportional", "tokens": "max", "max_epochs": 4, "seq_len": 32, "seed": 7, "packing": "concat"}


@dataclass
class Corpus:
    """A run on a small corpus: {source: (domain, [unit, ...])}, a unit is {"corpus": [texts], "holdout": [texts]}."""

    root: Path
    content: dict
    batch_bytes: int = 1 << 20
    group_rows: int = 100
    receipts: dict[str, list[Receipt]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)

    def __post_init__(self):
        self.root.mkdir(parents=True, exist_ok=True)
        self.sources = tuple(Source(name, domain) for name, (domain, _) in self.content.items())
        for name, (domain, units) in self.content.items():
            for number, unit in enumerate(units):
                work = self._work(f"corpus-{name}", number, len(units), {})
                for split in ("corpus", "holdout"):
                    if unit.get(split):
                        self._write(work, split, name, number, unit[split], domain)
                self._commit(work)

    def _write(self, work, split, name, number, texts, domain):
        block = int(hashlib.sha256(f"{name}/{number}/{split}".encode()).hexdigest()[:11], 16) << 20
        ids = [block + row for row in range(len(texts))]
        self.texts.update(zip(ids, texts, strict=True))
        table = pa.table([ids, list(texts), [domain] * len(ids)], schema=SCHEMA)
        pq.write_table(table, work.put(split, ".parquet"), row_group_size=self.group_rows)
        work.facts[split] = {"rows": len(ids), "bytes": sum(len(text.encode()) for text in texts)}

    def _work(self, stage, unit, units, spec, needs=None):
        key = hashlib.sha256(f"{stage}/{unit}".encode()).hexdigest()[:12]
        scratch = self.root / "scratch" / f"{stage}-{unit}"
        scratch.mkdir(parents=True, exist_ok=True)
        return Work(
            store=LocalStore(self.root),
            stage=stage,
            spec=spec,
            unit=unit,
            units=units,
            key=key,
            inputs=[],
            memory=1 << 30,
            batch_bytes=self.batch_bytes,
            scratch=scratch,
            receipts_of=self.receipts.__getitem__,
            needs=needs or {},
        )

    def _commit(self, work):
        parts = {}
        for name, (path, publish, rows) in work.pending.items():
            content = path.read_bytes()
            final = self.root / "parts" / work.stage / f"{work.key}-{path.name}"
            final.parent.mkdir(parents=True, exist_ok=True)
            path.replace(final)
            if publish:
                target = self.root / publish
                target.parent.mkdir(parents=True, exist_ok=True)
                assert not target.exists(), f"{publish} is published twice"
                os.link(final, target)
            parts[name] = Part(
                name,
                LocalStore(self.root),
                final.relative_to(self.root).as_posix(),
                rows,
                len(content),
                hashlib.sha256(content).hexdigest(),
                publish,
            )
        receipt = Receipt(work.stage, work.unit, work.key, "", parts, {}, work.facts, [], 0.0, 0.0, 0)
        self.receipts.setdefault(work.stage, []).append(receipt)
        return receipt

    def run(self, stage, body, spec, needs, *, units=1):
        """Run a stage; returns its receipts."""
        for unit in range(units):
            work = self._work(stage, unit, units, spec, needs)
            body(work)
            self._commit(work)
        return self.receipts[stage]

    def _sample(self):
        """The stages that draw what a tokenizer is trained on; what it needs."""
        corpus = {f"corpus:{name}": f"corpus-{name}" for name in self.content}
        self.run("shares", stages.shares, OverSources(sources=self.sources), corpus)
        for name, (domain, units) in self.content.items():
            needs = {"corpus": f"corpus-{name}", "shares": "shares"}
            self.run(f"sample-{name}", stages.sample, Sampled(domain), needs, units=len(units))
            self.receipts.setdefault(f"sample-{name}", [])
        return {"shares": "shares", **{f"sample:{name}": f"sample-{name}" for name in self.content}}

    def tokenize(self, tokenizer, fim=None):
        """The stages `tokenizer` and `tokens`; `fim`: {domain: what its tokens are told of it}."""
        needed = {} if isinstance(tokenizer, str) else self._sample()
        self.run(
            "tokenizer",
            stages.tokenizer,
            Tokenizer(sources=self.sources, tokenizers="", tokenizer="", wanted=tokenizer, fim=bool(fim)),
            needed,
        )
        for name, (domain, units) in self.content.items():
            needs = {"corpus": f"corpus-{name}", "tokenizer": "tokenizer"}
            self.run(f"tokens-{name}", stages.tokens, Tokens(domain, (fim or {}).get(domain)), needs, units=len(units))
            self.receipts.setdefault(f"tokens-{name}", [])
        return self

    def mix(self, *, units=1, file_tokens=1 << 28, write="shards", **mix):
        """The stages `blocks` and `mixture`, and `shards` where they are written."""
        needs = {"tokenizer": "tokenizer", **{f"tokens:{name}": f"tokens-{name}" for name in self.content}}
        spec = Mixed(mix=MIX | mix, sources=self.sources, file_tokens=file_tokens, write=write)
        cut = {name: spec.mix[name] for name in ("seq_len", "packing")}
        if "blocks" not in self.receipts:  # one cut does for all mixtures
            self.run("blocks", stages.blocks, Cut(**cut, sources=self.sources, publish=write == "plan"), needs)
        needs["blocks"] = "blocks"
        self.run("mixture", stages.mixture, spec, needs)
        if write == "shards":
            self.run("shards", stages.shards, spec, {**needs, "mixture": "mixture"}, units=units)
        return self

    def published(self):
        """{path under the root: SHA-256} of shards and tokens."""
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in ("tokens", "shards")
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file()
        }


WORDS = [
    *["the", "of", "model", "data", "corpus", "token", "training", "page", "function", "return", "class", "import"],
    "über",
    "naïve",
    "東京",
    "🙂",
]


def documents(seed, count, longest=60):
    """Texts of random words; some are empty, some one character, some long."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        size = int(generator.choice([0, 1, longest // 4, longest, 4 * longest], p=[0.03, 0.07, 0.5, 0.35, 0.05]))
        made.append(" ".join(generator.choice(WORDS, size)) + ("\n" if size else ""))
    return made
