"""Readable class names of copies that only have WordNet ids."""

from pathlib import Path

import pytest
from copies import SYNSETS, WNIDS, folder_files, sorted_tree, write

from alexnet_pl.data.sources.base import DatasetListing
from alexnet_pl.data.sources.class_names import add_class_names, ilsvrc_names
from alexnet_pl.data.sources.devkit import read_devkit
from alexnet_pl.data.sources.forms import read_source

DEVKIT = Path(__file__).parents[4] / "shared/data/devkit/ILSVRC2012_devkit_t12"


@pytest.mark.skipif(not DEVKIT.is_dir(), reason="../shared, which has the development kit, is not here")
def test_names_of_ilsvrc_2012_are_those_of_its_kit() -> None:
    classes = read_devkit(DEVKIT).classes
    ids = [wnid for wnid, _ in classes]
    names = ilsvrc_names(ids)
    differing = {wnid: names[wnid] for wnid, words in classes if names[wnid] not in words.split(", ")}
    assert differing == {"n02012849": "crane bird", "n03710721": "maillot tank suit"}  # two classes each of these words
    assert ilsvrc_names(ids[:-1]) == {}
    named = add_class_names(Path(), DatasetListing([(wnid, wnid) for wnid in ids], {}))
    assert named.classes[0] == ("n01440764", "tench")


@pytest.mark.parametrize(
    ("name", "separator"), [("LOC_synset_mapping.txt", " "), ("synset_words.txt", " "), ("words.txt", "\t")]
)
def test_names_of_a_list_beside_the_class_folders(name: str, separator: str, tmp_path: Path) -> None:
    train, val = folder_files()
    copy = write(
        tmp_path / "copy", {f"train/{n}": d for n, d in train.items()} | {f"val/{n}": d for n, d in val.items()}
    )
    assert read_source(copy)[1].classes == [(wnid, wnid) for wnid in WNIDS]
    (copy / name).write_text("".join(f"{wnid}{separator}{words}\n" for wnid, words in SYNSETS.values()) + "\n")
    assert dict(read_source(copy)[1].classes) == dict(SYNSETS.values())


def test_names_of_the_copy_itself_come_first(tmp_path: Path) -> None:
    copy = sorted_tree(tmp_path / "copy")
    (copy / "words.txt").write_text("".join(f"{wnid}\tother\n" for wnid in WNIDS))
    assert dict(read_source(copy)[1].classes) == dict(SYNSETS.values())
