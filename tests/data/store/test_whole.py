"""Whole images with boxes: aspect, sizes and boxes of hand-made images; crops against slices."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image
from torchvision.transforms.v2.functional import center_crop

from alexnet_pl.data.archives.location import ByteLocation
from alexnet_pl.data.boxes.annotation import Annotation, Box, Coverage
from alexnet_pl.data.loading.augment import Augment
from alexnet_pl.data.loading.loaders import EvalLoader, TrainLoader
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.plan import Part
from alexnet_pl.data.prepare.repair import repair
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.shard import read_whole
from alexnet_pl.data.prepare.verify import find_corrupt
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.store.concat import ConcatSplit
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

SIZE = 48
SHAPES = [(60, 80), (96, 48), (48, 48), (120, 180), (50, 49), (70, 140)]  # height, width
BOXES = [
    [Box(8, 6, 40, 60, 1), Box(0, 0, 80, 60, 0, True)],
    [],
    [Box(10, 10, 90, 20, 0)],  # reaches beyond the image
    [Box(-5, 12, 60, 120, 1)],
    [Box(60, 2, 70, 30, 1)],  # completely outside
    [Box(4, 8, 16, 32, 1)],  # from an annotation with another size
]
LABELS = [1, -1, 0, 1, 1, 1]


def photograph(height: int, width: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8), dtype=np.uint8)).convert("RGB")
    buffer = io.BytesIO()
    small.resize((width, height), Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def listing(folder: Path) -> DatasetListing:
    folder.mkdir(exist_ok=True)
    items = []
    for i, ((height, width), boxes, label) in enumerate(zip(SHAPES, BOXES, LABELS, strict=True)):
        (folder / f"{i}.jpg").write_bytes(photograph(height, width, i))
        size = (280, 140) if i == 5 else (0, 0)  # (width, height) in the annotation: twice the image's
        annotation = Annotation(boxes, Coverage.ALL, *size) if i != 1 else None
        items.append(ImageRecord(f"{i}.jpg", label, ByteLocation(folder / f"{i}.jpg"), annotation))
    return DatasetListing([("a", "first"), ("b", "second")], {"train": items, "val": items[:3]})


SETTINGS = StoreSettings("whole", SIZE, {}, StoreEncoding("whole"), shard=4)


def read_one(item: ImageRecord) -> tuple[np.ndarray, str, tuple[int, int]]:
    return read_whole(item, SIZE, "bilinear")


def make(folder: Path, root: Path) -> Store:
    prepare(listing(folder), root, SETTINGS, read_one)
    return Store(root)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("stores")
    return make(folder / "images", folder / "whole")


def test_images_keep_their_aspect_and_both_sizes_are_known(store: Store) -> None:
    split = store.whole("train")
    assert split.original_sizes.tolist() == [list(shape) for shape in SHAPES]
    assert split.sizes.tolist() == [[48, 64], [96, 48], [48, 48], [48, 72], [48, 48], [48, 96]]
    for i, (height, width) in enumerate(split.sizes.tolist()):
        assert split.image(i).shape == (3, height, width)


def test_stored_image_is_close_to_the_resized_original(store: Store) -> None:
    split = store.whole("train")
    original = Image.open(io.BytesIO(photograph(*SHAPES[3], 3))).resize((72, 48), Image.Resampling.BILINEAR)
    difference = split.image(3).permute(1, 2, 0).numpy().astype(float) - np.asarray(original, float)
    assert np.abs(difference).mean() < 3


def test_boxes_are_in_stored_pixels_clipped_to_the_image(store: Store) -> None:
    split = store.whole("train")
    expected = [
        [[6.4, 4.8, 32, 48], [0, 0, 64, 48]],
        [],
        [[10, 10, 48, 20]],
        [[0, 4.8, 24, 48]],
        [],
        [[4 / 280 * 96, 8 / 140 * 48, 16 / 280 * 96, 32 / 140 * 48]],
    ]
    for i, wanted in enumerate(expected):
        found = split.boxes(i)
        assert found.dtype == torch.float32
        assert found.shape == (len(wanted), 4)
        assert torch.allclose(found, torch.tensor(wanted, dtype=torch.float32).reshape(-1, 4), atol=1e-4)
    assert split.box_labels(0).tolist() == [1, 0]
    assert split.box_difficult(0).tolist() == [False, True]
    assert split.box_counts().tolist() == [2, 0, 1, 1, 0, 1]
    assert split.coverage.tolist() == [Coverage.ALL, Coverage.NONE] + [Coverage.ALL] * 4
    assert store.manifest.splits["train"].boxes == 5


def test_reading_as_a_classification_split_gives_center_squares(store: Store) -> None:
    split, whole = store.split("train"), store.whole("train")
    assert split.labels.tolist() == [1, 0, 1, 1, 1]
    assert split.names == ["0.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    found = split.images(np.array([4, 0]))
    assert torch.equal(found[0], center_crop(whole.image(5), [SIZE, SIZE]))
    assert torch.equal(found[1], center_crop(whole.image(0), [SIZE, SIZE]))
    (images, labels, _), *_ = EvalLoader(split, 5, torch.device("cpu"))
    assert torch.equal(images[0], found[1])
    assert labels.tolist() == [1, 0, 1, 1, 1]


def test_copy_in_a_worker_process_has_the_same_images(store: Store) -> None:
    """A DataLoader pickles its split for a spawned worker; one image of six has no class, and is in none of these."""
    split = store.split("train")
    both = ConcatSplit([split, store.split("val")])
    for each in (split, split.subset(np.array([3, 1])), split.random_crops(32, 0, 0), both):  # type: ignore[attr-defined]
        copy = pickle.loads(pickle.dumps(each))
        assert type(copy) is type(each)
        assert copy.labels.tolist() == each.labels.tolist()
        indices = np.arange(len(each))
        assert torch.equal(copy.images(indices), each.images(indices))


def test_random_crops_are_slices_of_their_images(store: Store) -> None:
    whole = store.whole("train")
    crops = whole.random_crops(32, seed=7, epoch=2)
    images = crops.images(np.arange(len(whole)))
    for i, (top, left) in enumerate(crops.corners.tolist()):
        assert torch.equal(images[i], whole.image(i)[:, top : top + 32, left : left + 32])


def test_crop_offset_depends_only_on_seed_epoch_and_image(store: Store) -> None:
    whole = store.whole("train")
    same, other = whole.random_crops(32, 7, 2), whole.random_crops(32, 7, 3)
    assert np.array_equal(same.corners, whole.random_crops(32, 7, 2).corners)
    assert not np.array_equal(same.corners, other.corners)
    many = np.concatenate([whole.random_crops(32, 0, epoch).corners for epoch in range(300)])
    free = np.tile(whole.sizes - 32, (300, 1))
    assert (many >= 0).all()
    assert (many <= free).all()
    assert (many == 0).any()
    assert (many == free).any()
    assert abs((many / free).mean() - 0.5) < 0.02


def test_resumed_training_has_the_same_crops(store: Store) -> None:
    augment = Augment(size=SIZE, crop=32)

    def batches(position: dict[str, int] | None = None) -> list[torch.Tensor]:
        loader = TrainLoader(store.split("train"), 2, 0, augment.draw, torch.device("cpu"), crop=32)
        if position:
            loader.load_state_dict(position)
        return [augment(batch.images.clone(), batch.draws) for batch in loader]

    whole, rest = batches(), batches({"epoch": 0, "done": 1})
    assert len(whole) == 2
    assert whole[0].shape == (2, 3, 32, 32)
    assert torch.equal(rest[0], whole[1])


def test_window_larger_than_the_images_is_refused(store: Store) -> None:
    with pytest.raises(UserError, match=r"augment\.crop=49: more than the 48 pixels"):
        store.whole("train").random_crops(49, 0, 0)


def test_statistics_are_of_all_pixels(store: Store) -> None:
    rows = []
    for i, (height, width) in enumerate(SHAPES):
        item = ImageRecord("", 0, ByteLocation(store.root.parent / "images" / f"{i}.jpg"))
        assert simplejpeg.decode_jpeg_header(item.location.read())[:2] == (height, width)
        rows.append(read_whole(item, SIZE, "bilinear")[0].reshape(3, -1).astype(float))
    pixels = np.concatenate(rows, 1)
    assert np.allclose(store.mean.ravel(), pixels.mean(1))
    assert np.allclose(store.covariance, np.cov(pixels, bias=True))
    augment = Augment(size=SIZE, crop=32)
    augment.set_statistics(store.mean, store.covariance)
    assert torch.allclose(augment.mean_image[:, 5, 7], torch.from_numpy(pixels.mean(1)).float())


def test_verify_finds_a_changed_box_and_a_missing_file(store: Store, tmp_path: Path) -> None:
    other = make(tmp_path / "images", tmp_path / "other")
    assert other.fingerprint == store.fingerprint
    assert list(find_corrupt(other)) == []
    boxes = np.load(other.root / "train.boxes.npy")
    boxes["edges"][0, 0] += 0.01
    np.save(other.root / "train.boxes.npy", boxes)
    assert len(list(find_corrupt(other))) == 1
    (other.root / "train.coverage.npy").unlink()
    assert "train.coverage.npy: missing" in next(iter(find_corrupt(other)))


def test_parts_and_repaired_shards_give_the_same_store(store: Store, tmp_path: Path) -> None:
    images = listing(tmp_path / "images")
    for number in (1, 2):
        assert prepare(images, tmp_path / "parts", SETTINGS, read_one, Part(number, 2)) is None
    prepare(images, tmp_path / "parts", SETTINGS, read_one)
    parts = Store(tmp_path / "parts")
    assert parts.fingerprint == store.fingerprint
    shard = tmp_path / "parts/train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:-2000] + bytes(2000))
    assert len(list(find_corrupt(parts))) == 1
    assert repair(parts, images, SETTINGS, read_one) == [shard]
    assert list(find_corrupt(parts)) == []


def test_store_started_with_other_boxes_is_not_resumed(tmp_path: Path) -> None:
    prepare(listing(tmp_path / "images"), tmp_path / "parts", SETTINGS, read_one, Part(1, 2))
    other = listing(tmp_path / "images")
    first = other.splits["train"][0]  # type: ignore[index]
    other.splits["train"][0] = first._replace(annotation=Annotation([], Coverage.ALL))  # type: ignore[index]
    with pytest.raises(UserError, match="was started with other images or boxes; resume"):
        prepare(other, tmp_path / "parts", SETTINGS, read_one)


def test_store_that_was_started_without_the_missing_files_is_resumed(tmp_path: Path) -> None:
    """Earlier versions did not compare all copies with the lists of their images."""
    images = listing(tmp_path / "images")
    prepare(images, tmp_path / "parts", SETTINGS, read_one, Part(1, 2))
    found = SETTINGS._replace(how=SETTINGS.how | {"missing": ["val: 3 images, but there should be 4"]})
    prepare(images, tmp_path / "parts", found, read_one)
    assert Store(tmp_path / "parts").manifest.missing == found.how["missing"]
    prepare(images, tmp_path / "other", SETTINGS, read_one, Part(1, 2))
    with pytest.raises(UserError, match="was started with other how"):
        prepare(images, tmp_path / "other", SETTINGS._replace(how={"filter": "other"}), read_one)


def test_boxes_that_an_earlier_version_kept_are_named(tmp_path: Path) -> None:
    images = listing(tmp_path / "images")
    prepare(images, tmp_path / "store", SETTINGS, read_one)
    store = Store(tmp_path / "store")
    (store.root / "train.boxes.npy").unlink()
    first = images.splits["train"][0]  # type: ignore[index]
    wrong = Annotation(BOXES[0][:1], Coverage.ALL, 60, 80)  # the image's size transposed
    images.splits["train"][0] = first._replace(annotation=wrong)  # type: ignore[index]
    with pytest.raises(UserError, match="earlier versions kept boxes of annotations with a wrong size"):
        repair(store, images, SETTINGS, read_one)


def test_concatenated_splits_are_cropped_like_single_ones(store: Store) -> None:
    train, val = store.whole("train"), store.whole("val")
    both = ConcatSplit([train, val]).random_crops(32, 1, 4)
    found = both.images(np.array([7, 2]))
    assert torch.equal(found[0], val.random_crops(32, 1, 4).images(np.array([1]))[0])
    assert torch.equal(found[1], train.random_crops(32, 1, 4).images(np.array([2]))[0])
    assert not both.constant


def test_squares_have_no_boxes(tmp_path: Path) -> None:
    """The fingerprint equals the one from before the package supported whole images."""

    def read(item: ImageRecord) -> tuple[np.ndarray, str]:
        return (np.arange(3 * 8 * 8).reshape(3, 8, 8) * (item.location.start + 1) % 256).astype(np.uint8), ""

    def items(split: str, count: int) -> list[ImageRecord]:
        return [ImageRecord(f"{split}/{i}", i % 2, ByteLocation(Path("arithmetic"), start=i)) for i in range(count)]

    listed = DatasetListing([("a", "first"), ("b", "second")], {"train": items("train", 5), "val": items("val", 3)})
    prepare(listed, tmp_path / "s", StoreSettings("squares", 8, {"made": "by arithmetic"}, shard=2), read)
    squares = Store(tmp_path / "s")
    assert squares.fingerprint == "7582dc46b00fcf6263f2e175599d8a52c8a0f83352bd193356ea3dfdca9ba5e8"
    with pytest.raises(UserError, match=r"prepare\.encoding=whole"):
        squares.whole("train")
