"""A store that was changed after it was made is told, down to the block."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alexnet_pl.data import prepare as preparing
from alexnet_pl.data.prepare import prepare
from alexnet_pl.data.source import Item, Place, Source
from alexnet_pl.data.store import Store
from alexnet_pl.data.verify import damages


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty images of 8 × 8 pixels in blocks of six."""
    monkeypatch.setattr(preparing, "BLOCK", 6)
    items = [Item(f"{i}.png", i % 2, Place(Path("made"), i)) for i in range(20)]
    source = Source([("a", "one"), ("b", "two")], {"train": items, "val": items[:5]})
    prepare(source, tmp_path / "store", "x", 8, {}, lambda item: (np.full((3, 8, 8), item.place.start, np.uint8), ""))
    return tmp_path / "store"


def flip(path: Path, byte: int) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)


def test_an_untouched_store_has_no_damage(root: Path) -> None:
    assert list(damages(Store(root))) == []


@pytest.mark.parametrize(("image", "says"), [(0, "images 0 to 5"), (13, "images 12 to 17"), (19, "images 18 to 19")])
def test_one_changed_bit_is_told_by_its_block(root: Path, image: int, says: str) -> None:
    flip(root / "train.u8", image * 192 + 77)
    assert list(damages(Store(root))) == [f"{root / 'train.u8'}: {says} are damaged"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda root: flip(root / "val.labels.npy", -1), "labels, names, statistics"),
        (lambda root: flip(root / "train.names.jsonl", 3), "labels, names, statistics"),
        (lambda root: flip(root / "mean.npy", -9), "labels, names, statistics"),
        (lambda root: (root / "covariance.npy").unlink(), "covariance.npy: missing"),
        (lambda root: (root / "val.u8").write_bytes(b""), r"val.u8: 0 bytes, not 960"),
    ],
)
def test_whatever_else_was_changed_is_told_too(root: Path, spoil: Callable[[Path], None], says: str) -> None:
    store = Store(root)
    spoil(root)
    (found,) = damages(store)
    assert says in found


def test_a_class_renamed_in_the_description_is_told(root: Path) -> None:
    about = (root / "store.json").read_text()
    (root / "store.json").write_text(about.replace('"one"', '"ONE"'))
    (found,) = damages(Store(root))
    assert "description" in found
