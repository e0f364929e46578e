"""Vector and bit instructions that numba does not offer: the one place where LLVM code is written by hand.

A mask function reads 64 bytes at `data[index]` and returns one bit for each, so that a kernel handles 64 bytes with a
few 64-bit operations. All loads are unaligned; callers guarantee 64 readable bytes beyond the last one they mean
(`corpuskit.core.batch.utf8` does). LLVM lowers the vectors to what the machine has (AVX-512, AVX2, NEON).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

BIT, BYTE, HALF, WORD, WIDE = (ir.IntType(bits) for bits in (1, 8, 32, 64, 128))
BYTES = ir.VectorType(BYTE, 64)


_instruction: Any = intrinsic  # kernels call it without the typing context that its signature begins with
_declared: Any = cgutils.get_or_insert_function


def _splat(value: int) -> Any:
    return ir.Constant(BYTES, [value] * 64)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, target: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), target.as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    value = builder.load(pointer)
    value.align = 1
    return value


def _equal(builder: Any, vector: Any, value: int) -> Any:
    return builder.icmp_unsigned("==", vector, _splat(value))


def _between(builder: Any, vector: Any, first: int, last: int) -> Any:
    return builder.icmp_unsigned("<", builder.sub(vector, _splat(first)), _splat(last - first + 1))


def _any(builder: Any, *masks: Any) -> Any:
    result = masks[0]
    for mask in masks[1:]:
        result = builder.or_(result, mask)
    return result


def _is_space(builder: Any, v: Any) -> Any:
    return _any(builder, _equal(builder, v, 0x20), _between(builder, v, 0x09, 0x0D), _between(builder, v, 0x1C, 0x1F))


def _is_punctuation(builder: Any, v: Any) -> Any:
    ranges = ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E))
    return _any(builder, *(_between(builder, v, first, last) for first, last in ranges))


def _is_word(builder: Any, v: Any) -> Any:
    return _any(builder, _is_letter(builder, v), _between(builder, v, 0x30, 0x39), _equal(builder, v, 0x5F))


def _is_letter(builder: Any, v: Any) -> Any:
    return _between(builder, builder.or_(v, _splat(0x20)), 0x61, 0x7A)


def _is_one_of(characters: bytes) -> Callable[[Any, Any], Any]:
    return lambda builder, v: _any(builder, *(_equal(builder, v, byte) for byte in characters))


def _is_high(builder: Any, v: Any) -> Any:
    return builder.icmp_unsigned(">=", v, _splat(0x80))


def _is_lead(builder: Any, v: Any) -> Any:
    return builder.icmp_unsigned("!=", builder.and_(v, _splat(0xC0)), _splat(0x80))


def _is_feed(builder: Any, v: Any) -> Any:
    return _equal(builder, v, 0x0A)


def _begins(builder: Any, *tests: Any) -> Any:
    """uint64: where bytes follow one another that pass the tests, by their first; wrong in the last bits."""
    found = builder.bitcast(tests[0], WORD)
    for place, test in enumerate(tests[1:], 1):
        found = builder.and_(found, builder.lshr(builder.bitcast(test, WORD), ir.Constant(WORD, place)))
    return found


def _begins_space_of_two(builder: Any, v: Any) -> Any:
    return _begins(builder, _equal(builder, v, 0xC2), _any(builder, _equal(builder, v, 0x85), _equal(builder, v, 0xA0)))


def _begins_space_of_three(builder: Any, v: Any) -> Any:
    first, second, third = _equal(builder, v, 0xE2), _equal(builder, v, 0x80), _between(builder, v, 0x80, 0x8A)
    third = _any(builder, third, *(_equal(builder, v, value) for value in (0xA8, 0xA9, 0xAF)))
    return _any(
        builder,
        _begins(builder, first, second, third),  # U+2000 to U+200A, U+2028, U+2029, U+202F
        _begins(builder, first, _equal(builder, v, 0x81), _equal(builder, v, 0x9F)),  # U+205F
        _begins(builder, _equal(builder, v, 0xE1), _equal(builder, v, 0x9A), second),  # U+1680
        _begins(builder, _equal(builder, v, 0xE3), second, second),  # U+3000
    )


def _begins_anchor(builder: Any, v: Any) -> Any:
    low = builder.or_(v, _splat(0x20))
    words = (b"vac", b"kie", b"jav", b"ms o", b"m ip")
    return _any(builder, *(_begins(builder, *(_equal(builder, low, byte) for byte in word)) for word in words))


def _mask_function(test: Callable[[Any, Any], Any]) -> Any:
    @_instruction
    def mask(_context: Any, array: Any, _index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], BYTES)
            return builder.bitcast(test(builder, _load(builder, pointer)), WORD)

        return types.uint64(array, types.int64), generate

    return mask


mask_space = _mask_function(_is_space)
"""uint64: which of 64 bytes are ASCII white space as `str.isspace` has it (9 to 13, 28 to 31, 32)."""

mask_punctuation = _mask_function(_is_punctuation)
"""uint64: which of 64 bytes are in `string.punctuation`."""

mask_word = _mask_function(_is_word)
r"""uint64: which of 64 bytes are ASCII `\w`."""

mask_high = _mask_function(_is_high)
"""uint64: which of 64 bytes are not ASCII."""

mask_lead = _mask_function(_is_lead)
"""uint64: which of 64 bytes of UTF-8 begin a code point."""

mask_feed = _mask_function(_is_feed)
"""uint64: which of 64 bytes are line feeds."""

mask_space_of_two = _mask_function(_begins_space_of_two)
"""uint64: which of 64 bytes begin U+0085 or U+00A0; of the first 63."""

mask_space_of_three = _mask_function(_begins_space_of_three)
"""uint64: which of 64 bytes begin white space that takes three bytes, as `str.isspace` has it; of the first 62."""

mask_letter = _mask_function(_is_letter)
"""uint64: which of 64 bytes are ASCII letters."""

mask_upper = _mask_function(lambda builder, v: _between(builder, v, 0x41, 0x5A))
"""uint64: which of 64 bytes are ASCII capital letters."""

mask_digit = _mask_function(lambda builder, v: _between(builder, v, 0x30, 0x39))
"""uint64: which of 64 bytes are ASCII digits."""

mask_hash = _mask_function(lambda builder, v: _equal(builder, v, 0x23))
"""uint64: which of 64 bytes are `#`."""

mask_dots = _mask_function(lambda builder, v: _begins(builder, *[_equal(builder, v, 0x2E)] * 3))
"""uint64: which of 64 bytes begin `...`; of the first 62."""

mask_brace = _mask_function(_is_one_of(b"{}"))
"""uint64: which of 64 bytes are curly braces."""

mask_terminal = _mask_function(_is_one_of(b".!?"))
"""uint64: which of 64 bytes end a sentence, of ASCII."""

mask_closing = _mask_function(_is_one_of(b"\"')]}*_"))
"""uint64: which of 64 bytes may stand behind the end of a sentence, of ASCII."""

mask_anchor = _mask_function(_begins_anchor)
"""uint64: where, of the first 61 bytes, one of `vac`, `kie`, `jav`, `ms o`, `m ip` may begin, in any case of letters.

Each stands in some phrases that pages are judged by; what begins there is to be looked at (`M@IP` passes too)."""


@_instruction
def load64(_context: Any, array: Any, _index: Any) -> Any:
    """uint64: eight bytes at `array[index]`, little-endian."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(builder, _pointer(context, builder, signature.args[0], arguments[0], arguments[1], WORD))

    return types.uint64(array, types.int64), generate


@_instruction
def store32(_context: Any, target: Any, _at: Any, _value: Any) -> Any:
    """Write the lower four bytes of a uint64 to `target[at]`, little-endian."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, at, value = arguments
        builder.store(builder.trunc(value, HALF), _pointer(context, builder, signature.args[0], target, at, HALF), 1)
        return context.get_dummy_value()

    return types.void(target, types.int64, types.uint64), generate


@_instruction
def prefetch(_context: Any, array: Any, _index: Any) -> Any:
    """Ask memory for `array[index]`, of a flat array, without waiting; the index may be any."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], BYTE)
        name, kind = "llvm.prefetch.p0", ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), HALF, HALF, HALF])
        read, keep, data = (ir.Constant(HALF, value) for value in (0, 3, 1))
        builder.call(_declared(builder.module, kind, name), [pointer, read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@_instruction
def trailing_zeros(_context: Any, _value: Any) -> Any:
    """int64: number of the lowest set bit of a non-zero uint64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(BIT, 1))

    return types.int64(types.uint64), generate


@_instruction
def count_ones(_context: Any, _value: Any) -> Any:
    """int64: number of set bits of a uint64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@_instruction
def fold_multiply(_context: Any, _a: Any, _b: Any) -> Any:
    """uint64: the two halves of the 128-bit product of two uint64, exclusive-ored."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        product = builder.mul(builder.zext(arguments[0], WIDE), builder.zext(arguments[1], WIDE))
        high = builder.trunc(builder.lshr(product, ir.Constant(WIDE, 64)), WORD)
        return builder.xor(builder.trunc(product, WORD), high)

    return types.uint64(types.uint64, types.uint64), generate


def _lower(builder: Any, v: Any) -> Any:
    return builder.select(_between(builder, v, 0x41, 0x5A), builder.or_(v, _splat(0x20)), v)


@_instruction
def store_lower(_context: Any, source: Any, _index: Any, target: Any, _at: Any) -> Any:
    """Write 64 bytes from `source[index]`, ASCII letters lower-cased, to `target[at]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, index, target, at = arguments
        value = _load(builder, _pointer(context, builder, signature.args[0], source, index, BYTES))
        builder.store(_lower(builder, value), _pointer(context, builder, signature.args[2], target, at, BYTES), 1)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), generate


@_instruction
def store_compressed(_context: Any, source: Any, _index: Any, target: Any, _at: Any, _keep: Any) -> Any:
    """Write those of 64 bytes whose bit in `keep` is set to `target[at]`, lower-cased, white space as a blank.

    Bytes of the target behind the kept ones, up to 64 in all, are overwritten with anything.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, index, target, at, keep = arguments
        value = _lower(builder, _load(builder, _pointer(context, builder, signature.args[0], source, index, BYTES)))
        value = builder.select(_is_space(builder, value), _splat(0x20), value)
        flags = ir.VectorType(BIT, 64)
        compress = builder.module.declare_intrinsic(
            "llvm.experimental.vector.compress.v64i8", (), ir.FunctionType(BYTES, [BYTES, flags, BYTES])
        )
        packed = builder.call(compress, [value, builder.bitcast(keep, flags), ir.Constant(BYTES, ir.Undefined)])
        builder.store(packed, _pointer(context, builder, signature.args[2], target, at, BYTES), 1)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64, types.uint64), generate
