"""Texts scored under a trained model: what is scored beside a text changes no bit of its score."""

import numpy as np
import pytest
from small_shards import write_shards

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from corpuskit.train import loop, scoring  # noqa: E402
from corpuskit.train.config import from_dict  # noqa: E402
from corpuskit.train.data import Batch  # noqa: E402
from corpuskit.train.trained import Trained  # noqa: E402

WINDOW = 128


@pytest.fixture(scope="module", params=[0, 512], ids=["alone", "as on CUDA"])
def scorer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scoring")
    shards = write_shards(folder / "shards", files=(3,), seq_len=WINDOW)
    given = {"shards": str(shards), "out": str(folder / "out"), "model": {"width": 48, "layers": 2, "heads": 2}}
    loop.train(from_dict(given | {"lr": 0.01, "batch_tokens": WINDOW, "threads": 1, "device": "cpu"}))
    found = scoring.Scorer(Trained.open(folder / "out"), "cpu")
    found.tokens = request.param
    return found


@pytest.fixture(scope="module")
def texts():
    draw = np.random.default_rng(0)
    lengths = [0, 1, 2, 32, 33, 34, 97, 128, 129, 130, 257, 600, *draw.integers(2, 300, 40)]
    return [draw.integers(0, 97, length) for length in lengths]


def test_a_score_has_the_same_bits_whatever_stands_beside_the_text(scorer, texts):
    alone = [scorer.score([text])[0] for text in texts]
    assert scorer.score(texts) == alone
    assert scorer.score(texts[::-1]) == alone[::-1]
    assert scorer.score([]) == []


def test_scores_are_those_of_windows_one_by_one_without_padding(scorer, texts):
    for text, (score, count) in zip(texts, scorer.score(texts), strict=True):
        expected = 0.0
        for start in range(0, len(text) - 1, WINDOW):
            part = torch.from_numpy(text[None, start : start + WINDOW + 1])
            one = torch.ones(1, part.shape[1] - 1, dtype=torch.int32)
            expected += scorer.model(Batch(part[:, :-1], part[:, 1:], one), each=True).double().sum().item()
        assert count == max(len(text) - 1, 0)
        assert score == pytest.approx(expected, rel=1e-6)


def test_windows_of_like_length_are_one_batch_on_cuda(scorer, texts, monkeypatch):
    shapes = []
    whole = type(scorer.model).forward

    def forward(model, batch, **more):
        shapes.append(tuple(batch.inputs.shape))
        return whole(model, batch, **more)

    monkeypatch.setattr(type(scorer.model), "forward", forward)
    scorer.score(texts)
    windows = sum(-(-max(len(text) - 1, 0) // WINDOW) for text in texts)
    if not scorer.tokens:
        assert len(shapes) == windows
        assert {rows for rows, _ in shapes} == {1}
        return
    assert all(rows == 512 // length and length % 8 == 0 for rows, length in shapes)
    assert len(shapes) < windows / 2
