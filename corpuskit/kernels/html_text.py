"""The text of some blocks of a page, as lines and paragraphs."""

from __future__ import annotations

import numpy as np
from numba import njit

from corpuskit.kernels.html_names import DD, DIV, DT, LI, NUMBERED, PRE, TABLE, TD, is_list


@njit(nogil=True, cache=True)
def written(data, nodes, pieces, blocks, kept):  # type: ignore[no-untyped-def]
    """The text of the blocks that are kept, uint8[n], UTF-8 with the page's character references.

    Paragraphs and headings stand apart by an empty line; items begin with `- ` or their number,
    two spaces further in for each list that theirs is in; the cells of a row are divided by ` | `. White space is one
    space, but in `pre`.
    """
    # the number of each item in its list, and of each list how many items it has
    number = np.zeros(len(nodes), np.int64)
    for node in range(1, len(nodes)):
        if nodes[node, 1] == LI:
            number[nodes[node, 0]] += 1
            number[node] = number[nodes[node, 0]]
    room = len(data) // 2 + 16
    out = np.empty(room, np.uint8)
    n = 0
    last = -1  # the block that was written before
    k, count = 0, len(pieces)
    while k < count:
        b = pieces[k, 2]
        stop = k
        need = 600
        while stop < count and pieces[stop, 2] == b:
            need += pieces[stop, 1] - pieces[stop, 0] + 2
            stop += 1
        if not kept[b]:
            k = stop
            continue
        if n + need > room:
            room = 2 * (n + need)
            grown = np.empty(room, np.uint8)
            grown[:n] = out[:n]
            out = grown
        node = blocks[b, 0]
        what = nodes[node, 1]
        begin = n
        item = _item(nodes, node)
        first = last < 0 or _item(nodes, blocks[last, 0]) != item
        if last >= 0:
            before = blocks[last, 0]
            cells = what == TD and nodes[before, 1] == TD and before != node and nodes[before, 0] == nodes[node, 0]
            if cells:
                out[n], out[n + 1], out[n + 2] = 32, 124, 32
                n += 3
            else:
                out[n] = 10
                n += 1
                if not _together(nodes, before, node):
                    out[n] = 10
                    n += 1
        if item > 0 and first:
            inner = -1
            up = item
            while up > 0:
                inner += is_list(nodes[up, 1])
                up = nodes[up, 0]
            for _ in range(2 * min(inner, 8)):
                out[n] = 32
                n += 1
            if nodes[nodes[item, 0], 1] == NUMBERED:
                n = _number(out, n, number[item])
                out[n] = 46
            else:
                out[n] = 45
            out[n + 1] = 32
            n += 2
        start = n
        space = False
        for one in range(k, stop):
            for _ in range(min(2, pieces[one, 3])):
                if n > start:
                    out[n] = 10
                    n += 1
                    space = False
            for at in range(pieces[one, 0], pieces[one, 1]):
                byte = data[at]
                if what == PRE:
                    if byte != 13 and not (byte == 10 and n == start):
                        out[n] = byte
                        n += 1
                elif byte <= 32:
                    space = True
                else:
                    if space and n > start and out[n - 1] != 10:
                        out[n] = 32
                        n += 1
                    space = False
                    out[n] = byte
                    n += 1
        while n > start and out[n - 1] <= 32:
            n -= 1
        if n == start:
            n = begin
        else:
            last = b
        k = stop
    return out[:n]


@njit(nogil=True, cache=True)
def _number(out, n, number):  # type: ignore[no-untyped-def]
    """Write a number of at most 18 digits at `n`; returns the place behind it."""
    digits = 1
    while number >= 10**digits:
        digits += 1
    for i in range(digits):
        out[n + digits - 1 - i] = 48 + number // 10**i % 10
    return n + digits


@njit(nogil=True, cache=True)
def _item(nodes, node):  # type: ignore[no-untyped-def]
    """The list item that an element is in, or 0."""
    while node > 0 and nodes[node, 1] != LI:
        if is_list(nodes[node, 1]) or nodes[node, 1] == TABLE:
            return 0
        node = nodes[node, 0]
    return max(0, node)


@njit(nogil=True, cache=True)
def _together(nodes, one, two):  # type: ignore[no-untyped-def]
    """Whether two blocks follow each other line by line: items, rows, terms, and what is in a `div` each."""
    item, other = _item(nodes, one), _item(nodes, two)
    if item > 0 and other > 0:
        return item != other
    if one == two:
        return False
    kinds = nodes[one, 1], nodes[two, 1]
    if kinds == (TD, TD):
        return nodes[nodes[one, 0], 0] == nodes[nodes[two, 0], 0]
    if kinds[0] in (DT, DD) and kinds[1] in (DT, DD):
        return True
    return kinds == (DIV, DIV) and nodes[one, 0] == nodes[two, 0]
