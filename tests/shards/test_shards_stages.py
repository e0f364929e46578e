"""From a corpus to shards through the real bodies: every token of every document, exactly as often as the plan says."""

import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from shards_harness import Corpus, documents

from corpuskit.errors import CorpuskitError, DamagedFile, InputError, UsageError
from corpuskit.mix.explain import explain
from corpuskit.mix.problem import Infeasible
from corpuskit.shards.read import open_shard, read_index
from corpuskit.shards.tokenizer import END, from_json
from corpuskit.train.order import Plan

TRAIN = {"train": {"vocab_size": 400}}


def content():
    """Three sources, two domains: units without documents, empty texts, literal end tokens, long documents."""
    return {
        "web_b": ("web", [{"corpus": documents(2, 40), "holdout": documents(12, 3)}, {"corpus": [], "holdout": []}]),
        "web_a": ("web", [{"corpus": documents(3, 30)}, {"corpus": ["x " + END + " y", "", END], "holdout": [END]}]),
        "books": ("books", [{"corpus": [*documents(4, 5, longest=300), "short"], "holdout": documents(14, 2)}]),
    }


@pytest.fixture(scope="module", params=["concat", "best_fit"])
def built(request, tmp_path_factory):
    weights = {"web": 0.7, "books": 0.3}
    root = tmp_path_factory.mktemp(request.param)
    corpus = Corpus(root, content()).tokenize(TRAIN)
    return corpus.mix(packing=request.param, weights=weights, file_tokens=2000, units=2)


def tokenizer_of(corpus):
    return from_json((corpus.root / "tokens" / "tokenizer.json").read_text(), "test")


def pieces_of(corpus, entries):
    """{doc: {doc_start: [tokens, ...]}} as an independent reader finds them, checking that padding is padding."""
    folder = corpus.root / "shards"
    index = json.loads((folder / "index.json").read_text())
    width = index["seq_len"] + 1
    found = {}
    for entry in entries:
        tokens = np.fromfile(folder / entry["file"], index["dtype"]).reshape(entry["sequences"], width)
        covered = np.zeros(tokens.shape, bool)
        rows = pq.read_table(folder / entry["sidecar"]).to_pylist()
        assert rows == sorted(rows, key=lambda row: (row["sequence"], row["start"]))
        for row in rows:
            at = row["sequence"], slice(row["start"], row["start"] + row["length"])
            assert row["length"] > 0
            assert not covered[at].any()
            covered[at] = True
            found.setdefault(row["doc"], {}).setdefault(row["doc_start"], []).append(
                (tokens[at].tolist(), row["domain"])
            )
        assert (tokens[~covered] == index["pad"]).all()
        assert covered[:, 0].all(), "a sequence begins with padding"
    return found


def expected_tokens(corpus):
    """{doc: tokens with the end token}."""
    loaded = tokenizer_of(corpus)
    encoded = loaded.encode(list(corpus.texts.values()))
    return {doc: [*ids.tolist(), loaded.eos] for doc, ids in zip(corpus.texts, encoded, strict=True)}


def split_of(corpus, split):
    """{doc: domain} from the published document tables."""
    paths = sorted((corpus.root / "tokens" / f"split={split}").rglob("*.docs.parquet"))
    return {
        doc: path.parent.name.removeprefix("domain=")
        for path in paths
        for doc in pq.ParquetFile(path).read()["doc"].to_pylist()
    }


def test_a_document_from_all_its_runs_decodes_to_its_text(built):
    index = read_index(built.root / "shards")
    expected, loaded = expected_tokens(built), tokenizer_of(built)
    found = pieces_of(built, index["validation"].values())
    assert set(found) == set(split_of(built, "validation"))
    for doc, runs in found.items():
        tokens = [token for start in sorted(runs) for token in runs[start][0][0]]
        assert tokens == expected[doc]
        assert tokens[-1] == index["eos"]
        assert index["eos"] not in tokens[:-1]
        assert loaded.tokenizer.decode(tokens[:-1], skip_special_tokens=False) == built.texts[doc]


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_every_token_appears_exactly_once_per_epoch(tmp_path, packing, epochs):
    one = {name: (domain, units) for name, (domain, units) in content().items() if domain == "web"}
    built = Corpus(tmp_path, one).tokenize(TRAIN).mix(packing=packing, max_epochs=epochs, file_tokens=500, units=3)
    expected, domains = expected_tokens(built), split_of(built, "train")
    found = pieces_of(built, read_index(tmp_path / "shards")["train"])
    assert set(found) == set(domains)
    for doc, runs in found.items():
        times = Counter()
        for start, copies in runs.items():
            for tokens, domain in copies:
                assert domain == domains[doc]
                assert tokens == expected[doc][start : start + len(tokens)]
                times.update(range(start, start + len(tokens)))
        assert times == dict.fromkeys(range(len(expected[doc])), epochs)


def test_sequences_follow_the_plan(built):
    folder = built.root / "shards"
    plan, index = json.loads((folder / "plan.json").read_text()), read_index(folder)
    assert sum(entry["sequences"] for entry in index["train"]) == plan["sequences"]
    (order,) = Plan.from_json(plan)
    domain, epoch, _ = order.locate(np.arange(plan["sequences"]))
    number, targets, seen = 0, Counter(), {}
    for entry in index["train"]:
        shard = open_shard(folder, index, entry)
        runs = shard.runs()
        columns = [runs[name].to_pylist() for name in ("sequence", "domain", "doc", "doc_start", "length")]
        at = {}
        for sequence, name, doc, start, length in zip(*columns, strict=True):
            assert name == index["domains"][domain[number + sequence]]
            targets[name] += length
            at.setdefault(sequence, []).append((doc, start, length))
        for sequence, block in at.items():
            key = (int(domain[number + sequence]), int(epoch[number + sequence]), tuple(block))
            assert seen.setdefault(key, number + sequence) == number + sequence, "a block twice in one epoch"
        number += entry["sequences"]
    for name, about in plan["domains"].items():
        assert about["taken"] == targets[name] - about["sequences"]
        assert about["epochs"] <= plan["max_epochs"]
    assert plan["tokens"] == sum(about["taken"] for about in plan["domains"].values())
    assert "books" in explain(plan)


def test_best_fit_splits_no_document_that_fits(built):
    index = read_index(built.root / "shards")
    plan = json.loads((built.root / "shards" / "plan.json").read_text())
    expected = expected_tokens(built)
    width = index["seq_len"] + 1
    found = pieces_of(built, index["train"])
    split = [doc for doc, runs in found.items() if len(expected[doc]) <= width and set(runs) != {0}]
    assert bool(split) == (plan["packing"] == "concat")


def test_shares_are_of_tokens_even_where_blocks_are_half_empty(tmp_path):
    """A domain of one short document per block needs more sequences for its share of tokens."""
    short, full = ["tiny words"] * 1, documents(5, 400)
    corpus = Corpus(tmp_path, {"a": ("a", [{"corpus": short}]), "b": ("b", [{"corpus": full}])}).tokenize(TRAIN)
    corpus.mix(weights={"a": 0.05, "b": 0.95}, max_epochs=200, tokens="max", seq_len=64)
    plan = json.loads((tmp_path / "shards" / "plan.json").read_text())
    shares = {name: about["taken"] / plan["tokens"] for name, about in plan["domains"].items()}
    assert shares["a"] == pytest.approx(0.05, abs=0.005)
    assert plan["domains"]["a"]["sequences"] / plan["sequences"] > 0.15


def test_the_manifest_and_the_index_say_what_is_there(built):
    manifest = json.loads((built.root / "tokens" / "manifest.json").read_text())
    published = built.published()
    index = read_index(built.root / "shards")
    totals = Counter()
    for part in manifest["parts"]:
        file = f"tokens/{part['file']}"
        assert published[file] == part["sha256"]
        stored = np.fromfile(built.root / file, manifest["dtype"])
        assert len(stored) == part["tokens"]
        assert (stored == manifest["eos"]).sum() == part["documents"]
        totals[part["split"], part["domain"]] += part["bytes"]
    text = Counter()
    for split in ("train", "validation"):
        for doc, domain in split_of(built, split).items():
            text[split, domain] += len(built.texts[doc].encode())
    assert totals == text
    assert index["tokenizer"] == manifest["tokenizer"]["sha256"] == published["tokens/tokenizer.json"]
    assert sorted(index["validation"]) == index["domains"] == ["books", "web"]
    for name, entry in index["validation"].items():
        runs = open_shard(built.root / "shards", index, entry).runs()
        assert entry["tokens"] == sum(runs["length"].to_pylist()) - entry["sequences"]
        assert entry["bytes"] == text["validation", name]


def test_shards_do_not_depend_on_batches_units_or_the_order_of_sources(tmp_path):
    found = []
    for name, batch_bytes, units, order in (("a", 1 << 20, 1, 1), ("b", 17, 4, -1), ("c", 500, 9, 1)):
        corpus = Corpus(tmp_path / name, dict(list(content().items())[::order]), batch_bytes=batch_bytes)
        found.append(corpus.tokenize(TRAIN).mix(units=units, file_tokens=700).published())
    assert len([file for file in found[0] if file.startswith("shards/train")]) > 6
    assert found[0] == found[1] == found[2]


def test_another_seed_moves_sequences_and_the_fingerprint_only(tmp_path):
    shards = []
    for seed in (1, 2):
        corpus = Corpus(tmp_path / str(seed), content()).tokenize(TRAIN).mix(seed=seed)
        index = read_index(tmp_path / str(seed) / "shards")
        tokens = open_shard(tmp_path / str(seed) / "shards", index, index["train"][0]).tokens
        shards.append((index, sorted(map(tuple, tokens.tolist())), tokens.tolist(), corpus.published()))
    (one, same, order, files), (two, same2, order2, files2) = shards
    assert same == same2
    assert order != order2
    assert one.pop("fingerprint") != two.pop("fingerprint")
    assert one == two
    assert files["shards/validation-web.bin"] == files2["shards/validation-web.bin"]


@pytest.mark.parametrize("packing", ["concat", "best_fit"])
def test_a_corpus_of_one_short_document_works(tmp_path, packing):
    corpus = Corpus(tmp_path, {"a": ("a", [{"corpus": ["Hello, world"]}])}).tokenize(TRAIN)
    corpus.mix(packing=packing, seq_len=2048, units=4)
    index = read_index(tmp_path / "shards")
    assert [entry["sequences"] for entry in index["train"]] == [4]
    assert index["validation"] == {}
    tokens = open_shard(tmp_path / "shards", index, index["train"][0]).tokens
    assert (tokens == tokens[0]).all()
    loaded = tokenizer_of(corpus)
    size = len(loaded.encode(["Hello, world"])[0]) + 1
    assert loaded.tokenizer.decode(tokens[0, : size - 1].tolist(), skip_special_tokens=False) == "Hello, world"
    assert (tokens[0, size - 1 :] == 0).all()


def test_a_domain_without_weight_is_kept_out_and_shown(tmp_path):
    Corpus(tmp_path, content()).tokenize(TRAIN).mix(weights={"books": 1.0})
    plan = json.loads((tmp_path / "shards" / "plan.json").read_text())
    assert plan["domains"]["web"]["sequences"] == 0
    assert plan["domains"]["web"]["documents"] == 73
    targets = plan["domains"]["web"]["targets"]
    assert f"note: web has no weight: its {targets:,} tokens are not in the mixture" in explain(plan)
    index = read_index(tmp_path / "shards")
    assert set(index["validation"]) == {"books", "web"}


def test_what_cannot_be_mixed_is_an_error_that_says_what_would_do(tmp_path):
    corpus = Corpus(tmp_path, {**content(), "empty": ("empty", [{}])}).tokenize(TRAIN)
    with pytest.raises(
        Infeasible, match=r"1,000,000 tokens are more than .* books \(.*\n.*largest feasible budget is [\d,]+"
    ):
        corpus.mix(weights={"web": 0.1, "books": 0.9}, tokens=1_000_000)
    with pytest.raises(Infeasible, match="`empty`, but the corpus kept no document"):
        corpus.mix(weights={"web": 0.5, "empty": 0.5})
    with pytest.raises(UsageError, match=r"needs the domains `c4`, `commoncrawl`|needs the domain"):
        corpus.mix(weights="slimpajama-dc-6")
    with pytest.raises(Infeasible, match="5 tokens gives no domain a whole sequence of 32"):
        corpus.mix(tokens=5)


def test_the_largest_feasible_budget_of_the_error_is_feasible(tmp_path):
    corpus = Corpus(tmp_path / "a", content()).tokenize(TRAIN)
    with pytest.raises(Infeasible) as caught:
        corpus.mix(weights={"web": 0.3, "books": 0.7}, tokens=10**9)
    largest = int(caught.value.hint.split("is ")[1].split(" tokens")[0].replace(",", ""))
    with pytest.raises(Infeasible):
        corpus.mix(weights={"web": 0.3, "books": 0.7}, tokens=largest + 1)
    corpus.mix(weights={"web": 0.3, "books": 0.7}, tokens=largest)
    plan = json.loads((tmp_path / "a" / "shards" / "plan.json").read_text())
    assert largest - 2 * 32 <= plan["tokens"] <= largest
    assert plan["domains"]["books"]["cap"] or plan["domains"]["books"]["epochs"] > 3.5


def test_a_corpus_without_documents_cannot_train_a_tokenizer(tmp_path):
    with pytest.raises(CorpuskitError, match="no text to train a tokenizer on"):
        Corpus(tmp_path, {"a": ("a", [{}])}).tokenize(TRAIN)


def test_a_vocabulary_too_large_for_16_bits_is_stored_in_32(tmp_path):
    corpus = Corpus(tmp_path / "a", content()).tokenize(TRAIN)
    raw = json.loads(tokenizer_of(corpus).content)
    vocabulary = raw["model"]["vocab"]
    vocabulary |= {f"unused{number}": number for number in range(len(vocabulary), 70_000)}
    (tmp_path / "large.json").write_text(json.dumps(raw))
    large = Corpus(tmp_path / "b", content()).tokenize(str(tmp_path / "large.json")).mix()
    index = read_index(tmp_path / "b" / "shards")
    assert (index["dtype"], index["vocab_size"]) == ("int32", 70_000)
    found, expected = pieces_of(large, index["validation"].values()), expected_tokens(large)
    assert all(runs[0][0][0] == expected[doc][: len(runs[0][0][0])] for doc, runs in found.items())


def test_damaged_inputs_are_named(tmp_path):
    Corpus(tmp_path, content()).tokenize(TRAIN).mix()
    with pytest.raises(InputError, match="holds no shards"):
        read_index(tmp_path / "tokens")
    index = read_index(tmp_path / "shards")
    (tmp_path / "shards" / "train-00000.bin").unlink()
    with pytest.raises(InputError, match=r"train-00000\.bin: missing"):
        open_shard(tmp_path / "shards", index, index["train"][0])
    damaged = Corpus(tmp_path / "damaged", content()).tokenize(TRAIN)
    path = damaged.receipts["tokens-books"][0].parts["bin"].local()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DamagedFile, match=r"-bin\.bin is damaged"):
        damaged.mix()


def test_the_sample_of_a_large_corpus_is_shared_among_its_domains(tmp_path, monkeypatch):
    monkeypatch.setattr("corpuskit.shards.stages.SAMPLE_BYTES", 3000)
    corpus = Corpus(tmp_path, content()).tokenize(TRAIN)
    sample = corpus.receipts["tokenizer"][0].facts["sample"]
    units = [*corpus.receipts["sample-web_a"], *corpus.receipts["sample-web_b"]]
    drawn = sum(receipt.parts["sample"].rows for receipt in units)
    assert sample["web"]["documents"] <= drawn < 40  # of 73
    assert set(sample) == {"books", "web"}
    assert sum(about["bytes"] for about in sample.values()) <= 3002
    assert all(about["bytes"] > 300 for about in sample.values())
