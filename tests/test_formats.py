"""Copies of ImageNet in small, true to the format of each: the builders below double as its specification."""

import io
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from alexnet_pl.data.decode import read
from alexnet_pl.data.devkit import read_devkit
from alexnet_pl.data.formats import read_source
from alexnet_pl.data.prepare import prepare
from alexnet_pl.data.source import Source
from alexnet_pl.data.store import Store
from alexnet_pl.errors import UserError

SHARED = Path(__file__).parent.parent.parent / "shared/data/devkit"
# number → wnid, words: numbers are not in the order of the wnids, as in the real kits
SYNSETS = {1: ("n02000003", "crane"), 2: ("n01000001", "tench, Tinca tinca"), 3: ("n09000009", "bolete")}
WNIDS = sorted(wnid for wnid, _ in SYNSETS.values())
TRUTH = [3, 1, 2, 2, 1]
Files = dict[str, bytes]


def photo(shade: int) -> bytes:
    """A JPEG whose grey level tells which image it is."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 20), (shade, shade, shade)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def tar(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def devkit(year: int) -> Files:
    """data/meta.mat with the leaves numbered from 1 and their ancestors above, and the validation labels."""
    fields = [
        f"ILSVRC{year}_ID",
        "WNID",
        "words",
        "gloss",
        "num_children",
        "children",
        "wordnet_height",
        "num_train_images",
    ]
    rows = [(number, wnid, words, "", 0, [], 0, 2) for number, (wnid, words) in SYNSETS.items()]
    rows.append((4, "n00001740", "entity", "", 3, [1, 2, 3], 1, 0))
    synsets = np.array([tuple(np.array(cell, object) for cell in row) for row in rows], [(f, object) for f in fields])
    buffer = io.BytesIO()
    savemat(buffer, {"synsets": synsets})
    truth = "".join(f"{number}\n" for number in TRUTH).encode()
    return {"data/meta.mat": buffer.getvalue(), f"data/ILSVRC{year}_validation_ground_truth.txt": truth}


def train_images() -> dict[str, Files]:
    """wnid → its two images; the shade is 10 times the class's place in the order of wnids, plus 0 or 5."""
    return {w: {f"{w}_{i}.JPEG": photo(20 + 60 * k + 20 * i) for i in range(2)} for k, w in enumerate(WNIDS)}


def numbered(year: int, split: str, count: int) -> Files:
    return {f"ILSVRC{year}_{split}_{i:08d}.JPEG": photo(30 * i) for i in range(1, count + 1)}


def archives(root: Path, year: int = 2012) -> Path:
    """The organisers' own files, unopened."""
    name = {2012: "img", 2010: "images"}[year]
    inner = {f"{wnid}.tar": tar(files) for wnid, files in train_images().items()}
    write(root, {f"ILSVRC{year}_{name}_train.tar": tar(inner)})
    write(root, {f"ILSVRC{year}_{name}_val.tar": tar({f"val/{n}": d for n, d in numbered(year, "val", 5).items()})})
    write(root, {f"ILSVRC{year}_{name}_test.tar": tar(numbered(year, "test", 3))})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, data in devkit(year).items():
            member = tarfile.TarInfo(f"ILSVRC{year}_devkit/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return write(root, {f"ILSVRC{year}_devkit_t12.tar.gz": packed.getvalue()})


def tree(root: Path) -> Path:
    """What torchvision and the usual shell scripts leave, with a flat val/."""
    for wnid, files in train_images().items():
        write(root / "train" / wnid, files)
    write(root / "val", numbered(2012, "val", 5))
    write(root / "ILSVRC2012_devkit_t12", devkit(2012))
    return root


def sorted_tree(root: Path) -> Path:
    """… and with val/ sorted into class folders."""
    tree(root)
    for number, truth in enumerate(TRUTH, 1):
        name = f"ILSVRC2012_val_{number:08d}.JPEG"
        (root / "val" / SYNSETS[truth][0]).mkdir(exist_ok=True)
        (root / "val" / name).rename(root / "val" / SYNSETS[truth][0] / name)
    return root


def kaggle(root: Path) -> Path:
    data = root / "ILSVRC/Data/CLS-LOC"
    for wnid, files in train_images().items():
        write(data / "train" / wnid, files)
    write(data / "val", numbered(2012, "val", 5))
    write(data / "test", numbered(2012, "test", 3))
    words = dict(SYNSETS.values())
    lines = [f"{SYNSETS[t][0]} 1 2 3 4 {SYNSETS[t][0]} 5 6 7 8" for t in TRUTH]
    solution = "".join(f"ILSVRC2012_val_{i:08d},{line}\n" for i, line in reversed(list(enumerate(lines, 1))))
    write(root, {"LOC_val_solution.csv": b"ImageId,PredictionString\n" + solution.encode()})
    return write(root, {"LOC_synset_mapping.txt": "".join(f"{w} {words[w]}\n" for w in WNIDS).encode()})


def write(root: Path, files: Files) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def store(source: Path, root: Path) -> Store:
    prepare(read_source(source, {})[1], root, "x", 16, {}, partial(read, size=16, how="bilinear"))
    return Store(root)


def shades(of: Store, split: str) -> list[tuple[int, str]]:
    """(grey level, wnid or "-") of every image, by way of pixels and labels in the store."""
    part = of.split(split)
    images = np.zeros((len(part), 3, 16, 16), np.uint8)
    part.read(np.arange(len(part)), images)
    names = [of.classes[label][0] if label >= 0 else "-" for label in part.labels]
    return sorted(zip(images.mean((1, 2, 3)).round().astype(int).tolist(), names, strict=True))


FORMS = {
    "archives": archives,
    "tree": tree,
    "sorted tree": sorted_tree,
    "Kaggle": kaggle,
    "2010": partial(archives, year=2010),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_images_with_the_same_labels(form: Callable[[Path], Path], tmp_path: Path) -> None:
    found = store(form(tmp_path / "copy"), tmp_path / "store")
    assert [wnid for wnid, _ in found.classes] == WNIDS
    assert dict(found.classes) == dict(SYNSETS.values())
    assert shades(found, "train") == [(20 + 60 * k + 20 * i, w) for k, w in enumerate(WNIDS) for i in range(2)]
    assert shades(found, "val") == [(30 * i, SYNSETS[truth][0]) for i, truth in enumerate(TRUTH, 1)]
    if form not in (tree, sorted_tree):
        assert shades(found, "test") == [(30, "-"), (60, "-"), (90, "-")]
    if form is not kaggle:
        assert found.about["ilsvrc_ids"] == [2, 1, 3]


def test_the_test_set_of_2010_has_labels(tmp_path: Path) -> None:
    """Table 1 is measured on it."""
    copy = archives(tmp_path / "copy", 2010)
    (copy / "ILSVRC2010_test_ground_truth.txt").write_text("2\n2\n3\n")
    labelled = [(30, "n01000001"), (60, "n01000001"), (90, "n09000009")]
    assert shades(store(copy, tmp_path / "store"), "test") == labelled


def test_patches_replace_images_of_the_same_name_and_a_zipped_photograph_is_read(tmp_path: Path) -> None:
    """2010's patch_images.tar, and its n02487347_1956.JPEG, which is a gzip."""
    import gzip

    copy = archives(tmp_path / "copy", 2010)
    patch = {"train/n01000001_0.JPEG": gzip.compress(photo(200)), "val/ILSVRC2010_val_00000001.JPEG": photo(240)}
    write(copy, {"patch_images.tar": tar(patch)})
    found = store(copy, tmp_path / "store")
    assert (200, "n01000001") in shades(found, "train")
    assert (20, "n01000001") not in shades(found, "train")
    assert (240, SYNSETS[TRUTH[0]][0]) in shades(found, "val")


def test_synset_archives_are_split_in_halves_by_name_alone(tmp_path: Path) -> None:
    """§7: "half of the images for training and half for testing"."""
    files = {f"{w}.tar": tar({f"{w}_{i}.JPEG": photo(i) for i in range(60)}) for w in WNIDS}
    whole = write(tmp_path / "whole", {"fall11_whole.tar": tar(files)})
    loose = write(tmp_path / "loose", files)
    splits = [read_source(path, {})[1].splits for path in (whole, loose, whole / "fall11_whole.tar")]
    names = [{split: [item.name for item in items] for split, items in found.items()} for found in splits]
    assert names[0] == names[1] == names[2]
    assert len(names[0]["train"]) + len(names[0]["val"]) == 180
    assert 60 < len(names[0]["train"]) < 120
    assert not set(names[0]["train"]) & set(names[0]["val"])


def validation(copy: Path, year: int, count: int) -> None:
    write(copy, {"ILSVRC2012_img_val.tar": tar(numbered(year, "val", count))})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-11_000])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: cut(c / "ILSVRC2012_img_train.tar"), "ILSVRC2012_img_train.tar: damaged or incomplete archive"),
        (lambda c: cut(c / "ILSVRC2012_img_val.tar"), "ILSVRC2012_img_val.tar: damaged or incomplete archive"),
        (lambda c: (c / "ILSVRC2012_img_train.tar").unlink(), "no training images of n01000001 and 2 more"),
        (lambda c: (c / "ILSVRC2012_img_val.tar").unlink(), "5 of 5 val images are missing, from number 1"),
        (
            lambda c: validation(c, 2012, 4),
            "1 of 5 val images are missing",
        ),
        (
            lambda c: validation(c, 2012, 7),
            "val image number 6, but only 5",
        ),
        (
            lambda c: validation(c, 2010, 5),
            "is of ILSVRC-2010, .* of ILSVRC-2012",
        ),
        (
            lambda c: write(c, {"more.tar": tar({"n07000000.tar": tar({"x.JPEG": b""})})}),
            "training class n07000000 is not in",
        ),
        (lambda c: (c / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"no"), "damaged or incomplete devkit"),
    ],
)
def test_a_copy_that_is_not_whole_is_told_by_the_file(
    spoil: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    copy = archives(tmp_path / "copy")
    spoil(copy)
    with pytest.raises(UserError, match=says):
        read_source(copy, {})


def test_a_class_of_the_other_years_devkit_is_told(tmp_path: Path) -> None:
    """Only 640 of the two years' 1,000 classes are the same."""
    copy = tree(tmp_path / "copy")
    (copy / "train/n09000009").rename(copy / "train/n09000010")
    with pytest.raises(UserError, match=r"training class n09000010 is not in .*of the other year"):
        read_source(copy, {})


def test_a_validation_image_sorted_into_another_class_than_its_label_is_told(tmp_path: Path) -> None:
    copy = sorted_tree(tmp_path / "copy")
    name = "ILSVRC2012_val_00000001.JPEG"
    (copy / "val" / SYNSETS[3][0] / name).rename(copy / "val" / SYNSETS[1][0] / name)
    with pytest.raises(UserError, match=r"lies in n02000003, .* says n09000009"):
        read_source(copy, {})


def test_links_and_paths_that_lead_out_of_an_archive_are_never_followed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("n01000001_8.JPEG")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name in ("../../n01000001_9.JPEG", "/n01000001_7.JPEG"):
            member = tarfile.TarInfo(name)
            member.size = len(photo(9))
            archive.addfile(member, io.BytesIO(photo(9)))
    copy = write(tmp_path / "copy", {"n01000001.tar": buffer.getvalue()})
    found = read_source(copy, {})[1]
    names = [item.name for items in found.splits.values() for item in items]
    assert sorted(names) == ["n01000001/n01000001_7.JPEG", "n01000001/n01000001_9.JPEG"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["copy", "n01000001.tar"]


def test_an_archive_is_read_where_it_lies(tmp_path: Path) -> None:
    source: Source = read_source(archives(tmp_path / "copy"), {})[1]
    for item in source.splits["train"]:
        wnid, name = item.name.split("/")[1:]
        assert item.place.read() == train_images()[wnid][name]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real development kits lie in ../shared, which is not here")
@pytest.mark.parametrize(
    ("folder", "year", "images"),
    [("ILSVRC2010_devkit-1.0", 2010, 1_261_406), ("ILSVRC2012_devkit_t12", 2012, 1_281_167)],
)
def test_the_real_development_kits(folder: str, year: int, images: int) -> None:
    """Against scipy's own reading; 1,000 leaves, 50 validation images of each."""
    kit = read_devkit(SHARED / folder)
    raw = loadmat(SHARED / folder / "data/meta.mat", squeeze_me=True)["synsets"]
    assert sum(int(row["num_train_images"]) for row in raw[:1000]) == images
    assert (kit.year, len(kit.classes), len(kit.truth)) == (year, 1000, 50_000)
    assert kit.classes == sorted((str(row["WNID"]), str(row["words"])) for row in raw[:1000])
    assert np.bincount(kit.labels(kit.truth)).tolist() == [50] * 1000
    for label, number in zip(kit.labels(kit.truth[:100]), kit.truth[:100], strict=True):
        assert kit.classes[label][0] == str(raw[number - 1]["WNID"])
        assert kit.numbers[label] == number


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real development kits lie in ../shared, which is not here")
def test_labels_of_2012_are_those_that_torchvision_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's `ImageNet` makes wnids of the ground truth by code of its own."""
    from torchvision.datasets import imagenet

    monkeypatch.setattr(imagenet, "_verify_archive", lambda *_: None)  # packed anew, so with another md5
    with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(SHARED / "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12")
    imagenet.parse_devkit_archive(tmp_path)
    words, wnids = imagenet.load_meta_file(tmp_path)
    kit = read_devkit(tmp_path / "ILSVRC2012_devkit_t12.tar.gz")
    assert [kit.classes[label][0] for label in kit.labels(kit.truth)] == wnids
    assert {wnid: tuple(name.split(", ")) for wnid, name in kit.classes} == words
