"""Runs through phases of short and long sequences: interrupted anywhere, or in two processes, they are the same run."""

import pytest
from small_shards import write_shards

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from test_train_run import Killed, given, records, result, run, tensors  # noqa: E402

from corpuskit.train import loop  # noqa: E402
from corpuskit.train.config import from_dict  # noqa: E402
from corpuskit.train.launch import launch  # noqa: E402

TOKENS = [128, 208, 336, 464, 560]
"""At the end of each step of 128: the first phase ends with the 80 that remain of its 208, the last has 96."""


@pytest.fixture(scope="module")
def phased(tmp_path_factory):
    """Shards of 26 x 8, then 8 x 32, then 6 x 16 tokens."""
    return write_shards(tmp_path_factory.mktemp("phased"), phases=[((20, 6), 8), ((8,), 32), ((6,), 16)])


@pytest.fixture(scope="module")
def through(phased, tmp_path_factory):
    return run(phased, tmp_path_factory.mktemp("through"), checkpoint_every=1)


def test_a_run_goes_through_phases_of_other_lengths(through):
    assert [tokens for _, tokens in records(through, "tokens")] == TOKENS
    assert result(through)["tokens"] == TOKENS[-1]
    assert result(through)["config"]["phases"] == [
        {"sequences": 26, "batch": 16, "seq_len": 8},
        {"sequences": 8, "batch": 4, "seq_len": 32},
        {"sequences": 6, "batch": 8, "seq_len": 16},
    ]


@pytest.mark.parametrize("until", [1, 2, 3])
def test_resume_before_at_and_after_the_end_of_a_phase_has_the_same_bits(through, phased, tmp_path, until):
    config = from_dict(given(phased, tmp_path / "out", checkpoint_every=1))
    take_step, taken = loop._step, []

    def stopped(*arguments):
        if len(taken) == until:
            raise Killed
        taken.append(arguments)
        return take_step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_step", stopped)
        with pytest.raises(Killed):
            loop.train(config)
    loop.train(config)
    assert records(tmp_path / "out") == records(through)
    a, b = tensors(through, len(TOKENS)), tensors(tmp_path / "out", len(TOKENS))
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_two_processes_go_through_phases_as_one_does(through, phased, tmp_path):
    launch(given(phased, tmp_path / "out"), 2)
    losses, others = records(through), records(tmp_path / "out")
    assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in others], rel=1e-5)
    assert records(through, "tokens") == records(tmp_path / "out", "tokens")
