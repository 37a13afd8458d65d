"""Result files read by one pass over their bytes; masks stay where they are.

The scanner takes the form that result files have: objects with an image, a category, a score, a
box and a compressed run-length mask, with any white space, order of keys and further keys, whose
values are passed over. At anything else (polygons, missing keys, other escapes, ids with a decimal
point) it stops and leaves the file to a general JSON parser.
"""

from typing import NamedTuple

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.scan_numbers import (
    DOUBTFUL,
    INVALID,
    parse_integer,
    parse_number,
    skip_space,
)
from plugins.evaluation.engine.scan_words import find_quote_or_backslash, load_word_or_rest

_SHORTEST_RESULT = len('{"image_id":1,"category_id":1,"score":1,')

IMAGE, CATEGORY, OFFSET, LENGTH, HEIGHT, WIDTH = range(6)
_IMAGE, _CATEGORY, _SCORE, _BOX, _MASK, _SIZE, _COUNTS, _OTHER = range(8)
_KEYS = ('image_id', 'category_id', 'score', 'bbox', 'segmentation', 'size', 'counts')
# Keys and their closing quotes as words of eight characters; the mask covers those that count.
_KEY_WORDS = np.frombuffer(b''.join(f'{key}"'.encode().ljust(16, b'\0') for key in _KEYS), '<u8')
_KEY_WORDS = _KEY_WORDS.reshape(-1, 2)
_KEY_MASKS = np.frombuffer(
    b''.join((b'\xff' * (len(key) + 1)).ljust(16, b'\0') for key in _KEYS), '<u8'
).reshape(-1, 2)
_KEY_LENGTHS = np.array([len(key) for key in _KEYS])
_QUOTE, _BACKSLASH, _COMMA, _COLON = 34, 92, 44, 58
_BRACKET, _BRACKET_END, _BRACE, _BRACE_END = 91, 93, 123, 125
_LOWER_CASE = 32  # the bit in which brackets differ from braces


class Room(NamedTuple):
    """Memory for R results; it costs nothing until it is written.

    Attributes:
        integers: int64 (R, 6), columns `IMAGE`, `CATEGORY` and, where masks are wanted, `OFFSET`
            and `LENGTH` of the code in the text, `HEIGHT` and `WIDTH`.
        numbers: float64 (R, 1) or, where boxes are wanted, (R, 5): the score, then the box.
        doubtful: int64 (Q, 3): a number for Python to read: its place in the flat ``numbers``, its
            first character and the one after its last.
    """

    integers: np.ndarray
    numbers: np.ndarray
    doubtful: np.ndarray

    @classmethod
    def allocate(cls, text_bytes: int, *, boxes: bool, masks: bool) -> 'Room':
        """Room for all results that a text of this length can hold."""
        rows = text_bytes // _SHORTEST_RESULT + 1
        width = 5 if boxes else 1
        return cls(
            np.empty((rows, 6 if masks else 2), np.int64),
            np.empty((rows, width), np.float64),
            np.empty((rows * width, 3), np.int64),
        )


@compiled
def scan_results(text, position, stop, integers, numbers, doubtful):
    """Read the objects of a part of a list.

    Args:
        text: uint8, read-only, all of the file.
        position: Where the first object begins.
        stop: Behind the last object; it has no comma.
        integers: Of a `Room`, with enough rows, overwritten; so are the next two.
        numbers: Likewise.
        doubtful: Likewise.

    Returns:
        The number of results, that of doubtful numbers, whether a mask contains a backslash; or
        -1 and the place of what the scanner does not take.
    """
    rows = 0
    doubts = 0
    has_escapes = False
    while True:
        end, doubts, escapes = _scan_object(
            text, position, stop, integers, numbers, doubtful, rows, doubts
        )
        if end < 0:
            return -1, position, has_escapes
        has_escapes = has_escapes or escapes
        rows += 1
        position = skip_space(text, end, stop)
        if position == stop:
            return rows, doubts, has_escapes
        if text[position] != _COMMA or rows == len(numbers):
            return -1, position, has_escapes
        position = skip_space(text, position + 1, stop)


@compiled
def _scan_object(text, position, stop, integers, numbers, doubtful, row, doubts):
    """One result; returns the position after it or -1, doubtful numbers, and a backslash's find."""
    boxes, masks = numbers.shape[1] > 1, integers.shape[1] > 2
    seen = 0
    escapes = False
    if position == stop or text[position] != _BRACE:
        return -1, doubts, False
    while True:
        key, position = _scan_key(text, position + 1, stop)
        if position < 0:
            return -1, doubts, False
        if key == _IMAGE:
            integers[row, IMAGE], position = parse_integer(text, position, stop)
        elif key == _CATEGORY:
            integers[row, CATEGORY], position = parse_integer(text, position, stop)
        elif key == _SCORE:
            value, end, state = parse_number(text, position, stop)
            numbers[row, 0] = value
            doubts = _note(doubtful, doubts, row * numbers.shape[1], position, end, state)
            position = -1 if state == INVALID else end
        elif key == _BOX and boxes:
            position, doubts = _scan_box(text, position, stop, numbers, doubtful, row, doubts)
        elif key == _MASK and masks:
            position, escapes = _scan_mask(text, position, stop, integers, row)
        else:
            key = _OTHER
            position = _skip_value(text, position, stop)
        if position < 0 or doubts < 0:
            return -1, doubts, False
        seen |= 1 << key
        position = skip_space(text, position, stop)
        if position == stop:
            return -1, doubts, False
        if text[position] != _COMMA:
            break
    wanted = 0b111 | boxes << _BOX | masks << _MASK
    if text[position] != _BRACE_END or seen & wanted != wanted:
        return -1, doubts, False
    return position + 1, doubts, escapes


@compiled
def _note(doubtful, doubts, slot, first, last, state):
    """Remember a doubtful number; returns how many there are, -1 if there are too many."""
    if state != DOUBTFUL:
        return doubts
    if doubts == len(doubtful):
        return -1
    doubtful[doubts, 0], doubtful[doubts, 1], doubtful[doubts, 2] = slot, first, last
    return doubts + 1


@compiled
def _scan_key(text, position, stop):
    """Which key comes, and the position of its value or -1."""
    position = skip_space(text, position, stop)
    if position == stop or text[position] != _QUOTE:
        return _OTHER, -1
    position += 1
    first, second = load_word_or_rest(text, position), load_word_or_rest(text, position + 8)
    found = _OTHER
    for key in range(len(_KEY_LENGTHS)):
        # Without a branch, which would often be predicted wrongly: keys come in turn.
        differs = (first & _KEY_MASKS[key, 0]) ^ _KEY_WORDS[key, 0]
        differs |= (second & _KEY_MASKS[key, 1]) ^ _KEY_WORDS[key, 1]
        found -= (_OTHER - key) * (differs == 0)
    if found == _OTHER:
        return _OTHER, _skip_key(text, position - 1, stop)
    position = skip_space(text, position + _KEY_LENGTHS[found] + 1, stop)
    return found, _expect(text, position, stop, _COLON)


@compiled
def _skip_key(text, position, stop):
    """Position of the value of a key that nobody asked for, or -1."""
    position, _ = _scan_text(text, position, stop)
    if position < 0:
        return -1
    return _expect(text, skip_space(text, position, stop), stop, _COLON)


@compiled
def _scan_box(text, position, stop, numbers, doubtful, row, doubts):
    """Four numbers; returns the position after the list or -1, and the doubtful numbers."""
    for place in range(4):
        position = _expect(text, position, stop, _COMMA if place else _BRACKET)
        if position < 0:
            return -1, doubts
        value, end, state = parse_number(text, position, stop)
        if state == INVALID:
            return -1, doubts
        numbers[row, place + 1] = value
        doubts = _note(doubtful, doubts, 5 * row + place + 1, position, end, state)
        position = skip_space(text, end, stop)
    return _expect(text, position, stop, _BRACKET_END), doubts


@compiled
def _expect(text, position, stop, character):
    """Position of the next token behind a character, or -1 if that is not there."""
    if position >= stop or text[position] != character:
        return -1
    return skip_space(text, position + 1, stop)


@compiled
def _scan_mask(text, position, stop, integers, row):
    """A compressed mask; returns the position after it or -1, and whether it has a backslash."""
    seen = 0
    escapes = False
    if position == stop or text[position] != _BRACE:
        return -1, False
    while True:
        key, position = _scan_key(text, position + 1, stop)
        if position < 0:
            return -1, False
        if key == _SIZE:
            position = _scan_size(text, position, stop, integers, row)
        elif key == _COUNTS:
            first = position + 1
            position, escapes = _scan_text(text, position, stop)
            integers[row, OFFSET] = first
            integers[row, LENGTH] = position - 1 - first
        else:
            position = _skip_value(text, position, stop)
        if position < 0:
            return -1, False
        seen |= 1 << key
        position = skip_space(text, position, stop)
        if position == stop:
            return -1, False
        if text[position] != _COMMA:
            break
    wanted = 1 << _SIZE | 1 << _COUNTS
    if text[position] != _BRACE_END or seen & wanted != wanted:
        return -1, False
    return position + 1, escapes


@compiled
def _scan_size(text, position, stop, integers, row):
    """Height and width; returns the position after the list or -1."""
    for place in range(2):
        position = _expect(text, position, stop, _COMMA if place else _BRACKET)
        if position < 0:
            return -1
        value, position = parse_integer(text, position, stop)
        if position < 0 or not 0 <= value < 2**31:
            return -1
        integers[row, HEIGHT + place] = value
        position = skip_space(text, position, stop)
    return _expect(text, position, stop, _BRACKET_END)


@compiled
def _scan_text(text, position, stop):
    """A string whose only escapes are doubled backslashes; position after it or -1, any escape."""
    if position >= stop or text[position] != _QUOTE:
        return -1, False
    position += 1
    escapes = False
    while True:
        position = find_quote_or_backslash(text, position, stop)
        if position >= stop:
            return -1, escapes
        if text[position] == _QUOTE:
            return position + 1, escapes
        if text[position] == _BACKSLASH:
            if position + 1 == stop or text[position + 1] != _BACKSLASH:
                return -1, True
            escapes = True
            position += 1
        position += 1


@compiled
def _skip_value(text, position, stop):
    """Position after a value that nobody asked for, or -1."""
    depth = 0
    while position < stop:
        character = text[position]
        if character == _QUOTE:
            position, _ = _scan_text(text, position, stop)
            if position < 0:
                return -1
        elif character | _LOWER_CASE == _BRACE:
            depth += 1
            position += 1
        elif character | _LOWER_CASE == _BRACE_END:
            depth -= 1
            position += 1
        elif depth > 0:
            position += 1
        else:
            first = position
            while position < stop and _is_scalar(text[position]):
                position += 1
            if position == first:
                return -1
        if depth <= 0:
            return position if depth == 0 else -1
    return -1


@compiled
def _is_scalar(character):
    """Whether a character can belong to a number, true, false or null."""
    return (
        48 <= character <= 57
        or 97 <= character <= 122
        or character == 43
        or character == 45
        or character == 46
        or character == 69
    )
