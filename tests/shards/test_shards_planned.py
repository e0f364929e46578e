"""A plan that is followed over the tokens gives what the shards that it would make hold: the same batches in order."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shards_harness import Corpus, documents
from test_shards_phases import PHASES
from test_shards_stages import TRAIN, content

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from corpuskit.errors import InputError  # noqa: E402
from corpuskit.shards.read import read_index  # noqa: E402
from corpuskit.train.checked import check  # noqa: E402
from corpuskit.train.data import Shards, share  # noqa: E402

MIXES = {
    "phases": {"phases": PHASES, "max_epochs": 3, "packing": "best_fit"},
    "phases, concat": {"phases": PHASES, "max_epochs": 3, "packing": "concat"},
    "epochs": {"max_epochs": 2.5, "packing": "best_fit"},
    "epochs, concat": {"max_epochs": 2.5, "packing": "concat", "weights": {"web": 0.7, "books": 0.3}},
    "padding": {"seq_len": 1024, "max_epochs": 3, "packing": "concat"},
    "one domain without weight": {"weights": {"books": 1}, "packing": "best_fit"},
}


def made(root, write, **mix):
    return Corpus(root, content()).tokenize(TRAIN).mix(write=write, file_tokens=1500, **mix)


@pytest.fixture(scope="module", params=MIXES)
def both(request, tmp_path_factory):
    """The shards, and the plan, of one mixture."""
    return [made(tmp_path_factory.mktemp(write), write, **MIXES[request.param]).root for write in ("shards", "plan")]


def whole(split):
    batch = split.batch(range(len(split)), len(split))
    return batch.inputs.numpy(), batch.targets.numpy(), batch.documents.numpy()


@pytest.mark.parametrize("mask", ["document", "causal"])
def test_the_trainer_sees_the_same_sequences_in_the_same_order(both, mask):
    written, planned = (Shards(root / "shards", mask) for root in both)
    assert len(written.train) == len(planned.train)
    assert sorted(written.validation) == sorted(planned.validation) == ["books", "web"]
    pairs = list(zip(written.train, planned.train, strict=True))
    pairs += [(split, planned.validation[name]) for name, split in written.validation.items()]
    for one, other in pairs:
        assert (len(one), one.seq_len, one.vocab_size) == (len(other), other.seq_len, other.vocab_size)
        assert len(one)
        for a, b in zip(whole(one), whole(other), strict=True):
            assert np.array_equal(a, b)
        said = one.source.domains()  # of a sequence that is padding alone, shards say none
        assert said[said != ""].tolist() == other.source.domains()[said != ""].tolist()
    assert [split.tokens for split in written.validation.values()] == [s.tokens for s in planned.validation.values()]
    assert (written.bytes, written.fingerprint) == (planned.bytes, planned.fingerprint)
    assert (written.seq_len, written.tokenizer) == (planned.seq_len, planned.tokenizer)


def test_no_mixed_shard_is_written(both):
    _, planned = both
    assert list((planned / "shards").glob("*.bin")) == []
    assert {path.suffix for path in (planned / "shards").iterdir()} == {".idx", ".json"}
    with pytest.raises(InputError, match=r"holds no shards but the plan .*\n.*write: shards"):
        read_index(planned / "shards")


def test_it_resumes_at_any_sequence_and_processes_share_it_out(both):
    split = Shards(both[1] / "shards", "document").train[0]
    inputs, targets, owners = whole(split)
    for size in (1, 2, 4):
        for start, stop in ((0, 5), (3, min(10, len(split))), (len(split) - 3, len(split))):
            seen = {}
            for rank in range(size):
                mine, rows = share(start, stop, rank, size)
                batch = split.batch(mine, rows)
                assert (batch.targets[len(mine) :] == -100).all()
                seen |= dict.fromkeys(mine, batch)
                for row, number in enumerate(mine):
                    assert np.array_equal(batch.inputs[row].numpy(), inputs[number])
                    assert np.array_equal(batch.targets[row].numpy(), targets[number])
                    assert np.array_equal(batch.documents[row].numpy(), owners[number])
            assert sorted(seen) == list(range(start, stop))


@given(st.data())
def test_sequences_are_read_in_any_order(both, data):
    split = Shards(both[1] / "shards", "document").train[-1]
    some = data.draw(st.lists(st.integers(0, len(split) - 1), max_size=9))
    inputs, targets, owners = whole(split)
    batch = split.batch(some, len(some))
    assert np.array_equal(batch.inputs.numpy(), inputs[some])
    assert np.array_equal(batch.targets.numpy(), targets[some])
    assert np.array_equal(batch.documents.numpy(), owners[some])


def test_the_index_of_the_plan_keeps_what_the_shards_say(both):
    one, other = (json.loads((root / "shards" / "index.json").read_text()) for root in both)
    assert other["format"] == 3
    changed = {"format", "train", "validation", "streams"}
    assert {name: one[name] for name in one if name not in changed} == {n: other[n] for n in other if n not in changed}
    assert (both[0] / "shards" / "plan.json").read_bytes() == (both[1] / "shards" / "plan.json").read_bytes()


def test_a_domain_has_more_parts_than_files_may_be_open(tmp_path, monkeypatch):
    monkeypatch.setattr("corpuskit.train.stream._OPEN_FILES", 2)
    parts = {"a": ("a", [{"corpus": documents(seed, 3)} for seed in range(5)])}
    roots = [
        Corpus(tmp_path / write, parts).tokenize(TRAIN).mix(write=write, packing="best_fit", seq_len=200).root
        for write in ("shards", "plan")
    ]
    one, other = (whole(Shards(root / "shards", "document").train[0]) for root in roots)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def plan(tmp_path):
    return made(tmp_path, "plan", packing="best_fit").root


@pytest.mark.parametrize("name", ["pieces-web.idx", "train-books.idx", "blocks-web.idx", "validation-web.idx"])
def test_an_index_of_another_size_is_refused(plan, name):
    path = plan / "shards" / name
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=rf"{name} holds [\d,]+ bytes; index.json says [\d,]+ bytes\n.*run the recipe"):
        Shards(plan / "shards", "document")


def test_a_missing_token_file_is_refused(plan):
    (path,) = (plan / "tokens" / "split=train" / "domain=books").glob("*.bin")
    path.unlink()
    with pytest.raises(InputError, match=rf"{path.name} does not exist; index.json says"):
        Shards(plan / "shards", "document")


def test_documents_that_do_not_cover_the_stream_are_refused(plan):
    path = plan / "shards" / "train-books.idx"
    content = bytearray(path.read_bytes())
    content[0] = 1
    path.unlink()
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"train-books.idx: its documents do not cover"):
        Shards(plan / "shards", "document")


def test_a_token_outside_the_vocabulary_names_the_domain(plan):
    path = plan / "shards" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": 2}))
    with pytest.raises(InputError, match=r"(web|books): sequence 3 has tokens outside 0\.\.1"):
        Shards(plan / "shards", "document").train[0].batch([3], 1)


class Alone:
    """One process, which counts the times that it and others are asked what they found."""

    rank, size = 0, 1

    def __init__(self):
        self.asked = 0

    def total(self, value):
        self.asked += 1
        return [value]


def sealed(root):
    """Write the manifests that say what the files of tokens and shards are."""
    for folder in (root / "shards", root / "tokens"):
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {
            path.relative_to(folder).as_posix(): {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in paths
        }
        (folder / "_manifest.json").write_text(json.dumps({"files": files}))


def checked(root):
    """Check all that a trainer would read, in its order; how many files that were."""
    shards, group = Shards(root / "shards", "document"), Alone()
    for source in [split.source for split in (*shards.train, *shards.validation.values())]:
        for start in range(0, len(source), 3):
            check(source, start, min(start + 3, len(source)), group)
        asked = group.asked
        check(source, 0, len(source), group)
        assert group.asked == asked, "each file is checked once"


def test_each_file_that_the_plan_is_followed_over_is_checked_before_its_use(plan):
    sealed(plan)
    checked(plan)
    read = [*plan.glob("shards/*.idx"), *plan.glob("tokens/*/*/*.bin"), *plan.glob("shards/*.json")]
    read = [path for path in read if path.name != "_manifest.json"]
    assert len(read) == 17
    for path in read:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 2
        path.unlink()
        path.write_bytes(bytes(content))
        with pytest.raises(InputError, match=rf"{path.name}(: its documents| is damaged).*\n.*verify ROOT --repair"):
            checked(plan)
        content[len(content) // 2] ^= 2
        path.write_bytes(bytes(content))
    checked(plan)


def test_a_token_file_is_not_read_before_a_sequence_of_it_is(tmp_path):
    parts = {"a": ("a", [{"corpus": documents(seed, 3)} for seed in range(5)])}
    root = Corpus(tmp_path, parts).tokenize(TRAIN).mix(write="plan", packing="concat", seq_len=8).root
    sealed(root)
    source = Shards(root / "shards", "document").train[0].source
    files = source.files(0, len(source))
    assert len(files) == 5
    for number in range(len(source)):
        (domain,) = source._domains
        _, found = source._located(np.array([number]))
        _, start, length = domain.blocks.ranges(found)
        edges = np.cumsum([0] + [file.path.stat().st_size // 2 for file in files])
        wanted = [k for k in range(5) if edges[k] < start[0] + length[0] and start[0] < edges[k + 1]]
        assert source.files(number, number + 1) == [files[k] for k in wanted]
