"""JPEG stores: small loss, readable by other tools, damage is reported."""

import gc
import io
import os
import resource
import tarfile
import warnings
from pathlib import Path
from types import SimpleNamespace
from weakref import WeakSet

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image
from torch.utils.data import DataLoader

from alexnet_pl.data.loading.loaders import EvalLoader
from alexnet_pl.data.loading.streaming import GpuDecodeBuffer, LoaderOptions, stream_batches
from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.verify import find_corrupt
from alexnet_pl.data.sources import synthetic
from alexnet_pl.data.sources.base import DatasetListing, ImageRecord
from alexnet_pl.data.store import file_limit
from alexnet_pl.data.store.concat import ConcatSplit
from alexnet_pl.data.store.encoding import StoreEncoding
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

SIZE, COUNT, BROKEN = 64, 20, (3, 9)
GOOD = [number for number in range(COUNT) if number not in BROKEN]


def image(number: int) -> np.ndarray:
    return synthetic.draw_image(number, SIZE)[0]


def read(item: ImageRecord) -> tuple[np.ndarray, str]:
    if item.location in BROKEN:
        raise ValueError("broken on purpose")
    return image(int(item.location)), ""  # type: ignore[call-overload]


def make(root: Path, encoding: StoreEncoding) -> Store:
    items = [ImageRecord(f"{number}.png", number % 10, number) for number in range(COUNT)]  # type: ignore[arg-type]
    source = DatasetListing(list(synthetic.CLASSES), {"train": items, "val": items[:4]})
    prepare(source, root, StoreSettings("drawn", SIZE, {}, encoding, shard=6), read)
    return Store(root)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make(tmp_path_factory.mktemp("stores") / "jpeg", StoreEncoding("jpeg"))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.square(one.astype(float) - other).mean())


def test_images_keep_their_positions_with_small_loss(store: Store) -> None:
    split = store.split("train")
    assert split.labels.tolist() == [number % 10 for number in GOOD]
    indices = np.random.default_rng(0).permutation(len(GOOD))
    room = split.buffer(len(indices))
    split.read(indices, room.numpy())
    for got, index in zip(room.numpy(), indices, strict=True):
        wanted = [psnr(got, image(number)) for number in GOOD]
        assert int(np.argmax(wanted)) == index
        assert wanted[index] > 25
    assert room.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("encoding", [StoreEncoding("jpeg"), StoreEncoding()], ids=["jpeg", "raw"])
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_split_is_read_by_workers_of_a_data_loader(tmp_path: Path, encoding: StoreEncoding, start: str) -> None:
    """Also after a first image in the parent, whose threads do not exist in a forked worker."""
    split = make(tmp_path / "store", encoding).split("val")
    first, _ = split[0]
    split.images(np.arange(len(split)))
    loader = DataLoader(split, batch_size=2, num_workers=1, multiprocessing_context=start, timeout=120)  # type: ignore[arg-type]
    batches = [images for images, _ in loader]
    assert torch.equal(batches[0][0], first)
    assert sum(map(len, batches)) == len(split)


def test_shards_are_readable_by_other_tools(store: Store) -> None:
    """tarfile and Pillow here; files with the same key are adjacent, as WebDataset requires."""
    seen = []
    for path in sorted(store.root.glob("train-*.tar")):
        with tarfile.open(path) as archive:
            names = archive.getnames()
            assert [name.partition(".")[0] for name in names[::2]] == [name.partition(".")[0] for name in names[1::2]]
            for name in names[::2]:
                with Image.open(io.BytesIO(archive.extractfile(name).read())) as picture:  # type: ignore[union-attr]
                    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (SIZE, SIZE))
                    assert "progressive" not in picture.info
                    number = int(name.partition(".")[0])
                    room = store.split("train").buffer(1)
                    store.split("train").read(np.array([GOOD.index(number)]), room.numpy())
                    assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), room.numpy()[0])
                label = archive.extractfile(name.replace(".jpg", ".cls")).read()  # type: ignore[union-attr]
                assert int(label) == number % 10
                seen.append(number)
    assert seen == GOOD


def test_webdataset_reads_the_shards(store: Store) -> None:
    wds = pytest.importorskip("webdataset", reason="webdataset is not here: pip install webdataset")
    paths = [str(path) for path in sorted(store.root.glob("train-*.tar"))]
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # caused by webdataset's own files
        samples = list(wds.WebDataset(paths, shardshuffle=False).decode("rgb8").to_tuple("cls", "jpg"))
        gc.collect()
    assert [label for label, _ in samples] == [number % 10 for number in GOOD]
    assert {pixels.shape for _, pixels in samples} == {(SIZE, SIZE, 3)}


def test_loader_yields_the_same_images_for_any_encoding(store: Store, tmp_path: Path) -> None:
    raw = make(tmp_path / "raw", StoreEncoding()).split("train")
    device = torch.device("cpu")
    for one, other in zip(EvalLoader(store.split("train"), 7, device), EvalLoader(raw, 7, device), strict=True):
        assert torch.equal(one.labels, other.labels)
        count = len(one.labels)
        assert psnr(one.images[:count].numpy(), other.images[:count].numpy()) > 25
    resident, labels = store.split("train").to_device(device)
    assert labels.tolist() == raw.labels.tolist()
    assert psnr(resident.numpy(), raw.to_device(device)[0].numpy()) > 25


def test_quality_and_subsampling_are_applied_and_recorded(tmp_path: Path) -> None:
    sizes = {}
    for quality in (95, 50):
        store = make(tmp_path / f"{quality}", StoreEncoding("jpeg", quality))
        assert store.manifest.encoding == {"name": "jpeg", "quality": quality, "subsampling": 420}
        sizes[quality] = store.manifest.splits["train"].bytes
        with tarfile.open(store.root / "train-000000.tar") as archive:
            data = archive.extractfile("00000000.jpg").read()  # type: ignore[union-attr]
        assert simplejpeg.decode_jpeg_header(data) == (SIZE, SIZE, "YCbCr", "420")
        with Image.open(io.BytesIO(data)) as picture:
            scale = 200 - 2 * quality if quality >= 50 else 5000 // quality  # for the standard's example tables
            assert picture.quantization[0][0] == (16 * scale + 50) // 100  # type: ignore[attr-defined]
    assert sizes[50] < sizes[95]


def corrupt(root: Path, number: int) -> Store:
    """Store in which training image `number`, in the second shard, is all zeros."""
    store = make(root, StoreEncoding("jpeg"))
    begin, size = np.load(store.root / "train.index.npy")[number]
    path = store.root / "train-000001.tar"
    data = bytearray(path.read_bytes())
    data[begin : begin + size] = bytes(size)
    path.write_bytes(data)
    return Store(store.root)


def test_corrupt_image_is_named_by_file(tmp_path: Path) -> None:
    store = corrupt(tmp_path / "store", 7)
    split = store.split("train")
    with pytest.raises(
        UserError, match=r"train-000001.tar: image 7 is corrupt .*`prepare prepare.repair=true` repairs those"
    ):
        split.read(np.array([GOOD.index(7)]), split.buffer(1).numpy())
    assert list(find_corrupt(store)) == [f"{store.root / 'train-000001.tar'}: corrupt (images 6 to 11)"]


def test_missing_shard_is_named(tmp_path: Path) -> None:
    store = make(tmp_path / "store", StoreEncoding("jpeg"))
    (store.root / "train-000002.tar").unlink()
    with pytest.raises(UserError, match=r"train-000002.tar: missing; `verify` lists all"):
        Store(store.root).split("train")


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_batches_decoded_on_a_device_match_the_loader(store: Store) -> None:
    """Uses torchvision on the CPU, whose libjpeg-turbo decodes like simplejpeg's."""
    split, cpu = store.split("train"), torch.device("cpu")
    batches = [np.array([4, 0, 17]), np.array([3, 3, 1]), np.array([5])]
    found = [
        (images.clone(), labels)
        for images, labels in stream_batches(split, batches, 3, cpu, buffer_class=GpuDecodeBuffer)
    ]
    wanted = [(images.clone(), labels.clone()) for images, labels in stream_batches(split, batches, 3, cpu)]
    assert [len(images) for images, _ in found] == [3, 3, 3]
    for (images, labels), (others, same), batch in zip(found, wanted, batches, strict=True):
        assert torch.equal(images[: len(batch)], others[: len(batch)])
        assert torch.equal(labels, same)


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_concatenated_splits_use_their_own_decoders(store: Store) -> None:
    joined, indices = ConcatSplit([store.split("train"), store.split("val")]), np.array([19, 0, 18, 17])
    assert joined.is_jpeg
    assert torch.equal(joined.decode_on(indices, torch.device("cpu")), joined.images(indices))


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_gpu_decodes_after_the_work_that_used_the_same_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision decodes on its own stream, which does not wait for the one whose memory it is given."""
    log: list[str] = []
    stream = SimpleNamespace(synchronize=lambda: log.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr("torchvision.io.decode_jpeg", lambda *_: [log.append("decode") or torch.zeros(3, 2, 2)])
    store.split("train").decode_on(np.array([0]), torch.device("cuda", 0))
    assert log == ["synchronize", "decode"]


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_image_that_a_device_cannot_decode_is_named_by_file(tmp_path: Path) -> None:
    store = corrupt(tmp_path / "store", 7)
    with pytest.raises(UserError, match=r"train-000001.tar: image 7 is corrupt"):
        store.split("train").decode_on(np.array([0, GOOD.index(7)]), torch.device("cpu"))


def test_gpu_decoding_requires_a_gpu(store: Store) -> None:
    with pytest.raises(UserError, match=r"performance.jpeg_decoder=gpu: there is no GPU"):
        EvalLoader(store.split("train"), 4, torch.device("cpu"), options=LoaderOptions(jpeg_decoder="gpu"))


def test_shards_of_one_split_count_before_they_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit opens them batch by batch, when both splits have been accepted: then it is too late for one line."""
    items = [ImageRecord(f"{number}.png", 0, number) for number in range(60)]  # type: ignore[arg-type]
    source = DatasetListing(list(synthetic.CLASSES), {"train": items, "val": items[:40]})
    prepare(source, tmp_path / "store", StoreSettings("drawn", SIZE, {}, StoreEncoding("jpeg"), shard=1), read)
    most = len(os.listdir("/dev/fd")) + file_limit.SPARE + 80
    monkeypatch.setattr(file_limit, "LATE", WeakSet())
    monkeypatch.setattr(resource, "getrlimit", lambda _: (most, most))
    train = Store(tmp_path / "store").split("train")
    with pytest.raises(UserError, match=rf"val-000000.tar: one of 100 shards .* only {most:,} files; raise the limit"):
        Store(tmp_path / "store").split("val")
    train.images(np.arange(50))
    with pytest.raises(UserError, match=r"val-000000.tar: one of "):
        Store(tmp_path / "store").split("val")
    del train
    gc.collect()
    assert len(Store(tmp_path / "store").split("val")) == 38
