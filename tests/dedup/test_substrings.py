"""`substrings`: what is cut is what brute force over all windows says, whatever the memory, units and engine."""

import json
import random
import tempfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lines import Harness, is_blank

from corpuskit.cli import main
from corpuskit.core.batch import PartReader
from corpuskit.core.spec import Spec
from corpuskit.dedup import lines as stages
from corpuskit.dedup import substrings as bodies
from corpuskit.dedup.kinds import Anchored, Repeated, Repeats
from corpuskit.documents import segment as pipeline
from corpuskit.documents.kinds import Segment
from corpuskit.kernels import windows as kernels
from corpuskit.kernels.windows import anchor_size, cut_windows, hash_anchors, hash_windows
from tests.core.builder import digests

# -- what the step means, in plain Python --------------------------------------------------------------------------


def expected(documents, length):
    """{doc: (text, spans)} as the step leaves them, from [(doc, text)]; spans: how many are cut."""
    first = {}
    for doc, text in sorted(documents):
        data = text.encode()
        for at in range(len(data) - length + 1):
            first.setdefault(data[at : at + length], doc)
    left = {}
    for doc, text in documents:
        data = text.encode()
        cut = [at for at in range(len(data) - length + 1) if first[data[at : at + length]] != doc]
        left[doc] = without(data, cut, length)
    return left


def without(data, cut, length):
    """A text without some windows but with whole characters, and how many spans that took out."""
    spans = []
    for at in cut:
        if spans and at <= spans[-1][1]:
            spans[-1][1] = at + length
        else:
            spans.append([at, at + length])
    kept, last = b"", 0
    for span in spans:
        while data[span[0]] & 0xC0 == 0x80:
            span[0] += 1
        while span[1] < len(data) and data[span[1]] & 0xC0 == 0x80:
            span[1] -= 1
        kept, last = kept + data[last : span[0]], span[1]
    return (kept + data[last:]).decode(), len(spans)


# -- the stages on real files --------------------------------------------------------------------------------------


class Spans(Harness):
    """Runs the stages of `substrings` one by one over sources {name: (domain, [[(doc, text)] a unit])}."""

    def build(self, sources, length):
        spec = Anchored(length)
        for name, (domain, units) in sources.items():
            self.stage(f"docs:{name}", self.docs(units, domain), len(units), Spec())
            self.stage(f"anchors:{name}", bodies.anchors, len(units), spec, {"docs": f"docs:{name}"})
        self.find(sources, "anchors", "shared", 0)
        for name, (_, units) in sources.items():
            needs = {"docs": f"docs:{name}", "shared": f"shared:{name}"}
            self.stage(f"windows:{name}", bodies.windows, len(units), spec, needs)
        self.find(sources, "windows", "recurring", 1)
        left, facts = {}, Counter()
        for name, (domain, units) in sources.items():
            applied = {"barrier": "substrings", "length": length, "repeats": "repeats", "name": "substrings"}
            spec = Segment(
                domain=domain, source=name, apply=[applied], steps=[], keep_dropped=True,
                base=str(self.root), on_error="fail", calls=(),
            )  # fmt: skip
            needs = {"docs": f"docs:{name}", "repeats": f"recurring:{name}"}
            self.stage(f"after:{name}", pipeline.segment, len(units), spec, needs)
            for receipt in self.receipts[f"after:{name}"]:
                facts.update(receipt.facts["substrings"]["substrings"])
                for batch in PartReader(receipt.parts["docs"].local()):
                    left |= zip(batch["doc"].to_pylist(), batch["text"].to_pylist(), strict=True)
        files = {
            f"{stage} {receipt.unit} {name}": part.local().read_bytes()
            for stage, receipts in self.receipts.items()
            for receipt in receipts
            for name, part in receipt.parts.items()
        }
        return left, facts, files

    def find(self, sources, hashed, places, keep):
        needs = {f"lines:{name}": f"{hashed}:{name}" for name in sources}
        spec = Repeated(2, keep, sorted(needs))
        self.stage(f"repeated-{hashed}", stages.repeated, self.partitions, spec, needs)
        for name, (_, units) in sources.items():
            needs = {"lines": f"{hashed}:{name}", "repeated": f"repeated-{hashed}"}
            self.stage(f"{places}:{name}", stages.repeats, len(units), Repeats(f"lines:{name}"), needs)


def build(sources, length, **options):
    with tempfile.TemporaryDirectory() as folder:
        return Spans(folder, **options).build(sources, length)


def agrees(sources, length, **options):
    documents = [one for _, units in sources.values() for unit in units for one in unit]
    left, facts, files = build(sources, length, **options)
    wanted, before = expected(documents, length), dict(documents)
    assert left == {doc: text for doc, (text, _) in wanted.items() if text == before[doc] or not is_blank(text)}
    assert facts["spans"] == sum(spans for _, spans in wanted.values())
    assert facts["bytes"] == sum(len(before[doc].encode()) - len(text.encode()) for doc, (text, _) in wanted.items())
    return files


@st.composite
def corpora(draw):
    """Documents of few letters, of one to four bytes, and of pieces that they have in common."""
    numbers = iter(draw(st.permutations(range(30))))
    letters = draw(st.sampled_from(["ab", "aé", "a河𝄞", "a"]))
    pieces = draw(st.lists(st.text(letters, min_size=5, max_size=30), min_size=1, max_size=3))
    body = st.lists(st.one_of(st.sampled_from(pieces), st.text(letters, max_size=12)), max_size=5).map("".join)
    sources = {}
    for name in ("web", "books"):
        sizes = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
        sources[name] = (name, [[(next(numbers) << 40, draw(body)) for _ in range(size)] for size in sizes])
    return sources


@settings(max_examples=15)
@given(
    corpora(),
    st.integers(8, 20),
    st.sampled_from([100 * stages.BYTES, 1 << 26]),
    st.sampled_from([1, 4]),
    st.integers(1, 3),
)
def test_what_is_cut_is_what_brute_force_says(sources, length, memory, partitions, rows):
    agrees(sources, length, memory=memory, partitions=partitions, rows=rows)


@settings(max_examples=60)
@given(st.lists(st.text("ab河", max_size=60), max_size=5), st.integers(8, 24))
def test_windows_of_equal_bytes_have_equal_hashes_and_equal_anchors(texts, length):
    column, size = pa.array(["?", *texts], pa.string()).slice(1), anchor_size(length)
    datas = [text.encode() for text in texts]
    known = {}
    anchors = [one for found in hash_anchors(column, length) for one in listed(found)]
    assert [place for _, place in anchors] == sorted({place for _, place in anchors})
    for hashed, place in anchors:
        at = place & 0xFFFFFFFF
        assert known.setdefault(datas[place >> 32][at : at + size], hashed) == hashed
    everything = np.array([place for _, place in anchors], np.uint64)
    found = [one for some in hash_windows(column, length, everything) for one in listed(some)]
    wanted = [row << 32 | at for row, data in enumerate(datas) for at in range(len(data) - length + 1)]
    assert [place for _, place in found] == wanted
    windows = {}
    for hashed, place in found:
        row, at = place >> 32, place & 0xFFFFFFFF
        assert windows.setdefault(datas[row][at : at + length], hashed) == hashed
        assert any(at <= (one & 0xFFFFFFFF) <= at + length - size for _, one in anchors if one >> 32 == row)
    assert len(set(windows.values())) == len(windows)
    # of the windows of one content, either all are found by some anchors, or none
    chosen = {hashed for number, hashed in enumerate(sorted(set(known.values()))) if number % 2}
    some = np.array([place for hashed, place in anchors if hashed in chosen], np.uint64)
    given_ = Counter(hashed for part in hash_windows(column, length, some) for hashed, _ in listed(part))
    assert all(count == sum(one == hashed for one, _ in found) for hashed, count in given_.items())


def listed(found):
    """[(hash, place)]."""
    hashes = zip(found.high.tolist(), found.low.tolist(), strict=True)
    return list(zip(hashes, found.place.tolist(), strict=True))


def words(rng, count):
    return " ".join(
        rng.choice(["river", "stone", "Brücke", "winter", "garden", "河川", "letter"]) for _ in range(count)
    )


def planted(*, units=3, each=8, size=150):
    """Documents that have nothing of `length: 100` in common but what is planted: across units, sources and blocks."""
    rng = random.Random(5)
    spans = [f"<{number} {words(rng, 30)}>" for number in range(6)]
    numbers = iter(rng.sample(range(1000), 2 * units * each))
    sources = {}
    for name in ("web", "books"):
        made = []
        for _ in range(units):
            texts = [f"{words(rng, size)}{rng.choice(['', rng.choice(spans)])}{words(rng, size)}" for _ in range(each)]
            made.append([(next(numbers) << 20, text) for text in texts])
        sources[name] = (name, made)
    return sources


@pytest.mark.parametrize("length", [30, 100, 101, 200])
def test_planted_spans_are_found_across_units_and_sources(length):
    agrees(planted(), length)


def test_neither_memory_nor_runs_nor_batches_change_what_is_cut(monkeypatch):
    one = agrees(planted(), 100)
    assert one == agrees(planted(), 100, memory=300 * stages.BYTES, batch_bytes=300)
    monkeypatch.setattr(stages, "RUN", 500)
    agrees(planted(), 100, memory=300 * stages.BYTES)


def test_a_document_that_ends_in_another_run_is_one_document(monkeypatch):
    """Of one hash, more than fits in memory: so its documents are counted run by run."""
    monkeypatch.setattr(stages, "RUN", 5)
    monkeypatch.setattr(kernels, "MOST", kernels.BLOCK)
    long = "ab" * kernels.BLOCK
    alone = {"web": ("web", [[(7, long)]])}
    _, _, files = build(alone, 16, memory=4000 * stages.BYTES)
    assert len(files["anchors:web 0 runs"]) == 8 * 3
    assert len(files["windows:web 0 high"]) == 0
    left, facts, _ = build({"web": ("web", [[(7, long + "-" * 40)], [(3, "!" + "-" * 30)]])}, 16, memory=4000 * 256)
    assert left == {7: long, 3: "!" + "-" * 30}
    assert facts["spans"] == 1


def test_no_half_of_a_character_is_cut():
    data = "aé河𝄞z"
    places = np.array([2], np.uint64)  # from the second byte of é to the second of the clef
    assert cut_windows(pa.array([data], pa.string()), 6, places, 0) == (pa.array(["aé𝄞z"]), 1)


def test_an_empty_corpus_has_no_windows():
    assert build({"web": ("web", [[], []]), "books": ("books", [[]])}, 50)[0] == {}


# -- the whole run -------------------------------------------------------------------------------------------------

RECIPE = """\
name: spans
memory: 512MiB
sources:
  web:   {{read: jsonl, path: "{raw}/web/*"}}
  books: {{read: jsonl, path: "{raw}/books/*"}}
steps:
  - where: length(text) > 20
  - substrings: {{length: 100}}
  - clean_chars: {{}}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    for name, (_, units) in planted().items():
        (folder / name).mkdir()
        for number, unit in enumerate(units):
            rows = [{"text": text} for _, text in unit]
            if number:
                rows.append({"text": planted()["books"][1][0][0][1]})  # of which nothing is left but once
            (folder / name / f"{number}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "recipe.yaml").write_text(RECIPE.format(raw=folder))
    return folder / "recipe.yaml"


def texts_of(root):
    return dict(zip(*pq.read_table(root / "corpus", columns=["doc", "text"]).to_pydict().values(), strict=True))


def test_a_run_gives_the_same_whatever_the_engine_and_says_what_it_cut(recipe, tmp_path, capsys):
    whole = tmp_path / "whole"
    assert main(["run", str(recipe), "--root", str(whole), "--workers", "2", "--set", "batch_bytes=1KiB"]) == 0
    said = capsys.readouterr().out
    before = tmp_path / "before"
    plain = recipe.with_name("plain.yaml")
    plain.write_text("".join(line for line in recipe.read_text().splitlines(True) if "substrings" not in line))
    assert main(["run", str(plain), "--root", str(before), "--engine", "inline"]) == 0
    wanted = expected(list(texts_of(before).items()), 100)
    left = {doc: text for doc, (text, _) in wanted.items() if text.strip()}
    assert texts_of(whole) == left
    dropped = pq.read_table(whole / "dropped", columns=["doc", "rule"]).to_pydict()
    assert sorted(dropped["doc"]) == sorted(set(wanted) - set(left))
    assert len(dropped["doc"]) >= 2
    assert set(dropped["rule"]) == {"empty"}
    spans = sum(spans for _, spans in wanted.values())
    documents = sum(spans > 0 for _, spans in wanted.values())
    assert f"substrings: {spans:,} repeated spans cut from {documents:,} documents" in said
    again = tmp_path / "again"
    assert main(["run", str(recipe), "--root", str(again), "--engine", "inline"]) == 0
    assert digests(again) == digests(whole)


def test_a_length_that_is_too_short_is_refused_at_its_line(recipe, capsys):
    assert main(["check", str(recipe), "--set", "steps.substrings.length=7"]) == 2
    assert "length" in capsys.readouterr().err
