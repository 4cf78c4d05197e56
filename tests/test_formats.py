"""Copies of ImageNet in small, true to the format of each: the builders below double as its specification."""

import gzip
import io
import json
import shutil
import tarfile
import zipfile
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
from alexnet_pl.data.settings import Settings
from alexnet_pl.data.source import Item, Source
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
    trained = [f"{wnid}/{name[:-5]}" for wnid, files in train_images().items() for name in files]
    for name, stems in (("train_cls", trained), ("test", [f"ILSVRC2012_test_{i:08d}" for i in range(1, 4)])):
        listed = "".join(f"{stem} {i}\n" for i, stem in enumerate(stems, 1)).encode()
        write(root, {f"ILSVRC/ImageSets/CLS-LOC/{name}.txt": listed})
    write(root, {"ILSVRC/ImageSets/DET/test.txt": b"of another task\n"})
    return write(root, {"LOC_synset_mapping.txt": "".join(f"{w} {words[w]}\n" for w in WNIDS).encode()})


def kaggle_zip(root: Path) -> Path:
    return zipped(kaggle(root / "tree"), root)


def kaggle_tar(root: Path) -> Path:
    return tarred(kaggle(root / "tree"), root)


def zipped(tree: Path, root: Path) -> Path:
    """As Kaggle's download is called; photographs hardly shrink, but zip programs try."""
    root.mkdir(exist_ok=True)
    with zipfile.ZipFile(root / "imagenet-object-localization-challenge.zip", "w") as archive:
        for number, path in enumerate(sorted(p for p in tree.rglob("*") if p.is_file())):
            packing = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2]
            archive.write(path, path.relative_to(tree).as_posix(), packing)
    shutil.rmtree(tree)
    return root


def tarred(tree: Path, root: Path) -> Path:
    """The older download: the images in one archive, the tables beside it."""
    root.mkdir(exist_ok=True)
    with tarfile.open(root / "imagenet_object_localization_patched2019.tar.gz", "w:gz") as archive:
        archive.add(tree / "ILSVRC", "ILSVRC")
    for name in ("LOC_val_solution.csv", "LOC_synset_mapping.txt"):
        (tree / name).rename(root / name)
    shutil.rmtree(tree)
    return root


def rows(split: str) -> list[tuple[bytes, str, int]]:
    """(JPEG, path, label) as Hugging Face has them: the label is the place among the sorted wnids, −1 in test."""
    if split == "train":
        images = [(name, data) for files in train_images().values() for name, data in files.items()]
        return [(d, f"{n[:-5]}_{n[:9]}.JPEG", WNIDS.index(n[:9])) for n, d in reversed(images)]
    images = list(numbered(2012, split, {"val": 5, "test": 3}[split]).items())
    if split == "test":
        return [(data, name, -1) for name, data in images]
    wnids = [SYNSETS[number][0] for number in TRUTH]
    return [(d, f"{n[:-5]}_{w}.JPEG", WNIDS.index(w)) for (n, d), w in zip(images, wnids, strict=True)]


def parquet(root: Path) -> Path:
    """data/train-00000-of-00002.parquet …: row groups of two images, the class names in the metadata."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not here: pip install 'alexnet_pl[parquet]'")
    from pyarrow.parquet import ParquetWriter

    names = [dict(SYNSETS.values())[wnid] for wnid in WNIDS]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", kind), ("label", pa.int64())], {"huggingface": json.dumps({"info": {"features": features}})}
    )
    (root / "data").mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        for number in range(2):
            part = rows(split)[number::2]
            table = pa.table(
                {"image": [{"bytes": d, "path": p} for d, p, _ in part], "label": [r[2] for r in part]}, schema
            )
            with ParquetWriter(root / f"data/{name}-{number:05d}-of-00002.parquet", schema) as writer:
                writer.write_table(table, row_group_size=2)
    return root


def packed(root: Path) -> Path:
    """Hugging Face's older form: train_images_0.tar.gz … 4, val_images.tar.gz, test_images.tar.gz."""
    root.mkdir()
    for split in ("train", "val", "test"):
        for number in range(2 if split == "train" else 1):
            part = rows(split)[number::2] if split == "train" else rows(split)
            name = f"train_images_{number}" if split == "train" else f"{split}_images"
            (root / f"{name}.tar.gz").write_bytes(gzip.compress(tar({path: data for data, path, _ in part})))
    return root


def shards(root: Path) -> Path:
    """timm's: imagenet22k-train-0000.tar …, a sample of .jpg, .cls and .json by one key."""
    root.mkdir()
    for split, name in (("train", "train"), ("val", "validation")):
        for number in range(2):
            files: Files = {}
            for i, (data, path, label) in enumerate(rows(split)[number::2]):
                about = json.dumps({"filename": path, "label": label, "height": 20, "width": 24}).encode()
                files |= {f"{i:05d}.jpg": data, f"{i:05d}.cls": str(label).encode(), f"{i:05d}.json": about}
            (root / f"imagenet22k-{name}-{number:04d}.tar").write_bytes(tar(files))
    counts = {name: {"num_samples": len(rows(split))} for split, name in (("train", "train"), ("val", "validation"))}
    (root / "_info.json").write_text(json.dumps({"splits": counts}))
    return root


def write(root: Path, files: Files) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def store(source: Path, root: Path) -> Store:
    prepare(read_source(source, {})[1], root, Settings("x", 16, {}), partial(read, size=16, how="bilinear"))
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
    "Kaggle's zip": kaggle_zip,
    "Kaggle's tar.gz": kaggle_tar,
    "Parquet": parquet,
    "Hugging Face's tar.gz": packed,
    "WebDataset": shards,
    "2010": partial(archives, year=2010),
}

NAMELESS = (packed, shards)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_images_with_the_same_labels(form: Callable[[Path], Path], tmp_path: Path) -> None:
    found = store(form(tmp_path / "copy"), tmp_path / "store")
    assert [wnid for wnid, _ in found.classes] == WNIDS
    assert dict(found.classes) == (dict(SYNSETS.values()) if form not in NAMELESS else {wnid: wnid for wnid in WNIDS})
    assert shades(found, "train") == [(20 + 60 * k + 20 * i, w) for k, w in enumerate(WNIDS) for i in range(2)]
    assert shades(found, "val") == [(30 * i, SYNSETS[truth][0]) for i, truth in enumerate(TRUTH, 1)]
    if form not in (tree, sorted_tree, shards):
        assert shades(found, "test") == [(30, "-"), (60, "-"), (90, "-")]
    official = form in (archives, tree, sorted_tree, FORMS["2010"])
    assert found.about["ilsvrc_ids"] == ([2, 1, 3] if official else None)


def test_the_test_set_of_2010_has_labels(tmp_path: Path) -> None:
    """Table 1 is measured on it."""
    copy = archives(tmp_path / "copy", 2010)
    (copy / "ILSVRC2010_test_ground_truth.txt").write_text("2\n2\n3\n")
    labelled = [(30, "n01000001"), (60, "n01000001"), (90, "n09000009")]
    assert shades(store(copy, tmp_path / "store"), "test") == labelled


def test_patches_replace_images_of_the_same_name_and_a_zipped_photograph_is_read(tmp_path: Path) -> None:
    """2010's patch_images.tar, and its n02487347_1956.JPEG, which is a gzip."""
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
    inside = {f"winter21_whole/{name}": data for name, data in files.items()}
    winter = write(tmp_path / "winter", {"winter21_whole.tar.gz": gzip.compress(tar(inside))})
    places = (whole, loose, whole / "fall11_whole.tar", winter)
    splits = [read_source(path, {})[1].splits for path in places]
    names = [{split: [item.name for item in items] for split, items in found.items()} for found in splits]
    assert names[0] == names[1] == names[2] == names[3]
    listed = [(split, item.name) for split, item in read_source(whole, {})[1].items()]
    assert sorted(listed) == sorted((split, name) for split, own in names[0].items() for name in own)
    for item in read_source(winter, {})[1].splits["val"]:
        assert item.place.read() == photo(int(item.name[:-5].split("_")[1]))
    assert len(names[0]["train"]) + len(names[0]["val"]) == 180
    assert 60 < len(names[0]["train"]) < 120
    assert not set(names[0]["train"]) & set(names[0]["val"])


def test_fall_2009_is_a_list_of_synsets_that_a_person_has(tmp_path: Path) -> None:
    files = {f"{w}.tar": tar({f"{w}_{i}.JPEG": photo(i) for i in range(20)}) for w in WNIDS}
    copy = write(tmp_path / "copy", {"fall11_whole.tar": tar(files), "list.txt": f"{WNIDS[2]}\n{WNIDS[0]}\n".encode()})
    source = read_source(copy, {}, copy / "list.txt")[1]
    assert [wnid for wnid, _ in source.classes] == [WNIDS[0], WNIDS[2]]
    items = [item for _, item in source.items()]
    assert {(item.label, item.name[:9]) for item in items} == {(0, WNIDS[0]), (1, WNIDS[2])}
    assert len(items) == 40
    for text, says in ((f"{WNIDS[0]}\nn07000000\n", "no archive of n07000000, which"), ("tench", "'tench' is no wnid")):
        (copy / "list.txt").write_text(text)
        with pytest.raises(UserError, match=rf"^prepare.synsets: .*{says}"):
            read_source(copy, {}, copy / "list.txt")
    with pytest.raises(UserError, match=r"^prepare.synsets: .*away.txt: cannot be read"):
        read_source(copy, {}, copy / "away.txt")


def test_labels_by_another_order_than_the_sorted_wnids_are_told(tmp_path: Path) -> None:
    """A file of the split is missing, or somebody's labels are in the order of the ILSVRC ids."""
    copy = shards(tmp_path / "copy")
    files: Files = {"0.jpg": photo(5), "0.cls": b"0", "0.json": json.dumps({"filename": f"{WNIDS[2]}_1.JPEG"}).encode()}
    (copy / "imagenet22k-train-0002.tar").write_bytes(tar(files))
    with pytest.raises(UserError, match=rf"{WNIDS[2]}_1.JPEG is of {WNIDS[2]}, class 2 of 3 .*but labelled 0"):
        read_source(copy, {})


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a-val-000.tar": tar({"0.jpg": photo(1), "0.cls": b"0"})}, "no files of the training split, only of val"),
        ({"a-train-000.tar": tar({"0.jpg": photo(1)})}, "training images without a class"),
        ({"a-train-000.tar": tar({"0.jpg": photo(1), "0.cls": b"x"})}, "0 is described by what is no JSON"),
        ({"a-train-000.tar": tar({"0.jpg": photo(1), "0.cls": b"[1]"})}, "0.cls holds no class number"),
        ({"a-train-000.tar": tar({"0.jpg": photo(1), "0.cls": b"0"})[:700]}, "damaged or incomplete"),
        ({"train_images_0.tar.gz": b"\x1f\x8bno gzip"}, "train_images_0.tar.gz: damaged or incomplete"),
        (
            {"train_images_0.tar.gz": gzip.compress(tar({"n01000001_1.JPEG": bytes(9000)}))[:-30]},
            "damaged or incomplete",
        ),
        ({"imagenet-object-localization-challenge.zip": b"PK no zip"}, "challenge.zip: damaged or incomplete"),
        (
            {"imagenet_object_localization_patched2019.tar.gz": gzip.compress(tar({"x": b""}))},
            "has no LOC_synset_mapping",
        ),
        ({"data/train-00000-of-00001.parquet": b"PAR1"}, "train-00000-of-00001.parquet: damaged or incomplete"),
    ],
)
def test_a_download_that_is_not_whole_is_told_by_the_file(files: Files, says: str, tmp_path: Path) -> None:
    if any("parquet" in name for name in files):
        pytest.importorskip("pyarrow", reason="pyarrow is not here")
    copy = write(tmp_path / "copy", files)
    with pytest.raises(UserError, match=says):
        read_source(copy, {})


def test_a_source_that_changes_while_it_is_read_makes_no_store(tmp_path: Path) -> None:
    copy = archives(tmp_path / "copy")
    source = read_source(copy, {})[1]

    def growing(item: Item) -> tuple[np.ndarray, str]:
        with (copy / "ILSVRC2012_img_train.tar").open("ab") as file:
            file.write(bytes(512))
        return read(item, 16, "bilinear")

    with pytest.raises(UserError, match=r"ILSVRC2012_img_train.tar changed while it was read"):
        prepare(source, tmp_path / "store", Settings("x", 16, {}), growing)
    assert not (tmp_path / "store").exists()


def hole(path: Path) -> None:
    """A block of zeros over the second header of the first archive within."""
    data = bytearray(path.read_bytes())
    start = 512 + data[512:].index(b"n01000001_1.JPEG")
    data[start : start + 512] = bytes(512)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: hole(c / "ILSVRC2012_img_train.tar"), r"ILSVRC2012_img_train.tar: .*a damaged header"),
        (lambda c: (c / "ILSVRC2012_devkit_t12.tar.gz").unlink(), "needs the development kit"),
    ],
)
def test_what_would_lose_images_without_a_word_is_told(
    spoil: Callable[[Path], object], says: str, tmp_path: Path
) -> None:
    """tarfile takes a damaged header for the end, and archives without their kit look like those of all of ImageNet."""
    copy = archives(tmp_path / "copy")
    spoil(copy)
    with pytest.raises(UserError, match=says):
        store(copy, tmp_path / "store")


def test_archives_beside_what_was_unpacked_from_them_are_read_once(tmp_path: Path) -> None:
    """As torchvision leaves them."""
    copy = tree(tmp_path / "copy")
    shutil.rmtree(copy / "ILSVRC2012_devkit_t12")
    archives(copy)
    assert len(shades(store(copy, tmp_path / "store"), "val")) == 5


def test_images_of_the_other_year_do_not_get_this_years_labels(tmp_path: Path) -> None:
    copy = tree(tmp_path / "copy")
    for path in sorted((copy / "val").iterdir()):
        path.rename(path.with_name(path.name.replace("2012", "2010")))
    with pytest.raises(UserError, match=r"is of ILSVRC-2010, .* of ILSVRC-2012"):
        store(copy, tmp_path / "store")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_of_a_whole_copy_nothing_is_told_to_be_missing(
    form: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(form(tmp_path / "copy"), tmp_path / "store")
    assert "there should be" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("whole", "packed"),
    [(tree, None), (kaggle, None), (kaggle, zipped), (kaggle, tarred)],
    ids=["development kit", "Kaggle", "Kaggle's zip", "Kaggle's tar.gz"],
)
def test_missing_training_images_are_told_by_the_copys_own_lists(
    whole: Callable[[Path], Path],
    packed: Callable[[Path, Path], Path] | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = whole(tmp_path / "tree")
    next(copy.rglob(f"train/{WNIDS[0]}/{WNIDS[0]}_1.JPEG")).unlink()
    store(packed(copy, tmp_path / "copy") if packed else copy, tmp_path / "store")
    assert "train: 5 images, but by the copy's own lists there should be 6" in capsys.readouterr().out


def test_shards_that_are_missing_are_told_by_info_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shards(tmp_path / "copy")
    one = next(copy.glob("*train-0001.tar"))
    files: Files = {"0.jpg": photo(5), "0.cls": b"0", "0.json": json.dumps({"filename": f"{WNIDS[0]}_9.JPEG"}).encode()}
    one.write_bytes(tar(files))
    store(copy, tmp_path / "store")
    assert "train: 4 images, but by the copy's own lists there should be 6" in capsys.readouterr().out
    (copy / "_info.json").write_text('{"splits": {"train": {}}}')
    with pytest.raises(UserError, match=r"_info.json does not tell the samples of its splits"):
        read_source(copy, {})


def test_two_images_of_one_name_are_told_wherever_they_stand(tmp_path: Path) -> None:
    """Hugging Face's rows are in no order."""
    names = [f"{wnid}_{i}.JPEG" for i in range(3) for wnid in WNIDS]
    samples = {f"{i}.jpg": photo(i) for i in range(10)} | {f"{i}.cls": str(i % 3).encode() for i in range(10)}
    about = {f"{i}.json": json.dumps({"filename": name}).encode() for i, name in enumerate([*names, names[3]])}
    files = {name: (samples | about)[name] for i in range(10) for name in (f"{i}.jpg", f"{i}.cls", f"{i}.json")}
    copy = write(tmp_path / "copy", {"x-train-0000.tar": tar(files)})
    with pytest.raises(UserError, match=rf"^prepare.source: two images are called train/{names[3]}$"):
        store(copy, tmp_path / "store")


def test_two_images_of_one_name_are_told(tmp_path: Path) -> None:
    copy = archives(tmp_path / "copy")
    write(copy, {"again.tar": tar({f"{WNIDS[0]}.tar": tar({f"{WNIDS[0]}_0.JPEG": photo(7)})})})
    with pytest.raises(UserError, match=rf"two images are called train/{WNIDS[0]}/{WNIDS[0]}_0.JPEG"):
        store(copy, tmp_path / "store")


def test_images_in_test_itself_have_no_labels(tmp_path: Path) -> None:
    copy = write(tmp_path / "copy", {"train/a/1.jpg": photo(9), "val/a/1.jpg": photo(9), "test/7.jpg": photo(40)})
    assert shades(store(copy, tmp_path / "store"), "test") == [(40, "-")]


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
