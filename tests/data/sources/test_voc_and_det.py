"""PASCAL VOC and ILSVRC detection sources."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from copies import kaggle, photo, write
from torchvision.datasets import VOCDetection

from alexnet_pl.data.boxes.annotation import Coverage, has_background
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import make_store
from alexnet_pl.data.sources.base import CopyOptions
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.sources.name_split import is_held_out
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

SIDE = 20  # the photographs have 24 × 20 pixels


def annotation(*objects: tuple[str, int, int, int, int, int]) -> bytes:
    """XML of objects given as (name, difficult, xmin, ymin, xmax, ymax)."""
    found = "".join(
        f"<object><name>{name}</name><truncated>0</truncated><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin>"
        f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, difficult, x1, y1, x2, y2 in objects
    )
    size = "<size><width>24</width><height>20</height><depth>3</depth></size>"
    return f"<annotation><folder>x</folder><filename>%s</filename>{size}{found}</annotation>".encode()


OBJECTS = {
    "000001": [("dog", 0, 1, 1, 24, 20)],
    "000002": [("cat", 0, 2, 3, 5, 6), ("dog", 0, 10, 10, 20, 20), ("cat", 1, 1, 1, 24, 20)],
    "000003": [],
    "000004": [("cat", 0, 5, 5, 15, 15)],
}


def voc(root: Path) -> Path:
    year = root / "VOCdevkit/VOC2007"
    write(year / "Annotations", {f"{name}.xml": annotation(*objects) for name, objects in OBJECTS.items()})
    write(year / "JPEGImages", {f"{name}.jpg": photo(40 * i + 20) for i, name in enumerate(OBJECTS)})
    lists = {"train": "000001\n000002\n", "val": "000003\n000004\n"}
    write(year / "ImageSets/Main", {f"{split}.txt": text.encode() for split, text in lists.items()})
    return root


def prepared(source: Path, root: Path, **more: object) -> Store:
    options = {"name": "copy", "size": SIDE, "source": str(source), "encoding": "whole", "workers": 1}
    make_store(PrepareOptions(str(root), **(options | more)))  # type: ignore[arg-type]
    return Store(root)


def test_voc_boxes_count_from_one_and_the_largest_gives_the_class(tmp_path: Path) -> None:
    store = prepared(voc(tmp_path / "copy"), tmp_path / "store")
    assert [name for _, name in store.classes] == ["cat", "dog"]
    train, val = store.whole("train"), store.whole("val")
    assert train.boxes(0).tolist() == [[0, 0, 24, 20]]
    assert np.allclose(train.boxes(1).numpy(), [[1, 2, 5, 6], [9, 9, 20, 20], [0, 0, 24, 20]], atol=1e-4)
    assert train.box_labels(1).tolist() == [0, 1, 0]
    assert train.box_difficult(1).tolist() == [False, False, True]
    assert train.labels.tolist() == [1, 1]
    assert val.labels.tolist() == [-1, 0]
    assert val.box_counts().tolist() == [0, 1]
    assert set(train.coverage) == set(val.coverage) == {Coverage.ALL}


def test_torchvision_reads_the_same_boxes(tmp_path: Path) -> None:
    store = prepared(voc(tmp_path / "copy"), tmp_path / "store")
    for split in ("train", "val"):
        own = store.whole(split)
        for i, (_, target) in enumerate(VOCDetection(str(tmp_path / "copy"), "2007", split)):
            found = target["annotation"].get("object", [])
            corners = [[int(o["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax")] for o in found]
            assert np.allclose(own.boxes(i).numpy() + np.array([1, 1, 0, 0]), np.reshape(corners, (-1, 4)), atol=1e-4)
            assert [store.classes[label][1] for label in own.box_labels(i)] == [o["name"] for o in found]


def test_boxes_that_count_from_zero_are_recorded(tmp_path: Path) -> None:
    store = prepared(voc(tmp_path / "copy"), tmp_path / "store", first_pixel=0)
    assert np.allclose(store.whole("val").boxes(1).numpy(), [[5, 5, 16, 16]], atol=1e-4)


def test_without_lists_names_decide_the_split(tmp_path: Path) -> None:
    copy = voc(tmp_path / "copy") / "VOCdevkit/VOC2007"
    for path in (copy / "ImageSets/Main").iterdir():
        path.unlink()
    with pytest.raises(
        UserError, match=r"PASCAL VOC's layout, without a validation split; prepare\.val_share=0\.5 holds"
    ):
        prepared(copy, tmp_path / "store")
    store = prepared(copy, tmp_path / "store", val_share=0.5)
    names = [name.partition("/")[2] for split in ("train", "val") for name in store.whole(split).names]
    assert sorted(names) == [f"{name}.jpg" for name in OBJECTS]


def split_folders(root: Path, *folders: str) -> Path:
    """ImageAI's layout: annotations/ and images/ of each split."""
    for number, folder in enumerate(folders):
        write(
            root / folder / "annotations", {f"{number}.{i}.xml": annotation(("dog", 0, 1, 1, 9, 9)) for i in range(8)}
        )
        write(root / folder / "images", {f"{number}.{i}.jpg": photo(9 * i) for i in range(8)})
    return root


def test_folders_named_like_splits_are_the_splits(tmp_path: Path) -> None:
    source = read_source(split_folders(tmp_path, "train", "validation", "test"))[1]
    names = {split: {record.name.partition(".")[0] for record in records} for split, records in source.splits.items()}
    assert names == {"train": {"train/0"}, "val": {"val/1"}, "test": {"test/2"}}
    assert source.held_out is None


@pytest.mark.parametrize("folders", [("train",), ("train", "test"), ("VOC2007", "VOC2012")])
def test_other_folders_are_split_by_name(folders: tuple[str, ...], tmp_path: Path) -> None:
    source = read_source(split_folders(tmp_path, *folders), CopyOptions(val_share=0.5))[1]
    assert source.held_out == 0.5
    found = {split: {record.name.split("/")[1] for record in records} for split, records in source.splits.items()}
    assert found["val"] == {name for name in found["train"] | found["val"] if is_held_out(name, 0.5)}
    assert len(found.get("test", ())) == 8 * ("test" in folders)


def test_listed_names_may_contain_spaces(tmp_path: Path) -> None:
    year = voc(tmp_path) / "VOCdevkit/VOC2007"
    for folder, suffix in (("Annotations", "xml"), ("JPEGImages", "jpg")):
        (year / folder / f"000001.{suffix}").rename(year / folder / f"my dog 1.{suffix}")
    (year / "ImageSets/Main/train.txt").write_text("my dog 1 \r\n\n000002\n")
    assert [record.name for record in read_source(tmp_path)[1].splits["train"]] == [
        "train/my dog 1.jpg",
        "train/000002.jpg",
    ]


def test_two_images_of_one_annotation_are_named(tmp_path: Path) -> None:
    write(voc(tmp_path) / "VOCdevkit/VOC2007/JPEGImages", {"000001.png": photo(1)})
    with pytest.raises(UserError, match=r"JPEGImages/000001\.jpg and 000001\.png have one annotation"):
        read_source(tmp_path)


def test_missing_listed_image_is_named_and_squares_are_refused(tmp_path: Path) -> None:
    copy = voc(tmp_path / "copy")
    with pytest.raises(UserError, match=r"has boxes, not classes; add prepare\.encoding=whole"):
        prepared(copy, tmp_path / "store", encoding="raw")
    (copy / "VOCdevkit/VOC2007/JPEGImages/000002.jpg").unlink()
    with pytest.raises(UserError, match=r"train\.txt lists 000002, which is not in"):
        prepared(copy, tmp_path / "store")


def det(root: Path) -> Path:
    """Unpacked archives of 2013: two images with boxes, one extra without, two for validation, one of them empty."""
    wnid = "n02084071"
    write(root / "ILSVRC2013_DET_train" / wnid, {f"{wnid}_{i}.JPEG": photo(50 * i + 30) for i in range(2)})
    write(root / "ILSVRC2013_DET_train_extra0", {"ILSVRC2013_train_00000001.JPEG": photo(200)})
    write(root / "ILSVRC2013_DET_val", {f"ILSVRC2012_val_0000000{i}.JPEG": photo(20 * i) for i in (1, 2)})
    boxes = {f"{wnid}/{wnid}_{i}.xml": annotation((wnid, 0, 0, 0, 11, 9)) for i in range(2)}
    write(root / "ILSVRC2013_DET_bbox_train", boxes)
    val = annotation(("n02121808", 0, 3, 3, 6, 6), (wnid, 0, 2, 2, 23, 19))
    write(root / "ILSVRC2013_DET_bbox_val", {"ILSVRC2012_val_00000002.xml": val})
    return root


def test_only_validation_images_of_detection_are_fully_annotated(tmp_path: Path) -> None:
    store = prepared(det(tmp_path / "copy"), tmp_path / "store")
    assert [wnid for wnid, _ in store.classes] == ["n02084071", "n02121808"]
    train, val = store.whole("train"), store.whole("val")
    assert train.labels.tolist() == [0, 0, -1]
    assert train.box_counts().tolist() == [1, 1, 0]
    assert set(train.coverage) == {Coverage.PARTIAL}
    assert val.coverage.tolist() == [Coverage.ALL, Coverage.ALL]
    assert val.labels.tolist() == [-1, 0]
    assert np.allclose(train.boxes(0).numpy(), [[0, 0, 12, 10]], atol=1e-4)
    assert len(store.split("train")) == 2


def test_task_of_a_tree_with_both_is_that_of_the_store(tmp_path: Path) -> None:
    copy = kaggle(tmp_path / "copy")
    for split in ("train", "val"):
        write(copy / f"ILSVRC/Data/DET/{split}", {f"{split}.JPEG": photo(1)})
        write(copy / f"ILSVRC/Annotations/DET/{split}", {f"{split}.xml": annotation(("n02084071", 0, 2, 2, 23, 19))})
    with pytest.raises(UserError, match="val: 5 images, but there should be 50,000"):
        prepared(copy, tmp_path / "store", name="ilsvrc2012")
    assert len(prepared(copy, tmp_path / "squares", encoding="raw").classes) == 3
    assert [wnid for wnid, _ in prepared(copy, tmp_path / "whole").classes] == ["n02084071"]


def test_detection_images_without_boxes_are_refused(tmp_path: Path) -> None:
    copy = det(tmp_path / "copy")
    (copy / "ILSVRC2013_DET_bbox_val").rename(copy / "elsewhere")
    with pytest.raises(UserError, match=r"no boxes of val \(ILSVRC2013_DET_bbox_val\)"):
        prepared(copy, tmp_path / "store")


WNIDS = ("n02121808", "n02084071", "n99999999")  # classes 1, 2, 3 of the kit, in another order than the ids
DOG, CAT = (f"n02084071/n02084071_{i}" for i in range(2))
NEGATIVE, UNLISTED, COMPLETE = "ILSVRC2013_train_00000001", "ILSVRC2013_train_00000002", "ILSVRC2014_train_00000003"


def meta_det(*wnids: str) -> bytes:
    fields = [(name, object) for name in ("ILSVRC2013_DET_ID", "WNID", "name", "description")]
    table = np.array([(i, wnid, f"name {i}", "") for i, wnid in enumerate(wnids or WNIDS, 1)], fields)
    file = io.BytesIO()
    scipy.io.savemat(file, {"synsets": table})
    return file.getvalue()


def with_more_images(root: Path) -> Path:
    """Adds another image without boxes that no list contains, and one of 2014."""
    det(root)
    write(root / "ILSVRC2013_DET_train_extra0", {f"{UNLISTED}.JPEG": photo(90)})
    write(root / "ILSVRC2014_DET_train_0000", {f"{COMPLETE}.JPEG": photo(60)})
    return root


def lists_of_2013(root: Path) -> None:
    lists = {"pos_2": f"{Path(DOG).name} 1", "part_1": f"{Path(CAT).name} 7", "neg_1": f"{NEGATIVE} 3", "neg_3": ""}
    files = {f"train_{name}.txt": f"{text}\n".encode() for name, text in lists.items()}
    write(root / "ILSVRC2013_devkit/data/det_lists", files)
    write(root / "ILSVRC2013_devkit/data", {"meta_det.mat": meta_det()})


def archived_kit(root: Path) -> None:
    lists_of_2013(root / "elsewhere")
    with tarfile.open(root / "ILSVRC2013_devkit.tgz", "w:gz") as tar:
        tar.add(root / "elsewhere/ILSVRC2013_devkit", "ILSVRC2013_devkit")


def lists_of_2015(root: Path) -> None:
    lists = {"2": f"{DOG} 1\n{NEGATIVE} -1\n", "1": f"{CAT} 0\nILSVRC2013_DET_train_extra0/{NEGATIVE} -1\n"}
    files = {f"train_{number}.txt": text.encode() for number, text in lists.items()}
    write(
        root / "ILSVRC/ImageSets/DET", {**files, "val.txt": b"ILSVRC2012_val_00000001 1\nILSVRC2012_val_00000002 2\n"}
    )


@pytest.mark.parametrize("folder", ["ILSVRC/ImageSets/DET", "ILSVRC2014_devkit/data/det_lists"])
def test_images_that_the_kit_lists_but_the_copy_lacks_are_reported(tmp_path: Path, folder: str) -> None:
    """Submissions and blacklists number all images, so a store without some of them has other numbers."""
    copy = det(tmp_path / "copy")
    names = [f"ILSVRC2012_val_0000000{i}" for i in (1, 2, 3)]
    write(copy / folder, {"val.txt": "".join(f"{name} {i}\n" for i, name in enumerate(names, 1)).encode()})
    with pytest.raises(UserError, match=r"val: 2 images, but there should be 3; .*allow_incomplete=true"):
        prepared(copy, tmp_path / "store")
    store = prepared(copy, tmp_path / "store", allow_incomplete=True)
    assert store.manifest.missing == ["val: 2 images, but there should be 3"]


@pytest.mark.parametrize("add_lists", [lists_of_2013, archived_kit, lists_of_2015])
def test_lists_determine_how_detection_images_were_annotated(tmp_path: Path, add_lists: Callable[[Path], None]) -> None:
    copy = with_more_images(tmp_path / "copy")
    add_lists(copy)
    train = prepared(copy, tmp_path / "store").whole("train")
    found = {Path(name).stem: Coverage(coverage) for name, coverage in zip(train.names, train.coverage, strict=True)}
    assert found == {
        Path(DOG).name: Coverage.PARTIAL,
        Path(CAT).name: Coverage.NONE,
        NEGATIVE: Coverage.ABSENT,
        UNLISTED: Coverage.PARTIAL,
        COMPLETE: Coverage.ALL,
    }


def test_kit_numbers_and_names_the_detection_classes(tmp_path: Path) -> None:
    lists_of_2013(det(tmp_path / "copy"))
    store = prepared(tmp_path / "copy", tmp_path / "store")
    assert store.classes == [["n02084071", "name 2"], ["n02121808", "name 1"], ["n99999999", "name 3"]]
    assert store.manifest.ilsvrc_ids == [2, 1, 3]
    assert store.whole("val").labels.tolist() == [-1, 0]


BAD_LINES = ["n02084071_1", "n02084071_1 2", "n02084071_1 yes", "<html> 0", "404 -1"]


@pytest.mark.parametrize("line", BAD_LINES)
def test_damaged_detection_list_is_named(tmp_path: Path, line: str) -> None:
    lists_of_2015(det(tmp_path / "copy"))
    (tmp_path / "copy/ILSVRC/ImageSets/DET/train_2.txt").write_text(line)
    with pytest.raises(UserError, match=rf"train_2\.txt: '{line}': not an image and 1, 0 or -1"):
        prepared(tmp_path / "copy", tmp_path / "store")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.98])
def test_truncated_class_table_is_named(tmp_path: Path, share: float) -> None:
    lists_of_2013(det(tmp_path / "copy"))
    table = meta_det()
    (tmp_path / "copy/ILSVRC2013_devkit/data/meta_det.mat").write_bytes(table[: int(share * len(table))])
    with pytest.raises(UserError, match=r"meta_det\.mat: not a table of detection classes"):
        prepared(tmp_path / "copy", tmp_path / "store")


def test_synsets_above_the_200_classes_are_no_classes(tmp_path: Path) -> None:
    """Kits of 2013 number the synsets above and below the classes too."""
    copy = det(tmp_path / "copy")
    wnids = [f"n{number:08}" for number in range(1, 198)]
    write(copy / "ILSVRC2013_devkit/data", {"meta_det.mat": meta_det(*WNIDS, *wnids, "n90000000", "n90000001")})
    assert len(prepared(copy, tmp_path / "store").classes) == 200


def test_class_numbers_with_gaps_and_two_different_kits_are_refused(tmp_path: Path) -> None:
    copy = det(tmp_path / "copy")
    write(copy / "ILSVRC2013_devkit/data", {"meta_det.mat": meta_det("n01", "n01")})
    with pytest.raises(UserError, match=r"meta_det\.mat: numbers its classes twice or with gaps"):
        prepared(copy, tmp_path / "store")
    for year, wnids in ((2013, WNIDS), (2014, WNIDS[::-1])):
        write(copy / f"ILSVRC{year}_devkit/data", {"meta_det.mat": meta_det(*wnids)})
    with pytest.raises(UserError, match="have different classes; keep one"):
        prepared(copy, tmp_path / "store")


def test_damaged_kit_archive_is_named(tmp_path: Path) -> None:
    archived_kit(det(tmp_path / "copy"))
    archive = tmp_path / "copy/ILSVRC2013_devkit.tgz"
    content = archive.read_bytes()
    for corrupt in (content[:-4], content[: len(content) // 2], content[:-8] + b"0000" + content[-4:]):
        archive.write_bytes(corrupt)
        with pytest.raises(UserError, match=r"ILSVRC2013_devkit\.tgz: corrupt or incomplete archive"):
            prepared(tmp_path / "copy", tmp_path / "store")


def test_tree_of_2015_is_read_under_its_own_name(tmp_path: Path) -> None:
    copy = with_more_images(tmp_path / "copy")
    lists_of_2015(copy)
    tree = tmp_path / "downloads/ILSVRC2015"
    write(tree / "devkit/data", {"meta_det.mat": meta_det()})
    (copy / "ILSVRC/ImageSets").rename(tree / "ImageSets")
    for part, folder in (("Data/DET/train", "ILSVRC201?_DET_train*"), ("Annotations/DET/train", "*bbox_train")):
        (tree / part).mkdir(parents=True)
        for path in sorted(copy.glob(folder)):
            for inside in [path] if "extra" in path.name or "2014" in path.name else path.iterdir():
                inside.rename(tree / part / inside.name)
    (copy / "ILSVRC2013_DET_val").rename(tree / "Data/DET/val")
    (copy / "ILSVRC2013_DET_bbox_val").rename(tree / "Annotations/DET/val")
    for source in (tree, tree.parent):
        store = prepared(source, tmp_path / f"store of {source.name}")
        coverage = store.whole("train").coverage.tolist()
        assert sorted(coverage) == [Coverage.NONE, Coverage.PARTIAL, Coverage.PARTIAL, Coverage.ALL, Coverage.ABSENT]
        assert len(store.classes) == 3


@pytest.mark.parametrize(
    ("coverage", "without_box", "with_box"),
    [(Coverage.NONE, False, False), (Coverage.PARTIAL, False, True), (Coverage.ALL, True, True)],
)
def test_background_is_taken_from_annotated_images(coverage: Coverage, without_box: bool, with_box: bool) -> None:
    assert has_background(coverage, 0) == without_box
    assert has_background(coverage, 2) == with_box
    assert has_background(Coverage.ABSENT, 0)


@pytest.mark.parametrize("name", ["train.txt", "LOC_val_solution.csv"])
def test_list_that_is_no_text_is_named(tmp_path: Path, name: str) -> None:
    tabled = {name: b"", "ILSVRC2012_val_00000001.JPEG": photo(1)}
    copy = voc(tmp_path / "copy") if name == "train.txt" else write(tmp_path / "copy", tabled)
    file = next(copy.rglob(name))
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match=rf"^prepare.source: {file}: cannot be read"):
        read_source(copy)
