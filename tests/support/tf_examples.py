"""TFRecord files written with protobuf's own encoder."""

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from alexnet_pl.data.archives.tfrecord import masked_checksum

Field = descriptor_pb2.FieldDescriptorProto
Value = bytes | int | float


def example_class() -> Any:
    """`tf.train.Example` as in tensorflow/core/example/{example,feature}.proto; a map is a list of its entries."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    messages = {
        "BytesList": [("value", 1, Field.TYPE_BYTES, True)],
        "FloatList": [("value", 1, Field.TYPE_FLOAT, True)],
        "Int64List": [("value", 1, Field.TYPE_INT64, True)],
        "Feature": [(kind, n, f"{kind}List", False) for n, kind in enumerate(("Bytes", "Float", "Int64"), 1)],
        "Entry": [("key", 1, Field.TYPE_STRING, False), ("value", 2, "Feature", False)],
        "Features": [("feature", 1, "Entry", True)],
        "Example": [("features", 1, "Features", False)],
    }
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
            field = described.field.add(name=name, number=number, label=label)
            field.type = Field.TYPE_MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                field.type_name = f".t.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


EXAMPLE = example_class()
LISTS = {bytes: "Bytes", float: "Float", int: "Int64"}


def encode_example(features: Mapping[str, Value]) -> bytes:
    example = EXAMPLE()
    for key, value in features.items():
        entry = example.features.feature.add(key=key)
        getattr(entry.value, LISTS[type(value)]).value.append(value)
    return example.SerializeToString()


def write_records(path: Path, records: Iterable[Mapping[str, Value]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b""
    for message in map(encode_example, records):
        length = struct.pack("<Q", len(message))
        data += length + struct.pack("<L", masked_checksum(memoryview(length))) + message + b"\0\0\0\0"
    path.write_bytes(data)
