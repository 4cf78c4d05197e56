"""Miniature copies of ImageNet: archives, class folders, Kaggle's, tiny-ImageNet; others are in hosted_copies.py."""

import gzip
import io
import shutil
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from alexnet_pl.data.prepare.options import StoreSettings
from alexnet_pl.data.prepare.run import prepare
from alexnet_pl.data.prepare.shard import read_square
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.data.store.store import Store

# number → wnid, words: numbers are not in the order of the wnids, as in the real kits
SYNSETS = {1: ("n02000003", "crane"), 2: ("n01000001", "tench, Tinca tinca"), 3: ("n09000009", "bolete")}
WNIDS = sorted(wnid for wnid, _ in SYNSETS.values())
TRUTH = [3, 1, 2, 2, 1]
Files = dict[str, bytes]


def photo(shade: int) -> bytes:
    """JPEG whose gray level identifies the image."""
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
    """data/meta.mat with leaves numbered from 1 followed by their ancestors, and the validation labels."""
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
    """wnid → its two images; the shade is 10 times the class's position among the sorted wnids, plus 0 or 5."""
    return {w: {f"{w}_{i}.JPEG": photo(20 + 60 * k + 20 * i) for i in range(2)} for k, w in enumerate(WNIDS)}


def numbered(year: int, split: str, count: int) -> Files:
    return {f"ILSVRC{year}_{split}_{i:08d}.JPEG": photo(30 * i) for i in range(1, count + 1)}


def archives(root: Path, year: int = 2012) -> Path:
    """The organizers' own archives, not unpacked."""
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
    """Layout made by torchvision and the usual shell scripts, with a flat val/."""
    for wnid, files in train_images().items():
        write(root / "train" / wnid, files)
    write(root / "val", numbered(2012, "val", 5))
    write(root / "ILSVRC2012_devkit_t12", devkit(2012))
    return root


def sorted_tree(root: Path) -> Path:
    """The same with val/ sorted into class folders."""
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
    """Zip with the name of Kaggle's download; compressed, as by zip programs, though photographs hardly shrink."""
    root.mkdir(exist_ok=True)
    with zipfile.ZipFile(root / "imagenet-object-localization-challenge.zip", "w") as archive:
        for number, path in enumerate(sorted(p for p in tree.rglob("*") if p.is_file())):
            packing = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2]
            archive.write(path, path.relative_to(tree).as_posix(), packing)
    shutil.rmtree(tree)
    return root


def tarred(tree: Path, root: Path) -> Path:
    """Kaggle's older download: images in one archive, tables beside it."""
    root.mkdir(exist_ok=True)
    with tarfile.open(root / "imagenet_object_localization_patched2019.tar.gz", "w:gz") as archive:
        archive.add(tree / "ILSVRC", "ILSVRC")
    for name in ("LOC_val_solution.csv", "LOC_synset_mapping.txt"):
        (tree / name).rename(root / name)
    shutil.rmtree(tree)
    return root


def folder_files() -> tuple[Files, Files]:
    """Images of train/ and of val/ in class folders."""
    train = {f"{wnid}/{name}": data for wnid, files in train_images().items() for name, data in files.items()}
    images = zip(TRUTH, numbered(2012, "val", 5).items(), strict=True)
    return train, {f"{SYNSETS[truth][0]}/{name}": data for truth, (name, data) in images}


def folder_tgz(root: Path) -> Path:
    """imagenette2.tgz: train/ and val/ in a folder, and a list before them."""
    train, val = folder_files()
    files = {"imagenette2/noisy.csv": b"path\n"} | {f"imagenette2/train/{n}": d for n, d in train.items()}
    files |= {f"imagenette2/val/{n}": d for n, d in val.items()}
    return write(root, {"imagenette2.tgz": gzip.compress(tar(files))})


def folder_archives(root: Path) -> Path:
    """train.tar with the class folders themselves, and val.zip with a folder around them."""
    train, val = folder_files()
    write(root, {"train.tar": tar(train)})
    with zipfile.ZipFile(root / "val.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in val.items():
            archive.writestr(f"val/{name}", data)
    return root


def tiny_imagenet(root: Path) -> Path:
    """tiny-imagenet-200/ as unpacked: three classes with two images and their boxes each."""
    files: Files = {}
    for wnid, images in train_images().items():
        files |= {f"train/{wnid}/images/{name}": data for name, data in images.items()}
        files[f"train/{wnid}/{wnid}_boxes.txt"] = "".join(f"{name}\t1\t2\t15\t16\n" for name in images).encode()
    truth = {f"val_{i - 1}.JPEG": SYNSETS[number][0] for i, number in enumerate(TRUTH, 1)}
    files |= {f"val/images/val_{i - 1}.JPEG": photo(30 * i) for i in range(1, 6)}
    files |= {f"test/images/test_{i - 1}.JPEG": photo(30 * i) for i in range(1, 4)}
    files["val/val_annotations.txt"] = "".join(f"{n}\t{w}\t0\t3\t20\t19\n" for n, w in truth.items()).encode()
    files["wnids.txt"] = "".join(f"{wnid}\n" for wnid, _ in SYNSETS.values()).encode()
    words = {"n00001740": "entity", **dict(SYNSETS.values())}
    files["words.txt"] = "".join(f"{wnid}\t{text}\n" for wnid, text in words.items()).encode()
    return write(root / "tiny-imagenet-200", files).parent


def tiny_imagenet_zip(root: Path) -> Path:
    tiny_imagenet(root / "tree")
    with zipfile.ZipFile(root / "tiny-imagenet-200.zip", "w") as archive:
        for path in sorted((root / "tree").rglob("*")):
            archive.write(path, path.relative_to(root / "tree").as_posix(), zipfile.ZIP_DEFLATED)
    shutil.rmtree(root / "tree")
    return root


def write(root: Path, files: Files) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def store(source: Path, root: Path) -> Store:
    prepare(
        read_source(source)[1],
        root,
        StoreSettings("x", 16, {}),
        partial(read_square, size=16, filter_name="bilinear"),
    )
    return Store(root)


def shades(of: Store, split: str) -> list[tuple[int, str]]:
    """(gray level, wnid or "-") of every image, from pixels and labels in the store."""
    part = of.split(split)
    images = np.zeros((len(part), 3, 16, 16), np.uint8)
    part.read(np.arange(len(part)), images)
    names = [of.classes[label][0] if label >= 0 else "-" for label in part.labels]
    return sorted(zip(images.mean((1, 2, 3)).round().astype(int).tolist(), names, strict=True))
