"""Which blocks of a page are its main text: what is known of each, and the probability that a forest gives it."""

from __future__ import annotations

import numpy as np
from numba import njit

from corpuskit.kernels.html_names import FLAGS, H1, H2, PRE, TABLE, is_list

LONG = 80
"""Characters from which a block is prose, if few of them are in links."""

LEVELS = 48
"""Elements around a block that are looked at."""

CELL = 200
"""The most characters in a cell of a table that is kept or left as a whole."""

NUMBERS = 64
COLUMNS = 3 * FLAGS + NUMBERS


@njit(nogil=True, cache=True)
def measure(data, pieces, blocks):  # type: ignore[no-untyped-def]
    """What the text of each block is like: int64[b, 8].

    The columns: characters but for white space; words; ends of sentences; commas; digits; capitals; line breaks;
    whether the block ends with the end of a sentence.
    """
    found = np.zeros((len(blocks), 8), np.int64)
    last = -1
    blank = True
    for k in range(len(pieces)):
        b = pieces[k, 2]
        if b != last:
            last, blank = b, True
        found[b, 6] += pieces[k, 3]
        start, end = pieces[k, 0], pieces[k, 1]
        for at in range(start, end):
            byte = data[at]
            if byte <= 32:
                blank = True
                continue
            if (byte & 0xC0) == 0x80:
                continue
            found[b, 0] += 1
            found[b, 1] += blank
            blank = False
            stop = byte in (33, 46, 63)
            comma = byte in (44, 59)
            if byte == 0xE3 and at + 2 < end and data[at + 1] == 0x80:
                stop = data[at + 2] == 0x82
                comma = data[at + 2] == 0x81
            elif byte == 0xEF and at + 2 < end and data[at + 1] == 0xBC:
                stop = data[at + 2] == 0x81 or data[at + 2] == 0x9F
                comma = data[at + 2] == 0x8C or data[at + 2] == 0x9B
            elif byte == 0xE0 and at + 2 < end and data[at + 1] == 0xA5:
                stop = data[at + 2] == 0xA4  # danda
            elif byte == 0xD8 and at + 1 < end:
                comma = data[at + 1] == 0x8C
            found[b, 2] += stop
            found[b, 3] += comma
            found[b, 4] += 48 <= byte <= 57
            found[b, 5] += 65 <= byte <= 90
            found[b, 7] = stop or (found[b, 7] == 1 and byte in (34, 39, 41))
    return found


@njit(nogil=True, cache=True)
def _context(nodes, blocks, sizes):  # type: ignore[no-untyped-def]
    """Sums over elements, float64[m, 4]: characters, those in links, those of prose, blocks; and what is near a block.

    Returns:
        (sums, deepest int64[3]: the deepest elements that hold 85, 60 and 35 % of the prose,
        near float64[b, 6]: blocks since prose, blocks until prose, characters before, prose before, headings before,
        blocks since a heading).
    """
    m, count = len(nodes), len(blocks)
    sums = np.zeros((m, 4))
    prose = np.zeros(count, np.bool_)
    for b in range(count):
        node = blocks[b, 0]
        prose[b] = sizes[b, 0] >= LONG and 3 * blocks[b, 1] < sizes[b, 0] and sizes[b, 2] + sizes[b, 3] > 0
        sums[node, 0] += sizes[b, 0]
        sums[node, 1] += blocks[b, 1]
        sums[node, 2] += sizes[b, 0] if prose[b] else 0
        sums[node, 3] += 1
    for node in range(m - 1, 0, -1):
        for i in range(4):
            sums[nodes[node, 0], i] += sums[node, i]
    deepest = np.zeros(3, np.int64)
    for node in range(1, m):
        for i in range(3):
            least = 0.85 if i == 0 else 0.6 if i == 1 else 0.35
            if sums[node, 2] >= least * max(1.0, sums[0, 2]) and nodes[node, 3] > nodes[deepest[i], 3]:
                deepest[i] = node
    near = np.zeros((count, 6))
    since = until = heading = 99.0
    chars = read = headings = 0.0
    for b in range(count):
        since = 0.0 if prose[b] else since + 1
        near[b, 0], near[b, 2], near[b, 3], near[b, 4], near[b, 5] = since, chars, read, headings, heading
        chars += sizes[b, 0]
        read += sizes[b, 0] if prose[b] else 0
        is_heading = nodes[blocks[b, 0], 1] in (H1, H2)
        headings += is_heading
        heading = 0.0 if is_heading else heading + 1
    for b in range(count - 1, -1, -1):
        until = 0.0 if prose[b] else until + 1
        near[b, 1] = until
    return sums, deepest, near


@njit(nogil=True, cache=True)
def _describe(b, nodes, blocks, sizes, sums, deepest, near, found):  # type: ignore[no-untyped-def]
    """Fill float32[COLUMNS] with what is known of block `b`."""
    count = len(blocks)
    node = blocks[b, 0]
    size = max(1.0, float(sizes[b, 0]))
    total, total_prose = max(1.0, sums[0, 0]), max(1.0, sums[0, 2])
    found[:] = 0
    # what elements around it are named: the two nearest; those that hold less than half of the page; the others
    up, level = node, 0
    row = found[3 * FLAGS :]
    while up >= 0 and level < LEVELS:
        for i in range(3):
            if up == deepest[i]:
                row[36 + i] = 1
        flags = nodes[up, 2]
        if flags:
            small = sums[up, 0] < 0.5 * total
            for i in range(FLAGS):
                if (flags >> i) & 1:
                    if level < 2:
                        found[i] = 1
                    if small:
                        found[FLAGS + i] = 1
                    elif level >= 2:
                        found[2 * FLAGS + i] = 1
        up = nodes[up, 0]
        level += 1
    row[0] = np.log1p(size)
    row[1] = blocks[b, 1] / size
    row[2] = sizes[b, 2] / size
    row[3] = sizes[b, 3] / size
    row[4] = sizes[b, 4] / size
    row[5] = sizes[b, 5] / size
    row[6] = sizes[b, 7]
    row[7] = np.log1p(float(sizes[b, 1]))
    row[8] = size / max(1.0, float(sizes[b, 1]))
    row[9] = sizes[b, 6]
    row[10] = nodes[node, 1]
    up, place = node, 11
    for _ in range(4):
        up = max(0, nodes[up, 0])
        row[place] = np.log1p(sums[up, 0])
        row[place + 1] = sums[up, 1] / max(1.0, sums[up, 0])
        row[place + 2] = sums[up, 2] / max(1.0, sums[up, 0])
        row[place + 3] = sums[up, 2] / total_prose
        row[place + 4] = nodes[up, 1]
        place += 5
    row[31] = b / count
    row[32] = near[b, 2] / total
    row[33] = near[b, 3] / total_prose
    row[34] = near[b, 0]
    row[35] = near[b, 1]
    row[39] = np.log1p(total_prose)
    row[40] = np.log1p(total)
    row[41] = total_prose / total
    row[42] = np.log1p(float(count))
    row[43] = near[b, 4]
    row[44] = near[b, 5]
    row[45] = nodes[node, 3]
    row[46] = nodes[node, 3] - nodes[deepest[1], 3]
    place = 47
    for step in (-2, -1, 1, 2):
        other = b + step
        if 0 <= other < count:
            row[place] = np.log1p(float(sizes[other, 0]))
            row[place + 1] = blocks[other, 1] / max(1.0, float(sizes[other, 0]))
            row[place + 2] = nodes[blocks[other, 0], 1]
            row[place + 3] = sizes[other, 7]
        else:
            row[place] = -1
        place += 4
    row[63] = sums[max(0, nodes[node, 0]), 3]


@njit(nogil=True, cache=True)
def surroundings(nodes, blocks, sizes):  # type: ignore[no-untyped-def]
    """What is known of each block, float32[b, COLUMNS]: what `opinions` go by.

    Args:
        nodes, blocks: as `parse` gives them. sizes: as `measure` does.
    """
    sums, deepest, near = _context(nodes, blocks, sizes)
    found = np.zeros((len(blocks), COLUMNS), np.float32)
    for b in range(len(blocks)):
        _describe(b, nodes, blocks, sizes, sums, deepest, near, found[b])
    return found


@njit(nogil=True, cache=True)
def opinions(nodes, blocks, sizes, roots, columns, bounds, left, right, values):  # type: ignore[no-untyped-def]
    """The probability that each block is main text, float64[b]: of lists and of tables of short cells, of all of it.

    Args:
        nodes, blocks: as `parse` gives them. sizes: as `measure` does.
        roots: int32[t], the first split of each tree.
        columns, bounds: of each split the column of `surroundings`, and the greatest value that goes left.
        left, right: the split behind it, or ~leaf. values: of each leaf, log-odds.
    """
    sums, deepest, near = _context(nodes, blocks, sizes)
    row = np.zeros(COLUMNS, np.float32)
    found = np.zeros(len(blocks))
    for b in range(len(blocks)):
        _describe(b, nodes, blocks, sizes, sums, deepest, near, row)
        score = 0.0
        for root in roots:
            at = root
            while at >= 0:
                at = left[at] if row[columns[at]] <= bounds[at] else right[at]
            score += values[~at]
        found[b] = 1 / (1 + np.exp(-score))
    # a list or a table is one thing
    m = len(nodes)
    group, longest = np.zeros(m, np.int64), np.zeros(m, np.int64)
    weighed, weight = np.zeros(m), np.zeros(m)
    for node in range(1, m):
        up = nodes[node, 0]
        group[node] = group[up]
        if nodes[node, 1] == TABLE or (is_list(nodes[node, 1]) and not is_list(nodes[group[up], 1])):
            group[node] = node
    for b in range(len(blocks)):
        one = group[blocks[b, 0]]
        weighed[one] += found[b] * sizes[b, 0]
        weight[one] += sizes[b, 0]
        longest[one] = max(longest[one], sizes[b, 0])
    for b in range(len(blocks)):
        one = group[blocks[b, 0]]
        if one > 0 and (is_list(nodes[one, 1]) or longest[one] <= CELL):
            found[b] = weighed[one] / max(1.0, weight[one])
    return found


@njit(nogil=True, cache=True)
def complete(kept, likely, nodes, blocks, sizes):  # type: ignore[no-untyped-def]
    """Keep, in bool[b], what belongs to the blocks that are kept.

    That is: a heading before one, code beside one, and few blocks between two within one element. What is quite
    unlikely to be main text stays out all the same.
    """
    count = len(kept)
    for b in range(count):
        if not kept[b] and nodes[blocks[b, 0], 1] == PRE:
            kept[b] = (b > 0 and kept[b - 1]) or (b + 1 < count and kept[b + 1])
    b = 0
    while b < count:
        end = b
        alike = b > 0 and kept[b - 1]
        while end < count and not kept[end]:
            alike &= likely[end] >= 0.35 and nodes[blocks[end, 0], 0] == nodes[blocks[max(0, b - 1), 0], 0]
            end += 1
        few = alike and b < end < count and end - b <= 4
        if few and nodes[blocks[end, 0], 0] == nodes[blocks[b - 1, 0], 0]:
            kept[b:end] = True
        b = end + 1
    for b in range(count - 2, -1, -1):
        what = nodes[blocks[b, 0], 1]
        if not kept[b] and kept[b + 1] and what in (H1, H2):
            kept[b] = likely[b] >= 0.1 and 2 * blocks[b, 1] <= sizes[b, 0]
