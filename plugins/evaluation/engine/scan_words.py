"""Eight characters of a text at a time, as the bytes of one integer.

What is tested or computed for each byte of such a word costs as much as for a single character.
For machines that store the lowest byte first, as all do that torch is built for.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from plugins.compilation import compiled

_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_ZEROS, _SIXES = np.uint64(0x3030303030303030), np.uint64(0x0606060606060606)
_UPPER_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0)
_PAIRS, _QUADS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
_QUOTE, _BACKSLASH = 34, 92
_QUOTES, _BACKSLASHES = _ONES * np.uint64(_QUOTE), _ONES * np.uint64(_BACKSLASH)


@intrinsic
def load_word(typing_context, text, position):
    """The eight characters of a uint8 array from ``position`` on, the first in the lowest byte.

    All eight must be there.
    """
    del typing_context

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        pointer = builder.bitcast(pointer, ir.IntType(64).as_pointer())
        return builder.load(pointer, align=1)

    return types.uint64(text, types.intp), generate


@compiled
def load_word_or_rest(text, position):
    """The same near the end of the text, where zeros stand in for what is missing."""
    if position + 8 <= len(text):
        return load_word(text, position)
    word = np.uint64(0)
    for place in range(len(text) - 1, position - 1, -1):
        word = word << np.uint64(8) | np.uint64(text[place])
    return word


@compiled
def is_digits(word):
    """Whether all eight characters are digits."""
    return (word & _UPPER_HALVES) | ((word + _SIXES) & _UPPER_HALVES) >> np.uint64(4) == (
        _ZEROS | _ZEROS >> np.uint64(4)
    )


@compiled
def digits_to_number(word):
    """The number of eight digits, which are added up in pairs, fours and eights."""
    word = word - _ZEROS
    word = (word * np.uint64(10) + (word >> np.uint64(8))) & _PAIRS
    word = (word * np.uint64(100) + (word >> np.uint64(16))) & _QUADS
    return (word * np.uint64(10_000) + (word >> np.uint64(32))) & np.uint64(0xFFFFFFFF)


@compiled
def find_quote_or_backslash(text, position, stop):
    """Where the next of the two is from ``position`` on, ``stop`` for nowhere.

    A byte of ``quote`` is zero where the text has a quote, and subtracting one borrows its highest
    bit. A borrow may run on to the next byte, never back to an earlier one: the lowest one counts.
    """
    while position + 8 <= stop:
        word = load_word(text, position)
        quote, slash = word ^ _QUOTES, word ^ _BACKSLASHES
        hits = ((quote - _ONES) & ~quote | (slash - _ONES) & ~slash) & _HIGHS
        if hits:
            lower = ((hits & (~hits + np.uint64(1))) - np.uint64(1)) & _ONES
            return position + np.int64(lower * _ONES >> np.uint64(56)) - 1
        position += 8
    while position < stop and text[position] != _QUOTE and text[position] != _BACKSLASH:
        position += 1
    return position
