"""Kaggle's tree and archives: optional files and messages for faulty ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from copies import (
    SYNSETS,
    TRUTH,
    WNIDS,
    archives,
    folder_archives,
    kaggle,
    kaggle_tar,
    kaggle_zip,
    shades,
    sorted_tree,
    store,
    tree,
    write,
    zipped,
)

from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError


def test_without_the_mapping_classes_come_from_the_solution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = store(kaggle(tmp_path / "whole"), tmp_path / "whole-store")
    copy = kaggle(tmp_path / "copy")
    (copy / "LOC_synset_mapping.txt").unlink()
    found = store(copy, tmp_path / "store")
    assert found.classes == [[wnid, wnid] for wnid in WNIDS]
    for split in ("train", "val", "test"):
        assert shades(found, split) == shades(whole, split)
    assert "without LOC_synset_mapping.txt" in capsys.readouterr().err


@pytest.mark.parametrize("form", [kaggle, kaggle_tar])
def test_missing_solution_table_is_named(form: Callable[[Path], Path], tmp_path: Path) -> None:
    copy = form(tmp_path / "copy")
    (copy / "LOC_val_solution.csv").unlink()
    with pytest.raises(UserError, match=r"has no LOC_val_solution.csv, which labels .* Kaggle competition$"):
        read_source(copy)


def test_solution_that_is_no_table_is_named(tmp_path: Path) -> None:
    copy = kaggle(tmp_path / "copy")
    with (copy / "LOC_val_solution.csv").open("a") as file:
        file.write("ILSVRC2012_val_00000009," + "n01440764 1 1 2 2 " * 10_000)
    with pytest.raises(UserError, match=rf"^prepare.source: LOC_val_solution.csv of {copy}: not a table \("):
        read_source(copy)


def test_class_only_in_the_solution_is_named(tmp_path: Path) -> None:
    copy = kaggle(tmp_path / "copy")
    (copy / "LOC_synset_mapping.txt").unlink()
    (copy / f"ILSVRC/Data/CLS-LOC/train/{WNIDS[1]}").rename(tmp_path / "away")
    with pytest.raises(UserError, match=rf"train and LOC_val_solution.csv do not agree on class {WNIDS[1]}"):
        read_source(copy)


def test_sorted_validation_images_are_checked_against_the_solution(tmp_path: Path) -> None:
    flat = store(kaggle(tmp_path / "flat"), tmp_path / "flat-store")
    copy = kaggle(tmp_path / "copy")
    val = copy / "ILSVRC/Data/CLS-LOC/val"
    for number, truth in enumerate(TRUTH, 1):
        folder = val / SYNSETS[truth][0]
        folder.mkdir(exist_ok=True)
        (val / f"ILSVRC2012_val_{number:08d}.JPEG").rename(folder / f"ILSVRC2012_val_{number:08d}.JPEG")
    assert shades(store(copy, tmp_path / "store"), "val") == shades(flat, "val")
    name = "ILSVRC2012_val_00000001.JPEG"
    (val / SYNSETS[TRUTH[0]][0] / name).rename(val / SYNSETS[TRUTH[1]][0] / name)
    with pytest.raises(UserError, match=rf"{name} is in n02000003, but LOC_val_solution.csv says n09000009"):
        read_source(copy)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("LOC_val_solution.csv", b"ImageId,PredictionString\n\xff\xfe\n", "LOC_val_solution.csv: cannot be read"),
        ("LOC_val_solution.csv", b"ImageId,PredictionString\nILSVRC2012_val_00000001\n", "class  is not in"),
        ("LOC_synset_mapping.txt", b"\xff\xfe\n", "LOC_synset_mapping.txt: cannot be read"),
    ],
)
def test_corrupt_table_is_named(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    copy = kaggle(tmp_path / "copy")
    (copy / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_source(copy)


def test_zip_needs_no_mapping(tmp_path: Path) -> None:
    tree = kaggle(tmp_path / "copy/tree")
    (tree / "LOC_synset_mapping.txt").unlink()
    assert read_source(zipped(tree, tmp_path / "copy"))[1].classes == [(wnid, wnid) for wnid in WNIDS]
    assert read_source(kaggle_zip(tmp_path / "whole"))[1].classes[1] == ("n02000003", "crane")


def annotation(wnid: str) -> bytes:
    size = "<size><width>24</width><height>20</height></size>"
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    return f"<annotation>{size}<object><name>{wnid}</name>{box}</object></annotation>".encode()


def test_annotations_replace_a_missing_solution(tmp_path: Path) -> None:
    """Labels compared with those of the table."""
    copy = kaggle(tmp_path / "copy")
    wanted = [(record.name, record.label) for record in read_source(copy)[1].splits["val"]]
    (copy / "LOC_val_solution.csv").unlink()
    files = {f"ILSVRC2012_val_{i:08d}.xml": annotation(SYNSETS[truth][0]) for i, truth in enumerate(TRUTH, 1)}
    write(copy / "ILSVRC/Annotations/CLS-LOC/val", files)
    assert [(record.name, record.label) for record in read_source(copy)[1].splits["val"]] == wanted


def test_kits_of_other_tasks_in_the_tree_are_passed_over(tmp_path: Path) -> None:
    copy = kaggle(tmp_path / "copy")
    write(copy / "ILSVRC/devkit/data", {"meta_det.mat": b"", "map_det.txt": b""})
    assert read_source(copy)[0].startswith("Kaggle")


def table(root: Path) -> bytes:
    return (kaggle(root) / "LOC_val_solution.csv").read_bytes()


@pytest.mark.parametrize("form", [archives, sorted_tree, tree, folder_archives])
def test_table_beside_a_complete_copy_changes_nothing(form: Callable[[Path], Path], tmp_path: Path) -> None:
    copy = form(tmp_path / "copy")
    before, source = read_source(copy)
    wanted = [(record.name, record.label) for record in source.splits["val"]]
    write(copy, {"LOC_val_solution.csv": table(tmp_path / "kaggle")})
    after, source = read_source(copy)
    assert after == before
    assert [(record.name, record.label) for record in source.splits["val"]] == wanted
    assert source.held_out is None


@pytest.mark.parametrize(("is_flat", "name"), [(True, "val"), (True, "validation"), (False, "val")])
def test_table_beside_train_and_val_without_a_kit(is_flat: bool, name: str, tmp_path: Path) -> None:
    """A flat val/ gets its classes from the table; sorted, it has its own."""
    whole = store(kaggle(tmp_path / "whole"), tmp_path / "whole-store")
    copy = (tree if is_flat else sorted_tree)(tmp_path / "copy")
    shutil.rmtree(copy / "ILSVRC2012_devkit_t12")
    (copy / "val").rename(copy / name)
    write(copy, {"LOC_val_solution.csv": table(tmp_path / "kaggle")})
    found = store(copy, tmp_path / "store")
    for split in ("train", "val"):
        assert shades(found, split) == shades(whole, split)
    assert "held_out" not in found.description["settings"]


def test_archives_of_the_tree_by_other_names(tmp_path: Path) -> None:
    copy = kaggle_zip(tmp_path / "copy")
    next(copy.glob("*.zip")).rename(copy / "ImageNet 2012.zip")
    assert read_source(copy)[0] == "Kaggle's ILSVRC-2012 (ImageNet 2012.zip)"
    copy = kaggle_tar(tmp_path / "other")
    next(copy.glob("*.tar.gz")).rename(copy / "ILSVRC2017_CLS-LOC.tar.gz")
    assert read_source(copy)[0] == "Kaggle's ILSVRC-2012 (ILSVRC2017_CLS-LOC.tar.gz)"
    (copy / "LOC_val_solution.csv").unlink()
    with pytest.raises(UserError, match=r"ILSVRC2017_CLS-LOC\.tar\.gz has no LOC_val_solution\.csv, which labels"):
        read_source(copy)
