"""Runs the five stages on a corpus, with real parts on disk, and says by brute force what must come out."""

import dataclasses
import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpuskit.core.batch import PartReader, PartWriter
from corpuskit.core.spec import Spec
from corpuskit.core.work import Receipt, Work
from corpuskit.dedup import reference
from corpuskit.dedup.bands import bands
from corpuskit.dedup.choose import choose
from corpuskit.dedup.exact import exact
from corpuskit.dedup.kinds import Banded, Compared, Sketched, Source
from corpuskit.dedup.rank import rank
from corpuskit.dedup.signatures import buckets
from corpuskit.dedup.signatures import signatures as sign
from corpuskit.dedup.verify import verify
from corpuskit.kernels.minhash import sketch
from corpuskit.steps.minhash import minhash
from corpuskit.store.local import LocalStore
from tests.core.builder import committed

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels"))
from kernel_twins import normalize, shingles, words

DOCS = pa.schema([("doc", pa.uint64()), ("text", pa.large_string()), ("domain", pa.string())])


@dataclasses.dataclass
class Corpus:
    """sources: name -> (domain, units); a unit is a list of (doc, text)."""

    sources: dict[str, tuple[str, list[list[tuple[int, str]]]]]

    @property
    def documents(self):
        return [(doc, text, domain) for domain, units in self.sources.values() for unit in units for doc, text in unit]


def parameters(**given):
    return minhash(**minhash.validate(given))


class Harness:
    def __init__(self, root, partitions=4, verifiers=3, memory=1 << 26, batch_bytes=1 << 20):
        self.root, self.memory, self.batch_bytes = Path(root), memory, batch_bytes
        self.partitions, self.verifiers = partitions, verifiers
        self.receipts = {}

    def stage(self, name, body, spec, units, needs):
        self.receipts[name] = done = []
        for unit in range(units):
            scratch = self.root / name.replace(":", "-") / str(unit)
            scratch.mkdir(parents=True)
            work = Work(
                store=LocalStore(self.root), stage=name, spec=spec, unit=unit, units=units,
                key=f"{name}{unit}", inputs=[],
                memory=self.memory, batch_bytes=self.batch_bytes, scratch=scratch,
                receipts_of=self.receipts.__getitem__, needs={label: label for label in needs},
            )  # fmt: skip
            body(work)
            parts = {part: committed(part, path, rows, publish) for part, (path, publish, rows) in work.pending.items()}
            done.append(Receipt(name, unit, work.key, "", parts, {}, work.facts, [], 0.0, 0.0, 0))

    def docs(self, units):
        def body(work):
            with PartWriter(work.put("docs", ".arrow"), DOCS) as writer:
                ids, texts = zip(*units[work.unit], strict=True) if units[work.unit] else ((), ())
                columns = [pa.array(ids, pa.uint64()), pa.array(texts, pa.large_string()), pa.array(["-"] * len(ids))]
                writer.write(pa.record_batch(columns, schema=DOCS))

        return body

    def run(self, corpus, params):
        """The removed documents as a list of rows, and the facts of `choose`."""
        keep = params["keep"]
        listed = [
            Source(name, domain, 1 + (keep.index(domain) if domain in keep else len(keep)))
            for name, (domain, _) in corpus.sources.items()
        ]
        for source in listed:
            name, units = source.source, corpus.sources[source.source][1]
            self.stage(f"docs:{name}", self.docs(units), Spec(), len(units), [])
            self.receipts["docs"] = self.receipts[f"docs:{name}"]
            self.stage(f"signatures:{name}", sign, Sketched(minhash=params, domain=source.domain), len(units), ["docs"])
            self.receipts["signatures"] = self.receipts[f"signatures:{name}"]
            banded = Banded(params["bands"], params["rows"], params["scope"], source.domain)
            self.stage(f"buckets:{name}", buckets, banded, len(units), ["signatures"])
        spec = Compared(params, tuple(listed))
        signed = [f"signatures:{name}" for name in corpus.sources]
        docs = [f"docs:{name}" for name in corpus.sources]
        signed.append("rank")
        self.stage("rank", rank, spec, 1, signed[:-1])
        self.stage("exact", exact, spec, self.partitions, signed)
        found = [f"buckets:{name}" for name in corpus.sources]
        self.stage("bands", bands, spec, self.partitions, [*signed, *found, "exact"])
        self.stage("verify", verify, spec, self.verifiers, [*docs, *signed, "bands"])
        self.stage("choose", choose, spec, 1, [*docs, *signed, "exact", "bands", "verify"])
        chosen = self.receipts["choose"][0]
        part = chosen.parts["removed"]
        rows = [row for batch in PartReader(part.local()) for row in batch.to_pylist()]
        assert part.rows == len(rows)
        return rows, chosen.facts

    def part(self, stage, name, unit=0):
        return self.receipts[stage][unit].parts[name].local()


def run(folder, corpus, params, **options):
    """One run in a folder of its own, removed afterwards; returns rows and facts."""
    shutil.rmtree(folder, ignore_errors=True)
    return Harness(folder, **options).run(corpus, params)


def signatures(corpus, params):
    """The signature of each document, and how many shingles it has."""
    column = pa.array([text for _, text, _ in corpus.documents], pa.large_string())
    made = sketch(column, params["unit"], params["n"], params["permutations"])
    if params["hash"] == "datasketch":
        return reference.signatures(column, params["unit"], params["n"], params["permutations"]), made.shingles
    return made.signature, made.shingles


def bucket_keys(corpus, params):
    """For each document, its bands as hashable values (empty documents have none)."""
    made, shingle_counts = signatures(corpus, params)
    scoped = params["scope"] == "domain"
    result = []
    for (_, _, domain), signature, count in zip(corpus.documents, made.tolist(), shingle_counts, strict=True):
        cuts = [tuple(signature[b * params["rows"] : (b + 1) * params["rows"]]) for b in range(params["bands"])]
        result.append({(b, cut, domain if scoped else "") for b, cut in enumerate(cuts)} if count else set())
    return result


def oracle(corpus, params):
    """What `choose` must write, by comparing everything with everything."""
    keep = params["keep"]
    documents = corpus.documents
    keys = bucket_keys(corpus, params)
    signature, _ = signatures(corpus, params)
    sets = [set(shingles(text, params["unit"], params["n"])) for _, text, _ in documents]

    def place(i):
        doc, text, domain = documents[i]
        return (keep.index(domain) if domain in keep else len(keep), -len(text.encode()), doc)

    def same(i):
        text, domain = documents[i][1], documents[i][2] if params["scope"] == "domain" else ""
        by_word = params["unit"] == "word" and len(words(text)) >= params["n"]
        return normalize(text), tuple(words(text)) if by_word else (), domain

    def similarity(i, j):
        if params["verify"] == "exact":
            return len(sets[i] & sets[j]) / len(sets[i] | sets[j])
        return float((signature[i] == signature[j]).mean())

    def similar(i, j):
        reached = params["verify"] == "none" or similarity(i, j) >= params["threshold"]
        return bool(keys[i] & keys[j]) and reached

    order = sorted((i for i in range(len(documents)) if sets[i]), key=place)
    choice = (_by_component if params["choose"] == "component" else _by_priority)(order, similar)
    seen, rows = set(), []
    for i in order:
        kind = "exact" if same(i) in seen else "near"
        seen.add(same(i))
        if i in choice:
            j = choice[i]
            jaccard = similarity(i, j) if similar(i, j) else None
            one, two = documents[i], documents[j]
            names = ("doc", "kept_doc", "kept_root", "jaccard", "kind", "domain", "kept_domain")
            rows.append(dict(zip(names, (one[0], two[0], None, jaccard, kind, one[2], two[2]), strict=True)))
    return sorted(rows, key=lambda row: row["doc"])


def _by_priority(order, similar):
    """The witness of each removed document: the first kept one before it that is similar."""
    kept, choice = [], {}
    for i in order:
        witness = next((j for j in kept if similar(i, j)), None)
        if witness is None:
            kept.append(i)
        else:
            choice[i] = witness
    return choice


def _by_component(order, similar):
    """The first document of the component of each other one."""
    components = []
    for i in order:
        joined = [component for component in components if any(similar(i, j) for j in component)]
        components = [component for component in components if component not in joined]
        components.append([*itertools.chain(*joined), i])
    firsts = [(min(component, key=order.index), component) for component in components]
    return {i: first for first, component in firsts for i in component if i != first}


def promises(corpus, params, rows):
    """Promises 1 and 2 of a result, checked from the texts."""
    by_id = {doc: text for doc, text, _ in corpus.documents}
    removed = {row["doc"] for row in rows}
    assert len(removed) == len(rows)
    sets = {doc: set(shingles(text, params["unit"], params["n"])) for doc, text in by_id.items()}
    jaccard = lambda a, b: len(sets[a] & sets[b]) / len(sets[a] | sets[b])  # noqa: E731
    for row in rows:
        assert row["kept_doc"] not in removed
        assert row["jaccard"] == jaccard(row["doc"], row["kept_doc"]) >= params["threshold"]
    keys = bucket_keys(corpus, params)
    left = [(doc, keys[i]) for i, (doc, _, _) in enumerate(corpus.documents) if doc not in removed and keys[i]]
    for (one, ours), (two, theirs) in itertools.combinations(left, 2):
        assert not ours & theirs or jaccard(one, two) < params["threshold"]


def generator(seed):
    return np.random.default_rng(seed)
