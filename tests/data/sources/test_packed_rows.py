"""Images of WebDataset shards and Parquet files: repeated names lose none; wrong labels are one line."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from copies import WNIDS, Files, photo, tar, write
from hosted_copies import packed

from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.sources.image_files import SUFFIXES
from alexnet_pl.data.sources.packed_rows import find_wnid
from alexnet_pl.errors import UserError


def shard(path: Path, samples: dict[str, dict[str, bytes]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(tar({f"{key}{kind}": data for key, files in samples.items() for kind, data in files.items()}))


def sample(label: int) -> dict[str, bytes]:
    return {".jpg": photo(40 * label), ".cls": str(label).encode()}


def listed(copy: Path) -> dict[str, tuple[int, bytes]]:
    return {record.name: (record.label, record.location.read()) for record in read_source(copy)[1].splits["train"]}


def test_samples_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    shard(tmp_path / "x-train-0000.tar", {"A/0": sample(0), "B/0": sample(1)})
    shard(tmp_path / "x-val-0000.tar", {"A/1": sample(0)})
    assert listed(tmp_path) == {"train/A/0.jpg": (0, photo(0)), "train/B/0.jpg": (1, photo(40))}


def test_samples_of_one_path_in_two_shards_are_two(tmp_path: Path) -> None:
    shard(tmp_path / "x-train-0000.tar", {"0": sample(0)})
    shard(tmp_path / "x-train-0001.tar", {"0": sample(1)})
    shard(tmp_path / "x-val-0000.tar", {"0": sample(0)})
    assert sorted(listed(tmp_path).values()) == [(0, photo(0)), (1, photo(40))]


@pytest.mark.parametrize(
    "names",
    [
        ("imagenet1k-train-0000.tar", "imagenet1k-validation-00.tar"),  # of timm/imagenet-1k-wds
        ("imagenet12k-train-0000.tar", "imagenet12k-validation-0000.tar"),
        ("train/0.tar", "val/0.tar"),  # as clip-benchmark numbers them
    ],
)
def test_shards_have_any_number_of_digits(names: tuple[str, str], tmp_path: Path) -> None:
    for label, name in enumerate(names):
        shard(tmp_path / name, {"0": sample(0), "1": sample(1)} | {f"more{label}": sample(label)})
    form, source = read_source(tmp_path)
    assert form == "WebDataset shards"
    found = {split: [record.label for record in records] for split, records in source.splits.items()}
    assert found == {"train": [0, 1, 0], "val": [0, 1, 1]}
    assert source.held_out is None


def test_numbered_archives_of_class_folders_are_no_shards(tmp_path: Path) -> None:
    for name in ("photos-train-2.tar", "photos-val-2.tar"):
        write(tmp_path, {name: tar({f"{c}/{name}.jpg": photo(1) for c in ("ant", "bee")})})
    form, source = read_source(tmp_path)
    assert (form, len(source.classes)) == ("class folders in archives", 2)


@pytest.mark.parametrize("folder", ["images/", "{wnid}/"])
def test_wnids_in_names_are_the_labels_of_numbered_shards(folder: str, tmp_path: Path) -> None:
    for name in ("train-000.tar", "train-001.tar", "val-000.tar"):
        images = {f"{folder.format(wnid=wnid)}{wnid}_{name[:-4]}.JPEG": photo(1) for wnid in WNIDS[:2]}
        write(tmp_path, {name: tar(images)})
    form, source = read_source(tmp_path)
    assert (form, [wnid for wnid, _ in source.classes]) == ("WebDataset shards", sorted(WNIDS[:2]))
    (tmp_path / "train-000.tar").unlink()
    with pytest.raises(UserError, match=r"train-000\.tar missing"):
        read_source(tmp_path)


def test_other_files_may_come_first_in_a_shard(tmp_path: Path) -> None:
    notes = {f"notes/{number}": {".txt": b"x"} for number in range(9)}
    shard(tmp_path / "x-train-00.tar", notes | {"s/0": sample(0), "s/1": sample(1)})
    shard(tmp_path / "x-val-00.tar", {"s/0": sample(0)})
    assert [*read_source(tmp_path)[1].splits] == ["train", "val"]


@pytest.mark.parametrize("name", ["annotations_train_v2.tar", "images_test_v1.tar", "val_v2.tar"])
@pytest.mark.parametrize("content", [tar({"all.json": b"{}"}), tar({"1.jpg": b""}), b"half of a download"])
def test_archive_beside_class_folders_is_ignored(name: str, content: bytes, tmp_path: Path) -> None:
    write(tmp_path, {f"{split}/{label}/1.jpg": photo(1) for split in ("train", "val") for label in ("ant", "bee")})
    write(tmp_path, {name: content})
    assert read_source(tmp_path)[0] == "class folders"


def test_archive_of_annotations_beside_shards_is_ignored(tmp_path: Path) -> None:
    write(tmp_path, {"annotations_train_v2.tar": tar({"all.json": b"{}"})})
    shard(tmp_path / "x-train-0000.tar", {"s/0": sample(0)})
    shard(tmp_path / "x-val-00.tar", {"s/1": sample(0)})
    assert listed(tmp_path) == {"train/0.jpg": (0, photo(0))}


def table(path: Path, names: list[str], labels: list[Any]) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not here: pip install 'alexnet_pl[parquet]'")
    from pyarrow.parquet import write_table

    write_table(pa.table({"image": [{"bytes": photo(1), "path": name} for name in names], "label": labels}), path)


def test_parquet_rows_of_one_name(tmp_path: Path) -> None:
    table(tmp_path / "train-00000-of-00001.parquet", ["a/0.jpg", "b/0.jpg"], [0, 1])
    table(tmp_path / "validation-00000-of-00001.parquet", ["image.jpg", "image.jpg"], [0, 1])
    splits = read_source(tmp_path)[1].splits
    assert [record.name for record in splits["train"]] == ["train/a/0.jpg", "train/b/0.jpg"]
    assert len({record.name for record in splits["val"]}) == 2


def test_labels_that_are_no_numbers_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    table(tmp_path / "tables/train-00000-of-00001.parquet", ["a.jpg"], ["ant"])
    table(tmp_path / "tables/val-00000-of-00001.parquet", ["b.jpg"], ["ant"])
    with pytest.raises(
        UserError, match=r"train-00000-of-00001.parquet: label of row 0 is not a class number \('ant'\)"
    ):
        read_source(tmp_path / "tables")
    for split in ("train", "val"):
        shard(tmp_path / f"shards/x-{split}-0000.tar", {"0": sample(0) | {".json": json.dumps([1]).encode()}})
    with pytest.raises(UserError, match=r"x-train-0000.tar: 0.json is not an object"):
        read_source(tmp_path / "shards")


def test_images_of_every_format_that_can_be_decoded_are_listed(tmp_path: Path) -> None:
    for form in ("shards", "archives"):
        for split in ("train", "val"):
            names = [f"{i}{suffix}" for i, suffix in enumerate(SUFFIXES)]
            files = {name: data for i, n in enumerate(names) for name, data in ((n, photo(i)), (f"{i}.cls", b"0"))}
            wnids = {f"n01440764_{name}": data for name, data in files.items()}
            path = f"x-{split}-0000.tar" if form == "shards" else f"{split}_images_0.tar.gz"
            write(tmp_path / form, {path: tar(files) if form == "shards" else gzip.compress(tar(wnids))})
        listed_suffixes = [Path(record.name).suffix for record in read_source(tmp_path / form)[1].splits["train"]]
        assert listed_suffixes == list(SUFFIXES)


def test_labeled_samples_without_a_known_image_are_counted(tmp_path: Path) -> None:
    odd = {".avif": b"x", ".cls": b"0", ".json": b"{}"}
    shard(tmp_path / "x-train-0000.tar", {"0": sample(0), "1": odd, "2": odd, "3": {".cls": b"0"}, "4": {".txt": b""}})
    shard(tmp_path / "x-val-0000.tar", {"0": sample(0)})
    counts = read_source(tmp_path)[1].skipped_files
    assert sum(counts.values(), Counter[str]()) == {".avif": 2, ".cls": 1}


def test_other_files_of_hugging_face_archives_are_counted(tmp_path: Path) -> None:
    copy = packed(tmp_path / "copy")
    more: Files = {f"{wnid}_9_{wnid}.AVIF": b"x" for wnid in WNIDS} | {"n01000001_8_n01000001.JPEG": photo(1)}
    (copy / "train_images_2.tar.gz").write_bytes(gzip.compress(tar(more)))
    counts = read_source(copy)[1].skipped_files
    assert sum(counts.values(), Counter[str]()) == {".avif": 3}


@pytest.mark.parametrize(
    ("name", "wnid"),
    [
        ("scan20230115_001.jpg", None),
        ("n20230115123_1.jpg", None),
        ("n01440764_10026.JPEG", "n01440764"),
        ("n01440764_10026_n01440765.JPEG", "n01440765"),
        ("a/ILSVRC2012_val_00000001_n01751748.JPEG", "n01751748"),
    ],
)
def test_date_in_a_name_is_no_wordnet_id(name: str, wnid: str | None) -> None:
    assert find_wnid(name) == wnid
