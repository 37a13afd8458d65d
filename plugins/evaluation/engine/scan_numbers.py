"""JSON numbers read from bytes, every one rounded as Python's ``float`` rounds it.

Decimal text ``m * 10^e`` is exact in double precision when m < 2^53 and |e| <= 22, because then
both are doubles and one operation rounds once (W. Clinger, How to read floating point numbers
accurately, PLDI 1990). Longer mantissas, such as those of scores that were computed in double
precision, are divided with a remainder; what stays doubtful is left to Python.
"""

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.scan_words import digits_to_number, is_digits, load_word

EXACT, DOUBTFUL, INVALID = 0, 1, 2
"""How sure :func:`parse_number` is: of the value, of the extent only, or that it is no number."""

_POWERS = np.array([10.0**power for power in range(23)])
_LONGEST_MANTISSA = 19  # digits that always fit in 64 bits
_EXACT_INTEGERS = 2**53
_SPLITTER = 2.0**27 + 1
# The quotient's correction is known far better than this share of it.
_DOUBT = 2.0**-40


@compiled
def skip_space(text, position, stop):
    """First position from ``position`` on that is no JSON white space, at most ``stop``."""
    while (
        position < stop
        and text[position] <= 32
        and (
            text[position] == 32
            or text[position] == 10
            or text[position] == 13
            or text[position] == 9
        )
    ):
        position += 1
    return position


@compiled
def parse_integer(text, position, stop):
    """Read a JSON integer of at most 18 digits.

    Args:
        text: uint8, read-only.
        position: Where the number begins.
        stop: End of the readable text.

    Returns:
        The integer, and the position after it or -1 if there is anything but such an integer.
    """
    negative = position < stop and text[position] == 45
    if negative:
        position += 1
    first = position
    value = 0
    while position < stop and 48 <= text[position] <= 57:
        value = 10 * value + (text[position] - 48)
        position += 1
        if position - first > 18:
            return 0, -1
    digits = position - first
    if digits == 0 or (digits > 1 and text[first] == 48):
        return 0, -1
    if position < stop and (text[position] == 46 or text[position] | 32 == 101):
        return 0, -1
    return -value if negative else value, position


@compiled
def parse_number(text, position, stop):
    """Read a JSON number.

    Args:
        text: uint8, read-only.
        position: Where the number begins.
        stop: End of the readable text.

    Returns:
        The value, the position after the number, and EXACT, DOUBTFUL (the value is for Python to
        read from the same characters) or INVALID.
    """
    negative = position < stop and text[position] == 45
    if negative:
        position += 1
    first = position
    mantissa, position = _parse_digits(text, position, stop, np.uint64(0))
    if position == first or (position - first > 1 and text[first] == 48):
        return 0.0, position, INVALID
    significant = position - first
    exponent = 0
    if position < stop and text[position] == 46:
        first = position + 1
        start = first
        if mantissa == 0:
            significant = 0
            while start < stop and text[start] == 48:
                start += 1
        mantissa, position = _parse_digits(text, start, stop, mantissa)
        significant += position - start
        exponent = first - position
        if exponent == 0:
            return 0.0, position, INVALID
    if position < stop and text[position] | 32 == 101:
        shift, position = _parse_exponent(text, position + 1, stop)
        if position < 0:
            return 0.0, position, INVALID
        exponent += shift
    if significant > _LONGEST_MANTISSA:
        return 0.0, position, DOUBTFUL
    value, is_exact = _scaled(mantissa, exponent)
    return -value if negative else value, position, EXACT if is_exact else DOUBTFUL


@compiled
def _parse_digits(text, position, stop, value):
    """Append digits to a number, modulo 2^64; returns it and the position after them."""
    while position + 8 <= stop:
        word = load_word(text, position)
        if not is_digits(word):
            break
        value = value * np.uint64(100_000_000) + digits_to_number(word)
        position += 8
    while position < stop and 48 <= text[position] <= 57:
        value = value * np.uint64(10) + np.uint64(text[position] - 48)
        position += 1
    return value, position


@compiled
def _parse_exponent(text, position, stop):
    """Value of an exponent behind its ``e``, and the position after it or -1."""
    negative = False
    if position < stop and (text[position] == 43 or text[position] == 45):
        negative = text[position] == 45
        position += 1
    first = position
    value = 0
    while position < stop and 48 <= text[position] <= 57:
        value = min(10 * value + (text[position] - 48), 100_000)
        position += 1
    if position == first:
        return 0, -1
    return -value if negative else value, position


@compiled
def _scaled(mantissa, exponent):
    """``mantissa * 10^exponent`` correctly rounded, and whether that is certain."""
    if mantissa == 0:
        return 0.0, True
    if not -23 < exponent < 23:
        return 0.0, False
    if mantissa <= _EXACT_INTEGERS:
        if exponent < 0:
            return float(mantissa) / _POWERS[-exponent], True
        return float(mantissa) * _POWERS[exponent], True
    if exponent >= 0:
        return float(mantissa), exponent == 0
    divisor = _POWERS[-exponent]
    leading = float(mantissa)
    trailing = float(np.int64(mantissa - np.uint64(leading)))
    quotient = leading / divisor
    correction = (_remainder(leading, quotient, divisor) + trailing) / divisor
    low = quotient + correction * (1 - _DOUBT)
    high = quotient + correction * (1 + _DOUBT)
    return low, low == high


@compiled
def _remainder(dividend, quotient, divisor):
    """``dividend - quotient * divisor`` without rounding (T. J. Dekker's exact product, 1971)."""
    product = quotient * divisor
    upper = _SPLITTER * quotient
    upper -= upper - quotient
    lower = quotient - upper
    divisor_upper = _SPLITTER * divisor
    divisor_upper -= divisor_upper - divisor
    divisor_lower = divisor - divisor_upper
    error = (
        upper * divisor_upper - product + upper * divisor_lower + lower * divisor_upper
    ) + lower * divisor_lower
    return (dividend - product) - error
