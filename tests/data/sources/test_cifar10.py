"""CIFAR-10 source: official batches against pickle, small synthetic batches, and malicious pickles."""

import hashlib
import json
import os
import pickle
import shutil
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from running import Compose

from alexnet_pl.commands import prepare
from alexnet_pl.data.prepare.shard import read_square
from alexnet_pl.data.sources import cifar10
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

NAMES = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse", b"ship", b"truck"]


def everything(split: Split) -> np.ndarray:
    """(N, 3, 32, 32) all images of a split."""
    return split.to_device(torch.device("cpu"))[0].numpy()


def batch(name: str, count: int = 20) -> dict[bytes, Any]:
    chance = np.random.default_rng(sum(name.encode()))
    return {
        b"batch_label": b"testing",
        b"labels": [int(label) for label in chance.integers(10, size=count)],
        b"data": chance.integers(0, 256, (count, 3072), dtype=np.uint8),
        b"filenames": [b"%s_s_%06d.png" % (name.encode(), i) for i in range(count)],
    }


@pytest.fixture
def fake_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in torchvision's format, with six batches of 20 images that are accepted as the official ones."""
    folder = tmp_path / "downloads" / cifar10.FOLDER
    folder.mkdir(parents=True)
    sums = {}
    for name in cifar10.MD5:
        content = {b"label_names": NAMES} if name == cifar10.META else batch(name)
        (folder / name).write_bytes(pickle.dumps(content, protocol=3))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, "MD5", sums)
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """Write the folder into a tar archive, gzipped by its suffix, as the official one."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as file:
        file.add(folder, folder.name)
    return archive


def test_batches_are_assigned_to_splits(fake_batches: Path) -> None:
    for source in (fake_batches, fake_batches.parent):
        what, found = read_source(source)
        assert what == "CIFAR-10"
        assert {split: len([*items]) for split, items in found.splits.items()} == {"train": 80, "val": 20, "test": 20}
    assert [name for _, name in found.classes] == [name.decode() for name in NAMES]
    names = ["data_batch_1"] * 20 + ["data_batch_2"] * 20 + ["data_batch_3"] * 20 + ["data_batch_4"] * 20
    assert [item.name.split("/")[0] for item in found.splits["train"]] == names


def test_store_of_batches_has_their_pixels_labels_and_mean(fake_batches: Path, config: Compose, tmp_path: Path) -> None:
    root = tmp_path / "store"
    prepare.prepare(config("cifar10", f"prepare.source={fake_batches}", f"data.root={root}"), tmp_path)
    store, train = Store(root), [batch(f"data_batch_{i}") for i in range(1, 5)]
    pixels = np.concatenate([one[b"data"] for one in train]).reshape(-1, 3, 32, 32)
    split = store.split("train")
    assert np.array_equal(everything(split), pixels)
    assert split.labels.tolist() == [label for one in train for label in one[b"labels"]]
    assert np.array_equal(everything(store.split("test")).reshape(-1, 3072), batch("test_batch")[b"data"])
    np.testing.assert_allclose(store.mean, pixels.mean(0))
    assert not store.manifest.odd


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-python.tgz", "cifar-10-python (1).tar"])
def test_archive_is_read_in_place_and_makes_the_same_store(
    name: str, fake_batches: Path, config: Compose, tmp_path: Path
) -> None:
    archive = pack(fake_batches, tmp_path / "archive" / name)
    stores = []
    for number, source in enumerate((fake_batches, archive, archive.parent)):
        root = tmp_path / f"store{number}"
        prepare.prepare(config("cifar10", f"prepare.source='{source}'", f"data.root={root}"), tmp_path)
        stores.append({path.name: path.read_bytes() for path in root.iterdir()})
    assert len({json.loads(store["store.json"])["fingerprint"] for store in stores}) == 1
    assert stores[0] == stores[1] == stores[2]
    assert os.listdir(archive.parent) == [name]


def test_archive_beside_class_folders_is_not_taken(fake_batches: Path, tmp_path: Path) -> None:
    pack(fake_batches, tmp_path / "photos/cifar-10-python.tar.gz")
    for split in ("train", "val"):
        (tmp_path / "photos" / split / "cats").mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "photos" / split / "cats/one.png")
    assert read_source(tmp_path / "photos")[0] == "class folders"


def test_damaged_archive_is_refused_in_one_line(fake_batches: Path, tmp_path: Path) -> None:
    archive = pack(fake_batches, tmp_path / "archive/cifar-10-python.tar.gz")
    whole = archive.read_bytes()
    checksum_flipped = bytearray(whole)
    checksum_flipped[-6] ^= 1
    for corrupt in (whole[: len(whole) // 2], whole[:-20], checksum_flipped, b"", b"<html>not found</html>"):
        archive.write_bytes(corrupt)
        with pytest.raises(UserError, match=r"^[^\n]*cifar-10-python.tar.gz: corrupt or incomplete archive \([^\n]+$"):
            read_source(archive)


def test_archive_of_other_files_is_refused_in_one_line(fake_batches: Path, tmp_path: Path) -> None:
    """Each file has to be the official one, as in the folder."""
    (fake_batches / "data_batch_4").write_bytes(pickle.dumps(batch("data_batch_7"), protocol=3))
    changed = pack(fake_batches, tmp_path / "archive/cifar-10-python.tar.gz")
    with pytest.raises(UserError, match=r"cifar-10-python.tar.gz: data_batch_4 is not the official file \(md5 "):
        read_source(changed)
    (fake_batches / "data_batch_4").unlink()
    short = pack(fake_batches, tmp_path / "short/cifar-10-python.tar")
    with pytest.raises(UserError, match=r"cifar-10-python.tar has no data_batch_4; get cifar-10-python.tar.gz again"):
        read_source(short)


def test_cifar10_does_not_become_a_store_named_as_another_data_set(
    config: Compose, fake_batches: Path, tmp_path: Path
) -> None:
    words = [f"prepare.source={fake_batches}", f"data.root={tmp_path / 'store'}"]
    says = (
        r"^prepare.source: \S+ holds CIFAR-10, not imagenette; prepare it with -c cifar10, or choose another data.name"
    )
    with pytest.raises(UserError, match=says):
        prepare.prepare(config("imagenette", *words), tmp_path)
    prepare.prepare(config("imagenette", *words, "data.name=small", "data.size=32"), tmp_path)
    assert Store(tmp_path / "store").name == "small"


def test_other_images_do_not_become_a_store_named_cifar10(config: Compose, tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split / "cats").mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / split / "cats/one.png")
    words = [f"prepare.source={tmp_path}", f"data.root={tmp_path / 'store'}"]
    with pytest.raises(UserError, match=r"holds class folders, not CIFAR-10; give cifar-10-python.tar.gz"):
        prepare.prepare(config("cifar10", *words), tmp_path)
    prepare.prepare(config("cifar10", *words, "data.name=cats"), tmp_path)
    assert Store(tmp_path / "store").name == "cats"


@pytest.mark.parametrize("bomb", [os.system, exec, pickle.loads, np.load, Path])
def test_malicious_pickle_is_refused_before_it_runs(fake_batches: Path, bomb: Any, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return bomb, (f"touch {tmp_path / 'boom'}",)

    content = {**batch("data_batch_2"), b"labels": Bomb()}
    (fake_batches / "data_batch_2").write_bytes(pickle.dumps(content, protocol=3))
    with pytest.raises(UserError, match=r"data_batch_2 is not a CIFAR-10 batch \(refusing to unpickle "):
        read_source(fake_batches)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("damage", [b"", b"not a pickle", None])
def test_corrupt_or_wrong_file_is_named(fake_batches: Path, damage: bytes | None) -> None:
    path = fake_batches / "data_batch_4"
    path.write_bytes(pickle.dumps(batch("data_batch_7"), protocol=3) if damage is None else damage)
    with pytest.raises(UserError, match=r"data_batch_4 is (not a CIFAR-10 batch|not the official file \(md5 )"):
        read_source(fake_batches)


def test_missing_batch_is_named(fake_batches: Path) -> None:
    (fake_batches / "test_batch").unlink()
    with pytest.raises(UserError, match=r"cifar-10-batches-py has no test_batch; get cifar-10-python.tar.gz again"):
        read_source(fake_batches)


def test_official_batches_match_pickle(official_cifar: Path, tmp_path: Path) -> None:
    """The files contain 60,000 images, of which some are compared."""
    _, source = read_source(official_cifar)
    items = {split: [*listed] for split, listed in source.splits.items()}
    assert {split: len(listed) for split, listed in items.items()} == {
        "train": 40_000,
        "val": 10_000,
        "test": 10_000,
    }
    pixels = partial(read_square, size=32, filter_name="bilinear")
    for split, name in (("val", "data_batch_5"), ("test", "test_batch")):
        content = pickle.loads((official_cifar / name).read_bytes(), encoding="bytes")
        for i in (0, 1, 4_321, 9_999):
            item = items[split][i]
            assert np.array_equal(pixels(item)[0].reshape(-1), content[b"data"][i])
            assert item.label == content[b"labels"][i]
            assert item.name == f"{name}/{content[b'filenames'][i].decode()}"
    shutil.copytree(official_cifar, tmp_path / "copy")
    with (tmp_path / "copy/data_batch_3").open("r+b") as file:
        file.seek(15_000_000)
        file.write(b"\x00\x01\x02")
    with pytest.raises(UserError, match="data_batch_3 is not the official file"):
        read_source(tmp_path / "copy")
