"""The copy of copies.py in the forms of Hugging Face, timm and TensorFlow: tables, records and archives of samples."""

import gzip
import json
import re
from pathlib import Path

import pytest
from copies import SYNSETS, TRUTH, WNIDS, Files, numbered, tar, train_images
from tf_examples import write_records


def rows(split: str) -> list[tuple[bytes, str, int]]:
    """(JPEG, path, label) as in Hugging Face's tables: position among the sorted wnids, −1 for test images."""
    if split == "train":
        images = [(name, data) for files in train_images().values() for name, data in files.items()]
        return [(d, f"{n[:-5]}_{n[:9]}.JPEG", WNIDS.index(n[:9])) for n, d in reversed(images)]
    images = list(numbered(2012, split, {"val": 5, "test": 3}[split]).items())
    if split == "test":
        return [(data, name, -1) for name, data in images]
    wnids = [SYNSETS[number][0] for number in TRUTH]
    return [(d, f"{n[:-5]}_{w}.JPEG", WNIDS.index(w)) for (n, d), w in zip(images, wnids, strict=True)]


def parquet(root: Path) -> Path:
    """data/train-00000-of-00002.parquet …: row groups of two images, class names in the metadata."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not here: pip install 'alexnet_pl[parquet]'")
    from pyarrow.parquet import ParquetWriter

    names = [dict(SYNSETS.values())[wnid] for wnid in WNIDS]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", kind), ("label", pa.int64())], {"huggingface": json.dumps({"info": {"features": features}})}
    )
    (root / "data").mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        for number in range(2):
            part = rows(split)[number::2]
            table = pa.table(
                {"image": [{"bytes": d, "path": p} for d, p, _ in part], "label": [r[2] for r in part]}, schema
            )
            with ParquetWriter(root / f"data/{name}-{number:05d}-of-00002.parquet", schema) as writer:
                writer.write_table(table, row_group_size=2)
    return root


def arrow(root: Path) -> Path:
    """imagenet-1k-train-00000-of-00002.arrow …: the stream that `datasets` keeps in its cache."""
    pa = pytest.importorskip("pyarrow")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"label": {"names": [dict(SYNSETS.values())[wnid] for wnid in WNIDS], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = pa.schema([("image", kind), ("label", pa.int64())], metadata)
    root.mkdir()
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        for number in range(2):
            part = [{"image": {"bytes": d, "path": p}, "label": label} for d, p, label in rows(split)[number::2]]
            with pa.ipc.new_stream(root / f"imagenet-1k-{name}-{number:05d}-of-00002.arrow", schema) as writer:
                for first in range(0, len(part), 2):
                    writer.write_batch(pa.RecordBatch.from_pylist(part[first : first + 2], schema))
    return root


def tfrecords(root: Path) -> Path:
    """train/train-00000-of-00002 …: the form of TensorFlow's and NVIDIA's scripts, numbered from 1."""
    for split, name in (("train", "train"), ("val", "validation")):
        for number in range(2):
            part = rows(split)[number::2]
            examples = [
                {
                    "image/height": 20,
                    "image/object/bbox/xmin": 0.5,
                    "image/class/label": label + 1,
                    "image/class/synset": WNIDS[label].encode(),
                    "image/encoded": data,
                    "image/filename": re.sub("_n[0-9]{8}.JPEG", ".JPEG", path).encode(),
                }
                for data, path, label in part
            ]
            write_records(root / name / f"{name}-{number:05d}-of-00002", examples)
    return root


def tensorflow_datasets(root: Path) -> Path:
    """5.1.0/imagenet2012-train.tfrecord-00000-of-00002 …, labels from 0, −1 in test."""
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        for number in range(2):
            examples = [
                {"file_name": re.sub("_n[0-9]{8}.JPEG", ".JPEG", path).encode(), "image": data, "label": label}
                for data, path, label in rows(split)[number::2]
            ]
            write_records(root / "5.1.0" / f"imagenet2012-{name}.tfrecord-{number:05d}-of-00002", examples)
    return root


def packed(root: Path) -> Path:
    """Hugging Face's older form: train_images_0.tar.gz … 4, val_images.tar.gz, test_images.tar.gz."""
    root.mkdir()
    for split in ("train", "val", "test"):
        for number in range(2 if split == "train" else 1):
            part = rows(split)[number::2] if split == "train" else rows(split)
            name = f"train_images_{number}" if split == "train" else f"{split}_images"
            (root / f"{name}.tar.gz").write_bytes(gzip.compress(tar({path: data for data, path, _ in part})))
    return root


def shards(root: Path) -> Path:
    """timm's form: imagenet22k-train-0000.tar …, in which a sample has .jpg, .cls and .json with one key."""
    root.mkdir()
    for split, name in (("train", "train"), ("val", "validation")):
        for number in range(2):
            files: Files = {}
            for i, (data, path, label) in enumerate(rows(split)[number::2]):
                about = json.dumps({"filename": path, "label": label, "height": 20, "width": 24}).encode()
                files |= {f"{i:05d}.jpg": data, f"{i:05d}.cls": str(label).encode(), f"{i:05d}.json": about}
            (root / f"imagenet22k-{name}-{number:04d}.tar").write_bytes(tar(files))
    counts = {name: {"num_samples": len(rows(split))} for split, name in (("train", "train"), ("val", "validation"))}
    (root / "_info.json").write_text(json.dumps({"splits": counts}))
    return root
