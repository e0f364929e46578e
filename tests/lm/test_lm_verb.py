"""`corpuskit lm train`: text files and a corpus give models, and what cannot be is said."""

import gzip
import json

import kenlm
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpuskit.cli import main
from tests.lm.test_estimate import words_of

LINES = words_of(4000, 3)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def train(*words):
    return main(["lm", "train", *map(str, words)])


def test_text_json_lines_and_parquet_give_the_same_model(texts, tmp_path, capsys):
    found = set()
    with gzip.open(tmp_path / "texts.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps({"text": line}) + "\n" for line in LINES)
    (tmp_path / "corpus" / "domain=web").mkdir(parents=True)
    pq.write_table(pa.table({"doc": [1], "text": ["\n".join(LINES)]}), tmp_path / "corpus" / "domain=web" / "1.parquet")
    for source in (texts, tmp_path / "texts.jsonl.gz", tmp_path / "corpus"):
        how = "--order", 3, "--prune", "0 0 1", "--memory", "64M", "--discount-fallback"
        assert train(source, *how, "-o", tmp_path / "m.arpa") == 0
        found.add((tmp_path / "m.arpa").read_bytes())
    assert len(found) == 1
    assert "4,000 words in 445 sentences" in capsys.readouterr().out
    assert kenlm.Model(str(tmp_path / "m.arpa")).order == 3
    assert not list(tmp_path.glob(".m.arpa*"))


def test_answers_for_programs(texts, tmp_path, capsys):
    assert train(texts, "--order", 2, "-o", tmp_path / "m.arpa", "--json", "--lowercase", "--discount-fallback") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["words"], said["sentences"], len(said["orders"])) == (4000, 445, 2)
    assert said["bytes"] == (tmp_path / "m.arpa").stat().st_size


def test_a_binary_is_what_kenlm_makes_of_the_arpa(texts, tmp_path):
    for name in ("m.arpa", "m.binary"):
        assert train(texts, "--order", 3, "--discount-fallback", "-o", tmp_path / name) == 0
    assert (tmp_path / "m.binary").read_bytes().startswith(b"mmap lm ")
    arpa, binary = (kenlm.Model(str(tmp_path / name)) for name in ("m.arpa", "m.binary"))
    assert [list(binary.full_scores(line)) for line in LINES] == [list(arpa.full_scores(line)) for line in LINES]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--order", "9"], "order 9 cannot be"),
        (["--prune", "0 x"], "should be counts"),
        (["--memory", "much"], "should be bytes"),
        (["--order", "2"], "discount-fallback"),
        (["--output", "gone/m.arpa"], "there is no folder gone"),
        (["--output", "m.binary", "--order", "1"], "binaries of order 2 and above"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, capsys, words, said):
    (tmp_path / "few.txt").write_text("a b\nb c\n")
    assert train(tmp_path / "few.txt", "-o", tmp_path / "m.arpa", *words) == 2
    assert said in capsys.readouterr().err.replace("discount_fallback", "discount-fallback")
    assert not (tmp_path / "m.arpa").exists()


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("gone.txt", None, 2, "gone.txt: no such file"),
        ("empty.txt", b"", 2, "there is no word in the text"),
        ("page.html", b"<p>", 2, "neither .jsonl"),
        ("bad.txt", b"a\n\xff\n", 1, "line 2"),
        ("bad.parquet", b"PAR", 1, "bad.parquet: not a Parquet file"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, capsys, name, content, code, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert train(tmp_path / name, "-o", tmp_path / "m.arpa") == code
    assert said in capsys.readouterr().err


def test_a_table_without_text_is_named(tmp_path, capsys):
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "t.parquet")
    assert train(tmp_path / "t.parquet", "-o", tmp_path / "m.arpa") == 2
    assert "no column `text`" in capsys.readouterr().err
    assert main(["lm", "tain", "x", "-o", "y"]) == 2
    assert "did you mean `train`" in capsys.readouterr().err
