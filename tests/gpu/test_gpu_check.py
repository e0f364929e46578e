"""The checks for a GPU: without one they say so; what needs none of them runs here too, so that they do not rot."""

import dataclasses
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402
from torch.nn.attention import flex_attention  # noqa: E402

from corpuskit.train import attention, model, parallel  # noqa: E402
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


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's tracer, of itself
@pytest.mark.parametrize(
    ("shape", "more"),
    [
        ({}, {"activation_checkpointing": "full"}),
        (check.OTHERS["GQA, QK-norm, untied"], {"activation_checkpointing": "selective"}),
        (check.OTHERS["ALiBi, LayerNorm, muP"], {"mask": "causal"}),
    ],
    ids=["full recomputation", "GQA", "ALiBi"],
)
def test_what_cuda_compiles_is_one_graph_whose_loss_and_gradients_are_those_of_a_cpu(
    shape, more, tmp_path, monkeypatch
):
    """Traced as there, with FlexAttention by its plain form: torch has no kernel of its backward pass for a CPU."""
    folder = make_shards(tmp_path / "shards", sequences=12, seq_len=160, vocab=1000)  # a tile and a part of one
    small = {"width": 32, "layers": 2, "heads": 4} | shape
    more = {"precision": "fp32", **more}
    loss, gradients = check.loss_and_gradients(folder, "cpu", small, **more)
    graphs = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *_: None)
    monkeypatch.setattr(model, "document_mask", lambda batch: attention.block_mask(batch.documents))

    def compiling(shard, module, **settings):
        if isinstance(module, model.Block):
            module.forward = torch.compile(module.forward, fullgraph=True, dynamic=False, backend=graphs)
        return shard(module, **settings)

    monkeypatch.setattr(parallel, "fully_shard", functools.partial(compiling, parallel.fully_shard))
    torch.compiler.reset()
    ours, theirs = check.loss_and_gradients(folder, "cpu", small, **more)
    assert abs(ours - loss) / loss < 1e-6
    assert max(check.off(theirs[name], gradients[name]) for name in gradients) < 1e-5
    assert graphs.frame_count == 1  # for all blocks and passes


@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 8))
def test_all_passes_on_cuda_have_one_shape_and_hold_all_rows(most, at_once, processes):
    group = parallel.World(0, processes, torch.device("cuda"), None, 1, processes)
    whole = group.even(-(-most // processes), at_once, most)
    for held in range(1, most + 1):  # the last step of a phase has fewer
        rows, each = group.even(-(-held // processes), at_once, most)
        assert each == whole[1] <= at_once
        assert rows % each == 0
        assert 0 <= rows - -(-held // processes) < each
    assert dataclasses.replace(group, device=torch.device("cpu")).even(7, at_once, most) == (7, at_once)


def test_made_shards_are_read_by_the_trainer(tmp_path):
    folder = make_shards(tmp_path / "shards", sequences=9, seq_len=512, vocab=1000)
    split = Shards(folder, "document").train[0]
    batch = split.batch(range(9), 9)
    assert batch.inputs.shape == (9, 512)
    assert batch.documents[-1, -1] == 0
    assert (batch.documents[:-1] > 0).all()
    ends = batch.inputs[:, :-1] == 0
    assert torch.equal(batch.documents[:-1, 1:] > batch.documents[:-1, :-1], ends[:-1])
