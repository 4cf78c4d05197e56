"""TFRecord files: checksums by RFC 3720, features of every kind, corrupt files."""

from pathlib import Path

import pytest
from copies import photo
from hosted_copies import tfrecords
from tf_examples import write_records

from alexnet_pl.data.archives.protobuf import Span
from alexnet_pl.data.archives.tfrecord import masked_checksum, read_examples
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import make_store
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError


@pytest.mark.parametrize(
    ("data", "crc"),
    [(bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E), (b"123456789", 0xE3069283)],
)
def test_checksum_is_crc_32c(data: bytes, crc: int) -> None:
    """Values of RFC 3720, appendix B.4; the mask is that of tensorflow/core/lib/hash/crc32c.h."""
    assert masked_checksum(memoryview(data)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def test_first_value_of_each_feature(tmp_path: Path) -> None:
    features = {"a": b"text", "b": -3, "c": 2**40, "d": 0.5, "empty": b"", "e" * 200: 0}
    write_records(tmp_path / "x", [features, {}])
    (file, first), (_, second) = read_examples(tmp_path / "x")
    texts = {key: file.text(value) if isinstance(value, Span) else value for key, value in first.items()}
    assert texts == {"a": "text", "b": -3, "c": 2**40, "empty": "", "e" * 200: 0}
    assert second == {}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda data: data[:-5], "its last record ends early"),
        (lambda data: data + b"\0" * 3, "its last record ends early"),
        (lambda data: b"\1" + data[1:], "no record at byte 0"),
        (lambda data: data[:12] + b"\xff" * 20 + data[32:], "no "),
    ],
)
def test_corrupt_file_is_one_line(damage: object, says: str, tmp_path: Path) -> None:
    copy = tfrecords(tmp_path / "copy")
    path = copy / "validation/validation-00001-of-00002"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(UserError, match=rf"^prepare.source: {path}: corrupt or incomplete \({says}.*\); download it"):
        read_source(copy)


def test_missing_file_and_record_without_an_image(tmp_path: Path) -> None:
    copy = tfrecords(tmp_path / "copy")
    write_records(copy / "train/train-00001-of-00002", [{"image/width": 3}])
    with pytest.raises(UserError, match=r"train-00001-of-00002: record 0 has no image: image/encoded or image \(its"):
        read_source(copy)
    (copy / "train/train-00001-of-00002").unlink()
    with pytest.raises(UserError, match=r"train-00001-of-00002 missing; download it again"):
        read_source(copy)


def test_class_without_training_images_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels that count from 1, as those of TensorFlow's scripts, and no synset to show it."""
    for split in ("train", "validation"):
        examples = [{"image/encoded": photo(40 * label), "image/class/label": label} for label in (1, 2)]
        write_records(tmp_path / f"copy/x-{split}.tfrecord", examples)
    make_store(PrepareOptions(str(tmp_path / "store"), "x", 16, source=str(tmp_path / "copy"), workers=1))
    assert "  no training images of 1 of 3 classes: 00000\n" in capsys.readouterr().out


def test_labels_of_images_without_wnids(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        examples = [{"image": photo(40 * label), "label": label} for label in range(2)]
        write_records(tmp_path / f"x-{split}.tfrecord", examples)
    form, source = read_source(tmp_path)
    assert (form, source.classes) == ("TFRecord files", [("00000", "00000"), ("00001", "00001")])
    assert [(r.label, r.location.read()) for r in source.splits["train"]] == [(0, photo(0)), (1, photo(40))]


def test_names_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        examples = [{"image": photo(40 * label), "label": label, "file_name": b"caf\xe9.jpg"} for label in range(2)]
        write_records(tmp_path / f"copy/x-{split}.tfrecord", examples)
    make_store(PrepareOptions(str(tmp_path / "store"), "x", 16, source=str(tmp_path / "copy"), workers=1))
    names = Store(tmp_path / "store").split("train").names
    assert [name.encode("utf8", "surrogateescape").rpartition(b"/")[2] for name in names] == [b"caf\xe9.jpg"] * 2
