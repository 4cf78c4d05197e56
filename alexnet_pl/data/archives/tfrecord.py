"""TFRecord files of `tf.train.Example` messages, and the positions of their features' bytes.

A record is its length (8 bytes), a checksum of the length (4), the message, and a checksum of the message (4).
Format: tensorflow.org/tutorials/load_data/tfrecord; tensorflow/core/example/feature.proto.

Only the checksum of the length is verified. Listing a file does not read the bytes of images.
"""

import struct
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path

from alexnet_pl.data.archives.file_map import map_file
from alexnet_pl.data.archives.protobuf import Span, field_spans, read_varint
from alexnet_pl.data.archives.remote import client_errors
from alexnet_pl.errors import UserError

HEADER = struct.Struct("<QL")
CHECKSUM = 4  # bytes
POLYNOMIAL, MASK = 0x82F63B78, 0xA282EAD8  # CRC-32C, reflected; added to a rotated checksum
BYTES_LIST, INT64_LIST = 1, 3  # fields of Feature

Features = dict[str, Span | int]
"""First value of each feature by its key: where its bytes lie, or an integer."""


def read_examples(path: Path) -> Iterator[tuple["TFRecord", Features]]:
    """Yield (file, features) of each record. Raises UserError, naming the file, if it is corrupt."""
    try:
        with client_errors(path):
            file = TFRecord(map_file(path))
        for message in file.messages():
            yield file, file.features(message)
    except (ValueError, OSError) as error:
        raise UserError(f"prepare.source: {path}: corrupt or incomplete ({error}); download it again") from error


class TFRecord:
    """Content of a TFRecord file."""

    def __init__(self, data: mmap | bytes) -> None:
        self.data = memoryview(data)

    def text(self, span: Span) -> str:
        """Text of a feature; bytes that are not UTF-8 become surrogates, as in names of files."""
        return bytes(self.data[span.start : span.end]).decode("utf-8", "surrogateescape")

    def messages(self) -> Iterator[Span]:
        position = 0
        while position < len(self.data):
            if position + HEADER.size > len(self.data):
                raise ValueError("its last record ends early")
            length, checksum = HEADER.unpack_from(self.data, position)
            if checksum != masked_checksum(self.data[position : position + 8]):
                raise ValueError(f"no record at byte {position:,}")
            start = position + HEADER.size
            position = start + length + CHECKSUM
            if position > len(self.data):
                raise ValueError("its last record ends early")
            yield Span(start, start + length)

    def features(self, message: Span) -> Features:
        """Features of an Example: field 1 holds Features, whose field 1 is a map from key to Feature."""
        found: Features = {}
        for entry in (
            each for feature_map in self.messages_in(message, 1) for each in self.messages_in(feature_map, 1)
        ):
            for key, value in zip(self.messages_in(entry, 1), self.messages_in(entry, 2), strict=False):
                if (first := self.first_value(value)) is not None:
                    found[self.text(key)] = first
        return found

    def messages_in(self, message: Span, wanted: int) -> Iterator[Span]:
        """Yield the values of field `wanted` that are bytes."""
        fields = field_spans(self.data, message)
        return (value for number, value in fields if number == wanted and isinstance(value, Span))

    def first_value(self, feature: Span) -> Span | int | None:
        """First value of a Feature of bytes or integers; None if it is of another kind or empty."""
        for values in self.messages_in(feature, BYTES_LIST):
            return next(self.messages_in(values, 1), None)
        for values in self.messages_in(feature, INT64_LIST):
            for _, value in field_spans(self.data, values):
                return signed(read_varint(self.data, *value)[0] if isinstance(value, Span) else value)
        return None


def signed(value: int) -> int:
    """Integers are stored as 64 bits in two's complement."""
    return value - (1 << 64) if value >> 63 else value


def masked_checksum(data: memoryview) -> int:
    """CRC-32C as TFRecord files store it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF
