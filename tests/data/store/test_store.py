"""Store: reads back what was written; damage is reported in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from damages import claim_huge_array
from torch.utils.data import DataLoader

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.store.split import load_array
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

SIZE, COUNT, BROKEN = 5, 12, (0, 4, 5, 11)
GOOD = [number for number in range(COUNT) if number not in BROKEN]


def image(number: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (3, size, size), dtype=np.uint8)


def read(item: ImageRecord) -> tuple[np.ndarray, str]:
    if item.location in BROKEN:
        raise ValueError("broken on purpose")
    return image(item.location), ""


def make(root: Path) -> Path:
    train = [ImageRecord(f"train/a/{number}.jpg", number % 3, number) for number in range(COUNT)]
    source = DatasetListing(
        [("a", "ant"), ("b", "bee"), ("c", "cat")], {"train": train, "val": [ImageRecord("val/a/1.jpg", 2, 1)]}
    )
    prepare(source, root, StoreSettings("numbers", SIZE, {"filter": "none"}, shard=5), read)
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(make(tmp_path_factory.mktemp("stores") / "good"))


def test_store_describes_its_content(store: Store) -> None:
    assert (store.name, store.size, store.splits) == ("numbers", SIZE, ["train", "val"])
    assert store.classes == [["a", "ant"], ["b", "bee"], ["c", "cat"]]
    assert store.description["settings"] == {"filter": "none"}
    assert store.manifest.splits["train"].images == len(GOOD)
    assert len(store.fingerprint) == 64
    assert Store(str(store.root)).fingerprint == store.fingerprint


def test_split_has_readable_images_with_their_labels_and_names(store: Store) -> None:
    split = store.split("train")
    assert len(split) == len(split.labels) == len(split.names) == len(GOOD)
    assert split.labels.tolist() == [number % 3 for number in GOOD]
    assert split.names == [f"train/a/{number}.jpg" for number in GOOD]
    assert split.names_of([2, 0]) == [f"train/a/{GOOD[2]}.jpg", f"train/a/{GOOD[0]}.jpg"]
    assert split.bytes == len(GOOD) * 3 * SIZE * SIZE
    assert store.split("val").labels.tolist() == [2]


@pytest.mark.parametrize("indices", [[0], list(range(8)), [7, 0, 3], [2, 2, 2], []])
def test_reading_keeps_the_requested_order(store: Store, indices: list[int]) -> None:
    out = np.full((len(indices), 3, SIZE, SIZE), 77, dtype=np.uint8)
    store.split("train").read(np.array(indices, dtype=np.int64), out)
    assert np.array_equal(out, np.array([image(GOOD[i]) for i in indices], np.uint8).reshape(out.shape))


def test_images_are_chosen_by_a_mask_or_not_at_all(store: Store) -> None:
    split = store.split("train")
    (numbers,) = np.nonzero(split.labels == 0)
    assert 0 < len(numbers) < len(split)
    assert torch.equal(split.images(split.labels == 0), split.images(numbers))
    assert torch.equal(split.images((split.labels == 0).tolist()), split.images(numbers))
    assert split.images([]).shape == (0, 3, SIZE, SIZE)


def test_index_out_of_range_is_an_error(store: Store) -> None:
    out = np.empty((1, 3, SIZE, SIZE), np.uint8)
    with pytest.raises(IndexError):
        store.split("train").read(np.array([len(GOOD)]), out)


def test_split_is_a_data_set_of_pytorch(store: Store) -> None:
    split = store.split("train")
    batches = list(DataLoader(split, batch_size=5))  # pyright: ignore[reportArgumentType]
    assert torch.equal(torch.cat([images for images, _ in batches]), split.images(np.arange(len(split))))
    assert torch.cat([labels for _, labels in batches]).tolist() == split.labels.tolist()
    assert [label for _, label in split] == split.labels.tolist(), "a loop over it ends"


def test_device_copy_has_the_same_images_and_labels(store: Store) -> None:
    split = store.split("train")
    images, labels = split.to_device(torch.device("cpu"))
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert np.array_equal(images.numpy(), np.stack([image(number) for number in GOOD]))
    assert labels.tolist() == [number % 3 for number in GOOD]
    assert split.to_device(torch.device("cpu"))[0].data_ptr() == images.data_ptr()
    assert store.split("train") is split


def test_device_copy_in_several_chunks_is_complete(tmp_path: Path) -> None:
    items = [ImageRecord(f"{number}", number % 7, number) for number in range(2100)]
    source = DatasetListing([(str(c), str(c)) for c in range(7)], {"train": items})

    def odd_ones_only(item: ImageRecord) -> tuple[np.ndarray, str]:
        if item.location % 100 == 0:
            raise ValueError("broken on purpose")
        return image(item.location, 2), ""

    settings = StoreSettings("many", 2, {}, workers=1, allow_incomplete=True)
    prepare(source, tmp_path / "store", settings, odd_ones_only)
    images, labels = Store(tmp_path / "store").split("train").to_device(torch.device("cpu"))
    good = [number for number in range(2100) if number % 100]
    assert np.array_equal(images.numpy(), np.stack([image(number, 2) for number in good]))
    assert labels.tolist() == [number % 7 for number in good]


def test_statistics_have_their_shapes_and_cover_the_training_images(store: Store) -> None:
    images = np.stack([image(number) for number in GOOD]).astype(np.float64)
    assert (store.mean.shape, store.covariance.shape) == ((3, SIZE, SIZE), (3, 3))
    assert (store.mean.dtype, store.covariance.dtype) == (np.float64, np.float64)
    np.testing.assert_allclose(store.mean, images.mean(0), rtol=1e-12)
    pixels = images.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(store.covariance, np.cov(pixels, bias=True), rtol=1e-10)


def test_store_is_read_only(store: Store) -> None:
    with pytest.raises(ValueError, match="read-only"):
        store.split("train").reader.shards[0][0] = 0


def test_missing_split_is_named_with_the_existing_ones(store: Store) -> None:
    with pytest.raises(UserError, match=r"no split 'test', only train, val$"):
        store.split("test")


def test_missing_folder_is_named_with_the_prepare_command(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=rf"{tmp_path}/away does not exist; .*alexnet_pl prepare .*data\.root={tmp_path}"
    ):
        Store(tmp_path / "away")


@pytest.mark.parametrize("files", [(), ("train-000000.u8", "mean.npy")])
def test_folder_without_store_json_is_refused(tmp_path: Path, files: tuple[str, ...]) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"1")
    made_of = rf"prepare.source={tmp_path} data.root=NEW" if files else rf"prepare.source=COPY data.root={tmp_path}"
    with pytest.raises(
        UserError, match=rf"{tmp_path} holds no prepared store.*alexnet_pl prepare -c RECIPE {made_of}$"
    ):
        Store(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"null", b"{}", b"\xff\xfe", b'{"format": "one"}'])
def test_invalid_store_json_is_named_with_advice(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "store.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"{tmp_path}/store\.json: .*prepare it again"):
        Store(tmp_path)


def test_other_format_version_is_refused_naming_the_supported_one(tmp_path: Path) -> None:
    root = make(tmp_path / "store")
    about = json.loads((root / "store.json").read_text())
    (root / "store.json").write_text(json.dumps(about | {"format": about["format"] + 1}))
    with pytest.raises(UserError, match=rf"format {about['format'] + 1}, .* reads {about['format']}; prepare it again"):
        Store(root)


@pytest.mark.parametrize("name", ["../../runs/other", "/tmp/x", "..", "${oc.env:HOME}", "???", "a\nb", "", "x" * 101])
def test_name_that_is_no_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    """It becomes part of paths and a value in configs."""
    root = make(tmp_path / "store")
    about = json.loads((root / "store.json").read_text())
    (root / "store.json").write_text(json.dumps(about | {"name": name}))
    with pytest.raises(UserError, match=r"store\.json: .*name='.*': up to 100 letters"):
        Store(root)


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(7))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def use(root: Path) -> None:
    """Read everything that training, testing and predicting use."""
    store = Store(root)
    assert store.mean.shape == (3, SIZE, SIZE)
    assert store.covariance.shape == (3, 3)
    for name in store.splits:
        assert len(store.split(name)) == len(store.split(name).names)


@pytest.mark.parametrize("damage", [shorter, longer, emptied])
def test_wrong_image_file_size_is_reported(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    root = make(tmp_path / "store")
    damage(root / "train-000001.u8")
    with pytest.raises(UserError, match=rf"{root}/train-000001\.u8: .*`verify` lists all"):
        use(root)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train-000002.u8", Path.unlink),
        *((name, damage) for name in ("train.labels.npy", "mean.npy") for damage in (Path.unlink, shorter, emptied)),
        *((name, damage) for name in ("train.names.jsonl", "covariance.npy") for damage in (Path.unlink, emptied)),
    ],
)
def test_partially_copied_store_is_reported(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    """Its description may have been copied first. The file is named, whatever is wrong with it."""
    root = make(tmp_path / "store")
    damage(root / name)
    with pytest.raises(UserError, match=name):
        use(root)


def test_array_that_claims_more_than_the_memory_is_reported(tmp_path: Path) -> None:
    claim_huge_array(tmp_path / "train.labels.npy")
    with pytest.raises(UserError, match=r"train\.labels\.npy: missing or corrupt \(Unable to allocate"):
        load_array(tmp_path / "train.labels.npy")


def test_incomplete_store_json_is_reported(tmp_path: Path) -> None:
    root = make(tmp_path / "store")
    about = json.loads((root / "store.json").read_text())
    for key in ("name", "size", "classes", "splits", "fingerprint"):
        (root / "store.json").write_text(json.dumps({k: v for k, v in about.items() if k != key}))
        with pytest.raises(UserError, match=r"store\.json"):
            use(root)
