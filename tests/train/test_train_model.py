"""The decoder: documents do not see each other, the loss equals torch's, initial values come from names."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from corpuskit.train import attention as attending  # noqa: E402
from corpuskit.train import model as decoder  # noqa: E402
from corpuskit.train.config import PRESETS, Shape  # noqa: E402
from corpuskit.train.data import IGNORE, Batch, Shards  # noqa: E402
from corpuskit.train.loss import fused, summed_cross_entropy  # noqa: E402


def make(mask="document", vocab=97, seed=0, recompute=None):
    shape = Shape(width=32, layers=2, heads=2)
    model = decoder.Decoder(shape, vocab, mask, recompute)
    for name, parameter in model.named_parameters():
        parameter.data.copy_(decoder.initial(name, parameter.shape, seed, shape.layers))
    return model


def two_documents(change=None, pad=6):
    """Documents at 0..13 and 14..25, then padding; only the second carries loss."""
    generator = np.random.default_rng(1)
    tokens = torch.from_numpy(generator.integers(1, 97, (1, 32)))
    documents = torch.tensor([[1] * 14 + [2] * (18 - pad) + [0] * pad], dtype=torch.int32)
    targets = torch.where(documents == 2, tokens.roll(-1, 1), IGNORE)
    if change is not None:
        tokens[0, change] = (tokens[0, change] + 1) % 97
    return Batch(tokens, targets, documents)


@pytest.mark.parametrize("queries", [5, 256])
def test_under_document_masks_a_document_is_blind_to_all_others_and_to_padding(monkeypatch, queries):
    monkeypatch.setattr(attending, "QUERIES", queries)
    model = make()
    loss = model(two_documents())
    assert model(two_documents(change=3)) == loss
    assert model(two_documents(change=29)) == loss
    assert model(two_documents(change=16)) != loss


def test_under_causal_masks_a_document_sees_the_one_before(monkeypatch):
    model = make("causal")
    assert model(two_documents(change=3)) != model(two_documents())


@pytest.mark.parametrize("queries", [1, 5, 7, 64])
def test_attention_by_spans_equals_attention_under_the_full_mask(monkeypatch, queries):
    monkeypatch.setattr(attending, "QUERIES", queries)
    documents = torch.tensor([[1] * 9 + [2] * 11 + [3] * 4 + [0] * 8, [1] * 32], dtype=torch.int32)
    q, k, v = torch.randn(3, 2, 32, 2, 16, generator=torch.Generator().manual_seed(0))
    full = (documents[:, None, :, None] == documents[:, None, None, :]) & torch.ones(32, 32, dtype=torch.bool).tril()
    heads_first = (x.transpose(1, 2) for x in (q, k, v))
    expected = torch.nn.functional.scaled_dot_product_attention(*heads_first, attn_mask=full).transpose(1, 2)
    torch.testing.assert_close(attending.attention(q, k, v, attending.spans(documents)), expected)


@pytest.mark.parametrize(("length", "seed"), [(64, 0), (61, 1), (40, 2), (5, 3)])
def test_the_block_mask_allows_what_the_full_mask_does_and_lists_the_tiles_that_have_any(monkeypatch, length, seed):
    monkeypatch.setattr(attending, "BLOCK", 8)
    generator = torch.Generator().manual_seed(seed)
    documents = (torch.rand(3, length, generator=generator) < 0.1).cumsum(1).int() + 1
    documents[-1, length // 2 :] = 0
    full = (documents[:, :, None] == documents[:, None, :]) & torch.ones(length, length, dtype=torch.bool).tril()
    mask = attending.block_mask(documents)
    rows, queries, keys = torch.meshgrid(*(torch.arange(n) for n in full.shape), indexing="ij")
    assert torch.equal(mask.mask_mod(rows, None, queries, keys), full)
    tiles = -(-length // 8)
    padded = torch.nn.functional.pad(full, (0, tiles * 8 - length) * 2)
    held = padded.view(3, tiles, 8, tiles, 8).sum((2, 4))
    assert torch.equal(mask.to_dense()[:, 0] > 0, held > 0)
    unmasked = torch.zeros(3, tiles, tiles, dtype=torch.bool)
    for row, query in np.ndindex(3, tiles):
        count = mask.full_kv_num_blocks[row, 0, query]
        unmasked[row, query, mask.full_kv_indices[row, 0, query, :count].long()] = True
        partial = mask.kv_indices[row, 0, query, : mask.kv_num_blocks[row, 0, query]]
        assert not unmasked[row, query, partial.long()].any()
    assert torch.equal(unmasked[:, :-1], (held == 64)[:, :-1])


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_loss_in_parts_has_the_value_and_gradients_of_the_whole(rows):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(50, 16, generator=generator, requires_grad=True)
    weight = torch.randn(97, 16, generator=generator, requires_grad=True)
    targets = torch.randint(0, 97, (50,), generator=generator)
    loss = summed_cross_entropy(states, weight, targets, rows)
    (loss * 0.3).backward()
    ours = loss.item(), states.grad, weight.grad
    states.grad = weight.grad = None
    whole = torch.nn.functional.cross_entropy(states @ weight.T, targets, reduction="sum")
    (whole * 0.3).backward()
    torch.testing.assert_close(ours, (whole.item(), states.grad, weight.grad), rtol=1e-5, atol=1e-4)


def test_the_fused_loss_has_the_value_and_gradient_of_the_whole_and_none_where_no_target_is():
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(50, 16, generator=generator), torch.randn(97, 16, generator=generator)
    targets = torch.randint(0, 97, (50,), generator=generator)
    targets[[0, 7, 49]] = IGNORE
    logits = (hidden @ weight.T).requires_grad_()
    whole = torch.nn.functional.cross_entropy(logits, targets, reduction="sum", ignore_index=IGNORE)
    whole.backward()
    loss, d_logits = fused(hidden, weight, targets, gradient=True)
    torch.testing.assert_close((loss, d_logits), (whole.detach(), logits.grad), rtol=1e-5, atol=1e-6)
    assert fused(hidden, weight, targets, gradient=False)[0] == loss


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_recomputed_activations_give_the_same_bits_from_less_memory(recompute):
    kept, gradients = [], []
    for how in (None, recompute):
        model, held = make(recompute=how), []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, held=held: held.append(x.numel()) or x, lambda x: x):
            model(two_documents()).backward()
        kept.append(sum(held))
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert kept[1] < kept[0]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("recompute", [None, "selective", "full"])
def test_a_block_is_traced_in_one_piece_and_once_for_all(recompute):
    """What torch.compile needs on CUDA; the kernels themselves are checked there, by `make gpu-check`."""
    model = make(recompute=recompute)
    traced = []

    def count(graph, _inputs):
        traced.append(graph)
        return graph.forward

    x = torch.randn(2, 16, 32)
    for mask in (None, attending.block_mask(torch.ones(2, 16, dtype=torch.int32))):
        traced.clear()
        with torch.no_grad():
            for block in model.blocks:
                torch.compile(block.forward, fullgraph=True, backend=count)(x, *decoder.rotary(16, 16, x), mask)
        assert len(traced) == 1


def test_a_batch_without_loss_has_zero_gradients_everywhere():
    model = make()
    batch = two_documents()
    loss = model(dataclasses.replace(batch, targets=torch.full_like(batch.targets, IGNORE)))
    loss.backward()
    assert loss == 0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in model.parameters())


def test_initial_values_depend_on_seed_and_name_alone():
    size = torch.Size((8, 4))
    first = decoder.initial("blocks.0.qkv.weight", size, 1, 2)
    torch.manual_seed(99)
    assert torch.equal(first, decoder.initial("blocks.0.qkv.weight", size, 1, 2))
    assert not torch.equal(first, decoder.initial("blocks.1.qkv.weight", size, 1, 2))
    assert not torch.equal(first, decoder.initial("blocks.0.qkv.weight", size, 2, 2))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_size_of_its_name_and_is_counted_right(name):
    shape = PRESETS[name]
    said = float(name[:-1]) * (1e9 if name.endswith("B") else 1e6)
    with torch.device("meta"):
        model = decoder.Decoder(shape, 1000, "document")
    assert sum(p.numel() for p in model.parameters()) == shape.non_embedding + 1000 * shape.width
    assert shape.non_embedding == pytest.approx(said, rel=0.08)


def test_an_untrained_model_is_uniform(shards):
    batch = Shards(shards, "document").train[0].batch(range(8), 8)
    assert make()(batch).item() / batch.valid == pytest.approx(np.log(97), rel=0.01)
