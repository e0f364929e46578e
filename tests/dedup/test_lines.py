"""`lines`: what is cut is what brute force over all documents says, whatever the memory, the units and the engine."""

import dataclasses
import itertools
import json
import sys
import tempfile
import tracemalloc
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpuskit.cli import main
from corpuskit.core.batch import PartReader
from corpuskit.core.spec import Spec
from corpuskit.core.work import Receipt, Work
from corpuskit.dedup import lines as stages
from corpuskit.dedup.kinds import Hashed, Repeated, Repeats
from corpuskit.documents import segment as pipeline
from corpuskit.documents.kinds import Segment
from corpuskit.kernels.lines import cut_lines, hash_lines
from corpuskit.steps.lines import lines
from corpuskit.store.local import LocalStore
from corpuskit.store.root import Root
from tests.core.builder import committed, digests

sys.path.insert(0, str(Path(__file__).parents[1] / "kernels"))
from hostile import texts
from kernel_twins import normalize

SCHEMA = pa.schema([("doc", pa.uint64()), ("text", pa.string()), ("domain", pa.string())])


# -- what the step means, in plain Python --------------------------------------------------------------------------


def units_of(text, unit):
    """Lines of a text, and for each line or paragraph the numbers of the lines that go with it and its own text."""
    split = text.split("\n")
    if unit == "line":
        return split, [([number], line) for number, line in enumerate(split)]
    found = []
    for number, line in enumerate(split):
        blank = not line.strip()
        if blank and found:
            found[-1][0].append(number)
        elif not blank and number and split[number - 1].strip():
            found[-1][0].append(number)
            found[-1][1].append(line)
        elif not blank:
            found.append(([number], [line]))
    return split, [(numbers, "\n".join(own)) for numbers, own in found]


def expected(documents, unit="line", documents_=2, keep=1, min_chars=30, scope="global"):
    """{doc: text} as the step leaves them, from [(doc, domain, text)]."""
    having = defaultdict(set)
    key = lambda domain, text: (domain if scope == "domain" else None, normalize(text))  # noqa: E731
    for doc, domain, text in documents:
        for _, own in units_of(text, unit)[1]:
            if len(normalize(own)) >= min_chars:
                having[key(domain, own)].add(doc)
    left = {}
    for doc, domain, text in documents:
        split, found = units_of(text, unit)
        gone = set()
        for numbers, own in found:
            docs = having.get(key(domain, own), set())
            if len(docs) >= documents_ and doc not in sorted(docs)[:keep]:
                gone |= set(numbers)
        left[doc] = "\n".join(line for number, line in enumerate(split) if number not in gone)
    return left


# -- the stages on real files --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Built:
    left: dict[int, str]
    dropped: dict[int, str]
    facts: dict[str, int]
    repeated: list[dict[str, int]]
    files: dict[str, bytes]


class Harness:
    """Runs the stages one by one over sources {name: (domain, [[(doc, text)] a unit])}."""

    def __init__(self, root, memory=1 << 26, batch_bytes=1 << 20, partitions=2, rows=3):
        self.root, self.memory, self.batch_bytes = Path(root), memory, batch_bytes
        self.partitions, self.rows = partitions, rows
        self.receipts = {}

    def stage(self, name, body, units, spec, needs=()):
        self.receipts[name] = done = []
        for unit in range(units):
            scratch = self.root / name.replace(":", "-") / str(unit)
            scratch.mkdir(parents=True)
            work = Work(
                store=LocalStore(self.root), stage=name, spec=spec, unit=unit, units=units,
                key=f"{name}{unit}", inputs=[],
                memory=self.memory, batch_bytes=self.batch_bytes, scratch=scratch,
                receipts_of=self.receipts.__getitem__, needs=dict(needs),
            )  # fmt: skip
            body(work)
            parts = {part: committed(part, path, rows, publish) for part, (path, publish, rows) in work.pending.items()}
            done.append(Receipt(name, unit, work.key, "", parts, work.books, work.facts, [], 0.0, 0.0, 0))

    def docs(self, units, domain):
        def body(work):
            with pa.ipc.new_file(work.put("docs", ".arrow"), SCHEMA) as writer:
                for start in range(0, len(units[work.unit]), self.rows):
                    some = units[work.unit][start : start + self.rows]
                    columns = [[doc for doc, _ in some], [text for _, text in some], [domain] * len(some)]
                    writer.write_batch(pa.record_batch(columns, schema=SCHEMA))

        return body

    def build(self, sources, unit="line", documents=2, keep=1, min_chars=30, scope="global"):
        for name, (domain, units) in sources.items():
            self.stage(f"docs:{name}", self.docs(units, domain), len(units), Spec())
            spec = Hashed(unit, min_chars, domain if scope == "domain" else None)
            self.stage(f"lines:{name}", stages.lines, len(units), spec, {"docs": f"docs:{name}"})
        labels = sorted(f"lines:{name}" for name in sources)
        spec = Repeated(documents, keep, labels)
        self.stage("repeated", stages.repeated, self.partitions, spec, {label: label for label in labels})
        for name, (domain, units) in sources.items():
            needs = {"lines": f"lines:{name}", "repeated": "repeated"}
            self.stage(f"repeats:{name}", stages.repeats, len(units), Repeats(f"lines:{name}"), needs)
            applied = {"barrier": "lines", "unit": unit, "repeats": "repeats:lines", "name": "lines"}
            spec = Segment(
                domain=domain, source=name, apply=[applied], steps=[], keep_dropped=True,
                base=str(self.root), on_error="fail", calls=(),
            )  # fmt: skip
            needs = {"docs": f"docs:{name}", "repeats:lines": f"repeats:{name}"}
            self.stage(f"after:{name}", pipeline.segment, len(units), spec, needs)
        return self.result(sources)

    def result(self, sources):
        built = Built({}, {}, defaultdict(int), [one.facts["repeated"] for one in self.receipts["repeated"]], {})
        for name in sources:
            for receipt in self.receipts[f"after:{name}"]:
                for batch in PartReader(receipt.parts["docs"].local()):
                    built.left |= zip(batch["doc"].to_pylist(), batch["text"].to_pylist(), strict=True)
                if "dropped" in receipt.parts:
                    table = pq.read_table(receipt.parts["dropped"].local(), partitioning=None)
                    assert set(table["rule"].to_pylist()) == {"empty"}
                    assert receipt.books[sources[name][0]]["empty"] == table.num_rows
                    built.dropped |= zip(table["doc"].to_pylist(), table["text"].to_pylist(), strict=True)
                for fact, count in receipt.facts["lines"]["lines"].items():
                    built.facts[fact] += count
        for stage, receipts in self.receipts.items():
            for receipt in receipts:
                built.files |= {f"{stage} {receipt.unit} {n}": p.local().read_bytes() for n, p in receipt.parts.items()}
        return built


def build(sources, *, memory=1 << 26, batch_bytes=1 << 20, partitions=2, rows=3, **params):
    with tempfile.TemporaryDirectory() as folder:
        return Harness(folder, memory, batch_bytes, partitions, rows).build(sources, **params)


def listed(sources):
    return [(doc, domain, text) for domain, units in sources.values() for unit in units for doc, text in unit]


def is_blank(text):
    return not pc.utf8_trim_whitespace(pa.scalar(text)).as_py()


def agrees(built, sources, unit="line", documents=2, keep=1, min_chars=30, scope="global"):
    """Check what was built against brute force."""
    before = {doc: text for doc, _, text in listed(sources)}
    wanted = expected(listed(sources), unit, documents, keep, min_chars, scope)
    # a document that had no text before is none of this step's: readers leave none
    blank = {doc for doc, text in wanted.items() if text != before[doc] and is_blank(text)}
    assert built.left == {doc: text for doc, text in wanted.items() if doc not in blank}
    assert built.dropped == {doc: before[doc] for doc in blank}
    assert built.facts["bytes"] == sum(len(before[doc].encode()) - len(wanted[doc].encode()) for doc in wanted)
    assert built.facts["documents"] == sum(before[doc] != wanted[doc] for doc in wanted)
    assert built.facts["lines"] == sum(one["occurrences"] for one in built.repeated)


POOL = [
    "Home | About us | Contact", "home about us contact", "HOME   ABOUT US, CONTACT.", "All rights reserved", "a", "",
    " ", "\t", "\x85", "\u2028", "Привет друзья", "ПРИВЕТ ДРУЗЬЯ!", "著作権所有", "ΟΔΟΣ ΣΟΦΟΣ", "οδος σοφος",
    "İstanbul", "i\u0307stanbul", "}", "...", "x" * 70, "X" * 70 + "-", "Sign in\xa0here", "sign in here", "\r", "0",
]  # fmt: skip

bodies = st.one_of(
    st.lists(st.sampled_from(POOL), max_size=8).flatmap(
        lambda chosen: st.sampled_from(["\n", "\r\n", "\n\n", "\n \n"]).map(lambda feed: feed.join(chosen))
    ),
    texts,
)


@st.composite
def corpora(draw):
    numbers = iter(draw(st.permutations(range(40))))
    sources = {}
    for name, domain in (("web", "web"), ("blogs", "web"), ("books", "books")):
        sizes = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
        sources[name] = (domain, [[(next(numbers) << 40, draw(bodies)) for _ in range(size)] for size in sizes])
    return sources


parameters = st.fixed_dictionaries(
    {
        "unit": st.sampled_from(["line", "paragraph"]),
        "documents": st.integers(2, 4),
        "keep": st.integers(0, 3),
        "min_chars": st.sampled_from([1, 2, 8, 30]),
        "scope": st.sampled_from(["global", "domain"]),
    }
)


@settings(max_examples=50)
@given(corpora(), parameters, st.sampled_from([0, 500, 2000, 1 << 26]), st.sampled_from([1, 4]), st.integers(1, 3))
def test_what_is_cut_is_what_brute_force_says(sources, params, memory, partitions, rows):
    agrees(build(sources, memory=memory, partitions=partitions, rows=rows, **params), sources, **params)


@given(st.lists(texts, max_size=6), st.sampled_from(["line", "paragraph"]), st.sampled_from([1, 3, 30]))
@example(["\n", "\n\na\n\n", "a\r\n\r\nb", "\u2028\nab\n \x1c\ncd"], "paragraph", 1)
def test_lines_are_found_numbered_and_told_apart(rows, unit, least):
    found = hash_lines(pa.array(rows, pa.string()), unit, least)
    wanted = [
        (row, number, normalize(own))
        for row, text in enumerate(rows)
        for number, (_, own) in enumerate(units_of(text, unit)[1])
        if len(normalize(own)) >= least
    ]
    assert [(place >> 32, place & 0xFFFFFFFF) for place in found.place.tolist()] == [one[:2] for one in wanted]
    hashes = list(zip(found.high.tolist(), found.low.tolist(), strict=True))
    clean = [one[2] for one in wanted]
    assert [hashes.index(one) for one in hashes] == [clean.index(one) for one in clean]
    assert not {high for high, _ in hashes} & {low for _, low in hashes}


@given(st.lists(bodies, min_size=1, max_size=5), st.sampled_from(["line", "paragraph"]), st.data())
def test_any_lines_can_be_cut(rows, unit, data):
    places, wanted = [], []
    for row, text in enumerate(rows, start=7):
        split, found = units_of(text, unit)
        cut = data.draw(st.sets(st.integers(0, len(found) - 1))) if found else set()
        places += [row << 32 | number for number in sorted(cut)]
        gone = {number for one in cut for number in found[one][0]}
        wanted.append("\n".join(line for number, line in enumerate(split) if number not in gone))
    column = pa.array(["?", *rows], pa.string()).slice(1)
    assert cut_lines(column, unit, np.array(places, np.uint64), 7).to_pylist() == wanted


def test_a_paragraph_goes_with_the_blank_lines_behind_it_and_leaves_those_before_it():
    column = pa.array(["\n\none\ntwo\n \n\nthree", "one\n\ntwo"], pa.string())
    assert cut_lines(column, "paragraph", np.array([0, 1 << 32 | 1], np.uint64), 0).to_pylist() == [
        "\n\nthree",
        "one\n",
    ]


def test_a_number_that_no_line_has_is_an_error():
    with pytest.raises(ValueError, match="1 lines to cut that are not all in rows 0 to 0"):
        cut_lines(pa.array(["one\ntwo"], pa.string()), "line", np.array([2], np.uint64), 0)


MENU = "Home | Products | Support | About the company"


def pages(count, units=1, lines_each=1):
    """Documents in no order of their ids that all have the menu, `lines_each` times, and a line of their own."""
    ids = np.random.default_rng(0).permutation(count).tolist()
    made = [(doc << 20, "\n".join([MENU] * lines_each + [f"the page number {doc} has these words"])) for doc in ids]
    return {"web": ("web", [made[unit::units] for unit in range(units)])}


@pytest.mark.parametrize("keep", [0, 1, 3])
@pytest.mark.parametrize("documents", [400, 401])
def test_a_line_of_every_document_is_cut_in_less_memory_than_it_takes(keep, documents, monkeypatch):
    monkeypatch.setattr(stages, "RUN", 50)
    sources = pages(400, units=3, lines_each=2)
    built = build(sources, memory=40 * stages.BYTES, documents=documents, keep=keep)
    agrees(built, sources, documents=documents, keep=keep)
    assert built.facts["lines"] == (2 * (400 - keep) if documents == 400 else 0)


def test_a_document_that_fills_the_memory_with_one_line_counts_once():
    sources = {"web": ("web", [[(1, "\n".join([MENU] * 100)), (2, "another line that stands here alone")]])}
    assert build(sources, memory=7 * stages.BYTES, keep=0).left[1] == sources["web"][1][0][0][1]


class Measured(Harness):
    """Knows the peak of the memory that the stage `repeated` allocates, bytes; files that are mapped do not count."""

    def stage(self, name, *words, **more):
        tracemalloc.start()
        super().stage(name, *words, **more)
        if name == "repeated":
            self.peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@pytest.mark.parametrize("twice", [False, True])
def test_memory_is_bounded_whatever_the_corpus(twice, tmp_path):
    """One line of every document; or every line in two documents, so that all of them have to be compared."""
    build(pages(3000))  # compiles
    texts_ = [f"the line number {number} of this whole corpus" for number in range(10_000)]
    menu = "" if twice else f"{MENU}\n"
    documents = [(number, menu + texts_[number % 10_000 if twice else number // 3]) for number in range(20_000)]
    harness = Measured(tmp_path, memory=2 << 20, partitions=1, rows=1000)
    built = harness.build({"web": ("web", [documents])})
    assert built.facts["lines"] == (10_000 if twice else 19_999 + 20_000 - 6667)
    assert harness.peak < 2 << 20


def test_a_line_that_one_document_repeats_is_its_own():
    sources = {"web": ("web", [[(1, f"{MENU}\nverse\n{MENU}"), (2, "verse")]])}
    assert build(sources).left == {1: f"{MENU}\nverse\n{MENU}", 2: "verse"}


def test_short_lines_stay():
    sources = {"code": ("code", [[(1, "return result\n}"), (2, "return result\n}")]])}
    assert build(sources).left == {1: "return result\n}", 2: "return result\n}"}
    assert build(sources, min_chars=12).left == {1: "return result\n}", 2: "}"}


def test_lines_whose_hashes_are_equal_by_half_are_told_apart():
    rng = np.random.default_rng(1)
    high, low, doc = (rng.integers(0, 3, 500).astype(np.uint64) for _ in range(3))
    docs = defaultdict(set)
    for one in zip(high.tolist(), low.tolist(), doc.tolist(), strict=True):
        docs[one[:2]].add(one[2])
    for documents, keep in itertools.product((2, 3), (0, 1, 2)):
        cut, recur = stages.find_cut(high, low, doc, documents, keep)
        assert recur == sum(len(found) >= documents for found in docs.values())
        for number in range(500):
            found = sorted(docs[high[number], low[number]])
            assert (number in cut) == (len(found) >= documents and int(doc[number]) not in found[:keep])


def test_neither_memory_nor_batches_change_a_byte(monkeypatch):
    monkeypatch.setattr(stages, "RUN", 40)
    one, two = (build(pages(300, 2), memory=m, batch_bytes=b) for m, b in ((1 << 26, 1 << 20), (5000, 300)))
    assert one.files == two.files
    assert build(pages(300, 2), partitions=8).left == one.left


def test_an_empty_corpus_has_no_lines():
    assert build({"web": ("web", [[], []]), "books": ("books", [[]])}).left == {}


# -- the whole run -------------------------------------------------------------------------------------------------

RECIPE = """\
name: menus
memory: 512MiB
batch_bytes: {batch_bytes}
sources:
  web:   {{read: jsonl, path: "{raw}/web/*"}}
  blogs: {{read: jsonl, path: "{raw}/blogs/*"}}
  books: {{read: jsonl, path: "{raw}/books/*"}}
steps:
  - where: length(text) > 20
    name: too_short
  - lines: {{unit: paragraph, min_chars: 20, keep: 0}}
    only: [web]
  - lines: {{documents: 3}}
  - clean_chars: {{}}
    only: [web]
  - holdout: {{tokens: 100, seed: 1, dedup_train: true}}
"""


def raw_corpus(folder, *, more=()):
    rng = np.random.default_rng(3)
    words = "river stone bridge winter garden letter engine copper signal harbor window teacher market forest".split()
    common = [" ".join(rng.choice(words, 9)).capitalize() + "." for _ in range(12)]
    for name in ("web", "blogs", "books"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in ("a", "b", *more):
            rows = []
            for row in range(30):
                own = " ".join(rng.choice(words, 12)) + f" {name} {file} {row}"
                parts = [str(one) for one in rng.choice([*common, own, ""], rng.integers(1, 7))]
                rows.append({"text": "\n".join(parts if row % 9 else [common[0]])})
            lines_ = [json.dumps(one) for one in rows]
            (folder / name / f"{file}.jsonl").write_text("\n".join(lines_) + "\n", encoding="utf-8")
    return folder


def recipe(folder, raw, batch_bytes=1 << 20):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(raw=raw, batch_bytes=batch_bytes))
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return raw_corpus(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def built(raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    assert main(["run", str(recipe(folder, raw)), "--root", str(folder / "root"), "--engine", "inline"]) == 0
    return folder / "root"


def test_a_run_leaves_what_brute_force_leaves(built):
    root = Root(built)
    plan = root.require_plan()
    before = []
    for name in ("web", "blogs", "books"):
        for receipt in root.receipts(plan.stages[f"filter-{name}"]):
            for batch in PartReader(receipt.parts["docs"].local()):
                before += zip(*(batch[column].to_pylist() for column in ("doc", "domain", "text")), strict=True)
    only = [one for one in before if one[1] == "web"]
    first = expected(only, "paragraph", 2, 0, 20)
    middle = [(doc, domain, first.get(doc, text)) for doc, domain, text in before]
    last = expected([one for one in middle if one[2].strip()], "line", 3, 1, 30)
    assert any(first[doc] != text for doc, _, text in only)
    assert any(last[doc] != text for doc, _, text in middle if doc in last)
    kept = {}
    for folder in ("corpus", "holdout"):
        table = pq.read_table(built / folder)
        kept |= zip(table["doc"].to_pylist(), table["text"].to_pylist(), strict=True)
    dropped = pq.read_table(built / "dropped")
    gone = dict(zip(dropped["doc"].to_pylist(), dropped["rule"].to_pylist(), strict=True))
    empty = {doc for doc, rule in gone.items() if rule == "empty"}
    contaminated = {doc for doc, rule in gone.items() if rule == "contaminated"}
    assert kept == {doc: text for doc, text in last.items() if text.strip() and doc not in contaminated}
    cut_away = {doc for doc, *_ in before} - kept.keys() - contaminated
    assert cut_away
    assert cut_away == empty & {doc for doc, *_ in before}  # others had no text when they were read


def test_engine_and_batches_do_not_change_a_byte(built, raw, tmp_path):
    path = recipe(tmp_path, raw, batch_bytes=700)
    words = ["run", str(path), "--root", str(tmp_path / "root"), "--engine", "local", "--workers", "2"]
    assert main(words) == 0
    assert digests(tmp_path / "root") == digests(built)


def lengths_are_of_the_texts(root):
    table = pq.read_table(root / "corpus" / "domain=web", partitioning=None)
    pairs = zip(table["text"].to_pylist(), table["clean_chars"].to_pylist(), strict=True)
    return table.num_rows > 0 and all(len(normalize(text)) == count for text, count in pairs)


def test_a_signal_below_is_of_the_text_that_is_left_also_when_another_is_left(raw, tmp_path):
    path = recipe(tmp_path, raw)
    words = ["run", str(path), "--root", str(tmp_path / "root"), "--engine", "inline"]
    path.write_text(path.read_text().replace("documents: 3", "documents: 180"))
    assert main(words) == 0
    assert lengths_are_of_the_texts(tmp_path / "root")
    before = digests(tmp_path / "root")
    recipe(tmp_path, raw)
    assert main(words) == 0
    assert lengths_are_of_the_texts(tmp_path / "root")
    assert digests(tmp_path / "root") != before


def test_more_files_give_what_a_run_from_scratch_gives(tmp_path):
    raw_corpus(tmp_path / "raw")
    words = [str(recipe(tmp_path, tmp_path / "raw")), "--engine", "inline", "--root"]
    assert main(["run", *words, str(tmp_path / "grown")]) == 0
    before = digests(tmp_path / "grown")
    raw_corpus(tmp_path / "raw", more=["c"])
    assert main(["run", *words, str(tmp_path / "grown")]) == 0
    assert main(["run", *words, str(tmp_path / "scratch")]) == 0
    assert digests(tmp_path / "grown") == digests(tmp_path / "scratch") != before


def test_parameters_are_checked(tmp_path, raw, capsys):
    for wrong, said in (("documents: 1", "documents"), ("unit: word", "unit"), ("min_chars: 0", "min_chars")):
        path = tmp_path / "recipe.yaml"
        path.write_text(
            f"name: x\nsources: {{web: {{read: jsonl, path: '{raw}/web/*'}}}}\nsteps: [{{lines: {{{wrong}}}}}]\n"
        )
        assert main(["check", str(path)]) == 2
        assert said in capsys.readouterr().err
    assert lines() == {"unit": "line", "documents": 2, "keep": 1, "min_chars": 30, "scope": "global"}
