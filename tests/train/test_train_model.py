"""The decoder: documents do not see each other, the loss equals torch's, initial values come from names."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer needs torch, which is not installed")

from corpuskit.train import attention as attending  # noqa: E402
from corpuskit.train import model as decoder  # noqa: E402
from corpuskit.train.data import IGNORE, Batch, Shards  # noqa: E402
from corpuskit.train.loss import fused, summed_cross_entropy  # noqa: E402
from corpuskit.train.muon import orthogonal  # noqa: E402
from corpuskit.train.shape import PRESETS, Shape  # noqa: E402

SMALL = Shape(width=32, layers=2, heads=2)


def make(mask="document", vocab=97, seed=0, recompute=None, shape=SMALL):
    model = decoder.Decoder(shape, vocab, mask, recompute)
    for name, parameter in model.named_parameters():
        parameter.data.copy_(decoder.initial(name, parameter.shape, seed, shape))
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
    loss = summed_cross_entropy(states, weight, targets, rows=rows)
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
    losses, d_logits = fused(hidden, weight, targets, None, 0.0, gradient=True)
    loss = losses.sum()
    torch.testing.assert_close((loss, d_logits), (whole.detach(), logits.grad), rtol=1e-5, atol=1e-6)
    assert fused(hidden, weight, targets, None, 0.0, gradient=False)[0].sum() == loss


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
                torch.compile(block.forward, fullgraph=True, backend=count)(x, decoder.rotary(16, 16, x), mask)
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
    first = decoder.initial("blocks.0.qkv.weight", size, 1, SMALL)
    torch.manual_seed(99)
    assert torch.equal(first, decoder.initial("blocks.0.qkv.weight", size, 1, SMALL))
    assert not torch.equal(first, decoder.initial("blocks.1.qkv.weight", size, 1, SMALL))
    assert not torch.equal(first, decoder.initial("blocks.0.qkv.weight", size, 2, SMALL))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_size_of_its_name_and_is_counted_right(name):
    shape = PRESETS[name]
    with torch.device("meta"):
        model = decoder.Decoder(shape, 1000, "document")
    assert sum(p.numel() for p in model.parameters()) == shape.parameters(1000)
    if name[0].isdigit():
        said = float(name[:-1]) * (1e9 if name.endswith("B") else 1e6)
        assert shape.non_embedding == pytest.approx(said, rel=0.08)


def test_slimpajama_dc_has_its_published_number_of_parameters():
    with torch.device("meta"):
        model = decoder.Decoder(PRESETS["slimpajama-dc-1.3b"], 50277, "document")
    assert sum(p.numel() for p in model.parameters()) == 1_311_586_288


def test_an_untrained_model_is_uniform(shards):
    batch = Shards(shards, "document").train[0].batch(range(8), 8)
    assert make()(batch).item() / batch.valid == pytest.approx(np.log(97), rel=0.01)


SHAPES = {
    "gqa": {"kv_heads": 1},
    "untied": {"tied": False},
    "qk_norm": {"qk_norm": True},
    "layer norm with biases": {"norm": "layer", "bias": True},
    "alibi": {"positions": "alibi"},
    "mup": {"positions": "alibi", "embedding_scale": 14.6, "width_scale": 0.25, "norm": "layer", "bias": True},
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_keeps_documents_apart_is_counted_right_and_recomputes_to_the_same_bits(name):
    shape = dataclasses.replace(SMALL, **SHAPES[name])
    model, again = make(shape=shape), make(shape=shape, recompute="full")
    assert sum(p.numel() for p in model.parameters()) == shape.parameters(97)
    batch = two_documents()
    loss = model(batch)
    assert model(two_documents(change=3)) == model(two_documents(change=29)) == loss
    assert model(two_documents(change=16)) != loss
    loss.backward()
    again(batch).backward()
    assert all(p.grad is not None and p.grad.any() for name, p in model.named_parameters() if name.endswith("weight"))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_what_is_summed_is_the_cross_entropy_of_the_logits_and_each_is_its_part():
    shape = dataclasses.replace(SMALL, tied=False, kv_heads=1)
    model, batch = make(shape=shape), two_documents()
    logits = model.logits(batch).flatten(0, 1)
    whole = torch.nn.functional.cross_entropy(logits, batch.targets.flatten(), reduction="none", ignore_index=IGNORE)
    torch.testing.assert_close(model(batch, each=True).flatten(), whole.detach())
    torch.testing.assert_close(model(batch), whole.sum())


def test_fewer_heads_of_keys_and_values_are_those_of_their_queries_repeated():
    generator = torch.Generator().manual_seed(0)
    documents = torch.tensor([[1] * 9 + [2] * 23], dtype=torch.int32)
    q = torch.randn(1, 32, 4, 8, generator=generator)
    k, v = torch.randn(2, 1, 32, 2, 8, generator=generator)
    for mask in (None, attending.spans(documents)):
        repeated = attending.attention(q, k.repeat_interleave(2, 2), v.repeat_interleave(2, 2), mask)
        torch.testing.assert_close(attending.attention(q, k, v, mask), repeated)


def test_alibi_lowers_a_score_by_slope_times_distance(monkeypatch):
    monkeypatch.setattr(attending, "QUERIES", 7)
    slopes = attending.alibi_slopes(4, torch.device("cpu"))
    assert slopes.tolist() == [1 / 4, 1 / 16, 1 / 64, 1 / 256]
    # of the reference implementation, for 12 heads: those of 8, then every second of 16
    expected = [2**-i for i in range(1, 9)] + [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]
    assert attending.alibi_slopes(12, torch.device("cpu")).tolist() == pytest.approx(expected)
    documents = torch.tensor([[1] * 9 + [2] * 11], dtype=torch.int32)
    q, k, v = torch.randn(3, 1, 20, 4, 8, generator=torch.Generator().manual_seed(0))
    place = torch.arange(20)
    seen = (documents[:, None, :, None] == documents[:, None, None, :]) & (place[:, None] >= place)
    scores = torch.einsum("rqhd,rkhd->rhqk", q, k) / 8 - slopes[:, None, None] * (place[:, None] - place)
    expected = torch.einsum("rhqk,rkhd->rqhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)
    found = attending.attention(q, k, v, attending.spans(documents), slopes, scale=1 / 8)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("form", ["in parts", "fused"])
def test_z_loss_and_weights_are_in_the_gradient_and_only_weights_in_the_value(form):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(50, 16, generator=generator, requires_grad=True)
    weight = torch.randn(97, 16, generator=generator)
    targets, weights = torch.randint(0, 97, (50,), generator=generator), torch.rand(50, generator=generator)
    logits = hidden @ weight.T
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights
    penalty = 0.1 * (weights * logits.logsumexp(1) ** 2).sum()
    (expected,) = torch.autograd.grad(losses.sum() + penalty, hidden)
    if form == "fused":
        each, d_logits = fused(hidden.detach(), weight, targets, weights, 0.1, gradient=True)
        value, found = (each * weights).sum(), d_logits @ weight
    else:
        value = summed_cross_entropy(hidden, weight, targets, weights=weights, z_loss=0.1, rows=7)
        (found,) = torch.autograd.grad(value, hidden)
    torch.testing.assert_close((value.detach(), found), (losses.sum().detach(), expected), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (20, 60), (60, 20)])
def test_muon_makes_all_singular_values_about_one_and_keeps_the_directions(size):
    matrix = torch.randn(size, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonal(matrix) @ v.T
    assert ((found.diagonal() > 0.3) & (found.diagonal() < 1.3)).all()
    torch.testing.assert_close(found - torch.diag(found.diagonal()), torch.zeros_like(found), rtol=0, atol=1e-4)
