"""ILSVRC-2010 and ILSVRC-2012 development kits, against the real kits and torchvision."""

import gzip
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from copies import WNIDS, archives, photo, tar, tree, write
from scipy.io import loadmat

from alexnet_pl.data.sources.devkit import read_devkit, read_synsets
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.sources.ilsvrc import find_devkit
from alexnet_pl.errors import UserError

SHARED = Path(__file__).parents[4] / "shared/data/devkit"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real development kits lie in ../shared, which is not here")
@pytest.mark.parametrize(
    ("folder", "year", "images"),
    [("ILSVRC2010_devkit-1.0", 2010, 1_261_406), ("ILSVRC2012_devkit_t12", 2012, 1_281_167)],
)
def test_official_development_kits_match_scipy(folder: str, year: int, images: int) -> None:
    """Compared with scipy's reader; 1,000 leaves, 50 validation images each."""
    kit = read_devkit(SHARED / folder)
    raw = loadmat(SHARED / folder / "data/meta.mat", squeeze_me=True)["synsets"]
    assert sum(int(row["num_train_images"]) for row in raw[:1000]) == images
    assert (kit.year, len(kit.classes), len(kit.truth)) == (year, 1000, 50_000)
    assert kit.classes == sorted((str(row["WNID"]), str(row["words"])) for row in raw[:1000])
    assert np.bincount(kit.labels(kit.truth)).tolist() == [50] * 1000
    for label, number in zip(kit.labels(kit.truth[:100]), kit.truth[:100], strict=True):
        assert kit.classes[label][0] == str(raw[number - 1]["WNID"])
        assert kit.numbers[label] == number


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real development kits lie in ../shared, which is not here")
def test_labels_of_2012_match_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's `ImageNet` has its own code to derive wnids from the ground truth."""
    from torchvision.datasets import imagenet

    monkeypatch.setattr(imagenet, "_verify_archive", lambda *_: None)  # repacked, so its MD5 differs
    with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(SHARED / "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12")
    imagenet.parse_devkit_archive(tmp_path)
    words, wnids = imagenet.load_meta_file(tmp_path)
    kit = read_devkit(tmp_path / "ILSVRC2012_devkit_t12.tar.gz")
    assert [kit.classes[label][0] for label in kit.labels(kit.truth)] == wnids
    assert {wnid: tuple(name.split(", ")) for wnid, name in kit.classes} == words


def test_corrupt_archive_of_a_kit_is_refused(tmp_path: Path) -> None:
    """gzip's CRC-32 finds a flipped bit anywhere in the compressed data; tarfile alone reads over most of them."""
    (kit,) = archives(tmp_path / "copy").glob("*devkit*.tar.gz")
    original, intact = kit.read_bytes(), read_devkit(kit)
    for position in range(20, len(original) - 8, len(original) // 12):
        kit.write_bytes(original[:position] + bytes([original[position] ^ 16]) + original[position + 1 :])
        with pytest.raises(UserError, match=r"^prepare.source: .*corrupt or incomplete archive"):
            read_devkit(kit)
    kit.write_bytes(original)
    assert read_devkit(kit) == intact


MAT = b"MATLAB 5.0 MAT-file".ljust(124)


@pytest.mark.parametrize(
    "meta",
    [
        MAT + struct.pack("<H2sII", 0x0100, b"IM", 15, 50) + b"x" * 50,  # compressed
        MAT + struct.pack("<H2sII", 0x0100, b"IM", 14, 2**31) + b"\6\0\0\0",  # truncated
        MAT + struct.pack("<H2s", 0x0200, b"IM") + bytes(64),  # version 7.3, which is HDF5
    ],
)
def test_corrupt_meta_mat_is_named(meta: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^prepare\.source: {tmp_path}: meta\.mat is not that of ILSVRC-2012 \("):
        read_synsets(tmp_path, meta, 2012)


@pytest.mark.parametrize(
    ("name", "table"), [("car_devkit.tgz", "cars_meta.mat"), ("ILSVRC2014_devkit.tgz", "meta_clsloc.mat")]
)
def test_kit_of_another_data_set_is_no_kit(name: str, table: str, tmp_path: Path) -> None:
    """Stanford's cars, and ILSVRC's detection task, beside class folders and beside the right kit."""
    files = {f"{split}/{wnid}/{split}.JPEG": photo(1) for split in ("train", "val") for wnid in WNIDS}
    other = {name: gzip.compress(tar({f"devkit/data/{table}": b""}))}
    assert read_source(write(tmp_path / "folders", files | other))[0] == "class folders"
    copy = write(archives(tmp_path / "copy"), other)
    assert find_devkit(copy) == copy / "ILSVRC2012_devkit_t12.tar.gz"
    assert read_source(copy)[0] == "ILSVRC with its development kit"


def test_folder_without_meta_mat_is_no_kit(tmp_path: Path) -> None:
    copy = tree(tmp_path / "copy")
    write(copy / "A_devkit/data", {"meta_det.mat": b""})  # of another task, and the first by name
    assert find_devkit(copy) == copy / "ILSVRC2012_devkit_t12"
