"""Attention that stays inside documents: on CUDA by FlexAttention, on a CPU by spans of queries.

Promises that no mask of queries x keys is ever in memory on CUDA, and on a CPU only one of QUERIES x keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name that everybody uses

from corpuskit.train.data import Batch

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

QUERIES = 256  # of one attention call on a CPU
BLOCK = 128  # queries and keys of a tile of FlexAttention

Span = tuple[slice, slice, Tensor]


def document_mask(batch: Batch) -> list[Span] | BlockMask:
    """What `attention` takes to keep the documents of `batch` apart, in the form that its device wants."""
    if not batch.documents.is_cuda:
        return spans(batch.documents)
    return block_mask(batch.documents)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: list[Span] | BlockMask | None,
    slopes: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Causal attention of [rows, length, heads, head_width] under a `document_mask`, or over everything (None).

    Args:
        q, k, v: k and v may have fewer heads, each for as many queries' heads in a row.
        slopes: of ALiBi, float32 [heads] (see `alibi_slopes`); they need a mask. scale: of q.k; None: 1 / sqrt(width).
    """
    q, k, v, shared = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), q.shape[2] != k.shape[2]
    if mask is None:
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=shared)
    elif isinstance(mask, list):
        parts = []
        for queries, keys, allowed in mask:
            bias = allowed if slopes is None else _alibi(allowed, queries, keys, slopes.to(q.dtype))
            some = (q[:, :, queries], k[:, :, keys], v[:, :, keys])
            parts.append(F.scaled_dot_product_attention(*some, attn_mask=bias, scale=scale, enable_gqa=shared))
        mixed = torch.cat(parts, dim=2)
    else:  # FlexAttention (Dong et al. 2024, arXiv 2412.05496); a kernel only inside torch.compile
        from torch.nn.attention.flex_attention import flex_attention

        bent = None if slopes is None else _alibi_score(slopes)
        flexed = flex_attention(q, k, v, score_mod=bent, block_mask=mask, scale=scale, enable_gqa=shared)
        assert isinstance(flexed, Tensor)
        mixed = flexed
    return mixed.transpose(1, 2)


def alibi_slopes(heads: int, device: torch.device) -> Tensor:
    """Slopes of ALiBi (Press et al. 2022, arXiv 2108.12409), float32 [heads]: 2^(-8 i / heads) for powers of two.

    For another number of heads those of the next lower power of two, then every second one of the next higher.
    """
    power = 1 << (heads.bit_length() - 1)
    first = [2 ** (-8 * i / power) for i in range(1, power + 1)]
    rest = [2 ** (-4 * i / power) for i in range(1, 2 * (heads - power), 2)]
    return torch.tensor(first + rest, device=device)


def _alibi(allowed: Tensor, queries: slice, keys: slice, slopes: Tensor) -> Tensor:
    """The mask of a span as a bias [rows, heads, queries, keys]: each key falls with its distance."""
    distance = torch.arange(queries.start, queries.stop)[:, None] - torch.arange(keys.start, keys.stop)
    return (-slopes[:, None, None] * distance).masked_fill(~allowed, -torch.inf)


def _alibi_score(slopes: Tensor) -> Callable[..., Tensor]:
    def bent(score: Tensor, _row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score - slopes[head] * (query - key)

    return bent


def spans(documents: Tensor) -> list[Span]:
    """Which keys the queries see, on a CPU: earlier ones of their own document, never another's.

    Returns short spans (queries, keys, bool mask [rows, 1, queries, keys]): whole blocks before the first document of a
    span and after its end need not be computed. Padding (document 0) sees padding, so that no row of a mask is empty;
    it carries no loss.
    """
    length = documents.shape[1]
    places = torch.arange(length)
    found = []
    for start in range(0, length, QUERIES):
        stop = min(start + QUERIES, length)
        # Runs are contiguous: the first key of the first query's document bounds all of the span's.
        first = int((documents[:, :stop] == documents[:, start, None]).int().argmax(1).min())
        queries, keys = slice(start, stop), slice(first, stop)
        same = documents[:, None, queries, None] == documents[:, None, None, keys]
        found.append((queries, keys, same & (places[queries, None] >= places[None, keys])))
    return found


def block_mask(documents: Tensor) -> BlockMask:
    """The same for FlexAttention: a query sees the keys from the start of its document to itself.

    Which tiles need a mask, none, or no work is worked out from the documents: no mask of queries x keys is made, and
    nothing waits for the device.
    """
    from torch.nn.attention.flex_attention import BlockMask

    length = documents.shape[1]
    places = torch.arange(length, device=documents.device)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    begin = torch.where(begins, places, 0).cummax(1).values  # of the document of each place

    tiles = torch.arange(-(-length // BLOCK), device=documents.device)
    first = begin[:, tiles * BLOCK] // BLOCK
    last_query = (tiles * BLOCK + BLOCK - 1).clamp(max=length - 1)
    whole = torch.minimum(-(-begin[:, last_query] // BLOCK), tiles)  # from here to the diagonal nothing is masked
    partial = first[:, :, None] + tiles
    partial = torch.where(partial < whole[:, :, None], partial, tiles[:, None])  # those before, and the diagonal

    def allowed(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (key >= begin[row, query])

    return BlockMask.from_kv_blocks(
        (whole - first + 1)[:, None].int(),
        partial[:, None].int(),
        (tiles - whole)[:, None].int(),
        (whole[:, :, None] + tiles).clamp(max=len(tiles) - 1)[:, None].int(),
        BLOCK_SIZE=BLOCK,
        mask_mod=allowed,
        seq_lengths=(length, length),
    )
