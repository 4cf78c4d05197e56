"""Write pickles like Python 2 with protocol 2: byte strings, arrays with NumPy 1's names, old-style objects."""

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def dumps(value: Any) -> bytes:
    out = io.BytesIO()
    out.write(b"\x80\x02")
    write(out, value)
    out.write(b".")
    return out.getvalue()


class OldStyle:
    """An instance of an old-style class `module.name` with a `__dict__`."""

    def __init__(self, module: str, name: str, **state: Any) -> None:
        self.module, self.name, self.state = module, name, state


def write(out: io.BytesIO, value: Any) -> None:
    for kind, function in WRITERS.items():
        if isinstance(value, kind):
            return function(out, value)
    raise pickle.PicklingError(type(value).__name__)


def write_text(out: io.BytesIO, value: str | bytes) -> None:
    data = value.encode("latin1") if isinstance(value, str) else value
    out.write((b"U" + bytes([len(data)]) if len(data) < 256 else b"T" + struct.pack("<i", len(data))) + data)


def write_items(out: io.BytesIO, value: Iterable[Any], begin: bytes, end: bytes) -> None:
    out.write(begin)
    for one in value:
        write(out, one)
    out.write(end)


def write_ordered(out: io.BytesIO, value: OrderedDict[str, Any]) -> None:
    out.write(b"ccollections\nOrderedDict\n")
    write(out, ([[key, one] for key, one in value.items()],))
    out.write(b"R")


def write_old_style(out: io.BytesIO, value: OldStyle) -> None:
    out.write(b"(" + f"c{value.module}\n{value.name}\n".encode() + b"o")
    write(out, value.state)
    out.write(b"b")


def write_array(out: io.BytesIO, array: np.ndarray) -> None:
    out.write(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01")
    write(out, array.shape)
    out.write(b"cnumpy\ndtype\n")
    write(out, (array.dtype.str[1:], 0, 1))
    out.write(b"R(")
    for one in (3, "<", None, None, None, -1, -1, 0):
        write(out, one)
    out.write(b"tb")
    write(out, array.flags.f_contiguous and not array.flags.c_contiguous)
    write(out, array.tobytes("A"))
    out.write(b"tb")


WRITERS: dict[Any, Callable[[io.BytesIO, Any], Any]] = {  # the first match counts, since bool is also an int
    type(None): lambda out, _: out.write(b"N"),
    bool: lambda out, value: out.write(b"\x88" if value else b"\x89"),
    int: lambda out, value: out.write(b"J" + struct.pack("<i", value)),
    float: lambda out, value: out.write(b"G" + struct.pack(">d", value)),
    (str, bytes): write_text,
    tuple: lambda out, value: write_items(out, value, b"(", b"t"),
    list: lambda out, value: write_items(out, value, b"](", b"e"),
    OrderedDict: write_ordered,
    dict: lambda out, value: write_items(out, [part for pair in value.items() for part in pair], b"}(", b"u"),
    np.ndarray: write_array,
    OldStyle: write_old_style,
}
