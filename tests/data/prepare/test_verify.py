"""`verify` and repair: changes to a store are located down to the shard."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from running import Compose

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.prepare import shard
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.plan import Part
from alexnet_pl.data.prepare.repair import repair
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.verify import find_corrupt
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.sources.image_folder import read_folders
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from tests.conftest import call

SETTINGS = StoreSettings("x", 8, {}, shard=6)
ITEMS = [ImageRecord(f"{i}.png", i % 2, ByteLocation(Path("made"), i)) for i in range(20)]


def flat(item: ImageRecord) -> tuple[np.ndarray, str]:
    return np.full((3, 8, 8), item.location.start, np.uint8), ""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty images of 8 × 8 pixels in shards of six."""
    source = DatasetListing([("a", "one"), ("b", "two")], {"train": ITEMS, "val": ITEMS[:5]})
    prepare(source, tmp_path / "store", SETTINGS, flat)
    return tmp_path / "store"


def flip(path: Path, byte: int) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


def test_unchanged_store_has_no_damage(root: Path) -> None:
    assert list(find_corrupt(Store(root))) == []


@pytest.mark.parametrize(("image", "says"), [(0, "images 0 to 5"), (13, "images 12 to 17"), (19, "images 18 to 19")])
def test_flipped_bit_is_located_by_shard(root: Path, image: int, says: str) -> None:
    path = root / f"train-{image // 6:06d}.u8"
    flip(path, image % 6 * 192 + 77)
    assert list(find_corrupt(Store(root))) == [f"{path}: corrupt ({says})"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda root: flip(root / "val.labels.npy", -1), "val.labels.npy: corrupt"),
        (lambda root: flip(root / "train.names.jsonl", 3), "train.names.jsonl: corrupt"),
        (lambda root: flip(root / "mean.npy", -9), "mean.npy: corrupt"),
        (lambda root: (root / "covariance.npy").unlink(), "covariance.npy: missing"),
        (lambda root: (root / "val-000000.u8").write_bytes(b""), "val-000000.u8: corrupt (images 0 to 4)"),
        (lambda root: (root / "train-000002.u8").unlink(), "train-000002.u8: missing (images 12 to 17)"),
    ],
)
def test_other_changes_are_found(root: Path, spoil: Callable[[Path], None], says: str) -> None:
    store = Store(root)
    spoil(root)
    (found,) = find_corrupt(store)
    assert says in found


def test_renamed_class_is_found(root: Path) -> None:
    about = (root / "store.json").read_text()
    (root / "store.json").write_text(about.replace('"one"', '"ONE"'))
    (found,) = find_corrupt(Store(root, check=False))
    assert found == f"{root / 'store.json'}: corrupt"


def test_repair_restores_damaged_shards_and_touches_no_other(root: Path) -> None:
    store, source = Store(root), DatasetListing([("a", "one"), ("b", "two")], {"train": ITEMS, "val": ITEMS[:5]})
    flip(root / "train-000001.u8", 100)
    (root / "val-000000.u8").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in root.iterdir()}
    assert [path.name for path in repair(store, source, SETTINGS, flat)] == ["train-000001.u8", "val-000000.u8"]
    assert list(find_corrupt(Store(root))) == []
    after = {path.name: path.stat().st_mtime_ns for path in root.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {"train-000001.u8", "val-000000.u8"}
    assert repair(store, source, SETTINGS, flat) == []


@pytest.mark.parametrize("name", ["mean.npy", "covariance.npy"])
def test_statistics_of_a_store_without_training_images_are_repaired(tmp_path: Path, name: str) -> None:
    source = DatasetListing([("a", "one"), ("b", "two")], {"test": ITEMS[:5]})
    prepare(source, tmp_path / "store", SETTINGS, flat)
    store, before = Store(tmp_path / "store"), (tmp_path / "store" / name).read_bytes()
    flip(tmp_path / "store" / name, -1)
    assert repair(store, source, SETTINGS, flat) == [tmp_path / "store" / name]
    assert (tmp_path / "store" / name).read_bytes() == before


def test_repair_from_another_source_is_refused(root: Path) -> None:
    flip(root / "train-000001.u8", 100)
    corrupt = (root / "train-000001.u8").read_bytes()
    others = [item._replace(name=f"other{item.name}") for item in ITEMS]
    for source, read, says in (
        (
            DatasetListing([("a", "one"), ("b", "two")], {"train": others, "val": others[:5]}),
            flat,
            "not the images of train",
        ),
        (
            DatasetListing([("a", "one"), ("b", "two")], {"train": ITEMS, "val": ITEMS[:5]}),
            brighter,
            "gives other images than before",
        ),
    ):
        with pytest.raises(UserError, match=says):
            repair(Store(root), source, SETTINGS, read)
    assert (root / "train-000001.u8").read_bytes() == corrupt
    assert not list(root.glob("*.tmp"))
    assert not list(root.glob("listing-*"))


def brighter(item: ImageRecord) -> tuple[np.ndarray, str]:
    return flat(item)[0] + 1, ""


def test_user_files_in_a_store_are_left_alone(config: Compose, root: Path, tmp_path: Path) -> None:
    (root / "runs").mkdir()
    (root / "runs/last.ckpt").write_text("weeks of work")
    (root / "plan.json").write_text("of a run that was killed in its last moment")
    (root / "train-000000.u8.npz").write_text("likewise")
    cfg = config("imagenette", "data.name=x", f"data.root={root}", "data.size=8", "prepare.source=x")
    call("prepare", cfg, tmp_path)
    assert (root / "runs/last.ckpt").read_text() == "weeks of work"
    assert not list(root.glob("*.npz"))
    assert not (root / "plan.json").exists()
    for key, value in {"data.size": 16, "prepare.encoding": "jpeg", "data.name": "y"}.items():
        wanted = {"data.name": "x", "data.size": 8, key: value}
        words = [f"{name}={each}" for name, each in wanted.items()]
        with pytest.raises(UserError, match=rf"^{key}: the store at .* has .*, not .*; give another data.root"):
            call("prepare", config("imagenette", f"data.root={root}", *words), tmp_path)


def test_same_images_of_another_size_are_refused(tmp_path: Path) -> None:
    """Copies of a data set in two resolutions have the same names."""
    for name, size in (("low", 10), ("high", 40)):
        for number in range(8):
            path = tmp_path / name / ("val" if number > 5 else "train") / "a" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
    read = partial(shard.read_square, size=8, filter_name="bilinear")
    prepare(read_folders(tmp_path / "low", {}), tmp_path / "store", SETTINGS, read, Part(1, 2))
    with pytest.raises(UserError, match="was started with other images"):
        prepare(read_folders(tmp_path / "high", {}), tmp_path / "store", SETTINGS, read)


def test_part_without_work_leaves_other_parts_alone(tmp_path: Path) -> None:
    source = DatasetListing([("a", "one"), ("b", "two")], {"train": ITEMS, "val": ITEMS[:5]})
    (tmp_path / "parts.partial").mkdir()
    (tmp_path / "parts.partial/train-000000.u8.other-1.tmp").write_bytes(b"another machine is writing")
    (tmp_path / "parts.partial/plan.json").write_text(json.dumps(plan_of(source, tmp_path)))
    assert prepare(source, tmp_path / "parts", SETTINGS, flat, Part(8, 8)) is None
    assert (tmp_path / "parts.partial/train-000000.u8.other-1.tmp").exists()


def plan_of(source: DatasetListing, tmp_path: Path) -> dict[str, Any]:
    prepare(source, tmp_path / "first", SETTINGS, flat, Part(1, 8))
    return json.loads((tmp_path / "first.partial/plan.json").read_text())
