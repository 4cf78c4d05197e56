"""Reader of protobuf's wire format without a schema: fields by number (protobuf.dev/programming-guides/encoding)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
SIZES = {FIXED64: 8, FIXED32: 4}

Value = int | memoryview


class Span(NamedTuple):
    """Bytes `start` … `end` of a file."""

    start: int
    end: int


def field_spans(data: memoryview, message: Span) -> Iterator[tuple[int, int | Span]]:
    """Yield (field number, value) of a message within `data`: an int for a varint, else where the bytes of a fixed32,
    fixed64 or length-delimited field lie, which are not read. Raises ValueError if the bytes are not a message."""
    position, end = message
    while position < end:
        key, position = read_varint(data, position, end)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, position = read_varint(data, position, end)
            yield number, value
            continue
        if kind == BYTES:
            size, position = read_varint(data, position, end)
        elif kind in SIZES:
            size = SIZES[kind]
        else:
            raise ValueError(f"no message: wire type {kind} at byte {position:,}")
        if position + size > end or number == 0:
            raise ValueError(f"no message: field {number} of {size:,} bytes at byte {position:,} ends after it")
        yield number, Span(position, position + size)
        position += size


def read_varint(data: memoryview, position: int, end: int) -> tuple[int, int]:
    """Read an unsigned integer of at most ten bytes: (value, position after it)."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError(f"no integer at byte {position:,}")


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield (field number, value) of a message: an int for a varint, else a view on the bytes."""
    for number, value in field_spans(message, Span(0, len(message))):
        yield number, value if isinstance(value, int) else message[value.start : value.end]


def messages(message: memoryview, number: int) -> list[memoryview]:
    """Return the length-delimited values of a field, in file order."""
    return [value for key, value in fields(message) if key == number and isinstance(value, memoryview)]


def texts(message: memoryview, number: int) -> list[str]:
    return [bytes(value).decode("utf-8", "replace") for value in messages(message, number)]


def integers(message: memoryview, number: int) -> list[int]:
    """Return the values of an integer field, packed or not."""
    found: list[int] = []
    for key, value in fields(message):
        if key == number and isinstance(value, int):
            found.append(value)
        elif key == number and isinstance(value, memoryview):
            position = 0
            while position < len(value):
                one, position = read_varint(value, position, len(value))
                found.append(one)
    return found


def floats(message: memoryview, number: int) -> np.ndarray:
    """Return the values of a float field, packed or not, as float32. Raises ValueError for a broken length."""
    parts = messages(message, number)
    if any(len(part) % 4 for part in parts):
        raise ValueError(f"field {number}: not a multiple of four bytes")
    return np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), "<f4")
