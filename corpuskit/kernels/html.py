"""One pass over the bytes of an HTML page: its blocks of text, and the elements that they are in.

A block is text that a browser would set as one piece: a paragraph, a heading, a list item, a cell. Inline markup does
not divide it; a line break does not, two do. The tree is that of the block elements, with end tags implied as browsers
imply them (https://html.spec.whatwg.org/multipage/parsing.html), in one loop that never goes back: no page takes longer
than its length says.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from corpuskit.kernels.html_names import (
    BLOCK,
    BODY,
    BREAK,
    DD,
    DT,
    H1,
    H2,
    HEAD,
    INLINE,
    LI,
    LINK,
    NAME_KEYS,
    NAME_VALUES,
    NESTS,
    PRE,
    PRIME,
    RAW,
    RAW_NAMES,
    RB,
    ROWS,
    RP,
    RT,
    RUBY,
    SKIPPED,
    START,
    STRUCTURE_FLAG,
    TABLE,
    TD,
    TR,
    P,
    kinds_of,
    look,
)

DEPTH = 256
"""Elements within one another that are told apart."""

MOST_TAGS = 1 << 20


@njit(nogil=True, cache=True)
def _is(data, start, end, word):  # type: ignore[no-untyped-def]
    if end - start != len(word):
        return False
    same = True
    for i in range(len(word)):
        same = bool(same and (data[start + i] | 32) == word[i])
    return same


_CLASS, _ID, _ROLE, _ITEMPROP, _STYLE, _HIDDEN, _ARIA = (
    np.frombuffer(name, np.uint8)
    for name in (b"class", b"id", b"role", b"itemprop", b"style", b"hidden", b"aria-hidden")
)


@njit(nogil=True, cache=True)
def _hides(data, start, end):  # type: ignore[no-untyped-def]
    """Whether a style says `display: none` or `visibility: hidden`."""
    for at in range(start, end - 10):
        if (data[at] | 32) == 100 and (data[at + 5] | 32) == 97 and (data[at + 6] | 32) == 121:  # display
            after = at + 7
            while after < end and (data[after] == 32 or data[after] == 58):
                after += 1
            if after + 3 < end + 0 and data[after] == 110 and data[after + 1] == 111 and data[after + 2] == 110:
                return True
        if (data[at] | 32) == 118 and (data[at + 9] | 32) == 121 and (data[at + 3] | 32) == 105:  # visibility
            after = at + 10
            while after < end and (data[after] == 32 or data[after] == 58):
                after += 1
            if after + 1 < end and data[after] == 104:
                return True
    return False


@njit(nogil=True, cache=True)
def _attributes(data, at, want):  # type: ignore[no-untyped-def]
    """Read a tag from behind its name: (behind its end, bits of KINDS, whether it hides what is in it)."""
    size = len(data)
    kinds, hidden = 0, False
    while at < size:
        byte = data[at]
        if byte == 62:  # >
            return at + 1, kinds, hidden
        if byte <= 32 or byte == 47:
            at += 1
            continue
        name = at
        at += 1
        while at < size and data[at] > 32 and data[at] != 61 and data[at] != 62 and data[at] != 47:
            at += 1
        name_end = at
        while at < size and data[at] <= 32:
            at += 1
        start = end = at
        if at < size and data[at] == 61:  # =
            at += 1
            while at < size and data[at] <= 32:
                at += 1
            if at < size and (data[at] == 34 or data[at] == 39):
                quote = data[at]
                at += 1
                start = at
                while at < size and data[at] != quote:
                    at += 1
                end = at
                at += 1
            else:
                start = at
                while at < size and data[at] > 32 and data[at] != 62:
                    at += 1
                end = at
        if want:
            first = data[name] | 32
            if first == 99 and _is(data, name, name_end, _CLASS):
                kinds |= kinds_of(data, start, min(end, start + 400))
            elif (first == 105 and (_is(data, name, name_end, _ID) or _is(data, name, name_end, _ITEMPROP))) or (
                first == 114 and _is(data, name, name_end, _ROLE)
            ):
                kinds |= kinds_of(data, start, min(end, start + 200))
            elif first == 115 and _is(data, name, name_end, _STYLE):
                hidden |= _hides(data, start, min(end, start + 400))
            elif first == 104 and _is(data, name, name_end, _HIDDEN):
                hidden |= not (end > start and (data[start] | 32) == 117)  # until-found
            elif first == 97 and _is(data, name, name_end, _ARIA):
                hidden |= end - start == 4
    return size, kinds, hidden


@njit(nogil=True, cache=True)
def _closes(what, opened):  # type: ignore[no-untyped-def]
    """Whether an element that begins ends the innermost open one."""
    if opened == P:
        return True
    if what == LI:
        return opened == LI
    if what in (DT, DD):
        return opened in (DT, DD)
    if what == TD:
        return opened == TD
    if what == TR:
        return opened in (TD, TR)
    if what == ROWS:
        return opened in (TD, TR, ROWS)
    return what in (H1, H2) and opened in (H1, H2)


@njit(nogil=True, cache=True)
def parse(data):  # type: ignore[no-untyped-def]
    """Cut a page into blocks.

    Args:
        data: uint8[n], its UTF-8.

    Returns:
        (nodes int64[m, 4]: parent, element, flags, depth; node 0 is the page;
        pieces int32[k, 4]: of text: start, end, block, line breaks before it;
        blocks int32[b, 2]: node, characters in links;
        bytes read: all, or those before the tag with which there are more than `MOST_TAGS`).
    """
    size = len(data)
    tags = 2
    for at in range(size):
        if data[at] == 60:
            tags += 1
            if tags > MOST_TAGS:
                size = at
                break
    nodes = np.zeros((tags, 4), np.int64)
    pieces = np.zeros((2 * tags, 4), np.int32)  # a sign that is no tag, and what is behind it
    blocks = np.zeros((2 * tags, 2), np.int32)
    node_count, piece_count, block_count = 1, 0, 0
    nodes[0, 0] = -1
    stack = np.zeros(DEPTH, np.int64)
    depth, over = 1, 0  # open elements; those beyond DEPTH, which are not kept
    open_block = False  # whether the last block may go on
    breaks = 0
    skipped, skipped_name = 0, np.uint64(0)  # depth within an element whose content is passed over
    skipped_what, skipped_at = 0, 0  # its number, and where its content begins
    unclosed = (
        0  # bits of those that turned out to have no end: their content is read, and they are passed over no more
    )
    skipped_node = -1
    link, link_depth = False, 0
    at = 0
    while at < size or (skipped > 0 and skipped_name != HEAD):
        if at >= size:
            # what has no end hides nothing; once a name, so that time stays linear
            at, skipped, unclosed = skipped_at, 0, unclosed | 1 << skipped_what
            continue
        if data[at] != 60:
            end = at
            blank = True
            while end < size and data[end] != 60:
                blank &= data[end] <= 32
                end += 1
            if skipped == 0 and skipped_node < 0:
                in_pre = nodes[stack[depth - 1], 1] == PRE
                if not blank or (open_block and (in_pre or breaks == 0)):
                    if not open_block or (breaks >= 2 and not in_pre):
                        blocks[block_count, 0] = stack[depth - 1]
                        block_count += 1
                        open_block = True
                        breaks = 0
                    pieces[piece_count, 0], pieces[piece_count, 1] = at, end
                    pieces[piece_count, 2], pieces[piece_count, 3] = block_count - 1, breaks
                    piece_count += 1
                    breaks = 0
                    if link and not blank:
                        for i in range(at, end):
                            blocks[block_count - 1, 1] += data[i] > 32 and (data[i] & 0xC0) != 0x80
            at = end
            continue
        following = data[at + 1] if at + 1 < size else np.uint8(0)
        if following in (33, 63):  # comment, doctype, instruction
            if at + 3 < size and data[at + 2] == 45 and data[at + 3] == 45:
                at = _comment_end(data, at + 4, size)
            else:
                while at < size and data[at] != 62:
                    at += 1
                at += 1
            continue
        closing = following == 47
        name = at + 1 + closing
        if name >= size or not (97 <= (data[name] | 32) <= 122):
            # no tag: a sign in the text
            if skipped == 0 and skipped_node < 0 and not closing:
                if not open_block:
                    blocks[block_count, 0] = stack[depth - 1]
                    block_count += 1
                    open_block = True
                pieces[piece_count, 0], pieces[piece_count, 1] = at, at + 1
                pieces[piece_count, 2], pieces[piece_count, 3] = block_count - 1, 0
                piece_count += 1
            at += 1
            continue
        key = START
        end = name
        while end < size and data[end] > 32 and data[end] != 62 and data[end] != 47:
            key = (key ^ np.uint64(data[end] | 32 if 65 <= data[end] <= 90 else data[end])) * PRIME
            end += 1
        found = look(NAME_KEYS, NAME_VALUES, key)
        does, what = found >> 8, found & 255
        if skipped > 0:
            again = at
            at, _, _ = _attributes(data, end, False)
            annotation = skipped_name in (RT, RP)
            if key == skipped_name:
                if closing:
                    skipped -= 1
                elif what >= NESTS and data[at - 2] != 47:
                    skipped += 1
            elif does == RAW and not closing:
                if data[at - 2] != 47:
                    at = _raw_end(data, at, what)
            elif what == BODY and does == BLOCK and closing and skipped_name != HEAD and not annotation:
                at = size  # it has no end
            elif (
                (what == BODY and does == BLOCK)
                or (annotation and (key in (RUBY, RB) or does in (BLOCK, SKIPPED)))
                or (skipped_name == HEAD and does in (INLINE, BLOCK, LINK, BREAK))
            ):
                skipped = 0  # its end tag was left out
                at = again
            continue
        at, kinds, hidden = _attributes(data, end, does == BLOCK and not closing)
        if does == RAW:
            if not closing:
                at = _raw_end(data, at, what)
            continue
        if does == SKIPPED:
            if not closing and data[at - 2] != 47 and not (unclosed >> what) & 1:
                skipped, skipped_name, skipped_what, skipped_at = 1, key, what, at
            continue
        if does == BREAK:
            if what == 1:
                open_block = False
            breaks += 1
            continue
        if does == LINK:
            link = not closing
            link_depth = depth
            continue
        if does != BLOCK:
            continue
        if closing:
            if over > 0:
                over -= 1
                continue
            place = depth - 1
            while place > 0 and nodes[stack[place], 1] != what:
                if nodes[stack[place], 1] == TD and what not in (TR, TABLE, ROWS):
                    place = 0  # an end tag does not reach out of a cell
                    break
                place -= 1
            if place > 0 and what != BODY:
                depth = place
                open_block, breaks = False, 0
                if link and depth < link_depth:
                    link = False
                if skipped_node >= 0 and depth <= nodes[skipped_node, 3]:
                    skipped_node = -1
            elif what == P:
                open_block, breaks = False, 0
            continue
        if what == BODY:
            continue  # what it says of itself is said of everything
        while depth > 1 and _closes(what, nodes[stack[depth - 1], 1]):
            depth -= 1
        if skipped_node >= 0 and depth <= nodes[skipped_node, 3]:
            skipped_node = -1
        open_block, breaks = False, 0
        if link and depth < link_depth:
            link = False
        if depth >= DEPTH:
            over += 1
            continue
        nodes[node_count, 0] = stack[depth - 1]
        nodes[node_count, 1] = what
        nodes[node_count, 2] = kinds | STRUCTURE_FLAG[what]
        nodes[node_count, 3] = depth
        if hidden and skipped_node < 0:
            skipped_node = node_count
        stack[depth] = node_count
        depth += 1
        node_count += 1
    return nodes[:node_count], pieces[:piece_count], blocks[:block_count], size


@njit(nogil=True, cache=True)
def _comment_end(data, at, size):  # type: ignore[no-untyped-def]
    """Behind the end of a comment, `-->` or `--!>`, whose content begins at `at`."""
    begin = at
    while at < size:
        if data[at] == 62 and data[at - 1] == 45 and data[at - 2] == 45:
            return at + 1
        if at >= begin + 3 and data[at] == 62 and data[at - 1] == 33 and data[at - 2] == 45 and data[at - 3] == 45:
            return at + 1
        at += 1
    return size


@njit(nogil=True, cache=True)
def _raw_end(data, at, what):  # type: ignore[no-untyped-def]
    """Behind the end tag of an element whose content is no markup."""
    size = len(data)
    length = 0
    while length < 8 and RAW_NAMES[what, length] != 0:
        length += 1
    while at < size:
        if data[at] == 60 and at + 1 < size and data[at + 1] == 47:
            same = at + 2 + length <= size
            for i in range(length):
                if not same or (data[at + 2 + i] | 32) != RAW_NAMES[what, i]:
                    same = False
                    break
            if same:
                while at < size and data[at] != 62:
                    at += 1
                return at + 1
        at += 1
    return size
