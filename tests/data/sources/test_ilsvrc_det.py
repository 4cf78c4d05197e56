"""Images and boxes of ILSVRC's detection task, with its kits and lists."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from box_copies import annotation, prepared, voc
from copies import kaggle, photo, write

from alexnet_pl.data.boxes.annotation import Coverage, has_background
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError


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


def test_lists_of_another_kit_are_not_read(tmp_path: Path) -> None:
    copy = det(tmp_path / "copy")
    write(copy / "car_devkit/lists", {"val.txt": b"other_1\nother_2\nother_3\n"})
    lists_of_2015(copy)
    assert prepared(copy, tmp_path / "store").manifest.missing == []


def test_missing_test_images_are_recorded(tmp_path: Path) -> None:
    """Those of 2015 and later are a separate download."""
    copy = det(tmp_path / "copy")
    write(copy / "ILSVRC2013_DET_test", {"ILSVRC2012_test_00000001.JPEG": photo(3)})
    lists_of_2015(copy)
    write(copy / "ILSVRC/ImageSets/DET", {"test.txt": b"ILSVRC2012_test_00000001 1\nILSVRC2012_test_00000002 2\n"})
    store = prepared(copy, tmp_path / "store")
    assert store.manifest.missing == ["test: 1 images, but there should be 2"]


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
