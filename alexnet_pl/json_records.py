"""Records (dataclasses) as JSON files: every field's type and range is checked on reading."""

import json
import math
import types
from collections.abc import Callable
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from alexnet_pl.errors import UserError
from alexnet_pl.temporary_files import replacing

LARGEST_RECORD = 2**28  # bytes; the record of a store with 21,843 classes has 2 million

Count = Annotated[int, (0, math.inf)]
Percent = Annotated[float, (0, 100)]
NonNegative = Annotated[float, (0, math.inf)]

JsonObject = dict[str, Any]
"""A JSON object whose keys this package does not declare as a record."""

Record = TypeVar("Record")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, replacing the file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def to_json(record: Any) -> JsonObject:
    """JSON object of a record (a dataclass), in the form that `parse_record` reads."""
    return asdict(record)


def read_record(
    path: Path, record: type[Record], advice: str, migrate: Callable[[JsonObject], JsonObject] | None = None
) -> Record:
    """Read the JSON object in `path` as the dataclass `record`; `migrate` converts older formats to the present one.

    Raises UserError, naming the file and the field, and giving `advice`.
    """
    content = read_checked(path, record, advice)
    try:
        return parse_record(migrate(content) if migrate else content, record)
    except ValueError as error:
        raise corrupt_record(path, error, advice) from error


def read_checked(path: Path, record: type, advice: str) -> JsonObject:
    """The JSON object in `path`, unchanged and with undeclared keys, after the checks of `read_record`."""
    try:
        if path.exists() and not path.is_file():  # reading a named pipe would not end
            raise ValueError("not a file")
        if path.stat().st_size > LARGEST_RECORD:
            raise ValueError(f"larger than {LARGEST_RECORD:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        parse_record(content, record)
    except (OSError, ValueError, RecursionError) as error:
        raise corrupt_record(path, error, advice) from error
    return content


def corrupt_record(path: Path, error: Exception, advice: str) -> UserError:
    return UserError(f"{path}: corrupt or not written by this package ({error}); {advice}")


def parse_record(content: Any, record: type[Record], prefix: str = "") -> Record:
    """Convert the JSON object `content` to the dataclass `record`, checking types and ranges of its fields.

    Keys that `record` does not declare are ignored; null is replaced by the field's default, if it has one. Raises
    ValueError, naming the dotted field, if it is missing, has another type, or is out of range.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{prefix.rstrip('.') or 'content'}: not an object")
    hints = get_type_hints(record, include_extras=True)
    values = {}
    for field in fields(record):  # type: ignore[arg-type]
        if content.get(field.name) is not None or (is_required(field) and field.name in content):
            values[field.name] = parse_value(content[field.name], hints[field.name], f"{prefix}{field.name}")
        elif is_required(field):
            raise ValueError(f"{prefix}{field.name}: missing")
    return record(**values)


def is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def parse_value(value: Any, hint: Any, name: str) -> Any:
    if get_origin(hint) is Annotated:
        kind, (low, high) = get_args(hint)
        parse_value(value, kind, name)
        if not low <= value <= high or value == math.inf:
            raise ValueError(f"{name}: {value} is not within {low} and {high}")
    elif isinstance(hint, types.UnionType) or get_origin(hint) is Union:
        if value is not None or type(None) not in get_args(hint):
            return parse_value(value, next(kind for kind in get_args(hint) if kind is not type(None)), name)
    elif is_dataclass(hint):
        return parse_record(value, hint, f"{name}.")  # type: ignore[arg-type]
    elif get_origin(hint) in (list, dict):
        return parse_items(value, hint, name)
    elif hint is not Any and not is_instance(value, hint):
        raise ValueError(f"{name}: {value!r} is no {hint.__name__}")
    return value


def parse_items(value: Any, hint: Any, name: str) -> Any:
    kind, inner = get_origin(hint), get_args(hint)[-1]
    if not isinstance(value, kind):
        raise ValueError(f"{name}: not a {kind.__name__}")
    if isinstance(value, dict):
        return {key: parse_value(item, inner, f"{name}.{key}") for key, item in value.items()}
    return [parse_value(item, inner, f"{name}.{number}") for number, item in enumerate(value)]


def is_instance(value: Any, kind: type) -> bool:
    """Like isinstance, but an int is also a float, and neither a bool nor NaN is a number."""
    if isinstance(value, bool) or (isinstance(value, float) and math.isnan(value)):
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float)) if kind is float else isinstance(value, kind)
