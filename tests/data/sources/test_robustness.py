"""ImageNet-V2, -A, -R and -Sketch: miniature copies in the published format."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_pl.config.recipes import compose
from alexnet_pl.data.sources.robustness import read_robustness
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError

A = {"n01498041": 2, "n01531178": 1}
FORMS = {  # data set → (archive, path in it of the images of each folder)
    "imagenet_a": ("imagenet-a.tar", [f"imagenet-a/{wnid}/0.01_fox_{i}.jpg" for wnid in A for i in range(A[wnid])]),
    "imagenet_r": ("imagenet-r.tar", ["imagenet-r/n01443537/art_0.jpg", "imagenet-r/n01484850/graffiti_3.jpg"]),
    "imagenet_sketch": ("ImageNet-Sketch.zip", ["sketch/n01440764/sketch_2.JPEG", "sketch/n01443537/sketch_9.JPEG"]),
    "imagenet_v2_top_images": (
        "imagenetv2-top-images.tar.gz",
        [f"imagenetv2-top-images-format-val/{folder}/{folder}f.jpeg" for folder in range(12)],
    ),
}  # fmt: skip


def picture(number: int) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def write_copy(folder: Path, name: str, unpacked: bool = False) -> Path:
    archive, paths = FORMS[name]
    files = {path: picture(number) for number, path in enumerate(paths)}
    files[f"{paths[0].split('/')[0]}/README.txt"] = b"about"
    if unpacked:
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        return folder / paths[0].split("/")[0]
    if archive.endswith(".zip"):
        with zipfile.ZipFile(folder / archive, "w") as file:
            for path, data in files.items():
                file.writestr(path, data)
    else:
        with tarfile.open(folder / archive, "w:gz" if archive.endswith("gz") else "w") as file:
            for path, data in files.items():
                info = tarfile.TarInfo(path)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return folder / archive


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_class_folders_are_listed(tmp_path: Path, name: str, unpacked: bool) -> None:
    found = read_robustness(write_copy(tmp_path, name, unpacked), name)
    paths = FORMS[name][1]
    folders = sorted({path.split("/")[1] for path in paths}, key=lambda folder: (len(folder), folder))
    assert [folder for _, folder in found.classes] == folders
    records = [*found.splits["test"]]
    numbers = {path.split("/", 1)[1]: number for number, path in enumerate(paths)}
    assert len(records) == len(paths)
    for record in records:
        assert record.location.read() == picture(numbers[record.name.removeprefix("test/")])
        assert found.classes[record.label][1] == record.name.split("/")[1]


def test_imagenet_v2_folders_are_sorted_numerically(tmp_path: Path) -> None:
    found = read_robustness(write_copy(tmp_path, "imagenet_v2_top_images"), "imagenet_v2_top_images")
    assert [identity for identity, _ in found.classes] == [f"{i:04d}" for i in range(12)]
    labels = {record.name.split("/")[1]: record.label for record in found.splits["test"]}
    assert labels == {str(i): i for i in range(12)}


def test_store_has_only_a_test_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from alexnet_pl.commands.prepare import prepare

    root = tmp_path / "store"
    words = ["data.name=imagenet_a", f"data.root={root}", f"prepare.source={write_copy(tmp_path, 'imagenet_a')}"]
    with pytest.raises(UserError, match=r"test: 3 images, but there should be 7,500"):
        prepare(compose("ilsvrc2012", words), tmp_path)
    prepare(compose("ilsvrc2012", [*words, "prepare.allow_incomplete=true"]), tmp_path)
    store = Store(root)
    assert store.splits == ["test"]
    assert store.split("test").labels.tolist() == [0, 0, 1]
    assert "imagenet_a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "as_name", "says"),
    [
        ("imagenet_v2_top_images", "imagenet_a", r"folder 0; those of imagenet_a are WordNet ids"),
        ("imagenet_a", "imagenet_v2_top_images", r"folder n01498041; those of imagenet_v2_top_images are 0 … 999"),
    ],
)
def test_wrong_data_set_is_named(tmp_path: Path, name: str, as_name: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_robustness(write_copy(tmp_path, name), as_name)


def test_faulty_copy_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    for path, says in {
        "away": "does not exist",
        "empty": "no images in class folders",
        "notes.txt": "is not a .tar",
    }.items():
        with pytest.raises(UserError, match=says):
            read_robustness(tmp_path / path, "imagenet_a")
    write_copy(tmp_path, "imagenet_a")
    write_copy(tmp_path, "imagenet_r")
    with pytest.raises(UserError, match=r"holds imagenet-a.tar and imagenet-r.tar; give one of them"):
        read_robustness(tmp_path, "imagenet_a")
