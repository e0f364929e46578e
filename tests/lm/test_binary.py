"""A kenlm binary gives, read by kenlm, what the ARPA file gives that it is made of."""

import tempfile
from pathlib import Path

import kenlm
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuskit.errors import UsageError
from corpuskit.kernels.probing import murmur
from corpuskit.lm.binary import write_binary
from corpuskit.lm.settings import Settings
from tests.lm.test_estimate import TEXTS, made, what_to_estimate, words_of


def tokens(model, line):
    """(log10 probability, length of the n-gram, whether the word is unknown) of each word and of the end."""
    return list(model.full_scores(line))


def states(model, words):
    """Words of the context that each word leaves behind, as kenlm keeps it: they tell what is known not to go on."""
    state, after = kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(state)
    found = []
    for word in words:
        found.append(model.BaseFullScore(state, word, after).log_prob)
        state, after = after, kenlm.State()
        found.append(hash(state))
    return found


def agree(arpa, lines):
    """kenlm scores lines alike under both files, word by word, and keeps the same of the words before."""
    binary = arpa.with_suffix(".binary")
    write_binary(arpa, binary)
    one, other = kenlm.Model(str(arpa)), kenlm.Model(str(binary))
    assert other.order == one.order
    for line in lines:
        assert tokens(other, line) == tokens(one, line)
        assert states(other, line.split()) == states(one, line.split())
        assert all((word in other) == (word in one) for word in line.split())


@settings(max_examples=100)
@given(TEXTS, what_to_estimate().filter(lambda what: what.order > 1), TEXTS)
def test_small_models_of_every_order(texts, what, scored):
    if not set(" ".join(texts).split()) - {"<s>", "</s>", "<unk>"}:
        return
    with tempfile.TemporaryDirectory() as folder:
        made(texts, what, folder)
        agree(Path(folder) / "model.arpa", [line for text in [*texts, *scored] for line in text.split("\n")])


@pytest.mark.parametrize("prune", [(), (0, 0, 1)])
def test_a_larger_model(tmp_path, prune):
    lines = words_of(9000, 1)
    made(["\n".join(lines)], Settings(5, prune, discount_fallback=True), tmp_path)
    agree(tmp_path / "model.arpa", lines + words_of(2000, 7))


@pytest.mark.parametrize("name", ["order2", "order5", "order5-pruned"])
def test_models_of_lmplz(shared, tmp_path, name):
    path = tmp_path / f"{name}.arpa"
    with zstandard.open(shared / "lm" / f"{name}.arpa.zst", "rb") as packed:
        path.write_bytes(packed.read())
    agree(path, (shared / "lm" / "heldout.txt").read_text(encoding="utf-8").splitlines()[:2000])


def test_the_words_stand_at_the_end(tmp_path):
    made(["b a b\nc a"], Settings(2, (), discount_fallback=True), tmp_path)
    write_binary(tmp_path / "model.arpa", tmp_path / "model.binary")
    words = (tmp_path / "model.binary").read_bytes().partition(b"<unk>\0")[2]
    assert words == b"<s>\0</s>\0a\0b\0c\0"


@given(st.binary(max_size=40))
def test_the_hash_is_murmur_64a(word):
    m, mask = 0xC6A4A7935BD1E995, (1 << 64) - 1
    state = len(word) * m & mask
    for at in range(0, len(word), 8):
        part = int.from_bytes(word[at : at + 8], "little")
        if len(word) - at >= 8:
            part = part * m & mask
            part = (part ^ part >> 47) * m & mask
        state = (state ^ part) * m & mask
    state = (state ^ state >> 47) * m & mask
    assert murmur(np.frombuffer(word + bytes(8), np.uint8), 0, len(word)) == state ^ state >> 47


def test_what_is_no_such_file_is_named(tmp_path):
    (tmp_path / "no.arpa").write_text("no model")
    with pytest.raises(UsageError, match=r"no\.arpa: not an ARPA file"):
        write_binary(tmp_path / "no.arpa", tmp_path / "no.binary")
