"""The checks for a GPU: without one they say so; what needs none of them runs here too, so that they do not rot."""

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from corpuskit.train.data import Shards  # noqa: E402
from tests.gpu import check  # noqa: E402
from tests.gpu.made_shards import make_shards  # noqa: E402


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there: run `make gpu-check`")
def test_without_cuda_nothing_is_checked_and_the_exit_code_says_so(capsys):
    assert check.main([]) == 2
    assert "no CUDA device: nothing was checked" in capsys.readouterr().err


def test_attention_on_a_cpu_passes_the_same_checks():
    rows = list(check.check_attention("cpu", length=256, heads=2))
    assert len(rows) == 9
    assert all(row["ok"] for row in rows)


def test_a_number_over_its_bound_or_not_a_number_fails():
    assert check.row("error", 1e-3, 1e-2)["ok"]
    assert not check.row("error", 2e-2, 1e-2)["ok"]
    assert not check.row("error", float("nan"), 1e-2)["ok"]


def test_speed_is_measured_over_whole_steps():
    size = {"width": 64, "layers": 1, "heads": 2}, 2, 2
    rows = list(check.check_speed("cpu", size, seq_len=64, vocab=500))
    assert [row["ok"] for row in rows] == [True] * 4 + [None]


def test_made_shards_are_read_by_the_trainer(tmp_path):
    folder = make_shards(tmp_path / "shards", sequences=9, seq_len=512, vocab=1000)
    split = Shards(folder, "document").train[0]
    batch = split.batch(range(9), 9)
    assert batch.inputs.shape == (9, 512)
    assert batch.documents[-1, -1] == 0
    assert (batch.documents[:-1] > 0).all()
    ends = batch.inputs[:, :-1] == 0
    assert torch.equal(batch.documents[:-1, 1:] > batch.documents[:-1, :-1], ends[:-1])
