"""Safe unpickling of plain data and NumPy arrays.

A pickle can call any function. Here, only functions that build arrays and plain data are called.
"""

import pickle
from collections import OrderedDict
from typing import Any

import numpy as np

ALLOWED: dict[tuple[str, str], Any] = {  # functions that build arrays, by their names in NumPy 1 and NumPy 2
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Unpickler for dictionaries, lists, numbers, strings and arrays; refuses to call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"refusing to unpickle {module}.{name}")
        return ALLOWED[module, name]


class Opaque:
    """Placeholder for an object whose class is not loaded; accepts and discards any arguments and state."""

    def __new__(cls, *_args: Any, **_options: Any) -> "Opaque":
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_options: Any) -> None: ...

    def __setstate__(self, _state: Any) -> None: ...

    def __setitem__(self, _key: Any, _value: Any) -> None: ...

    def append(self, _value: Any) -> None: ...

    def extend(self, _values: Any) -> None: ...


def encode_latin1(text: str, _encoding: str = "latin1") -> bytes:
    """Replacement for `_codecs.encode`, which Python 3 pickles call to build bytes in the protocols of Python 2."""
    return text.encode("latin1")


LENIENT: dict[tuple[str, str], Any] = {
    **ALLOWED,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): encode_latin1,
    ("numpy.core.multiarray", "scalar"): np.float64(0).__reduce__()[0],
    ("numpy._core.multiarray", "scalar"): np.float64(0).__reduce__()[0],
}


class LenientUnpickler(pickle.Unpickler):
    """Unpickler that replaces objects of all other classes by `Opaque`; calls only the functions in `LENIENT`."""

    def find_class(self, module: str, name: str) -> Any:
        return LENIENT.get((module, name), Opaque)
