"""Two runs compared: the losses are the runs' own, intervals cover what they should, other tokenizers go by bytes."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from test_train_run import given, result, run  # noqa: E402

from corpuskit.cli import main  # noqa: E402
from corpuskit.errors import UsageError  # noqa: E402
from corpuskit.train.compare import compare  # noqa: E402
from corpuskit.train.launch import launch  # noqa: E402


def held_out(folder, losses, *, targets=None, tokenizer="ab", size=400):
    targets = targets or [100] * len(losses)
    domain = {"losses": list(losses), "targets": targets, "tokens": sum(targets), "bytes": size}
    folder.mkdir()
    (folder / "validation.json").write_text(json.dumps({"tokenizer": tokenizer, "domains": {"web": domain}}))
    return folder


def test_two_trainings_are_compared_from_the_command_line(shards, tmp_path, capsys):
    run(shards, tmp_path / "a", tokens=32 * 12)
    launch(given(shards, tmp_path / "b", lr=0.03), 2)
    found = compare(tmp_path / "a", tmp_path / "b")
    for each in found:
        assert each.a == pytest.approx(result(tmp_path / "a")["validation"][each.domain]["loss"], rel=1e-6)
        assert each.b == pytest.approx(result(tmp_path / "b")["validation"][each.domain]["loss"], rel=1e-6)
        assert each.low <= each.difference <= each.high
    assert [each.domain for each in found] == ["books", "web"]
    runs = [str(tmp_path / "a/step-3"), str(tmp_path / "b")]
    assert main(["compare", *runs, "--plot", str(tmp_path / "p.svg")]) == 0
    assert "nats a token" in capsys.readouterr().out
    assert len(ET.parse(tmp_path / "p.svg").findall(".//{*}circle")) == 2
    assert main(["compare", runs[0], str(tmp_path)]) == 2
    assert "holds no validation.json" in capsys.readouterr().err


def test_what_sequences_share_cancels_where_they_are_drawn_together(tmp_path):
    rng = np.random.default_rng(0)
    hard, noise = rng.normal(300, 50, 200), rng.normal(0, 1, 200)
    a = held_out(tmp_path / "a", hard)
    (paired,) = compare(a, held_out(tmp_path / "b", hard - 2 + noise))
    assert paired.difference == pytest.approx((noise.mean() - 2) / 100)
    error = noise.std() / 100 / 200**0.5
    assert (paired.high - paired.low) / 2 == pytest.approx(1.96 * error, rel=0.15)
    assert paired.high < 0
    (apart,) = compare(a, held_out(tmp_path / "c", hard - 2, tokenizer="cd"))
    assert apart.unit == "bits a byte"
    assert apart.low < 0 < apart.high
    assert apart.a == pytest.approx(hard.sum() / np.log(2) / 400)


def test_runs_without_a_common_domain_are_refused(tmp_path):
    a, b = held_out(tmp_path / "a", [1.0]), held_out(tmp_path / "b", [1.0])
    text = (b / "validation.json").read_text()
    (b / "validation.json").write_text(text.replace('"web"', '"books"'))
    with pytest.raises(UsageError, match=r"share no domain: .*a has web; .*b has books"):
        compare(a, b)
