"""Every form of the same copy of ImageNet gives the same store."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from copies import (
    SYNSETS,
    TRUTH,
    WNIDS,
    Files,
    archives,
    folder_archives,
    folder_tgz,
    photo,
    shades,
    sorted_tree,
    store,
    tar,
    tree,
    write,
)
from copy_forms import FORMS
from hosted_copies import packed, shards, tensorflow_datasets, tfrecords

from alexnet_pl.data.sources.base import CopyOptions
from alexnet_pl.data.sources.forms import read_source
from alexnet_pl.errors import UserError

NAMELESS = (packed, shards, tfrecords, tensorflow_datasets, folder_tgz, folder_archives)
TESTLESS = (tree, sorted_tree, shards, tfrecords, folder_tgz, folder_archives)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_images_with_the_same_labels(form: Callable[[Path], Path], tmp_path: Path) -> None:
    found = store(form(tmp_path / "copy"), tmp_path / "store")
    assert [wnid for wnid, _ in found.classes] == WNIDS
    assert dict(found.classes) == (dict(SYNSETS.values()) if form not in NAMELESS else {wnid: wnid for wnid in WNIDS})
    assert shades(found, "train") == [(20 + 60 * k + 20 * i, w) for k, w in enumerate(WNIDS) for i in range(2)]
    assert shades(found, "val") == [(30 * i, SYNSETS[truth][0]) for i, truth in enumerate(TRUTH, 1)]
    if form not in TESTLESS:
        assert shades(found, "test") == [(30, "-"), (60, "-"), (90, "-")]
    official = form in (archives, tree, sorted_tree, FORMS["2010"])
    assert found.manifest.ilsvrc_ids == ([2, 1, 3] if official else None)


def test_test_set_of_2010_has_labels(tmp_path: Path) -> None:
    """Table 1 is measured on it."""
    copy = archives(tmp_path / "copy", 2010)
    (copy / "ILSVRC2010_test_ground_truth.txt").write_text("2\n2\n3\n")
    labeled = [(30, "n01000001"), (60, "n01000001"), (90, "n09000009")]
    assert shades(store(copy, tmp_path / "store"), "test") == labeled


def test_patches_replace_images_and_a_gzipped_photograph_is_read(tmp_path: Path) -> None:
    """2010's patch_images.tar, and its n02487347_1956.JPEG, which is gzipped."""
    copy = archives(tmp_path / "copy", 2010)
    patch = {"train/n01000001_0.JPEG": gzip.compress(photo(200)), "val/ILSVRC2010_val_00000001.JPEG": photo(240)}
    write(copy, {"patch_images.tar": tar(patch)})
    found = store(copy, tmp_path / "store")
    assert (200, "n01000001") in shades(found, "train")
    assert (20, "n01000001") not in shades(found, "train")
    assert (240, SYNSETS[TRUTH[0]][0]) in shades(found, "val")


def test_synset_archives_are_split_in_halves_by_name(tmp_path: Path) -> None:
    """§7: "half of the images for training and half for testing"."""
    files = {f"{w}.tar": tar({f"{w}_{i}.JPEG": photo(i) for i in range(60)}) for w in WNIDS}
    whole = write(tmp_path / "whole", {"fall11_whole.tar": tar(files)})
    loose = write(tmp_path / "loose", files)
    inside = {f"winter21_whole/{name}": data for name, data in files.items()}
    winter = write(tmp_path / "winter", {"winter21_whole.tar.gz": gzip.compress(tar(inside))})
    places = (whole, loose, whole / "fall11_whole.tar", winter)
    splits = [read_source(path)[1].splits for path in places]
    names = [{split: [item.name for item in items] for split, items in found.items()} for found in splits]
    assert names[0] == names[1] == names[2] == names[3]
    listed = [(split, item.name) for split, item in read_source(whole)[1].items()]
    assert sorted(listed) == sorted((split, name) for split, own in names[0].items() for name in own)
    for item in read_source(winter)[1].splits["val"]:
        assert item.location.read() == photo(int(item.name[:-5].split("_")[1]))
    assert len(names[0]["train"]) + len(names[0]["val"]) == 180
    assert 60 < len(names[0]["train"]) < 120
    assert not set(names[0]["train"]) & set(names[0]["val"])


def test_fall_2009_is_selected_by_a_list_of_synsets(tmp_path: Path) -> None:
    files = {f"{w}.tar": tar({f"{w}_{i}.JPEG": photo(i) for i in range(20)}) for w in WNIDS}
    copy = write(tmp_path / "copy", {"fall11_whole.tar": tar(files), "list.txt": f"{WNIDS[2]}\n{WNIDS[0]}\n".encode()})
    source = read_source(copy, CopyOptions(synsets=copy / "list.txt"))[1]
    assert [wnid for wnid, _ in source.classes] == [WNIDS[0], WNIDS[2]]
    items = [item for _, item in source.items()]
    assert {(item.label, item.name[:9]) for item in items} == {(0, WNIDS[0]), (1, WNIDS[2])}
    assert len(items) == 40
    for text, says in (
        (f"{WNIDS[0]}\nn07000000\n", "no archive of n07000000, which"),
        ("tench", "'tench' is not a wnid"),
    ):
        (copy / "list.txt").write_text(text)
        with pytest.raises(UserError, match=rf"^prepare.synsets: .*{says}"):
            read_source(copy, CopyOptions(synsets=copy / "list.txt"))
    with pytest.raises(UserError, match=r"^prepare.synsets: .*away.txt: cannot be read"):
        read_source(copy, CopyOptions(synsets=copy / "away.txt"))


def test_shards_in_a_folder_of_their_split_are_found(tmp_path: Path) -> None:
    """Numbered alone, as img2dataset and webdataset's ShardWriter name them."""
    copy = shards(tmp_path / "copy")
    expected = shades(store(copy, tmp_path / "one"), "train")
    for split, name in (("train", "train"), ("val", "validation")):
        (copy / split).mkdir()
        for number in range(2):
            (copy / f"imagenet22k-{name}-{number:04d}.tar").rename(copy / split / f"{number:06d}.tar")
    assert shades(store(copy, tmp_path / "two"), "train") == expected
    (copy / "train/000000.tar").unlink()
    with pytest.raises(UserError, match=r"train: 000000\.tar missing"):
        read_source(copy)


def test_labels_in_another_class_order_are_reported(tmp_path: Path) -> None:
    """A file of the split is missing, or labels are in the order of the ILSVRC ids."""
    copy = shards(tmp_path / "copy")
    files: Files = {"0.jpg": photo(5), "0.cls": b"0", "0.json": json.dumps({"filename": f"{WNIDS[2]}_1.JPEG"}).encode()}
    (copy / "imagenet22k-train-0002.tar").write_bytes(tar(files))
    with pytest.raises(UserError, match=rf"{WNIDS[2]}_1.JPEG is of {WNIDS[2]}, class 2 of 3 .*but labeled 0"):
        read_source(copy)


def test_images_directly_in_test_have_no_labels(tmp_path: Path) -> None:
    copy = write(tmp_path / "copy", {"train/a/1.jpg": photo(9), "val/a/1.jpg": photo(9), "test/7.jpg": photo(40)})
    assert shades(store(copy, tmp_path / "store"), "test") == [(40, "-")]


def test_gzipped_archives_that_are_named_tar_are_read(tmp_path: Path) -> None:
    copy = archives(tmp_path / "copy")
    for path in copy.glob("*.tar"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    found = store(copy, tmp_path / "store")
    assert shades(found, "val") == [(30 * i, SYNSETS[truth][0]) for i, truth in enumerate(TRUTH, 1)]
    assert shades(found, "test") == [(30, "-"), (60, "-"), (90, "-")]
