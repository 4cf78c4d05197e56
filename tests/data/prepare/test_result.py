"""`prepare`: records, statistics, and identical bytes for any number of workers and parts."""

import json
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photographs import BAD, HOW, PLAIN, READ, SIZE, draw, fail, make

from alexnet_pl.data.prepare.plan import Part
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.sources.image_folder import read_folders
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError


def squares(source: DatasetListing, split: str) -> list[tuple[str, int, np.ndarray]]:
    """(name, label, image) of the readable images, read directly from the files."""
    return [(item.name, item.label, READ(item)[0]) for item in source.splits[split] if item.name not in BAD]


def test_records_are_the_squares_of_their_files_with_label_and_name(source: DatasetListing, tmp_path: Path) -> None:
    about = make(source, tmp_path / "store")
    store = Store(tmp_path / "store")
    assert store.description == about
    assert store.classes == [["a", "ant"], ["b", "bee"], ["c", "c"]]
    for name, count in (("train", 12), ("val", 3)):
        split, wanted = store.split(name), squares(source, name)
        assert len(split) == len(wanted) == about["splits"][name]["images"] == count
        assert split.names == [each[0] for each in wanted]
        assert split.labels.tolist() == [each[1] for each in wanted]
        out = np.empty((count, 3, SIZE, SIZE), np.uint8)
        split.read(np.arange(count), out)
        assert np.array_equal(out, np.stack([each[2] for each in wanted]))


def test_unreadable_images_are_listed_with_a_reason_and_shift_nothing(source: DatasetListing, tmp_path: Path) -> None:
    about = make(source, tmp_path / "store")
    odd = json.loads((tmp_path / "store/odd.json").read_text())
    left_out = [entry for entry in odd if entry["done"] == "left out"]
    assert [entry["name"] for entry in left_out] == BAD
    assert all(entry["what"].strip() for entry in left_out)
    converted = [entry for entry in odd if entry not in left_out]
    assert [(entry["name"], "L" in entry["what"]) for entry in converted] == [("train/b/1.jpg", True)]
    assert (about["unreadable"], about["odd"]) == (3, 1)
    assert about["splits"]["train"]["records"] == 15


def test_mean_and_covariance_match_numpy_over_readable_images(source: DatasetListing, tmp_path: Path) -> None:
    """In float64, over the training split only; broken images do not count as black."""
    make(source, tmp_path / "store")
    images = np.stack([image for *_, image in squares(source, "train")]).astype(np.float64)
    store = Store(tmp_path / "store")
    np.testing.assert_allclose(store.mean, images.mean(0), rtol=1e-13)
    wanted = np.cov(images.transpose(1, 0, 2, 3).reshape(3, -1), bias=True)
    np.testing.assert_allclose(store.covariance, wanted, rtol=1e-10)
    assert np.array_equal(store.covariance, store.covariance.T)


def test_low_contrast_images_keep_their_covariance(tmp_path: Path) -> None:
    """For which a sum of squares minus the square of a sum has no correct digit in float32."""
    images = np.full((30, 3, SIZE, SIZE), 254, np.uint8)
    images[::2, 0, ::2] = 255
    items = [ImageRecord(f"{i}", 0, i) for i in range(30)]
    make(
        DatasetListing([("a", "a")], {"train": items}),
        tmp_path / "store",
        lambda item: (images[int(item.location)], ""),
    )
    wanted = np.cov(images.transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64), bias=True)
    np.testing.assert_allclose(Store(tmp_path / "store").covariance, wanted, atol=1e-9)


def unsteady(item: ImageRecord) -> tuple[np.ndarray, str]:
    """Reader with varying delays."""
    time.sleep(zlib.crc32(item.name.encode()) % 7 / 1000)
    return READ(item)


@pytest.mark.parametrize("encoding", [StoreEncoding(), StoreEncoding("jpeg")], ids=["raw", "jpeg"])
def test_workers_order_and_parts_change_no_byte(
    source: DatasetListing, tmp_path: Path, encoding: StoreEncoding
) -> None:
    wanted = make(source, tmp_path / "plain", encoding=encoding, workers=1)
    for workers in (2, 5, None):
        assert make(source, tmp_path / f"{workers}", unsteady, encoding=encoding, workers=workers) == wanted
    for number in (2, 3, 1):
        assert prepare(source, tmp_path / "parts", PLAIN._replace(encoding=encoding), unsteady, Part(number, 3)) is None
        assert not (tmp_path / "parts").exists()
    assert make(source, tmp_path / "parts", fail(RuntimeError("all is done")), encoding=encoding) == wanted
    for path in sorted((tmp_path / "plain").iterdir()):
        for other in ("2", "5", "None", "parts"):
            assert path.read_bytes() == (tmp_path / other / path.name).read_bytes(), path.name


def brighter(item: ImageRecord) -> tuple[np.ndarray, str]:
    """Changes one channel of one pixel of one validation image."""
    image, odd = READ(item)
    image = image.copy()
    if item.name == "val/c/0.jpg":
        image[2, -1, -1] ^= 1
    return image, odd


def test_fingerprint_covers_everything_that_training_reads(source: DatasetListing, tmp_path: Path) -> None:
    """The same input gives the same fingerprint; changing one bit of a pixel, a label, name, class, setting or the
    order gives another."""
    train, val = list(source.splits["train"]), list(source.splits["val"])
    variants: dict[str, Callable[[Path], dict[str, Any]]] = {
        "plain": partial(make, source),
        "pixel": partial(make, source, read=brighter),
        "label": partial(
            make, DatasetListing(source.classes, {"train": train, "val": [*val[:-1], val[-1]._replace(label=0)]})
        ),
        "name": partial(
            make, DatasetListing(source.classes, {"train": [*train[:1], train[1]._replace(name="x"), *train[2:]]})
        ),
        "class": partial(make, DatasetListing([*source.classes[:2], ("c", "cat")], source.splits)),
        "order": partial(make, DatasetListing(source.classes, {"train": train[::-1], "val": val})),
        "split": partial(make, DatasetListing(source.classes, {"train": train})),
        "setting": partial(make, source, how=HOW | {"filter": "bicubic"}),
        "data set": partial(make, source, name="four"),
        "encoding": partial(make, source, encoding=StoreEncoding("jpeg")),
        "one image less": partial(make, DatasetListing(source.classes, {"train": train, "val": val[1:]})),
    }
    found = {what: variant(tmp_path / what)["fingerprint"] for what, variant in variants.items()}
    assert len(set(found.values())) == len(variants), found
    assert make(source, tmp_path / "again")["fingerprint"] == found["plain"]


def test_unrelated_existing_files_are_not_mixed_in(source: DatasetListing, tmp_path: Path) -> None:
    make(source, tmp_path / "undisturbed")
    (tmp_path / "store.partial").mkdir()
    (tmp_path / "store.partial/test.u8").write_bytes(b"of who knows what")
    assert make(source, tmp_path / "store") == make(source, tmp_path / "again")
    files = [{path.name for path in (tmp_path / name).iterdir()} for name in ("store", "again")]
    assert files[0] == files[1] | {"test.u8"}  # user files must not be deleted
    assert not (tmp_path / "store.partial").exists()
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial/train-000000.u8.npz").write_bytes(b"of who knows what")
    with pytest.raises(UserError, match=r"new.partial holds unrelated files"):
        make(source, tmp_path / "new")


@pytest.mark.parametrize("strange", ["a\nb", "a\rb", "a\x0bb", "a\x85b", "a\u2028b", "ä, \U0001f41d", "a\udce9b"])
def test_unusual_file_names_shift_no_other(copy: Path, tmp_path: Path, strange: str) -> None:
    """All kinds of line breaks, and bytes that are not UTF-8, as in archives from Windows."""
    root = tmp_path / "copy"
    for number, name in enumerate(["0", strange, "z"]):
        draw(root / "train/a/x.png", number)
        (root / "train/a/x.png").rename(root / f"train/a/{name}.png")
    draw(root / "val/a/1.png", 5)
    source = read_folders(root, {})
    position = [item.name for item in source.splits["train"]].index(f"train/a/{strange}.png")
    make(source, tmp_path / "store")
    names = Store(tmp_path / "store").split("train").names
    assert len(names) == 3
    assert [name for i, name in enumerate(names) if i != position] == ["train/a/0.png", "train/a/z.png"]
