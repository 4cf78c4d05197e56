"""Third-party loaders that yield batches of uint8 images, configured as their documentation recommends.

`pip install 'alexnet_pl[bench]'` installs all but FFCV, which needs system libraries. A loader that is not installed or
fails is reported with the reason.
"""

import contextlib
import importlib.util
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from alexnet_pl.bench.timing import BatchStream, describe_error
from alexnet_pl.data.store.raw import RawReader
from alexnet_pl.data.store.split import Split
from alexnet_pl.data.store.store import Store

BATCH = 128


class LoaderInputs(NamedTuple):
    """`folder` holds raw/, jpeg/ and squares/; `workers`: number of processes or threads of each loader."""

    folder: Path
    workers: int

    def split(self, encoding: str) -> Split:
        return Store(self.folder / encoding).split("train")


def unavailable_reason(module: str, flow: BatchStream) -> str:
    """Return the reason why a third-party loader does not run here, or "" if it does."""
    try:
        if importlib.util.find_spec(module) is None:
            return "not installed"
        with contextlib.closing(flow()) as batches:
            next(batches)
    except ModuleNotFoundError as error:
        return "not installed" if module.startswith(str(error.name)) else f"needs {error.name}"
    except Exception as error:  # third-party code may raise anything
        return describe_error(error)
    return ""


def stream_webdataset(inputs: LoaderInputs) -> Generator[int, None, None]:
    """Stream the JPEG shards of a store, which are in webdataset's format, with webdataset and Pillow."""
    import webdataset as wds  # type: ignore[import-not-found]

    paths = [str(path) for path in sorted((inputs.folder / "jpeg").glob("train-*.tar"))]
    shards = wds.WebDataset(paths, resampled=True, shardshuffle=False)  # type: ignore[attr-defined]
    samples = shards.shuffle(256).decode("rgb8").to_tuple("jpg", "cls").batched(BATCH)
    loader = wds.WebLoader(samples, batch_size=None, num_workers=inputs.workers)  # type: ignore[attr-defined]
    for _, labels in loader:
        yield len(labels)


def stream_litdata_raw(inputs: LoaderInputs) -> Generator[int, None, None]:
    images = (torch.from_numpy(image.copy()) for shard in raw_shards(inputs.split("raw")) for image in shard)
    return stream_litdata(inputs, "litdata-raw", images)


def stream_litdata_jpeg(inputs: LoaderInputs) -> Generator[int, None, None]:
    from PIL import Image

    return stream_litdata(inputs, "litdata-jpeg", (Image.open(path) for path in square_files(inputs)))


def stream_litdata(inputs: LoaderInputs, name: str, items: Any) -> Generator[int, None, None]:
    from litdata import StreamingDataLoader, StreamingDataset  # type: ignore[import-not-found]

    root = inputs.folder / name
    if not root.exists():
        write_litdata(root, items)
    images = StreamingDataset(str(root), shuffle=True)
    loader = StreamingDataLoader(images, batch_size=BATCH, num_workers=inputs.workers, persistent_workers=True)
    while True:
        for batch in loader:
            yield len(batch)


def write_litdata(root: Path, items: Any) -> None:
    from litdata.streaming.writer import BinaryWriter  # type: ignore[import-not-found]

    writer = BinaryWriter(str(root), chunk_bytes="64MB")
    for index, item in enumerate(items):
        writer.add_item(index, item)
    writer.done()
    writer.merge(1)


def stream_dali(inputs: LoaderInputs) -> Generator[int, None, None]:
    """Stream JPEG files with a DALI pipeline on the CPU."""
    from nvidia.dali import fn, pipeline_def, types  # type: ignore[import-not-found]

    cpu: Any = None

    @pipeline_def(batch_size=BATCH, num_threads=inputs.workers, device_id=cpu, prefetch_queue_depth=2)
    def whole() -> Any:
        data, labels = fn.readers.file(file_root=str(inputs.folder / "squares"), random_shuffle=True)
        return fn.decoders.image(data, device="cpu", output_type=types.DALIImageType.RGB), labels

    pipeline = whole()
    pipeline.build()
    while True:
        images, _ = pipeline.run()
        yield images.as_tensor().shape()[0]


def stream_ffcv_raw(inputs: LoaderInputs) -> Generator[int, None, None]:
    """Stream raw images with FFCV and the random crop of its ImageNet recipe."""
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder  # type: ignore[import-not-found]

    return stream_ffcv(inputs, "raw", RandomResizedCropRGBImageDecoder((224, 224)))


def stream_ffcv_jpeg(inputs: LoaderInputs) -> Generator[int, None, None]:
    from ffcv.fields.rgb_image import SimpleRGBImageDecoder  # type: ignore[import-not-found]

    return stream_ffcv(inputs, "jpg", SimpleRGBImageDecoder())


def stream_ffcv(inputs: LoaderInputs, mode: str, decoder: Any) -> Generator[int, None, None]:
    from ffcv.fields import IntField, RGBImageField  # type: ignore[import-not-found]
    from ffcv.fields.basics import IntDecoder  # type: ignore[import-not-found]
    from ffcv.loader import Loader, OrderOption  # type: ignore[import-not-found]
    from ffcv.writer import DatasetWriter  # type: ignore[import-not-found]
    from torchvision.datasets import ImageFolder

    path = inputs.folder / f"{mode}.beton"
    if not path.exists():
        fields = {"image": RGBImageField(write_mode=mode, jpeg_quality=95), "label": IntField()}
        DatasetWriter(str(path), fields).from_indexed_dataset(ImageFolder(str(inputs.folder / "squares")))
    pipelines = {"image": [decoder], "label": [IntDecoder()]}
    loader = Loader(
        str(path), BATCH, num_workers=inputs.workers, order=OrderOption.RANDOM, os_cache=True, pipelines=pipelines
    )
    while True:
        for _, labels in loader:
            yield len(labels)


def square_files(inputs: LoaderInputs) -> list[Path]:
    return sorted((inputs.folder / "squares").rglob("*.jpg"))


def raw_shards(split: Split) -> list[np.ndarray]:
    assert isinstance(split.reader, RawReader)
    return split.reader.shards


THIRD_PARTY: dict[str, tuple[str, Callable[[LoaderInputs], Generator[int, None, None]]]] = {
    "webdataset, the same JPEGs": ("webdataset", stream_webdataset),
    "litdata, raw": ("litdata", stream_litdata_raw),
    "litdata, the same JPEGs": ("litdata", stream_litdata_jpeg),
    "DALI on the CPU, the same JPEGs": ("nvidia.dali", stream_dali),
    "FFCV, raw, cropped": ("ffcv", stream_ffcv_raw),
    "FFCV, JPEGs": ("ffcv", stream_ffcv_jpeg),
}
"""Name → (module, function that opens the stream)."""
