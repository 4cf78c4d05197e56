"""Box annotations of every source, with all irregularities of ILSVRC's files."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from copies import (
    SYNSETS,
    TRUTH,
    WNIDS,
    archives,
    kaggle,
    kaggle_zip,
    photo,
    tar,
    tiny_imagenet,
    tiny_imagenet_zip,
    write,
)
from hosted_copies import packed

from alexnet_pl.commands.prepare import describe_store, report_nonstandard
from alexnet_pl.data.archives import members
from alexnet_pl.data.boxes.annotation import Coverage
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import make_store
from alexnet_pl.data.sources.base import CopyOptions
from alexnet_pl.data.sources.box_files import index_boxes
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

WIDTH, HEIGHT = 24, 20  # of all photographs


def xml(
    name: str, corners: tuple[object, ...], width: object = WIDTH, height: object = HEIGHT, more: str = ""
) -> bytes:
    box = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    objects = f"<object><name>{name}</name><difficult>0</difficult>{more}<bndbox>{box}</bndbox></object>"
    return f"<annotation><filename>%s</filename>{size}{objects}</annotation>".encode()


def quirks() -> dict[str, bytes]:
    """Irregular annotations of training images that TensorFlow's converter and the data set's readme mention."""
    tench, crane, bolete = WNIDS
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    return {
        f"{tench}/{tench}_0.xml": xml(tench, (2, 4, 11, 9), more=part),
        f"{tench}/{tench}_1.xml": xml(
            "Scottish_deerhound", (20, 18, 39, 37), 2 * WIDTH, 2 * HEIGHT
        ),  # of twice the size
        f"{crane}/{crane}_0.xml": xml(crane, (11, 9, 2, 4)),  # first and last swapped
        f"{crane}/{crane}_1.xml": xml(crane, (5, 6, 5, 12)),  # without an extent
        f"{bolete}/{bolete}_0.xml": xml(bolete, (-3, 10, 40, 60)),  # beyond the image
    }


def zipped_tar(files: dict[str, bytes]) -> bytes:
    return gzip.compress(tar(files))


def prepared(source: Path, root: Path, **more: object) -> Store:
    options = {"size": HEIGHT, "source": str(source), "encoding": "whole", "workers": 1}
    make_store(PrepareOptions(str(root), "copy", **(options | more)))  # type: ignore[arg-type]
    return Store(root)


def inclusive(store: Store, split: str) -> dict[str, list[list[int]]]:
    """Boxes by image as in the files: first and last pixel, counted from 0."""
    whole = store.whole(split)
    found = {}
    for i, name in enumerate(whole.names):
        edges = whole.boxes(i).numpy() - np.array([0, 0, 1, 1])
        assert np.allclose(edges, edges.round(), atol=1e-3)
        found[Path(name).stem] = edges.round().astype(int).tolist()
    return found


def expected_train() -> dict[str, list[list[int]]]:
    tench, crane, bolete = WNIDS
    return {
        f"{tench}_0": [[2, 4, 11, 9]],
        f"{tench}_1": [[10, 9, 19, 18]],
        f"{crane}_0": [[2, 4, 11, 9]],
        f"{crane}_1": [],
        f"{bolete}_0": [[0, 10, 23, 19]],
        f"{bolete}_1": [],
    }


def test_official_box_archives_are_read_with_all_irregularities(tmp_path: Path) -> None:
    copy = archives(tmp_path / "copy")
    number, wnid = 1, SYNSETS[TRUTH[0]][0]
    val = {f"val/ILSVRC2012_val_{number:08d}.xml": xml(wnid, (0, 0, WIDTH - 1, HEIGHT - 1))}
    write(
        copy, {"ILSVRC2012_bbox_train_v2.tar.gz": zipped_tar(quirks()), "ILSVRC2012_bbox_val_v3.tgz": zipped_tar(val)}
    )
    store = prepared(copy, tmp_path / "store")
    assert inclusive(store, "train") == expected_train()
    train, found = store.whole("train"), store.whole("val")
    assert [train.box_labels(i).tolist() for i in range(6)] == [[0], [0], [1], [], [2], []]
    assert train.coverage.tolist() == [Coverage.PARTIAL] * 5 + [Coverage.NONE]
    assert found.boxes(0).tolist() == [[0, 0, WIDTH, HEIGHT]]
    assert found.box_counts().tolist() == [1, 0, 0, 0, 0]
    assert store.whole("test").box_counts().sum() == 0


def test_annotations_with_a_wrong_size_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy, (tench, *_) = archives(tmp_path / "copy"), WNIDS
    boxes = {
        f"{tench}/{tench}_0.xml": xml(tench, (2, 4, 11, 9), HEIGHT, WIDTH),
        f"{tench}/{tench}_1.xml": xml(tench, (2, 4, 11, 9), 1, 1),
    }
    write(copy, {"ILSVRC2012_bbox_train_v2.tar.gz": zipped_tar(boxes)})
    store = prepared(copy, tmp_path / "store")
    found = inclusive(store, "train")
    assert (found[f"{tench}_0"], found[f"{tench}_1"]) == ([], [[2, 4, 11, 9]])
    assert store.whole("train").coverage[:2].tolist() == [Coverage.NONE, Coverage.PARTIAL]
    assert (store.manifest.odd, store.manifest.unreadable) == (0, 0)
    report_nonstandard({"odd": 0, "unreadable": 0}, store.root)
    printed = capsys.readouterr().out
    assert f"boxes left out, size in the annotation 20 × 24, the image's transposed: train/{tench}" in printed
    assert (
        f"boxes read in the image's pixels, size in the annotation 1 × 1, which boxes exceed: train/{tench}" in printed
    )


def test_archive_beside_its_unpacked_folder_has_the_same_boxes_again(tmp_path: Path) -> None:
    copy = archives(tmp_path / "copy")
    write(copy, {"ILSVRC2012_bbox_train_v2.tar.gz": zipped_tar(quirks())})
    write(copy / "bbox", quirks())
    assert inclusive(prepared(copy, tmp_path / "store"), "train") == expected_train()


@pytest.mark.parametrize("form", [kaggle, kaggle_zip])
def test_kaggles_table_has_all_boxes_of_an_image(form: Callable[[Path], Path], tmp_path: Path) -> None:
    store = prepared(form(tmp_path / "copy"), tmp_path / "store")
    assert inclusive(store, "val") == {f"ILSVRC2012_val_{i:08d}": [[1, 2, 3, 4], [5, 6, 7, 8]] for i in range(1, 6)}
    whole = store.whole("val")
    assert [whole.box_labels(i).tolist() for i in range(5)] == [[label] * 2 for label in whole.labels]
    assert store.whole("train").box_counts().sum() == 0


def test_kaggles_annotation_tree_takes_precedence_over_its_tables(tmp_path: Path) -> None:
    copy = kaggle(tmp_path / "copy")
    write(copy, {f"ILSVRC/Annotations/CLS-LOC/train/{name}": data for name, data in quirks().items()})
    write(copy, {"LOC_train_solution.csv": f"ImageId,PredictionString\n{WNIDS[0]}_0,{WNIDS[0]} 0 0 1 1 \n".encode()})
    store = prepared(copy, tmp_path / "store")
    assert inclusive(store, "train") == expected_train()
    assert store.whole("val").box_counts().tolist() == [2] * 5


def test_separate_box_folder_is_matched_to_images(tmp_path: Path) -> None:
    """Hugging Face's image names have the class appended."""
    copy = packed(tmp_path / "copy")
    assert prepared(copy, tmp_path / "none").whole("train").box_counts().sum() == 0
    write(tmp_path / "boxes", {"ILSVRC2012_bbox_train_v2.tar.gz": zipped_tar(quirks())})
    store = prepared(copy, tmp_path / "store", boxes=str(tmp_path / "boxes"))
    found = {name.rpartition("_")[0]: boxes for name, boxes in inclusive(store, "train").items()}
    assert found == expected_train()


def test_subset_of_validation_images_with_the_table_is_split_by_name(tmp_path: Path) -> None:
    copy = kaggle(tmp_path / "whole")
    folder = copy / "ILSVRC/Data/CLS-LOC/val"
    (folder / "ILSVRC2012_val_00000005.JPEG").unlink()
    folder.rename(tmp_path / "image")
    (copy / "LOC_val_solution.csv").rename(tmp_path / "LOC_val_solution.csv")
    with pytest.raises(
        UserError, match=r"table, without a validation split; prepare\.val_share=0\.5 holds out half of"
    ):
        prepared(tmp_path, tmp_path / "store")
    store = prepared(tmp_path, tmp_path / "store", val_share=0.5)
    images = {**inclusive(store, "train"), **inclusive(store, "val")}
    assert images == {f"ILSVRC2012_val_{i:08d}": [[1, 2, 3, 4], [5, 6, 7, 8]] for i in range(1, 5)}


def test_archive_of_the_unpacked_validation_images_may_lie_beside_the_table(tmp_path: Path) -> None:
    copy = kaggle(tmp_path / "whole")
    (copy / "ILSVRC/Data/CLS-LOC/val").rename(tmp_path / "val")
    (copy / "LOC_val_solution.csv").rename(tmp_path / "LOC_val_solution.csv")
    shutil.rmtree(copy)
    write(tmp_path, {"ILSVRC2012_img_val.tar": tar({"ILSVRC2012_val_00000001.JPEG": b""})})
    assert read_source(tmp_path, CopyOptions(val_share=0.5))[0] == "validation images with Kaggle's table"
    write(tmp_path, {"ILSVRC2012_img_train.tar": b""})
    with pytest.raises(UserError, match=r"ILSVRC2012_img_train\.tar needs the development kit"):
        read_source(tmp_path)


def test_image_without_a_box_in_the_table_is_named(tmp_path: Path) -> None:
    copy = kaggle(tmp_path / "whole")
    (copy / "ILSVRC/Data/CLS-LOC/val").rename(tmp_path / "image")
    rows = (copy / "LOC_val_solution.csv").read_text().splitlines()
    rows[2] = f"{rows[2].partition(',')[0]},"
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(rows))
    with pytest.raises(UserError, match=rf"LOC_val_solution.csv: {rows[2][:-1]} has no box"):
        prepared(tmp_path, tmp_path / "store")


@pytest.mark.parametrize("form", [tiny_imagenet, tiny_imagenet_zip])
def test_tiny_imagenets_box_files_are_read(form: Callable[[Path], Path], tmp_path: Path) -> None:
    store = prepared(form(tmp_path / "copy"), tmp_path / "store")
    assert set(map(str, inclusive(store, "train").values())) == {"[[1, 2, 15, 16]]"}
    assert inclusive(store, "val") == {f"val_{i}": [[0, 3, 20, 19]] for i in range(5)}
    val = store.whole("val")
    assert [val.box_labels(i).tolist() for i in range(5)] == [[label] for label in val.labels]


def test_boxes_of_a_class_that_the_store_lacks_are_kept_without_a_class_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its box, an object would be background in training."""
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            write(tmp_path / "copy" / split / name, {f"{split}_{name}.jpg": photo(90)})
    write(tmp_path / "boxes", {f"train_{name}.xml": xml(name.title(), (2, 4, 11, 9)) for name in ("cat", "dog")})
    write(tmp_path / "boxes", {"val_dog.xml": xml("dog", (2, 4, 11, 9)), "other.xml": xml("dog", (2, 4, 11, 9))})
    store = prepared(tmp_path / "copy", tmp_path / "store", boxes=str(tmp_path / "boxes"))
    train, val = store.whole("train"), store.whole("val")
    assert [train.box_labels(i).tolist() for i in range(2)] == [[-1], [-1]]
    assert inclusive(store, "train") == {f"train_{name}": [[2, 4, 11, 9]] for name in ("cat", "dog")}
    assert [val.box_labels(i).tolist() for i in range(2)] == [[], [1]]
    printed = capsys.readouterr().out
    assert "boxes of classes that the store lacks, kept without a class: 'Cat' 1, 'Dog' 1" in printed
    assert "1 of 4 annotations match no image" in printed
    assert "with 3 boxes" in describe_store(store)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"n01000001_0.xml": b"<annotation><object>"}, r"n01000001_0\.xml: not an annotation in VOC's XML"),
        *(
            (
                {"n01000001_0.xml": xml("a", (1, 2, 3, 4), side)},
                r"0\.xml: not an annotation .*: not the side of an image",
            )
            for side in ("inf", "1e400", "9999999999", "nan")
        ),
        *(
            ({"n01000001_0.xml": xml("a", (1, 2, edge, 4))}, r"0\.xml: not an annotation .*: not a coordinate")
            for edge in ("inf", "nan", "1e20")
        ),
        ({"n01000001_0.xml": xml("a", (1, 2, 3, 4)).replace(b">3<", b">?<")}, "not an annotation"),
        (
            {"a/n01000001_0.xml": xml("a", (1, 2, 3, 4)), "n01000001_0.xml": xml("a", (1, 2, 3, 5))},
            "n01000001_0 has two annotations with different boxes",
        ),
        ({"boxes.tar.gz": b"no archive"}, r"^prepare\.boxes: \S+boxes\.tar\.gz: corrupt or incomplete archive"),
        ({"boxes.zip": b"no archive"}, r"^prepare\.boxes: \S+boxes\.zip: corrupt or incomplete archive"),
        ({"LOC_val_solution.csv": b"image,boxes\n"}, "does not begin with ImageId"),
        ({"LOC_val_solution.csv": b"ImageId,PredictionStrings\n"}, "does not begin with ImageId"),
        ({"LOC_val_solution.csv": b"ImageId,PredictionString\n" + b"a" * 200_000}, "not a table .field larger than"),
        ({"LOC_val_solution.csv": b"ImageId,PredictionString\nn01000001_0,n01000001 1 2 x 4\n"}, "four numbers a box"),
        ({"LOC_val_solution.csv": f"ImageId,PredictionString\nn0_0,n0 1 2 {10**12} 4\n".encode()}, "not a coordinate"),
        ({"readme.txt": b"nothing here"}, "holds no annotations"),
        ({"n01000001_0.xml": xml("a", (1, 2, 3, 4)) + bytes([32]) * 2**20}, "not an annotation .*1,048,[0-9]+ bytes"),
    ],
)
def test_faulty_boxes_are_named(files: dict[str, bytes], said: str, tmp_path: Path) -> None:
    copy = packed(tmp_path / "copy")
    write(tmp_path / "boxes", files)
    with pytest.raises(UserError, match=said):
        prepared(copy, tmp_path / "store", boxes=str(tmp_path / "boxes"))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_large_file_is_named_before_it_is_read(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip archive of 5 MB could unpack to a file that fills the memory."""
    monkeypatch.setattr(members, "LARGEST", 5000)
    write(tmp_path / "boxes", {"n01000001_0.xml": xml("a", (1, 2, 3, 4)) + bytes([32]) * 5000})
    if form == "zip":
        shutil.make_archive(str(tmp_path / "boxes"), "zip", tmp_path / "boxes")
    place = tmp_path / ("boxes.zip" if form == "zip" else "boxes")
    with pytest.raises(UserError, match=rf"^prepare\.boxes: {place}.*n01000001_0\.xml: 5,[0-9]+ bytes, more than"):
        index_boxes(place, 0)


def test_boxes_require_whole_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"boxes=.*prepare\.encoding=whole"):
        PrepareOptions(str(tmp_path), "copy", source=str(tmp_path), boxes=str(tmp_path))
