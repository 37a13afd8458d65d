"""Numbers in JSON text are read as Python reads them."""

import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.evaluation.engine.scan_numbers import (
    DOUBTFUL,
    EXACT,
    INVALID,
    parse_integer,
    parse_number,
)

DECIMALS = st.from_regex(
    r'-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?', fullmatch=True
)


def number(text: str, behind: bytes = b','):
    buffer = np.frombuffer(b'[' + text.encode() + behind, np.uint8)
    value, position, state = parse_number(buffer, 1, len(buffer))
    return value, position - 1, state


def bits(value: float) -> bytes:
    return np.float64(value).tobytes()


@settings(max_examples=500, deadline=None)
@given(DECIMALS)
def test_a_value_called_exact_is_the_one_python_reads(text):
    value, length, state = number(text)
    assert length == len(text)
    assert state in (EXACT, DOUBTFUL)
    if state == EXACT:
        assert bits(value) == bits(float(text))


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.floats(1e-5, 1), st.floats(0, 2000).map(lambda v: round(v, 2))))
def test_scores_and_coordinates_are_never_doubtful(value):
    found, _, state = number(repr(value))
    assert (bits(found), state) == (bits(value), EXACT)


def test_halfway_cases_are_rounded_to_even_or_left_to_python():
    # Between neighbouring doubles from 1 to 2 lie the odd multiples of 2^-53.
    for k in range(1, 4000, 2):
        digits = str(10**53 + k * 5**53).zfill(54)
        text = f'{digits[:-53]}.{digits[-53:]}'
        value, _, state = number(text)
        assert state == DOUBTFUL or bits(value) == bits(float(text))
    for k in (2**53 + 1, 2**54 + 2, 2**54 + 6, 10**18 + 64, 10**18 + 65):
        value, _, state = number(str(k))
        assert state == DOUBTFUL or bits(value) == bits(float(k))


@pytest.mark.parametrize('text', ['1.2.3', '1-2', '5]', '0}', '3 4'])
def test_a_number_ends_where_its_characters_end(text):
    value, length, state = number(text)
    first = re.match(r'[0-9]+(\.[0-9]+)?', text).group()
    assert (value, length, state) == (float(first), len(first), EXACT)


INVALID_TEXTS = ('', '-', '+1', '.5', '01', '-01', '1.', '1.e5', '1e', '1e+', 'NaN')


@pytest.mark.parametrize('text', INVALID_TEXTS)
def test_what_is_no_json_number_is_invalid(text):
    assert number(text)[2] == INVALID
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(f'[{text},0]')


@pytest.mark.parametrize('text', ['0', '-7', '42', '999999999999999999', '-999999999999999999'])
def test_integers_are_read(text):
    buffer = np.frombuffer(text.encode() + b' ', np.uint8)
    assert parse_integer(buffer, 0, len(buffer)) == (int(text), len(text))


@pytest.mark.parametrize('text', ['', '-', '00', '1.0', '1e3', '1234567890123456789', 'x'])
def test_other_numbers_are_not_taken_for_integers(text):
    buffer = np.frombuffer(text.encode() + b' ', np.uint8)
    assert parse_integer(buffer, 0, len(buffer))[1] == -1
