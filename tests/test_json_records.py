"""Records on disk: every field is validated on reading; errors name the file and the field."""

import json
import math
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from damages import REMOVED, VALUES, with_value

from alexnet_pl.data.store.manifest import StoreManifest
from alexnet_pl.errors import UserError
from alexnet_pl.evaluation.result import TestResult
from alexnet_pl.json_records import parse_record, read_record, to_json
from alexnet_pl.runs.fit_status import FitStatus
from alexnet_pl.runs.provenance import ProvenanceRecord

DATASET = {
    "name": "d", "fingerprint": "f", "split": "val", "images": 9, "train_images": 8, "classes": 3, "class_list": "c",
    "missing": ["a.tar"], "size": 256, "encoding": "raw",
}  # fmt: skip
NETWORK = {
    "checkpoint": {"sha256": "s", "weights": "w", "file": "last.ckpt", "step": 7},
    "seed": 4,
    "training": {"a": 1},
    "trained": {"steps": 7, "epochs": 1, "images": 63, "seconds": 1.5, "ended_by": "schedule", "store": DATASET,
                "joules": {"cpu": 3.5}},
    "lineage": [
        {"schema": 2, "store": DATASET, "step": 3, "training": {}, "finished": True, "ended_by": "schedule",
         "changed": False, "weights": "w"},
    ],
    "imported": {"file": "a.caffemodel", "sha256": "s", "format": "caffe", "classes": "c"},
    "claim": "table2.cnn",
}  # fmt: skip
GOOD: dict[type, dict[str, Any]] = {
    TestResult: NETWORK | {
        "schema": 2,
        "dataset": DATASET,
        "views": "ten",
        "finished": True,
        "members": [NETWORK | {"run": "r", "weight": 0.5}],
        "weights_tuned_on": "half",
        "images": 9,
        "top1_error": 33.3,
        "top5_error": 0,
        "top1_error_interval": [1.0, 60.5],
        "top5_error_interval": [0.0, 9.5],
        "nll": 1.5,
        "nonfinite": 0,
        "commit": "c",
    },
    FitStatus: {
        "schema": 2, "finished": True, "training": {"a": 1}, "store": DATASET, "changed": False, "seconds": 1.5,
        "changed_settings": ["optim.lr"], "ended_by": "schedule",
        "steps": 7, "epochs": 1, "images": 63, "joules": {"cpu": 3.5},
    },
    StoreManifest: {
        "format": 2, "name": "d", "size": 8, "classes": [["n1", "one"]], "fingerprint": "f", "encoding": {},
        "splits": {"train": {"images": 1, "records": 2, "bytes": 3, "blake3": ["b", "c"], "boxes": 4}},
        "shard": 4, "settings": {}, "ilsvrc_ids": [2], "unreadable": 0, "odd": 1, "files": {"mean.npy": "b"},
    },
    ProvenanceRecord: {
        "schema": 1,
        "sessions": [{"time": "t", "command": "fit", "argv": ["a"], "commit": "c", "changed_files": ["M a.py"],
                      "store": {"name": "d", "fingerprint": "f"}, "packages": {"torch": "2", "wandb": None},
                      "python": "3", "platform": "p", "host": "h", "cpu": "c", "cpus": 2, "gpus": ["H100"],
                      "precision": "32-true", "processes": {}}],
    },
}  # fmt: skip
GOOD = {record: json.loads(json.dumps(good)) for record, good in GOOD.items()}  # no shared objects


def leaves(record: type, content: dict[str, Any], path: tuple = ()) -> Iterator[tuple[tuple, Any, bool]]:
    """(keys, declared type, whether the field is required) of every field, including nested records."""
    hints = get_type_hints(record, include_extras=True)
    for field in fields(record):
        keys = (*path, field.name)
        yield keys, hints[field.name], field.default is MISSING and field.default_factory is MISSING
        value = content[field.name]
        for kind in (hints[field.name], *get_args(hints[field.name])):
            if is_dataclass(kind):
                nested = value if isinstance(value, dict) else value[0]
                inner = (next(iter(value)),) if get_origin(hints[field.name]) is dict else ()
                nested = nested[inner[0]] if inner else nested
                yield from leaves(kind, nested, (*keys, *((0,) if isinstance(value, list) else inner)))


KINDS: dict[type, tuple[type, ...]] = {float: (int, float), bool: (bool,), int: (int,)}  # JSON types of numbers


def fits(value: Any, hint: Any, must: bool) -> bool:
    """Whether JSON may contain this value for a field of this type; `must`: whether the field has no default."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if value is REMOVED or value is None:
        return not must or (value is None and type(None) in inner)
    if type(None) in inner:
        return fits(value, inner[0], must)
    if kind is Annotated:
        low, high = inner[1]
        return fits(value, inner[0], must) and low <= value <= high and value != math.inf
    if kind is Any:
        return True
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if value != value:
        return False
    return isinstance(value, dict if is_dataclass(kind) else KINDS.get(kind, kind))


FIELDS = [(record, keys, hint, must) for record, good in GOOD.items() for keys, hint, must in leaves(record, good)]
IDS = [f"{record.__name__}.{'.'.join(map(str, keys))}" for record, keys, *_ in FIELDS]


@pytest.mark.parametrize("record", GOOD, ids=lambda record: record.__name__)
def test_valid_record_is_read(record: type, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(GOOD[record] | {"of a later version": 1}))
    assert to_json(read_record(path, record, "")) == GOOD[record]


def test_null_means_the_default() -> None:
    record = parse_record({"finished": True, "training": {}, "store": {}, "seconds": None, "steps": None}, FitStatus)
    assert (record.seconds, record.steps) == (0.0, None)


@pytest.mark.parametrize(("record", "keys", "hint", "must"), FIELDS, ids=IDS)
def test_invalid_field_is_named(record: type, keys: tuple, hint: Any, must: bool, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    wrong = [value for value in VALUES if not fits(value, hint, must)]
    assert len(wrong) > 5
    for value in wrong:
        path.write_text(json.dumps(with_value(GOOD[record], keys, value)))
        with pytest.raises(UserError) as error:
            read_record(path, record, "do something")
        assert str(error.value).startswith(f"{path}: corrupt or not written by this package (")
        assert f"{'.'.join(map(str, keys))}" in str(error.value)
        assert str(error.value).endswith("; do something")


def test_impossible_values_are_refused() -> None:
    for keys, value in ((("top1_error",), 100.5), (("nll",), math.inf), (("schema",), 3), (("images",), True)):
        with pytest.raises(ValueError, match=f"^{keys[0]}: "):
            parse_record(with_value(GOOD[TestResult], keys, value), TestResult)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff"])
def test_file_that_is_not_a_json_object_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"record.json: "):
        read_record(path, FitStatus, "")
