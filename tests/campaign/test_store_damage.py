"""Every file and field of a store damaged in every way: named in one line, found by `verify`, repaired where it can be.

A slice, always the same, in `make test`; the whole table by `make campaign`.
"""

import json
import os
import random
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from photographs import draw

from alexnet_pl.commands.prepare import COMMANDS
from alexnet_pl.data.prepare.options import PrepareOptions
from alexnet_pl.data.prepare.pipeline import make_store, repair_store
from alexnet_pl.data.prepare.verify import find_corrupt
from alexnet_pl.data.store.store import Store
from alexnet_pl.errors import UserError
from tests.campaign.store_damage import Damage, damages, restore

WHOLE = "ALEXNET_PL_CAMPAIGN" in os.environ


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def chosen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PrepareOptions:
    """A store of 14 images, one of them unreadable, in shards of four."""
    folder = tmp_path_factory.mktemp("damage")
    for number in range(10):
        draw(folder / f"copy/train/{'ab'[number % 2]}/{number}.png", number)
    for number in range(4):
        draw(folder / f"copy/val/{'ab'[number % 2]}/{number}.png", 50 + number)
    (folder / "copy/train/a/8.png").write_bytes(b"no image")
    options = PrepareOptions(
        str(folder / "whole"), "x", 16, str(folder / "copy"), encoding=request.param, images_per_shard=4
    )
    make_store(options)
    return options


def slice_of(chosen: PrepareOptions, count: int) -> list[Damage]:
    every = list(damages(Path(chosen.root)))
    print(f"{len(every)} damages of a store ({chosen.encoding})")
    return every if WHOLE else random.Random(0).sample(every, count)


def read_all(root: Path) -> None:
    """As training and tests read a store."""
    store = Store(root)
    assert store.mean.shape == (3, store.size, store.size)
    assert store.covariance.shape == (3, 3)
    for name in ("train", "val"):
        split = store.split(name)
        assert len(split.names) == len(split)
        split.to_device(split.buffer(1).device)


def test_each_damage_is_named_in_one_line_when_the_store_is_read(chosen: PrepareOptions, tmp_path: Path) -> None:
    wrong = []
    for damage in slice_of(chosen, 100):
        restore(Path(chosen.root), tmp_path / "store")
        damage.apply(tmp_path / "store")
        try:
            read_all(tmp_path / "store")
            said = "" if damage.reads else damage.file
        except UserError as error:
            said = str(error)
        except Exception as error:
            said = f"{error!r}"
        if damage.file not in said or "\n" in said or "Error(" in said:
            wrong.append(f"{damage.name}: {said or 'read without a word'}")
    assert not wrong, "\n".join(wrong)


def test_each_damage_is_found_by_verify_and_repaired_or_refused(chosen: PrepareOptions, tmp_path: Path) -> None:
    wrong = []
    root = tmp_path / "store"
    for damage in slice_of(chosen, 60):
        restore(Path(chosen.root), root)
        damage.apply(root)
        found = verify(root)
        if damage.file not in found:
            wrong.append(f"{damage.name}: verify says {found or 'nothing'}")
        if (left := repair(chosen, root)) if damage.repairable else "":
            wrong.append(f"{damage.name}: {left}")
    assert not wrong, "\n".join(wrong)


def verify(root: Path) -> str:
    """The line that the command ends with."""
    try:
        COMMANDS["verify"](OmegaConf.create({"data": {"root": str(root)}}), root)
    except UserError as error:
        return str(error)
    return ""


def repair(chosen: PrepareOptions, root: Path) -> str:
    """What is wrong after a repair; "" where the store is what it was."""
    try:
        repair_store(chosen, Store(root, check=False))
    except UserError as error:
        return f"not repaired: {error}"
    whole = Path(chosen.root)
    files = {path.name for path in whole.iterdir()}
    if files != {path.name for path in root.iterdir()}:
        return "repair left other files"
    odd = [name for name in files if (root / name).read_bytes() != (whole / name).read_bytes()]
    return f"{odd} differ after the repair" if odd else "".join(find_corrupt(Store(root)))


def test_several_damaged_files_are_all_listed_and_all_repaired(
    chosen: PrepareOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "store"
    restore(Path(chosen.root), root)
    suffix = "u8" if chosen.encoding == "raw" else "tar"
    names = ["train.labels.npy", "val.names.jsonl", "mean.npy", "odd.json", f"train-000001.{suffix}"]
    for name in names[:-1]:
        (root / name).write_bytes(b"damaged")
    (root / names[-1]).unlink()
    said = verify(root) + capsys.readouterr().out
    assert [name for name in names if name not in said] == []
    assert repair(chosen, root) == ""


def test_a_store_made_before_files_had_checksums_is_read_and_a_change_in_it_noticed(
    chosen: PrepareOptions, tmp_path: Path
) -> None:

    root = tmp_path / "store"
    restore(Path(chosen.root), root)
    about = json.loads((root / "store.json").read_text())
    del about["files"]
    (root / "store.json").write_text(json.dumps(about))
    read_all(root)
    assert verify(root) == ""
    (root / "mean.npy").write_bytes((root / "mean.npy").read_bytes()[:-8] + bytes(8))
    with pytest.raises(UserError, match=r"store.json: does not match its checksum; it or a file beside it was changed"):
        read_all(root)
